"""The DAG of the README."""

from __future__ import annotations

from airflow.sdk import dag

from airflow_provider_zohocrm import ZohoGetRecordsOperator


@dag(schedule="@daily")
def zohocrm_quickstart() -> None:
    """Pull all leads every day."""
    ZohoGetRecordsOperator(
        task_id="leads",
        module="Leads",
        fields=["Last_Name", "Email", "Modified_Time"],
        output_path="/tmp/leads_{{ ds }}.jsonl",  # noqa: S108
    )


zohocrm_quickstart()
