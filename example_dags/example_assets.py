"""DAGs that start each other by assets: one writes leads, one reads what changed, one uses the files."""

from __future__ import annotations

import os
import tempfile
from datetime import datetime, timezone
from typing import Any

from airflow_provider_zohocrm import ZohoGetRecordsOperator, ZohoUpsertOperator
from airflow_provider_zohocrm.assets.files import files_asset
from airflow_provider_zohocrm.assets.zohocrm import module_alias

try:
    from airflow.sdk import dag, task
except ImportError:  # Airflow 2.11
    from airflow.decorators import dag, task

# Any folder or object storage that all workers reach, e.g. s3://lake/zoho
OUTPUT = os.environ.get("ZOHOCRM_EXAMPLES_OUTPUT", f"{tempfile.gettempdir()}/zohocrm")
PATH = OUTPUT + "/assets/leads/{{ run_id }}.jsonl"
START = datetime(2026, 1, 1, tzinfo=timezone.utc)


@dag(schedule=None, params={"company": "Zylker"}, tags=["zohocrm", "example"])
def example_zohocrm_assets_write() -> None:
    """Write a lead; whoever waits for the module's leads is started."""
    ZohoUpsertOperator(
        task_id="lead",
        module="Leads",
        records=[{"Last_Name": "Boyle", "Email": "p.boyle@example.com", "Company": "{{ params.company }}"}],
        duplicate_check_fields=["Email"],
    )


@dag(schedule=[module_alias("Leads")], start_date=START, max_active_runs=1, tags=["zohocrm", "example"])
def example_zohocrm_assets_read() -> None:
    """Read what changed, each time that a task has written leads."""
    ZohoGetRecordsOperator(
        task_id="changed",
        module="Leads",
        fields=["Last_Name", "Email", "Company", "Modified_Time"],
        watermark="asset",
        output_path=PATH,
    )


@dag(schedule=[files_asset(PATH)], start_date=START, tags=["zohocrm", "example"])
def example_zohocrm_assets_use() -> None:
    """Use the files, each time that there are new ones."""

    @task
    def use(**context: Any) -> list[dict[str, Any]]:
        # Airflow 2 calls assets datasets.
        found = context.get("triggering_asset_events") or context.get("triggering_dataset_events") or {}
        return [{**event.extra} for events in found.values() for event in events]

    use()


example_zohocrm_assets_write()
example_zohocrm_assets_read()
example_zohocrm_assets_use()
