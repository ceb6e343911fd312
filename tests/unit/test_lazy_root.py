from __future__ import annotations

import json
import subprocess
import sys

import pytest
from support.fresh import fresh_process

import airflow_provider_zohocrm

PUBLIC = {
    "ZohoCRMHook": "airflow_provider_zohocrm.hooks.zohocrm",
    "ZohoCRMAsyncHook": "airflow_provider_zohocrm.hooks.zohocrm",
    "ZohoGetRecordsOperator": "airflow_provider_zohocrm.operators.records",
    "ZohoUpsertOperator": "airflow_provider_zohocrm.operators.upsert",
    "ZohoInsertOperator": "airflow_provider_zohocrm.operators.insert",
    "ZohoUpdateOperator": "airflow_provider_zohocrm.operators.update",
    "ZohoDeleteOperator": "airflow_provider_zohocrm.operators.delete",
    "ZohoBulkReadOperator": "airflow_provider_zohocrm.operators.bulk_read",
    "ZohoBulkWriteOperator": "airflow_provider_zohocrm.operators.bulk_write",
    "ZohoQueryOperator": "airflow_provider_zohocrm.operators.query",
    "ZohoGetDeletedRecordsOperator": "airflow_provider_zohocrm.operators.deleted",
    "ZohoGetRelatedRecordsOperator": "airflow_provider_zohocrm.operators.related",
    "ZohoCountOperator": "airflow_provider_zohocrm.operators.count",
    "ZohoRecordSensor": "airflow_provider_zohocrm.sensors.record",
    "ZohoBulkReadJobSensor": "airflow_provider_zohocrm.sensors.bulk_read",
    "ZohoApiCreditsSensor": "airflow_provider_zohocrm.sensors.api_credits",
    "ZohoRecordsChangedTrigger": "airflow_provider_zohocrm.triggers.records_changed",
    "RecordTrigger": "airflow_provider_zohocrm.triggers.record",
    "ApiCreditsTrigger": "airflow_provider_zohocrm.triggers.api_credits",
    "ZohoCRMTaskNotifier": "airflow_provider_zohocrm.notifications.zohocrm",
    "BulkReadJobTrigger": "airflow_provider_zohocrm.triggers.bulk_read",
    "BulkWriteJobTrigger": "airflow_provider_zohocrm.triggers.bulk_write",
    "ZohoCRMError": "airflow_provider_zohocrm.exceptions",
    "ZohoRetryPolicy": "airflow_provider_zohocrm.retry_policy",
    "fail_at_once": "airflow_provider_zohocrm.retry_policy",
    "retry_decision": "airflow_provider_zohocrm.retry_policy",
}

# What triggers may import before they run.
LIGHT = ("api", "calls", "coql", "imports", "jobs", "polling")
LIGHTEST = {"_compat", "client", "exceptions", *(f"client.{name}" for name in LIGHT)}


def imported_by(statement: str) -> set[str]:
    """Tell which top-level packages a statement imports, in a Python of its own."""
    code = f"{statement}\nimport sys; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "statement",
    [
        "import airflow_provider_zohocrm",
        "from airflow_provider_zohocrm.get_provider_info import get_provider_info; get_provider_info()",
        "import airflow_provider_zohocrm; dir(airflow_provider_zohocrm); airflow_provider_zohocrm.__version__",
        "from airflow_provider_zohocrm import ZohoCRMError",
        "import airflow_provider_zohocrm.client.client, airflow_provider_zohocrm.client.aio",
        "import airflow_provider_zohocrm.storage",
        "import airflow_provider_zohocrm.cli.arguments, airflow_provider_zohocrm.cli.definition",
        "from airflow_provider_zohocrm.__main__ import parser; parser()",
    ],
)
def test_airflow_is_not_imported(statement):
    assert "airflow" not in imported_by(statement)


def test_the_root_imports_nothing_heavy():
    heavy = {"requests", "aiohttp", "tenacity", "orjson", "pyarrow", "fsspec", "starlette"}
    assert not heavy & imported_by("import airflow_provider_zohocrm")


def test_parsing_a_dag_file_loads_nothing_heavy_on_top_of_airflow():
    heavy = {"pyarrow", "aiohttp", "pandas", "starlette", "uvicorn"}
    assert not heavy & {name.partition(".")[0] for name in fresh_process()["imported"]}


@pytest.mark.parametrize("trigger", ["api_credits", "bulk_read", "bulk_write", "record", "records_changed"])
def test_the_triggerer_imports_next_to_nothing_in_its_event_loop(trigger):
    code = (
        "import sys, airflow.triggers.base; before = set(sys.modules); "
        f"import airflow_provider_zohocrm.triggers.{trigger}; print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    found = done.stdout.splitlines()[-1].split()
    root = "airflow_provider_zohocrm."
    ours = {name.removeprefix(root) for name in found if name.startswith(root)}
    assert {name for name in ours if not name.startswith("triggers")} <= LIGHTEST
    assert not {"aiohttp", "orjson", "requests", "tenacity"} & set(found)


def test_a_watcher_that_runs_imports_nothing_of_ours_in_the_event_loop():
    code = """
import asyncio, sys, threading
from airflow_provider_zohocrm.triggers import records_changed

found = []


class Finder:
    def find_spec(self, name, *_):
        if name.startswith("airflow_provider_zohocrm.client.") and threading.current_thread() is threading.main_thread():
            found.append(name)


async def scenario():
    trigger = records_changed.ZohoRecordsChangedTrigger("Leads")
    records_changed.read_variable = lambda key: None
    ended = asyncio.sleep(0)

    async def looks():
        await ended
        return
        yield

    sys.meta_path.insert(0, Finder())
    async for _ in trigger.filter_shared_stream(looks()):
        pass


asyncio.run(scenario())
print(found)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


IN_THE_LOOP = """
import asyncio, json, sys, threading, time
from importlib import import_module
import airflow.triggers.base

seen = []


def note(event, arguments):
    if event == "import" and threading.current_thread() is threading.main_thread():
        seen.append(arguments[0])


async def look():
    path, name, kwargs = json.loads(sys.argv[1])
    if "zohocrm_conn_id" in kwargs:
        kwargs["end_time"] = time.time() + 1
    trigger = getattr(import_module(path), name)(poll_interval=0.1, max_poll_interval=0.1, **kwargs)
    async for _ in trigger.run():
        break


async def limited():
    try:
        await asyncio.wait_for(look(), 5)
    except asyncio.TimeoutError:
        pass


sys.addaudithook(note)
asyncio.run(limited())
print(*seen)
"""


@pytest.mark.parametrize(
    ("path", "name", "kwargs"),
    [
        ("bulk_read", "BulkReadJobTrigger", {"job_id": "1", "zohocrm_conn_id": "zohocrm_default"}),
        (
            "record",
            "RecordTrigger",
            {"module": "Leads", "record_id": "1", "zohocrm_conn_id": "zohocrm_default"},
        ),
        ("records_changed", "ZohoRecordsChangedTrigger", {"module": "Leads"}),
    ],
)
def test_triggers_that_run_import_beside_the_event_loop(monkeypatch, connection, path, name, kwargs):
    # Nobody listens there.
    connection(extra={"accounts_url": "http://127.0.0.1:1", "api_url": "http://127.0.0.1:1"})
    given = json.dumps([f"airflow_provider_zohocrm.triggers.{path}", name, kwargs])
    done = subprocess.run(
        [sys.executable, "-c", IN_THE_LOOP, given], check=True, capture_output=True, text=True
    )
    ours = {
        one.partition(".")[2] for one in done.stdout.split() if one.startswith("airflow_provider_zohocrm.")
    }
    assert f"triggers.{path}" in ours or "triggers.outages" in ours
    assert {one for one in ours if not one.startswith("triggers")} <= LIGHTEST
    assert not {"aiohttp", "orjson", "requests", "ssl", "tenacity", "msgspec"} & set(done.stdout.split())


@pytest.mark.parametrize(("name", "module"), PUBLIC.items())
def test_a_public_name_loads_from_the_root_and_is_the_one_of_its_module(name, module):
    found = getattr(airflow_provider_zohocrm, name)
    assert found.__module__ == module
    assert found is getattr(sys.modules[module], name)
    assert name in airflow_provider_zohocrm.__all__


def test_dir_shows_all_public_names_and_the_version():
    assert (
        set(dir(airflow_provider_zohocrm))
        == set(airflow_provider_zohocrm.__all__)
        == {*PUBLIC, "__version__"}
    )


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="ZohoNothing"):
        _ = airflow_provider_zohocrm.ZohoNothing
    assert not hasattr(airflow_provider_zohocrm, "ZohoNothing")
