"""Ours: ZohoGetRecordsOperator, as a task runs it."""

from __future__ import annotations

from airflow.sdk import BaseHook

from airflow_provider_zohocrm import ZohoGetRecordsOperator
from benchmarks.contestants.measure import orders, preload, work

if __name__ == "__main__":
    given = orders()
    preload(given["output"])
    # Airflow imports its secrets backends with the first look-up.
    BaseHook.get_connection("zohocrm_default")
    operator = ZohoGetRecordsOperator(
        task_id="read",
        module="Leads",
        fields=given["fields"],
        output_path=given["output"],
        **given["options"],
    )
    with work(given) as result:
        result["rows"] = operator.execute({})["records"]
