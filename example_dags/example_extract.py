"""Pull a data interval by the cheapest way, with the rows of subforms: by the operator, and in a function of one's own."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from airflow.sdk import dag, task

from airflow_provider_zohocrm import ZohoCRMHook, ZohoGetRecordsOperator

# Any folder or object storage that all workers reach, e.g. s3://lake/zoho
OUTPUT = os.environ.get("ZOHOCRM_EXAMPLES_OUTPUT", f"{tempfile.gettempdir()}/zohocrm")


@dag(
    # In real use CronDataIntervalTimetable("@daily", timezone="UTC"): each run then gets what was modified on its day, and
    # each record once. The intervals of a plain "@daily" have no length in Airflow 3.
    schedule=None,
    params={"modified_since": "2000-01-01", "modified_before": "2100-01-01"},
    tags=["zohocrm", "example"],
)
def example_zohocrm_extract() -> None:
    """Pull quotes with their items, and leads."""
    ZohoGetRecordsOperator(
        task_id="quotes_with_items",
        module="Quotes",
        strategy="auto",
        # {{ data_interval_start }} and {{ data_interval_end }} in real use
        modified_since="{{ params.modified_since }}",
        modified_before="{{ params.modified_before }}",
        subforms="all",
        output_path=OUTPUT + "/extract/quotes/part.parquet",
        max_credits=500,
    )

    @task
    def leads(params: dict[str, Any] | None = None) -> int:
        """Do the same in a function."""
        params = params or {}
        result = ZohoCRMHook().extract(
            "Leads",
            OUTPUT + "/extract/leads/part.jsonl.gz",
            modified_since=params["modified_since"],
            modified_before=params["modified_before"],
        )
        return int(result["records"])

    leads()


example_zohocrm_extract()
