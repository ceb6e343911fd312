"""Sensors that ask one question until the answer is yes."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.sensors.base import ZohoSensor

if TYPE_CHECKING:
    from airflow_provider_zohocrm.client.conditions import Condition


class ConditionSensor(ZohoSensor):
    """Waits until a condition holds."""

    @abstractmethod
    def _condition(self) -> Condition:
        """Make the condition from the parameters; what cannot be right fails here."""

    def _look(self) -> dict[str, Any] | None:
        condition = self._condition()
        hook = self._looking_hook()
        call = condition.call(hook.version)
        seen = condition.seen(call, hook.send(call), hook.usage)
        self.log.info("There is %s" if seen is not None else "There is no %s yet", condition)
        return seen
