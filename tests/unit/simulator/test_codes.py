"""Every error code of the sheet §7 and §4.7: provoked, or the reason why no client can."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_zohocrm.simulator.store import CONVERTED_VIEW, UNAPPROVED_VIEW, Selection

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests

    from simulator.wire import Zoho

SHEET = Path(__file__).parents[4] / "shared" / "reference" / "zoho-api.md"

BULK = "/crm/bulk/v8/read"
LEADS = {"module": {"api_name": "Leads"}}


def leaf(name: str, comparator: Any = "equal", value: Any = "x") -> dict[str, Any]:
    return {"field": {"api_name": name}, "comparator": comparator, "value": value}


def bulk(**query: Any) -> Callable[[Zoho], requests.Response]:
    return lambda zoho: zoho.post(BULK, {"query": {**LEADS, **query}})


def criteria(content: Any) -> Callable[[Zoho], requests.Response]:
    return bulk(criteria=content)


def body(content: Any, **more: Any) -> Callable[[Zoho], requests.Response]:
    return lambda zoho: zoho.post(BULK, content, **more)


def raw(content: bytes, kind: str = "application/json") -> Callable[[Zoho], requests.Response]:
    return lambda zoho: zoho.call("POST", BULK, data=content, headers={"Content-Type": kind})


def get(path: str, **params: str) -> Callable[[Zoho], requests.Response]:
    return lambda zoho: zoho.get(f"/crm/v8/{path}", params)


def insert(**record: Any) -> Callable[[Zoho], requests.Response]:
    values = {"Last_Name": "x", "Company": "x", **record}
    return lambda zoho: zoho.post(
        "/crm/v8/Leads", {"data": [{name: value for name, value in values.items() if value is not None}]}
    )


def coql(query: str) -> Callable[[Zoho], requests.Response]:
    return lambda zoho: zoho.post("/crm/v8/coql", {"select_query": query})


def option(call: Callable[[Zoho], requests.Response], **options: Any) -> Callable[[Zoho], requests.Response]:
    def with_option(zoho: Zoho) -> requests.Response:
        zoho.simulator.configure(**options)
        if "scopes" in options:
            zoho.login()
        return call(zoho)

    return with_option


def headed(
    call: Callable[[Zoho], requests.Response], value: str | None
) -> Callable[[Zoho], requests.Response]:
    def with_header(zoho: Zoho) -> requests.Response:
        zoho.session.headers["Authorization"] = value
        return call(zoho)

    return with_header


def fault(action: str, **more: Any) -> Callable[[Zoho], requests.Response]:
    def with_fault(zoho: Zoho) -> requests.Response:
        zoho.simulator.add_fault(action, **more)
        return zoho.get("/crm/v8/org")

    return with_fault


def update_of(view: int) -> Callable[[Zoho], requests.Response]:
    def update(zoho: Zoho) -> requests.Response:
        store = zoho.simulator.state.store
        row = store.rows(Selection(store.modules["Leads"], f"view = {view}"), limit=1)[0]
        return zoho.put(f"/crm/v8/Leads/{row.id}", {"data": [{"Phone": "1"}]})

    return update


def page_token(zoho: Zoho, **change: Any) -> requests.Response:
    params = {"fields": "id", "per_page": 10}
    token = zoho.get("/crm/v8/Leads", params).json()["info"]["next_page_token"]
    seconds = change.pop("seconds", 0)
    zoho.simulator.advance(seconds)
    if seconds:
        zoho.login()
    return zoho.get("/crm/v8/Leads", {**params, "page_token": token, **change})


def locked(zoho: Zoho) -> requests.Response:
    lead = zoho.ids("Leads")[0]
    zoho.simulator.lock(lead)
    return zoho.put(f"/crm/v8/Leads/{lead}", {"data": [{"Phone": "1"}]})


def modified(zoho: Zoho) -> requests.Response:
    header = {"If-Unmodified-Since": "2001-01-01T00:00:00+00:00"}
    return zoho.put(f"/crm/v8/Leads/{zoho.ids('Leads')[0]}", {"data": [{"Phone": "1"}]}, headers=header)


def duplicate(zoho: Zoho) -> requests.Response:
    return insert(External_Key=next(iter(zoho.simulator.table("Leads")))["External_Key"])(zoho)


def added(zoho: Zoho) -> requests.Response:
    return zoho.post(BULK, {"query": LEADS})


DEEP = "Partner.Owner.x.y"
TWO = [leaf("Company"), leaf("Email")]

PROVOKED: dict[str, tuple[int, Callable[[Zoho], requests.Response]]] = {
    # §7
    "SUCCESS": (201, insert()),
    "ADDED_SUCCESSFULLY": (201, added),
    "INVALID_TOKEN": (401, headed(get("org"), "Zoho-oauthtoken 1000.a.b")),
    "AUTHENTICATION_FAILURE": (401, headed(get("org"), "garbage")),
    "OAUTH_SCOPE_MISMATCH": (401, option(get("org"), scopes="ZohoCRM.modules.ALL")),
    "NO_PERMISSION": (403, option(get("Leads", fields="id"), forbidden_modules="Leads")),
    "NOT_SUPPORTED": (400, lambda zoho: zoho.post("/crm/v8/Tasks/upsert", {"data": [{"Subject": "x"}]})),
    "INVALID_MODULE": (400, get("Nothing", fields="id")),
    "INVALID_URL_PATTERN": (404, get("a/b/c/d/e")),
    "INVALID_REQUEST_METHOD": (400, lambda zoho: zoho.call("DELETE", "/crm/v8/coql")),
    "API_NOT_SUPPORTED": (404, lambda zoho: zoho.get("/crm/v7/__apis")),
    "REQUIRED_PARAM_MISSING": (400, get("Leads")),
    "EXPECTED_PARAM_MISSING": (400, get("Leads/search")),
    "PATTERN_NOT_MATCHED": (400, get("Leads", fields="id", per_page="x")),
    "AMBIGUITY_DURING_PROCESSING": (400, get("Leads", fields="id", page="1", page_token="x")),
    "LIMIT_EXCEEDED": (400, get("Leads", fields=",".join(f"f{n}" for n in range(51)))),
    "LIMIT_REACHED": (400, get("Leads/search", word="x", page="11")),
    "DISCRETE_PAGINATION_LIMIT_EXCEEDED": (400, get("Leads", fields="id", page="11")),
    "PAGINATION_LIMIT_EXCEEDED": (400, option(page_token, page_token_limit=10)),
    "TOKEN_BOUND_DATA_MISMATCH": (400, lambda zoho: page_token(zoho, fields="Company")),
    "EXPIRED_VALUE": (400, lambda zoho: page_token(zoho, seconds=86_401)),
    "INVALID_DATA": (400, insert(Email="x")),
    "MANDATORY_NOT_FOUND": (400, insert(Company=None)),
    "DUPLICATE_DATA": (400, duplicate),
    "MULTIPLE_OR_MULTI_ERRORS": (400, option(insert(Email="x", Company=None), multi_errors=True)),
    "RECORD_LOCKED": (400, locked),
    "NOT_APPROVED": (400, update_of(UNAPPROVED_VIEW)),
    "CONVERTED_RECORD": (400, update_of(CONVERTED_VIEW)),
    "ALREADY_MODIFIED": (412, modified),
    "RESOURCE_NOT_FOUND": (404, lambda zoho: zoho.get(f"{BULK}/3652397000000000001")),
    "REQUEST_ENTITY_TOO_LARGE": (413, option(insert(Company="x" * 90), body_limit=100)),
    "NOT_SUBSCRIBED": (400, lambda zoho: zoho.delete("/crm/v8/actions/watch", {"channel_ids": "1"})),
    "SYNTAX_ERROR": (400, coql("select id from Leads")),
    "INVALID_QUERY": (400, coql("select id from Leads where id > 1 limit s")),
    "DUPLICATE_ALIAS": (400, coql("select Company as a, Email as a from Leads where id > 1")),
    "TOO_MANY_REQUESTS": (429, option(get("org"), credits=0)),
    "RATE_LIMIT_EXCEEDED": (429, fault("too_many", form="rate_limit_exceeded")),
    "INTERNAL_ERROR": (500, fault("status", status=500)),
    "SERVICE_UNAVAILABLE": (503, fault("status", status=503, body={"code": "SERVICE_UNAVAILABLE"})),
    "BAD_GATEWAY": (502, fault("status", status=502, body={"code": "BAD_GATEWAY"})),
    # §4.7
    "MEDIA_TYPE_NOT_SUPPORTED": (415, raw(b"{}", "text/plain")),
    "REQUEST_BODY_IS_EMPTY": (400, raw(b"")),
    "REQUEST_BODY_NOT_READABLE": (400, raw(b"{")),
    "INVALID_REQUEST": (400, body({})),
    "REQUEST_BODY_NOT_SUPPORTED": (400, raw(b"[]")),
    "MODULE_NOT_AVAILABLE": (400, bulk(module={"api_name": "Nothing"})),
    "MODULE_NOT_SUPPORTED": (400, bulk(module={"api_name": "Notes"})),
    "FIELD_NOT_AVAILABLE": (400, bulk(fields=["Nothing"])),
    "FIELD_NOT_SUPPORTED": (400, bulk(fields=["Positions"])),
    "FIELD_IN_CRITERIA_NOT_AVAILABLE": (400, criteria(leaf("Nothing"))),
    "FIELD_IN_CRITERIA_NOT_SUPPORTED": (400, criteria(leaf("Positions"))),
    "FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED": (400, criteria(leaf("Company", "sounds_like"))),
    "COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE": (400, criteria(leaf("Company", "in"))),
    "FIELD_AND_COMPARATOR_IN_CRITERIA_NOT_COMPATIBLE": (
        400,
        criteria(leaf("Company", "between", ["a", "b"])),
    ),
    "FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE": (400, criteria(leaf("No_of_Employees", "equal", "x"))),
    "VALUE_IN_CRITERIA_NOT_SUPPORTED": (400, criteria(leaf("No_of_Employees", "less_than", "${EMPTY}"))),
    "VALUE_TYPE_NOT_SUPPORTED": (400, criteria(leaf("Company", "equal", {"a": 1}))),
    "VALUE_LIMIT_EXCEEDED_IN_CRITERIA": (400, criteria(leaf("Company", "in", ["x"] * 201))),
    "CRITERIA_LIMIT_EXCEEDED": (400, criteria({"group_operator": "or", "group": [leaf("Company")] * 26})),
    "INVALID_CRITERIA": (400, criteria("x")),
    "AMBIGUOUS_CRITERIA": (400, criteria({**leaf("Company"), "group_operator": "or", "group": TWO})),
    "AMBIGUOUS_GROUP_IN_CRITERIA": (400, criteria({"group_operator": "or", "group": TWO[:1]})),
    "GROUP_OPERATOR_NOT_SUPPORTED": (400, criteria({"group_operator": "xor", "group": TWO})),
    "INVALID_CALLBACK_URL": (400, body({"query": LEADS, "callback": {"url": "x", "method": "post"}})),
    "INVALID_CALLBACK_METHOD": (
        400,
        body({"query": LEADS, "callback": {"url": "http://127.0.0.1/", "method": "get"}}),
    ),
    "PAGE_RANGE_EXCEEDED": (400, bulk(page=501)),
    "CVID_NOT_SUPPORTED": (400, bulk(cvid="1")),
    "QUERY_NOT_SUPPORTED": (400, bulk(page_token="x")),
    "JOIN_LIMIT_EXCEEDED": (400, bulk(fields=[DEEP])),
}

SILENT = "no source tells which request is answered with it"
STATE = "a state of records or of the organisation that the simulator does not have"
UNREACHABLE = {
    "INVALID_HOST": "a simulator on loopback has no other host",
    "AUTHORIZATION_FAILED": SILENT,
    "FEATURE_NOT_SUPPORTED": STATE,
    "LICENSE_LIMIT_EXCEEDED": STATE,
    "METHOD_NOT_ALLOWED": SILENT,
    "EXPECTED_FIELD_MISSING": SILENT,
    "UNABLE_TO_PARSE_DATA_TYPE": SILENT,
    "DEPENDENT_FIELD_MISSING": STATE,
    "DEPENDENT_MISMATCH": STATE,
    "DEPENDENT_SERVICE_ERROR": STATE,
    "RECORD_IN_BLUEPRINT": STATE,
    "ID_ALREADY_CONVERTED": "converting is no call of the simulator",
    "CANNOT_BE_UPDATED": SILENT,
    "UNSUPPORTED_MEDIA_TYPE": SILENT,
    "FILE_SIZE_MORE_THAN_ALLOWED_SIZE": "files of records are no call of the simulator",
    "VIRUS_DETECTED": "files of records are no call of the simulator",
    "STORAGE_SPACE_EXCEEDED": "files of records are no call of the simulator",
    "INVALID_ALIAS": SILENT,
    "COMPARATOR_AND_ENCRYPTED_VALUE_IN_CRITERIA_NOT_COMPATIBLE": "no encrypted fields",
    "CRITERIA_NOT_SUPPORTED": SILENT,
    "CALLBACK_FAILURE": SILENT,
    "PAGE_NOT_SUPPORTED": SILENT,
    "JOB_NOT_SUPPORTED": SILENT,
    "NOT_SUPPORTED_FEATURE": SILENT,
    "INVALID_BULK_OPERATION": SILENT,
    "INVALID_SERVICE_NAME": SILENT,
}


def code_of(answer: requests.Response) -> str:
    content = answer.json()
    for wrapper in ("data", "watch"):
        if wrapper in content:
            content = content[wrapper][0]
    return str(content["code"])


@pytest.mark.parametrize("code", PROVOKED)
def test_provoked(zoho: Zoho, code: str):
    status, provoke = PROVOKED[code]
    answer = provoke(zoho)
    assert (answer.status_code, code_of(answer)) == (status, code)


def test_every_code_of_the_sheet_is_treated():
    if not SHEET.exists():
        pytest.skip("the sheet lies outside the repository")
    text = SHEET.read_text(encoding="utf-8")
    named: set[str] = set()
    for start, end in (("### 4.7", "\n---"), ("## 7. Error codes", "\n---")):
        part = text[text.index(start) :]
        for line in part[: part.index(end)].splitlines():
            if line.startswith("|"):
                # The first column, without what stands in brackets.
                named |= set(re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b|\bSUCCESS\b", line.split("|")[1]))
    assert named - PROVOKED.keys() - UNREACHABLE.keys() == set()
    assert PROVOKED.keys() & UNREACHABLE.keys() == set()
    assert (PROVOKED.keys() | UNREACHABLE.keys()) - named == set()
