"""Ours: ZohoUpsertOperator, as a task runs it."""

from __future__ import annotations

from airflow.sdk import BaseHook

from airflow_provider_zohocrm import ZohoUpsertOperator
from benchmarks.contestants.measure import orders, preload, work

# What a task of this operator imports when it runs.
LAZY = (
    "airflow_provider_zohocrm.client.client",
    "airflow_provider_zohocrm.client.transport",
    "airflow_provider_zohocrm.loading.inputs",
    "airflow_provider_zohocrm.loading.load",
    "airflow_provider_zohocrm.loading.plan",
    "airflow_provider_zohocrm.loading.request",
)

if __name__ == "__main__":
    given = orders()
    preload(given["input"], *LAZY)
    BaseHook.get_connection("zohocrm_default")
    operator = ZohoUpsertOperator(
        task_id="load",
        module="Leads",
        input_path=given["input"],
        rejects_path=given["rejects"],
        **given["options"],
    )
    with work(given):
        operator.execute({})
