"""The sixty extracts on CeleryExecutor, over machines that share only the output store, while machines or the database fail."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from support.many_extracts import (
    DAG,
    DAGS_FOLDER,
    OPTIONS,
    SEEDS,
    check,
    prepare,
    sixty_extracts,
    summary,
)

from tools.processes import wait_for
from tools.real_celery import CeleryAirflow
from tools.simulated_zoho import SimulatedZoho

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

# Seconds without PostgreSQL: longer than a task's supervisor asks the API server again.
DATABASE_AWAY = 30


def test_sixty_extracts_survive_a_worker_and_a_triggerer(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with (
        SimulatedZoho(SEEDS, log=tmp_path / "simulator.log", options=OPTIONS) as zoho,
        CeleryAirflow(tmp_path / "machines", DAGS_FOLDER) as airflow,
    ):
        prepare(airflow, zoho)
        extracts = sixty_extracts(output)
        run = airflow.trigger(DAG, {"extracts": extracts})
        lost_worker = kill_a_worker_at_work(airflow, run)
        lost_triggerer = kill_a_triggerer_that_waits(airflow, run)
        airflow.wait_for_run(DAG, run, timeout=900)
        log.info("killed %s and %s; %s", lost_worker, lost_triggerer, summary(airflow, zoho, run))
        check(airflow, zoho, run, extracts)


def test_sixty_extracts_survive_the_database(tmp_path: Path) -> None:
    with (
        SimulatedZoho(SEEDS, log=tmp_path / "simulator.log", options=OPTIONS) as zoho,
        CeleryAirflow(tmp_path / "machines", DAGS_FOLDER, revives=True) as airflow,
    ):
        prepare(airflow, zoho)
        extracts = sixty_extracts(tmp_path / "output")
        run = airflow.trigger(DAG, {"extracts": extracts})
        wait_for("tasks done, at work and deferred", lambda: in_every_state(airflow, run), timeout=300)
        airflow.lose_database(DATABASE_AWAY)
        airflow.wait_for_run(DAG, run, timeout=900)
        revived = {machine.name: machine.revived for machine in airflow.machines if machine.revived}
        log.info("started again: %s; %s", revived, summary(airflow, zoho, run))
        check(airflow, zoho, run, extracts)


def in_every_state(airflow: CeleryAirflow, run: str) -> bool:
    return all(extract_tasks(airflow, run, state) for state in ("success", "running", "deferred"))


def extract_tasks(airflow: CeleryAirflow, run: str, state: str) -> list[dict[str, Any]]:
    return [
        each
        for each in airflow.task_instances(DAG, run)
        if each["task_id"] == "extract" and each["state"] == state
    ]


def kill_a_worker_at_work(airflow: CeleryAirflow, run: str) -> str:
    """Kill the worker that runs a task when both have finished some; return its name."""

    def busy() -> str | None:
        done = {each["hostname"] for each in extract_tasks(airflow, run, "success")}
        if not done >= {machine.name for machine in airflow.workers}:
            return None
        return next((each["hostname"] for each in extract_tasks(airflow, run, "running")), None)

    name = wait_for("tasks done on both workers", busy, timeout=300)
    next(machine for machine in airflow.workers if machine.name == name).kill()
    return name


def kill_a_triggerer_that_waits(airflow: CeleryAirflow, run: str) -> str:
    """Kill the triggerer that a deferred task is with; return its name."""

    def waiting() -> str | None:
        tasks = extract_tasks(airflow, run, "deferred")
        return next((each["triggerer_job"]["hostname"] for each in tasks if each["triggerer_job"]), None)

    name = wait_for("a deferred task", waiting, timeout=300)
    next(machine for machine in airflow.triggerers if machine.name == name).kill()
    return name
