"""Extract what the run is told, a mapped task each, in one pool: what the runs on many machines are tested and measured with."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task

from airflow_provider_zohocrm import ZohoGetRecordsOperator


@dag(schedule=None, params={"extracts": []}, max_active_tasks=1000)
def many_extracts() -> None:
    """Run ``ZohoGetRecordsOperator`` once for each of ``params.extracts``, a list of its arguments."""

    @task
    def extracts(params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        return (params or {})["extracts"]

    ZohoGetRecordsOperator.partial(
        task_id="extract",
        pool="zoho_crm",
        deferrable=True,
        retries=3,
        retry_delay=timedelta(seconds=5),
        map_index_template="{{ task.module }}",
    ).expand_kwargs(extracts())


many_extracts()
