"""Waiting for a condition without holding a worker slot: what the triggers share."""

from __future__ import annotations

import asyncio
import random
import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm._compat import BaseTrigger, TriggerEvent
from airflow_provider_zohocrm.exceptions import ZohoLowCreditsError
from airflow_provider_zohocrm.triggers.events import failure, low_credits
from airflow_provider_zohocrm.triggers.outages import (
    PASSING,
    RETRIES_PER_LOOK,
    TOO_LONG,
    imported_hooks,
    pause_after,
    within,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from airflow_provider_zohocrm.client.conditions import Condition
    from airflow_provider_zohocrm.client.usage import Usage
    from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMAsyncHook

_GROWTH = 2.0
# Triggers that start together, as after a restart of the triggerer, do not go on looking together.
_JITTER = 0.1


class ConditionTrigger(BaseTrigger):
    """Fire once when a condition holds, cannot be looked at, or has not come true in time.

    The event is ``{"status": "success" | "error" | "timeout" | "low_credits", "message", "api_usage"}`` and what the
    condition tells. Failures that may pass are outlasted until ``end_time``.

    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param poll_interval: seconds before the first look and between two; each look costs a credit. Below 10 seconds a
        task may be resumed before the scheduler knows that it was deferred.
    :param max_poll_interval: where it is longer than ``poll_interval``, the pause doubles up to it.
    :param end_time: Unix time at which to give up.
    :param api_version: ``v2`` … ``v8``, in place of the connection's.
    :param min_credits_remaining: API credits that the organisation must have left after each look, in place of the
        connection's; 0 for no bound. Where it has fewer, the status is ``low_credits``.
    """

    def __init__(
        self,
        zohocrm_conn_id: str,
        poll_interval: float = 60.0,
        max_poll_interval: float = 60.0,
        end_time: float | None = None,
        api_version: str | None = None,
        min_credits_remaining: int | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        self.zohocrm_conn_id = zohocrm_conn_id
        self.poll_interval = poll_interval
        self.max_poll_interval = max_poll_interval
        self.end_time = end_time
        self.api_version = api_version
        self.min_credits_remaining = min_credits_remaining

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Describe the trigger in plain JSON."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                **self._parameters(),
                "zohocrm_conn_id": self.zohocrm_conn_id,
                "poll_interval": self.poll_interval,
                "max_poll_interval": self.max_poll_interval,
                "end_time": self.end_time,
                "api_version": self.api_version,
                "min_credits_remaining": self.min_credits_remaining,
            },
        )

    @abstractmethod
    def _parameters(self) -> dict[str, Any]:
        """Name the parameters that make the condition."""

    @abstractmethod
    def _condition(self) -> Condition:
        """Make the condition from the parameters."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until the condition holds, and tell what was seen."""
        used: dict[str, Any] = {}
        try:
            hooks = await imported_hooks()
            condition = self._condition()
            hook = hooks.ZohoCRMAsyncHook(
                self.zohocrm_conn_id,
                api_version=self.api_version,
                retries=RETRIES_PER_LOOK,
                min_credits_remaining=self.min_credits_remaining,
            )
            try:
                async with hook:
                    event = await self._wait(hook, condition)
            finally:
                used = {"api_usage": dict(hook.usage.counts)} if hook.usage.calls else {}
        except Exception as error:  # noqa: BLE001  # whatever it is, the task must hear of it
            event = failure(error)
        yield TriggerEvent({**event, **used})  # type: ignore[no-untyped-call]  # Airflow's

    async def _wait(self, hook: ZohoCRMAsyncHook, condition: Condition) -> dict[str, Any]:
        call, pause, first = condition.call(hook.version), 0.0, True
        for delay in self._delays():
            left = self.end_time - time.time() if self.end_time is not None else float("inf")
            # The first wait is kept even past the deadline: a trigger that fires at once can fail its task.
            await asyncio.sleep(delay if first else max(0.0, min(max(delay, pause), left)))
            first = False
            try:
                self._before_look(hook.usage)
                answer = await within(hook.send(call), self.end_time)
                seen = condition.seen(call, answer, hook.usage)
            except ZohoLowCreditsError as error:
                return low_credits(error)
            except TOO_LONG:
                break
            except PASSING as error:
                pause = pause_after(error)
                self.log.warning("Looking for %s failed, going on: %s", condition, error)
            else:
                pause = 0.0
                if seen is not None:
                    self.log.info("There is %s", condition)
                    return {"status": "success", "message": f"There is {condition}", **seen}
                self.log.debug("There is no %s yet", condition)
            if self.end_time is not None and time.time() >= self.end_time:
                break
        return {"status": "timeout", "message": f"There was no {condition} in time"}

    def _before_look(self, usage: Usage) -> None:
        """Prepare what a look is counted by."""

    def _delays(self) -> Iterator[float]:
        delay = self.poll_interval
        yield delay
        while True:
            delay = min(delay * _GROWTH, max(self.poll_interval, self.max_poll_interval))
            yield delay * random.uniform(1.0, 1.0 + _JITTER)  # noqa: S311  # no secret
