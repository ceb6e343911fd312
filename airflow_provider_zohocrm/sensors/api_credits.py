"""Wait for API credits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.client.conditions import CreditsCondition
from airflow_provider_zohocrm.exceptions import ZohoValidationError
from airflow_provider_zohocrm.operators.parameters import whole_number
from airflow_provider_zohocrm.sensors.condition import ConditionSensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_zohocrm._compat import BaseTrigger
    from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook


class ZohoApiCreditsSensor(ConditionSensor):
    """Wait until the organisation has enough API credits left, e.g. before a large load.

    Zoho tells how many are left only once half of the credits of 24 hours are used (``X-API-CREDITS-REMAINING``); before
    that there are enough, whatever ``min_credits`` is. The task returns the number, or None where Zoho does not tell. A
    look costs a credit and needs the scope ``ZohoCRM.org.READ``. Credits come back 24 hours after they were spent, so
    give it a long ``poke_interval``.

    :param min_credits: how many must be left.
    :param deferrable: wait in the triggerer, whatever ``mode`` says; the default is Airflow's ``[operators]
        default_deferrable``.
    :param poke_interval: seconds between two looks; 300 if absent.
    :param timeout: seconds after which the sensor fails, or is skipped with ``soft_fail``.
    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param api_version: ``v2`` … ``v8``, in place of the connection's.
    """

    template_fields: Sequence[str] = ("min_credits", "zohocrm_conn_id", "api_version")

    def __init__(self, *, min_credits: int | str, poke_interval: float = 300.0, **kwargs: Any) -> None:
        super().__init__(poke_interval=poke_interval, **kwargs)
        self.min_credits = min_credits

    def _condition(self) -> CreditsCondition:
        least = whole_number(self.min_credits, "min_credits")
        if least is None:
            raise ZohoValidationError("min_credits is empty; give a whole number above 0")
        return CreditsCondition(least)

    def _trigger(self, **options: Any) -> BaseTrigger:
        from airflow_provider_zohocrm.triggers.api_credits import ApiCreditsTrigger

        return ApiCreditsTrigger(min_credits=self._condition().min_credits, **options)

    def _looking_hook(self) -> ZohoCRMHook:
        # What an earlier look was told does not hold any more; and it waits for what others would give up at.
        hook = self._hook()
        hook.usage.min_remaining = None
        return hook

    def _told(self, seen: dict[str, Any]) -> int | None:
        left: int | None = seen["credits_remaining"]
        return left
