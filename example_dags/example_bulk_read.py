"""Export a whole module, once as CSV and once as Parquet. No worker is held while Zoho prepares the export."""

from __future__ import annotations

import os
import tempfile

from airflow.sdk import dag

from airflow_provider_zohocrm import ZohoBulkReadOperator

# Any folder or object storage that all workers reach, e.g. s3://lake/zoho
OUTPUT = os.environ.get("ZOHOCRM_EXAMPLES_OUTPUT", f"{tempfile.gettempdir()}/zohocrm")


@dag(
    schedule=None,
    params={"created_before": "2100-01-01T00:00:00+00:00"},
    tags=["zohocrm", "example"],
)
def example_zohocrm_bulk_read() -> None:
    """Export all leads created before a time, in two formats."""
    for suffix in ("csv", "parquet"):
        ZohoBulkReadOperator(
            task_id=f"export_leads_{suffix}",
            module="Leads",
            fields=[
                "Last_Name",
                "First_Name",
                "Email",
                "Company",
                "Lead_Status",
                "Annual_Revenue",
                "Created_Time",
            ],
            criteria={
                "api_name": "Created_Time",
                "comparator": "less_than",
                "value": "{{ params.created_before }}",
            },
            output_path=f"{OUTPUT}/leads_export.{suffix}",
            deferrable=True,
            poll_interval=10,
        )


example_zohocrm_bulk_read()
