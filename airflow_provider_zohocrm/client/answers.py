"""Reading an answer: a value, or the error that says what was asked, what Zoho said and what to do."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.client import jsontext
from airflow_provider_zohocrm.client.secret import without_tokens
from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoAuthenticationError,
    ZohoNotFoundError,
    ZohoPaginationLimitError,
    ZohoPermissionError,
    ZohoRateLimitError,
    ZohoResponseError,
    ZohoScopeError,
    ZohoServerError,
    ZohoTransportError,
    ZohoUntrustedHostError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from airflow_provider_zohocrm.client.calls import Call

# Where the code alone decides (reference sheet §7); otherwise the status does.
_BY_CODE: dict[str, type[ZohoAPIError]] = {
    "OAUTH_SCOPE_MISMATCH": ZohoScopeError,
    "NO_PERMISSION": ZohoPermissionError,
    "AUTHORIZATION_FAILED": ZohoPermissionError,
    "INVALID_MODULE": ZohoNotFoundError,
    "MODULE_NOT_AVAILABLE": ZohoNotFoundError,
    "RESOURCE_NOT_FOUND": ZohoNotFoundError,
    "INVALID_URL_PATTERN": ZohoNotFoundError,
    "DISCRETE_PAGINATION_LIMIT_EXCEEDED": ZohoPaginationLimitError,
    "PAGINATION_LIMIT_EXCEEDED": ZohoPaginationLimitError,
    "LIMIT_REACHED": ZohoPaginationLimitError,
    "TOO_MANY_REQUESTS": ZohoRateLimitError,
    "RATE_LIMIT_EXCEEDED": ZohoRateLimitError,
}
_BY_STATUS: dict[int, type[ZohoAPIError]] = {
    401: ZohoAuthenticationError,
    403: ZohoPermissionError,
    404: ZohoNotFoundError,
    429: ZohoRateLimitError,
}

_USE_BULK = "Read this module with ZohoBulkReadOperator or create_bulk_read_job (200,000 records a job)."
_REMEDIES = {
    "INVALID_TOKEN": "The token is not valid on this host: check that data centre and environment of the "
    "connection are those the client was created in.",
    "AUTHENTICATION_FAILURE": "Zoho does not know the token: check data centre and environment of the connection.",
    "INVALID_HOST": "The API URL must be on a zohoapis host, e.g. https://www.zohoapis.eu.",
    "NO_PERMISSION": "The Zoho user who granted the token lacks this right in their profile.",
    "AUTHORIZATION_FAILED": "The Zoho user who granted the token lacks this right in their profile.",
    "NOT_SUPPORTED": "Zoho reserves this for administrators, or does not offer it for this module.",
    "INVALID_MODULE": "Check the module's API name (Setup > Developer Hub > APIs > API Names; Deals, not Potentials) "
    "and that the user may see it.",
    "MODULE_NOT_AVAILABLE": "Check the module's API name (Setup > Developer Hub > APIs > API Names).",
    "INVALID_URL_PATTERN": "The address does not exist in this API version: check api_version of the connection.",
    "API_NOT_SUPPORTED": "This call does not exist in this API version: set api_version of the connection.",
    "REQUIRED_PARAM_MISSING": "Give the parameter named in the details.",
    "LIMIT_EXCEEDED": "Give no more values than the details allow.",
    "TOKEN_BOUND_DATA_MISMATCH": "A page token is bound to the other parameters of its first call.",
    "EXPIRED_VALUE": "Page tokens live 24 hours: start the walk again.",
    "DISCRETE_PAGINATION_LIMIT_EXCEEDED": "Set api_version v3 or newer, which goes on by page token. "
    + _USE_BULK,
    "PAGINATION_LIMIT_EXCEEDED": "Zoho lists 100,000 records at most. " + _USE_BULK,
    "LIMIT_REACHED": "A search finds 2,000 records at most: narrow it, or use query() with COQL.",
    "FIELD_NOT_SUPPORTED": "Leave out the field named in the details: bulk read cannot export it.",
    "FIELD_NOT_AVAILABLE": "Check the API name of the field named in the details.",
    "RESOURCE_NOT_FOUND": "Zoho does not know this job or result; results of bulk read live for one day, of bulk write for seven.",
    "MANDATORY_NOT_FOUND": "Give the field or key named in the details.",
}
_BY_STATUS_REMEDY = {
    401: "Check data centre and credentials of the connection.",
    429: "The organisation's API credits or parallel calls are used up, or more than 10 results were downloaded in "
    "a minute. Run fewer tasks at once (an Airflow pool), or wait: credits come back 24 hours after they were spent.",
    500: "Zoho failed; if it lasts, contact Zoho's support with the time and the call.",
}
_SCOPES = (
    (r"/crm/bulk/[^/]+/write", "ZohoCRM.bulk.CREATE together with ZohoCRM.modules.ALL"),
    (r"/crm/[^/]+/upload$", "ZohoFiles.files.ALL"),
    ("/crm/bulk/", "ZohoCRM.bulk.READ together with ZohoCRM.modules.ALL"),
    ("/coql", "ZohoCRM.coql.READ together with ZohoCRM.modules.ALL"),
    ("/search", "ZohoSearch.securesearch.READ together with ZohoCRM.modules.ALL"),
    ("/actions/count", "ZohoSearch.securesearch.READ together with ZohoCRM.modules.ALL"),
    ("/settings/fields", "ZohoCRM.settings.fields.READ"),
    ("/settings/modules", "ZohoCRM.settings.modules.READ"),
    ("/settings/", "ZohoCRM.settings.ALL"),
    ("/org", "ZohoCRM.org.READ"),
)


def read_answer(call: Call, status: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
    """Turn an answer into its JSON object.

    :param call: what was asked.
    :param status: HTTP status.
    :param headers: headers of the answer, looked up without regard to case.
    :param body: the whole body.
    :return: the object, or None for an answer that is empty by design: 204 and 304.
    :raises ZohoCRMError: the subclass that fits, see :mod:`airflow_provider_zohocrm.exceptions`.
    """
    if status in (204, 304):
        return None
    if 300 <= status < 400:
        raise ZohoUntrustedHostError(
            f"{call} was answered with a redirect ({status}); it was not followed, so that the token stays with Zoho. "
            "Check the API URL of the connection, and proxies on the way."
        )
    try:
        answer = _parser(call, status)(body)
    except ValueError:
        answer = None
    if status < 400:
        if not isinstance(answer, dict):
            raise ZohoTransportError(
                f"{call} was answered {status} with a body that is not whole JSON ({len(body)} bytes: {_text(body[:80])})"
            )
        return answer
    if call.per_record and isinstance(answer, dict) and _is_per_record(answer):
        return answer
    raise error_of(call, status, headers, answer, body)


def is_crowded(call: Call, status: int) -> bool:
    """Tell whether an answer may mean that too many calls are under way; too many downloads in a minute are no crowd."""
    return status == 429 and call.pause is None


def _parser(call: Call, status: int) -> Callable[[bytes], Any]:
    if call.lines and status < 400:
        return jsontext.loads_results if call.per_record else jsontext.loads_page
    # Results of writes hold no numbers that a float would round.
    return jsontext.loads_short if call.per_record else jsontext.loads


def error_of(
    call: Call, status: int, headers: Mapping[str, str], answer: Any, body: bytes = b""
) -> ZohoAPIError:
    """Build the error for an answer of 400 or more.

    :param answer: the parsed body, or None when it is not JSON.
    :param body: the body itself, quoted when it is not JSON.
    """
    envelope = answer if isinstance(answer, dict) else {}
    wrapped = envelope.get("data")
    if isinstance(wrapped, list) and wrapped and isinstance(wrapped[0], dict):
        envelope = wrapped[0]
    code = printable(str(envelope.get("code") or ""))
    details = envelope.get("details") or {}
    said = printable(_said(envelope)) if envelope else _text(body[:200])
    kind = (
        _BY_CODE.get(code) or _BY_STATUS.get(status) or (ZohoServerError if status >= 500 else ZohoAPIError)
    )
    if kind is ZohoScopeError:
        remedy = f"Grant the client the scope {needed_scope(call)} and make a new refresh token."
    else:
        remedy = _REMEDIES.get(code) or _BY_STATUS_REMEDY.get(min(status, 500), "")
    shown = _text(jsontext.dumps(details)[:500]) if details else ""
    parts = [
        f"{call} failed: Zoho answered {status} {code}".rstrip(),
        f": {said}" if said else "",
        f" {shown}".rstrip(),
    ]
    return kind(
        f"{''.join(parts).rstrip('.')}. {remedy}".rstrip(),
        status=status,
        code=code,
        details=details if isinstance(details, (dict, list)) else {"details": details},
        retry_after=retry_after(headers, details),
    )


def _said(envelope: Mapping[str, Any]) -> str:
    """Find the words of a refusal; uploads and results of bulk write have envelopes of their own (reference sheet §5)."""
    words = (envelope.get(key) for key in ("message", "x-error", "x-info", "ERROR_MESSAGE"))
    return next((str(one) for one in words if one), "")


def needed_scope(call: Call) -> str:
    """Name the OAuth scopes a call needs (reference sheet §1.7)."""
    for part, scope in _SCOPES:
        if re.search(part, call.path):
            return scope
    operation = {"GET": "READ", "DELETE": "DELETE", "PUT": "UPDATE"}.get(call.method, "CREATE")
    return f"ZohoCRM.modules.ALL (or ZohoCRM.modules.<module>.{operation})"


def retry_after(headers: Mapping[str, str], details: Any = None) -> float | None:
    """Read after how many seconds Zoho wants to be called again, from the header or ``details.retry_after``."""
    found = _seconds(headers.get("Retry-After"))
    if found is None and isinstance(details, dict):
        found = _seconds(details.get("retry_after"))
    return found


def clock_offset(headers: Mapping[str, str], now: float) -> float:
    """Tell by how many seconds Zoho's clock is ahead, from the header ``Date``; 0 without one.

    :param now: Unix time of this machine.
    """
    try:
        return parsedate_to_datetime(headers["Date"]).timestamp() - now
    except (KeyError, TypeError, ValueError, OverflowError):
        return 0.0


def _seconds(given: Any) -> float | None:
    """Read seconds, or the seconds until an HTTP date to come."""
    try:
        seconds = float(given)
    except (TypeError, ValueError):
        seconds = _seconds_until(given) if isinstance(given, str) else -1.0
    return seconds if 0 <= seconds < float("inf") else None


def _seconds_until(date: str) -> float:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return -1.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return (moment - datetime.now(timezone.utc)).total_seconds()


def records_of(answer: dict[str, Any] | None, call: Call) -> list[dict[str, Any]]:
    """Take the records out of a list answer; none for an empty one.

    :raises ZohoResponseError: if ``data`` is not a list.
    """
    if answer is None:
        return []
    data = answer.get("data")
    if not isinstance(data, list):
        raise ZohoResponseError(f"{call}: the answer holds no list of records, only {sorted(answer)}")
    return data


def write_results(answer: dict[str, Any] | None, call: Call, count: int) -> list[dict[str, Any]]:
    """Take the results of a write, one for each record, in their order.

    :raises ZohoResponseError: if there are more or fewer results than records, so that none is lost unseen.
    """
    results = records_of(answer, call)
    if len(results) != count:
        first = results[0] if results and isinstance(results[0], dict) else {}
        said = printable(
            f"{first.get('code', '')} {first.get('message', '')} {first.get('details') or ''}"[:300]
        )
        raise ZohoResponseError(
            f"{call}: {count} records were sent and {len(results)} results came back; which record a result belongs "
            f"to cannot be told. Some of them may have been written. The first result: {said or 'none'}"
        )
    return results


def _is_per_record(answer: dict[str, Any]) -> bool:
    data = answer.get("data")
    return (
        isinstance(data, list)
        and bool(data)
        and all(isinstance(item, dict) and "status" in item for item in data)
    )


def _text(raw: bytes) -> str:
    """Make foreign bytes fit for one line of a log."""
    return printable(raw.decode("utf-8", "replace"))


def printable(text: str) -> str:
    """Make foreign text fit for one line of a log, without a token that it may repeat."""
    return without_tokens(" ".join("".join(char if char.isprintable() else " " for char in text).split()))
