from __future__ import annotations

import json

import pytest
from requests.structures import CaseInsensitiveDict

from airflow_provider_zohocrm.client.oauth import Token, read_token_answer, token_form
from airflow_provider_zohocrm.exceptions import (
    ZohoAuthenticationError,
    ZohoServerError,
    ZohoTokenThrottledError,
    ZohoUntrustedHostError,
)

NOW = 1_800_000_000.0
GOOD = {
    "access_token": "1000.xxxx.yyyy",
    "api_domain": "https://www.zohoapis.com",
    "token_type": "Bearer",
    "expires_in": 3600,
}
THROTTLE = {
    "error_description": "You have made too many requests continuously. Please try again after some time.",
    "error": "Access Denied",
    "status": "failure",
}


@pytest.fixture
def read(make_credentials):
    def run(body, status=200, headers=()):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return read_token_answer(make_credentials(), status, CaseInsensitiveDict(headers), content, NOW)

    return run


def test_the_refresh_form_is_the_documented_one(make_credentials):
    credentials = make_credentials()
    assert token_form(credentials) == {
        "grant_type": "refresh_token",
        "client_id": credentials.client_id,
        "client_secret": credentials.client_secret,
        "refresh_token": credentials.refresh_token,
    }


def test_the_client_credentials_form_is_the_documented_one(make_credentials):
    credentials = make_credentials(
        grant_type="client_credentials", soid="667", scope="ZohoCRM.modules.ALL,ZohoCRM.bulk.READ"
    )
    assert token_form(credentials) == {
        "grant_type": "client_credentials",
        "client_id": credentials.client_id,
        "client_secret": credentials.client_secret,
        "scope": "ZohoCRM.modules.ALL,ZohoCRM.bulk.READ",
        "soid": "ZohoCRM.667",
    }


@pytest.mark.parametrize("more", [{}, {"scope": "ZohoCRM.modules.ALL ZohoCRM.bulk.READ"}])
def test_a_token_answer_is_read(read, more):
    token = read(GOOD | more)
    assert token == Token("1000.xxxx.yyyy", "https://www.zohoapis.com", NOW + 3600, 3600)


@pytest.mark.parametrize(
    ("fields", "life"),
    [
        ({"expires_in": 3600000, "expires_in_sec": 3600}, 3600),
        ({"expires_in": 3600}, 3600),
        ({"expires_in": "3600"}, 3600),
        ({"expires_in": 1800}, 1800),
        ({"expires_in": None}, 3600),
        ({"expires_in": "soon"}, 3600),
        ({"expires_in": []}, 3600),
    ],
)
def test_the_life_of_a_token_in_seconds(read, fields, life):
    answer = {"access_token": "a", "api_domain": "https://www.zohoapis.com"} | fields
    token = read(answer)
    assert (token.life, token.expires_at) == (life, NOW + life)


def test_a_token_answer_without_api_domain_leaves_the_table(read, make_credentials):
    token = read({"access_token": "a", "expires_in": 3600})
    assert make_credentials(data_center="eu").api_base(token.api_domain) == "https://www.zohoapis.eu"


# Reference sheet §1.4: body, statuses it comes with, class, part of the remedy.
ROWS = [
    ("invalid_code", ZohoAuthenticationError, "refresh token"),
    ("invalid_client", ZohoAuthenticationError, "client ID"),
    ("invalid_client_secret", ZohoAuthenticationError, "client secret"),
    ("invalid_redirect_uri", ZohoAuthenticationError, "redirect URI"),
    ("general_error", ZohoAuthenticationError, "field"),
    ("missing_org_info", ZohoAuthenticationError, "soid"),
    ("Access Denied", ZohoTokenThrottledError, "10 minutes"),
    ("access_denied", ZohoTokenThrottledError, "10 minutes"),
    ("ACCESS DENIED", ZohoTokenThrottledError, "10 minutes"),
    ("something_new", ZohoAuthenticationError, "data centre"),
]


@pytest.mark.parametrize("status", [200, 400, 401])
@pytest.mark.parametrize(("code", "kind", "remedy"), ROWS)
def test_an_error_is_one_whatever_its_status(read, code, kind, remedy, status):
    with pytest.raises(ZohoAuthenticationError) as caught:
        read({"error": code}, status)
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.status) == (code, status)
    for part in ("https://accounts.zoho.com", "/oauth/v2/token", str(status), code):
        assert part in str(caught.value)
    assert remedy.lower() in str(caught.value).lower()


@pytest.mark.parametrize("code", ["invalid_code", "invalid_client", "invalid_client_secret"])
def test_the_commonest_cause_is_named(read, code):
    with pytest.raises(ZohoAuthenticationError, match="data centre"):
        read({"error": code})


@pytest.mark.parametrize("status", [200, 400])
@pytest.mark.parametrize("text", [THROTTLE["error_description"], "您的请求过于频繁"])
def test_the_throttle_is_known_by_its_code_in_any_language(read, status, text):
    with pytest.raises(ZohoTokenThrottledError):
        read(THROTTLE | {"error_description": text}, status)


@pytest.mark.parametrize(
    "body", [{}, {"status": "failure"}, {"access_token": ""}, {"access_token": None}, [], "x"]
)
def test_an_answer_without_token_is_an_error(read, body):
    with pytest.raises(ZohoAuthenticationError):
        read(body)


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_token_in_a_refusal_is_not_taken(read, status):
    with pytest.raises(ZohoAuthenticationError):
        read(GOOD, status)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize("body", [b"<html>Maintenance</html>", b"", {"error": "general_error"}])
def test_maintenance_may_pass(read, status, body):
    with pytest.raises(ZohoServerError) as caught:
        read(body, status, {"Retry-After": "7"})
    assert (caught.value.status, caught.value.retry_after) == (status, 7.0)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_even_with_a_token_in_it(read, status):
    with pytest.raises(ZohoUntrustedHostError, match="redirect"):
        read(GOOD, status, {"Location": "https://evil.io"})


def test_no_secret_is_in_an_error(read, secrets, make_credentials):
    credentials = make_credentials()
    body = {"error": "invalid_code", "error_description": f"{credentials.refresh_token} is not valid"}
    with pytest.raises(ZohoAuthenticationError) as caught:
        read(body)
    assert not [secret for secret in secrets if secret in str(caught.value)]


def test_control_characters_of_the_answer_do_not_reach_the_log(read):
    with pytest.raises(ZohoAuthenticationError) as caught:
        read({"error": "a\r\nb\x1b[31m"})
    assert str(caught.value).isprintable()


def test_a_token_does_not_show_itself():
    token = Token("1000.secret", "https://www.zohoapis.com", NOW, 3600)
    assert "secret" not in repr(token)
    assert "secret" not in f"{token}"


@pytest.mark.parametrize(
    ("left", "fresh"), [(3600, True), (400, True), (61, False), (60, False), (0, False), (-1, False)]
)
def test_a_token_is_replaced_at_least_a_minute_before_it_dies(left, fresh):
    assert Token("a", "", NOW + left, 3600).is_usable(NOW) is fresh


def test_a_short_life_is_used_for_the_most_part():
    assert Token("a", "", NOW + 30, 60).is_usable(NOW)
    assert not Token("a", "", NOW + 5, 60).is_usable(NOW)
