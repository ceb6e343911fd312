"""Wait for API credits without holding a worker slot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.triggers.condition import ConditionTrigger

if TYPE_CHECKING:
    from airflow_provider_zohocrm.client.conditions import Condition
    from airflow_provider_zohocrm.client.usage import Usage


class ApiCreditsTrigger(ConditionTrigger):
    """Fire once when the organisation has enough API credits left.

    The event is ``{"status": "success" | "error" | "timeout", "message", "api_usage", "credits_remaining"}``; the number is None
    while more than half of the credits are left, of which Zoho tells nothing.

    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param min_credits: how many must be left.
    :param options: those of :class:`~airflow_provider_zohocrm.triggers.condition.ConditionTrigger`.
    """

    def __init__(self, zohocrm_conn_id: str, min_credits: int, **options: Any) -> None:
        super().__init__(zohocrm_conn_id, **options)
        self.min_credits = min_credits

    def _parameters(self) -> dict[str, Any]:
        return {"min_credits": self.min_credits}

    def _condition(self) -> Condition:
        from airflow_provider_zohocrm.client.conditions import CreditsCondition

        return CreditsCondition(self.min_credits)

    def _before_look(self, usage: Usage) -> None:
        # What an earlier look was told does not hold any more; and it waits for what others would give up at.
        usage.remaining = usage.min_remaining = None
