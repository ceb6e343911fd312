from __future__ import annotations

import asyncio
import logging
import stat
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest
from cryptography.fernet import Fernet
from support.zoho import SECRETS, TOKEN, job

from airflow_provider_zohocrm.client import renewal
from airflow_provider_zohocrm.client.oauth import Token
from airflow_provider_zohocrm.client.tokens import PROCESS_TOKENS, token_name, token_of, token_text
from airflow_provider_zohocrm.exceptions import ZohoConfigurationError
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


def forget():
    """Be another process: it knows what is stored outside, not what this one remembers."""
    PROCESS_TOKENS._tokens.clear()
    renewal._unshared.clear()


class OwnStore:
    """What users may bring."""

    texts: ClassVar[dict[str, str]] = {}

    def read(self, name):
        return self.texts.get(name)

    def write(self, name, text):
        self.texts[name] = text


class BytesStore(OwnStore):
    """As over Redis, which returns bytes."""

    def read(self, name):
        found = super().read(name)
        return None if found is None else found.encode()


class OddStore(OwnStore):
    """Returns what is no text."""

    def read(self, name):
        return 7


class DownStore(OwnStore):
    """Cannot be opened."""

    def __init__(self):
        raise ConnectionError("the store is down, password=hunter2")


class SlowStore(OwnStore):
    """Takes its time to open, and tells where."""

    opened_in: ClassVar[list[threading.Thread]] = []

    def __init__(self):
        self.opened_in.append(threading.current_thread())


@pytest.fixture(autouse=True)
def nothing_in_the_own_store():
    OwnStore.texts.clear()
    stores._opened.cache_clear()


@pytest.fixture(params=["variable", "file", f"{__name__}.OwnStore", f"{__name__}.BytesStore"])
def shared(request, connection, variables, temporary, monkeypatch):
    connection(extra={"auth_store": request.param})
    return request.param


def names_kept(variables, temporary):
    files = [one.name for one in Path(temporary).rglob("*") if one.is_file() and one.suffix != ".lock"]
    return sorted({*variables, *files, *OwnStore.texts})


@pytest.fixture
def silent(connection):
    """A connection that says nothing of a token store."""
    connection(extra={"auth_store": ""})


def test_variable_is_the_default(silent, variables, zoho):
    zoho.on("GET", "/crm/v8/org", ORGANISATION)
    ZohoCRMHook().get_organization()
    assert len(variables) == 2  # the token and the claim


def test_a_connection_that_names_no_store_follows_the_configuration(
    silent, variables, temporary, zoho, monkeypatch
):
    monkeypatch.setenv("AIRFLOW__ZOHOCRM__TOKEN_STORE", "file")
    monkeypatch.setenv("AIRFLOW__ZOHOCRM__TOKEN_FOLDER", str(temporary / "a" / "b"))
    zoho.on("GET", "/crm/v8/org", ORGANISATION)
    ZohoCRMHook().get_organization()
    assert variables == {}
    assert (
        len(list((temporary / "a" / "b").glob("zohocrm_token_*"))) == 4
    )  # token and claim, and a lock for each


def test_the_connection_goes_before_the_configuration(connection, variables, temporary, zoho, monkeypatch):
    monkeypatch.setenv("AIRFLOW__ZOHOCRM__TOKEN_STORE", "file")
    connection(extra={"auth_store": "variable"})
    zoho.on("GET", "/crm/v8/org", ORGANISATION)
    ZohoCRMHook().get_organization()
    assert len(variables) == 2
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("no.such_module.Store", ["no.such_module.Store", "import"]),
        (f"{__name__}.NoStore", ["NoStore", "import"]),
        ("os.getcwd", ["os.getcwd", "read", "write"]),
        ("pathlib.Path.cwd", ["pathlib.Path"]),
        ("collections.OrderedDict", ["read"]),
    ],
)
def test_a_store_that_does_not_exist_fails_before_any_request(connection, zoho, path, words):
    connection(extra={"auth_store": path})
    with pytest.raises(ZohoConfigurationError) as caught:
        ZohoCRMHook().get_organization()
    assert not [word for word in words if word not in str(caught.value)]
    assert zoho.mocker.request_history == []


@pytest.mark.parametrize("store", ["DownStore", "OddStore"])
def test_a_store_that_is_of_no_use_costs_one_warning(connection, zoho, no_waiting, caplog, store):
    connection(extra={"auth_store": f"{__name__}.{store}"})
    renewal._warned.clear()
    zoho.on("GET", "/crm/v8/org", ORGANISATION)
    for _ in range(2):
        ZohoCRMHook().get_organization()
    assert zoho.mints == 1
    assert len([one for one in caplog.messages if "cannot be shared" in one]) == 1
    assert "hunter2" not in caplog.text


def test_a_store_is_opened_beside_the_event_loop(connection, zoho):
    connection(extra={"auth_store": f"{__name__}.SlowStore"})
    zoho.on("GET", "/crm/bulk/v8/read/7", job("7", "ADDED"))

    async def look():
        async with ZohoCRMAsyncHook() as hook:
            await hook.get_bulk_read_job("7")

    asyncio.run(look())
    (thread,) = SlowStore.opened_in
    assert thread is not threading.current_thread()


def test_a_wrong_configuration_is_named(silent, zoho, monkeypatch):
    monkeypatch.setenv("AIRFLOW__ZOHOCRM__TOKEN_STORE", "redis")
    with pytest.raises(
        ZohoConfigurationError, match=r"\[zohocrm\] token_store.*'redis'.*variable, file, memory"
    ):
        ZohoCRMHook().get_organization()


def test_the_options_of_the_configuration_are_declared():
    from airflow.configuration import conf
    from airflow.providers_manager import ProvidersManager

    declared = dict(ProvidersManager().provider_configs)["airflow-provider-zohocrm"]
    assert set(declared["zohocrm"]["options"]) == {"token_store", "token_folder"}
    assert conf.get("zohocrm", "token_store") == "variable"


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
    store, name = stores.token_store(hook.transport.credentials), token_name(key)
    assert token_of(store.read(name)).value == TOKEN["access_token"]
    store.write(name, token_text(Token("1000.old", TOKEN["api_domain"], time.time() + 230, 3600.0)))
    forget()
    ZohoCRMHook().get_organization()
    assert zoho.calls[-1].headers["Authorization"] == "Zoho-oauthtoken 1000.second"


def test_the_name_in_the_store_tells_nothing_of_the_credentials(variables, connection, zoho):
    connection(extra={"auth_store": "variable"})
    zoho.on("GET", "/crm/v8/org", ORGANISATION)
    ZohoCRMHook().get_organization()
    assert len(variables) == 2
    for name, value in variables.items():
        assert "token" in name  # by this Airflow masks the value
        assert not [secret for secret in (*SECRETS, "1000.CLIENT") if secret in name]
        assert "the-refresh-token" not in value
        assert "the-client-secret" not in value
        assert TOKEN["access_token"] not in value


def test_only_this_user_can_read_the_files(connection, temporary, zoho):
    connection(extra={"auth_store": "file"})
    zoho.on("GET", "/crm/v8/org", ORGANISATION)
    ZohoCRMHook().get_organization()
    (folder,) = temporary.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = list(folder.iterdir())
    assert len(files) == 4  # token and claim, and a lock for each
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


@pytest.fixture
def fernet_key(monkeypatch):
    """Give Airflow a Fernet key, or another one, or none."""
    from airflow.models import crypto

    def forget_key():
        if hasattr(crypto.get_fernet, "cache_clear"):
            crypto.get_fernet.cache_clear()
        else:
            crypto._fernet = None

    def use(key):
        monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", key)
        forget_key()

    yield use
    monkeypatch.undo()
    forget_key()


def test_files_are_encrypted_with_airflows_key(tmp_path, fernet_key):
    first, second = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    fernet_key(first)
    store = stores.FileTokenStore(tmp_path / "tokens")
    store.write("zohocrm_token_a", "the-secret-text")
    assert b"the-secret-text" not in (tmp_path / "tokens" / "zohocrm_token_a").read_bytes()
    fernet_key(f"{second},{first}")
    assert store.read("zohocrm_token_a") == "the-secret-text"
    fernet_key(second)
    assert store.read("zohocrm_token_a") is None


def test_without_a_key_files_are_as_they_are(tmp_path, fernet_key):
    fernet_key("")
    store = stores.FileTokenStore(tmp_path / "tokens")
    store.write("zohocrm_token_a", "text")
    assert (tmp_path / "tokens" / "zohocrm_token_a").read_text() == "text"
    assert store.read("zohocrm_token_a") == "text"
    assert store.read("zohocrm_token_b") is None


def test_a_file_is_swapped_by_one_of_many(tmp_path):
    store = stores.FileTokenStore(tmp_path / "tokens")
    store.write("zohocrm_token_a", "old")
    gate = threading.Barrier(16)

    def swap(number):
        gate.wait(10)
        return store.swap("zohocrm_token_a", "old", str(number))

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(swap, range(16)))
    assert won.count(True) == 1
    assert store.read("zohocrm_token_a") == str(won.index(True))


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    store = stores.FileTokenStore(tmp_path / "tokens")
    store.write("zohocrm_token_a", "old")

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        with pytest.raises(OSError, match="No space"):
            store.write("zohocrm_token_a", "new")
    assert store.read("zohocrm_token_a") == "old"
    assert len(list((tmp_path / "tokens").iterdir())) == 2


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", "{}", '{"value": "1000.x"}', "null", '{"value": 1, "life": "x"}']
)
def test_a_damaged_entry_costs_a_new_token_and_nothing_else(shared, variables, temporary, zoho, text):
    zoho.on("GET", "/crm/v8/org", ORGANISATION)
    hook = ZohoCRMHook()
    hook.get_organization()
    for key in variables:
        variables[key] = text
    for name in OwnStore.texts:
        OwnStore.texts[name] = text
    for file in temporary.rglob("zohocrm_token_*"):
        file.write_text(text)
    forget()
    ZohoCRMHook().get_organization()
    assert zoho.mints == 2


def test_a_store_of_ones_own_that_fails_is_replaced_by_memory(connection, zoho, monkeypatch, caplog):
    connection(extra={"auth_store": f"{__name__}.OwnStore"})
    monkeypatch.setattr(OwnStore, "write", lambda *_: 1 / 0)
    zoho.on("GET", "/crm/v8/org", ORGANISATION)
    ZohoCRMHook().get_organization()
    ZohoCRMHook().get_organization()
    assert zoho.mints == 1
    assert caplog.text.count("cannot be shared through OwnStore (ZeroDivisionError)") == 1


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
    assert len(names_kept(variables, temporary)) == 4  # token and claim of each


def test_one_failed_write_of_a_variable_is_a_lost_claim_and_no_reason_to_warn(
    connection, variables, zoho, monkeypatch, caplog
):
    # Airflow 2.11 on PostgreSQL: UniqueViolation, for one of two tasks that write a new Variable at once.
    failures = [RuntimeError("UniqueViolation"), RuntimeError("UniqueViolation")]

    def write(key, value, description):
        if failures:
            raise failures.pop()
        variables[key] = value

    monkeypatch.setattr(stores, "write_variable", write)
    connection(extra={"auth_store": "variable"})
    zoho.on("GET", "/crm/v8/org", ORGANISATION)
    ZohoCRMHook().get_organization()
    assert zoho.mints == 1
    assert len(variables) == 2
    assert "cannot be shared" not in caplog.text


def test_a_variable_is_readable_with_the_secrets_of_the_connection_only(variables, connection, zoho):
    connection(extra={"auth_store": "variable"})
    zoho.on("GET", "/crm/v8/org", ORGANISATION)
    hook = ZohoCRMHook()
    hook.get_organization()
    credentials = hook.transport.credentials
    name = token_name(credentials.token_key)
    assert token_of(stores.token_store(credentials).read(name)).value == TOKEN["access_token"]
    assert stores.token_store(replace(credentials, client_secret="another")).read(name) is None
    # What an older version has left in clear is made anew.
    variables.update(dict.fromkeys(variables, '{"value": "1000.clear"}'))
    assert stores.token_store(credentials).read(name) is None
