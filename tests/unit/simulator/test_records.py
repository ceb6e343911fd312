from __future__ import annotations

import unicodedata
from datetime import datetime
from typing import Any

import pytest

from simulator.wire import Zoho, flat

LEADS = "/crm/v8/Leads"
VERSIONS = ["v2", "v2.1", "v3", "v4", "v5", "v6", "v7", "v8"]


def walk_tokens(zoho: Zoho, path: str, **params: Any) -> list[dict[str, Any]]:
    pages = [zoho.get(path, params).json()]
    while pages[-1]["info"]["more_records"]:
        token = pages[-1]["info"]["next_page_token"]
        pages.append(zoho.get(path, {**params, "page_token": token}).json())
    return pages


@pytest.mark.parametrize("version", VERSIONS)
def test_fields_are_mandatory_from_v3_on(zoho: Zoho, version: str):
    answer = zoho.get(f"/crm/{version}/Leads", {"per_page": 1})
    if version in {"v2", "v2.1"}:
        record = answer.json()["data"][0]
        assert record["$approval_state"] == "approved"
        assert isinstance(record["Positions"], int)
        assert answer.json()["info"] == {
            "call": False, "per_page": 1, "count": 1, "page": 1, "email": False, "more_records": True,
        }  # fmt: skip
    else:
        assert answer.status_code == 400
        assert answer.json() == flat(
            "REQUIRED_PARAM_MISSING", "required param is missing", {"param_name": "fields"}
        )


def test_other_wording_of_a_missing_parameter(zoho: Zoho):
    zoho.simulator.options.required_param_style = "old"
    expected = flat("REQUIRED_PARAM_MISSING", "One of the expected parameter is missing", {"param": "fields"})
    assert zoho.get(LEADS).json() == expected


def test_more_than_fifty_fields(zoho: Zoho):
    names = ",".join(f"F{n}" for n in range(51))
    answer = zoho.get(LEADS, {"fields": names})
    assert answer.status_code == 400
    assert answer.json() == flat("LIMIT_EXCEEDED", "limit exceeded", {"limit": 50, "param_name": "fields"})
    assert zoho.get("/crm/v2/Leads", {"fields": names}).status_code == 200


def test_info_of_v3_and_later(zoho: Zoho):
    body = zoho.get(LEADS, {"fields": "Last_Name", "per_page": 5}).json()
    info = body["info"]
    assert len(info.pop("next_page_token")) <= 96
    assert datetime.fromisoformat(info.pop("page_token_expiry")).utcoffset().total_seconds() == 19_800
    assert info == {
        "call": False, "per_page": 5, "count": 5, "sort_by": "id", "page": 1, "sort_order": "desc", "email": False,
        "more_records": True, "previous_page_token": None,
    }  # fmt: skip
    assert [set(record) for record in body["data"]] == [{"Last_Name", "id"}] * 5


@pytest.mark.parametrize("sort_by", ["id", "Created_Time", "Modified_Time"])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_tokens_walk_over_all_records_in_order(zoho: Zoho, sort_by: str, order: str):
    pages = walk_tokens(
        zoho, LEADS, fields=f"Last_Name,{sort_by}", per_page=70, sort_by=sort_by, sort_order=order
    )
    records = [record for page in pages for record in page["data"]]
    assert sorted(record["id"] for record in records) == zoho.ids("Leads")
    values = [record[sort_by] for record in records]
    assert values == sorted(values, reverse=order == "desc")
    assert [page["info"]["page"] for page in pages] == [1, 2, 3, 4, 5, 6, 7]
    assert pages[-1]["info"]["next_page_token"] is None
    assert pages[-1]["info"]["page_token_expiry"] is None


def test_previous_page_token_leads_back(zoho: Zoho):
    params = {"fields": "id", "per_page": 100}
    first = zoho.get(LEADS, params).json()
    second = zoho.get(LEADS, {**params, "page_token": first["info"]["next_page_token"]}).json()
    back = zoho.get(LEADS, {**params, "page_token": second["info"]["previous_page_token"]}).json()
    assert back["data"] == first["data"]


def test_pages_by_number(zoho: Zoho):
    pages = [zoho.get("/crm/v2/Leads", {"fields": "id", "page": n}) for n in (1, 2, 3, 4)]
    assert [page.status_code for page in pages] == [200, 200, 200, 204]
    assert pages[3].content == b""
    ids = [record["id"] for page in pages[:3] for record in page.json()["data"]]
    assert sorted(ids) == zoho.ids("Leads")
    assert [page.json()["info"]["more_records"] for page in pages[:3]] == [True, True, False]


@pytest.mark.parametrize(("version", "limited"), [("v8", True), ("v3", True), ("v2", True), ("v2.1", False)])
def test_discrete_pagination_limit(zoho: Zoho, version: str, limited: bool):
    zoho.simulator.options.discrete_limit = 20
    if not limited:
        zoho.simulator.options.v2_page_limit = False
    path, params = f"/crm/{version}/Leads", {"fields": "id", "per_page": 10}
    assert zoho.get(path, {**params, "page": 2}).status_code == 200
    answer = zoho.get(path, {**params, "page": 3})
    assert answer.status_code == (400 if limited else 200)
    if limited:
        message = "You can only get the first 20 records without using page_token param"
        assert answer.json() == flat("DISCRETE_PAGINATION_LIMIT_EXCEEDED", message, {"limit": 20})


def test_token_limit(zoho: Zoho):
    zoho.simulator.options.page_token_limit = 100
    params = {"fields": "id", "per_page": 50}
    second = zoho.get(
        LEADS, {**params, "page_token": zoho.get(LEADS, params).json()["info"]["next_page_token"]}
    ).json()
    answer = zoho.get(LEADS, {**params, "page_token": second["info"]["next_page_token"]})
    message = "You can only get upto 100 records using page_token param"
    assert (answer.status_code, answer.json()) == (
        400,
        flat("PAGINATION_LIMIT_EXCEEDED", message, {"param_name": "page_token"}),
    )


def test_page_and_token_exclude_each_other(zoho: Zoho):
    token = zoho.get(LEADS, {"fields": "id", "per_page": 5}).json()["info"]["next_page_token"]
    answer = zoho.get(LEADS, {"fields": "id", "per_page": 5, "page": 2, "page_token": token})
    assert (answer.status_code, answer.json()["code"]) == (400, "AMBIGUITY_DURING_PROCESSING")
    assert answer.json()["details"] == {
        "ambiguity_due_to": [{"param_name": "page"}, {"param_name": "page_token"}]
    }


@pytest.mark.parametrize(
    "change", [{"fields": "id,Email"}, {"per_page": 6}, {"sort_order": "asc"}, {"page_token": "made-up"}]
)
def test_token_is_bound_to_the_other_parameters(zoho: Zoho, change: dict[str, Any]):
    params = {"fields": "id", "per_page": 5}
    token = zoho.get(LEADS, params).json()["info"]["next_page_token"]
    answer = zoho.get(LEADS, {**params, "page_token": token, **change})
    message = "The page_token given seems to be invalid or input param is added or altered or deleted"
    assert answer.status_code == 400
    assert answer.json() == flat("TOKEN_BOUND_DATA_MISMATCH", message, {"param_name": "page_token"})


def test_token_expires_after_a_day(zoho: Zoho):
    params = {"fields": "id", "per_page": 5}
    token = zoho.get(LEADS, params).json()["info"]["next_page_token"]
    zoho.simulator.advance(86_401)
    zoho.login()
    answer = zoho.get(LEADS, {**params, "page_token": token})
    details = {"api_name": "page_token", "json_path": "$.query.page_token"}
    assert (answer.status_code, answer.json()) == (400, flat("EXPIRED_VALUE", "Page token expired", details))


def test_first_page_without_a_token(zoho: Zoho):
    zoho.simulator.options.missing_page1_token = True
    first = zoho.get(LEADS, {"fields": "id", "per_page": 5}).json()["info"]
    second = zoho.get(LEADS, {"fields": "id", "per_page": 5, "page": 2}).json()["info"]
    assert first["more_records"] is True
    assert first["next_page_token"] is None
    assert second["next_page_token"]


def test_overlapping_pages(zoho: Zoho):
    def ids(page: int) -> list[str]:
        return [
            r["id"] for r in zoho.get(LEADS, {"fields": "id", "per_page": 10, "page": page}).json()["data"]
        ]

    assert not set(ids(1)) & set(ids(2))
    zoho.simulator.options.page_overlap = 3
    assert ids(1)[-3:] == ids(2)[:3]


def test_rows_written_between_pages_shift_them(zoho: Zoho):
    params = {"fields": "id", "per_page": 10}
    first = zoho.get(LEADS, {**params, "page": 1}).json()["data"]
    zoho.post(LEADS, {"data": [{"Last_Name": "New", "Company": "New"}]})
    second = zoho.get(LEADS, {**params, "page": 2}).json()["data"]
    assert second[0] == first[-1]


@pytest.mark.parametrize(
    ("params", "details"),
    [
        ({"cvid": "1"}, {"param_name": "cvid"}),
        (
            {"sort_by": "Email"},
            {"param_name": "sort_by", "supported_values": ["id", "Created_Time", "Modified_Time"]},
        ),
        ({"territory_id": "1"}, {"param_name": "territory_id"}),
        ({"ids": "x"}, {"param_name": "ids"}),
    ],
)
def test_invalid_parameters(zoho: Zoho, params: dict[str, str], details: dict[str, Any]):
    answer = zoho.get(LEADS, {"fields": "id", **params})
    assert (answer.status_code, answer.json()) == (400, flat("INVALID_DATA", "invalid data", details))


@pytest.mark.parametrize(
    ("name", "value"), [("per_page", "201"), ("per_page", "x"), ("page", "0"), ("converted", "maybe")]
)
def test_pattern_not_matched(zoho: Zoho, name: str, value: str):
    answer = zoho.get(LEADS, {"fields": "id", name: value})
    message = "Please check whether the input values are correct"
    assert (answer.status_code, answer.json()) == (
        400,
        flat("PATTERN_NOT_MATCHED", message, {"param_name": name}),
    )


def test_v2_sorts_by_any_field(zoho: Zoho):
    params = {"fields": "Email", "sort_by": "Email", "sort_order": "asc", "per_page": 150}
    pages = [zoho.get("/crm/v2/Leads", {**params, "page": n}).json() for n in (1, 2, 3)]
    emails = [record["Email"] or "" for page in pages for record in page["data"]]
    assert len(emails) == 450
    assert emails == sorted(emails)


def test_ids_and_their_limit(zoho: Zoho):
    ids = zoho.ids("Leads")
    got = zoho.get(LEADS, {"fields": "id", "ids": ",".join(ids[:100])}).json()["data"]
    assert sorted(record["id"] for record in got) == ids[:100]
    answer = zoho.get(LEADS, {"fields": "id", "ids": ",".join(ids[:101])})
    assert answer.json() == flat("LIMIT_EXCEEDED", "limit exceeded", {"limit": 100, "param_name": "ids"})
    zoho.simulator.options.ids_limit = 50
    assert zoho.get(LEADS, {"fields": "id", "ids": ",".join(ids[:51])}).status_code == 400


def test_converted_and_approved(zoho: Zoho):
    def count(**params: str) -> int:
        pages = walk_tokens(zoho, LEADS, fields="id", **params)
        return sum(page["info"]["count"] for page in pages)

    assert count() == 450
    assert count(converted="true") == 5
    assert count(converted="both") == 455
    assert count(approved="false") == 3
    assert count(approved="both", converted="both") == 458


def test_custom_view(zoho: Zoho):
    views = zoho.get("/crm/v8/settings/custom_views", {"module": "Leads"}).json()["custom_views"]
    mine = walk_tokens(zoho, LEADS, fields="Owner", cvid=views[1]["id"], per_page=50)
    got = sorted(record["id"] for page in mine for record in page["data"])
    wanted = [r["id"] for r in zoho.simulator.table("Leads") if r["Owner"]["name"] == "Patricia Boyle"]
    assert got == wanted
    assert 0 < len(got) < 450
    both = zoho.get(LEADS, {"fields": "id", "cvid": views[1]["id"], "sort_by": "id"})
    assert both.json()["code"] == "AMBIGUITY_DURING_PROCESSING"


def test_territories_split_a_module(zoho: Zoho):
    from airflow_provider_zohocrm.simulator.records import TERRITORIES

    parts = [
        {r["id"] for r in zoho.get("/crm/v8/Contacts", {"fields": "id", "territory_id": t}).json()["data"]}
        for t in TERRITORIES
    ]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 120
    children = {"fields": "id", "territory_id": TERRITORIES[0], "include_child": "true"}
    assert len(zoho.get("/crm/v8/Contacts", children).json()["data"]) == 120


def test_if_modified_since_is_inclusive(zoho: Zoho):
    newest = max(record["Modified_Time"] for record in zoho.simulator.table("Leads"))
    wanted = sorted(r["id"] for r in zoho.simulator.table("Leads") if r["Modified_Time"] >= newest)
    got = zoho.get(LEADS, {"fields": "Modified_Time"}, headers={"If-Modified-Since": newest})
    assert sorted(record["id"] for record in got.json()["data"]) == wanted
    none = zoho.get(LEADS, {"fields": "id"}, headers={"If-Modified-Since": "2030-01-01T00:00:00+00:00"})
    assert (none.status_code, none.content) == (304, b"")
    bad = zoho.get(LEADS, {"fields": "id"}, headers={"If-Modified-Since": "2023-01-01T00:00:00.000+00:00"})
    assert (bad.status_code, bad.json()["code"]) == (400, "INVALID_DATA")


def test_nothing_is_204(zoho: Zoho):
    zoho.simulator.seed({"Leads": 0})
    for version in ("v2", "v8"):
        answer = zoho.get(f"/crm/{version}/Leads", {"fields": "id"})
        assert (answer.status_code, answer.content) == (204, b"")
        assert "Content-Type" not in answer.headers


@pytest.mark.parametrize("version", ["v2", "v8"])
def test_unknown_module(zoho: Zoho, version: str):
    answer = zoho.get(f"/crm/{version}/Nothing", {"fields": "id"})
    message = "the module name given seems to be invalid"
    assert (answer.status_code, answer.json()) == (
        400,
        flat("INVALID_MODULE", message, {"resource_path_index": 0}),
    )


def test_one_record_has_its_subforms(zoho: Zoho):
    for truth in list(zoho.simulator.table("Leads"))[:3]:
        record = zoho.get(f"{LEADS}/{truth['id']}").json()["data"][0]
        assert {name: record[name] for name in truth} == truth
        assert "info" not in zoho.get(f"{LEADS}/{truth['id']}").json()
    listed = zoho.get(LEADS, {"fields": "Positions,Last_Name"}).json()["data"][0]
    assert "Positions" not in listed


def test_one_record_unknown_and_malformed(zoho: Zoho):
    unknown = zoho.get(f"{LEADS}/3652397001999999999")
    assert (unknown.status_code, unknown.content) == (204, b"")
    malformed = zoho.get(f"{LEADS}/12x")
    assert (malformed.status_code, malformed.json()["code"]) == (400, "INVALID_DATA")
    assert malformed.json()["message"] == "the id given seems to be invalid"


def test_deleted_records(zoho: Zoho):
    body = zoho.get(f"{LEADS}/deleted").json()
    assert body["info"] == {"per_page": 200, "count": 12, "page": 1, "more_records": False}
    recycled = [item for item in body["data"] if item["type"] == "recycle"]
    gone = [item for item in body["data"] if item["type"] == "permanent"]
    assert (len(recycled), len(gone)) == (8, 4)
    keys = {"deleted_by", "id", "display_name", "type", "created_by", "deleted_time"}
    assert all(set(item) == keys for item in body["data"])
    assert all(item["deleted_by"]["name"] and item["display_name"] for item in recycled)
    assert all((i["deleted_by"], i["display_name"], i["created_by"]) == (None, None, None) for i in gone)
    assert not {item["id"] for item in body["data"]} & set(zoho.ids("Leads"))
    assert zoho.get(f"{LEADS}/deleted", {"type": "recycle"}).json()["data"] == recycled
    assert zoho.get(f"{LEADS}/deleted", {"type": "permanent"}).json()["data"] == gone
    pages = [zoho.get(f"{LEADS}/deleted", {"per_page": 5, "page": n}).json() for n in (1, 2, 3)]
    assert [item for page in pages for item in page["data"]] == body["data"]
    assert [page["info"]["more_records"] for page in pages] == [True, True, False]
    since = body["data"][3]["deleted_time"]
    later = zoho.get(f"{LEADS}/deleted", headers={"If-Modified-Since": since}).json()["data"]
    assert later == [item for item in body["data"] if item["deleted_time"] >= since]
    zoho.simulator.seed({"Leads": 0})
    assert zoho.get(f"{LEADS}/deleted").status_code == 204


@pytest.mark.parametrize(
    ("module", "relation", "lookup"),
    [
        ("Accounts", "Contacts", "Account_Name"),
        ("Contacts", "Deals", "Contact_Name"),
        ("Leads", "Notes", "Parent_Id"),
    ],
)
def test_related_records_by_lookup(zoho: Zoho, module: str, relation: str, lookup: str):
    children = list(zoho.simulator.table(relation))
    parent = next(
        c[lookup]["id"] for c in children if c[lookup] and zoho.simulator.record(module, c[lookup]["id"])
    )
    wanted = sorted(c["id"] for c in children if c[lookup] and c[lookup]["id"] == parent)
    body = zoho.get(f"/crm/v8/{module}/{parent}/{relation}", {"fields": f"id,{lookup}"}).json()
    assert sorted(record["id"] for record in body["data"]) == wanted
    assert {record[lookup]["id"] for record in body["data"]} == {parent}
    assert body["info"]["next_page_token"] is None


def test_related_records_of_a_link_table(zoho: Zoho):
    lead = zoho.ids("Leads")[3]
    body = zoho.get(f"{LEADS}/{lead}/Campaigns", {"fields": "Campaign_Name"}).json()
    assert len(body["data"]) == 4
    assert set(body["data"][0]["$member_info"]) == {"Modified_Time", "Created_Time", "id"}


def test_related_records_errors(zoho: Zoho):
    lead = zoho.ids("Leads")[0]
    unknown_id = zoho.get(f"{LEADS}/3652397001999999999/Notes", {"fields": "id"})
    message = "The related id given seems to be invalid"
    assert unknown_id.json() == flat("INVALID_DATA", message, {"resource_path_index": 1})
    unknown_list = zoho.get(f"{LEADS}/{lead}/Nothing", {"fields": "id"})
    message = "The relation name given seems to be invalid"
    assert unknown_list.json() == flat("INVALID_DATA", message, {"resource_path_index": 2})
    assert zoho.get(f"{LEADS}/{lead}/Notes").json()["code"] == "REQUIRED_PARAM_MISSING"


def test_related_records_of_a_deleted_parent(zoho: Zoho):
    parent = zoho.get("/crm/v8/Accounts/deleted").json()["data"][0]
    assert parent["type"] == "recycle"
    body = zoho.get(
        f"/crm/v8/Accounts/deleted/{parent['id']}/Contacts", {"fields": "Last_Name,Account_Name"}
    ).json()
    wanted = [
        c["id"]
        for c in zoho.simulator.table("Contacts")
        if (c["Account_Name"] or {}).get("id") == parent["id"]
    ]
    assert sorted(record["id"] for record in body["data"]) == wanted
    assert body["info"] == {
        "per_page": 200, "next_page_token": None, "count": len(wanted), "page": 1, "previous_page_token": None,
        "page_token_expiry": None, "more_records": False,
    }  # fmt: skip


def test_every_deleted_parent_has_related_records(zoho: Zoho):
    for module, relation in (("Accounts", "Contacts"), ("Leads", "Campaigns")):
        for parent in zoho.get(f"/crm/v8/{module}/deleted", {"type": "recycle"}).json()["data"]:
            answer = zoho.get(f"/crm/v8/{module}/deleted/{parent['id']}/{relation}", {"fields": "Owner"})
            assert answer.json()["info"]["count"] > 0


def test_related_records_of_a_parent_that_is_not_in_the_bin(zoho: Zoho):
    live = zoho.ids("Accounts")[0]
    purged = zoho.get("/crm/v8/Accounts/deleted", {"type": "permanent"}).json()["data"][0]["id"]
    for parent in (live, purged):
        answer = zoho.get(f"/crm/v8/Accounts/deleted/{parent}/Contacts", {"fields": "id"})
        message = "Given ID of the record seems to be invalid"
        assert (answer.status_code, answer.json()) == (
            400,
            flat("INVALID_DATA", message, {"resource_path_index": 2}),
        )
    old = zoho.get(f"/crm/v7/Accounts/deleted/{live}/Contacts", {"fields": "id"})
    assert (old.status_code, old.json()["code"]) == (404, "API_NOT_SUPPORTED")
    assert old.json()["details"] == {"supported_version": "v8"}


@pytest.mark.parametrize(("kind", "count"), [("int", 450), ("str", "450")])
def test_count(zoho: Zoho, kind: str, count: Any):
    zoho.simulator.options.count_as = kind
    assert zoho.get(f"{LEADS}/actions/count").json() == {"count": count}


def test_count_with_conditions(zoho: Zoho):
    wanted = sum(1 for r in zoho.simulator.table("Leads") if r["Lead_Status"] == "Contacted")
    answer = zoho.get(f"{LEADS}/actions/count", {"criteria": "(Lead_Status:equals:Contacted)"})
    assert answer.json() == {"count": wanted}
    both = zoho.get(f"{LEADS}/actions/count", {"cvid": "1", "word": "x"})
    message = "Please use either Cvid or Search Params. Combination of both the params is not allowed"
    details = {"ambiguity_due_to": [{"param_name": "cvid"}, {"param_name": "word"}]}
    assert (both.status_code, both.json()) == (400, flat("AMBIGUITY_DURING_PROCESSING", message, details))


def test_search(zoho: Zoho):
    table = list(zoho.simulator.table("Leads"))
    one = table[2]
    assert [r["id"] for r in zoho.get(f"{LEADS}/search", {"email": one["Email"]}).json()["data"]] == [
        one["id"]
    ]
    criteria = "((Industry:equals:ERP)or(Industry:starts_with:Large))and(No_of_Employees:greater_than:11)"
    wanted = {
        r["id"]
        for r in table
        if (r["Industry"] or "") in {"ERP", "Large Enterprise"} and (r["No_of_Employees"] or 0) > 11
    }
    assert {r["id"] for r in zoho.get(f"{LEADS}/search", {"criteria": criteria}).json()["data"]} == wanted
    in_two = zoho.get(f"{LEADS}/search", {"criteria": f"(id:in:{table[0]['id']},{table[1]['id']})"})
    assert in_two.json()["info"]["count"] == 2
    assert zoho.get(f"{LEADS}/search", {"word": "no such word"}).status_code == 204


def test_search_errors(zoho: Zoho):
    assert zoho.get(f"{LEADS}/search").json()["code"] == "EXPECTED_PARAM_MISSING"
    assert zoho.get(f"{LEADS}/search", {"word": "a", "page": 11}).json()["code"] == "LIMIT_REACHED"
    eleven = "and".join(["(Last_Name:equals:x)"] * 11)
    assert zoho.get(f"{LEADS}/search", {"criteria": eleven}).json()["code"] == "LIMIT_EXCEEDED"
    zoho.simulator.options.search_criteria_limit = 15
    assert zoho.get(f"{LEADS}/search", {"criteria": eleven}).status_code == 204


def test_ids_are_beyond_what_a_float_holds(zoho: Zoho):
    ids = zoho.ids("Leads")
    assert {len(text) for text in ids} == {19}
    assert all(int(text) > 2**53 for text in ids)
    assert len({float(text) for text in ids}) < len(ids)


def test_nasty_values(zoho: Zoho):
    texts = [
        str(v) for record in zoho.simulator.table("Leads") for v in record.values() if isinstance(v, str)
    ]
    for piece in ('"', ",", "\n", "\r\n", ";", "\u5f20"):
        assert any(piece in text for text in texts), piece
    assert any(text.startswith("=") for text in texts)
    forms = {unicodedata.is_normalized("NFC", text) for text in texts}
    assert forms == {True, False}
    cities = {record["City"] for record in zoho.simulator.table("Leads")}
    assert None in cities
    assert {"", None} <= {record["State"] for record in zoho.simulator.table("Leads")}


def test_same_seed_number_same_records(zoho: Zoho):
    from airflow_provider_zohocrm.simulator.server import Simulator

    first = list(zoho.simulator.table("Leads"))[:50]
    for number, same in ((1, True), (2, False)):
        other = Simulator({"Leads": 50}, seed_number=number)
        assert (list(other.table("Leads")) == first) is same
        other.close()


def test_offset_of_the_user(zoho: Zoho):
    zoho.simulator.configure(utc_offset="-08:00")
    assert zoho.get(LEADS, {"fields": "Created_Time"}).json()["data"][0]["Created_Time"].endswith("-08:00")
