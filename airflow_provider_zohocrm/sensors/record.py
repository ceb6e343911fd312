"""Wait for records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.client.conditions import RecordsCondition
from airflow_provider_zohocrm.operators.parameters import given, whole_number
from airflow_provider_zohocrm.sensors.condition import ConditionSensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_zohocrm._compat import BaseTrigger


class ZohoRecordSensor(ConditionSensor):
    """Wait until a record exists, or until enough records fulfil a COQL condition.

    Exactly one of ``record_id``, ``where`` and ``query`` is given. The task returns ``{"record_id", "records"}``: the id
    of the first record, and how many were seen, ``min_records`` at most. A look costs a credit.

    :param module: API name, with ``record_id`` or ``where``.
    :param record_id: id of the record.
    :param where: a COQL condition, e.g. ``Deal_Name = 'Big one' and Stage = 'Closed Won'``.
    :param query: a whole COQL query, or the name of a file that ends with ``.coql`` or ``.sql``; it holds when it returns
        a row.
    :param min_records: how many records must fulfil ``where``, or rows ``query`` must return.
    :param deferrable: wait in the triggerer, whatever ``mode`` says; the default is Airflow's ``[operators]
        default_deferrable``.
    :param poke_interval: seconds between two looks; 60 if absent.
    :param timeout: seconds after which the sensor fails, or is skipped with ``soft_fail``.
    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param api_version: ``v2`` … ``v8``, in place of the connection's.
    """

    template_fields: Sequence[str] = (
        "module",
        "record_id",
        "where",
        "query",
        "min_records",
        "zohocrm_conn_id",
        "api_version",
    )
    template_ext: Sequence[str] = (".coql", ".sql")
    template_fields_renderers = {"query": "sql", "where": "sql"}  # noqa: RUF012  # as Airflow declares it

    def __init__(
        self,
        *,
        module: str | None = None,
        record_id: str | int | None = None,
        where: str | None = None,
        query: str | None = None,
        min_records: int | str = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.module = module
        self.record_id = record_id
        self.where = where
        self.query = query
        self.min_records = min_records

    def _condition(self) -> RecordsCondition:
        least = whole_number(self.min_records, "min_records")
        return RecordsCondition.of(
            given(self.module),
            given(self.record_id),
            given(self.where),
            given(self.query),
            1 if least is None else least,
        )

    def _trigger(self, **options: Any) -> BaseTrigger:
        from airflow_provider_zohocrm.triggers.record import RecordTrigger

        condition = self._condition()
        return RecordTrigger(
            module=condition.module,
            record_id=condition.record_id,
            query=condition.query,
            min_records=condition.min_records,
            **options,
        )

    def _told(self, seen: dict[str, Any]) -> dict[str, Any]:
        return {name: seen[name] for name in ("record_id", "records")}
