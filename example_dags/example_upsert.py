"""Write a file of leads back to the CRM: new ones are inserted, known ones updated, bad ones end up in a file of their own."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from airflow.sdk import dag, task

from airflow_provider_zohocrm import ZohoUpsertOperator

# Any folder or object storage that all workers reach, e.g. s3://lake/zoho
OUTPUT = os.environ.get("ZOHOCRM_EXAMPLES_OUTPUT", f"{tempfile.gettempdir()}/zohocrm")


@dag(
    schedule=None,
    params={"input_path": f"{OUTPUT}/leads_to_upsert.jsonl"},
    tags=["zohocrm", "example"],
)
def example_zohocrm_upsert() -> None:
    """Insert or update leads by their e-mail address."""
    upsert = ZohoUpsertOperator(
        task_id="upsert_leads",
        module="Leads",
        input_path="{{ params.input_path }}",
        duplicate_check_fields=["Email"],
        trigger=[],  # no workflow of the CRM is to mail these people
        rejects_path=OUTPUT + "/leads_rejected.jsonl",
        on_reject="continue",  # the good records are in; what to do about the others is for the next task to say
    )

    @task
    def report(counts: dict[str, Any]) -> str:
        return f"{counts['inserted']} new, {counts['updated']} updated, {counts['rejected']} rejected"

    report(upsert.output)


example_zohocrm_upsert()
