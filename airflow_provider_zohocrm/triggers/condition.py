"""Waiting for a condition without holding a worker slot: what the triggers share."""

from __future__ import annotations

import asyncio
import random
import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.exceptions import ZohoLowCreditsError
from airflow_provider_zohocrm.triggers.events import low_credits
from airflow_provider_zohocrm.triggers.outages import PASSING, TOO_LONG, pause_after, within
from airflow_provider_zohocrm.triggers.waiting import WaitingTrigger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_zohocrm.client.conditions import Condition
    from airflow_provider_zohocrm.client.usage import Usage
    from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMAsyncHook

_GROWTH = 2.0
# Triggers that start together, as after a restart of the triggerer, do not go on looking together.
_JITTER = 0.1


class ConditionTrigger(WaitingTrigger):
    """Fire once when a condition holds, cannot be looked at, or has not come true in time.

    The event is ``{"status": "success" | "error" | "timeout" | "low_credits", "message", "api_usage"}`` and what the
    condition tells. Failures that may pass are outlasted until ``end_time``.

    :param options: those of :class:`~airflow_provider_zohocrm.triggers.waiting.WaitingTrigger`; where
        ``max_poll_interval`` is longer than ``poll_interval``, the pause doubles up to it.
    """

    def __init__(
        self,
        zohocrm_conn_id: str,
        poll_interval: float = 60.0,
        max_poll_interval: float = 60.0,
        **options: Any,
    ) -> None:
        super().__init__(zohocrm_conn_id, poll_interval, max_poll_interval, **options)

    @abstractmethod
    def _condition(self) -> Condition:
        """Make the condition from the parameters."""

    async def _wait(self, hook: ZohoCRMAsyncHook) -> dict[str, Any]:
        condition = self._condition()
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
