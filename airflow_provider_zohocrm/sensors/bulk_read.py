"""Wait for a bulk read job that another task has submitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.client.calls import record_id as checked_id
from airflow_provider_zohocrm.client.jobs import job_failure, job_state
from airflow_provider_zohocrm.exceptions import ZohoBulkReadError
from airflow_provider_zohocrm.sensors.base import ZohoSensor
from airflow_provider_zohocrm.triggers.events import failed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_zohocrm._compat import BaseTrigger, Context


class ZohoBulkReadJobSensor(ZohoSensor):
    """Wait until a bulk read job has completed; it fails when the job does.

    The task returns ``{"job_id", "count", "more_records"}``. Results live for one day.

    :param job_id: the job's id, e.g. ``submitted.output["job_id"]`` of a ``ZohoBulkReadOperator`` with
        ``wait_for_completion=False``.
    :param deferrable: wait in the triggerer, whatever ``mode`` says; the default is Airflow's ``[operators]
        default_deferrable``.
    :param poke_interval: seconds between two looks; 60 if absent.
    :param timeout: seconds after which the sensor fails, or is skipped with ``soft_fail``.
    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param api_version: ``v2`` … ``v8``, in place of the connection's.
    """

    template_fields: Sequence[str] = ("job_id", "zohocrm_conn_id", "api_version")

    def __init__(self, *, job_id: str | int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job_id = job_id

    def execute_complete(self, context: Context, event: Any) -> Any:
        """Go on when the trigger has fired; a job that has failed is the same error as in the worker.

        :param event: what the trigger sent.
        :return: what was seen.
        """
        if isinstance(event, dict) and event.get("status") == "error":
            raise self._ending(failed(event, ZohoBulkReadError), soft=self._is_outcome(event))
        return super().execute_complete(context, event)

    def _look(self) -> dict[str, Any] | None:
        job = self._looking_hook().get_bulk_read_job(checked_id(self.job_id))
        state = job_state(job)
        self.log.info("Bulk read job %s: %s", self.job_id, job["state"])
        if state == "running":
            return None
        if state == "failed":
            failure = f"Bulk read job {self.job_id} failed: {job_failure(job)}"
            raise self._ending(ZohoBulkReadError(failure), soft=True)
        return {**(job.get("result") or {}), "job_id": str(job["id"])}

    def _trigger(self, **options: Any) -> BaseTrigger:
        from airflow_provider_zohocrm.triggers.bulk_read import BulkReadJobTrigger

        return BulkReadJobTrigger(job_id=checked_id(self.job_id), **options)

    def _told(self, seen: dict[str, Any]) -> dict[str, Any]:
        return {
            "job_id": seen["job_id"],
            "count": seen.get("count"),
            "more_records": bool(seen.get("more_records")),
        }

    def _is_outcome(self, event: dict[str, Any]) -> bool:
        return bool(event.get("jobs"))
