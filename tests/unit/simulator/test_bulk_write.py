from __future__ import annotations

import csv
import io
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import requests

if TYPE_CHECKING:
    from simulator.wire import Zoho

WRITE = "/crm/bulk/v8/write"
ZGID = "65398227"
HEADERS = {"feature": "bulk-write", "X-CRM-ORG": ZGID}
NAMES = [{"api_name": "Last_Name", "index": 0}, {"api_name": "Company", "index": 1}]


def zipped(*files: tuple[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return buffer.getvalue()


def table(header: list[str], *rows: list[Any]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *rows])
    return text.getvalue()


def send(zoho: Zoho, content: bytes, headers: dict[str, str] | None = None, part: str = "file") -> Any:
    files = {part: ("leads.zip", content, "application/zip")}
    return zoho.call("POST", "/crm/v8/upload", files=files, headers=HEADERS if headers is None else headers)


def upload(zoho: Zoho, text: str, name: str = "leads.csv") -> str:
    answer = send(zoho, zipped((name, text)))
    assert answer.status_code == 200, answer.text
    return str(answer.json()["details"]["file_id"])


def resource(file_id: str, module: str = "Leads", **more: Any) -> dict[str, Any]:
    return {"type": "data", "module": {"api_name": module}, "file_id": file_id, **more}


def create(zoho: Zoho, operation: str, *resources: dict[str, Any], **more: Any) -> str:
    body = {"character_encoding": "UTF-8", "operation": operation, "resource": list(resources), **more}
    answer = zoho.post(WRITE, body)
    assert answer.status_code == 201, answer.text
    assert set(answer.json()) == {"status", "code", "message", "details"}
    return str(answer.json()["details"]["id"])


def finish(zoho: Zoho, job: str) -> dict[str, Any]:
    for _ in range(50):
        status = zoho.get(f"{WRITE}/{job}").json()
        if status["status"] in {"COMPLETED", "FAILED"}:
            return dict(status)
    raise AssertionError("the job did not end")


def result(zoho: Zoho, status: dict[str, Any]) -> list[dict[str, str]]:
    answer = zoho.session.get(status["result"]["download_url"], timeout=10)
    assert answer.headers["Content-Type"] == "application/octet-stream"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        (name,) = archive.namelist()
        return list(csv.DictReader(io.TextIOWrapper(archive.open(name), "utf-8", newline="")))


def written(
    zoho: Zoho, operation: str, text: str, **more: Any
) -> tuple[dict[str, Any], list[dict[str, str]]]:
    module = more.pop("module", "Leads")
    status = finish(zoho, create(zoho, operation, resource(upload(zoho, text), module, **more)))
    return status, result(zoho, status)


def counts(status: dict[str, Any], place: int = 0) -> tuple[int, int, int, int]:
    file = status["resource"][place]["file"]
    return file["added_count"], file["updated_count"], file["skipped_count"], file["total_count"]


# --- upload ----------------------------------------------------------------------------------------------------


def test_upload(zoho: Zoho):
    answer = send(zoho, zipped(("leads.csv", "Last_Name,Company\r\na,b\r\n")), part="anything")
    body = answer.json()
    assert answer.status_code == 200
    assert (body["status"], body["code"], body["message"]) == (
        "success",
        "FILE_UPLOAD_SUCCESS",
        "file uploaded.",
    )
    assert body["details"]["file_id"].isdigit()
    assert "PK" not in zoho.simulator.requests[-1]["body"]


@pytest.mark.parametrize(
    "headers",
    [{}, {"feature": "bulk-write"}, {"X-CRM-ORG": ZGID}, {"feature": "bulk-write", "X-CRM-ORG": "1"}],
)
def test_upload_without_its_headers_has_another_envelope(zoho: Zoho, headers: dict[str, str]):
    answer = send(zoho, zipped(("leads.csv", "a\r\n")), headers)
    assert answer.status_code == 400
    assert answer.json()["ERROR_MESSAGE"] == "Bad Request"
    assert answer.json()["ERROR_CODE"] == 400
    assert answer.json()["x-error"] == "check if headers [feature, X-CRM-ORG] are present and valid"
    assert "code" not in answer.json()


def test_upload_without_a_form(zoho: Zoho):
    answer = zoho.call(
        "POST", "/crm/v8/upload", data=b"PK", headers={**HEADERS, "Content-Type": "application/zip"}
    )
    assert (answer.status_code, answer.json()["ERROR_CODE"]) == (400, 400)


def test_upload_of_no_zip_and_of_too_much(zoho: Zoho):
    answer = send(zoho, b"Last_Name\r\na\r\n")
    assert answer.status_code == 400
    assert answer.json()["code"] == "INVALID_FILE_FORMAT"
    assert answer.json()["message"] == "invalid file format. only zip format is supported"
    zoho.simulator.options.upload_limit = 1000
    # What counts is the csv, not the zip, which is much smaller.
    answer = send(zoho, zipped(("leads.csv", "a" * 1001)))
    assert (answer.json()["code"], answer.json()["message"]) == (
        "FILE_TOO_LARGE",
        "File size too large to process",
    )


def test_scopes(zoho: Zoho):
    zoho.simulator.options.scopes = "ZohoCRM.bulk.ALL,ZohoCRM.modules.ALL"
    zoho.login()
    assert send(zoho, zipped(("a.csv", "a"))).json()["code"] == "OAUTH_SCOPE_MISMATCH"
    zoho.simulator.options.scopes = "ZohoFiles.files.ALL,ZohoCRM.bulk.READ"
    zoho.login()
    assert send(zoho, zipped(("a.csv", "a"))).status_code == 200
    assert zoho.post(WRITE, {}).json()["code"] == "OAUTH_SCOPE_MISMATCH"


# --- what is written -------------------------------------------------------------------------------------------


def test_insert_in_input_order_with_errors(zoho: Zoho):
    text = table(
        ["Last_Name", "Company", "Email"],
        ["First", "One", "first@bulk.example"],
        ["", "Two", ""],
        ["Third", 'Three, "quoted"\nline', "no address"],
        ["Fourth", "Four", ""],
    )  # fmt: skip
    status, lines = written(zoho, "insert", text)
    assert [line["STATUS"] for line in lines] == ["ADDED", "SKIPPED", "SKIPPED", "ADDED"]
    assert [line["ERRORS"] for line in lines] == [
        "",
        "MANDATORY_NOT_FOUND:Last_Name",
        "INVALID_DATA:Email",
        "",
    ]
    assert counts(status) == (2, 0, 2, 4)
    assert [bool(line["RECORD_ID"]) for line in lines] == [True, False, False, True]
    stored = zoho.simulator.record("Leads", lines[0]["RECORD_ID"])
    assert (stored["Last_Name"], stored["Company"], stored["Email"]) == ("First", "One", "first@bulk.example")
    assert zoho.get(f"/crm/v8/Leads/{lines[3]['RECORD_ID']}").json()["data"][0]["Company"] == "Four"
    assert len(zoho.ids("Leads")) == 452
    entry = zoho.simulator.writes[-1]
    assert (entry["operation"], entry["ids"]) == (
        "bulk_insert",
        [lines[0]["RECORD_ID"], lines[3]["RECORD_ID"]],
    )


def test_status_answer(zoho: Zoho):
    file_id = upload(zoho, table(["Last_Name", "Company"], ["a", "b"]))
    job = create(zoho, "insert", resource(file_id, field_mappings=NAMES))
    status = finish(zoho, job)
    assert status["result"]["download_url"].startswith(f"{zoho.simulator.url}/")
    del status["result"], status["created_time"]
    assert status == {
        "status": "COMPLETED",
        "character_encoding": "UTF-8",
        "resource": [
            {
                "status": "COMPLETED",
                "type": "data",
                "module": {"api_name": "Leads", "id": "3652397000000002001"},
                "field_mappings": [
                    {"format": None, "find_by": None, "default_value": None, **mapping} for mapping in NAMES
                ],
                "file": {
                    "status": "COMPLETED", "name": "leads.csv", "added_count": 1, "skipped_count": 0, "updated_count": 0,
                    "total_count": 1,
                },
            }
        ],
        "id": job,
        "created_by": {"name": "Patricia Boyle", "id": "3652397000000225013"},
        "operation": "insert",
    }  # fmt: skip


def test_every_type_of_value(zoho: Zoho):
    account = zoho.ids("Accounts")[0]
    row = {
        "Last_Name": "Groß", "Company": "x", "No_of_Employees": "12", "Annual_Revenue": "1234.5", "Email_Opt_Out": "true",
        "Languages": "English;Deutsch", "Birthday": "2024-02-29", "Next_Call": "2024-05-01T10:00:00+02:00",
        "Ledger_Number": "1234567890123456789", "Partner": account, "Rating": "Active", "Score": "0.5",
        "Owner": "3652397000000225014",
    }  # fmt: skip
    _, lines = written(zoho, "insert", table(list(row), list(row.values())))
    stored = zoho.simulator.record("Leads", lines[0]["RECORD_ID"])
    assert stored["No_of_Employees"] == 12
    assert stored["Annual_Revenue"] == 1234.5
    assert stored["Email_Opt_Out"] is True
    assert stored["Languages"] == ["English", "Deutsch"]
    assert (stored["Birthday"], stored["Next_Call"]) == ("2024-02-29", "2024-05-01T10:00:00+02:00")
    assert stored["Ledger_Number"] == "1234567890123456789"
    assert stored["Partner"]["id"] == account
    assert stored["Owner"]["name"] == "Jane O'Hara"


def test_mappings_with_defaults_formats_and_lookups_by_name(zoho: Zoho):
    account = next(iter(zoho.simulator.table("Accounts")))
    mappings = [
        {"api_name": "Last_Name", "index": 2},
        {"api_name": "Date_of_Birth", "index": 0, "format": "dd/MM/yyyy"},
        {"api_name": "Account_Name", "index": 1, "find_by": "Account_Name"},
        {"api_name": "Department", "index": 3, "default_value": {"value": "none given"}},
        {"api_name": "Lead_Source", "default_value": {"value": "Chat"}},
    ]
    text = table(
        ["a", "b", "c", "d"],
        ["29/02/2024", account["Account_Name"], "One", ""],
        ["01/12/1999", "nobody", "Two", "Sales"],
        ["31/31/2024", account["Account_Name"], "Three", "Sales"],
        ["", "", "Four", "Sales"],
    )
    _, lines = written(zoho, "insert", text, module="Contacts", field_mappings=mappings)
    assert [line["ERRORS"] for line in lines] == [
        "",
        "INVALID_DATA:Account_Name",
        "INVALID_DATA:Date_of_Birth",
        "",
    ]
    first, last = (zoho.simulator.record("Contacts", lines[n]["RECORD_ID"]) for n in (0, 3))
    assert (first["Date_of_Birth"], first["Account_Name"]["id"]) == ("2024-02-29", account["id"])
    assert (first["Department"], first["Lead_Source"]) == ("none given", "Chat")
    assert (last["Date_of_Birth"], last["Account_Name"], last["Department"]) == (None, None, "Sales")


@pytest.mark.parametrize(("ignore", "phone"), [(False, None), (True, "+49 89 1")])
def test_update_by_id(zoho: Zoho, ignore: bool, phone: str | None):
    first, second = zoho.ids("Leads")[:2]
    zoho.put(f"/crm/v8/Leads/{first}", {"data": [{"Phone": "+49 89 1"}]})
    text = table(
        ["Id", "Last_Name", "Phone"],
        [first, "Renamed", ""],
        ["3652397001000000001", "x", ""],
        [second, "", "1"],
    )
    status, lines = written(zoho, "update", text, find_by="id", ignore_empty=ignore)
    skipped = ("SKIPPED", "INVALID_DATA:id")
    assert (lines[0]["STATUS"], lines[0]["RECORD_ID"]) == ("UPDATED", first)
    assert (lines[1]["STATUS"], lines[1]["ERRORS"]) == skipped
    # An empty mandatory field is an error, unless empty cells are left out.
    assert lines[2]["STATUS"] == ("UPDATED" if ignore else "SKIPPED")
    assert counts(status) == (0, 2, 1, 3) if ignore else (0, 1, 2, 3)
    stored = zoho.simulator.record("Leads", first)
    assert (stored["Last_Name"], stored["Phone"]) == ("Renamed", phone)


def test_upsert_by_a_unique_field(zoho: Zoho):
    lead = next(iter(zoho.simulator.table("Leads")))
    text = table(
        ["External_Key", "Last_Name", "Company"],
        [lead["External_Key"], "Known", "x"],
        ["BULK-1", "New", "x"],
        ["BULK-1", "New again", "x"],
    )
    status, lines = written(zoho, "upsert", text, find_by="External_Key")
    assert [line["STATUS"] for line in lines] == ["UPDATED", "ADDED", "UPDATED"]
    assert lines[0]["RECORD_ID"] == lead["id"]
    assert lines[1]["RECORD_ID"] == lines[2]["RECORD_ID"]
    assert counts(status) == (1, 2, 0, 3)
    assert zoho.simulator.record("Leads", lines[1]["RECORD_ID"])["Last_Name"] == "New again"


def test_duplicates_and_locked_records_are_skipped(zoho: Zoho):
    leads = list(zoho.simulator.table("Leads"))[:2]
    zoho.simulator.lock(leads[1]["id"])
    text = table(["External_Key", "Last_Name", "Company"], [leads[0]["External_Key"], "x", "x"])
    _, lines = written(zoho, "insert", text)
    assert lines[0]["ERRORS"] == "DUPLICATE_DATA:External_Key"
    _, lines = written(zoho, "update", table(["id", "Company"], [leads[1]["id"], "x"]), find_by="id")
    assert (lines[0]["STATUS"], lines[0]["ERRORS"]) == ("SKIPPED", "RECORD_LOCKED:")


def test_parents_and_children_in_one_zip(zoho: Zoho):
    content = zipped(
        ("parents.csv", table(["key", "name"], ["p1", "Parent One"], ["p2", "Parent Two"])),
        ("children.csv", table(["parent", "name"], ["p2", "Child"], ["p9", "Orphan"])),
    )
    file_id = send(zoho, content).json()["details"]["file_id"]
    parents = resource(
        file_id,
        "Accounts",
        file_names=["parents.csv"],
        field_mappings=[{"api_name": "Account_Name", "index": 1}],
    )
    mappings = [
        {"api_name": "Account_Name", "index": 0, "module": "Accounts", "parent_column_index": 0},
        {"api_name": "Last_Name", "index": 1},
    ]
    children = resource(file_id, "Contacts", file_names=["children.csv"], field_mappings=mappings)
    status = finish(zoho, create(zoho, "insert", parents, children))
    lines = result(zoho, status)
    assert [line["STATUS"] for line in lines] == ["ADDED", "ADDED", "ADDED", "SKIPPED"]
    assert counts(status, 1) == (1, 0, 1, 2)
    child = zoho.simulator.record("Contacts", lines[2]["RECORD_ID"])
    assert child["Account_Name"] == {"name": "Parent Two", "id": lines[1]["RECORD_ID"]}
    # Several files came with v6.
    body = {"operation": "insert", "resource": [parents]}
    assert zoho.post("/crm/bulk/v5/write", body).json()["code"] == "FILE_NOT_SUPPORTED"


def test_full_size(zoho: Zoho):
    text = table(["Campaign_Name"], *([f"c{n}"] for n in range(25_000)))
    status, lines = written(zoho, "insert", text, module="Campaigns")
    assert counts(status) == (25_000, 0, 0, 25_000)
    assert len({line["RECORD_ID"] for line in lines}) == 25_000
    file_id = upload(zoho, table(["Campaign_Name"], *([f"c{n}"] for n in range(25_001))))
    body = {"operation": "insert", "resource": [resource(file_id, "Campaigns")]}
    answer = zoho.post(WRITE, body).json()
    assert (answer["code"], answer["details"]) == ("LIMIT_EXCEEDED", {"limit": 25_000})


# --- jobs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["INPROGRESS", "IN PROGRESS"])
def test_states(zoho: Zoho, spelling: str):
    zoho.simulator.options.bulk_write_running = spelling
    job = create(zoho, "insert", resource(upload(zoho, table(["Last_Name", "Company"], ["a", "b"]))))
    seen = [zoho.get(f"{WRITE}/{job}").json() for _ in range(3)]
    assert [one["status"] for one in seen] == ["ADDED", spelling, "COMPLETED"]
    assert [one["resource"][0]["file"]["status"] for one in seen] == ["ADDED", spelling, "COMPLETED"]
    assert ["result" in one for one in seen] == [False, False, True]


def test_failure_and_callback(zoho: Zoho):
    received: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()
            done.set()

        def log_message(self, *_: Any) -> None:
            pass

    done = threading.Event()
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        zoho.simulator.configure(callbacks=True, job_failure="CANNOT_PROCESS")
        callback = {"url": f"http://127.0.0.1:{server.server_port}/done", "method": "post"}
        before = len(zoho.ids("Leads"))
        file_id = upload(zoho, table(["Last_Name", "Company"], ["a", "b"]))
        job = create(zoho, "insert", resource(file_id), callback=callback)
        status = finish(zoho, job)
        assert done.wait(10)
    assert status["status"] == status["resource"][0]["status"] == "FAILED"
    assert status["resource"][0]["code"] == "CANNOT_PROCESS"
    assert "result" not in status
    assert len(zoho.ids("Leads")) == before
    assert job.encode() in received[0]
    assert b"FAILED" in received[0]


def test_result_link(zoho: Zoho):
    status, _ = written(zoho, "insert", table(["Last_Name", "Company"], ["a", "b"]))
    url = status["result"]["download_url"]
    assert requests.get(url, timeout=10).status_code == 401
    stale = zoho.session.get(url.replace(status["id"], "1"), timeout=10)
    zoho.simulator.advance(7 * 86_400)
    zoho.login()
    for answer in (stale, zoho.session.get(url, timeout=10)):
        assert answer.status_code == 403
        assert answer.json() == {"x-info": "Link not valid", "info": "Forbidden"}


@pytest.mark.parametrize("status", [400, 404])
def test_unknown_job(zoho: Zoho, status: int):
    zoho.simulator.options.unknown_write_job_status = status
    answer = zoho.get(f"{WRITE}/3652397000000000001")
    assert (answer.status_code, answer.json()["code"]) == (status, "RESOURCE_NOT_FOUND")


def test_price(zoho: Zoho):
    file_id = upload(zoho, table(["Last_Name", "Company"], ["a", "b"]))
    before = zoho.simulator.counters["credits"]
    create(zoho, "insert", resource(file_id))
    assert zoho.simulator.counters["credits"] - before == 500
    assert zoho.simulator.counters["write_jobs"] == 1


# --- errors at create ------------------------------------------------------------------------------------------


def _holder(body: Any, path: tuple[str | int, ...]) -> Any:
    for step in path[:-1]:
        body = body[step]
    return body


def _without(*path: str | int) -> Any:
    return lambda body: _holder(body, path).pop(path[-1])


def _with(value: Any, *path: str | int) -> Any:
    return lambda body: _holder(body, path).__setitem__(path[-1], value)


ERRORS: list[tuple[Any, str, str | None]] = [
    (_without("operation"), "MANDATORY_NOT_FOUND", "required key operation is not found in request body."),
    (_with("merge", "operation"), "INVALID_DATA", None),
    (_with("no such", "character_encoding"), "INVALID_DATA", None),
    (_without("resource"), "MANDATORY_NOT_FOUND", None),
    (_with([], "resource"), "INVALID_REQUEST", None),
    (_with("x", "resource"), "INVALID_DATA", None),
    (_without("resource", 0, "type"), "MISSING_REQUIRED_KEY", None),
    (_with("file", "resource", 0, "type"), "INVALID_DATA", None),
    (_without("resource", 0, "module"), "MISSING_REQUIRED_KEY", None),
    (_with({"api_name": "asdf"}, "resource", 0, "module"), "MODULE_NOT_AVAILABLE", "Requested module 'asdf' is not available."),
    (_without("resource", 0, "file_id"), "MANDATORY_NOT_FOUND", None),
    (_with("abc", "resource", 0, "file_id"), "INVALID_FILE_ID", "improper file id"),
    (_with("1", "resource", 0, "file_id"), "FILE_NOT_FOUND", None),
    (_with(["other.csv"], "resource", 0, "file_names"), "FILE_NOT_SUPPORTED", "File not supported for bulk write"),
    (_without("resource", 0, "find_by"), "MANDATORY_NOT_FOUND", "Required key find_by is not available"),
    (_with("Phone", "resource", 0, "find_by"), "INVALID_DATA", None),
    (_with("Email", "resource", 0, "find_by"), "MANDATORY_FIELDS_NOT_MAPPED", None),
    (_with("x", "resource", 0, "field_mappings"), "INVALID_DATA", None),
    (_with({"index": 0}, "resource", 0, "field_mappings", 0), "MISSING_REQUIRED_KEY", None),
    (_with({"api_name": "ast_Name", "index": 0}, "resource", 0, "field_mappings", 0), "INVALID_FIELD", "invalid mapping. invalid api_name ast_Name."),
    (_with({"api_name": "Created_Time", "index": 0}, "resource", 0, "field_mappings", 0), "INVALID_FIELD", None),
    (_with({"api_name": "Company"}, "resource", 0, "field_mappings", 0), "MANDATORY_NOT_FOUND", "required key index for field Company is not found in request body."),
    (_with({"api_name": "Company", "index": 9}, "resource", 0, "field_mappings", 0), "COLUMN_INDEX_NOT_FOUND", None),
    (_with({"api_name": "Birthday", "index": 0, "format": "qq"}, "resource", 0, "field_mappings", 0), "INVALID_FORMAT", None),
    (_with({"api_name": "Partner", "index": 0, "module": "Accounts"}, "resource", 0, "field_mappings", 0), "MANDATORY_NOT_FOUND", "Required key parent_column_index is not available"),
    (_with({"api_name": "Partner", "index": 0, "find_by": "Phone"}, "resource", 0, "field_mappings", 0), "INVALID_DATA", None),
    (_with({"api_name": "Phone", "index": 0}, "resource", 0, "field_mappings", 0), "MANDATORY_FIELDS_NOT_MAPPED", "All mandatory fields are not mapped for the layout"),
    (_with(True, "ignore_empty"), "COEXISTENCE_NOT_ALLOWED", None),
    (_with({"url": "ftp://x", "method": "post"}, "callback"), "INVALID_CALLBACK_URL", None),
    (_with({"url": "http://127.0.0.1/", "method": "get"}, "callback"), "INVALID_CALLBACK_METHOD", None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "code", "message"), ERRORS, ids=[f"{n} {e[1]}" for n, e in enumerate(ERRORS)]
)
def test_errors_at_create(zoho: Zoho, change: Any, code: str, message: str | None):
    file_id = upload(zoho, table(["Last_Name", "Company", "External_Key"], ["a", "b", "c"]))
    mappings = [*NAMES, {"api_name": "External_Key", "index": 2}]
    one = resource(file_id, find_by="External_Key", ignore_empty=False, field_mappings=mappings)
    body = {"operation": "upsert", "character_encoding": "UTF-8", "resource": [one]}
    change(body)
    answer = zoho.post(WRITE, body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert set(answer.json()) == {"code", "details", "message", "status"}
    if message is not None:
        assert answer.json()["message"] == message


def test_files_that_cannot_be_read(zoho: Zoho):
    def code(*files: tuple[str, str | bytes]) -> str:
        file_id = send(zoho, zipped(*files)).json()["details"]["file_id"]
        return str(zoho.post(WRITE, {"operation": "insert", "resource": [resource(file_id)]}).json()["code"])

    assert code(("leads.txt", "Last_Name\r\n")) == "FILE_NOT_SUPPORTED"
    assert code(("a.csv", "Last_Name\r\n"), ("b.csv", "Last_Name\r\n")) == "FILE_NOT_SUPPORTED"
    assert code(("a.csv", "")) == "FILE_NOT_SUPPORTED"
    assert code(("a.csv", "Last_Name,Company\r\nGro\xdf,x\r\n".encode("latin-1"))) == "FILE_NOT_SUPPORTED"
    assert code(("a.csv", ",".join(f"c{n}" for n in range(201)))) == "HEADER_LIMIT_EXCEEDED"


def test_bodies_and_media_type(zoho: Zoho):
    assert zoho.call("POST", WRITE, data=b"{}", headers={"Content-Type": "text/plain"}).status_code == 415
    sent = {
        b"": "REQUEST_BODY_IS_EMPTY",
        b"{": "REQUEST_BODY_NOT_READABLE",
        b"[]": "REQUEST_BODY_NOT_SUPPORTED",
    }
    for body, code in sent.items():
        answer = zoho.call("POST", WRITE, data=body, headers={"Content-Type": "application/json"})
        assert answer.json()["code"] == code
