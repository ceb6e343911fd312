"""A worker that is killed in the middle of an export, on a real Airflow: the retry goes on, and no job is paid for twice."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools.files import read_csv
from tools.processes import wait_for
from tools.real_airflow import RealAirflow, RunFailedError
from tools.simulated_zoho import SimulatedZoho

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

ROWS, PAGE = 650, 200
PAGES = 4
DAGS = """
from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from airflow.sdk import DAG

from airflow_provider_zohocrm import ZohoBulkReadOperator

FOLDER = Path(os.environ["KILLED_EXPORT_FOLDER"])


def tell_process(context):
    ti = context["ti"]
    (FOLDER / f"{ti.dag_id}-try-{ti.try_number}.pid").write_text(str(os.getpid()))


def export(retries):
    ZohoBulkReadOperator(
        task_id="export",
        module="Leads",
        fields=["Last_Name", "Email"],
        output_path=str(FOLDER / "{{ dag.dag_id }}.csv"),
        deferrable=False,
        poll_interval=1,
        retries=retries,
        retry_delay=timedelta(seconds=1),
        pre_execute=tell_process,
    )


for dag_id, retries in (("killed_export", 1), ("cleared_export", 0)):
    with DAG(dag_id, schedule=None):
        export(retries)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("killed")


@pytest.fixture(scope="module")
def crm(folder: Path) -> Iterator[SimulatedZoho]:
    # Long enough that the third job is still running when its worker is killed.
    options = {"bulk_page_size": PAGE, "job_seconds": 2, "downloads_per_minute": 1000}
    with SimulatedZoho({"Leads": ROWS}, log=folder / "simulator.log", options=options) as running:
        yield running


@pytest.fixture(scope="module")
def killed_airflow(
    tmp_path_factory: pytest.TempPathFactory, folder: Path, crm: SimulatedZoho
) -> Iterator[RealAirflow]:
    dags = tmp_path_factory.mktemp("dags")
    (dags / "killed_export.py").write_text(DAGS)
    environment = {"KILLED_EXPORT_FOLDER": str(folder)}
    with RealAirflow(tmp_path_factory.mktemp("airflow"), dags, environment=environment) as running:
        running.create_connection("zohocrm_default", "zohocrm", **crm.connection())
        running.wait_for_dags(["killed_export", "cleared_export"])
        yield running


CREATED, FETCHED = "POST /crm/bulk/v8/read$", "/result$"


def kill_in_the_middle(airflow: RealAirflow, crm: SimulatedZoho, folder: Path, dag: str) -> str:
    """Start a run, and kill its worker while the second page is fetched and the third job runs."""
    pid = folder / f"{dag}-try-1.pid"
    before = len(crm.journal(FETCHED))
    run = airflow.trigger(dag)
    # By then the third job is saved.
    wait_for("the second page", lambda: len(crm.journal(FETCHED)) == before + 2, timeout=90, interval=0.1)
    os.kill(int(pid.read_text()), signal.SIGKILL)
    return run


def check(airflow: RealAirflow, crm: SimulatedZoho, dag: str, run: str) -> None:
    result = airflow.xcom(dag, run, "export")
    rows = [row for file in result["files"] for row in read_csv(Path(file["path"]))]
    assert sorted(row["Id"] for row in rows) == sorted(crm.records("Leads"))
    assert [file["page"] for file in result["files"]] == list(range(1, PAGES + 1))
    assert result["records"] == len(rows) == ROWS
    assert len({file["job_id"] for file in result["files"]}) == PAGES


def test_the_retry_of_a_killed_worker_goes_on(
    killed_airflow: RealAirflow, crm: SimulatedZoho, folder: Path
) -> None:
    run = kill_in_the_middle(killed_airflow, crm, folder, "killed_export")
    killed_airflow.wait_for_run("killed_export", run)
    check(killed_airflow, crm, "killed_export", run)
    assert [each["status"] for each in crm.journal(CREATED)] == [201] * PAGES
    # The page that was being written when the worker died may be fetched again; the first is not.
    assert len(crm.journal(FETCHED)) <= PAGES + 1
    log = killed_airflow.task_log("killed_export", run, "export", 2)
    assert re.search(r"Re-attached to bulk read job \d+ of page 3, submitted by try 1", log)
    # Nothing is left of the checkpoint, so that "Clear" runs it again.
    path = f"/dags/killed_export/dagRuns/{run}/taskInstances/export/state-store"
    assert killed_airflow.api("GET", path)["task_state_store"] == []


def test_clear_after_a_kill_runs_it_again(
    killed_airflow: RealAirflow, crm: SimulatedZoho, folder: Path
) -> None:
    before = len(crm.journal(CREATED))
    run = kill_in_the_middle(killed_airflow, crm, folder, "cleared_export")
    with pytest.raises(RunFailedError):
        killed_airflow.wait_for_run("cleared_export", run)
    assert len(crm.journal(CREATED)) == before + 3
    body = {"dry_run": False, "dag_run_id": run, "only_failed": True, "reset_dag_runs": True}
    killed_airflow.api("POST", "/dags/cleared_export/clearTaskInstances", json=body)
    killed_airflow.wait_for_run("cleared_export", run)
    check(killed_airflow, crm, "cleared_export", run)
    assert len(crm.journal(CREATED)) == before + 3 + PAGES
    assert "The task was cleared" in killed_airflow.task_log("cleared_export", run, "export", 2)
