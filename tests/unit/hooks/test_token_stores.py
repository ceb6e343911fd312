from __future__ import annotations

import asyncio
import json
import logging
import stat
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support.zoho import SECRETS, TOKEN, job

from airflow_provider_zohocrm.client.oauth import Token
from airflow_provider_zohocrm.client.tokens import PROCESS_TOKENS
from airflow_provider_zohocrm.hooks import token_store as stores
from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMAsyncHook, ZohoCRMHook

ORGANISATION = {"org": [{"company_name": "Zylker"}]}


@pytest.fixture
def variables(monkeypatch):
    kept = {}
    monkeypatch.setattr(stores, "read_variable", kept.get)
    monkeypatch.setattr(stores, "write_variable", lambda key, value, description: kept.update({key: value}))
    return kept


@pytest.fixture
def temporary(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture(autouse=True)
def not_warned_yet(monkeypatch):
    for store in (stores.VariableTokenStore, stores.FileTokenStore):
        monkeypatch.setattr(store, "_warned", False)


def forget():
    """Be another process: it knows what is stored outside, not what this one remembers."""
    PROCESS_TOKENS._tokens.clear()


@pytest.fixture(params=["variable", "file"])
def shared(request, connection, variables, temporary):
    connection(extra={"auth_store": request.param})
    return request.param


def test_variable_is_the_default(connection, variables, zoho, monkeypatch):
    monkeypatch.setenv(
        "AIRFLOW_CONN_ZOHOCRM_DEFAULT",
        json.dumps(
            {
                "conn_type": "zohocrm",
                "login": "1000.A",
                "password": "some-secret",
                "extra": {"refresh_token": "1000.some"},
            }
        ),
    )
    zoho.on("GET", "/crm/v8/org", ORGANISATION)
    ZohoCRMHook().get_organization()
    assert len(variables) == 1


def test_memory_leaves_nothing_outside(connection, variables, temporary, zoho):
    connection(extra={"auth_store": "memory"})
    zoho.on("GET", "/crm/v8/org", ORGANISATION)
    ZohoCRMHook().get_organization()
    ZohoCRMHook().get_organization()
    assert zoho.mints == 1
    assert variables == {}
    assert list(temporary.iterdir()) == []


def test_processes_share_one_token(shared, zoho):
    zoho.on("GET", "/crm/v8/org", ORGANISATION)
    zoho.on("GET", "/crm/bulk/v8/read/7", job("7", "ADDED"))
    for _ in range(3):
        ZohoCRMHook().get_organization()
        forget()

    async def look():
        async with ZohoCRMAsyncHook() as hook:
            await hook.get_bulk_read_job("7")

    asyncio.run(look())
    assert zoho.mints == 1


def test_a_token_that_is_about_to_die_is_not_taken_from_the_store(shared, zoho):
    zoho.tokens({"json": {**TOKEN, "expires_in": 200}}, {"json": {**TOKEN, "access_token": "1000.second"}})
    zoho.on("GET", "/crm/v8/org", ORGANISATION)
    hook = ZohoCRMHook()
    hook.get_organization()
    key = hook.transport.credentials.token_key
    store = stores.token_store(hook.transport.credentials)
    assert store.load(key).value == TOKEN["access_token"]
    store.save(key, Token("1000.old", TOKEN["api_domain"], time.time() + 250, 3600.0))
    forget()
    ZohoCRMHook().get_organization()
    assert zoho.calls[-1].headers["Authorization"] == "Zoho-oauthtoken 1000.second"


def test_the_name_in_the_store_tells_nothing_of_the_credentials(variables, connection, zoho):
    connection(extra={"auth_store": "variable"})
    zoho.on("GET", "/crm/v8/org", ORGANISATION)
    ZohoCRMHook().get_organization()
    ((name, value),) = variables.items()
    assert "token" in name  # by this Airflow masks the value
    assert not [secret for secret in (*SECRETS, "1000.CLIENT") if secret in name]
    assert TOKEN["access_token"] not in value
    assert "the-refresh-token" not in value
    assert "the-client-secret" not in value


def test_only_this_user_can_read_the_file(connection, temporary, zoho):
    connection(extra={"auth_store": "file"})
    zoho.on("GET", "/crm/v8/org", ORGANISATION)
    ZohoCRMHook().get_organization()
    (folder,) = temporary.iterdir()
    (file,) = folder.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", "{}", '{"value": "1000.x"}', "null", '{"value": 1, "life": "x"}']
)
def test_a_damaged_entry_costs_a_new_token_and_nothing_else(shared, variables, temporary, zoho, text):
    zoho.on("GET", "/crm/v8/org", ORGANISATION)
    hook = ZohoCRMHook()
    hook.get_organization()
    for key in variables:
        variables[key] = text
    for file in temporary.rglob("zohocrm_token_*"):
        file.write_text(text)
    forget()
    ZohoCRMHook().get_organization()
    assert zoho.mints == 2


@pytest.mark.parametrize("failing", ["read_variable", "write_variable"])
def test_a_store_that_fails_is_replaced_by_memory_with_one_warning_that_holds_no_token(
    connection, variables, zoho, monkeypatch, caplog, failing
):
    def fail(*_):
        raise RuntimeError(f"INSERT INTO variable VALUES ('{TOKEN['access_token']}')")

    monkeypatch.setattr(stores, failing, fail)
    connection(extra={"auth_store": "variable"})
    zoho.on("GET", "/crm/v8/org", ORGANISATION)
    with caplog.at_level(logging.DEBUG, "airflow_provider_zohocrm"):
        for _ in range(3):
            ZohoCRMHook().get_organization()
    assert zoho.mints == 1
    warnings = [one.getMessage() for one in caplog.records if "cannot be shared" in one.getMessage()]
    assert len(warnings) == 1
    assert "RuntimeError" in warnings[0]
    assert TOKEN["access_token"] not in caplog.text


def test_a_folder_that_others_can_write_to_is_not_trusted(connection, temporary, zoho, caplog):
    import os

    folder = temporary / f"airflow_provider_zohocrm-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    connection(extra={"auth_store": "file"})
    zoho.on("GET", "/crm/v8/org", ORGANISATION)
    ZohoCRMHook().get_organization()
    assert list(folder.iterdir()) == []
    assert "cannot be shared" in caplog.text


def test_connections_to_different_organisations_have_tokens_of_their_own(
    shared, connection, variables, temporary, zoho
):
    connection("zoho_b", extra={"auth_store": shared, "refresh_token": "1000.b"})
    zoho.on("GET", "/crm/v8/org", ORGANISATION)
    ZohoCRMHook().get_organization()
    ZohoCRMHook("zoho_b").get_organization()
    assert zoho.mints == 2
    assert len(variables) + len([one for one in Path(temporary).rglob("*") if one.is_file()]) == 2


def test_a_variable_is_readable_with_the_secrets_of_the_connection_only(variables, connection, zoho):
    connection(extra={"auth_store": "variable"})
    zoho.on("GET", "/crm/v8/org", ORGANISATION)
    hook = ZohoCRMHook()
    hook.get_organization()
    credentials = hook.transport.credentials
    key = credentials.token_key
    forget()
    assert stores.token_store(credentials).load(key).value == TOKEN["access_token"]
    forget()
    assert stores.token_store(replace(credentials, client_secret="another")).load(key) is None
    # What an older version has left in clear is made anew.
    variables.update(dict.fromkeys(variables, '{"value": "1000.clear"}'))
    assert stores.token_store(credentials).load(key) is None
