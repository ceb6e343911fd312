"""Zoho by script: what it answers, and what it was asked."""

from __future__ import annotations

import io
import json
import zipfile
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import requests

if TYPE_CHECKING:
    from collections.abc import Iterable

    from requests_mock import Mocker

ACCOUNTS = "https://accounts.zoho.com"
API = "https://www.zohoapis.com"
ACCESS_TOKEN = "1000.the-access-token"
TOKEN = {"access_token": ACCESS_TOKEN, "api_domain": API, "token_type": "Bearer", "expires_in": 3600}
SECRETS = (ACCESS_TOKEN, "the-client-secret", "1000.the-refresh-token")


class ScriptedZoho:
    """Answers of both hosts; what is not in the script is a failed connection."""

    def __init__(self, mocker: Mocker) -> None:
        self.mocker = mocker
        self.tokens({"json": TOKEN})

    def tokens(self, *answers: dict[str, Any]) -> None:
        """Script the token endpoint; the last answer is repeated."""
        self.mocker.register_uri("POST", f"{ACCOUNTS}/oauth/v2/token", list(answers))

    def on(self, method: str, path: str, *answers: dict[str, Any] | Any) -> None:
        """Script a path of the API host: dicts are JSON bodies of 200, or requests-mock's own with ``status_code``."""
        self.mocker.register_uri(method, f"{API}{path}", [as_answer(one) for one in answers])

    def on_callback(self, method: str, path: str, callback: Any) -> None:
        """Script a path by a function of requests-mock."""
        self.mocker.register_uri(method, f"{API}{path}", json=callback)

    @property
    def calls(self) -> list[Call]:
        """What the API host was asked, in order."""
        return [Call(one) for one in self.mocker.request_history if one.url.startswith(API)]

    @property
    def mints(self) -> int:
        """How many tokens were asked for."""
        return sum(one.url.startswith(ACCOUNTS) for one in self.mocker.request_history)

    @property
    def asked(self) -> list[str]:
        """What the API host was asked, as ``GET /path``."""
        return [f"{one.method} {one.path}" for one in self.calls]


class Call:
    """One request that arrived."""

    def __init__(self, request: Any) -> None:
        parts = urlsplit(request.url)
        self.method = request.method
        self.path = parts.path
        self.params = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.headers = request.headers
        self.text = request.text

    @property
    def json(self) -> Any:
        """The body."""
        return json.loads(self.text)


def as_answer(value: Any) -> dict[str, Any]:
    """Turn a body into an answer of requests-mock."""
    known = {"status_code", "content", "text", "json", "exc"}
    return value if isinstance(value, dict) and known & set(value) else {"json": value}


def refusal(status: int, code: str, message: str = "said by Zoho", **details: Any) -> dict[str, Any]:
    """Build a flat error."""
    body = {"code": code, "details": details, "message": message, "status": "error"}
    return {"status_code": status, "json": body}


def page(records: Iterable[dict[str, Any]], *, more: str | bool = False, number: int = 1) -> dict[str, Any]:
    """Build a page of records; ``more`` is the token of the next one, or True for v2."""
    data = list(records)
    info: dict[str, Any] = {
        "per_page": 200,
        "count": len(data),
        "page": number,
        "more_records": bool(more),
    }
    if more is not True:
        info |= {"next_page_token": more or None, "previous_page_token": None}
    return {"data": data, "info": info}


def fields(*names: str, **kinds: tuple[str, str]) -> dict[str, Any]:
    """Build field metadata: texts by name, and others as ``name=(data_type, json_type)``."""
    described = dict.fromkeys(names, ("text", "string")) | kinds
    return {
        "fields": [
            {"api_name": name, "data_type": data_type, "json_type": json_type, "length": 255}
            for name, (data_type, json_type) in described.items()
        ]
    }


def written(*actions: str) -> dict[str, Any]:
    """Build the answer of an upsert: ``insert`` or ``update`` for each record, anything else is an error code."""
    results = []
    for number, action in enumerate(actions):
        if action in ("insert", "update"):
            details: dict[str, Any] = {"id": str(number)}
            results.append(
                {
                    "code": "SUCCESS",
                    "action": action,
                    "duplicate_field": None,
                    "details": details,
                    "message": "done",
                    "status": "success",
                }
            )
        else:
            details = {"api_name": "Email", "json_path": f"$.data[{number}].Email"}
            results.append({"code": action, "details": details, "message": "invalid data", "status": "error"})
    bad = sum(result["status"] == "error" for result in results)
    status = 200 if not bad else 400 if bad == len(results) else 207
    return {"status_code": status, "json": {"data": results}}


def job_added(job_id: str) -> dict[str, Any]:
    """Build the answer that creates a bulk read job."""
    details = {
        "id": job_id,
        "operation": "read",
        "state": "ADDED",
        "created_time": "2026-01-01T00:00:00+00:00",
    }
    body = {
        "data": [
            {
                "status": "success",
                "code": "ADDED_SUCCESSFULLY",
                "message": "Added successfully.",
                "details": details,
            }
        ],
        "info": {},
    }
    return {"status_code": 201, "json": body}


def job(job_id: str, state: str, **result: Any) -> dict[str, Any]:
    """Build the state of a job; ``count`` and ``more`` make the result of a completed one."""
    one: dict[str, Any] = {
        "id": job_id,
        "operation": "read",
        "state": state,
        "file_type": "csv",
        "query": {"module": {"api_name": "Leads"}, "page": 1},
    }
    if state == "COMPLETED":
        more = result.get("more", False)
        one["result"] = {
            "page": 1,
            "per_page": 200000,
            "count": result.get("count", 0),
            "download_url": f"/crm/bulk/v8/read/{job_id}/result",
            "more_records": bool(more),
            **({"next_page_token": more} if more else {}),
        }
    elif result:
        one["result"] = result
    return {"data": [one]}


def zipped(name: str, text: str) -> bytes:
    """Build the zip of a result."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text)
    return packed.getvalue()


async def answer_by_requests(
    _transport: Any, call: Any, url: str, *, params: Any = None, data: Any = None, headers: Any = None
) -> tuple[int, Any, bytes]:
    """Stand in for the sending end of the asynchronous transport, so that one script answers both."""
    from airflow_provider_zohocrm.exceptions import ZohoTransportError

    try:
        response = requests.request(  # noqa: ASYNC210  # requests-mock answers, nothing is waited for
            call.method, url, params=params, data=data, headers=headers, allow_redirects=False, timeout=5
        )
    except requests.RequestException as error:
        raise ZohoTransportError(str(error)) from error
    return response.status_code, response.headers, response.content
