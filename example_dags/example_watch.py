"""Start a DAG when leads were created or changed, instead of by the clock (Airflow 3.0 and newer)."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from airflow.sdk import Asset, AssetWatcher, dag, task

from airflow_provider_zohocrm import ZohoGetRecordsOperator, ZohoRecordsChangedTrigger

# Any folder or object storage that all workers reach, e.g. s3://lake/zoho
OUTPUT = os.environ.get("ZOHOCRM_EXAMPLES_OUTPUT", f"{tempfile.gettempdir()}/zohocrm")

changed_leads = Asset(
    "zohocrm_changed_leads",
    watchers=[
        AssetWatcher(
            name="zohocrm_changed_leads",
            trigger=ZohoRecordsChangedTrigger("Leads", on=["created", "changed"], poll_interval=30),
        )
    ],
)


@dag(schedule=changed_leads, catchup=False, max_active_runs=1, tags=["zohocrm", "example"])
def example_zohocrm_watch() -> None:
    """Pull the leads that a watcher has seen change."""

    @task
    def oldest_change(triggering_asset_events: Any = None) -> str:
        """Several changes may have come together while the DAG was busy."""
        events = [event.extra["payload"] for event in triggering_asset_events[changed_leads]]
        return min(event["modified_since"] for event in events)

    ZohoGetRecordsOperator(
        task_id="changed_leads",
        module="Leads",
        modified_since=oldest_change(),  # type: ignore[arg-type]  # the task's output, when it runs
        output_path=OUTPUT + "/watch/{{ run_id }}.jsonl",
    )


example_zohocrm_watch()
