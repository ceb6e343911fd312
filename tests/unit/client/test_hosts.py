from __future__ import annotations

import pytest

from airflow_provider_zohocrm.client.hosts import (
    DATA_CENTERS,
    ENVIRONMENTS,
    checked_url,
    is_loopback,
    trusted_api_url,
)
from airflow_provider_zohocrm.exceptions import ZohoConfigurationError, ZohoUntrustedHostError

# Reference sheet §1.1.
HOSTS = {
    "us": ("accounts.zoho.com", "zohoapis.com"),
    "eu": ("accounts.zoho.eu", "zohoapis.eu"),
    "in": ("accounts.zoho.in", "zohoapis.in"),
    "au": ("accounts.zoho.com.au", "zohoapis.com.au"),
    "jp": ("accounts.zoho.jp", "zohoapis.jp"),
    "cn": ("accounts.zoho.com.cn", "zohoapis.com.cn"),
    "ca": ("accounts.zohocloud.ca", "zohoapis.ca"),
    "sa": ("accounts.zoho.sa", "zohoapis.sa"),
    "uk": ("accounts.zoho.uk", "zohoapis.uk"),
    "ae": ("accounts.zoho.ae", "zohoapis.ae"),
    "sg": ("accounts.zoho.sg", "zohoapis.sg"),
}
PREFIXES = {"production": "www", "sandbox": "sandbox", "developer": "developer"}
ZOHO = "https://accounts.zoho.com"
LOCAL = "http://127.0.0.1:8765"


def test_every_documented_data_center_is_known_and_no_other():
    assert {name: (dc.accounts, dc.api) for name, dc in DATA_CENTERS.items()} == HOSTS


def test_environments_are_those_of_the_reference():
    assert ENVIRONMENTS == PREFIXES


@pytest.mark.parametrize("data_center", HOSTS)
@pytest.mark.parametrize("environment", PREFIXES)
def test_each_data_center_and_environment_without_api_domain(make_credentials, data_center, environment):
    credentials = make_credentials(data_center=data_center, environment=environment)
    accounts, api = HOSTS[data_center]
    assert credentials.accounts_url == f"https://{accounts}"
    assert credentials.api_base("") == f"https://{PREFIXES[environment]}.{api}"


@pytest.mark.parametrize("data_center", HOSTS)
@pytest.mark.parametrize("environment", PREFIXES)
def test_api_domain_of_each_data_center_is_followed_in_the_environment(data_center, environment):
    domain = HOSTS[data_center][1]
    found = trusted_api_url(f"https://www.{domain}", ZOHO, environment)
    assert found == f"https://{PREFIXES[environment]}.{domain}"


@pytest.mark.parametrize(
    ("api_domain", "environment", "found"),
    [
        ("https://zohoapis.com", "production", "https://zohoapis.com"),
        ("https://zohoapis.com", "sandbox", "https://sandbox.zohoapis.com"),
        ("https://sandbox.zohoapis.eu", "sandbox", "https://sandbox.zohoapis.eu"),
        ("https://WWW.ZohoAPIs.com", "production", "https://www.zohoapis.com"),
        ("https://www.zohoapis.com:443", "production", "https://www.zohoapis.com"),
        (" https://www.zohoapis.com/ ", "production", "https://www.zohoapis.com"),
        ("https://www.zohoapis.com/crm?x=1#y", "production", "https://www.zohoapis.com"),
    ],
)
def test_forms_of_a_zoho_host_are_trusted(api_domain, environment, found):
    assert trusted_api_url(api_domain, ZOHO, environment) == found


UNTRUSTED = [
    "https://evil.io",
    "https://zohoapis.com.evil.io",
    "https://www.zohoapis.com.evil.io",
    "https://evilzohoapis.com",
    "https://www.evilzohoapis.com",
    "https://www.zohoapis.io",
    "https://www-zohoapis.com",
    "https://zohoapis.co",
    "https://www.zohoapis.com@evil.io",
    "https://www.zohoapis.com:x@evil.io",
    "https://www.zohoapis.com:443@evil.io/",
    "https://evil.io/www.zohoapis.com",
    "https://evil.io?www.zohoapis.com",
    "https://evil.io#www.zohoapis.com",
    "https://evil.io/.zohoapis.com",
    "https://evil.io\\.zohoapis.com",
    "https://evil.io%2f.zohoapis.com",
    "https://evil.io%00.zohoapis.com",
    "https://evil.io .zohoapis.com",
    "https://www.zohoapis.com:8443",
    "https://www.zohoapis.com:80",
    "https://www.zohoapis.com:99999",
    "http://www.zohoapis.com",
    "ftp://www.zohoapis.com",
    "//www.zohoapis.com",
    "www.zohoapis.com",
    "javascript:alert(1)",
    "https://",
    "https://[",
    "https://127.0.0.1",
    "http://127.0.0.1:8765",
    "http://localhost:8765",
    "https://169.254.169.254",
    "https://xn--zohoapis-9za.com",
    "https://www.zohoapi\u0455.com",
]


@pytest.mark.parametrize("api_domain", UNTRUSTED)
def test_a_token_answer_of_zoho_cannot_send_the_token_elsewhere(api_domain):
    with pytest.raises(ZohoUntrustedHostError) as caught:
        trusted_api_url(api_domain, ZOHO, "production")
    assert "API URL" in str(caught.value)


@pytest.mark.parametrize("api_domain", ["http://127.0.0.1:9", "https://localhost", "http://[::1]:8765"])
@pytest.mark.parametrize("accounts", ["http://127.0.0.1:8765", "http://localhost", "http://[::1]:1"])
def test_loopback_is_followed_when_the_connection_is_on_loopback(api_domain, accounts):
    assert trusted_api_url(api_domain, accounts, "production") == api_domain


@pytest.mark.parametrize(
    "api_domain",
    ["http://evil.io", "http://127.0.0.1@evil.io", "http://127.0.0.1.evil.io", "http://localhost.evil.io"],
)
def test_a_token_answer_on_loopback_cannot_send_the_token_off_the_machine(api_domain):
    with pytest.raises(ZohoUntrustedHostError):
        trusted_api_url(api_domain, LOCAL, "production")


def test_an_untrusted_api_domain_is_quoted_at_bounded_length():
    with pytest.raises(ZohoUntrustedHostError) as caught:
        trusted_api_url("https://evil.io/" + "x" * 10_000, ZOHO, "production")
    assert "https://evil.io/" in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("", False),
        (None, False),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("localhost.evil.io", False),
        ("127.0.0.1.evil.io", False),
        ("www.zohoapis.com", False),
    ],
)
def test_loopback_hosts(host, expected):
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://www.zohoapis.eu/", "https://www.zohoapis.eu"),
        (" https://gateway.example.com:8443/zoho ", "https://gateway.example.com:8443/zoho"),
        ("http://127.0.0.1:8765", "http://127.0.0.1:8765"),
        ("http://localhost:8765/", "http://localhost:8765"),
        ("http://[::1]:8765", "http://[::1]:8765"),
    ],
)
def test_an_override_may_be_https_anywhere_or_http_on_loopback(given, kept):
    assert checked_url(given, "api_url") == kept


@pytest.mark.parametrize(
    "given",
    [
        "http://www.zohoapis.eu",
        "http://127.0.0.1.evil.io",
        "http://127.0.0.1@evil.io",
        "http://10.0.0.1:80",
        "www.zohoapis.eu",
        "ftp://www.zohoapis.eu",
        "https://",
        "https://[::1",
        "https://a:b@www.zohoapis.eu",
        "https://www.zohoapis.eu?x=1",
        "https://www.zohoapis.eu#x",
        "https://www.zohoapis.eu:port",
        "https://www.zohoapis.eu:99999",
    ],
)
def test_an_override_that_must_not_see_a_token_is_refused_by_name(given):
    with pytest.raises(ZohoConfigurationError, match="accounts_url"):
        checked_url(given, "accounts_url")


@pytest.mark.parametrize(
    "given", ["http://me:hunter2@proxy.example", "https://me:hunter2@h", "ftp://me:hunter2@h"]
)
def test_a_password_in_an_override_is_not_quoted(given):
    with pytest.raises(ZohoConfigurationError) as caught:
        checked_url(given, "api_url")
    assert "hunter2" not in str(caught.value)
