"""Write a file of any size into a module by bulk write. No worker is held while Zoho works."""

from __future__ import annotations

import os
import tempfile

from airflow.sdk import dag

from airflow_provider_zohocrm import ZohoBulkWriteOperator

# Any folder or object storage that all workers reach, e.g. s3://lake/zoho
OUTPUT = os.environ.get("ZOHOCRM_EXAMPLES_OUTPUT", f"{tempfile.gettempdir()}/zohocrm")


@dag(
    schedule=None,
    params={"input_path": f"{OUTPUT}/leads_in.parquet"},
    tags=["zohocrm", "example"],
)
def example_zohocrm_bulk_write() -> None:
    """Insert leads, or update those with a known e-mail address; what Zoho refuses goes to a file."""
    ZohoBulkWriteOperator(
        task_id="load_leads",
        module="Leads",
        operation="upsert",
        input_path="{{ params.input_path }}",
        find_by="Email",
        mapping={"surname": "Last_Name", "mail": "Email"},
        results_path=f"{OUTPUT}/leads_results.parquet",
        rejects_path=f"{OUTPUT}/leads_rejects.jsonl",
        on_reject="continue",
        deferrable=True,
        poll_interval=10,
    )


example_zohocrm_bulk_write()
