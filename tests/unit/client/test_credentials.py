from __future__ import annotations

import dataclasses
import pickle

import pytest

from airflow_provider_zohocrm.client.credentials import ZohoCredentials
from airflow_provider_zohocrm.exceptions import ZohoConfigurationError

ID, SECRET, REFRESH = "1000.ID", "s3cr3t-value", "1000.r3fr3sh-value"
REFRESH_GRANT = {"refresh_token": REFRESH}
CLIENT_GRANT = {"grant_type": "client_credentials", "soid": "12345", "scope": "ZohoCRM.modules.ALL"}


def build(login=ID, password=SECRET, extra=REFRESH_GRANT, **more):
    return ZohoCredentials.from_fields(login, password, extra | more, name="Connection 'zoho'")


def test_defaults_are_those_of_the_design():
    credentials = build()
    assert (credentials.data_center, credentials.environment, credentials.version.name) == (
        "us",
        "production",
        "v8",
    )
    assert (credentials.grant_type, credentials.token_store) == ("refresh_token", "")
    assert (credentials.client_id, credentials.client_secret, credentials.refresh_token) == (
        ID,
        SECRET,
        REFRESH,
    )


@pytest.mark.parametrize("empty", [None, "", "   "])
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("login", "Client ID"),
        ("password", "Client secret"),
        ("refresh_token", "Refresh token"),
    ],
)
def test_a_missing_field_of_the_refresh_grant_is_named(change, named, empty):
    fields = {"login": ID, "password": SECRET, "refresh_token": REFRESH, change: empty}
    with pytest.raises(ZohoConfigurationError) as caught:
        build(fields["login"], fields["password"], {"refresh_token": fields["refresh_token"]})
    others = {"Client ID", "Client secret", "Refresh token"} - {named}
    assert named in str(caught.value)
    assert "Connection 'zoho'" in str(caught.value)
    assert not [other for other in others if other in str(caught.value)]


@pytest.mark.parametrize(("field", "named"), [("soid", "extra soid"), ("scope", "extra scope")])
def test_a_missing_field_of_the_client_credentials_grant_is_named(field, named):
    extra = {key: value for key, value in CLIENT_GRANT.items() if key != field}
    with pytest.raises(ZohoConfigurationError, match=named):
        build(extra=extra)


def test_all_missing_fields_are_named_at_once():
    with pytest.raises(ZohoConfigurationError) as caught:
        build(None, None, {})
    for named in ("Client ID", "Client secret", "Refresh token"):
        assert named in str(caught.value)


def test_client_credentials_need_no_refresh_token():
    assert build(extra=CLIENT_GRANT).refresh_token == ""


@pytest.mark.parametrize(("soid", "sent"), [("12345", "ZohoCRM.12345"), ("ZohoCRM.12345", "ZohoCRM.12345")])
def test_soid_carries_the_service_as_zoho_wants_it(soid, sent):
    assert build(extra=CLIENT_GRANT | {"soid": soid}).soid == sent


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("data_center", "zoho.ca"),
        ("data_center", "mars"),
        ("environment", "staging"),
        ("api_version", "v9"),
        ("api_version", "v1"),
        ("grant_type", "password"),
        ("auth_store", "redis"),
        ("token_store", "redis"),
        ("auth_store", "my module.MyStore"),
        ("auth_store", "os.system('x')"),
        ("api_url", "http://www.zohoapis.com"),
        ("accounts_url", "accounts.zoho.com"),
        ("upload_url", "http://content.zohoapis.com"),
        ("organization", "org1/"),
        ("organization", "https://crm.zoho.com/crm/org1"),
    ],
)
def test_a_wrong_field_is_named_with_the_connection(field, value):
    with pytest.raises(ZohoConfigurationError) as caught:
        build(**{field: value})
    assert "Connection 'zoho'" in str(caught.value)
    assert (field in str(caught.value)) or (field == "api_version" and "API version" in str(caught.value))
    assert value in str(caught.value)


@pytest.mark.parametrize("value", ["", None])
def test_empty_values_of_the_form_count_as_not_given(value):
    extra = dict.fromkeys(
        ("data_center", "environment", "api_version", "grant_type", "api_url", "token_store"), value
    )
    assert build(extra=REFRESH_GRANT | extra) == build()


@pytest.mark.parametrize("key", ["auth_store", "token_store"])
@pytest.mark.parametrize(
    ("value", "chosen"),
    [("File", "file"), (" memory ", "memory"), ("my.module.MyStore", "my.module.MyStore")],
)
def test_the_token_store_is_one_of_three_or_a_dotted_path(key, value, chosen):
    assert build(extra=REFRESH_GRANT | {key: value}).token_store == chosen


def test_case_and_blanks_do_not_matter():
    credentials = build(f" {ID} ", f" {SECRET}\n", {"refresh_token": f" {REFRESH} ", "data_center": " EU "})
    assert (credentials.client_id, credentials.client_secret, credentials.refresh_token) == (
        ID,
        SECRET,
        REFRESH,
    )
    assert credentials.accounts_url == "https://accounts.zoho.eu"


def test_overrides_win_over_table_and_api_domain():
    credentials = build(
        accounts_url="https://accounts.zoho.xy/",
        api_url="https://www.zohoapis.xy/",
        upload_url="https://up.xy",
    )
    assert credentials.accounts_url == "https://accounts.zoho.xy"
    assert credentials.api_base("https://www.zohoapis.com") == "https://www.zohoapis.xy"
    assert credentials.upload_url == "https://up.xy"


@pytest.mark.parametrize("render", [repr, str, lambda one: f"{one}", lambda one: f"{[one]!r}"])
def test_no_secret_is_in_the_text_of_credentials(render):
    text = render(build())
    assert ID in text
    assert SECRET not in text
    assert REFRESH not in text


@pytest.mark.parametrize(
    "wrong", [{"data_center": "mars"}, {"api_version": "v9"}, {"api_url": "http://a.b"}, {"grant_type": "x"}]
)
def test_no_secret_is_in_an_error(wrong):
    with pytest.raises(ZohoConfigurationError) as caught:
        build(**wrong)
    assert SECRET not in repr(caught.value)
    assert REFRESH not in repr(caught.value)


def test_no_secret_is_in_the_error_for_a_missing_field():
    with pytest.raises(ZohoConfigurationError) as caught:
        build(None)
    assert SECRET not in str(caught.value)
    assert REFRESH not in str(caught.value)


def test_token_key_tells_nothing_and_is_the_same_for_the_same_credentials():
    key = build().token_key
    assert key == build().token_key
    assert not [part for part in (ID, SECRET, REFRESH) if part in key]


@pytest.mark.parametrize(
    "other",
    [
        build("1000.OTHER"),
        build(refresh_token="1000.other"),
        build(data_center="eu"),
        build(extra=CLIENT_GRANT),
        build(extra=CLIENT_GRANT | {"soid": "999"}),
        build(extra=CLIENT_GRANT | {"scope": "ZohoCRM.org.READ"}),
    ],
)
def test_token_key_differs_where_the_token_would(other):
    assert other.token_key not in (build().token_key, build(extra=CLIENT_GRANT | {"soid": "7"}).token_key)


def test_tasks_that_differ_only_in_api_version_share_a_token():
    assert build(api_version="v2").token_key == build(api_version="v8").token_key


def test_credentials_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        build().client_secret = "x"


def test_credentials_survive_pickling():
    assert pickle.loads(pickle.dumps(build())) == build()
