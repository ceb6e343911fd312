"""Waiting for bulk jobs without a worker slot: one way for all operators."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.exceptions import ZohoBulkReadError
from airflow_provider_zohocrm.triggers.events import failed
from airflow_provider_zohocrm.triggers.outages import GRACE

if TYPE_CHECKING:
    from airflow_provider_zohocrm.client.job_run import JobRun
    from airflow_provider_zohocrm.exceptions import ZohoCRMError
    from airflow_provider_zohocrm.triggers.jobs import JobTrigger


def deferral(
    export: JobRun,
    *,
    timeout: float,
    zohocrm_conn_id: str,
    poll_interval: float,
    max_poll_interval: float,
    api_version: str | None,
    trigger: type[JobTrigger] | None = None,
    min_credits_remaining: int | None = None,
) -> dict[str, Any]:
    """Build the arguments of ``BaseOperator.defer`` that tell what is waited for, and how long.

    :param export: the export whose jobs are waited for.
    :param timeout: seconds that one job may take.
    :param trigger: the trigger for its kind of job; None for that of bulk read.
    :param min_credits_remaining: API credits that the organisation must have left after each look; None for what the
        connection says.
    """
    # Slow, and of no use to those who only parse DAG files.
    from airflow_provider_zohocrm.triggers.bulk_read import BulkReadJobTrigger

    end_time = export.deadline(timeout)
    jobs = export.waiting_for
    return {
        "trigger": (trigger or BulkReadJobTrigger)(
            job_id=jobs if len(jobs) > 1 else jobs[0],
            zohocrm_conn_id=zohocrm_conn_id,
            poll_interval=poll_interval,
            max_poll_interval=max_poll_interval,
            end_time=end_time,
            api_version=api_version,
            min_credits_remaining=min_credits_remaining,
        ),
        # A back-stop for a trigger that never fires; the trigger's own deadline comes first.
        "timeout": timedelta(seconds=max(0.0, end_time - time.time()) + GRACE + 10 * max_poll_interval),
    }


def check_event(
    event: Any, export: JobRun, timeout: float, error: type[ZohoCRMError] = ZohoBulkReadError
) -> None:
    """Check what the trigger sent.

    What has become of the jobs it names is for the export to see: it knows what to keep of them.

    :param error: what to raise if the trigger failed with no error of this package.
    :raises ZohoCRMError: if a job did not end in time, or what the trigger failed with.
    :raises ZohoLowCreditsError: if the trigger looks no more because API credits are to be left for others.
    """
    told = event if isinstance(event, dict) else {}
    if told.get("status") == "timeout":
        raise export.timed_out(timeout)
    if told.get("status") != "success" and not (told.get("status") == "error" and told.get("jobs")):
        raise failed(event, error)
