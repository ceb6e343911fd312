"""A worker that is killed in the middle of a load, on a real Airflow: the retry goes on, and nothing is there twice."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools.processes import wait_for
from tools.real_airflow import RealAirflow
from tools.simulated_zoho import SimulatedZoho

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

ROWS, BAD, CALLS_BEFORE_THE_KILL = 3000, 30, 10
DAGS = """
from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG

from airflow_provider_zohocrm import ZohoInsertOperator, ZohoUpsertOperator

FOLDER = Path(os.environ["KILLED_LOAD_FOLDER"])


def tell_process(context):
    ti = context["ti"]
    (FOLDER / f"{ti.dag_id}-try-{ti.try_number}.pid").write_text(str(os.getpid()))


for dag_id, operator in (("killed_insert", ZohoInsertOperator), ("killed_upsert", ZohoUpsertOperator)):
    with DAG(dag_id, schedule=None):
        operator(
            task_id="load",
            module="Leads",
            input_path=str(FOLDER / f"{dag_id}.jsonl"),
            results_path=str(FOLDER / f"{dag_id}-results.jsonl"),
            rejects_path=str(FOLDER / f"{dag_id}-rejects.jsonl"),
            on_reject="continue",
            validate=False,
            retries=1,
            retry_delay=timedelta(seconds=1),
            pre_execute=tell_process,
        )
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("killed_load")
    for dag in ("killed_insert", "killed_upsert"):
        with (folder / f"{dag}.jsonl").open("w") as file:
            for number in range(ROWS):
                key = f"{dag}-{number}"
                record = {"Last_Name": key, "Email": f"{key}@example.com", "External_Key": key}
                # Every hundredth lacks a field that new leads need.
                more = {} if number % (ROWS // BAD) == 5 else {"Company": "Zylker"}
                file.write(json.dumps({**record, **more}) + "\n")
    return folder


@pytest.fixture(scope="module")
def crm(folder: Path) -> Iterator[SimulatedZoho]:
    # Slow enough that the worker is in the middle when it is killed.
    with SimulatedZoho({"Leads": 5}, log=folder / "simulator.log", options={"latency": 0.4}) as running:
        yield running


@pytest.fixture(scope="module")
def killed_airflow(
    tmp_path_factory: pytest.TempPathFactory, folder: Path, crm: SimulatedZoho
) -> Iterator[RealAirflow]:
    dags = tmp_path_factory.mktemp("dags")
    (dags / "killed_load.py").write_text(DAGS)
    environment = {"KILLED_LOAD_FOLDER": str(folder)}
    with RealAirflow(tmp_path_factory.mktemp("airflow"), dags, environment=environment) as running:
        running.create_connection("zohocrm_default", "zohocrm", **crm.connection())
        running.wait_for_dags(["killed_insert", "killed_upsert"])
        yield running


def rows_of(paths: list[str]) -> list[int]:
    return [json.loads(line)["index"] for path in paths for line in Path(path).read_text().splitlines()]


@pytest.mark.parametrize(
    ("dag", "calls"), [("killed_insert", "POST /crm/v8/Leads$"), ("killed_upsert", "/Leads/upsert$")]
)
def test_the_retry_of_a_killed_worker_goes_on(
    killed_airflow: RealAirflow, crm: SimulatedZoho, folder: Path, dag: str, calls: str
) -> None:
    run = killed_airflow.trigger(dag)
    wait_for("some calls", lambda: len(crm.journal(calls)) >= CALLS_BEFORE_THE_KILL, timeout=90, interval=0.1)
    os.kill(int((folder / f"{dag}-try-1.pid").read_text()), signal.SIGKILL)
    killed_airflow.wait_for_run(dag, run)
    result = killed_airflow.xcom(dag, run, "load")
    done, refused = rows_of(result["results_paths"]), rows_of(result["rejects_paths"])
    assert sorted(done + refused) == list(range(ROWS))
    assert (result["total"], result["rejected"], result["unknown"]) == (ROWS, BAD, 0)
    assert sorted(refused) == list(range(5, ROWS, ROWS // BAD))
    stored = Counter(
        row["External_Key"]
        for row in crm.records("Leads").values()
        if str(row["External_Key"]).startswith(dag)
    )
    assert stored == Counter(f"{dag}-{number}" for number in range(ROWS) if number not in set(refused))
    assert "Going on at row" in killed_airflow.task_log(dag, run, "load", 2)
    # Nothing is left of the checkpoint, so that "Clear" runs it again.
    path = f"/dags/{dag}/dagRuns/{run}/taskInstances/load/state-store"
    assert killed_airflow.api("GET", path)["task_state_store"] == []
