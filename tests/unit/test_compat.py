from __future__ import annotations

import asyncio
import re
import threading
from pathlib import Path

import pytest
from support.fresh import fresh_process

import airflow_provider_zohocrm
from airflow_provider_zohocrm import _compat


def redacted(text):
    """Show a text as Airflow's logs do."""
    try:
        from airflow.sdk.log import redact  # 3.1
    except ImportError:
        try:
            from airflow.sdk.execution_time.secrets_masker import redact  # 3.0
        except ImportError:
            from airflow.utils.log.secrets_masker import redact
    return redact(text)


@pytest.mark.parametrize("name", _compat.__all__)
def test_every_name_is_there_on_this_airflow(name):
    assert getattr(_compat, name) is not None


def test_no_other_file_knows_where_airflow_keeps_what():
    package = Path(airflow_provider_zohocrm.__file__).parent
    importing = re.compile(r"^\s*(from|import) airflow[.\s]", re.MULTILINE)
    found = {
        str(one.relative_to(package)) for one in package.rglob("*.py") if importing.search(one.read_text())
    }
    # The commands are described at every start of Airflow, by releases that have one place for them.
    assert found == {"_compat.py", "cli/definition.py"}


def test_nothing_deprecated_is_imported():
    assert fresh_process()["warnings"] == []


@pytest.mark.parametrize(("value", "expected"), [("True", True), ("False", False), (None, False)])
def test_default_deferrable_follows_the_configuration(monkeypatch, value, expected):
    if value is not None:
        monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", value)
    assert _compat.default_deferrable() is expected


def test_the_operator_takes_default_deferrable_as_its_default(monkeypatch):
    from airflow_provider_zohocrm import ZohoBulkReadOperator

    assert ZohoBulkReadOperator(task_id="t", module="Leads").deferrable is False
    assert fresh_process()["deferrable"] is True


def test_a_masked_secret_does_not_show_in_logs():
    _compat.mask_secret("masked-by-the-worker")
    assert "masked-by-the-worker" not in redacted("password is masked-by-the-worker!")


def test_a_secret_masked_on_the_event_loop_does_not_show_in_logs():
    asyncio.run(_compat.async_mask_secret("masked-by-the-triggerer"))
    assert "masked-by-the-triggerer" not in redacted("password is masked-by-the-triggerer!")


def test_an_empty_secret_masks_nothing():
    _compat.mask_secret("")
    asyncio.run(_compat.async_mask_secret(""))
    assert redacted("nothing to hide") == "nothing to hide"


def test_async_connection_gives_fields_and_extra(connection):
    connection("zoho_x", extra={"data_center": "eu"})
    found, extra = asyncio.run(_compat.async_connection("zoho_x"))
    assert (found.conn_id, found.login, found.password) == ("zoho_x", "1000.CLIENT", "the-client-secret")
    assert extra["data_center"] == "eu"


def test_async_connection_does_not_block_the_loop(connection, monkeypatch):
    """Older releases look the connection up with blocking calls: those must be in another thread."""
    connection("zoho_x")
    threads = []
    get = _compat.BaseHook.get_connection

    def watched(conn_id):
        threads.append(threading.current_thread())
        return get(conn_id)

    monkeypatch.setattr(_compat.BaseHook, "get_connection", watched)
    asyncio.run(_compat.async_connection("zoho_x"))
    assert threading.main_thread() not in threads
    assert bool(threads) is not hasattr(_compat.Connection, "aextra_dejson")


def test_an_unknown_connection_is_an_error_in_both_ways():
    with pytest.raises(Exception, match="no_such_conn"):
        asyncio.run(_compat.async_connection("no_such_conn"))
    with pytest.raises(Exception, match="no_such_conn"):
        _compat.BaseHook.get_connection("no_such_conn")


def test_variables_are_read_and_a_missing_one_is_none(monkeypatch):
    monkeypatch.setenv("AIRFLOW_VAR_ZOHOCRM_TOKEN_X", "kept")
    assert _compat.read_variable("zohocrm_token_x") == "kept"


def test_a_missing_variable_is_none(monkeypatch):
    seen = {}

    def get(key, **kwargs):
        seen.update(kwargs)
        return next(iter(kwargs.values()))

    monkeypatch.setattr(_compat.Variable, "get", get)
    assert _compat.read_variable("nothing") is None
    assert len(seen) == 1


def test_a_variable_is_written_with_its_description(monkeypatch):
    from inspect import signature

    accepted = signature(_compat.Variable.set)
    seen = []
    monkeypatch.setattr(_compat.Variable, "set", lambda *args, **kwargs: seen.append((args, kwargs)))
    _compat.write_variable("key", "value", "what it is")
    (args, kwargs) = seen[0]
    assert accepted.bind(*args, **kwargs).arguments == {
        "key": "key",
        "value": "value",
        "description": "what it is",
    }


def test_sync_to_async_runs_elsewhere_and_returns():
    async def run():
        return await _compat.sync_to_async(lambda number: (number, threading.current_thread()), 5)

    number, thread = asyncio.run(run())
    assert number == 5
    assert thread is not threading.main_thread()
