"""Pull the leads that changed since the last successful run, one JSONL file per run."""

from __future__ import annotations

import os
import tempfile

from airflow.sdk import dag

from airflow_provider_zohocrm import ZohoGetRecordsOperator

# Any folder or object storage that all workers reach, e.g. s3://lake/zoho
OUTPUT = os.environ.get("ZOHOCRM_EXAMPLES_OUTPUT", f"{tempfile.gettempdir()}/zohocrm")


@dag(
    schedule=None,  # "@hourly" in real use; here it runs when it is told to
    max_active_runs=1,  # two at a time would pull the same changes twice
    params={"modified_since": ""},  # an ISO 8601 time to pull again from there
    tags=["zohocrm", "example"],
)
def example_zohocrm_get_records() -> None:
    """Pull what changed since the last successful run."""
    ZohoGetRecordsOperator(
        task_id="pull_leads",
        module="Leads",
        fields=[
            "Last_Name",
            "First_Name",
            "Email",
            "Company",
            "Lead_Status",
            "Annual_Revenue",
            "Modified_Time",
        ],
        # What a failed run did not pull, the next one does. The first run knows of none before it and pulls everything.
        modified_since="{{ params.modified_since or prev_data_interval_end_success }}",
        output_path=OUTPUT + "/leads/changed_{{ run_id }}.jsonl",
    )


example_zohocrm_get_records()
