"""Run COQL into a typed file, count, and read what was deleted with the contacts that belonged to it."""

from __future__ import annotations

import os
import tempfile

from airflow.sdk import dag

from airflow_provider_zohocrm import (
    ZohoCountOperator,
    ZohoGetDeletedRecordsOperator,
    ZohoGetRelatedRecordsOperator,
    ZohoQueryOperator,
)

# Any folder or object storage that all workers reach, e.g. s3://lake/zoho
OUTPUT = os.environ.get("ZOHOCRM_EXAMPLES_OUTPUT", f"{tempfile.gettempdir()}/zohocrm")


@dag(schedule=None, tags=["zohocrm", "example"])
def example_zohocrm_query() -> None:
    """Query, count, and look at what is gone."""
    ZohoQueryOperator(
        task_id="deals_by_stage",
        query="select Stage, count(id) as deals, sum(Amount) as amount from Deals where id is not null group by Stage",
        output_path=OUTPUT + "/deals_by_stage/stages.csv",
    )
    ZohoQueryOperator(
        task_id="open_deals",
        # The text of a file beside the DAG: template_searchpath tells where else to look.
        query="example_query.coql",
        output_path=OUTPUT + "/open_deals/deals.parquet",
    )
    ZohoCountOperator(task_id="leads", module="Leads")
    deleted = ZohoGetDeletedRecordsOperator(task_id="deleted_accounts", module="Accounts", type="recycle")
    ZohoGetRelatedRecordsOperator(
        task_id="their_contacts",
        module="Accounts",
        related_list="Contacts",
        record_ids=deleted.output,
        fields=["Last_Name", "Email"],
        deleted=True,
        on_missing="skip",  # deleted for good since
        output_path=OUTPUT + "/contacts_of_deleted/contacts.jsonl",
    )
    # A mapped task for each account, where one task would take too long.
    ZohoGetRelatedRecordsOperator.partial(
        task_id="contacts_of_each",
        module="Accounts",
        related_list="Contacts",
        fields="Last_Name",
        deleted=True,
        on_missing="skip",
    ).expand(record_ids=deleted.output)


example_zohocrm_query()
