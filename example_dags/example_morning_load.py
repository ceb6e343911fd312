"""Export six modules every morning, one task each; no worker is held while Zoho prepares the exports."""

from __future__ import annotations

import os
import tempfile

from airflow.sdk import dag

from airflow_provider_zohocrm import ZohoBulkReadOperator

# Any folder or object storage that all workers reach, e.g. s3://lake/zoho
OUTPUT = os.environ.get("ZOHOCRM_EXAMPLES_OUTPUT", f"{tempfile.gettempdir()}/zohocrm")
MODULES = ("Leads", "Accounts", "Contacts", "Deals", "Products", "Quotes")


@dag(
    schedule=None,  # "@daily" in real use; here it runs when it is told to
    tags=["zohocrm", "example"],
)
def example_zohocrm_morning_load() -> None:
    """Export each module to Parquet, with the types of its fields."""
    ZohoBulkReadOperator.partial(
        task_id="export",
        # Make it once: airflow pools set zoho_crm 4 "Calls to Zoho CRM" --include-deferred
        pool="zoho_crm",
        deferrable=True,
        map_index_template="{{ task.module }}",
    ).expand_kwargs(
        # A folder for each module, with its manifest.
        [{"module": module, "output_path": f"{OUTPUT}/morning/{module}/part.parquet"} for module in MODULES]
    )


example_zohocrm_morning_load()
