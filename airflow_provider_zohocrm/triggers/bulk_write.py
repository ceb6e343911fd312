"""Wait for a bulk write job without holding a worker slot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.client.jobs import write_job_failure, write_job_state, written_count
from airflow_provider_zohocrm.triggers.jobs import JobTrigger

if TYPE_CHECKING:
    from airflow_provider_zohocrm.client.jobs import Job
    from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMAsyncHook


class BulkWriteJobTrigger(JobTrigger):
    """Fire once when a bulk write job has completed, has failed, or takes too long; of several jobs, the first that does.

    The event is ``{"status": "success" | "error" | "timeout" | "low_credits", "job_id", "state", "written", "message", "jobs",
    "api_usage"}``, where
    ``jobs`` are the states of all jobs that are known to have ended, by id. Failures that may pass are outlasted until
    ``end_time``.

    :param job_id: the job's id, or those of several jobs in the order in which they were submitted: Zoho works on them
        one after another, so the second is not asked for while the first is running.
    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param poll_interval: seconds before the first look; it grows by half each time. Below 10 seconds a task may be
        resumed before the scheduler knows that it was deferred. Where many triggers wait, the first look is somewhat
        later, so that they do not all look at the same time.
    :param max_poll_interval: the longest seconds between two looks.
    :param end_time: Unix time at which to give up.
    :param api_version: ``v2`` … ``v8``, in place of the connection's.
    :param min_credits_remaining: API credits that the organisation must have left after each look, in place of the
        connection's; 0 for no bound. Where it has fewer, the status is ``low_credits``.
    """

    what = "Bulk write job"

    async def _look(self, hook: ZohoCRMAsyncHook, job_id: str) -> Job:
        return await hook.get_bulk_write_job(job_id)

    def _state(self, job: Job) -> tuple[str, str]:
        return str(job["status"]), write_job_state(job)

    def _failure(self, job: Job) -> str:
        return write_job_failure(job)

    def _result(self, job: Job) -> dict[str, Any]:
        return {"written": written_count(job)}
