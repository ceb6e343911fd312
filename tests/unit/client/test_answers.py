from __future__ import annotations

import json

import pytest
from requests.structures import CaseInsensitiveDict

from airflow_provider_zohocrm.client.answers import (
    error_of,
    needed_scope,
    read_answer,
    records_of,
    retry_after,
    write_results,
)
from airflow_provider_zohocrm.client.calls import Call
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

GET = Call("GET", "/crm/v8/Leads", {"word": "private"})
WRITE = Call("POST", "/crm/v8/Leads/upsert", per_record=True)
BULK = Call("POST", "/crm/bulk/v8/read")


def error(code, message, details=None):
    return {
        "code": code,
        "message": message,
        "details": {} if details is None else details,
        "status": "error",
    }


def read(call, status, body, headers=()):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_answer(call, status, CaseInsensitiveDict(headers), content)


def refused(call, status, body, headers=()):
    with pytest.raises(ZohoAPIError) as caught:
        read(call, status, body, headers)
    return caught.value


# Reference sheet §10.2 and §7: status, body, class, part of the remedy.
BODIES = [
    (
        400,
        error("INVALID_MODULE", "the module name given seems to be invalid", {"resource_path_index": 0}),
        ZohoNotFoundError,
        "API name",
    ),
    (
        400,
        error("REQUIRED_PARAM_MISSING", "required param is missing", {"param_name": "fields"}),
        ZohoAPIError,
        "parameter",
    ),
    (
        400,
        error("REQUIRED_PARAM_MISSING", "One of the expected parameter is missing", {"param": "ids"}),
        ZohoAPIError,
        "parameter",
    ),
    (
        400,
        error("LIMIT_EXCEEDED", "limit exceeded", {"limit": 50, "param_name": "fields"}),
        ZohoAPIError,
        "more",
    ),
    (400, error("INVALID_DATA", "invalid data", {"param_name": "cvid"}), ZohoAPIError, ""),
    (
        400,
        error("INVALID_DATA", "invalid data", {"param_name": "sort_by", "supported_values": ["id"]}),
        ZohoAPIError,
        "",
    ),
    (
        400,
        error(
            "TOKEN_BOUND_DATA_MISMATCH",
            "The page_token given seems to be invalid",
            {"param_name": "page_token"},
        ),
        ZohoAPIError,
        "page token",
    ),
    (400, error("EXPIRED_VALUE", "Page token expired", {"api_name": "page_token"}), ZohoAPIError, "24 hours"),
    (
        400,
        error(
            "DISCRETE_PAGINATION_LIMIT_EXCEEDED", "You can only get the first 2000 records", {"limit": 2000}
        ),
        ZohoPaginationLimitError,
        "api_version",
    ),
    (
        400,
        error(
            "PAGINATION_LIMIT_EXCEEDED", "You can only get upto 100000 records", {"param_name": "page_token"}
        ),
        ZohoPaginationLimitError,
        "ZohoBulkReadOperator",
    ),
    (400, error("LIMIT_REACHED", "limit reached"), ZohoPaginationLimitError, "COQL"),
    (
        400,
        error(
            "AMBIGUITY_DURING_PROCESSING",
            "ambiguous",
            {"ambiguity_due_to": [{"param_name": "page"}, {"param_name": "page_token"}]},
        ),
        ZohoAPIError,
        "",
    ),
    (400, error("PATTERN_NOT_MATCHED", "Please check", {"param_name": "per_page"}), ZohoAPIError, ""),
    (401, error("INVALID_TOKEN", "invalid oauth token"), ZohoAuthenticationError, "data centre"),
    (401, error("INVALID_TOKEN", "Invalid OAuth token"), ZohoAuthenticationError, "data centre"),
    (401, error("AUTHENTICATION_FAILURE", "Authentication failed"), ZohoAuthenticationError, "data centre"),
    (401, error("OAUTH_SCOPE_MISMATCH", "Unauthorized"), ZohoScopeError, "ZohoCRM.modules."),
    (
        403,
        error("NO_PERMISSION", "Permission denied", {"permissions": ["Crm_Implied_View_Leads"]}),
        ZohoPermissionError,
        "profile",
    ),
    (400, error("NO_PERMISSION", "Permission denied"), ZohoPermissionError, "profile"),
    (400, error("AUTHORIZATION_FAILED", "no privilege"), ZohoPermissionError, "profile"),
    (403, error("NOT_SUPPORTED", "not supported"), ZohoPermissionError, "administrators"),
    (404, error("INVALID_URL_PATTERN", "Please check if the URL"), ZohoNotFoundError, "api_version"),
    (400, error("INVALID_REQUEST_METHOD", "The http request method"), ZohoAPIError, ""),
    (400, error("INVALID_HOST", "invalid host"), ZohoAPIError, "zohoapis"),
    (
        429,
        error("TOO_MANY_REQUESTS", "too many requests. please try again after some time"),
        ZohoRateLimitError,
        "24 hours",
    ),
    (
        429,
        error("RATE_LIMIT_EXCEEDED", "Too many requests. Please try again later."),
        ZohoRateLimitError,
        "24 hours",
    ),
    (500, error("INTERNAL_ERROR", "Internal Server Error"), ZohoServerError, "support"),
    (
        404,
        error("RESOURCE_NOT_FOUND", "The requested resource doesn't exist.", {"resource": "55"}),
        ZohoNotFoundError,
        "one day",
    ),
    (
        400,
        error("RESOURCE_NOT_FOUND", "The requested resource doesn't exist.", {"resource": "55"}),
        ZohoNotFoundError,
        "one day",
    ),
    (
        415,
        error("MEDIA_TYPE_NOT_SUPPORTED", "Media type is not supported.", ["application/json"]),
        ZohoAPIError,
        "",
    ),
    (400, error("REQUEST_BODY_NOT_SUPPORTED", "request body contains invalid format"), ZohoAPIError, ""),
    (400, error("CRITERIA_LIMIT_EXCEEDED", "text", {"max_limit": 25}), ZohoAPIError, ""),
    (400, error("FIELD_NOT_SUPPORTED", "text", {"api_name": "Address"}), ZohoAPIError, "Leave out"),
    (400, error("GROUP_OPERATOR_NOT_SUPPORTED", "text", {"supported": ["and", "or"]}), ZohoAPIError, ""),
    (400, error("SYNTAX_ERROR", "missing clause", {"clause": "where"}), ZohoAPIError, ""),
    (400, error("INVALID_QUERY", "limit given seems to be invalid", {"limit": "s"}), ZohoAPIError, ""),
    (
        400,
        error("MANDATORY_NOT_FOUND", "mandatory key not found", {"api_name": "select_query"}),
        ZohoAPIError,
        "details",
    ),
    (
        400,
        error("INVALID_DATA", "The related id given seems to be invalid", {"resource_path_index": 1}),
        ZohoAPIError,
        "",
    ),
    (
        400,
        error("RECORD_LOCKED", "You cannot perform this", {"action": "record_locking", "id": "1"}),
        ZohoAPIError,
        "",
    ),
    (400, error("EXPECTED_PARAM_MISSING", "missing"), ZohoAPIError, ""),
    (413, error("REQUEST_ENTITY_TOO_LARGE", "too large"), ZohoAPIError, ""),
    (502, error("BAD_GATEWAY", "bad gateway"), ZohoServerError, ""),
    (503, error("SERVICE_UNAVAILABLE", "unavailable"), ZohoServerError, ""),
]


@pytest.mark.parametrize(
    ("status", "body", "kind", "remedy"), BODIES, ids=[f"{one[0]}-{one[1]['code']}" for one in BODIES]
)
def test_each_documented_error_says_what_was_asked_what_zoho_said_and_what_to_do(status, body, kind, remedy):
    caught = refused(GET, status, body)
    assert type(caught) is kind
    text = str(caught)
    for part in ("GET /crm/v8/Leads", str(status), body["code"], body["message"].rstrip("."), remedy):
        assert part in text
    assert (caught.status, caught.code, caught.details) == (status, body["code"], body["details"])
    details = body["details"]
    for value in details.values() if isinstance(details, dict) else details:
        assert json.dumps(value, separators=(",", ":")) in text
    assert "private" not in text


@pytest.mark.parametrize("code", ["INVALID_TOKEN", "OAUTH_SCOPE_MISMATCH", "RESOURCE_NOT_FOUND"])
def test_a_body_without_details_is_read_with_a_default(code):
    caught = refused(GET, 401, {"code": code, "message": "m", "status": "error"})
    assert caught.details == {}
    assert caught.code == code


def test_details_may_be_an_array():
    caught = refused(BULK, 415, error("MEDIA_TYPE_NOT_SUPPORTED", "m", ["application/json"]))
    assert caught.details == ["application/json"]
    assert "application/json" in str(caught)


def test_details_of_another_type_do_not_break_the_error():
    assert refused(GET, 400, error("X", "m", "text")).details == {"details": "text"}


def test_an_error_wrapped_in_data_is_unwrapped():
    caught = refused(BULK, 400, {"data": [error("MODULE_NOT_AVAILABLE", "no such", {"api_name": "X"})]})
    assert type(caught) is ZohoNotFoundError
    assert (caught.code, caught.details) == ("MODULE_NOT_AVAILABLE", {"api_name": "X"})
    assert "no such" in str(caught)


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("body", [b"", b"ignored"])
def test_empty_by_design_is_none_and_no_error(status, body):
    assert read(GET, status, body) is None


@pytest.mark.parametrize("status", [200, 201, 202, 207])
def test_success_is_the_object(status):
    assert read(GET, status, {"data": [{"id": "1306462000000888026"}]}) == {
        "data": [{"id": "1306462000000888026"}]
    }


@pytest.mark.parametrize("status", [200, 201, 202, 207])
@pytest.mark.parametrize(
    "body", [b"", b'{"data":[{"id":"1', b"<html>ok</html>", b"[]", b"null", b"\xff\xfe{}"]
)
def test_success_without_whole_json_is_a_transport_error_that_may_have_been_carried_out(status, body):
    with pytest.raises(ZohoTransportError) as caught:
        read(GET, status, body)
    assert caught.value.sent is True
    assert "GET /crm/v8/Leads" in str(caught.value)
    assert str(status) in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_error_and_not_followed(status):
    with pytest.raises(ZohoUntrustedHostError, match="redirect"):
        read(GET, status, b"", {"Location": "https://evil.io"})


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ZohoAPIError),
        (401, ZohoAuthenticationError),
        (403, ZohoPermissionError),
        (404, ZohoNotFoundError),
        (429, ZohoRateLimitError),
        (500, ZohoServerError),
        (502, ZohoServerError),
        (503, ZohoServerError),
        (504, ZohoServerError),
    ],
)
@pytest.mark.parametrize("body", [b"<html>Bad\r\n Gateway</html>", b"", b"[1]", b'"text"', b'{"cut":'])
def test_a_body_that_is_no_object_goes_by_its_status(status, kind, body):
    caught = refused(GET, status, body)
    assert type(caught) is kind
    assert (caught.code, caught.details) == ("", {})
    assert str(status) in str(caught)
    assert str(caught).isprintable()


def test_a_foreign_page_is_quoted_but_not_whole():
    text = str(refused(GET, 502, b"<html>" + b"x" * 100_000))
    assert "<html>xxx" in text
    assert len(text) < 1_000


CONTROL = "line one\r\nline two\x1b[31m\x00\x07\u2028end"


@pytest.mark.parametrize(
    "body",
    [CONTROL.encode(), error("X", CONTROL), error("X" + CONTROL, "m"), error("X", "m", {"a": CONTROL})],
)
def test_control_characters_of_an_answer_do_not_reach_the_log(body):
    text = str(refused(GET, 400, body))
    assert text.isprintable()
    assert "line one" in text or "line" in text


def test_control_characters_of_a_cut_answer_do_not_reach_the_log():
    with pytest.raises(ZohoTransportError) as caught:
        read(GET, 200, CONTROL.encode())
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("call", "scope"),
    [
        (Call("GET", "/crm/v8/Leads"), "ZohoCRM.modules.ALL"),
        (Call("DELETE", "/crm/v8/Leads"), "ZohoCRM.modules.ALL"),
        (Call("POST", "/crm/v8/Leads/upsert"), "ZohoCRM.modules.ALL"),
        (Call("POST", "/crm/v8/coql"), "ZohoCRM.coql.READ"),
        (Call("POST", "/crm/bulk/v8/read"), "ZohoCRM.bulk.READ"),
        (Call("GET", "/crm/bulk/v8/read/1/result"), "ZohoCRM.bulk.READ"),
        (Call("GET", "/crm/v8/Leads/search"), "ZohoSearch.securesearch.READ"),
        (Call("GET", "/crm/v8/Leads/actions/count"), "ZohoSearch.securesearch.READ"),
        (Call("GET", "/crm/v8/settings/fields"), "ZohoCRM.settings.fields.READ"),
        (Call("GET", "/crm/v8/settings/modules"), "ZohoCRM.settings.modules.READ"),
        (Call("GET", "/crm/v8/org"), "ZohoCRM.org.READ"),
    ],
)
def test_a_missing_scope_is_named(call, scope):
    caught = refused(call, 401, error("OAUTH_SCOPE_MISMATCH", "Unauthorized"))
    assert scope in needed_scope(call)
    assert needed_scope(call) in str(caught)


def test_bulk_read_and_coql_need_a_module_scope_as_well():
    assert "ZohoCRM.modules" in needed_scope(BULK)
    assert "ZohoCRM.modules" in needed_scope(Call("POST", "/crm/v8/coql"))


@pytest.mark.parametrize(
    ("headers", "details", "seconds"),
    [
        ({"Retry-After": "30"}, {}, 30.0),
        ({"retry-after": "1.5"}, {}, 1.5),
        ({}, {"retry_after": 60, "limit": 100, "window": 60}, 60.0),
        ({}, {"retry_after": "7"}, 7.0),
        ({"Retry-After": "5"}, {"retry_after": 60}, 5.0),
        ({"Retry-After": "0"}, {}, 0.0),
        ({}, {}, None),
        ({}, [], None),
        ({}, None, None),
        ({"Retry-After": "-1"}, {}, None),
        ({"Retry-After": "nan"}, {}, None),
        ({"Retry-After": "inf"}, {}, None),
        ({"Retry-After": "soon"}, {}, None),
        ({}, {"retry_after": None}, None),
        ({}, {"retry_after": [1]}, None),
    ],
)
def test_when_zoho_wants_to_be_called_again(headers, details, seconds):
    assert retry_after(CaseInsensitiveDict(headers), details) == seconds


def test_an_unreadable_header_does_not_hide_the_time_in_the_details():
    headers = CaseInsensitiveDict({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"})
    assert retry_after(headers, {"retry_after": 60}) == 60.0


def test_the_time_is_on_the_exception():
    caught = refused(GET, 429, error("TOO_MANY_REQUESTS", "m", {"retry_after": 60}))
    assert caught.retry_after == 60.0
    assert refused(GET, 503, b"", {"Retry-After": "9"}).retry_after == 9.0


PER_RECORD = [
    error("INVALID_DATA", "invalid data", {"api_name": "Company", "json_path": "$.data[1].Company"}),
    error("MANDATORY_NOT_FOUND", "required field not found", {"api_name": "Last_Name"}),
    error("DUPLICATE_DATA", "duplicate data", {"api_name": "Email", "id": "2008662000006256222"}),
    error("MULTIPLE_OR_MULTI_ERRORS", "Multiple errors in the request", {"errors": []}),
    error("RECORD_LOCKED", "locked", {"action": "record_locking", "id": "1"}),
    error("ALREADY_MODIFIED", "record updated time has already passed", {"id": "1"}),
]


@pytest.mark.parametrize("status", [200, 201, 202, 207, 400, 412])
def test_results_per_record_are_results_whatever_the_status(status):
    assert read(WRITE, status, {"data": PER_RECORD}) == {"data": PER_RECORD}


def test_results_per_record_in_a_call_that_is_none_are_an_error():
    assert refused(GET, 400, {"data": PER_RECORD}).code == "INVALID_DATA"


@pytest.mark.parametrize(
    "body",
    [
        error("INVALID_MODULE", "m"),
        {"data": []},
        {"data": {}},
        {"data": ["text"]},
        {"data": [{"code": "INVALID_DATA"}]},
        {"data": None, "code": "INVALID_DATA"},
    ],
)
def test_a_flat_error_of_a_write_raises(body):
    assert refused(WRITE, 400, body).status == 400


@pytest.mark.parametrize("answer", [{}, {"data": None}, {"data": {}}, {"data": "x", "info": {}}])
def test_a_list_answer_without_list_is_an_error(answer):
    with pytest.raises(ZohoResponseError, match="/crm/v8/Leads"):
        records_of(answer, GET)


def test_an_empty_answer_has_no_records():
    assert records_of(None, GET) == []


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_number_of_results_than_records_is_an_error(count):
    with pytest.raises(ZohoResponseError) as caught:
        write_results({"data": PER_RECORD[:2]}, WRITE, count)
    assert str(count) in str(caught.value)
    assert "2 results" in str(caught.value)


def test_a_refusal_with_fewer_results_than_records_still_says_what_zoho_said():
    answer = read(WRITE, 400, {"data": [error("INVALID_DATA", "Lead limit reached", {"limit": 5})]})
    with pytest.raises((ZohoResponseError, ZohoAPIError)) as caught:
        write_results(answer, WRITE, 100)
    assert "INVALID_DATA" in str(caught.value)


def test_an_error_without_body_still_says_what_was_asked():
    caught = error_of(GET, 204, {}, None)
    assert "GET /crm/v8/Leads" in str(caught)
    assert caught.status == 204
