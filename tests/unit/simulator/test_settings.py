from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from simulator.wire import Zoho

SETTINGS = "/crm/v8/settings"


def test_modules(zoho: Zoho):
    modules = {m["api_name"]: m for m in zoho.get(f"{SETTINGS}/modules").json()["modules"]}
    assert {
        "Leads", "Contacts", "Accounts", "Deals", "Campaigns", "Tasks", "Events", "Calls", "Products", "Quotes", "Invoices",
    } < set(modules)  # fmt: skip
    assert [name for name, m in modules.items() if m["generated_type"] == "custom"] == ["Machines"]
    one = zoho.get(f"{SETTINGS}/modules/Leads").json()["modules"][0]
    assert one["id"] == modules["Leads"]["id"]
    assert zoho.get(f"{SETTINGS}/modules/{one['id']}").json()["modules"][0] == one
    assert zoho.get(f"{SETTINGS}/modules/Nothing").json()["code"] == "INVALID_MODULE"


def test_fields_describe_what_lists_give(zoho: Zoho):
    fields = {f["api_name"]: f for f in zoho.get(f"{SETTINGS}/fields", {"module": "Leads"}).json()["fields"]}
    record = zoho.get("/crm/v2/Leads", {"per_page": 1}).json()["data"][0]
    assert {name for name in record if not name.startswith("$")} == set(fields)
    assert fields["Last_Name"]["system_mandatory"] is True
    assert fields["External_Key"]["unique"] == {"casesensitive": "false"}
    assert fields["Partner"]["lookup"]["module"]["api_name"] == "Accounts"
    assert [choice["display_value"] for choice in fields["Rating"]["pick_list_values"]][:2] == [
        "Acquired",
        "Active",
    ]
    kinds = {f["data_type"] for f in fields.values()}
    assert kinds >= {
        "text", "picklist", "multiselectpicklist", "date", "datetime", "integer", "double", "currency", "boolean", "lookup",
        "ownerlookup", "subform", "bigint", "email", "phone", "website", "textarea",
    }  # fmt: skip


def test_lookup_field_names_its_module_as_the_specification_does(zoho: Zoho):
    fields = {f["api_name"]: f for f in zoho.get(f"{SETTINGS}/fields", {"module": "Leads"}).json()["fields"]}
    accounts = zoho.simulator.state.store.modules["Accounts"].module_id
    assert fields["Partner"]["associated_module"] == {
        "api_name": "Accounts",
        "module": "Accounts",
        "id": accounts,
    }
    assert fields["Partner"]["sharing_properties"] == {
        "share_preference_enabled": False, "share_permission": "full-access",
    }  # fmt: skip
    assert fields["City"]["associated_module"] is None
    # Neither Zoho's OpenAPI file nor its SDK knows these.
    assert not {"table_name", "section_id"} & set(fields["City"])


def test_one_module_describes_its_fields_in_full(zoho: Zoho):
    [module] = zoho.get(f"{SETTINGS}/modules/Contacts").json()["modules"]
    assert module["fields"] == zoho.get(f"{SETTINGS}/fields", {"module": "Contacts"}).json()["fields"]


def test_unknown_module_of_fields(zoho: Zoho):
    answer = zoho.get(f"{SETTINGS}/fields", {"module": "Nothing"})
    assert (answer.status_code, answer.json()["details"]) == (400, {"api_name": "module"})


def test_narrow_and_wide_modules(zoho: Zoho):
    def count(module: str) -> int:
        return len(zoho.get(f"{SETTINGS}/fields", {"module": module}).json()["fields"])

    assert count("Leads") < 50 < count("Deals")


def test_one_field(zoho: Zoho):
    listed = zoho.get(f"{SETTINGS}/fields", {"module": "Leads"}).json()["fields"][9]
    assert zoho.get(f"{SETTINGS}/fields/{listed['id']}", {"module": "Leads"}).json()["fields"] == [listed]
    assert zoho.get(f"{SETTINGS}/fields/1", {"module": "Leads"}).status_code == 204


@pytest.mark.parametrize("path", ["fields", "related_lists", "custom_views"])
def test_module_is_mandatory(zoho: Zoho, path: str):
    assert zoho.get(f"{SETTINGS}/{path}").json()["code"] == "REQUIRED_PARAM_MISSING"
    assert zoho.get(f"{SETTINGS}/{path}", {"module": "Nothing"}).json()["code"] == "INVALID_MODULE"


def test_related_lists_can_be_read(zoho: Zoho):
    lists = zoho.get(f"{SETTINGS}/related_lists", {"module": "Leads"}).json()["related_lists"]
    assert {one["api_name"] for one in lists} == {"Notes", "Tasks", "Campaigns", "Products"}
    lead = zoho.ids("Leads")[0]
    for one in lists:
        path = one["href"].replace("{ENTITYID}", lead)
        assert zoho.get(f"/crm/v8/{path}", {"fields": "id"}).status_code in {200, 204}


def test_organisation_and_users(zoho: Zoho):
    org = zoho.get("/crm/v8/org").json()["org"][0]
    assert org["zgid"].isdigit()
    assert org["license_details"]["paid_type"] == "enterprise"
    users = zoho.get("/crm/v8/users").json()
    assert users["info"]["count"] == len(users["users"]) == 5
    assert zoho.get(f"/crm/v8/users/{users['users'][1]['id']}").json()["users"] == [users["users"][1]]
    current = zoho.get("/crm/v8/users", {"type": "CurrentUser"}).json()["users"]
    assert [user["full_name"] for user in current] == ["Patricia Boyle"]
    assert zoho.get("/crm/v8/users/1").status_code == 204
