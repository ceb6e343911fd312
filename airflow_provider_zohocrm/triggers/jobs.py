"""Waiting for a job of Zoho without holding a worker slot: what the triggers share."""

from __future__ import annotations

import asyncio
import random
import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.client.polling import FIRST_POLL, LONGEST_POLL, poll_delays
from airflow_provider_zohocrm.exceptions import ZohoCRMError, ZohoLowCreditsError, ZohoNotFoundError
from airflow_provider_zohocrm.triggers.events import failure, low_credits
from airflow_provider_zohocrm.triggers.outages import PASSING, TOO_LONG, pause_after, within
from airflow_provider_zohocrm.triggers.waiting import WaitingTrigger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_zohocrm.client.jobs import Job
    from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMAsyncHook

# Triggers that start together, as after a restart of the triggerer, do not look together: each has the others in
# mind with so many seconds.
_SPREAD = 0.005


class JobTrigger(WaitingTrigger):
    """Fire once when a job has ended or takes too long; of several jobs, the first that does.

    The event is ``{"status": "success" | "error" | "timeout" | "low_credits", "job_id", "state", "message", "jobs",
    "api_usage"}`` and what :meth:`_result` adds, where ``jobs`` are the states of all jobs that are known to have ended,
    by id, and ``api_usage`` is what the looks have used. Failures that may pass are outlasted until ``end_time``.

    :param job_id: id of the job; several in the order in which they end.

    The other parameters are those of :class:`~airflow_provider_zohocrm.triggers.waiting.WaitingTrigger`.
    """

    what = "Job"
    """The kind of job, as log and messages name it."""

    _waiting = 0

    def __init__(
        self,
        job_id: str | Sequence[str],
        zohocrm_conn_id: str,
        poll_interval: float = FIRST_POLL,
        max_poll_interval: float = LONGEST_POLL,
        end_time: float | None = None,
        api_version: str | None = None,
        min_credits_remaining: int | None = None,
    ) -> None:
        super().__init__(
            zohocrm_conn_id, poll_interval, max_poll_interval, end_time, api_version, min_credits_remaining
        )
        self.job_id = job_id

    def _parameters(self) -> dict[str, Any]:
        return {"job_id": self.job_id}

    @abstractmethod
    async def _look(self, hook: ZohoCRMAsyncHook, job_id: str) -> Job:
        """Ask how a job stands."""

    @abstractmethod
    def _state(self, job: Job) -> tuple[str, str]:
        """Tell how a job stands: Zoho's word, and ``running``, ``completed`` or ``failed``."""

    @abstractmethod
    def _failure(self, job: Job) -> str:
        """Say why a job failed, in Zoho's words."""

    @abstractmethod
    def _result(self, job: Job) -> dict[str, Any]:
        """Tell what a completed job says of its result."""

    @property
    def job_ids(self) -> list[str]:
        """The ids of all jobs, in order."""
        return [self.job_id] if isinstance(self.job_id, str) else list(self.job_id)

    async def _outcome(self) -> dict[str, Any]:
        JobTrigger._waiting += 1
        try:
            return {"job_id": self.job_ids[0], **await super()._outcome()}
        finally:
            JobTrigger._waiting -= 1

    async def on_kill(self) -> None:
        """Tell that the job goes on; Zoho offers no way to cancel it. Called by Airflow 3.3 and newer."""
        jobs = ", ".join(self.job_ids)
        self.log.info("%s %s goes on at Zoho, which has no way to cancel it", self.what, jobs)

    async def _wait(self, hook: ZohoCRMAsyncHook) -> dict[str, Any]:
        head, state, pause, first = self.job_ids[0], None, 0.0, True
        for delay in poll_delays(self.poll_interval, self.max_poll_interval):
            # The first wait is kept even past the deadline: a trigger that fires at once can fail its task.
            least = self._first(delay) if first else 0.0
            left = self.end_time - time.time() if self.end_time is not None else float("inf")
            await asyncio.sleep(max(least, min(max(delay, pause), left)))
            first = False
            try:
                job = await within(self._look(hook, head), self.end_time)
            except ZohoNotFoundError as error:
                return {**failure(error), "job_id": head, "jobs": {head: "NOT FOUND"}}
            except ZohoLowCreditsError as error:
                return {**low_credits(error), "job_id": head}
            except TOO_LONG:
                break
            except PASSING as error:
                pause = pause_after(error)
                self.log.warning("Looking at %s %s failed, going on: %s", self.what, head, error)
            else:
                pause = 0.0
                said, kind = self._state(job)
                if said != state:
                    state = said
                    self.log.info("%s %s: %s", self.what, head, state)
                if kind != "running":
                    return self._ended(head, job, await self._others(hook))
            if self.end_time is not None and time.time() >= self.end_time:
                break
        return self._event(head, "timeout", state=state, message=f"{self.what} {head} did not end in time")

    def _first(self, delay: float) -> float:
        """Spread the first looks of triggers that wait together over a time in which all can be served."""
        others = JobTrigger._waiting - 1
        return delay + random.uniform(0, others * _SPREAD) if others else delay  # noqa: S311  # no secret

    async def _others(self, hook: ZohoCRMAsyncHook) -> dict[str, str]:
        """Tell which of the further jobs have ended, too, up to the first that has not."""
        states = {}
        for job_id in self.job_ids[1:]:
            try:
                said, kind = self._state(await within(self._look(hook, job_id), self.end_time))
            except (ZohoCRMError, TOO_LONG) as error:
                # There is work for the worker; it will see.
                self.log.info("%s %s is left to the worker: %s", self.what, job_id, error)
                break
            if kind == "running":
                break
            states[job_id] = said
        return states

    def _ended(self, job_id: str, job: Job, others: dict[str, str]) -> dict[str, Any]:
        said, kind = self._state(job)
        jobs = {job_id: said, **others}
        if kind == "failed":
            message = f"{self.what} {job_id} failed: {self._failure(job)}"
            return self._event(job_id, "error", state=said, message=message, jobs=jobs)
        message = f"{self.what} {job_id} has completed"
        return self._event(job_id, "success", state=said, **self._result(job), message=message, jobs=jobs)

    def _event(self, job_id: str, status: str, *, message: str, **more: Any) -> dict[str, Any]:
        return {"status": status, "job_id": job_id, "message": message, **more}
