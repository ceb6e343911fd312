"""Ours: ZohoBulkReadOperator from the first job to the last file, waiting in the worker."""

from __future__ import annotations

from airflow.sdk import BaseHook

from airflow_provider_zohocrm import ZohoBulkReadOperator
from benchmarks.contestants.measure import orders, preload, work

if __name__ == "__main__":
    given = orders()
    preload(given["output"])
    BaseHook.get_connection("zohocrm_default")
    operator = ZohoBulkReadOperator(
        task_id="read",
        module="Leads",
        fields=given["fields"],
        output_path=given["output"],
        deferrable=False,
        **given["options"],
    )
    with work(given) as result:
        result["rows"] = operator.execute({})["records"]
