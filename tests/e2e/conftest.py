"""One real Airflow and one simulated Zoho CRM for all end-to-end tests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tools.real_airflow import RealAirflow
from tools.simulated_zoho import SimulatedZoho

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SEEDS = {"Leads": 1200, "Accounts": 80, "Contacts": 300, "Deals": 90, "Products": 50, "Quotes": 60}
# A job is not done when the operator looks at it once, so that it has to be waited for.
OPTIONS = {"job_seconds": 8}


@pytest.fixture(scope="session")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("output")


@pytest.fixture(scope="session")
def zoho(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatedZoho]:
    with SimulatedZoho(
        SEEDS, log=tmp_path_factory.mktemp("zoho") / "simulator.log", options=OPTIONS
    ) as running:
        yield running


@pytest.fixture(scope="session")
def bare_airflow(tmp_path_factory: pytest.TempPathFactory, output: Path) -> Iterator[RealAirflow]:
    """Airflow without a connection."""
    environment = {
        "ZOHOCRM_EXAMPLES_OUTPUT": str(output),
        # 0.1 s of it is the time between two looks. A collection of garbage, which goes through all that Airflow has imported,
        # takes as long on an idle machine and 0.3 s on a busy one, and may fall into any moment: the default of 0.2 leaves no
        # room for one.
        "AIRFLOW__TRIGGERER__BLOCKED_MAIN_THREAD_WARNING_THRESHOLD": "0.4",
    }
    home = tmp_path_factory.mktemp("airflow")
    with RealAirflow(home, ROOT / "example_dags", environment=environment) as running:
        yield running


@pytest.fixture(scope="session")
def connection_fields(zoho: SimulatedZoho) -> dict[str, Any]:
    return zoho.connection()


@pytest.fixture(scope="session")
def airflow(bare_airflow: RealAirflow, connection_fields: dict[str, Any]) -> RealAirflow:
    """Airflow with the connection of the simulated CRM, and the example DAGs read."""
    bare_airflow.create_connection("zohocrm_default", "zohocrm", **connection_fields)
    bare_airflow.wait_for_dags(
        [
            "example_zohocrm_assets_read",
            "example_zohocrm_assets_use",
            "example_zohocrm_assets_write",
            "example_zohocrm_bulk_read",
            "example_zohocrm_by_day",
            "example_zohocrm_deleted_related",
            "example_zohocrm_extract",
            "example_zohocrm_get_records",
            "example_zohocrm_morning_load",
            "example_zohocrm_notifier",
            "example_zohocrm_query",
            "example_zohocrm_sensors",
            "example_zohocrm_upsert",
            "example_zohocrm_watermark",
            "zohocrm_quickstart",
        ]
    )
    return bare_airflow
