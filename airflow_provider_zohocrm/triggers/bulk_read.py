"""Wait for a bulk read job without holding a worker slot."""

from __future__ import annotations

import asyncio
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm._compat import BaseTrigger, TriggerEvent
from airflow_provider_zohocrm.client.bulk_read import job_failure, job_state
from airflow_provider_zohocrm.client.polling import FIRST_POLL, LONGEST_POLL, poll_delays
from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoCRMError,
    ZohoRateLimitError,
    ZohoServerError,
    ZohoTokenThrottledError,
    ZohoTransportError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_provider_zohocrm.client.bulk_read import Job
    from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMAsyncHook

# The trigger itself goes on after a failure, so a single look need not be patient.
_RETRIES_PER_LOOK = 2
# No token is minted for 10 minutes after Zoho has throttled that (reference sheet §1.5).
_THROTTLE_PAUSE = 600.0
_PASSING = (ZohoTransportError, ZohoServerError, ZohoRateLimitError, ZohoTokenThrottledError)


class BulkReadJobTrigger(BaseTrigger):
    """Fire once when a bulk read job has completed, has failed, or takes too long.

    The event is ``{"status": "success" | "error" | "timeout", "job_id", "state", "count", "more_records",
    "message"}``. Failures that may pass are outlasted until ``end_time``.

    :param job_id: the job's id.
    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param poll_interval: seconds before the first look; it grows by half each time. Below 10 seconds a task may be
        resumed before the scheduler knows that it was deferred.
    :param max_poll_interval: the longest seconds between two looks.
    :param end_time: Unix time at which to give up.
    :param api_version: ``v2`` … ``v8``, in place of the connection's.
    """

    def __init__(
        self,
        job_id: str,
        zohocrm_conn_id: str,
        poll_interval: float = FIRST_POLL,
        max_poll_interval: float = LONGEST_POLL,
        end_time: float | None = None,
        api_version: str | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        self.job_id = job_id
        self.zohocrm_conn_id = zohocrm_conn_id
        self.poll_interval = poll_interval
        self.max_poll_interval = max_poll_interval
        self.end_time = end_time
        self.api_version = api_version

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Describe the trigger in plain JSON."""
        return (
            "airflow_provider_zohocrm.triggers.bulk_read.BulkReadJobTrigger",
            {
                "job_id": self.job_id,
                "zohocrm_conn_id": self.zohocrm_conn_id,
                "poll_interval": self.poll_interval,
                "max_poll_interval": self.max_poll_interval,
                "end_time": self.end_time,
                "api_version": self.api_version,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the job until it has ended, and tell how."""
        try:
            # The triggerer imports this module, and runs this, in its event loop; the first import of the hooks takes
            # longer than that may be blocked.
            hooks = await asyncio.to_thread(import_module, "airflow_provider_zohocrm.hooks.zohocrm")
            async with hooks.ZohoCRMAsyncHook(
                self.zohocrm_conn_id, api_version=self.api_version, retries=_RETRIES_PER_LOOK
            ) as hook:
                event = await self._wait(hook)
        except Exception as error:  # noqa: BLE001  # whatever it is, the task must hear of it
            event = self._event("error", message=f"{type(error).__name__}: {error}")
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]  # Airflow's

    async def on_kill(self) -> None:
        """Tell that the job goes on; Zoho offers no way to cancel it. Called by Airflow 3.3 and newer."""
        self.log.info("Bulk read job %s goes on at Zoho, which has no way to cancel it", self.job_id)

    async def _wait(self, hook: ZohoCRMAsyncHook) -> dict[str, Any]:
        state, pause, first = None, 0.0, True
        for delay in poll_delays(self.poll_interval, self.max_poll_interval):
            # The first wait is kept even past the deadline: a trigger that fires at once can fail its task.
            least = delay if first else 0.0
            left = self.end_time - time.time() if self.end_time is not None else float("inf")
            await asyncio.sleep(max(least, min(max(delay, pause), left)))
            first = False
            try:
                job = await hook.get_bulk_read_job(self.job_id)
            except _PASSING as error:
                pause = _pause_after(error)
                self.log.warning("Looking at bulk read job %s failed, going on: %s", self.job_id, error)
            else:
                pause = 0.0
                if job["state"] != state:
                    state = job["state"]
                    self.log.info("Bulk read job %s: %s", self.job_id, state)
                if job_state(job) != "running":
                    return self._ended(job)
            if self.end_time is not None and time.time() >= self.end_time:
                break
        return self._event("timeout", state=state, message=f"Bulk read job {self.job_id} did not end in time")

    def _ended(self, job: Job) -> dict[str, Any]:
        if job_state(job) == "failed":
            message = f"Bulk read job {self.job_id} failed: {job_failure(job)}"
            return self._event("error", state=job["state"], message=message)
        result = job.get("result") or {}
        return self._event(
            "success",
            state=job["state"],
            count=result.get("count"),
            more_records=bool(result.get("more_records")),
            message=f"Bulk read job {self.job_id} has completed",
        )

    def _event(self, status: str, *, message: str, **more: Any) -> dict[str, Any]:
        return {"status": status, "job_id": self.job_id, "message": message, **more}


def _pause_after(error: ZohoCRMError) -> float:
    """Tell how many seconds at least to stay away after a failure."""
    if isinstance(error, ZohoTokenThrottledError):
        return _THROTTLE_PAUSE
    return error.retry_after or 0.0 if isinstance(error, ZohoAPIError) else 0.0
