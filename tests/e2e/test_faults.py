"""Faults of Airflow itself, on a real one: what is declared in tools/faults.py happens, and nothing is lost or doubled."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sqlite3
import threading
import time
from collections import Counter
from contextlib import closing, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tools.faults import AIRFLOW_FAULTS
from tools.files import read_jsonl
from tools.processes import wait_for
from tools.real_airflow import RealAirflow, RunFailedError
from tools.simulated_zoho import SimulatedZoho

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

CONTACTS, PAGE, ROWS, FILE = 300, 150, 400, 200
LEADS = 6_000
AWAY = 8.0
"""Seconds for which the metadata database is locked."""
UNKNOWN = "UNKNOWN_OUTCOME"
DAGS = """
from __future__ import annotations

import json
import os
from datetime import timedelta
from functools import partial
from pathlib import Path

from airflow.sdk import DAG

from airflow_provider_zohocrm import (
    ZohoBulkReadOperator,
    ZohoBulkWriteOperator,
    ZohoDeleteOperator,
    ZohoGetRecordsOperator,
    ZohoInsertOperator,
    ZohoUpdateOperator,
    ZohoUpsertOperator,
)
from airflow_provider_zohocrm.loading.bulk_rows import BulkTarget

FOLDER = Path(os.environ["FAULTS_FOLDER"])
# Small files of bulk write, so that there are several.
of = BulkTarget.of
BulkTarget.of = lambda *args, **kwargs: of(*args, **kwargs)._replace(max_rows=int(os.environ["FAULTS_ROWS_PER_FILE"]))


def tell_process(context):
    ti = context["ti"]
    (FOLDER / f"{ti.dag_id}.{ti.task_id}-try-{ti.try_number}.pid").write_text(str(os.getpid()))


def read(operator, **options):
    return lambda dag_id, task_id: partial(
        operator, module="Contacts", fields=["Last_Name", "Email"],
        output_path=str(FOLDER / dag_id / task_id / "contacts.jsonl"), **options)


def write(operator, **options):
    return lambda dag_id, task_id: partial(
        operator, module="Leads", input_path=str(FOLDER / f"{dag_id}.{task_id}.jsonl"), on_reject="continue", validate=False,
        results_path=str(FOLDER / dag_id / task_id / "results.jsonl"),
        rejects_path=str(FOLDER / dag_id / task_id / "rejects.jsonl"), **options)


IN_WORKER, DEFERRED = {"deferrable": False, "poll_interval": 1}, {"deferrable": True, "poll_interval": 12}
UPSERT = {"operation": "upsert", "find_by": "External_Key"}
OPERATORS = {
    "get_records records": read(ZohoGetRecordsOperator, strategy="records", page_size=25),
    "get_records coql": read(ZohoGetRecordsOperator, strategy="coql"),
    "get_records bulk": read(ZohoGetRecordsOperator, strategy="bulk", **DEFERRED),
    "bulk_read": read(ZohoBulkReadOperator, **IN_WORKER),
    "bulk_read deferred": read(ZohoBulkReadOperator, **DEFERRED),
    "upsert": write(ZohoUpsertOperator, max_concurrency=1, duplicate_check_fields="External_Key"),
    "insert": write(ZohoInsertOperator, max_concurrency=1),
    "update": write(ZohoUpdateOperator, max_concurrency=1),
    "delete": write(ZohoDeleteOperator, max_concurrency=1),
    "bulk_write": write(ZohoBulkWriteOperator, **IN_WORKER, **UPSERT),
    "bulk_write deferred": write(ZohoBulkWriteOperator, **DEFERRED, **UPSERT),
    "bulk_write insert": write(ZohoBulkWriteOperator, operation="insert", **IN_WORKER),
}
for dag_id, names in json.loads(os.environ["FAULTS_CELLS"]).items():
    with DAG(dag_id, schedule=None):
        for name in names:
            task_id = name.replace(" ", "_")
            more = {"execution_timeout": timedelta(seconds=4)} if dag_id == "timed_out" else {}
            OPERATORS[name](dag_id, task_id)(
                task_id=task_id, retries=2, retry_delay=timedelta(seconds=1), pre_execute=tell_process, **more
            )
"""
CELLS = {kind: list(fault.lasts) for kind, fault in AIRFLOW_FAULTS.items()}
WRITING = ("upsert", "insert", "update", "delete", "bulk_write", "bulk_write deferred", "bulk_write insert")


def task_of(name: str) -> str:
    return name.replace(" ", "_")


class World:
    """A CRM, an Airflow whose parts are hurt, and what came of every task."""

    def __init__(self, crm: SimulatedZoho, airflow: RealAirflow, folder: Path) -> None:
        self.crm = crm
        self.airflow = airflow
        self.folder = folder
        self.runs: dict[str, str] = {}
        self.failures: dict[str, str] = {}
        self.hurt: list[str] = []

    def start(self, *kinds: str) -> None:
        for kind in kinds:
            self.runs[kind] = self.airflow.trigger(kind)

    def states(self, kind: str) -> dict[str, str]:
        return self.airflow.task_states(kind, self.runs[kind])

    def wait_deferred(self, *kinds: str) -> None:
        def look() -> bool:
            return all(state == "deferred" for kind in kinds for state in self.states(kind).values())

        wait_for(f"{', '.join(kinds)} to be deferred", look, timeout=400)

    def end(self, *kinds: str) -> None:
        for kind in kinds:
            self._end(kind)

    def _end(self, kind: str) -> None:
        try:
            self.airflow.wait_for_run(kind, self.runs[kind], timeout=600)
        except RunFailedError as error:
            self.failures[kind] = str(error)

    def kill_at_random(self, kind: str, number: signal.Signals) -> None:
        """Hurt the first process of each task, some time after its operator began."""
        for name in CELLS[kind]:
            threading.Thread(target=self._kill, args=(kind, name, number), daemon=True).start()

    def _kill(self, kind: str, name: str, number: signal.Signals) -> None:
        path = self.folder / f"{kind}.{task_of(name)}-try-1.pid"
        wait_for(str(path), lambda: path.exists() and path.read_text(), timeout=600, interval=0.05)
        after = random.uniform(0, 4)  # where in the task it is meant to be random
        time.sleep(after)
        with suppress(ProcessLookupError):
            os.kill(int(path.read_text()), number)
            self.hurt.append(f"{kind} {name} after {after:.2f} s")

    def lock_database(self, seconds: float) -> None:
        """Let nobody write to Airflow's database for a while."""
        with closing(sqlite3.connect(self.airflow.home / "airflow.db", timeout=30)) as database:
            database.execute("BEGIN EXCLUSIVE")
            time.sleep(seconds)  # the outage itself
            database.rollback()

    def clear(self, kind: str) -> None:
        body = {
            "dry_run": False,
            "dag_run_id": self.runs[kind],
            "only_failed": False,
            "only_running": False,
            "reset_dag_runs": True,
        }
        self.airflow.api("POST", f"/dags/{kind}/clearTaskInstances", json=body)

    @cached_property
    def leads(self) -> dict[str, dict[str, Any]]:
        """The Leads after everything."""
        return self.crm.records("Leads")


def rows_of(kind: str, name: str, leads: list[str]) -> list[dict[str, Any]]:
    """Make the input of a task; what it changes carries its name."""
    mark = [f"{kind} {task_of(name)} {number}" for number in range(ROWS)]
    if name in ("update", "delete"):
        ids = [leads.pop() for _ in mark]
        return [
            {"id": id_, **({"Company": each} if name == "update" else {})}
            for id_, each in zip(ids, mark, strict=True)
        ]
    return [{"Last_Name": "Fault", "Company": each, "External_Key": each[:50]} for each in mark]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder, dags = tmp_path_factory.mktemp("faults"), tmp_path_factory.mktemp("dags")
    (dags / "faults.py").write_text(DAGS)
    options = {
        "bulk_page_size": PAGE,
        "job_seconds": 0.5,
        "downloads_per_minute": 1000,
        "latency": 0.25,
        "mint_limit": 1000,
    }
    environment = {
        "FAULTS_FOLDER": str(folder),
        "FAULTS_CELLS": json.dumps(CELLS),
        "FAULTS_ROWS_PER_FILE": str(FILE),
        "AIRFLOW__CORE__PARALLELISM": "8",
        "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "15",
        "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    }
    with SimulatedZoho(
        {"Contacts": CONTACTS, "Leads": LEADS}, log=folder / "simulator.log", options=options
    ) as crm:
        leads = sorted(crm.records("Leads"))
        for kind, names in CELLS.items():
            for name in set(names).intersection(WRITING):
                lines = [json.dumps(row) for row in rows_of(kind, name, leads)]
                (folder / f"{kind}.{task_of(name)}.jsonl").write_text("\n".join(lines) + "\n")
        home = tmp_path_factory.mktemp("airflow")
        with RealAirflow(home, dags, environment=environment) as airflow:
            airflow.create_connection("zohocrm_default", "zohocrm", **crm.connection())
            airflow.wait_for_dags(list(CELLS))
            yield World(crm, airflow, folder)


@pytest.fixture(scope="module")
def ended(world: World) -> World:
    """Hurt everything, and wait for what comes of it."""
    world.start("sigterm", "sigkill")
    world.kill_at_random("sigterm", signal.SIGTERM)
    world.kill_at_random("sigkill", signal.SIGKILL)
    world.end("sigterm", "sigkill")

    world.start("cleared", "timed_out")
    world.wait_deferred("cleared")
    world.clear("cleared")
    world.end("cleared", "timed_out")

    world.start("triggerer_restart", "database_away")
    world.wait_deferred("triggerer_restart")
    world.airflow.restart_triggerer()
    world.lock_database(AWAY)
    world.end("triggerer_restart", "database_away")
    return world


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in CELLS.items() for name in names])
def test_nothing_is_lost_or_there_twice(ended: World, kind: str, name: str) -> None:
    assert kind not in ended.failures, ended.failures[kind]
    result = ended.airflow.xcom(kind, ended.runs[kind], task_of(name))
    if name in WRITING:
        check_written(ended, kind, name, result)
    else:
        check_read(ended, result)


def check_read(world: World, result: dict[str, Any]) -> None:
    rows = [row for file in result["files"] for row in read_jsonl(Path(file["path"]))]
    wanted = [
        {"id": id_, "Last_Name": one["Last_Name"], "Email": one["Email"]}
        for id_, one in world.crm.records("Contacts").items()
    ]
    assert sorted(map(_sortable, rows)) == sorted(map(_sortable, wanted))


def _sortable(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(row[name] or "" for name in ("id", "Last_Name", "Email"))


def check_written(world: World, kind: str, name: str, result: dict[str, Any]) -> None:
    operation = AIRFLOW_FAULTS[kind].lasts[name]
    done = [row for path in result["results_paths"] for row in read_jsonl(Path(path))]
    refused = {
        row["index"]: row["code"] for path in result["rejects_paths"] for row in read_jsonl(Path(path))
    }
    assert sorted([*(row["index"] for row in done), *refused]) == list(range(ROWS))
    assert set(refused.values()) <= ({UNKNOWN} if operation.doubtful else set()), f"{world.hurt}"
    leads = world.leads
    if name == "delete":
        given = read_jsonl(world.folder / f"{kind}.{name}.jsonl")
        assert not [row["id"] for row in given if row["id"] in leads]
        return
    there = Counter(str(one["Company"]) for one in leads.values())
    for row in done:
        assert there[f"{kind} {task_of(name)} {row['index']}"] == 1, f"row {row['index']}: {world.hurt}"
    assert all(there[f"{kind} {task_of(name)} {index}"] <= 1 for index in refused)


@pytest.mark.parametrize("name", CELLS["timed_out"])
def test_no_job_is_paid_for_twice_after_a_time_out(ended: World, name: str) -> None:
    log = ended.airflow.task_log("timed_out", ended.runs["timed_out"], task_of(name), 2)
    assert re.search(r"Re-attached to bulk (read|write) job", log)


@pytest.mark.parametrize("name", CELLS["triggerer_restart"])
def test_a_restart_of_the_triggerer_costs_no_try(ended: World, name: str) -> None:
    tasks = ended.airflow.task_instances("triggerer_restart", ended.runs["triggerer_restart"])
    assert {each["try_number"] for each in tasks if each["task_id"] == task_of(name)} == {1}


@pytest.mark.parametrize("kind", ["sigterm", "sigkill"])
def test_workers_were_hurt(ended: World, kind: str) -> None:
    assert len([one for one in ended.hurt if one.startswith(kind)]) > len(CELLS[kind]) / 2
