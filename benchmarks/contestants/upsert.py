"""Ours: ZohoUpsertOperator, as a task runs it."""

from __future__ import annotations

from airflow.sdk import BaseHook

from airflow_provider_zohocrm import ZohoUpsertOperator
from benchmarks.contestants.measure import orders, preload, work

if __name__ == "__main__":
    given = orders()
    preload(given["input"])
    BaseHook.get_connection("zohocrm_default")
    operator = ZohoUpsertOperator(
        task_id="load", module="Leads", input_path=given["input"], **given["options"]
    )
    with work(given):
        operator.execute({})
