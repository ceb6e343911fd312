from __future__ import annotations

from typing import Any

import pytest

from simulator.wire import Zoho, flat

LEADS = "/crm/v8/Leads"
GOOD = {"Last_Name": "Good", "Company": "Zylker"}
NO_COMPANY = {"Last_Name": "Bad"}
USER = {"name": "Patricia Boyle", "id": "3652397000000225013"}


def upsert(zoho: Zoho, *records: dict[str, Any], version: str = "v8", **more: Any) -> Any:
    return zoho.post(f"/crm/{version}/Leads/upsert", {"data": list(records), **more})


def test_upsert_updates_and_inserts_in_order(zoho: Zoho):
    known = next(r for r in zoho.simulator.table("Leads") if r["Email"])
    answer = upsert(zoho, {**GOOD, "Email": known["Email"].upper()}, {**GOOD, "Email": "new@example.com"})
    assert answer.status_code == 200
    updated, inserted = answer.json()["data"]
    now = updated["details"]["Modified_Time"]
    assert updated == {
        "code": "SUCCESS", "duplicate_field": "Email", "action": "update", "message": "record updated", "status": "success",
        "details": {
            "Modified_Time": now, "Modified_By": USER, "Created_Time": known["Created_Time"], "id": known["id"],
            "Created_By": {"name": known["Created_By"]["name"], "id": known["Created_By"]["id"]},
        },
    }  # fmt: skip
    assert inserted == {
        "code": "SUCCESS", "duplicate_field": None, "action": "insert", "message": "record added", "status": "success",
        "details": {
            "Modified_Time": now, "Modified_By": USER, "Created_Time": now, "id": inserted["details"]["id"],
            "Created_By": USER,
        },
    }  # fmt: skip
    assert len(inserted["details"]["id"]) == 19


def test_writes_show_in_reads_and_modified_time_moves(zoho: Zoho):
    before = next(r for r in zoho.simulator.table("Leads") if r["Email"])
    upsert(zoho, {**GOOD, "Email": before["Email"], "Score": 2.5})
    record = zoho.get(f"{LEADS}/{before['id']}").json()["data"][0]
    assert (record["Last_Name"], record["Score"]) == ("Good", 2.5)
    assert record["Modified_Time"] > before["Modified_Time"]
    changed = {"Last_Name", "Company", "Score", "Email", "Modified_Time", "Modified_By", "Full_Name"}
    assert {n: v for n, v in record.items() if n in before and n not in changed} == {
        n: v for n, v in before.items() if n not in changed
    }
    newest = zoho.get(LEADS, {"fields": "id", "sort_by": "Modified_Time", "per_page": 1}).json()["data"][0]
    assert newest["id"] == before["id"]


@pytest.mark.parametrize(
    ("given", "matched"),
    [
        (["External_Key"], "External_Key"),
        (["Customer_Number"], "Customer_Number"),
        (["External_Key", "Customer_Number"], "External_Key"),
        (["Email"], "Email"),
        (None, "Email"),
        ([], "Email"),
    ],
)
def test_order_of_the_duplicate_check(zoho: Zoho, given: list[str] | None, matched: str):
    """Three records that each match one field: which of them is found tells what was checked first (sheet §3.3)."""
    one, two, three = [r for r in zoho.simulator.table("Leads") if r["Email"]][:3]
    # The two unique values not used for the match would clash, and tell of which record they are.
    values = {
        "Email": one["Email"],
        "External_Key": two["External_Key"],
        "Customer_Number": three["Customer_Number"],
    }
    owner = {"Email": one["id"], "External_Key": two["id"], "Customer_Number": three["id"]}
    more = {} if given is None else {"duplicate_check_fields": given}
    probe = {**GOOD, **values}
    result = upsert(zoho, probe, **more).json()["data"][0]
    assert result["code"] == "DUPLICATE_DATA"
    clash = {
        "Email": {"External_Key", "Customer_Number"},
        "External_Key": {"Customer_Number"},
        "Customer_Number": {"External_Key"},
    }
    assert result["details"]["api_name"] in clash[matched]
    # Alone it is found.
    alone = upsert(zoho, {**GOOD, matched: values[matched]}, **more).json()["data"][0]
    assert (alone["duplicate_field"], alone["details"]["id"]) == (matched, owner[matched])


def test_system_field_not_named_is_ignored_and_unique_fields_always_checked(zoho: Zoho):
    one, two = [r for r in zoho.simulator.table("Leads") if r["Email"]][:2]
    ignored = upsert(zoho, {**GOOD, "Email": one["Email"]}, duplicate_check_fields=["External_Key"]).json()[
        "data"
    ][0]
    assert ignored["action"] == "insert"
    always = upsert(zoho, {**GOOD, "External_Key": two["External_Key"]}, duplicate_check_fields=["Email"])
    assert always.json()["data"][0]["duplicate_field"] == "External_Key"


def test_duplicates_within_one_call(zoho: Zoho):
    first, second = upsert(
        zoho, {**GOOD, "Email": "twice@example.com"}, {**GOOD, "Email": "twice@example.com"}
    ).json()["data"]
    assert [first["action"], second["action"]] == ["insert", "update"]
    assert first["details"]["id"] == second["details"]["id"]


@pytest.mark.parametrize(
    ("version", "good", "mixed", "bad"),
    [("v2", 200, 202, 202), ("v2.1", 200, 207, 400), ("v3", 200, 207, 400), ("v8", 200, 207, 400)],
)
def test_statuses(zoho: Zoho, version: str, good: int, mixed: int, bad: int):
    assert upsert(zoho, GOOD, version=version).status_code == good
    answer = upsert(zoho, GOOD, NO_COMPANY, GOOD, version=version)
    assert answer.status_code == mixed
    assert [element["status"] for element in answer.json()["data"]] == ["success", "error", "success"]
    assert upsert(zoho, NO_COMPANY, version=version).status_code == bad
    path = f"/crm/{version}/Leads"
    assert zoho.post(path, {"data": [GOOD]}).status_code == 201
    assert zoho.put(path, {"data": [{"id": zoho.ids("Leads")[0], "Score": 1}]}).status_code == 200


def test_statuses_that_sources_differ_on(zoho: Zoho):
    zoho.simulator.options.upsert_insert_status = 201
    zoho.simulator.options.v2_mixed_status = 200
    assert upsert(zoho, GOOD).status_code == 201
    assert upsert(zoho, GOOD, NO_COMPANY, version="v2").status_code == 200


ELEMENTS = [
    (NO_COMPANY, flat("MANDATORY_NOT_FOUND", "required field not found", {"api_name": "Company"})),
    ({**GOOD, "Company": 5}, flat("INVALID_DATA", "invalid data", {"expected_data_type": "text", "api_name": "Company"})),
    ({**GOOD, "Email": "no"}, flat("INVALID_DATA", "invalid data", {"expected_data_type": "email", "api_name": "Email"})),
    ({**GOOD, "No_of_Employees": "5"}, flat("INVALID_DATA", "invalid data", {"expected_data_type": "integer", "api_name": "No_of_Employees"})),
    ({**GOOD, "Annual_Revenue": "x"}, flat("INVALID_DATA", "invalid data", {"expected_data_type": "currency", "api_name": "Annual_Revenue"})),
    ({**GOOD, "Email_Opt_Out": "yes"}, flat("INVALID_DATA", "invalid data", {"expected_data_type": "boolean", "api_name": "Email_Opt_Out"})),
    ({**GOOD, "Birthday": "2024-02-30"}, flat("INVALID_DATA", "invalid data", {"expected_data_type": "date", "api_name": "Birthday"})),
    ({**GOOD, "Next_Call": "2024-02-03T10:00:00.000+00:00"}, flat("INVALID_DATA", "invalid data", {"expected_data_type": "datetime", "api_name": "Next_Call"})),
    ({**GOOD, "Ledger_Number": "1" * 20}, flat("INVALID_DATA", "invalid data", {"expected_data_type": "bigint", "api_name": "Ledger_Number"})),
    ({**GOOD, "Languages": "English"}, flat("INVALID_DATA", "invalid data", {"expected_data_type": "multiselectpicklist", "api_name": "Languages"})),
    ({**GOOD, "First_Name": "x" * 41}, flat("INVALID_DATA", "invalid data", {"maximum_length": 40, "api_name": "First_Name"})),
]  # fmt: skip


@pytest.mark.parametrize(
    ("record", "error"), ELEMENTS, ids=[str(e["details"]["api_name"]) for _, e in ELEMENTS]
)
def test_errors_of_a_record(zoho: Zoho, record: dict[str, Any], error: dict[str, Any]):
    name = error["details"]["api_name"]
    answer = upsert(zoho, GOOD, record).json()["data"][1]
    assert answer == {**error, "details": {**error["details"], "json_path": f"$.data[1].{name}"}}
    # v2 does not tell the place.
    assert upsert(zoho, record, version="v2").json()["data"][0] == error


def test_unknown_lookup_and_owner(zoho: Zoho):
    for name in ("Partner", "Owner"):
        element = upsert(zoho, {**GOOD, name: {"id": "3652397003999999999"}}).json()["data"][0]
        details = {"api_name": name, "json_path": f"$.data[0].{name}.id"}
        assert element == flat("INVALID_DATA", "the id given seems to be invalid", details)


def test_lookup_is_written_and_shown_with_its_name(zoho: Zoho):
    account = next(iter(zoho.simulator.table("Accounts")))
    written = upsert(zoho, {**GOOD, "Partner": {"id": account["id"]}}).json()["data"][0]["details"]["id"]
    record = zoho.get(f"{LEADS}/{written}").json()["data"][0]
    assert record["Partner"] == {"name": account["Account_Name"], "id": account["id"]}


def test_duplicate_of_a_unique_field_on_insert(zoho: Zoho):
    known = next(iter(zoho.simulator.table("Leads")))
    element = zoho.post(LEADS, {"data": [{**GOOD, "External_Key": known["External_Key"]}]}).json()["data"][0]
    assert (element["code"], element["message"]) == ("DUPLICATE_DATA", "duplicate data")
    details = element["details"]
    assert details["api_name"] == "External_Key"
    assert details["id"] == details["duplicate_record"]["id"] == known["id"]
    assert details["json_path"] == "$.data[0].External_Key"
    assert details["more_records"] is False


def test_duplicate_of_a_record_without_an_owner(zoho: Zoho):
    known = next(iter(zoho.simulator.table("Leads")))
    zoho.put(LEADS, {"data": [{"id": known["id"], "Owner": None}]})
    element = zoho.post(LEADS, {"data": [{**GOOD, "External_Key": known["External_Key"]}]}).json()["data"][0]
    assert element["details"]["duplicate_record"]["Owner"]["id"] is None


def test_several_errors_of_a_record(zoho: Zoho):
    zoho.simulator.options.multi_errors = True
    element = upsert(zoho, {"Email": "no"}).json()["data"][0]
    assert (element["code"], element["message"]) == (
        "MULTIPLE_OR_MULTI_ERRORS",
        "Multiple errors in the request",
    )
    assert [e["details"]["api_name"] for e in element["details"]["errors"]] == [
        "Company",
        "Last_Name",
        "Email",
    ]


@pytest.mark.parametrize("code", ["INVALID_DATA", "LIMIT_EXCEEDED"])
def test_more_than_a_hundred_records(zoho: Zoho, code: str):
    zoho.simulator.options.too_many_records_code = code
    answer = upsert(zoho, *[GOOD] * 101)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert zoho.simulator.writes == []


def test_requests_that_are_bad_as_a_whole(zoho: Zoho):
    assert zoho.post("/crm/v8/Nothing/upsert", {"data": [GOOD]}).json()["code"] == "INVALID_MODULE"
    assert zoho.call("POST", f"{LEADS}/upsert", data="{").status_code == 400
    assert zoho.post(f"{LEADS}/upsert", {}).json()["code"] == "MANDATORY_NOT_FOUND"
    bad_check = upsert(zoho, GOOD, duplicate_check_fields=["City"])
    assert (bad_check.status_code, bad_check.json()["details"]["api_name"]) == (400, "duplicate_check_fields")
    assert zoho.post("/crm/v8/Tasks/upsert", {"data": [{"Subject": "x"}]}).json()["code"] == "NOT_SUPPORTED"


def test_triggers_are_recorded(zoho: Zoho):
    upsert(zoho, GOOD)
    upsert(zoho, GOOD, trigger=[])
    upsert(zoho, GOOD, trigger=["workflow"], skip_feature_execution=[{"name": "cadences"}])
    assert [write["trigger"] for write in zoho.simulator.writes] == ["all", [], ["workflow"]]
    assert zoho.simulator.writes[2]["skip_feature_execution"] == [{"name": "cadences"}]
    assert upsert(zoho, GOOD, trigger=["nothing"]).status_code == 400


def test_insert(zoho: Zoho):
    answer = zoho.post(LEADS, {"data": [GOOD, NO_COMPANY]})
    assert answer.status_code == 207
    element = answer.json()["data"][0]
    assert set(element) == {"code", "details", "message", "status"}
    assert element["details"]["$approval_state"] == "approved"
    assert zoho.get(f"{LEADS}/actions/count").json() == {"count": 451}


def test_update_bulk_and_single(zoho: Zoho):
    one, two = zoho.ids("Leads")[:2]
    answer = zoho.put(
        LEADS, {"data": [{"id": one, "City": "A"}, {"id": two, "City": "B"}, {"City": "C"}, {"id": "7"}]}
    )
    assert answer.status_code == 207
    codes = [(element["code"], element["message"]) for element in answer.json()["data"]]
    assert codes == [
        ("SUCCESS", "record updated"),
        ("SUCCESS", "record updated"),
        ("MANDATORY_NOT_FOUND", "required field not found"),
        ("INVALID_DATA", "the id given seems to be invalid"),
    ]
    assert zoho.put(f"{LEADS}/{one}", {"data": [{"City": "D"}]}).status_code == 200
    assert [zoho.simulator.record("Leads", i)["City"] for i in (one, two)] == ["D", "B"]


def test_append_values(zoho: Zoho):
    lead = next(r for r in zoho.simulator.table("Leads") if r["Languages"] == ["English"])
    zoho.put(
        f"{LEADS}/{lead['id']}", {"data": [{"Languages": ["Deutsch"], "$append_values": {"Languages": True}}]}
    )
    assert zoho.simulator.record("Leads", lead["id"])["Languages"] == ["English", "Deutsch"]


def test_if_unmodified_since(zoho: Zoho):
    lead = next(iter(zoho.simulator.table("Leads")))
    body = {"data": [{"City": "X"}]}
    late = zoho.put(
        f"{LEADS}/{lead['id']}", body, headers={"If-Unmodified-Since": "2020-01-01T00:00:00+00:00"}
    )
    assert late.status_code == 412
    element = late.json()["data"][0]
    assert element["code"] == "ALREADY_MODIFIED"
    assert element["message"] == "record updated time has already passed if-unmodified-since time"
    assert element["details"]["Modified_Time"] == lead["Modified_Time"]
    same = zoho.put(f"{LEADS}/{lead['id']}", body, headers={"If-Unmodified-Since": lead["Modified_Time"]})
    assert same.status_code == 200


def test_delete(zoho: Zoho):
    one, two, three = zoho.ids("Leads")[:3]
    answer = zoho.delete(LEADS, {"ids": f"{one},{two}", "wf_trigger": "false"})
    assert answer.status_code == 200
    assert answer.json()["data"] == [
        {"code": "SUCCESS", "details": {"id": i}, "message": "record deleted", "status": "success"}
        for i in (one, two)
    ]
    mixed = zoho.delete(LEADS, {"ids": f"{one},{three}"})
    assert mixed.status_code == 207
    assert mixed.json()["data"][0] == {
        "status": "error", "code": "INVALID_DATA", "message": "record not deleted", "details": {"id": one},
    }  # fmt: skip
    assert zoho.delete(f"{LEADS}/{one}").status_code == 400
    deleted = [item["id"] for item in zoho.get(f"{LEADS}/deleted", {"type": "recycle"}).json()["data"][:3]]
    assert sorted(deleted) == [one, two, three]
    assert zoho.get(f"{LEADS}/{one}").status_code == 204
    missing = zoho.delete(LEADS)
    message = "One of the expected parameter is missing"
    assert missing.json() == flat("REQUIRED_PARAM_MISSING", message, {"param_name": "ids"})
    assert [write["trigger"] for write in zoho.simulator.writes] == [[], "all", "all"]


def test_upsert_after_delete_inserts(zoho: Zoho):
    lead = next(r for r in zoho.simulator.table("Leads") if r["Email"])
    zoho.delete(f"{LEADS}/{lead['id']}")
    again = upsert(zoho, {**GOOD, "Email": lead["Email"]}).json()["data"][0]
    assert again["action"] == "insert"
