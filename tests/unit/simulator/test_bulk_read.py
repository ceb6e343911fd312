from __future__ import annotations

import csv
import io
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from simulator.wire import Zoho, flat

READ = "/crm/bulk/v8/read"
LEADS: dict[str, Any] = {"module": {"api_name": "Leads"}}
USER = {"id": "3652397000000225013", "name": "Patricia Boyle"}


def create(zoho: Zoho, query: dict[str, Any] | None = None, *, version: str = "v8", **more: Any) -> str:
    answer = zoho.post(f"/crm/bulk/{version}/read", {"query": query or LEADS, **more})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["data"][0]["details"]["id"])


def poll(zoho: Zoho, job: str, version: str = "v8") -> dict[str, Any]:
    return dict(zoho.get(f"/crm/bulk/{version}/read/{job}").json()["data"][0])


def finish(zoho: Zoho, job: str) -> dict[str, Any]:
    for _ in range(50):
        status = poll(zoho, job)
        if status["state"] in {"COMPLETED", "FAILURE"}:
            return status
    raise AssertionError("the job did not end")


def rows_of(zoho: Zoho, job: str) -> list[dict[str, str]]:
    content = zoho.get(f"{READ}/{job}/result").content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.namelist() == [f"{job}.csv"]
        text = io.TextIOWrapper(archive.open(f"{job}.csv"), "utf-8", newline="")
        return list(csv.DictReader(text))


def export(zoho: Zoho, query: dict[str, Any]) -> list[dict[str, str]]:
    job = create(zoho, query)
    finish(zoho, job)
    return rows_of(zoho, job)


def error(zoho: Zoho, body: Any, version: str = "v8") -> dict[str, Any]:
    answer = zoho.post(f"/crm/bulk/{version}/read", body)
    assert answer.status_code == 400, answer.text
    return dict(answer.json())


def test_create(zoho: Zoho):
    answer = zoho.post(READ, {"query": LEADS})
    element = answer.json()["data"][0]
    details = element.pop("details")
    assert answer.status_code == 201
    assert answer.json()["info"] == {}
    assert element == {"status": "success", "code": "ADDED_SUCCESSFULLY", "message": "Added successfully."}
    assert set(details) == {"id", "operation", "state", "created_by", "created_time"}
    assert (details["operation"], details["state"], details["created_by"]) == ("read", "ADDED", USER)


def test_states_by_polls_and_completed_status(zoho: Zoho):
    job = create(zoho, {**LEADS, "fields": ["Last_Name"]})
    one, two, three, four = (poll(zoho, job) for _ in range(4))
    assert [s["state"] for s in (one, two, three, four)] == [
        "QUEUED",
        "IN PROGRESS",
        "COMPLETED",
        "COMPLETED",
    ]
    assert "result" not in one
    assert three == {
        "id": job, "operation": "read", "state": "COMPLETED",
        "result": {
            "page": 1, "per_page": 200_000, "count": 450, "download_url": f"{READ}/{job}/result", "more_records": False,
        },
        "query": {"module": {"id": three["query"]["module"]["id"], "api_name": "Leads"}, "fields": ["Last_Name"], "page": 1},
        "created_by": USER, "created_time": three["created_time"], "file_type": "csv",
    }  # fmt: skip


def test_states_by_the_clock(zoho: Zoho):
    zoho.simulator.options.job_seconds = 60
    job = create(zoho)
    assert [poll(zoho, job)["state"] for _ in range(5)] == ["IN PROGRESS"] * 5
    zoho.simulator.advance(61)
    assert poll(zoho, job)["state"] == "COMPLETED"


def test_one_job_at_a_time(zoho: Zoho):
    first, second = create(zoho), create(zoho)
    assert poll(zoho, second)["state"] == "QUEUED"
    # Polling the second moves the first on: nobody has to ask for it.
    assert [poll(zoho, second)["state"] for _ in range(4)][-1] in {"IN PROGRESS", "QUEUED"}
    assert finish(zoho, second)["state"] == "COMPLETED"
    assert poll(zoho, first)["state"] == "COMPLETED"


def test_by_the_clock_jobs_follow_each_other_without_a_gap(zoho: Zoho):
    zoho.simulator.options.job_seconds = 60
    first, second, third = create(zoho), create(zoho), create(zoho)
    zoho.simulator.advance(61)
    assert [poll(zoho, job)["state"] for job in (third, second, first)] == [
        "QUEUED",
        "IN PROGRESS",
        "COMPLETED",
    ]
    # Nobody asks while the second ends and the third begins.
    zoho.simulator.advance(118)
    assert [poll(zoho, job)["state"] for job in (second, third)] == ["COMPLETED", "IN PROGRESS"]
    zoho.simulator.advance(2)
    assert poll(zoho, third)["state"] == "COMPLETED"
    late = create(zoho)
    zoho.simulator.advance(58)
    assert poll(zoho, late)["state"] == "IN PROGRESS"
    zoho.simulator.advance(3)
    assert poll(zoho, late)["state"] == "COMPLETED"


def test_switches_of_the_job_machine(zoho: Zoho):
    options = zoho.simulator.options
    options.queued_state = False
    options.early_result = True
    options.job_unknown_state = "PAUSED"
    options.job_polls = 4
    statuses = [poll(zoho, job) for job in [create(zoho)] for _ in range(4)]
    assert [status["state"] for status in statuses] == ["ADDED", "PAUSED", "IN PROGRESS", "COMPLETED"]
    assert all("result" in status for status in statuses)


def test_failure(zoho: Zoho):
    zoho.simulator.options.job_failure = "INTERNAL_ERROR"
    job = create(zoho)
    status = finish(zoho, job)
    assert status["state"] == "FAILURE"
    assert set(status["result"]["error_message"]) == {"message", "details", "status", "code"}
    assert status["result"]["error_message"]["code"] == "INTERNAL_ERROR"
    assert zoho.get(f"{READ}/{job}/result").status_code == 404


def test_stuck_job(zoho: Zoho):
    zoho.simulator.options.job_stuck = True
    job = create(zoho)
    assert [poll(zoho, job)["state"] for _ in range(6)][-1] == "IN PROGRESS"


@pytest.mark.parametrize("header", ["Id", "id"])
def test_csv_holds_what_the_simulator_holds(zoho: Zoho, header: str):
    zoho.simulator.options.id_header = header
    fields = [
        "Last_Name",
        "Company",
        "Description",
        "Email_Opt_Out",
        "Languages",
        "Partner",
        "Owner",
        "Score",
        "Ledger_Number",
    ]
    rows = export(zoho, {**LEADS, "fields": fields})
    truth = list(zoho.simulator.table("Leads"))
    assert list(rows[0]) == [header, *fields]
    assert [row[header] for row in rows] == [record["id"] for record in truth]
    for row, record in zip(rows, truth, strict=True):
        for name in ("Last_Name", "Company", "Description", "Ledger_Number"):
            assert row[name] == (record[name] or "")
        assert row["Email_Opt_Out"] == ("true" if record["Email_Opt_Out"] else "false")
        assert row["Languages"] == ";".join(record["Languages"])
        assert row["Owner"] == record["Owner"]["id"]
        assert row["Partner"] == (record["Partner"]["id"] if record["Partner"] else "")
        assert row["Score"] == ("" if record["Score"] is None else str(record["Score"]))


def test_all_fields_without_subforms(zoho: Zoho):
    fields = zoho.get("/crm/v8/settings/fields", {"module": "Leads"}).json()["fields"]
    names = {f["api_name"] for f in fields if f["data_type"] != "subform"} - {"id"}
    assert set(export(zoho, LEADS)[0]) == names | {"Id"}
    assert set(export(zoho, {**LEADS, "fields": [f"F{n}" for n in range(201)]})[0]) == names | {"Id"}


def test_dot_paths(zoho: Zoho):
    rows = export(zoho, {**LEADS, "fields": ["Owner.last_name", "Partner.Phone", "Partner.Owner.email"]})
    accounts = {record["id"]: record for record in zoho.simulator.table("Accounts")}
    for row, record in zip(rows, zoho.simulator.table("Leads"), strict=True):
        assert record["Owner"]["name"].endswith(row["Owner.last_name"])
        account = accounts.get((record["Partner"] or {}).get("id"))
        if account is not None:
            assert row["Partner.Phone"] == (account["Phone"] or "")
            assert row["Partner.Owner.email"] == account["Owner"]["email"]


def test_pages_by_number_and_by_token(zoho: Zoho):
    zoho.simulator.options.bulk_page_size = 200
    ids = zoho.ids("Leads")
    by_number = []
    for page in (1, 2, 3, 4):
        job = create(zoho, {**LEADS, "fields": ["Email"], "page": page})
        result = finish(zoho, job)["result"]
        assert (result["page"], result["per_page"], result["more_records"]) == (page, 200, page < 3)
        assert ("next_page_token" in result) == (page < 3)
        by_number.append([row["Id"] for row in rows_of(zoho, job)])
    assert [len(part) for part in by_number] == [200, 200, 50, 0]
    assert [i for part in by_number for i in part] == ids
    job = create(zoho, {**LEADS, "fields": ["Email"]})
    result = finish(zoho, job)["result"]
    by_token = [rows_of(zoho, job)]
    while result["more_records"]:
        job = create(zoho, {"page_token": result["next_page_token"]})
        result = finish(zoho, job)["result"]
        by_token.append(rows_of(zoho, job))
    assert [row["Id"] for part in by_token for row in part] == ids
    assert set(by_token[2][0]) == {"Id", "Email"}


def test_page_tokens_expire_stand_alone_and_come_with_v6(zoho: Zoho):
    zoho.simulator.options.bulk_page_size = 200
    job = create(zoho, version="v5")
    assert "next_page_token" not in finish(zoho, job)["result"]
    token = finish(zoho, create(zoho))["result"]["next_page_token"]
    assert error(zoho, {"query": {**LEADS, "page_token": token}})["code"] == "QUERY_NOT_SUPPORTED"
    assert error(zoho, {"query": {"page_token": token}}, "v5")["code"] == "REQUEST_BODY_NOT_SUPPORTED"
    zoho.simulator.advance(86_401)
    zoho.login()
    assert error(zoho, {"query": {"page_token": token}})["code"] == "EXPIRED_VALUE"


def test_no_records(zoho: Zoho):
    query = {
        **LEADS,
        "fields": ["Email"],
        "criteria": {"field": {"api_name": "Email"}, "comparator": "equal", "value": "x@y.z"},
    }
    job = create(zoho, query)
    assert finish(zoho, job)["result"]["count"] == 0
    with zipfile.ZipFile(io.BytesIO(zoho.get(f"{READ}/{job}/result").content)) as archive:
        assert archive.read(f"{job}.csv") == b"Id,Email\r\n"
    zoho.simulator.options.empty_result = "blank"
    job = create(zoho, query)
    finish(zoho, job)
    with zipfile.ZipFile(io.BytesIO(zoho.get(f"{READ}/{job}/result").content)) as archive:
        assert archive.read(f"{job}.csv") == b""


def test_later_jobs_see_writes_and_a_result_does_not_change(zoho: Zoho):
    lead = zoho.ids("Leads")[0]
    job = create(zoho, {**LEADS, "fields": ["City"]})
    finish(zoho, job)
    zoho.put(f"/crm/v8/Leads/{lead}", {"data": [{"City": "Atlantis"}]})
    assert rows_of(zoho, job)[0]["City"] != "Atlantis"
    assert export(zoho, {**LEADS, "fields": ["City"]})[0]["City"] == "Atlantis"


@pytest.mark.parametrize(
    ("version", "query", "accepted"),
    [
        ("v2", {"module": "Leads"}, True),
        ("v2", LEADS, False),
        ("v2.1", LEADS, True),
        ("v2.1", {"module": "Leads"}, False),
        ("v8", {"module": "Leads"}, False),
        ("v2", {"module": "Leads", "criteria": {"api_name": "City", "comparator": "equal", "value": "x"}}, True),
        ("v2", {"module": "Leads", "criteria": {"field": {"api_name": "City"}, "comparator": "equal", "value": "x"}}, False),
        ("v8", {**LEADS, "criteria": {"api_name": "City", "comparator": "equal", "value": "x"}}, False),
    ],
)  # fmt: skip
def test_shape_of_the_version(zoho: Zoho, version: str, query: dict[str, Any], accepted: bool):
    answer = zoho.post(f"/crm/bulk/{version}/read", {"query": query})
    if accepted:
        job = answer.json()["data"][0]["details"]["id"]
        echoed = poll(zoho, job, version)["query"]["module"]
        assert echoed == ("Leads" if version == "v2" else {"id": echoed["id"], "api_name": "Leads"})
    else:
        assert answer.status_code == 400
        assert answer.json() == flat("REQUEST_BODY_NOT_SUPPORTED", "request body contains invalid format")


def test_download_url_names_the_version(zoho: Zoho):
    job = create(zoho, {"module": "Leads"}, version="v2")
    assert finish(zoho, job)["result"]["download_url"] == f"/crm/bulk/v2/read/{job}/result"


def test_media_type(zoho: Zoho):
    answer = zoho.call(
        "POST", READ, data=json.dumps({"query": LEADS}), headers={"Content-Type": "text/plain"}
    )
    assert answer.status_code == 415
    assert answer.json() == {
        "status": "error", "code": "MEDIA_TYPE_NOT_SUPPORTED", "message": "Media type is not supported.",
        "details": ["application/json"],
    }  # fmt: skip
    assert "X-ACCESSTOKEN-RESET" in answer.headers


def leaf(name: str, comparator: str, value: Any) -> dict[str, Any]:
    return {"field": {"api_name": name}, "comparator": comparator, "value": value}


SOME = "2023-01-01T10:00:00+05:30"
CRITERIA: list[tuple[dict[str, Any], Any]] = [
    (leaf("No_of_Employees", "equal", 12), lambda r: r["No_of_Employees"] == 12),
    (leaf("No_of_Employees", "not_equal", 12), lambda r: r["No_of_Employees"] != 12),
    (leaf("No_of_Employees", "in", [12, 250]), lambda r: r["No_of_Employees"] in (12, 250)),
    (leaf("No_of_Employees", "not_in", [12, 250]), lambda r: r["No_of_Employees"] not in (12, 250)),
    (leaf("Annual_Revenue", "less_than", 700), lambda r: (r["Annual_Revenue"] or 1e9) < 700 or r["Annual_Revenue"] == 0),
    (leaf("Annual_Revenue", "greater_equal", 700), lambda r: (r["Annual_Revenue"] or 0) >= 700),
    (leaf("Score", "equal", "${EMPTY}"), lambda r: r["Score"] is None),
    (leaf("Score", "not_equal", "${EMPTY}"), lambda r: r["Score"] is not None),
    (leaf("Ledger_Number", "equal", "9007199254740993"), lambda r: r["Ledger_Number"] == "9007199254740993"),
    (leaf("Company", "contains", "Sons"), lambda r: "Sons" in r["Company"]),
    (leaf("Company", "not_contains", "Sons"), lambda r: "Sons" not in r["Company"]),
    (leaf("Company", "starts_with", "Zyl"), lambda r: r["Company"].startswith("Zyl")),
    (leaf("Company", "ends_with", "Ltd."), lambda r: r["Company"].endswith("Ltd.")),
    (leaf("City", "equal", "${EMPTY}"), lambda r: not r["City"]),
    (leaf("Lead_Status", "in", ["Contacted", "Junk Lead"]), lambda r: r["Lead_Status"] in ("Contacted", "Junk Lead")),
    (leaf("Languages", "equal", "Deutsch"), lambda r: "Deutsch" in r["Languages"]),
    (leaf("Created_Time", "greater_than", SOME), lambda r: r["Created_Time"] > SOME),
    (leaf("Created_Time", "less_equal", "2023-01-01T04:30:00Z"), lambda r: r["Created_Time"] <= SOME),
    (leaf("Created_Time", "between", ["2023-01-01T06:00:00+05:30", SOME]), lambda r: "2023-01-01T06:00:00+05:30" <= r["Created_Time"] <= SOME),
    (leaf("Birthday", "not_between", ["1970-01-01", "2000-01-01"]), lambda r: not r["Birthday"] or not "1970-01-01" <= r["Birthday"] <= "2000-01-01"),
    (leaf("Email_Opt_Out", "equal", True), lambda r: r["Email_Opt_Out"] is True),
    (leaf("Owner", "in", ["3652397000000225014"]), lambda r: r["Owner"]["id"] == "3652397000000225014"),
    (leaf("Owner.last_name", "equal", "Kumar"), lambda r: r["Owner"]["name"].endswith("Kumar")),
    (leaf("Partner", "equal", "${EMPTY}"), lambda r: r["Partner"] is None),
    (
        {"group_operator": "or", "group": [leaf("Created_Time", "greater_than", SOME), leaf("Company", "equal", "Acme")]},
        lambda r: r["Created_Time"] > SOME or r["Company"] == "Acme",
    ),
    (
        {"group_operator": "and", "group": [
            leaf("Email_Opt_Out", "equal", False),
            {"group_operator": "or", "group": [leaf("Company", "equal", "Acme"), leaf("No_of_Employees", "less_than", 2)]},
        ]},
        lambda r: r["Email_Opt_Out"] is False
        and (r["Company"] == "Acme" or (r["No_of_Employees"] is not None and r["No_of_Employees"] < 2)),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("criteria", "holds"),
    CRITERIA,
    ids=[str(c.get("comparator", "group")) + str(n) for n, (c, _) in enumerate(CRITERIA)],
)
def test_comparators(zoho: Zoho, criteria: dict[str, Any], holds: Any):
    wanted = [record["id"] for record in zoho.simulator.table("Leads") if holds(record)]
    got = [row["Id"] for row in export(zoho, {**LEADS, "fields": ["Email"], "criteria": criteria})]
    assert got == wanted
    assert 0 < len(got) < 450


def group(operator: str, *members: Any) -> dict[str, Any]:
    return {"group_operator": operator, "group": list(members)}


GOOD = leaf("City", "equal", "x")
ERRORS: list[tuple[dict[str, Any], str, Any]] = [
    ({"module": {"api_name": "Nothing"}}, "MODULE_NOT_AVAILABLE", {"api_name": "Nothing"}),
    ({"module": {"api_name": "Notes"}}, "MODULE_NOT_SUPPORTED", {}),
    ({**LEADS, "fields": ["Nothing"]}, "FIELD_NOT_AVAILABLE", {"api_name": "Nothing"}),
    ({**LEADS, "fields": ["Positions"]}, "FIELD_NOT_SUPPORTED", {"api_name": "Positions"}),
    ({**LEADS, "fields": ["Partner.Owner.x.y"]}, "JOIN_LIMIT_EXCEEDED", {}),
    ({**LEADS, "cvid": "1"}, "CVID_NOT_SUPPORTED", {}),
    ({**LEADS, "page": 501}, "PAGE_RANGE_EXCEEDED", {"max_limit": 500}),
    ({**LEADS, "criteria": group("xor", GOOD, GOOD)}, "GROUP_OPERATOR_NOT_SUPPORTED", {"supported": ["and", "or"]}),
    ({**LEADS, "criteria": group("and", *[GOOD] * 26)}, "CRITERIA_LIMIT_EXCEEDED", {"max_limit": 25}),
    ({**LEADS, "criteria": leaf("City", "in", ["x"] * 201)}, "VALUE_LIMIT_EXCEEDED_IN_CRITERIA", {"max_limit": 200}),
    ({**LEADS, "criteria": leaf("Nothing", "equal", "x")}, "FIELD_IN_CRITERIA_NOT_AVAILABLE", None),
    ({**LEADS, "criteria": leaf("Positions", "equal", "x")}, "FIELD_IN_CRITERIA_NOT_SUPPORTED", None),
    ({**LEADS, "criteria": leaf("City", "like", "x")}, "FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED", None),
    ({**LEADS, "criteria": leaf("City", "less_than", "x")}, "FIELD_AND_COMPARATOR_IN_CRITERIA_NOT_COMPATIBLE", None),
    ({**LEADS, "criteria": leaf("City", "in", "x")}, "COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE", None),
    ({**LEADS, "criteria": leaf("Created_Time", "equal", "2023-01-01T00:00:00.000Z")}, "FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE", None),
    ({**LEADS, "criteria": leaf("No_of_Employees", "equal", "many")}, "FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE", None),
    ({**LEADS, "criteria": leaf("City", "equal", {"a": 1})}, "VALUE_TYPE_NOT_SUPPORTED", None),
    ({**LEADS, "criteria": []}, "INVALID_CRITERIA", None),
    ({**LEADS, "criteria": {**GOOD, "group": [GOOD]}}, "AMBIGUOUS_CRITERIA", None),
    ({**LEADS, "criteria": group("and", GOOD)}, "AMBIGUOUS_GROUP_IN_CRITERIA", None),
    ({}, "INVALID_REQUEST", {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "code", "details"), ERRORS, ids=[f"{code}{n}" for n, (_, code, _) in enumerate(ERRORS)]
)
def test_errors_at_create(zoho: Zoho, query: dict[str, Any], code: str, details: Any):
    body = error(zoho, {"query": query})
    assert (body["code"], body["status"]) == (code, "error")
    if details is not None:
        assert body["details"] == details


@pytest.mark.parametrize(
    ("body", "code"),
    [(b"", "REQUEST_BODY_IS_EMPTY"), (b"{", "REQUEST_BODY_NOT_READABLE"), (b"[]", "REQUEST_BODY_NOT_SUPPORTED"), (b"{}", "INVALID_REQUEST")],
)  # fmt: skip
def test_bodies_that_are_none(zoho: Zoho, body: bytes, code: str):
    answer = zoho.call("POST", READ, data=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, code)


def test_page_limit_of_the_other_source(zoho: Zoho):
    zoho.simulator.options.bulk_page_limit = 50
    assert error(zoho, {"query": {**LEADS, "page": 51}})["details"] == {"max_limit": 50}


def test_ics(zoho: Zoho):
    job = create(zoho, {"module": {"api_name": "Events"}}, file_type="ics")
    status = finish(zoho, job)
    assert (status["file_type"], status["result"]["count"], status["result"]["per_page"]) == (
        "ics",
        40,
        20_000,
    )
    with zipfile.ZipFile(io.BytesIO(zoho.get(f"{READ}/{job}/result").content)) as archive:
        assert archive.namelist() == [f"{job}.ics"]
        text = archive.read(f"{job}.ics").decode()
    assert text.startswith("BEGIN:VCALENDAR\r\n")
    assert text.count("BEGIN:VEVENT\r\n") == text.count("END:VEVENT\r\n") == 40
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    unfolded = text.replace("\r\n ", "")
    assert all(f"UID:{record['id']}@zoho.com\r\n" in unfolded for record in zoho.simulator.table("Events"))


def test_ics_is_for_events_without_fields(zoho: Zoho):
    wrong = error(zoho, {"query": {"module": {"api_name": "Events"}}, "file_type": "pdf"})
    assert wrong["details"] == {"api_name": "file_type", "supported_values": ["ics", "csv"]}
    assert error(zoho, {"query": LEADS, "file_type": "ics"})["code"] == "INVALID_DATA"
    with_fields = {"module": {"api_name": "Events"}, "fields": ["Venue"]}
    assert error(zoho, {"query": with_fields, "file_type": "ics"})["code"] == "INVALID_DATA"


@pytest.mark.parametrize("kind", ["application/zip", "application/x-download"])
def test_download_headers(zoho: Zoho, kind: str):
    zoho.simulator.options.result_content_type = kind
    job = create(zoho)
    finish(zoho, job)
    answer = zoho.get(f"{READ}/{job}/result")
    assert answer.headers["Content-Type"] == kind
    assert answer.headers["Content-Disposition"] == f"attachment;filename*=UTF-8''{job}.zip"
    assert answer.content[:2] == b"PK"


@pytest.mark.parametrize("status", [404, 400])
def test_unknown_and_unfinished_results(zoho: Zoho, status: int):
    zoho.simulator.options.unknown_result_status = status
    message = "The requested resource doesn't exist."
    for job in ("554023000000568002", create(zoho)):
        answer = zoho.get(f"{READ}/{job}/result")
        assert (answer.status_code, answer.json()) == (
            status,
            flat("RESOURCE_NOT_FOUND", message, {"resource": job}),
        )
    answer = zoho.get(f"{READ}/554023000000568002")
    details = {"resource": "554023000000568002"}
    assert (answer.status_code, answer.json()) == (404, flat("RESOURCE_NOT_FOUND", message, details))


def test_result_lives_one_day(zoho: Zoho):
    job = create(zoho)
    finish(zoho, job)
    zoho.simulator.advance(86_390)
    zoho.login()
    assert zoho.get(f"{READ}/{job}/result").status_code == 200
    zoho.simulator.advance(20)
    assert zoho.get(f"{READ}/{job}/result").json()["code"] == "RESOURCE_NOT_FOUND"


def test_ten_downloads_in_a_minute(zoho: Zoho):
    job = create(zoho)
    finish(zoho, job)
    assert [zoho.get(f"{READ}/{job}/result").status_code for _ in range(12)] == [200] * 10 + [429] * 2
    zoho.simulator.advance(30)
    assert zoho.get(f"{READ}/{job}/result").status_code == 429
    zoho.simulator.advance(31)
    assert zoho.get(f"{READ}/{job}/result").status_code == 200


def test_defects_of_the_zip(zoho: Zoho):
    def content(defect: str) -> bytes:
        zoho.simulator.options.result_defect = defect
        job = create(zoho)
        finish(zoho, job)
        return zoho.get(f"{READ}/{job}/result").content

    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(content("truncated")))
    with (
        zipfile.ZipFile(io.BytesIO(content("corrupt"))) as archive,
        pytest.raises(Exception, match=r"(?i)crc|invalid|decompress"),
    ):
        archive.read(archive.namelist()[0])
    with zipfile.ZipFile(io.BytesIO(content("two_members"))) as archive:
        assert len(archive.namelist()) == 2


def test_callback(zoho: Zoho):
    got: list[dict[str, Any]] = []
    arrived = threading.Event()

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()
            arrived.set()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Listener)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        zoho.simulator.options.callbacks = True
        url = f"http://127.0.0.1:{server.server_port}/done"
        job = create(zoho, callback={"url": url, "method": "post"})
        finish(zoho, job)
        assert arrived.wait(5)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    module = got[0]["query"].pop("module")
    assert module["api_name"] == "Leads"
    assert got == [{
        "job_id": job, "operation": "read", "state": "COMPLETED", "query": {"page": 1},
        "result": {"page": 1, "per_page": 200_000, "count": 450, "download_url": f"{READ}/{job}/result", "more_records": False},
    }]  # fmt: skip


def test_callback_errors_and_no_call_off_loopback(zoho: Zoho):
    zoho.simulator.options.callbacks = True
    finish(zoho, create(zoho, callback={"url": "https://example.com/x", "method": "post"}))
    assert zoho.simulator.callbacks == []
    bad_url = error(zoho, {"query": LEADS, "callback": {"url": "nothing", "method": "post"}})
    assert bad_url["code"] == "INVALID_CALLBACK_URL"
    bad_method = error(zoho, {"query": LEADS, "callback": {"url": "https://example.com", "method": "get"}})
    assert (bad_method["code"], bad_method["details"]) == (
        "INVALID_CALLBACK_METHOD",
        {"supported_callback_methods": ["post"]},
    )
