"""Answers of the simulator to every call that Zoho's OpenAPI files describe: successes and refusals."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import requests

from conformance.oas import Answer

if TYPE_CHECKING:
    from airflow_provider_zohocrm.simulator.server import Simulator

LEADS = {"module": {"api_name": "Leads"}}


def leaf(name: str, comparator: str, value: Any) -> dict[str, Any]:
    return {"field": {"api_name": name}, "comparator": comparator, "value": value}


class Collector:
    """A plain HTTP client that keeps every answer."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.answers: list[Answer] = []
        self.session = requests.Session()
        form = {
            "grant_type": "refresh_token",
            "client_id": simulator.client_id,
            "client_secret": simulator.client_secret,
            "refresh_token": simulator.refresh_token,
        }
        token = requests.post(f"{simulator.url}/oauth/v2/token", data=form, timeout=10).json()["access_token"]
        self.session.headers["Authorization"] = f"Zoho-oauthtoken {token}"

    def ask(self, operation: str, path: str, *, note: str = "", **more: Any) -> Any:
        """Make a call and keep its answer; ``operation`` is verb and path as the specification writes them."""
        verb = operation.partition(" ")[0]
        answer = self.session.request(verb, f"{self.simulator.url}{path}", timeout=20, **more)
        kind = answer.headers.get("Content-Type", "")
        body = answer.json() if kind.startswith("application/json") else None
        if body is None and answer.content and answer.status_code not in {204, 304} and not kind:
            body = answer.text
        shown = str(more.get("params") or more.get("json") or "")[:160]
        self.answers.append(Answer(operation, answer.status_code, kind, body, note or f"{path} {shown}"))
        return body

    def expect(self, *found: int) -> None:
        """Check the statuses of the last answers: a scenario that misses its aim proves nothing."""
        assert [one.status for one in self.answers[-len(found) :]] == list(found), self.answers[-len(found) :]


# --- records ---------------------------------------------------------------------------------------------------------

LIST = "GET /crm/v8/{module_api_name}"
ONE = "GET /crm/v8/{module_api_name}/{id}"


def _fields(collector: Collector, module: str) -> str:
    specs = collector.simulator.state.store.modules[module].fields.values()
    return ",".join([spec.api_name for spec in specs if spec.listed][:50])


def lists(c: Collector) -> None:
    for module in ("Leads", "Contacts", "Accounts", "Deals", "Events", "Products", "Quotes", "Machines"):
        c.ask(LIST, f"/crm/v8/{module}", params={"fields": _fields(c, module)})
        c.expect(200)
    token = c.ask(LIST, "/crm/v8/Leads", params={"fields": "Last_Name", "per_page": 200})["info"][
        "next_page_token"
    ]
    while token:
        page = c.ask(
            LIST, "/crm/v8/Leads", params={"fields": "Last_Name", "per_page": 200, "page_token": token}
        )
        token = page["info"]["next_page_token"]
    c.expect(200, 200, 200)
    c.ask(LIST, "/crm/v8/Leads", params={"fields": "Last_Name", "ids": "1"})
    c.ask(
        LIST,
        "/crm/v8/Leads",
        params={"fields": "Last_Name"},
        headers={"If-Modified-Since": "2099-01-01T00:00:00+00:00"},
    )
    c.expect(204, 304)


def list_refusals(c: Collector) -> None:
    names = {"fields": "Last_Name"}
    view = c.simulator.state.store.modules["Leads"].view_id(0)
    for params in (
        {}, {"fields": ",".join(f"F{n}" for n in range(51))}, {**names, "page": 11}, {**names, "page": 2, "page_token": "x"},
        {**names, "page_token": "x"}, {**names, "per_page": "many"}, {**names, "per_page": 201}, {**names, "sort_by": "City"},
        {**names, "sort_order": "up"}, {**names, "cvid": "1"}, {**names, "cvid": view, "sort_by": "id"}, {**names, "ids": "x"},
        {**names, "ids": ",".join("1" * 101)}, {**names, "converted": "perhaps"}, {**names, "territory_id": "1"},
    ):  # fmt: skip
        c.ask(LIST, "/crm/v8/Leads", params=params)
        c.expect(400)
    c.ask(LIST, "/crm/v8/Nothing", params=names)
    c.ask(LIST, "/crm/v8/Leads", params=names, headers={"If-Modified-Since": "yesterday"})
    c.expect(400, 400)
    c.simulator.configure(required_param_style="old")
    c.ask(LIST, "/crm/v8/Leads")
    c.simulator.configure(required_param_style="new", page_token_limit=200)
    token = c.ask(LIST, "/crm/v8/Leads", params={**names, "per_page": 200})["info"]["next_page_token"]
    c.ask(LIST, "/crm/v8/Leads", params={**names, "per_page": 200, "page_token": token})
    c.expect(400, 200, 400)
    c.simulator.configure(page_token_limit=100_000, page_token_life=0)
    token = c.ask(LIST, "/crm/v8/Leads", params={**names, "per_page": 200})["info"]["next_page_token"]
    c.ask(LIST, "/crm/v8/Leads", params={**names, "per_page": 200, "page_token": token})
    c.expect(200, 400)
    c.simulator.configure(page_token_life=86_400)


def one_record(c: Collector) -> None:
    for module in ("Leads", "Contacts", "Deals", "Events", "Quotes", "Machines"):
        for record in list(c.simulator.table(module))[:3]:
            c.ask(ONE, f"/crm/v8/{module}/{record['id']}")
            c.expect(200)
    c.ask(ONE, "/crm/v8/Leads/4711")
    c.ask(ONE, "/crm/v8/Leads/abc")
    c.ask(ONE, "/crm/v8/Nothing/4711")
    some = next(iter(c.simulator.table("Leads")))["id"]
    c.ask(ONE, f"/crm/v8/Leads/{some}", headers={"If-Modified-Since": "2099-01-01T00:00:00+00:00"})
    c.expect(204, 400, 400, 304)


def search(c: Collector) -> None:
    operation, path = "GET /crm/v8/{module_api_name}/search", "/crm/v8/Leads/search"
    email = next(one["Email"] for one in c.simulator.table("Leads") if one["Email"])
    c.ask(operation, path, params={"criteria": "(Lead_Status:equals:Not Qualified)"})
    c.ask(operation, path, params={"email": email, "fields": "Last_Name"})
    c.ask(operation, path, params={"word": "nobody has written this"})
    c.expect(200, 200, 204)
    for params in (
        {}, {"criteria": "Last_Name:equals:x"}, {"criteria": "(Nothing:equals:x)"}, {"criteria": "(City:like:x)"},
        {"word": "e", "page": 11}, {"criteria": "and".join(["(City:equals:x)"] * 11)}, {"word": "e", "per_page": "x"},
    ):  # fmt: skip
        c.ask(operation, path, params=params)
        c.expect(400)


def deleted(c: Collector) -> None:
    operation, path = "GET /crm/v8/{module_api_name}/deleted", "/crm/v8/Leads/deleted"
    for kind in ("all", "recycle", "permanent"):
        c.ask(operation, path, params={"type": kind})
        c.expect(200)
    c.ask(operation, path, params={"type": "all", "page": 100})
    c.ask(operation, path, headers={"If-Modified-Since": "2099-01-01T00:00:00+00:00"})
    c.ask(operation, path, params={"type": "some"})
    c.ask(operation, path, params={"page": "x"})
    c.expect(204, 304, 400, 400)


def count(c: Collector) -> None:
    operation, path = "GET /crm/v8/{module_api_name}/actions/count", "/crm/v8/Leads/actions/count"
    view = c.simulator.state.store.modules["Leads"].view_id(1)
    c.ask(operation, path)
    c.ask(operation, path, params={"cvid": view})
    c.ask(operation, path, params={"criteria": "(Lead_Status:equals:Not Qualified)"})
    c.simulator.configure(count_as="str")
    c.ask(operation, path)
    c.simulator.configure(count_as="int")
    c.expect(200, 200, 200, 200)
    c.ask(operation, path, params={"cvid": view, "word": "x"})
    c.ask(operation, path, params={"cvid": "1"})
    c.ask(operation, "/crm/v8/Nothing/actions/count")
    c.expect(400, 400, 400)


def insert(c: Collector) -> None:
    operation, path = "POST /crm/v8/{module_api_name}", "/crm/v8/Leads"
    good = {"Last_Name": "Conformance", "Company": "Zylker"}
    c.ask(operation, path, json={"data": [good]})
    c.ask(operation, path, json={"data": [{**good, "External_Key": "CONFORM-1"}, {"Company": "x"}]})
    c.ask(operation, path, json={"data": [{"Company": "x"}]})
    c.expect(201, 207, 400)
    for bad in (
        {"External_Key": "CONFORM-1"}, {"No_of_Employees": "many"}, {"Company": "x" * 101}, {"Email": "nobody"},
        {"Partner": {"id": "4711"}}, {"Owner": {"id": "1"}}, {"Languages": "Deutsch"}, {"Birthday": "29.2.2024"},
    ):  # fmt: skip
        c.ask(operation, path, json={"data": [{**good, **bad}]})
        c.expect(400)
    c.simulator.configure(multi_errors=True)
    c.ask(operation, path, json={"data": [{**good, "Email": "nobody", "Birthday": "29.2.2024"}]})
    c.simulator.configure(multi_errors=False)
    c.expect(400)
    for body in ({}, {"data": []}, {"data": [good] * 101}, {"data": [good], "trigger": ["everything"]}):
        c.ask(operation, path, json=body)
        c.expect(400)
    c.ask(operation, path, data=b"{", headers={"Content-Type": "application/json"})
    c.ask(operation, "/crm/v8/Nothing", json={"data": [good]})
    c.expect(400, 400)


def update(c: Collector) -> None:
    operation, path = "PUT /crm/v8/{module_api_name}", "/crm/v8/Leads"
    single = "PUT /crm/v8/{module_api_name}/{id}"
    some = next(iter(c.simulator.table("Leads")))["id"]
    c.ask(operation, path, json={"data": [{"id": some, "City": "Genève"}]})
    c.ask(operation, path, json={"data": [{"id": some, "City": "Genève"}, {"id": "4711"}]})
    c.ask(operation, path, json={"data": [{"City": "Genève"}]})
    c.expect(200, 207, 400)
    c.ask(single, f"{path}/{some}", json={"data": [{"City": "Basel"}]})
    c.ask(single, f"{path}/4711", json={"data": [{"City": "Basel"}]})
    c.ask(single, f"{path}/{some}", json={"data": [{"City": "Basel"}, {"City": "Basel"}]})
    old = {"If-Unmodified-Since": "2001-01-01T00:00:00+00:00"}
    c.ask(single, f"{path}/{some}", json={"data": [{"City": "Basel"}]}, headers=old)
    c.expect(200, 400, 400, 412)


def upsert(c: Collector) -> None:
    operation, path = "POST /crm/v8/{module_api_name}/upsert", "/crm/v8/Leads/upsert"
    email = next(one["Email"] for one in c.simulator.table("Leads") if one["Email"])
    record = {"Last_Name": "Conformance", "Company": "Zylker", "Email": email}
    c.ask(
        operation,
        path,
        json={"data": [record, {**record, "Email": "new@example.com"}], "duplicate_check_fields": ["Email"]},
    )
    c.ask(operation, path, json={"data": [record, {"Company": "x"}]})
    c.ask(operation, path, json={"data": [{"Company": "x"}]})
    c.ask(operation, path, json={"data": [record], "duplicate_check_fields": ["City"]})
    c.ask(operation, "/crm/v8/Tasks/upsert", json={"data": [{"Subject": "x"}]})
    c.expect(200, 207, 400, 400, 400)


def delete(c: Collector) -> None:
    operation, path = "DELETE /crm/v8/{module_api_name}", "/crm/v8/Leads"
    first, second, third = [one["id"] for one in c.simulator.table("Leads")][-3:]
    c.ask(operation, path, params={"ids": first})
    c.ask(operation, path, params={"ids": f"{second},4711"})
    c.ask(operation, path, params={"ids": "4711"})
    c.ask(operation, path)
    c.ask(operation, path, params={"ids": ",".join(["1"] * 101)})
    c.expect(200, 207, 400, 400, 400)
    single = "DELETE /crm/v8/{module_api_name}/{id}"
    c.ask(single, f"{path}/{third}")
    c.ask(single, f"{path}/4711")
    c.expect(200, 400)


RELATED = "GET /crm/v8/{module_api_name}/{record_id}/{related_list_api_name}"
DELETED_PARENT = "GET /crm/v8/{module_api_name}/deleted/{record_id}/{related_list_api_name}"


def related(c: Collector) -> None:
    parent = next(one["Account_Name"]["id"] for one in c.simulator.table("Contacts") if one["Account_Name"])
    params = {"fields": "Last_Name,Email,Owner"}
    c.ask(RELATED, f"/crm/v8/Accounts/{parent}/Contacts", params=params)
    c.ask(RELATED, f"/crm/v8/Accounts/{parent}/Contacts", params={**params, "ids": "1"})
    c.expect(200, 204)
    found = []
    for campaign in c.simulator.table("Campaigns"):
        c.ask(RELATED, f"/crm/v8/Campaigns/{campaign['id']}/Leads", params=params)
        found.append(c.answers[-1].status)
    assert 200 in found
    c.ask(RELATED, f"/crm/v8/Accounts/{parent}/Contacts")
    c.ask(RELATED, f"/crm/v8/Accounts/{parent}/Nothing", params=params)
    c.ask(RELATED, "/crm/v8/Accounts/4711/Contacts", params=params)
    c.expect(400, 400, 400)
    c.session.delete(f"{c.simulator.url}/crm/v8/Accounts/{parent}", timeout=10).raise_for_status()
    path = f"/crm/v8/Accounts/deleted/{parent}"
    c.ask(DELETED_PARENT, f"{path}/Contacts", params=params)
    c.ask(DELETED_PARENT, f"{path}/Contacts")
    c.ask(DELETED_PARENT, f"{path}/Nothing", params=params)
    c.ask(DELETED_PARENT, "/crm/v8/Accounts/deleted/4711/Contacts", params=params)
    c.expect(200, 400, 400, 400)


def coql(c: Collector) -> None:
    operation, path = "POST /crm/v8/coql", "/crm/v8/coql"
    for text in (
        "select Last_Name, Owner, Created_Time, Tag from Leads where id is not null limit 200",
        "select COUNT(id), Lead_Status from Leads where id is not null group by Lead_Status",
        "select Last_Name, Account_Name.Account_Name from Contacts where id is not null limit 0, 5",
    ):
        c.ask(operation, path, json={"select_query": text})
        c.expect(200)
    c.ask(operation, path, json={"select_query": "select id from Leads where id = '4711'"})
    c.expect(204)
    for body in (
        {}, {"select_query": "select Last_Name from Leads"}, {"select_query": "select from Leads where id = 1"},
        {"select_query": "insert"}, {"select_query": "select Last_Name from Leads where id is not null limit 5000"},
        {"select_query": "select Nothing from Leads where id is not null"},
        {"select_query": "select Last_Name from Nothing where id is not null"},
        {"select_query": "select Last_Name from Leads where City ="},
        {"select_query": "select Last_Name as a, City as a from Leads where id is not null"},
        {"select_query": f"select {', '.join(['Last_Name'] * 51)} from Leads where id is not null"},
        {"select_query": f"select Last_Name from Leads where City in ({', '.join(['1'] * 101)})"},
        {"select_query": "select Last_Name from Leads where id is not null limit x"},
        {"select_query": "select City, COUNT(id) from Leads where id is not null"},
    ):  # fmt: skip
        c.ask(operation, path, json=body)
        c.expect(400)


# --- metadata --------------------------------------------------------------------------------------------------------


def modules(c: Collector) -> None:
    c.ask("GET /crm/v8/settings/modules", "/crm/v8/settings/modules")
    for name in ("Leads", "Accounts", "Machines", c.simulator.state.store.modules["Deals"].module_id):
        c.ask("GET /crm/v8/settings/modules/{api_name}", f"/crm/v8/settings/modules/{name}")
        c.expect(200)
    c.ask("GET /crm/v8/settings/modules/{api_name}", "/crm/v8/settings/modules/Nothing")
    c.expect(400)


def fields(c: Collector) -> None:
    operation, path = "GET /crm/v8/settings/fields", "/crm/v8/settings/fields"
    for name in ("Leads", "Contacts", "Accounts", "Quotes", "Machines"):
        c.ask(operation, path, params={"module": name, "type": "all"})
        c.expect(200)
    c.ask(operation, path, params={"module": "Leads", "type": "unused"})
    c.ask(operation, path)
    c.ask(operation, path, params={"module": "Nothing"})
    c.ask(operation, path, params={"module": "Leads", "type": "some"})
    c.expect(204, 400, 400, 400)
    module = c.simulator.state.store.modules["Leads"]
    one = "GET /crm/v8/settings/fields/{field}"
    c.ask(one, f"{path}/{module.field_id(module.fields['Partner'])}", params={"module": "Leads"})
    c.ask(one, f"{path}/1", params={"module": "Leads"})
    c.ask(one, f"{path}/1")
    c.expect(200, 204, 400)


def users(c: Collector) -> None:
    c.ask("GET /crm/v8/users", "/crm/v8/users")
    c.ask("GET /crm/v8/users", "/crm/v8/users", params={"type": "CurrentUser"})
    c.ask("GET /crm/v8/users", "/crm/v8/users", params={"page": 9})
    c.expect(200, 200, 204)
    some = c.session.get(f"{c.simulator.url}/crm/v8/users", timeout=10).json()["users"][1]["id"]
    c.ask("GET /crm/v8/users/{user}", f"/crm/v8/users/{some}")
    c.ask("GET /crm/v8/users/{user}", "/crm/v8/users/1")
    c.expect(200, 204)


# --- bulk ------------------------------------------------------------------------------------------------------------

CREATE, STATUS, RESULT = (
    "POST /crm/bulk/v8/read",
    "GET /crm/bulk/v8/read/{job_id}",
    "GET /crm/bulk/v8/read/{job_id}/result",
)


def _job(c: Collector, query: dict[str, Any], **more: Any) -> tuple[str, list[str], dict[str, Any]]:
    """Run a job to its end; its id, its states, and its last answer."""
    job = c.ask(CREATE, "/crm/bulk/v8/read", json={"query": query, **more})["data"][0]["details"]["id"]
    states: list[str] = []
    while not states or states[-1] not in {"COMPLETED", "FAILURE"}:
        last = c.ask(STATUS, f"/crm/bulk/v8/read/{job}")["data"][0]
        states.append(last["state"])
        assert len(states) < 50
    return job, states, last


def bulk_read(c: Collector) -> None:
    criteria = {
        "group_operator": "and",
        "group": [leaf("No_of_Employees", "greater_equal", 0), leaf("City", "not_equal", "Nowhere")],
    }
    c.simulator.configure(bulk_page_size=100)
    job, states, last = _job(c, {**LEADS, "fields": ["Last_Name", "Owner"], "criteria": criteria, "page": 1})
    assert (states[0], states[-2:]) == ("QUEUED", ["IN PROGRESS", "COMPLETED"])
    c.ask(RESULT, f"/crm/bulk/v8/read/{job}/result")
    c.expect(200)
    _, states, _ = _job(c, {"page_token": last["result"]["next_page_token"]})
    c.simulator.configure(bulk_page_size=200_000)
    _job(c, LEADS)
    _job(c, {"module": {"api_name": "Events"}}, file_type="ics")
    c.simulator.configure(job_failure="INTERNAL_ERROR")
    assert _job(c, {**LEADS, "fields": ["Last_Name"]})[1][-1] == "FAILURE"
    c.simulator.configure(job_failure="", early_result=True)
    job, _, _ = _job(c, {**LEADS, "fields": ["Last_Name"]})
    c.simulator.configure(early_result=False, result_content_type="application/x-download")
    c.ask(RESULT, f"/crm/bulk/v8/read/{job}/result")
    c.expect(200)
    c.simulator.configure(result_content_type="application/zip")


def bulk_read_refusals(c: Collector) -> None:
    good = leaf("City", "equal", "x")

    def group(operator: str, *members: Any) -> dict[str, Any]:
        return {"group_operator": operator, "group": list(members)}

    for query in (
        {"module": {"api_name": "Nothing"}}, {"module": {"api_name": "Notes"}}, {**LEADS, "fields": ["Nothing"]},
        {**LEADS, "fields": ["Positions"]}, {**LEADS, "fields": ["Partner.Owner.x.y"]}, {**LEADS, "cvid": "1"},
        {**LEADS, "page": 501}, {**LEADS, "page": "x"}, {**LEADS, "criteria": group("xor", good, good)},
        {**LEADS, "criteria": group("and", *[good] * 26)}, {**LEADS, "criteria": leaf("City", "in", ["x"] * 201)},
        {**LEADS, "criteria": leaf("Nothing", "equal", "x")}, {**LEADS, "criteria": leaf("Positions", "equal", "x")},
        {**LEADS, "criteria": leaf("City", "like", "x")}, {**LEADS, "criteria": leaf("City", "less_than", "x")},
        {**LEADS, "criteria": leaf("City", "in", "x")}, {**LEADS, "criteria": leaf("No_of_Employees", "equal", "many")},
        {**LEADS, "criteria": leaf("City", "equal", {"a": 1})}, {**LEADS, "criteria": []},
        {**LEADS, "criteria": {**good, "group": [good]}}, {**LEADS, "criteria": group("and", good)}, {}, {"page_token": "x"},
        {"page_token": "x", "page": 2}, {"module": "Leads"},
    ):  # fmt: skip
        c.ask(CREATE, "/crm/bulk/v8/read", json={"query": query})
        c.expect(400)
    for more in (
        {"file_type": "pdf"},
        {"callback": {"url": "x"}},
        {"callback": {"url": "https://x.example/", "method": "get"}},
    ):
        c.ask(CREATE, "/crm/bulk/v8/read", json={"query": LEADS, **more})
        c.expect(400)
    for body in (b"", b"{", b"[]"):
        c.ask(
            CREATE,
            "/crm/bulk/v8/read",
            data=body,
            headers={"Content-Type": "application/json"},
            note=repr(body),
        )
        c.expect(400)
    c.ask(CREATE, "/crm/bulk/v8/read", data=b"{}", note="no content type")
    c.ask(STATUS, "/crm/bulk/v8/read/4711")
    c.ask(RESULT, "/crm/bulk/v8/read/4711/result")
    c.simulator.configure(unknown_result_status=400)
    c.ask(RESULT, "/crm/bulk/v8/read/4711/result")
    c.simulator.configure(unknown_result_status=404)
    c.expect(415, 404, 404, 400)


UPLOAD, WRITE, WRITTEN = "POST /crm/v8/upload", "POST /crm/bulk/v8/write", "GET /crm/bulk/v8/write/{job_id}"


def _zip(text: str) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("leads.csv", text)
    return target.getvalue()


def _upload(c: Collector, content: bytes, feature: str = "bulk-write") -> Any:
    headers = {"feature": feature, "X-CRM-ORG": "65398227"}
    files = {"file": ("leads.zip", content, "application/zip")}
    return c.ask(UPLOAD, "/crm/v8/upload", files=files, headers=headers, note=f"{feature} {content[:8]!r}")


def bulk_write(c: Collector) -> None:
    text = "Last_Name,Company,Email\r\nOne,Zylker,bulk.1@example.com\r\n,Nobody,bulk.2@example.com\r\n"
    file_id = _upload(c, _zip(text))["details"]["file_id"]
    mappings = [{"api_name": name, "index": n} for n, name in enumerate(("Last_Name", "Company", "Email"))]
    resource = {
        "type": "data",
        "module": {"api_name": "Leads"},
        "file_id": file_id,
        "field_mappings": mappings,
    }
    for failure in ("", "INTERNAL_ERROR"):
        c.simulator.configure(job_failure=failure)
        job = c.ask(
            WRITE, "/crm/bulk/v8/write",
            json={"operation": "upsert", "resource": [{**resource, "find_by": "Email"}], "callback": {"url": "http://127.0.0.1:9/", "method": "post"}},
        )["details"]["id"]  # fmt: skip
        states: list[str] = []
        while not states or states[-1] not in {"COMPLETED", "FAILED"}:
            states.append(c.ask(WRITTEN, f"/crm/bulk/v8/write/{job}")["status"])
            assert len(states) < 50
        assert states[-1] == ("FAILED" if failure else "COMPLETED")
    c.simulator.configure(job_failure="")
    # Refusals.
    _upload(c, b"no zip")
    _upload(c, _zip(text), "something else")
    c.expect(400, 400)
    for change in (
        {"file_id": "improper"}, {"file_id": "4711"}, {"module": {"api_name": "Nothing"}}, {"type": "other"},
        {"field_mappings": [{"api_name": "Nothing", "index": 0}]}, {"field_mappings": [{"api_name": "Last_Name", "index": 9}]},
        {"field_mappings": [{"api_name": "Last_Name"}]}, {"field_mappings": [{"api_name": "Email", "index": 2}]},
    ):  # fmt: skip
        c.ask(WRITE, "/crm/bulk/v8/write", json={"operation": "insert", "resource": [{**resource, **change}]})
        c.expect(400)
    c.ask(WRITE, "/crm/bulk/v8/write", json={"operation": "upsert", "resource": [resource]})
    c.ask(WRITE, "/crm/bulk/v8/write", json={"operation": "add", "resource": [resource]})
    method = {"url": "http://127.0.0.1:9/", "method": "get"}
    c.ask(
        WRITE, "/crm/bulk/v8/write", json={"operation": "insert", "resource": [resource], "callback": method}
    )
    c.expect(400, 400, 400)
    c.simulator.configure(unknown_write_job_status=400)
    c.ask(WRITTEN, "/crm/bulk/v8/write/4711")
    c.expect(400)


def notifications(c: Collector) -> None:
    path, verbs = "/crm/v8/actions/watch", "/crm/v8/actions/watch"
    channel = {
        "channel_id": "1000000068001",
        "events": ["Leads.create", "Deals.all"],
        "notify_url": "http://127.0.0.1:9/",
    }
    c.ask(f"GET {verbs}", path)
    c.ask(f"POST {verbs}", path, json={"watch": [channel]})
    c.ask(f"GET {verbs}", path)
    c.ask(f"PUT {verbs}", path, json={"watch": [{**channel, "token": "secret", "events": ["Leads.all"]}]})
    c.ask(
        f"PATCH {verbs}", path, json={"watch": [{"channel_id": "1000000068001", "events": ["Contacts.edit"]}]}
    )
    c.ask(f"GET {verbs}", path, params={"channel_id": "1000000068001"})
    c.expect(204, 201, 200, 200, 200, 200)
    c.ask(f"POST {verbs}", path, json={"watch": [{**channel, "events": "x"}]})
    c.ask(f"POST {verbs}", path, json={"watch": [{"channel_id": "1"}]})
    c.ask(f"POST {verbs}", path, json={"watch": [{**channel, "notify_url": "nowhere"}]})
    c.expect(202, 202, 202)
    c.ask(f"DELETE {verbs}", path, params={"channel_ids": "1000000068001"})
    c.ask(f"DELETE {verbs}", path, params={"channel_ids": "4711"})
    c.expect(200, 400)


# --- every call ------------------------------------------------------------------------------------------------------


def common_errors(c: Collector) -> None:
    names = {"fields": "Last_Name"}
    good = c.session.headers["Authorization"]
    for header in ("Zoho-oauthtoken 1000.nobody.knows", "nonsense"):
        c.session.headers["Authorization"] = header
        c.ask(LIST, "/crm/v8/Leads", params=names, note=header)
        c.ask("POST /crm/v8/coql", "/crm/v8/coql", json={"select_query": "x"}, note=header)
        c.ask(CREATE, "/crm/bulk/v8/read", json={"query": LEADS}, note=header)
        c.ask(
            "GET /crm/v8/settings/fields", "/crm/v8/settings/fields", params={"module": "Leads"}, note=header
        )
        c.expect(401, 401, 401, 401)
    c.session.headers["Authorization"] = good
    for action, more, found in (
        ("too_many", {}, 429),
        (
            "status",
            {
                "status": 500,
                "body": {
                    "code": "INTERNAL_ERROR",
                    "message": "Internal Server Error",
                    "status": "error",
                    "details": {},
                },
            },
            500,
        ),
    ):
        c.simulator.add_fault(action, count=1, **more)
        c.ask(LIST, "/crm/v8/Leads", params=names, note=action)
        c.expect(found)
    c.simulator.clear_faults()


GROUPS = {
    one.__name__: one
    for one in (
        lists, list_refusals, one_record, search, deleted, count, insert, update, upsert, delete, related, coql, modules, fields,
        users, bulk_read, bulk_read_refusals, bulk_write, notifications, common_errors,
    )
}  # fmt: skip
