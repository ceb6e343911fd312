"""Wait for records without holding a worker slot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.triggers.condition import ConditionTrigger

if TYPE_CHECKING:
    from airflow_provider_zohocrm.client.conditions import Condition


class RecordTrigger(ConditionTrigger):
    """Fire once when a record exists, or a COQL query returns enough rows.

    The event is ``{"status": "success" | "error" | "timeout" | "low_credits", "message", "api_usage", "record_id",
    "records"}``: the id of the first record, and how many rows were seen.

    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param module: API name, with ``record_id``.
    :param record_id: id of the record.
    :param query: a COQL query, in place of module and id.
    :param min_records: rows that it must return.
    :param options: those of :class:`~airflow_provider_zohocrm.triggers.condition.ConditionTrigger`.
    """

    def __init__(
        self,
        zohocrm_conn_id: str,
        module: str | None = None,
        record_id: str | None = None,
        query: str | None = None,
        min_records: int = 1,
        **options: Any,
    ) -> None:
        super().__init__(zohocrm_conn_id, **options)
        self.module = module
        self.record_id = record_id
        self.query = query
        self.min_records = min_records

    def _parameters(self) -> dict[str, Any]:
        return {
            "module": self.module,
            "record_id": self.record_id,
            "query": self.query,
            "min_records": self.min_records,
        }

    def _condition(self) -> Condition:
        from airflow_provider_zohocrm.client.conditions import RecordsCondition

        return RecordsCondition.of(
            self.module, self.record_id, query=self.query, min_records=self.min_records
        )
