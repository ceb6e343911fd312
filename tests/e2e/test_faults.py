"""Faults of Airflow itself, on a real one: what is declared in tools/faults.py happens, and nothing is lost or doubled."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sqlite3
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tools.faults import AIRFLOW_FAULTS, BULK_READS, BULK_WRITES, READS, WAITING
from tools.files import read_jsonl
from tools.processes import wait_for
from tools.real_airflow import RealAirflow, RunFailedError
from tools.simulated_zoho import SimulatedZoho

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

pytestmark = pytest.mark.e2e

CONTACTS, PAGE = 300, 150
LEADS, ROWS, FILE = 6_000, 1_000, 500
LATENCY = 0.4
JOBS = 2
"""Jobs that each bulk task needs."""
AWAY = 8.0
"""Seconds for which Airflow's database is locked; Airflow waits for 5."""
UNKNOWN = "UNKNOWN_OUTCOME"
DAGS = """
from __future__ import annotations

import json
import os
import time
from datetime import timedelta
from pathlib import Path

import requests
from airflow.sdk import DAG, Asset

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
# Before this file is there, tasks of that DAG do not begin.
GO = FOLDER / "go"
# Small files of bulk write, so that there are several.
of = BulkTarget.of
BulkTarget.of = lambda *args, **kwargs: of(*args, **kwargs)._replace(max_rows=int(os.environ["FAULTS_ROWS_PER_FILE"]))


request = requests.Session.request


def counted(*args, **kwargs):
    with (FOLDER / f"{os.getpid()}.calls").open("a") as file:
        file.write(".")
    return request(*args, **kwargs)


requests.Session.request = counted


def tell_process(context):
    ti = context["ti"]
    (FOLDER / f"{os.getpid()}.calls").write_text("")
    # One line for each process of the try: after a deferral there is another.
    with (FOLDER / f"{ti.dag_id}.{ti.task_id}-try-{ti.try_number}.pids").open("a") as file:
        file.write(f"{os.getpid()} {os.getppid()}\\n")
    while ti.dag_id == "database_away" and not GO.exists():
        time.sleep(0.1)


def read(operator, **options):
    return lambda dag_id, task_id, **more: operator(
        task_id=task_id, module="Contacts", fields=["Last_Name", "Email"],
        output_path=str(FOLDER / dag_id / task_id / "contacts.jsonl"), **{**options, **more})


def write(operator, **options):
    return lambda dag_id, task_id, **more: operator(
        task_id=task_id, module="Leads", input_path=str(FOLDER / f"{dag_id}.{task_id}.jsonl"), on_reject="continue", validate=False,
        results_path=str(FOLDER / dag_id / task_id / "results.jsonl"),
        rejects_path=str(FOLDER / dag_id / task_id / "rejects.jsonl"),
        # Airflow fails one of two tasks that create the same asset at once (docs/assets_and_lineage.md).
        outlets=[Asset(f"file:///{dag_id}/{task_id}")], **{**options, **more})


IN_WORKER = {"deferrable": False, "poll_interval": 1, "max_poll_interval": 1}
# Time for the scheduler to learn that a task is deferred, before it is resumed.
DEFERRED = {"deferrable": True, "poll_interval": 5, "max_poll_interval": 5}
FIRST_TRY = "{{{{ {} if ti.try_number == 1 else 600 }}}}"
# A job gets so long; Airflow's own time-out comes ten times the longest pause later.
TIMEOUTS = {
    "timed_out": {"timeout": FIRST_TRY.format(8)},
    "timed_out_unseen": {"timeout": FIRST_TRY.format(1), "max_poll_interval": 1},
}
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
            OPERATORS[name](
                dag_id, task_id, retries=5, retry_delay=timedelta(seconds=1), pre_execute=tell_process,
                **TIMEOUTS.get(dag_id, {}),
            )
"""
CELLS = {kind: list(fault.lasts) for kind, fault in AIRFLOW_FAULTS.items()}
WRITING = ("upsert", "insert", "update", "delete", *BULK_WRITES)
DEFERRED = ("cleared", "timed_out", "timed_out_unseen", "triggerer_restart")
"""Faults that meet a task while it is deferred."""
SIGNALS = {"sigterm": signal.SIGTERM, "sigkill": signal.SIGKILL}


def task_of(name: str) -> str:
    return name.replace(" ", "_")


def calls_of(name: str) -> int:
    """Tell how many calls a process of a task makes at least, without the last."""
    if name in WAITING:
        return 1
    if name in (*BULK_READS, *BULK_WRITES):
        return 6
    return 2 if name == "get_records coql" else 9


class World:
    """A CRM, an Airflow whose parts are hurt, and what came of every task."""

    def __init__(self, crm: SimulatedZoho, airflow: RealAirflow, folder: Path) -> None:
        self.crm = crm
        self.airflow = airflow
        self.folder = folder
        self.runs: dict[str, str] = {}
        self.failures: dict[str, str] = {}
        self.hurt: dict[tuple[str, str], str] = {}
        self.created: Counter[str] = Counter()
        self.refused = 0

    def start(self, *kinds: str) -> None:
        for kind in kinds:
            self.runs[kind] = self.airflow.trigger(kind)

    def end(self, *kinds: str) -> None:
        for kind in kinds:
            self._end(kind)

    def _end(self, kind: str) -> None:
        try:
            self.airflow.wait_for_run(kind, self.runs[kind], timeout=400)
        except RunFailedError as error:
            self.failures[kind] = str(error)

    def tasks(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the task instances of a run."""
        return {each["task_id"]: each for each in self.airflow.task_instances(kind, self.runs[kind])}

    def wait_for_each(
        self, kind: str, names: Iterable[str], what: str, reached: Callable[[dict[str, Any]], bool]
    ) -> None:
        """Wait for something to come true of each task, be it only for a while."""
        left = {task_of(name) for name in names}

        def look() -> bool:
            left.difference_update([task for task, one in self.tasks(kind).items() if reached(one)])
            return not left

        wait_for(f"{what} of {', '.join(left)} of {kind}", look, timeout=240)

    def clear(self, kind: str) -> None:
        """Press "Clear" for all tasks of a run."""
        body = {
            "dry_run": False,
            "dag_run_id": self.runs[kind],
            "only_failed": False,
            "only_running": False,
            "reset_dag_runs": True,
        }
        cleared = self.airflow.api("POST", f"/dags/{kind}/clearTaskInstances", json=body)["task_instances"]
        self.hurt |= {(kind, each["task_id"]): "cleared" for each in cleared}

    def kill_at_random(self, kind: str, name: str) -> None:
        """Send a signal to one of the first processes of a task, some time after one of its calls began."""
        process = random.choice((0, 1)) if name in WAITING else 0
        call, after = random.randint(1, calls_of(name)), random.uniform(0, 1.5 * LATENCY)
        path = self.folder / f"{kind}.{task_of(name)}-try-1.pids"

        def look() -> str | None:
            lines = path.read_text().splitlines(keepends=True) if path.exists() else []
            return lines[process] if len(lines) > process and lines[process].endswith("\n") else None

        task, worker = wait_for(str(path), look, timeout=240, interval=0.05).split()
        calls = self.folder / f"{task}.calls"
        wait_for(
            f"{call} calls of {kind} {name}",
            lambda: len(calls.read_text()) >= call,
            timeout=60,
            interval=0.02,
        )
        time.sleep(after)  # where in the task it is meant to be random
        # The worker hands SIGTERM to the task's process.
        os.kill(int(worker if kind == "sigterm" else task), SIGNALS[kind])
        self.hurt[kind, task_of(name)] = f"process {process + 1}, {after:.2f} s after call {call}"

    def lock_database(self) -> None:
        """Let nobody write to Airflow's database for longer than Airflow waits, while all tasks are at work."""
        before = len(self._refusals())
        with closing(sqlite3.connect(self.airflow.home / "airflow.db", timeout=60)) as database:
            database.execute("BEGIN EXCLUSIVE")
            (self.folder / "go").touch()
            time.sleep(AWAY)  # the outage itself
            database.rollback()
        self.refused = len(self._refusals()) - before

    def _refusals(self) -> list[str]:
        """Find the calls of tasks which Airflow could not answer."""
        return re.findall(r"path=/execution/.* status_code=500", self.airflow.log)

    def ended_too_early(self, kind: str) -> Counter[str]:
        """Count the tries that Airflow ends by itself: where it learns of a deferral only when the task is resumed."""
        return Counter(
            re.findall(rf"reported that the task instance <TaskInstance: {kind}\.(\w+) ", self.airflow.log)
        )

    def jobs_created(self) -> Counter[str]:
        """Count the jobs that the CRM has taken, by their kind."""
        asked = self.crm.journal(r"^POST /crm/bulk/v8/(read|write)$")
        return Counter(each["path"].rpartition("/")[2] for each in asked if each["status"] == 201)

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
        "latency": LATENCY,
        "mint_limit": 1000,
    }
    environment = {
        "FAULTS_FOLDER": str(folder),
        "FAULTS_CELLS": json.dumps(CELLS),
        "FAULTS_ROWS_PER_FILE": str(FILE),
        "AIRFLOW__CORE__PARALLELISM": str(len(CELLS["database_away"])),
        "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
        "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "10",
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
        with RealAirflow(tmp_path_factory.mktemp("airflow"), dags, environment=environment) as airflow:
            airflow.create_connection("zohocrm_default", "zohocrm", **crm.connection())
            airflow.wait_for_dags(list(CELLS))
            yield World(crm, airflow, folder)


@pytest.fixture(scope="module")
def ended(world: World) -> World:
    """Hurt everything, and wait for what comes of it."""
    meet_deferred(world)
    meet_workers(world)
    world.start("database_away")
    for name in CELLS["database_away"]:
        path = world.folder / f"database_away.{task_of(name)}-try-1.pids"
        wait_for(f"the start of {name}", path.exists, timeout=240)
    world.lock_database()
    world.end("database_away")
    return world


def meet_deferred(world: World) -> None:
    """Clear tasks, let them time out, and kill their triggerer, while their jobs go on and on."""

    def looked_after(task: dict[str, Any]) -> bool:
        return task["state"] == "deferred" and (task["trigger"] or {}).get("triggerer_id") is not None

    def in_second_try(task: dict[str, Any]) -> bool:
        return task["try_number"] >= 2 and task["state"] == "deferred"

    world.crm.set_options(job_stuck=True)
    world.start("cleared", "triggerer_restart")
    world.wait_for_each("cleared", WAITING, "deferred", looked_after)
    world.wait_for_each("triggerer_restart", WAITING, "deferred", looked_after)
    world.clear("cleared")
    world.start("timed_out")
    world.wait_for_each("timed_out", WAITING, "the second try", in_second_try)
    world.airflow.kill_triggerer()
    world.start("timed_out_unseen")
    world.wait_for_each("timed_out_unseen", WAITING, "the second try", in_second_try)
    world.airflow.start_triggerer()
    world.crm.set_options(job_stuck=False)
    world.end(*DEFERRED)
    world.created = world.jobs_created()


def meet_workers(world: World) -> None:
    """Send signals to workers in the middle of their tasks."""
    for kind in SIGNALS:
        # Those that can are deferred, and go on in a second process.
        world.crm.set_options(job_stuck=True)
        with ThreadPoolExecutor(len(CELLS[kind])) as killers:
            killed = [killers.submit(world.kill_at_random, kind, name) for name in CELLS[kind]]
            world.start(kind)
            world.wait_for_each(kind, WAITING, "deferred", lambda task: task["state"] == "deferred")
            world.crm.set_options(job_stuck=False)
        for one in killed:
            one.result()
        world.end(kind)


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


@pytest.mark.parametrize("kind", ["cleared", *SIGNALS])
def test_all_were_met(ended: World, kind: str) -> None:
    assert {task for met, task in ended.hurt if met == kind} == {task_of(name) for name in CELLS[kind]}


def test_airflow_missed_its_database(ended: World) -> None:
    assert ended.refused > 0


TRIES = {"triggerer_restart": 1, "sigterm": 1, "cleared": 2, "timed_out": 2, "timed_out_unseen": 2}


@pytest.mark.parametrize("kind", TRIES)
def test_it_costs_no_more_tries_than_it_must(ended: World, kind: str) -> None:
    early = ended.ended_too_early(kind)
    tries = {task: one["try_number"] - early[task] for task, one in ended.tasks(kind).items()}
    assert tries == dict.fromkeys(tries, TRIES[kind])


def test_each_killed_task_was_tried_again(ended: World) -> None:
    tries = {task: one["try_number"] for task, one in ended.tasks("sigkill").items()}
    assert min(tries.values()) > 1, tries


@pytest.mark.parametrize(
    ("kind", "number", "line"),
    [
        ("cleared", 2, "The task was cleared: starting from the beginning"),
        ("timed_out", 1, r"did not end within 8 s"),
        ("timed_out", 2, r"Re-attached to bulk (read|write) job"),
        ("timed_out_unseen", 1, "TaskDeferralTimeout"),
        ("timed_out_unseen", 2, r"Re-attached to bulk (read|write) job"),
    ],
)
def test_the_log_tells(ended: World, kind: str, number: int, line: str) -> None:
    for name in CELLS[kind]:
        assert re.search(line, ended.airflow.task_log(kind, ended.runs[kind], task_of(name), number)), name


@pytest.mark.parametrize("name", [*READS, *BULK_WRITES])
def test_a_task_that_may_have_a_job_tells_at_sigterm_that_it_goes_on(ended: World, name: str) -> None:
    log = ended.airflow.task_log("sigterm", ended.runs["sigterm"], task_of(name))
    assert re.search(r"bulk (read|write) job .*goes on at Zoho", log)


def test_no_job_of_a_deferred_task_is_paid_for_twice(ended: World) -> None:
    for kind, names in (("read", BULK_READS), ("write", BULK_WRITES)):
        tasks = sum(name in names for fault in DEFERRED for name in CELLS[fault])
        # Those that are cleared leave one each behind.
        left = sum(name in names for name in CELLS["cleared"])
        early = sum(ended.ended_too_early(fault).total() for fault in DEFERRED)
        assert 0 <= ended.created[kind] - tasks * JOBS - left <= early
