from __future__ import annotations

import logging

import pytest
import requests
from support.zoho import ACCESS_TOKEN, API, SECRETS, TOKEN, page, refusal

from airflow_provider_zohocrm.client.client import ZohoCRMApi
from airflow_provider_zohocrm.exceptions import (
    ZohoAuthenticationError,
    ZohoConfigurationError,
    ZohoRateLimitError,
    ZohoScopeError,
    ZohoServerError,
    ZohoUntrustedHostError,
    ZohoValidationError,
)
from airflow_provider_zohocrm.hooks import zohocrm
from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook

ORGANISATION = {
    "org": [{"company_name": "Zylker", "zgid": "77", "license_details": {"paid_type": "enterprise"}}]
}


@pytest.fixture
def masked(monkeypatch):
    secrets = []
    monkeypatch.setattr(zohocrm, "mask_secret", secrets.append)
    return secrets


def test_making_a_hook_looks_nothing_up(monkeypatch):
    monkeypatch.setattr(ZohoCRMHook, "get_connection", lambda *_: pytest.fail("the connection was looked up"))
    hook = ZohoCRMHook("no_such_connection", api_version="v99", timeout=1.0, retries=0)
    assert (hook.zohocrm_conn_id, hook.api_version, hook.timeout, hook.retries) == (
        "no_such_connection",
        "v99",
        1.0,
        0,
    )


def test_the_hook_offers_every_operation_of_the_client():
    wanted = [
        "get_records",
        "search_records",
        "query",
        "get_deleted_records",
        "get_related_records",
        "get_deleted_record_related_records",
        "get_record",
        "count_records",
        "get_modules",
        "get_fields",
        "get_organization",
        "upsert_records",
        "insert_records",
        "update_records",
        "delete_records",
        "create_bulk_read_job",
        "get_bulk_read_job",
        "download_bulk_read_result",
        "request",
        "get_conn",
        "test_connection",
    ]
    missing = [name for name in wanted if not callable(getattr(ZohoCRMHook, name, None))]
    assert missing == []
    assert issubclass(ZohoCRMHook, ZohoCRMApi)


def test_only_the_connection_and_its_id_are_positional():
    with pytest.raises(TypeError):
        ZohoCRMHook("zohocrm_default", "v8")


def test_records_are_read_over_all_pages_with_one_token_and_one_connection_lookup(zoho, monkeypatch):
    lookups = []
    look_up = ZohoCRMHook.get_connection
    monkeypatch.setattr(
        ZohoCRMHook, "get_connection", lambda self, conn_id: lookups.append(conn_id) or look_up(conn_id)
    )
    zoho.on("GET", "/crm/v8/Leads", page([{"id": "1"}, {"id": "2"}], more="t2"), page([{"id": "3"}]))
    assert [one["id"] for one in ZohoCRMHook().get_records("Leads", ["Last_Name"])] == ["1", "2", "3"]
    assert zoho.mints == 1
    assert lookups == ["zohocrm_default"]
    first, second = zoho.calls
    assert first.params == {"fields": "Last_Name", "per_page": "200"}
    assert second.params["page_token"] == "t2"


def test_iterators_ask_for_a_page_only_when_its_first_record_is_wanted(zoho):
    zoho.on("GET", "/crm/v8/Leads", page([{"id": "1"}], more="t2"), page([{"id": "2"}]))
    records = ZohoCRMHook().get_records("Leads", "id")
    assert zoho.asked == []
    next(records)
    assert len(zoho.calls) == 1


def test_another_connection_is_used_by_its_id(zoho, connection):
    connection("zoho_eu", extra={"data_center": "eu", "refresh_token": "1000.other"})
    zoho.mocker.post(
        "https://accounts.zoho.eu/oauth/v2/token", json={**TOKEN, "api_domain": "https://www.zohoapis.eu"}
    )
    zoho.mocker.get("https://www.zohoapis.eu/crm/v8/org", json=ORGANISATION)
    assert ZohoCRMHook("zoho_eu").get_organization()["company_name"] == "Zylker"


@pytest.mark.parametrize("version", ["v2", "v2.1", "v3", "v8"])
def test_api_version_of_the_hook_goes_before_the_connections(zoho, connection, version):
    connection(extra={"api_version": "v5"})
    zoho.on("GET", f"/crm/{version}/org", ORGANISATION)
    zoho.on("GET", "/crm/v5/org", ORGANISATION)
    ZohoCRMHook(api_version=version).get_organization()
    ZohoCRMHook().get_organization()
    assert zoho.asked == [f"GET /crm/{version}/org", "GET /crm/v5/org"]


def test_an_unknown_api_version_is_named_before_any_request(zoho):
    with pytest.raises(ZohoConfigurationError, match="v99"):
        ZohoCRMHook(api_version="v99").get_organization()
    assert zoho.mocker.request_history == []


def test_get_conn_is_one_session_that_takes_paths_and_sends_the_documented_prefix(zoho):
    zoho.on("GET", "/crm/v8/users", {"users": []})
    hook = ZohoCRMHook()
    session = hook.get_conn()
    assert isinstance(session, requests.Session)
    assert hook.get_conn() is session
    assert session.get("/crm/v8/users").json() == {"users": []}
    assert session.get(f"{API}/crm/v8/users").status_code == 200
    assert [one.headers["Authorization"] for one in zoho.calls] == [f"Zoho-oauthtoken {ACCESS_TOKEN}"] * 2


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/crm/v8/users",
        "http://www.zohoapis.com/crm/v8/users",
        "https://www.zohoapis.com.example.com/crm/v8/users",
        "https://www.zohoapis.com:8443/crm/v8/users",
        "https://accounts.zoho.com/oauth/user/info",
    ],
)
def test_get_conn_sends_the_token_to_no_other_host(zoho, url):
    zoho.mocker.get(url, json={})
    ZohoCRMHook().get_conn().get(url)
    request = zoho.mocker.request_history[-1]
    assert request.url == url
    assert ACCESS_TOKEN not in str(request.headers)


def test_get_conn_follows_no_redirect(zoho):
    zoho.mocker.get(f"{API}/crm/v8/users", status_code=302, headers={"Location": "https://example.com/"})
    answer = ZohoCRMHook().get_conn().get("/crm/v8/users", allow_redirects=True)
    assert answer.status_code == 302
    assert [one.hostname for one in zoho.mocker.request_history] == ["accounts.zoho.com", "www.zohoapis.com"]


def test_a_call_does_not_follow_a_redirect_either(zoho):
    zoho.mocker.get(f"{API}/crm/v8/org", status_code=302, headers={"Location": "https://example.com/"})
    with pytest.raises(ZohoUntrustedHostError, match="redirect"):
        ZohoCRMHook().get_organization()


def test_the_timeout_of_the_hook_reaches_the_session(zoho):
    zoho.on("GET", "/crm/v8/org", ORGANISATION)
    ZohoCRMHook(timeout=(3.0, 7.0)).get_organization()
    assert [one.timeout for one in zoho.mocker.request_history] == [(3.0, 7.0), (3.0, 7.0)]


def test_retries_of_the_hook_count_the_repetitions(zoho, no_waiting):
    zoho.on("GET", "/crm/v8/org", {"status_code": 500, "text": ""})
    with pytest.raises(ZohoServerError):
        ZohoCRMHook(retries=3).get_organization()
    assert len(zoho.calls) == 4
    assert len(no_waiting) == 3


def test_default_retries_outlast_minutes_of_outage():
    from airflow_provider_zohocrm.client.retry import RetryPolicy

    policy = RetryPolicy(retries=ZohoCRMHook().retries)
    bounds = [min(policy.cap, policy.base * 2**number) for number in range(policy.retries)]
    assert sum(bounds) / 2 > 120


def test_secrets_and_the_token_are_masked_before_the_first_call_with_them(zoho, masked):
    at_first_call = []

    def answer(_request, _context):
        at_first_call.extend(masked)
        return ORGANISATION

    zoho.on_callback("GET", "/crm/v8/org", answer)
    ZohoCRMHook().get_organization()
    assert set(at_first_call) == set(SECRETS)


def test_neither_logs_nor_errors_hold_a_secret(zoho, caplog):
    caplog.set_level(logging.DEBUG)
    zoho.on("GET", "/crm/v8/org", refusal(401, "INVALID_TOKEN"))
    hook = ZohoCRMHook()
    with pytest.raises(ZohoAuthenticationError) as refused:
        hook.get_organization()
    shown = caplog.text + str(refused.value) + repr(refused.value) + repr(hook.transport.credentials)
    assert not [secret for secret in SECRETS if secret in shown]


# --- request() ---------------------------------------------------------------------------------------------------


def test_request_takes_paths_from_the_root_and_below_the_version(zoho):
    zoho.on("GET", "/crm/v8/users", {"users": [1]})
    zoho.on("GET", "/crm/v2/users", {"users": [2]})
    hook = ZohoCRMHook()
    assert hook.request("GET", "users", params={"type": "ActiveUsers", "ids": ["1", "2"], "none": None}) == {
        "users": [1]
    }
    assert hook.request("get", "/crm/v2/users", headers={"X-TEST": "1"}) == {"users": [2]}
    assert zoho.calls[0].params == {"type": "ActiveUsers", "ids": "1,2"}
    assert zoho.calls[1].headers["X-TEST"] == "1"


def test_request_sends_a_json_body_with_its_content_type(zoho):
    zoho.on("PUT", "/crm/v8/users", {"users": []})
    ZohoCRMHook().request("PUT", "users", json={"users": [{"name": "Zoë"}]})
    assert zoho.calls[0].json == {"users": [{"name": "Zoë"}]}
    assert zoho.calls[0].headers["Content-Type"] == "application/json"


def test_request_gives_none_for_an_empty_answer(zoho):
    zoho.on("GET", "/crm/v8/users", {"status_code": 204, "text": ""})
    assert ZohoCRMHook().request("GET", "users") is None


@pytest.mark.parametrize("path", ["https://example.com/crm/v8/users", "//example.com/crm", "http://x/"])
def test_request_refuses_a_host(zoho, path):
    with pytest.raises(ZohoValidationError, match="without a host"):
        ZohoCRMHook().request("GET", path)
    assert zoho.mocker.request_history == []


@pytest.mark.parametrize(
    ("method", "repeatable", "calls"),
    [("GET", None, 2), ("PUT", None, 2), ("POST", None, 1), ("POST", True, 2)],
)
def test_request_repeats_all_but_post_after_a_failure_in_which_zoho_may_have_acted(
    zoho, method, repeatable, calls
):
    zoho.on(method, "/crm/v8/things", {"status_code": 502, "text": "<html>"}, {"ok": True})
    hook = ZohoCRMHook()
    if calls == 1:
        with pytest.raises(ZohoServerError):
            hook.request(method, "things", repeatable=repeatable)
    else:
        assert hook.request(method, "things", repeatable=repeatable) == {"ok": True}
    assert len(zoho.calls) == calls


def test_request_waits_as_long_as_zoho_asks(zoho, no_waiting):
    zoho.mocker.get(
        f"{API}/crm/v8/things",
        [
            {"status_code": 429, "headers": {"Retry-After": "17"}, "json": {"code": "TOO_MANY_REQUESTS"}},
            {"status_code": 429, "json": {"code": "RATE_LIMIT_EXCEEDED", "details": {"retry_after": 4}}},
            {"json": {"ok": True}},
        ],
    )
    assert ZohoCRMHook().request("GET", "things") == {"ok": True}
    assert no_waiting == [17.0, 4.0]


def test_request_does_not_wait_for_an_hour(zoho, no_waiting):
    zoho.mocker.get(f"{API}/crm/v8/things", status_code=429, headers={"Retry-After": "3600"}, json={})
    with pytest.raises(ZohoRateLimitError) as refused:
        ZohoCRMHook().request("GET", "things")
    assert refused.value.retry_after == 3600
    assert no_waiting == []


def test_a_refused_token_is_replaced_once(zoho):
    zoho.tokens({"json": TOKEN}, {"json": {**TOKEN, "access_token": "1000.second"}})
    zoho.on("GET", "/crm/v8/org", refusal(401, "INVALID_TOKEN"), ORGANISATION)
    assert ZohoCRMHook().get_organization()["zgid"] == "77"
    assert zoho.mints == 2
    assert zoho.calls[1].headers["Authorization"] == "Zoho-oauthtoken 1000.second"


def test_a_missing_scope_costs_no_new_token(zoho):
    zoho.on("GET", "/crm/v8/org", refusal(401, "OAUTH_SCOPE_MISMATCH"))
    with pytest.raises(ZohoScopeError, match=r"ZohoCRM\.org\.READ"):
        ZohoCRMHook().get_organization()
    assert (zoho.mints, len(zoho.calls)) == (1, 1)


# --- test_connection() -------------------------------------------------------------------------------------------


def test_the_connection_test_names_organisation_edition_and_data_centre(zoho):
    zoho.on("GET", "/crm/v8/org", ORGANISATION)
    works, text = ZohoCRMHook().test_connection()
    assert works is True
    assert text == "Connected to Zylker (edition enterprise, data centre us, production, API v8)"


def test_the_connection_test_says_when_there_is_no_connection(zoho, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_ZOHOCRM_DEFAULT")
    works, text = ZohoCRMHook().test_connection()
    assert works is False
    assert text.startswith("Connection: ")
    assert "zohocrm_default" in text


@pytest.mark.parametrize(
    ("fields", "extra", "words"),
    [
        ({"login": ""}, {}, ["Client ID"]),
        ({"password": None}, {"refresh_token": ""}, ["Client secret", "Refresh token"]),
        ({}, {"grant_type": "client_credentials"}, ["soid", "scope"]),
        ({}, {"data_center": "mars"}, ["data_center", "mars", "eu"]),
        ({}, {"environment": "test"}, ["environment", "sandbox"]),
        ({}, {"api_version": "v1"}, ["v1", "v8"]),
        ({}, {"api_url": "http://www.zohoapis.com"}, ["api_url", "https"]),
        ({}, {"auth_store": "redis"}, ["auth_store", "variable"]),
    ],
)
def test_the_connection_test_names_the_field_that_is_wrong(zoho, connection, fields, extra, words):
    connection(extra=extra, **fields)
    works, text = ZohoCRMHook().test_connection()
    assert works is False
    assert text.startswith("Connection: Connection 'zohocrm_default': ")
    assert not [word for word in words if word not in text]
    assert zoho.mocker.request_history == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"json": {"error": "invalid_code"}}, ["invalid_code", "refresh token"]),
        ({"json": {"error": "invalid_client"}}, ["invalid_client", "data centre"]),
        ({"json": {"error": "invalid_client_secret"}}, ["secret"]),
        ({"json": {"error": "Access Denied"}}, ["10 tokens in 10 minutes"]),
        ({"status_code": 400, "json": {"error": "Access Denied"}}, ["10 tokens in 10 minutes"]),
        ({"json": {}}, ["no JSON", "Check client ID"]),
        ({"json": {"status": "failure"}}, ["without access_token"]),
        ({"status_code": 503, "text": "<html>"}, ["503"]),
        ({"exc": requests.exceptions.ConnectTimeout("no way")}, ["accounts hosts"]),
        ({"json": {**TOKEN, "api_domain": "https://evil.example.com"}}, ["evil.example.com", "API URL"]),
    ],
)
def test_the_connection_test_says_why_there_is_no_token(zoho, answer, words):
    zoho.tokens(answer)
    works, text = ZohoCRMHook().test_connection()
    assert works is False
    assert not [word for word in words if word not in text], text
    assert text.startswith(("Token: ", "Organisation: ")), text
    assert not [secret for secret in SECRETS if secret in text]
    assert zoho.mints == 1
    assert zoho.calls == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (refusal(401, "OAUTH_SCOPE_MISMATCH"), ["ZohoCRM.org.READ"]),
        (refusal(401, "INVALID_TOKEN"), ["INVALID_TOKEN", "data centre"]),
        (refusal(403, "NO_PERMISSION"), ["NO_PERMISSION", "profile"]),
        (refusal(404, "INVALID_URL_PATTERN"), ["api_version"]),
        ({"status_code": 500, "text": "<html>"}, ["500"]),
        ({"status_code": 429, "json": {"code": "TOO_MANY_REQUESTS"}}, ["429", "credits"]),
        ({"status_code": 204, "text": ""}, ["no organisation"]),
        ({"exc": requests.exceptions.ConnectTimeout("no way")}, ["API and accounts hosts"]),
    ],
)
def test_the_connection_test_says_why_the_organisation_cannot_be_read(zoho, answer, words):
    zoho.on("GET", "/crm/v8/org", answer)
    works, text = ZohoCRMHook().test_connection()
    assert works is False
    assert text.startswith("Organisation: ")
    assert not [word for word in words if word not in text], text
    assert not [secret for secret in SECRETS if secret in text]


def test_the_connection_test_does_not_keep_the_user_waiting(zoho, no_waiting):
    zoho.on("GET", "/crm/v8/org", {"status_code": 500, "text": ""})
    ZohoCRMHook().test_connection()
    assert no_waiting == []
    assert len(zoho.calls) == 1
    assert max(zoho.mocker.request_history[-1].timeout) <= 10
