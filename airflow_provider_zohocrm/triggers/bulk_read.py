"""Wait for a bulk read job without holding a worker slot."""

from __future__ import annotations

import asyncio
import random
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm._compat import BaseTrigger, TriggerEvent
from airflow_provider_zohocrm.client.bulk_read import job_failure, job_state
from airflow_provider_zohocrm.client.polling import FIRST_POLL, LONGEST_POLL, poll_delays
from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoCRMError,
    ZohoNotFoundError,
    ZohoRateLimitError,
    ZohoServerError,
    ZohoTokenThrottledError,
    ZohoTransportError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from airflow_provider_zohocrm.client.bulk_read import Job
    from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMAsyncHook

# The trigger itself goes on after a failure, so a single look need not be patient.
_RETRIES_PER_LOOK = 2
# No token is minted for 10 minutes after Zoho has throttled that (reference sheet §1.5).
_THROTTLE_PAUSE = 600.0
_PASSING = (ZohoTransportError, ZohoServerError, ZohoRateLimitError, ZohoTokenThrottledError)


# Triggers that start together, as after a restart of the triggerer, do not look together: each has the others in
# mind with so many seconds.
_SPREAD = 0.005


class BulkReadJobTrigger(BaseTrigger):
    """Fire once when a bulk read job has completed, has failed, or takes too long; of several jobs, the first that does.

    The event is ``{"status": "success" | "error" | "timeout", "job_id", "state", "count", "more_records", "message",
    "jobs"}``, where ``jobs`` are the states of all jobs that are known to have ended, by id. Failures that may pass
    are outlasted until ``end_time``.

    :param job_id: the job's id, or those of several jobs in the order in which they were submitted: Zoho works on them
        one after another, so the second is not asked for while the first is running.
    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param poll_interval: seconds before the first look; it grows by half each time. Below 10 seconds a task may be
        resumed before the scheduler knows that it was deferred. Where many triggers wait, the first look is somewhat
        later, so that they do not all look at the same time.
    :param max_poll_interval: the longest seconds between two looks.
    :param end_time: Unix time at which to give up.
    :param api_version: ``v2`` … ``v8``, in place of the connection's.
    """

    _waiting = 0

    def __init__(
        self,
        job_id: str | Sequence[str],
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

    @property
    def job_ids(self) -> list[str]:
        """The ids of all jobs, in order."""
        return [self.job_id] if isinstance(self.job_id, str) else list(self.job_id)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at the jobs until one has ended, and tell how."""
        BulkReadJobTrigger._waiting += 1
        try:
            hooks = await _imported_hooks()
            async with hooks.ZohoCRMAsyncHook(
                self.zohocrm_conn_id, api_version=self.api_version, retries=_RETRIES_PER_LOOK
            ) as hook:
                event = await self._wait(hook)
        except Exception as error:  # noqa: BLE001  # whatever it is, the task must hear of it
            event = self._event(self.job_ids[0], "error", message=f"{type(error).__name__}: {error}")
        finally:
            BulkReadJobTrigger._waiting -= 1
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]  # Airflow's

    async def on_kill(self) -> None:
        """Tell that the job goes on; Zoho offers no way to cancel it. Called by Airflow 3.3 and newer."""
        jobs = ", ".join(self.job_ids)
        self.log.info("Bulk read job %s goes on at Zoho, which has no way to cancel it", jobs)

    async def _wait(self, hook: ZohoCRMAsyncHook) -> dict[str, Any]:
        head, state, pause, first = self.job_ids[0], None, 0.0, True
        for delay in poll_delays(self.poll_interval, self.max_poll_interval):
            # The first wait is kept even past the deadline: a trigger that fires at once can fail its task.
            least = self._first(delay) if first else 0.0
            left = self.end_time - time.time() if self.end_time is not None else float("inf")
            await asyncio.sleep(max(least, min(max(delay, pause), left)))
            first = False
            try:
                job = await hook.get_bulk_read_job(head)
            except ZohoNotFoundError as error:
                message = f"{type(error).__name__}: {error}"
                return self._event(head, "error", message=message, jobs={head: "NOT FOUND"})
            except _PASSING as error:
                pause = _pause_after(error)
                self.log.warning("Looking at bulk read job %s failed, going on: %s", head, error)
            else:
                pause = 0.0
                if job["state"] != state:
                    state = job["state"]
                    self.log.info("Bulk read job %s: %s", head, state)
                if job_state(job) != "running":
                    return self._ended(head, job, await self._others(hook))
            if self.end_time is not None and time.time() >= self.end_time:
                break
        return self._event(head, "timeout", state=state, message=f"Bulk read job {head} did not end in time")

    def _first(self, delay: float) -> float:
        """Spread the first looks of triggers that wait together over a time in which all can be served."""
        others = BulkReadJobTrigger._waiting - 1
        return delay + random.uniform(0, others * _SPREAD) if others else delay  # noqa: S311  # no secret

    async def _others(self, hook: ZohoCRMAsyncHook) -> dict[str, str]:
        """Tell which of the further jobs have ended, too, up to the first that has not."""
        states = {}
        for job_id in self.job_ids[1:]:
            try:
                job = await hook.get_bulk_read_job(job_id)
            except ZohoCRMError as error:
                # There is work for the worker; it will see.
                self.log.info("Bulk read job %s is left to the worker: %s", job_id, error)
                break
            if job_state(job) == "running":
                break
            states[job_id] = str(job["state"])
        return states

    def _ended(self, job_id: str, job: Job, others: dict[str, str]) -> dict[str, Any]:
        jobs = {job_id: str(job["state"]), **others}
        if job_state(job) == "failed":
            message = f"Bulk read job {job_id} failed: {job_failure(job)}"
            return self._event(job_id, "error", state=job["state"], message=message, jobs=jobs)
        result = job.get("result") or {}
        return self._event(
            job_id,
            "success",
            state=job["state"],
            count=result.get("count"),
            more_records=bool(result.get("more_records")),
            message=f"Bulk read job {job_id} has completed",
            jobs=jobs,
        )

    def _event(self, job_id: str, status: str, *, message: str, **more: Any) -> dict[str, Any]:
        return {"status": status, "job_id": job_id, "message": message, **more}


_hooks: list[Any] = []


async def _imported_hooks() -> Any:
    """Import the hooks beside the event loop of the triggerer: the first time takes longer than it may be blocked."""
    if not _hooks:
        _hooks.append(await asyncio.to_thread(import_module, "airflow_provider_zohocrm.hooks.zohocrm"))
    return _hooks[0]


def _pause_after(error: ZohoCRMError) -> float:
    """Tell how many seconds at least to stay away after a failure."""
    if isinstance(error, ZohoTokenThrottledError):
        return _THROTTLE_PAUSE
    return error.retry_after or 0.0 if isinstance(error, ZohoAPIError) else 0.0
