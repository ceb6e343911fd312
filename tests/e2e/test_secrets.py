"""Recognisable secrets, every kind of task at DEBUG on a real Airflow, and a search through all that is left behind."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from support.leaks import CLIENT_SECRET, REFRESH_TOKEN, leaks

from airflow_provider_zohocrm.simulator.server import Simulator
from tools.files import write_jsonl
from tools.real_airflow import RealAirflow, RunFailedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.e2e

WRONG_SECRET = "planted-wrong/secret+that=nobody&knows"
# Not that of the others, whose stored access token would do.
WRONG_TOKEN = "1000.planted-wrong/refresh+token=x"
ACCESS_TOKEN = re.compile(rb"1000\.[0-9a-f]{32}\.[0-9a-f]{32}")
DAG = "planted_secrets"
STATES = {
    "get_records": "success",
    "bulk_read": "success",
    "upsert": "success",
    "own_call": "success",
    "wrong_secret": "failed",
    "wrong_scope": "failed",
    "server_error": "failed",
    "server_gone": "failed",
}
DAGS = """
from __future__ import annotations

import os
import traceback
from pathlib import Path

from airflow.sdk import DAG, task

from airflow_provider_zohocrm import (
    ZohoBulkReadOperator, ZohoCRMHook, ZohoGetRecordsOperator, ZohoUpsertOperator
)

FOLDER = os.environ["PLANTED_FOLDER"]

with DAG("planted_secrets", schedule=None):
    ZohoGetRecordsOperator(task_id="get_records", module="Leads", output_path=f"{FOLDER}/leads.jsonl")
    ZohoBulkReadOperator(
        task_id="bulk_read", module="Leads", fields=["Last_Name"], output_path=f"{FOLDER}/{{{{ task.task_id }}}}.csv",
        deferrable=True, poll_interval=10,
    )
    ZohoUpsertOperator(task_id="upsert", module="Leads", input_path=f"{FOLDER}/input.jsonl")
    for conn in ("wrong_secret", "wrong_scope"):
        ZohoGetRecordsOperator(
            task_id=conn, module="Leads", output_path=f"{FOLDER}/{conn}.jsonl", zohocrm_conn_id=conn
        )

    @task
    def own_call():
        hook = ZohoCRMHook()
        return [hook.get_conn().get("/crm/v8/org").json(), repr(hook), repr(vars(hook)), repr(hook.transport.credentials)]

    def failing(name, hook, call):
        try:
            call(hook)
        except Exception as error:
            # Airflow would mask what it logs; a file holds what is there.
            text = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
            Path(FOLDER, f"{name}.txt").write_text(text)
            print(text)
            raise

    @task
    def server_error():
        failing("server_error", ZohoCRMHook(retries=0), lambda hook: hook.get_modules())

    @task
    def server_gone():
        failing("server_gone", ZohoCRMHook("gone", retries=0), lambda hook: hook.get_modules())

    server_error()
    server_gone()
    own_call()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("planted")


@pytest.fixture(scope="module")
def crm(folder: Path) -> Iterator[Simulator]:
    with Simulator({"Leads": 300}, job_seconds=5, log=str(folder / "requests.log")) as running:
        running.state.tokens.client_secret = CLIENT_SECRET
        running.state.tokens.refresh_token = REFRESH_TOKEN
        running.add_fault("status", path="/settings/modules", count=None, status=500)
        yield running


@pytest.fixture(scope="module")
def left_behind(
    tmp_path_factory: pytest.TempPathFactory, folder: Path, crm: Simulator
) -> tuple[Path, list[str]]:
    """Run all tasks; the home of an Airflow that has ended, and what must not be found there."""
    home, dags = tmp_path_factory.mktemp("airflow"), tmp_path_factory.mktemp("dags")
    (dags / "planted.py").write_text(DAGS)
    write_jsonl(folder / "input.jsonl", [{"Email": "a@example.com", "Last_Name": "A", "Company": "B"}])
    environment = {
        "PLANTED_FOLDER": str(folder),
        "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG",
        # Used where the OpenLineage provider is installed.
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(
            {"type": "file", "log_file_path": str(folder / "lineage.jsonl"), "append": True}
        ),
    }
    extra = {"refresh_token": REFRESH_TOKEN, "accounts_url": crm.url}
    fields: dict[str, Any] = {"login": crm.client_id, "password": CLIENT_SECRET}
    narrow = {"grant_type": "client_credentials", "soid": "65398227", "scope": "ZohoCRM.org.READ"}
    airflow = RealAirflow(home, dags, environment=environment)
    with ExitStack() as stack:
        stack.callback(airflow.stop)
        # What is written at DEBUG makes all parts slow on a busy machine.
        airflow.start(timeout=600)
        for name, more in (
            ("zohocrm_default", {"extra": extra}),
            ("wrong_secret", {"password": WRONG_SECRET, "extra": {**extra, "refresh_token": WRONG_TOKEN}}),
            ("wrong_scope", {"extra": {"accounts_url": crm.url, **narrow}}),
            ("gone", {"extra": {**extra, "api_url": "http://127.0.0.1:9"}}),
        ):
            airflow.create_connection(name, "zohocrm", **{**fields, **more})
        airflow.wait_for_dags([DAG], timeout=300)
        run = airflow.trigger(DAG)
        with pytest.raises(RunFailedError):
            airflow.wait_for_run(DAG, run, timeout=600)
        assert airflow.task_states(DAG, run) == STATES
        instances = airflow.task_instances(DAG, run)
        variables = airflow.api("GET", "/variables")["variables"]
        rendered = json.dumps([each["rendered_fields"] for each in instances])
        xcoms = [airflow.xcom(DAG, run, task) for task, state in STATES.items() if state == "success"]
        logs = [airflow.task_log(DAG, run, task) for task in STATES]
        (folder / "shown.json").write_text(json.dumps([variables, rendered, xcoms, logs]))
    live = list(crm.state.tokens._live)
    assert len(live) >= 2
    return home, [CLIENT_SECRET, WRONG_SECRET, REFRESH_TOKEN, WRONG_TOKEN, *live]


def test_no_secret_is_left_anywhere(left_behind: tuple[Path, list[str]], folder: Path) -> None:
    home, secrets = left_behind
    files = [path for root in (home, folder) for path in root.rglob("*") if path.is_file()]
    found = []
    for path in files:
        content = path.read_bytes()
        found += [f"{path}: {leak}" for leak in leaks(content, secrets)]
        found += [f"{path}: {token[0]!r}" for token in ACCESS_TOKEN.finditer(content)]
    assert found == []


def test_what_is_searched_is_there(left_behind: tuple[Path, list[str]], folder: Path) -> None:
    home, _ = left_behind
    assert b"wrong_scope" in (home / "airflow.db").read_bytes()
    logs = [path.read_text(errors="replace") for path in home.rglob("attempt=*") if path.is_file()]
    assert len(logs) > len(STATES), "each task has left a log, the deferred one of its trigger too"
    assert any("urllib3.connectionpool" in log and '"debug"' in log for log in logs)
    assert any("invalid_client_secret" in log for log in logs)
    assert any("OAUTH_SCOPE_MISMATCH" in log for log in logs)
    for name in ("server_error", "server_gone"):
        assert "self = <airflow_provider_zohocrm" in (folder / f"{name}.txt").read_text()
    journal = (folder / "requests.log").read_text()
    assert "/oauth/v2/token" in journal
    assert "Zoho-oauthtoken ***" in journal
