"""Ours: ZohoBulkWriteOperator from the first row to the last result, waiting in the worker."""

from __future__ import annotations

from airflow.sdk import BaseHook

from airflow_provider_zohocrm import ZohoBulkWriteOperator
from benchmarks.contestants.measure import orders, preload, work

if __name__ == "__main__":
    given = orders()
    preload(given["input"])
    BaseHook.get_connection("zohocrm_default")
    operator = ZohoBulkWriteOperator(
        task_id="load", module="Leads", input_path=given["input"], deferrable=False, **given["options"]
    )
    with work(given):
        operator.execute({})
