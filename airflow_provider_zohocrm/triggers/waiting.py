"""Waiting without holding a worker slot: what the triggers of operators and sensors share."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm._compat import BaseTrigger, TriggerEvent
from airflow_provider_zohocrm.triggers.events import failure
from airflow_provider_zohocrm.triggers.outages import RETRIES_PER_LOOK, imported_hooks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMAsyncHook


class WaitingTrigger(BaseTrigger):
    """Fire once: when what is waited for is there, cannot be looked at, or does not come in time.

    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param poll_interval: seconds before the first look. Below 10 a task may be resumed before the scheduler knows that it
        was deferred.
    :param max_poll_interval: the longest seconds between two looks, each of which costs a credit.
    :param end_time: Unix time at which to give up.
    :param api_version: ``v2`` … ``v8``, in place of the connection's.
    :param min_credits_remaining: API credits that the organisation must have left after each look, in place of the
        connection's; 0 for no bound. Where it has fewer, the status is ``low_credits``.
    """

    def __init__(
        self,
        zohocrm_conn_id: str,
        poll_interval: float,
        max_poll_interval: float,
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
        """Name the parameters that tell what is waited for."""

    @abstractmethod
    async def _wait(self, hook: ZohoCRMAsyncHook) -> dict[str, Any]:
        """Look until there is something to tell, and tell it."""

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait, and tell what was seen."""
        yield TriggerEvent(await self._outcome())  # type: ignore[no-untyped-call]  # Airflow's

    async def _outcome(self) -> dict[str, Any]:
        # Also of looks that failed; those of a triggerer that died are told by nobody.
        used: dict[str, Any] = {}
        try:
            hooks = await imported_hooks()
            hook = hooks.ZohoCRMAsyncHook(
                self.zohocrm_conn_id,
                api_version=self.api_version,
                retries=RETRIES_PER_LOOK,
                min_credits_remaining=self.min_credits_remaining,
            )
            try:
                async with hook:
                    event = await self._wait(hook)
            finally:
                used = {"api_usage": dict(hook.usage.counts)} if hook.usage.calls else {}
        except Exception as error:  # noqa: BLE001  # whatever it is, the task must hear of it
            event = failure(error)
        return {**event, **used}
