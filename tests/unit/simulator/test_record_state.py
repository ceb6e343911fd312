"""Tags, locks, external ids, rights, and what can be called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from airflow_provider_zohocrm.simulator.store import CONVERTED_VIEW, UNAPPROVED_VIEW, Selection

if TYPE_CHECKING:
    from simulator.wire import Zoho

LOCKED = {
    "code": "RECORD_LOCKED",
    "message": "You cannot perform this operation as the record is locked.",
    "status": "error",
}


def tags(zoho: Zoho, record_id: str) -> list[str]:
    return [tag["name"] for tag in zoho.get(f"/crm/v8/Leads/{record_id}").json()["data"][0]["Tag"]]


def test_add_and_remove_tags(zoho: Zoho):
    first, second = zoho.ids("Leads")[:2]
    before = tags(zoho, first)
    body = {"tags": [{"name": "hot"}, {"name": "Blue"}]}
    answer = zoho.post(f"/crm/v8/Leads/{first}/actions/add_tags", body)
    element = answer.json()["data"][0]
    assert (answer.status_code, element["message"]) == (200, "tags updated successfully")
    assert [tag["name"] for tag in element["details"]["tags"]] == tags(zoho, first)
    assert set(tags(zoho, first)) == {*before, "hot", "Blue"}
    many = {"tags": [{"name": "only"}], "ids": [first, second], "over_write": True}
    answer = zoho.post("/crm/v8/Leads/actions/add_tags", many)
    assert answer.json()["success_count"] == "2"
    assert tags(zoho, first) == tags(zoho, second) == ["only"]
    answer = zoho.post("/crm/v8/Leads/actions/remove_tags", {"tags": [{"name": "only"}], "ids": [first, "1"]})
    assert [one["status"] for one in answer.json()["data"]] == ["success", "error"]
    assert answer.status_code == 207
    assert tags(zoho, first) == []
    assert (
        zoho.post(f"/crm/v8/Leads/{second}/actions/remove_tags", {"tags": [{"name": "only"}]}).status_code
        == 200
    )
    assert tags(zoho, second) == []


def test_tags_have_one_id_each(zoho: Zoho):
    seeded = next(record for record in zoho.simulator.table("Leads") if record["Tag"])
    tag, target = seeded["Tag"][0], zoho.ids("Leads")[0]
    body = {"tags": [{"name": tag["name"]}], "over_write": True}
    zoho.post(f"/crm/v8/Leads/{target}/actions/add_tags", body)
    assert zoho.simulator.record("Leads", target)["Tag"] == [tag]


def test_tags_of_v2_stand_in_the_query(zoho: Zoho):
    first = zoho.ids("Leads")[0]
    params = {"ids": first, "tag_names": "a,b", "over_write": "true"}
    assert zoho.call("POST", "/crm/v2/Leads/actions/add_tags", params=params).status_code == 200
    assert tags(zoho, first) == ["a", "b"]
    answer = zoho.call("POST", f"/crm/v2/Leads/{first}/actions/remove_tags")
    assert answer.json()["code"] == "REQUIRED_PARAM_MISSING"


def test_price_of_tags(zoho: Zoho):
    ids = zoho.ids("Leads")[:51]
    before = zoho.simulator.counters["credits"]
    zoho.post("/crm/v8/Leads/actions/add_tags", {"tags": [{"name": "x"}], "ids": ids})
    assert zoho.simulator.counters["credits"] - before == 2


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"tags": [{"name": "x"}]}, "REQUIRED_PARAM_MISSING"),
        ({"ids": ["1"]}, "MANDATORY_NOT_FOUND"),
        ({"ids": ["1"], "tags": ["x"]}, "INVALID_DATA"),
        ({"ids": ["1"] * 501, "tags": [{"name": "x"}]}, "LIMIT_EXCEEDED"),
    ],
)
def test_errors_of_tags(zoho: Zoho, body: dict[str, Any], code: str):
    answer = zoho.post("/crm/v8/Leads/actions/add_tags", body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_locked_records(zoho: Zoho):
    locked, free = zoho.ids("Leads")[:2]
    control = f"{zoho.simulator.url}/__simulator__/locks"
    assert requests.post(control, json={"ids": [locked]}, timeout=10).json() == {"locked": [locked]}
    error = {**LOCKED, "details": {"action": "record_locking", "id": locked}}
    answer = zoho.put("/crm/v8/Leads", {"data": [{"id": one, "Phone": "1"} for one in (locked, free)]})
    assert (answer.status_code, answer.json()["data"][0]) == (207, error)
    assert answer.json()["data"][1]["status"] == "success"
    key = zoho.simulator.record("Leads", locked)["External_Key"]
    record = {"External_Key": key, "Last_Name": "x", "Company": "x"}
    assert zoho.post("/crm/v8/Leads/upsert", {"data": [record]}).json()["data"] == [error]
    assert (
        zoho.post(f"/crm/v8/Leads/{locked}/actions/add_tags", {"tags": [{"name": "x"}]}).json()[
            "locked_count"
        ]
        == 1
    )
    answer = zoho.delete(f"/crm/v8/Leads/{locked}")
    assert (answer.status_code, answer.json()) == (400, error)
    answer = zoho.delete("/crm/v8/Leads", {"ids": f"{locked},{free}"})
    assert (answer.status_code, answer.json()["data"][0]) == (207, error)
    assert zoho.get(f"/crm/v8/Leads/{locked}").status_code == 200
    assert requests.delete(control, timeout=10).json() == {"locked": []}
    assert zoho.delete(f"/crm/v8/Leads/{locked}").status_code == 200


@pytest.mark.parametrize(
    ("view", "code"), [(CONVERTED_VIEW, "CONVERTED_RECORD"), (UNAPPROVED_VIEW, "NOT_APPROVED")]
)
def test_states_that_forbid_a_change(zoho: Zoho, view: int, code: str):
    store = zoho.simulator.state.store
    row = store.rows(Selection(store.modules["Leads"], f"view = {view}"), limit=1)[0]
    answer = zoho.put(f"/crm/v8/Leads/{row.id}", {"data": [{"Phone": "1"}]})
    assert (answer.status_code, answer.json()["data"][0]["code"]) == (400, code)


def test_external_id(zoho: Zoho):
    lead = next(iter(zoho.simulator.table("Leads")))
    header = {"X-EXTERNAL": "Contacts.External_Key, Leads.External_Key"}
    key = lead["External_Key"]
    answer = zoho.get(f"/crm/v8/Leads/{key}", {"fields": "Company"}, headers=header)
    assert answer.json()["data"][0]["id"] == lead["id"]
    assert zoho.get(f"/crm/v8/Leads/{key}").json()["code"] == "INVALID_DATA"
    assert zoho.get("/crm/v8/Leads/nobody", headers=header).status_code == 204
    body = {"data": [{"External_Key": key, "Phone": "1"}, {"External_Key": "nobody", "Phone": "1"}]}
    results = zoho.put("/crm/v8/Leads", body, headers=header).json()["data"]
    assert results[0]["details"]["id"] == lead["id"]
    assert (results[1]["code"], results[1]["message"]) == ("INVALID_DATA", "the id given seems to be invalid")
    assert zoho.put(f"/crm/v8/Leads/{key}", {"data": [{"Phone": "2"}]}, headers=header).status_code == 200
    assert zoho.simulator.record("Leads", lead["id"])["Phone"] == "2"
    answer = zoho.call("DELETE", "/crm/v8/Leads", params={"ids": key}, headers=header)
    assert answer.json()["data"][0]["details"] == {"id": lead["id"]}
    answer = zoho.get("/crm/v8/Leads/x", headers={"X-EXTERNAL": "Leads.Company"})
    assert (answer.status_code, answer.json()["details"]) == (400, {"header_name": "X-EXTERNAL"})


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "right"),
    [
        ("GET", "/crm/v8/Deals?fields=id", None, 403, "View"),
        ("GET", "/crm/v8/Deals/search?word=x", None, 403, "View"),
        ("GET", "/crm/v8/Deals/actions/count", None, 403, "View"),
        ("POST", "/crm/v8/Deals", {"data": [{"Deal_Name": "x"}]}, 403, "Create"),
        ("PUT", "/crm/v8/Deals", {"data": [{"id": "1"}]}, 403, "Edit"),
        ("DELETE", "/crm/v8/Deals?ids=1", None, 403, "Delete"),
        ("GET", "/crm/v8/settings/fields?module=Deals", None, 400, "View"),
        ("POST", "/crm/v8/coql", {"select_query": "select id from Deals where id > 1"}, 403, "View"),
        ("POST", "/crm/bulk/v8/read", {"query": {"module": {"api_name": "Deals"}}}, 403, "View"),
    ],
)
def test_forbidden_modules(zoho: Zoho, method: str, path: str, body: Any, status: int, right: str):
    zoho.simulator.options.forbidden_modules = "Quotes, Deals"
    answer = zoho.call(method, path, json=body)
    assert answer.status_code == status
    assert answer.json() == {
        "code": "NO_PERMISSION",
        "details": {"permissions": [f"Crm_Implied_{right}_Deals"]},
        "message": "Permission denied",
        "status": "error",
    }
    assert zoho.get("/crm/v8/Leads", {"fields": "id"}).status_code == 200


def test_apis(zoho: Zoho):
    listed = {one["path"]: one["operation_types"] for one in zoho.get("/crm/v8/__apis").json()["__apis"]}
    create = {"method": "POST", "oauth_scope": "ZohoCRM.bulk.READ", "max_credits": 50, "min_credits": 50}
    assert listed["/crm/bulk/v8/read"] == [create]
    insert = next(one for one in listed["/crm/v8/{module_api_name}"] if one["method"] == "POST")
    assert (insert["oauth_scope"], insert["max_credits"]) == ("ZohoCRM.modules.{module_api_name}.CREATE", 10)
    coql = {"method": "POST", "oauth_scope": "ZohoCRM.coql.READ", "max_credits": 3, "min_credits": 1}
    assert listed["/crm/v8/coql"] == [coql]
    assert listed["/crm/v8/{module_api_name}/deleted"][0]["min_credits"] == 2
    answer = zoho.get("/crm/v7/__apis")
    assert (answer.status_code, answer.json()["details"]) == (404, {"supported_version": "v8"})
