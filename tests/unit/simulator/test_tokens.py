from __future__ import annotations

import pytest
import requests

from simulator.wire import Zoho, flat

THROTTLED = {
    "error_description": "You have made too many requests continuously. Please try again after some time.",
    "error": "Access Denied",
    "status": "failure",
}


@pytest.mark.parametrize("place", ["params", "data"])
def test_token_from_query_and_from_form(zoho: Zoho, place: str):
    given = {
        "grant_type": "refresh_token",
        "client_id": zoho.simulator.client_id,
        "client_secret": zoho.simulator.client_secret,
        "refresh_token": zoho.simulator.refresh_token,
    }
    answer = requests.post(f"{zoho.simulator.url}/oauth/v2/token", timeout=10, **{place: given})
    body = answer.json()
    assert answer.status_code == 200
    assert body.pop("access_token").startswith("1000.")
    assert "ZohoCRM.modules.ALL" in body.pop("scope").split(" ")
    assert body == {"api_domain": zoho.simulator.url, "token_type": "Bearer", "expires_in": 3600}


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"refresh_token": "x"}, "invalid_code"),
        ({"client_id": "x"}, "invalid_client"),
        ({"client_secret": "x"}, "invalid_client_secret"),
        ({"refresh_token": ""}, "general_error"),
        ({"grant_type": "password"}, "general_error"),
        ({"grant_type": "client_credentials", "scope": "ZohoCRM.modules.ALL"}, "missing_org_info"),
    ],
)
def test_wrong_secrets_are_200(zoho: Zoho, wrong: dict[str, str], error: str):
    answer = zoho.mint(**wrong)
    assert (answer.status_code, answer.json()) == (200, {"error": error})


def test_a_grant_code_works_once_and_for_three_minutes(zoho: Zoho):
    def exchange(code: str, **more: str):
        return zoho.mint(grant_type="authorization_code", code=code, refresh_token="", **more).json()

    code = zoho.simulator.new_grant_code()
    assert exchange(code, client_id="1000.OTHER") == {"error": "invalid_client"}
    body = exchange(code)
    assert body["refresh_token"] == zoho.simulator.refresh_token
    assert body["access_token"].startswith("1000.")
    assert exchange(code) == exchange("1000.nothing") == {"error": "invalid_code"}
    assert exchange("") == {"error": "general_error"}
    late = zoho.simulator.new_grant_code()
    assert late != code
    zoho.simulator.advance(181)
    assert exchange(late) == {"error": "invalid_code"}


def test_client_credentials(zoho: Zoho):
    answer = zoho.mint(
        grant_type="client_credentials",
        soid="ZohoCRM.65398227",
        scope="ZohoCRM.modules.leads.READ,ZohoFiles.x.ALL",
    )
    body = answer.json()
    assert body["scope"] == "ZohoCRM.modules.leads.READ"
    assert "refresh_token" not in body
    zoho.session.headers["Authorization"] = f"Zoho-oauthtoken {body['access_token']}"
    assert zoho.get("/crm/v8/Leads", {"fields": "id"}).status_code == 200
    assert zoho.get("/crm/v8/Accounts", {"fields": "id"}).status_code == 401


@pytest.mark.parametrize("status", [200, 400])
def test_eleventh_mint_in_ten_minutes_is_throttled(zoho: Zoho, status: int):
    zoho.simulator.options.token_throttle_status = status
    # The fixture has minted one.
    assert all("access_token" in zoho.mint().json() for _ in range(9))
    answer = zoho.mint()
    assert (answer.status_code, answer.json()) == (status, THROTTLED)
    zoho.simulator.advance(601)
    assert "access_token" in zoho.mint().json()


def test_sixteenth_live_token_kills_the_oldest(zoho: Zoho):
    zoho.simulator.options.mint_limit = 100
    for _ in range(14):
        zoho.mint()
    assert zoho.get("/crm/v8/org").status_code == 200
    zoho.mint()
    answer = zoho.get("/crm/v8/org")
    assert (answer.status_code, answer.json()) == (401, flat("INVALID_TOKEN", "invalid oauth token"))


def test_token_expires(zoho: Zoho):
    zoho.simulator.advance(3599)
    assert zoho.get("/crm/v8/org").status_code == 200
    zoho.simulator.advance(2)
    zoho.simulator.options.invalid_token_message = "Invalid OAuth token"
    assert zoho.get("/crm/v8/org").json() == flat("INVALID_TOKEN", "Invalid OAuth token")


def test_api_domain_of_another_host(zoho: Zoho):
    zoho.simulator.options.api_domain = "https://evil.example"
    assert zoho.mint().json()["api_domain"] == "https://evil.example"


def test_both_prefixes_unless_strict(zoho: Zoho):
    token = str(zoho.session.headers["Authorization"]).split()[1]
    zoho.session.headers["Authorization"] = f"Bearer {token}"
    assert zoho.get("/crm/v8/org").status_code == 200
    assert zoho.simulator.counters["authorization_prefixes"]["Bearer"] == 1
    zoho.simulator.options.strict_prefix = True
    assert zoho.get("/crm/v8/org").json() == flat("AUTHENTICATION_FAILURE", "Authentication failed")


@pytest.mark.parametrize("header", [None, "garbage", "Zoho-oauthtoken "])
def test_no_or_garbage_header(zoho: Zoho, header: str | None):
    answer = requests.get(
        f"{zoho.simulator.url}/crm/v8/org", headers={"Authorization": header} if header else {}, timeout=10
    )
    assert (answer.status_code, answer.json()) == (
        401,
        flat("AUTHENTICATION_FAILURE", "Authentication failed"),
    )


def test_scopes(zoho: Zoho):
    zoho.simulator.options.scopes = "ZohoCRM.modules.leads.READ,ZohoCRM.bulk.READ"
    zoho.login()
    mismatch = (401, flat("OAUTH_SCOPE_MISMATCH", "Unauthorized"))
    assert zoho.get("/crm/v8/Leads", {"fields": "id"}).status_code == 200
    for refused in (
        zoho.get("/crm/v8/Contacts", {"fields": "id"}),
        zoho.post("/crm/v8/Leads", {"data": []}),
        # modules.ALL is not enough for COQL, nor bulk.READ for the records of any module.
        zoho.post("/crm/v8/coql", {"select_query": "select id from Leads where id is not null"}),
        zoho.post("/crm/bulk/v8/read", {"query": {"module": {"api_name": "Contacts"}}}),
        zoho.get("/crm/v8/Leads/actions/count"),
    ):
        assert (refused.status_code, refused.json()) == mismatch
    assert zoho.post("/crm/bulk/v8/read", {"query": {"module": {"api_name": "Leads"}}}).status_code == 201


def test_revoke(zoho: Zoho):
    url = f"{zoho.simulator.url}/oauth/v2/token/revoke"
    assert requests.post(url, params={"token": zoho.simulator.refresh_token}, timeout=10).status_code == 200
    assert zoho.mint().json() == {"error": "invalid_code"}
    assert zoho.get("/crm/v8/org").status_code == 401
