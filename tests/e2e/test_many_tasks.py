"""Sixty mapped extracts in a pool of eight on PostgreSQL and LocalExecutor, within Zoho's limits (``make e2e-postgres``)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
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

from tools.real_airflow import RealAirflow
from tools.real_postgres import RealPostgres
from tools.simulated_zoho import SimulatedZoho

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)
pytestmark = pytest.mark.e2e

# More than the pool has slots, so that it is the pool that holds tasks back.
WORKERS = 12


def test_sixty_extracts_stay_within_the_limits(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with (
        SimulatedZoho(SEEDS, log=tmp_path / "simulator.log", options=OPTIONS) as zoho,
        RealPostgres(tmp_path / "postgres.log") as postgres,
        RealAirflow(
            tmp_path / "airflow",
            DAGS_FOLDER,
            environment={
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": postgres.url,
                "AIRFLOW__CORE__PARALLELISM": str(WORKERS),
            },
        ) as airflow,
    ):
        prepare(airflow, zoho)
        extracts = sixty_extracts(output)
        run = airflow.run(DAG, {"extracts": extracts}, timeout=600)
        log.info(summary(airflow, zoho, run))
        check(airflow, zoho, run, extracts)
