"""What can be waited for: the call that looks, and how its answer reads; shared by workers and triggers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from airflow_provider_zohocrm.client import coql
from airflow_provider_zohocrm.client.answers import records_of
from airflow_provider_zohocrm.client.api import api_path
from airflow_provider_zohocrm.client.calls import Call, module_name, record_id as checked_id
from airflow_provider_zohocrm.exceptions import ZohoValidationError

if TYPE_CHECKING:
    from airflow_provider_zohocrm.client.usage import Usage
    from airflow_provider_zohocrm.client.versions import ApiVersion

Answer = dict[str, Any] | None


class Condition(Protocol):
    """Something that is asked for again and again until it holds."""

    def call(self, version: ApiVersion) -> Call:
        """Build the call that looks once."""

    def seen(self, call: Call, answer: Answer, usage: Usage) -> dict[str, Any] | None:
        """Read the answer.

        :param usage: what the call was counted by.
        :return: what was seen, as plain JSON without records, or None if the condition does not hold yet.
        """

    def __str__(self) -> str: ...


@dataclass(frozen=True, slots=True)
class RecordsCondition:
    """A record exists, or a COQL query returns so many rows. Make it by :meth:`of`.

    :param module: API name, with ``record_id``.
    :param record_id: the record.
    :param query: the query, without a limit or with one of its own.
    :param min_records: rows it must return.
    """

    module: str | None
    record_id: str | None
    query: str | None
    min_records: int = 1

    @classmethod
    def of(
        cls,
        module: str | None = None,
        record_id: str | int | None = None,
        where: str | None = None,
        query: str | None = None,
        min_records: int = 1,
    ) -> RecordsCondition:
        """Check what is waited for.

        :param module: API name; with ``record_id`` or ``where``.
        :param record_id: id of a record.
        :param where: a COQL condition, e.g. ``Stage = 'Closed Won'``.
        :param query: a whole COQL query.
        :param min_records: how many records must fulfil the condition.
        :raises ZohoValidationError: for what cannot be right.
        """
        if sum(one is not None for one in (record_id, where, query)) != 1:
            raise ZohoValidationError("give exactly one of record_id, where and query")
        if (module is None) != (query is not None):
            raise ZohoValidationError(
                "module belongs to record_id and where, and not to query, which names its own"
            )
        if isinstance(min_records, bool) or not isinstance(min_records, int) or min_records < 1:
            raise ZohoValidationError(f"min_records is {min_records!r}; it must be a whole number above 0")
        if record_id is not None and min_records != 1:
            raise ZohoValidationError("a record_id is one record: leave out min_records")
        if where is not None:
            query = f"select id from {module_name(module or '')} where {where}"  # noqa: S608  # COQL; the module is checked
        if query is not None:
            return cls(None, None, coql.checked_query(query), min_records)
        return cls(module_name(module or ""), checked_id(record_id or ""), None)

    def call(self, version: ApiVersion) -> Call:
        """Build the call that looks once: 1 credit for a record and for up to 200 rows."""
        if self.query is None:
            return Call("GET", api_path(version, self.module or "", self.record_id or ""), {"fields": "id"})
        if self.min_records > version.coql_page:
            raise ZohoValidationError(
                f"min_records is {self.min_records}; a query of {version.name} returns {version.coql_page} rows at most"
            )
        if coql.has_limit(self.query):
            return coql.query_call(version, self.query, version.coql_page)
        return coql.query_call(version, coql.paged(self.query, 0, self.min_records), self.min_records)

    def seen(self, call: Call, answer: Answer, usage: Usage) -> dict[str, Any] | None:  # noqa: ARG002  # one form for all
        """Tell the id of the first record, and the number of rows that were seen."""
        rows = records_of(answer, call)
        if len(rows) < self.min_records:
            return None
        return {"record_id": rows[0].get("id"), "records": len(rows)}

    def __str__(self) -> str:
        if self.query is None:
            return f"record {self.record_id} of {self.module}"
        return f"{self.min_records} rows of: {self.query}"


@dataclass(frozen=True, slots=True)
class CreditsCondition:
    """The organisation has so many API credits left.

    :param min_credits: how many.
    """

    min_credits: int

    def __post_init__(self) -> None:
        if (
            isinstance(self.min_credits, bool)
            or not isinstance(self.min_credits, int)
            or self.min_credits < 1
        ):
            raise ZohoValidationError(
                f"min_credits is {self.min_credits!r}; it must be a whole number above 0"
            )

    def call(self, version: ApiVersion) -> Call:
        """Build a call for the sake of its headers; it costs a credit."""
        return Call("GET", api_path(version, "org"), retries=0)

    def seen(self, call: Call, answer: Answer, usage: Usage) -> dict[str, Any] | None:  # noqa: ARG002  # one form for all
        """Tell how many credits are left; None stands for more than half, of which Zoho tells nothing (§6.3)."""
        left = usage.remaining
        return {"credits_remaining": left} if left is None or left >= self.min_credits else None

    def __str__(self) -> str:
        return f"{self.min_credits} free API credits"
