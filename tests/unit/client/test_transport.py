from __future__ import annotations

import io
import logging

import pytest
import requests
import requests_mock

from airflow_provider_zohocrm.client import retry
from airflow_provider_zohocrm.client.calls import Call
from airflow_provider_zohocrm.client.oauth import Token
from airflow_provider_zohocrm.client.tokens import token_name, token_text
from airflow_provider_zohocrm.exceptions import (
    ZohoAuthenticationError,
    ZohoCRMError,
    ZohoRateLimitError,
    ZohoScopeError,
    ZohoServerError,
    ZohoTransportError,
    ZohoUntrustedHostError,
)

READ = Call("GET", "/crm/v8/Leads", {"fields": "id"})
INSERT = Call("POST", "/crm/v8/Leads", json={"data": [{"Last_Name": "x"}]}, repeatable=False)
OK = {"data": [{"id": "1"}]}


def refused(code, status=401):
    return (status, {"code": code, "details": {}, "message": "m", "status": "error"}, {})


TOO_MANY = refused("TOO_MANY_REQUESTS", 429)
INTERNAL = refused("INTERNAL_ERROR", 500)


@pytest.fixture
def no_jitter(monkeypatch):
    monkeypatch.setattr(retry.random, "uniform", lambda low, high: high)


# Token and host


def test_the_token_is_sent_as_zoho_documents_it(zoho):
    zoho.answer("GET", "/crm/v8/Leads", OK)
    assert zoho.transport().send(READ) == OK
    (call,) = zoho.calls
    assert call.headers["Authorization"] == "Zoho-oauthtoken 1000.atoken-1"
    assert call.query == {"fields": "id"}


def test_the_token_request_is_a_form_and_holds_nothing_in_its_address(zoho, make_credentials):
    zoho.answer("GET", "/crm/v8/Leads", OK)
    zoho.transport().send(READ)
    token = zoho.requests[0]
    assert (token.method, token.path, token.query, token.host) == (
        "POST",
        "/oauth/v2/token",
        {},
        "accounts.zoho.com",
    )
    assert token.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert token.form["refresh_token"] == make_credentials().refresh_token
    assert "Authorization" not in token.headers


def test_a_body_is_json_with_its_content_type(zoho):
    zoho.answer("POST", "/crm/v8/Leads", (201, OK, {}))
    zoho.transport().send(INSERT)
    assert zoho.calls[0].headers["Content-Type"] == "application/json"
    assert zoho.calls[0].json == {"data": [{"Last_Name": "x"}]}


def test_calls_go_where_the_token_answer_says(zoho):
    zoho.mocker.post(
        "https://accounts.zoho.com/oauth/v2/token",
        json={"access_token": "a", "api_domain": "https://www.zohoapis.eu", "expires_in": 3600},
    )
    zoho.answer("GET", "/crm/v8/Leads", OK, host="https://www.zohoapis.eu")
    assert zoho.transport().send(READ) == OK


@pytest.mark.parametrize(
    "api_domain",
    [
        "https://evil.io",
        "https://www.zohoapis.com.evil.io",
        "http://www.zohoapis.com",
        "https://evil.io\\.zohoapis.com",
    ],
)
def test_nothing_is_sent_to_a_foreign_api_domain(zoho, api_domain):
    zoho.mocker.post(
        "https://accounts.zoho.com/oauth/v2/token",
        json={"access_token": "a", "api_domain": api_domain, "expires_in": 3600},
    )
    zoho.mocker.register_uri("GET", requests_mock.ANY, json=OK)
    with pytest.raises(ZohoUntrustedHostError):
        zoho.transport().send(READ)
    assert [one.host for one in zoho.requests] == ["accounts.zoho.com"]


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.io/crm/v8/Leads",
        "https://www.zohoapis.com.evil.io/",
        "http://www.zohoapis.com/crm/v8/org",
        "https://www.zohoapis.com:8443/crm/v8/org",
        "https://accounts.zoho.com/oauth/user/info",
        "https://content.zohoapis.com/crm/v8/upload",
    ],
)
def test_the_session_gives_the_token_to_the_api_host_only(zoho, url):
    zoho.mocker.get(url, json={})
    zoho.transport().session.get(url)
    assert [one.headers.get("Authorization") for one in zoho.requests if one.path != "/oauth/v2/token"] == [
        None
    ]


@pytest.mark.parametrize(
    "url", ["/crm/v8/org", "https://www.zohoapis.com/crm/v8/org", "https://WWW.zohoapis.com/crm/v8/org"]
)
def test_the_session_takes_paths_and_whole_addresses_of_the_api(zoho, url):
    zoho.answer("GET", "/crm/v8/org", {"org": []})
    zoho.transport().session.get(url)
    assert zoho.calls[0].headers["Authorization"] == "Zoho-oauthtoken 1000.atoken-1"


@pytest.mark.parametrize(
    "url", ["https://www.zohoapis.eu", "https://WWW.ZohoAPIs.eu", "https://www.zohoapis.eu:443"]
)
def test_the_token_reaches_the_host_of_an_override_however_it_is_spelt(zoho, url):
    zoho.mocker.get("https://www.zohoapis.eu/crm/v8/Leads", json=OK)
    zoho.mocker.get("https://www.zohoapis.eu:443/crm/v8/Leads", json=OK)
    assert zoho.transport(api_url=url).send(READ) == OK
    assert zoho.calls[0].headers.get("Authorization") == "Zoho-oauthtoken 1000.atoken-1"


def test_an_override_may_be_below_a_path(zoho):
    zoho.answer("GET", "/zoho/crm/v8/Leads", OK, host="https://gateway.example.com")
    assert zoho.transport(api_url="https://gateway.example.com/zoho").send(READ) == OK
    assert zoho.calls[0].headers["Authorization"] == "Zoho-oauthtoken 1000.atoken-1"


def test_credentials_of_a_netrc_file_do_not_replace_the_token(zoho, tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine www.zohoapis.com login me password other\n")
    monkeypatch.setenv("NETRC", str(netrc))
    zoho.answer("GET", "/crm/v8/Leads", OK)
    zoho.transport().send(READ)
    assert zoho.calls[0].headers["Authorization"] == "Zoho-oauthtoken 1000.atoken-1"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_of_the_api_is_not_followed(wire, status):
    wire.script = [(status, b"", {"Location": f"{wire.url}/stolen"})]
    with pytest.raises(ZohoUntrustedHostError):
        wire.transport().send(READ)
    assert [call.path for call in wire.calls] == ["/crm/v8/Leads"]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_of_the_token_endpoint_is_not_followed(wire, status):
    wire.token_script = [(status, b"", {"Location": f"{wire.url}/stolen"})]
    with pytest.raises(ZohoUntrustedHostError):
        wire.transport().send(READ)
    assert [one.path for one in wire.requests] == ["/oauth/v2/token"]


def test_the_session_returns_a_redirect_even_if_asked_to_follow_it(wire):
    wire.script = [(302, b"", {"Location": f"{wire.url}/stolen"})]
    response = wire.transport().session.get("/crm/v8/org", allow_redirects=True)
    assert response.status_code == 302
    assert [call.path for call in wire.calls] == ["/crm/v8/org"]


# Refresh


@pytest.mark.parametrize("code", ["INVALID_TOKEN", "AUTHENTICATION_FAILURE"])
@pytest.mark.parametrize("call", [READ, INSERT])
def test_a_refused_token_is_replaced_once_and_the_call_repeated(zoho, code, call):
    zoho.answer(call.method, "/crm/v8/Leads", refused(code), OK)
    assert zoho.transport().send(call) == OK
    assert zoho.minted == 2
    assert [one.headers["Authorization"][-1] for one in zoho.calls] == ["1", "2"]


def test_a_token_refused_twice_is_an_error_without_another_try(zoho, clock):
    zoho.answer("GET", "/crm/v8/Leads", refused("INVALID_TOKEN"), refused("INVALID_TOKEN"))
    with pytest.raises(ZohoAuthenticationError, match="INVALID_TOKEN"):
        zoho.transport().send(READ)
    assert (zoho.minted, len(zoho.calls), clock.slept) == (2, 2, [])


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(refused("OAUTH_SCOPE_MISMATCH"), ZohoScopeError), (refused("NO_PERMISSION", 403), ZohoCRMError)],
)
def test_a_refusal_that_a_new_token_cannot_help_mints_none(zoho, clock, answer, kind):
    zoho.answer("GET", "/crm/v8/Leads", answer)
    with pytest.raises(kind):
        zoho.transport().send(READ)
    assert (zoho.minted, len(zoho.calls), clock.slept) == (1, 1, [])


def test_a_download_takes_another_token_too(zoho):
    zoho.answer("GET", "/crm/bulk/v8/read/1/result", refused("INVALID_TOKEN"), (200, b"PK", {}))
    target = io.BytesIO()
    assert zoho.transport().download(Call("GET", "/crm/bulk/v8/read/1/result"), target) == 2
    assert (target.getvalue(), zoho.minted) == (b"PK", 2)


# Retries


@pytest.mark.parametrize(
    ("answer", "waited"),
    [
        ((429, {}, {"Retry-After": "7"}), 7.0),
        ((429, {"code": "TOO_MANY_REQUESTS", "details": {"retry_after": 60}}, {}), 60.0),
        (TOO_MANY, 2.0),
        (refused("RATE_LIMIT_EXCEEDED", 429), 2.0),
        ((429, b"<html>slow down</html>", {}), 2.0),
        (INTERNAL, 2.0),
        ((502, b"<html>Bad Gateway</html>", {}), 2.0),
        ((503, b"", {"Retry-After": "3"}), 3.0),
    ],
)
def test_a_passing_failure_is_repeated_after_the_right_time(zoho, clock, no_jitter, answer, waited):
    zoho.answer("GET", "/crm/v8/Leads", answer, OK)
    assert zoho.transport().send(READ) == OK
    assert clock.slept == [waited]


@pytest.mark.parametrize("status", [429, 503])
def test_a_wait_longer_than_the_limit_is_not_begun(zoho, clock, status):
    zoho.answer("GET", "/crm/v8/Leads", (status, {}, {"Retry-After": "3600"}), OK)
    with pytest.raises((ZohoRateLimitError, ZohoServerError)):
        zoho.transport().send(READ)
    assert (clock.slept, len(zoho.calls)) == ([], 1)


def test_a_token_endpoint_that_asks_for_an_hour_is_not_waited_for(wire, clock):
    wire.token_script = [(503, b"", {"Retry-After": "3600"})]
    with pytest.raises(ZohoServerError):
        wire.transport().send(READ)
    assert (clock.slept, wire.minted) == ([], 1)


def test_what_lasts_fails_after_the_retries_with_the_error_itself(zoho, clock, no_jitter):
    zoho.answer("GET", "/crm/v8/Leads", *[TOO_MANY] * 4)
    with pytest.raises(ZohoRateLimitError, match="credits"):
        zoho.transport(retries=3).send(READ)
    assert clock.slept == [2.0, 4.0, 8.0]


@pytest.mark.parametrize("fault", ["reset", "hang up", "cut", "cut chunks", "garbage"])
def test_a_broken_answer_is_read_again(wire, clock, truncated, fault):
    chunks = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n14\r\n{"data":[{"id"'
    answers = {"cut": truncated(OK), "cut chunks": chunks, "garbage": (200, b"\x00\xff", {})}
    wire.script = [answers.get(fault, fault), (200, OK, {})]
    assert wire.transport().send(READ) == OK
    assert (len(wire.calls), len(clock.slept)) == (2, 1)


def test_a_refused_connection_is_tried_again(silent_wire, clock):
    clock.on_sleep = silent_wire.listen
    silent_wire.script = [(200, OK, {})]
    transport = silent_wire.transport(store=silent_wire.stocked(clock))
    assert transport.send(READ) == OK
    assert len(clock.slept) == 1


@pytest.mark.parametrize("answer", [INTERNAL, (503, b"", {}), "reset", "hang up", (201, b'{"data":[', {})])
def test_an_insert_that_may_have_been_stored_is_not_repeated(wire, clock, answer):
    wire.script = [answer, (201, OK, {})]
    with pytest.raises((ZohoServerError, ZohoTransportError)):
        wire.transport().send(INSERT)
    assert (len(wire.calls), clock.slept) == (1, [])


def test_an_insert_whose_answer_breaks_off_is_not_repeated(wire, clock, truncated):
    wire.script = [truncated(OK, 201), (201, OK, {})]
    with pytest.raises(ZohoTransportError) as caught:
        wire.transport().send(INSERT)
    assert caught.value.sent is True
    assert (len(wire.calls), clock.slept) == (1, [])


@pytest.mark.parametrize("answer", [TOO_MANY, (429, {}, {"Retry-After": "1"}), refused("INVALID_TOKEN")])
def test_an_insert_that_zoho_certainly_did_not_store_is_repeated(wire, answer):
    wire.script = [answer, (201, OK, {})]
    assert wire.transport().send(INSERT) == OK
    assert [call.json for call in wire.calls] == [INSERT.json] * 2


def test_an_insert_is_repeated_after_a_refused_connection(silent_wire, clock):
    clock.on_sleep = silent_wire.listen
    silent_wire.script = [(201, OK, {})]
    transport = silent_wire.transport(store=silent_wire.stocked(clock))
    assert transport.send(INSERT) == OK
    assert (len(silent_wire.calls), len(clock.slept)) == (1, 1)


@pytest.mark.parametrize("fault", ["reset", (500, b"", {})])
def test_an_insert_survives_a_token_endpoint_that_fails_for_a_moment(wire, fault):
    wire.token_script = [fault]
    wire.script = [(201, OK, {})]
    assert wire.transport().send(INSERT) == OK
    assert len(wire.calls) == 1


@pytest.mark.parametrize("fault", [(500, b"", {}), "reset"])
@pytest.mark.parametrize("call", [READ, INSERT])
def test_a_token_endpoint_that_stays_down_is_not_asked_more_often_than_the_policy_says(wire, call, fault):
    wire.token_script = [fault] * 50
    with pytest.raises((ZohoServerError, ZohoTransportError)):
        wire.transport(retries=3).send(call)
    assert wire.minted == 4
    assert wire.calls == []


def test_an_accounts_host_that_refuses_connections_is_not_tried_more_often_than_the_policy_says(
    silent_wire, clock
):
    with pytest.raises(ZohoTransportError):
        silent_wire.transport(retries=3).send(READ)
    assert len(clock.slept) == 3


@pytest.mark.parametrize(
    "kind", [requests.ReadTimeout, requests.ConnectTimeout, requests.exceptions.SSLError]
)
def test_time_outs_are_the_packages_own_error(zoho, kind):
    zoho.mocker.get("https://www.zohoapis.com/crm/v8/Leads", exc=kind("slow"))
    with pytest.raises(ZohoTransportError, match="GET /crm/v8/Leads") as caught:
        zoho.transport(retries=0).send(READ)
    assert caught.value.sent is (kind is not requests.ConnectTimeout)


def test_every_request_has_a_time_out(zoho):
    zoho.answer("GET", "/crm/v8/Leads", OK)
    zoho.transport().send(READ)
    # The claim of a task that asks for a token must not go stale meanwhile.
    assert [one.timeout for one in zoho.mocker.request_history] == [(10.0, 15.0), (10.0, 60.0)]


@pytest.mark.parametrize("status", [204, 304])
def test_an_empty_answer_is_none(zoho, status):
    zoho.answer("GET", "/crm/v8/Leads", (status, None, {}))
    assert zoho.transport().send(READ) is None


# Download

RESULT = Call("GET", "/crm/bulk/v8/read/1/result", pause=60.0)
ZIP = b"PK\x03\x04" + bytes(range(256)) * 40_000


def test_a_download_that_breaks_off_starts_again_and_leaves_nothing_of_the_first(wire, truncated):
    wire.script = [truncated(ZIP * 2), "reset", (200, ZIP, {})]
    target = io.BytesIO()
    assert wire.transport().download(RESULT, target) == len(ZIP)
    assert target.getvalue() == ZIP
    assert len(wire.calls) == 3


def test_a_throttled_download_waits_for_the_minute(wire, clock):
    wire.script = [TOO_MANY, (200, ZIP, {})]
    assert wire.transport().download(RESULT, io.BytesIO()) == len(ZIP)
    assert clock.slept == [60.0]


@pytest.mark.parametrize("status", [404, 400])
def test_an_expired_result_is_said_so_and_not_tried_again(wire, clock, status):
    wire.script = [refused("RESOURCE_NOT_FOUND", status)]
    with pytest.raises(ZohoCRMError, match="one day"):
        wire.transport().download(RESULT, io.BytesIO())
    assert clock.slept == []


@pytest.mark.parametrize("status", [302, 307])
def test_a_download_is_not_redirected(wire, status):
    wire.script = [(status, b"", {"Location": f"{wire.url}/stolen"})]
    with pytest.raises(ZohoUntrustedHostError):
        wire.transport().download(RESULT, io.BytesIO())
    assert len(wire.calls) == 1


def test_a_download_without_content_is_an_error(wire):
    wire.script = [(204, b"", {})]
    with pytest.raises(ZohoCRMError, match="result"):
        wire.transport().download(RESULT, io.BytesIO())


# Secrets


@pytest.mark.parametrize(
    "script",
    [
        [(200, OK, {})],
        [refused("INVALID_TOKEN"), refused("INVALID_TOKEN")],
        [TOO_MANY, INTERNAL, (200, OK, {})],
        ["reset", "hang up", (400, b"<html>", {})],
        [(302, b"", {"Location": "https://evil.io"})],
    ],
)
def test_no_secret_is_in_any_log_record_or_error(wire, caplog, secrets, script):
    wire.script = list(script)
    with caplog.at_level(logging.DEBUG):
        try:
            wire.transport(retries=2).send(READ)
        except ZohoCRMError:
            logging.getLogger("test").exception("failed")
    assert caplog.records
    assert not [secret for secret in secrets if secret in caplog.text]


@pytest.mark.parametrize(
    "fault", ["reset", (200, {"error": "invalid_code"}, {}), (500, b"", {}), (302, b"", {})]
)
def test_no_secret_is_in_a_failure_of_the_token_endpoint(wire, caplog, secrets, fault):
    wire.token_script = [fault] * 4
    with caplog.at_level(logging.DEBUG), pytest.raises(ZohoCRMError) as caught:
        wire.transport(retries=1).send(READ)
    logging.getLogger("test").error("failed", exc_info=caught.value)
    assert not [secret for secret in secrets if secret in caplog.text + repr(caught.value)]


def test_a_token_that_cannot_be_a_header_is_not_quoted(wire, clock, caplog):
    store = wire.stocked(clock)
    transport = wire.transport(store=store, retries=1)
    bad = Token("1000.atoken-bad\r\nX: y", wire.url, clock.now + 3600, 3600)
    store.write(token_name(transport.credentials.token_key), token_text(bad))
    with caplog.at_level(logging.DEBUG), pytest.raises((ZohoCRMError, ValueError)) as caught:
        transport.send(READ)
    assert "atoken-bad" not in str(caught.value) + caplog.text


def test_closing_gives_the_connections_back(zoho):
    zoho.answer("GET", "/crm/v8/Leads", OK)
    transport = zoho.transport()
    transport.send(READ)
    closed = []
    transport.session.close = lambda: closed.append("api")
    transport._accounts.close = lambda: closed.append("accounts")
    transport.close()
    assert sorted(closed) == ["accounts", "api"]
