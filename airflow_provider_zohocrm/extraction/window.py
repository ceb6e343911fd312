"""Which records by the time of their last change, said in the ways of each API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.client.coql import literal
from airflow_provider_zohocrm.client.jsontext import zoho_datetime
from airflow_provider_zohocrm.client.records import Moment, moment
from airflow_provider_zohocrm.exceptions import ZohoValidationError

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Window:
    """The records whose ``Modified_Time`` is at or after ``since`` and before ``before``, both to the second.

    Windows that touch hold each record once, so that a backfill over data intervals does.
    """

    since: datetime | None = None
    before: datetime | None = None

    @classmethod
    def of(cls, modified_since: Moment | None, modified_before: Moment | None) -> Window:
        """Read the bounds.

        :raises ZohoValidationError: if one is no moment, or nothing lies between them.
        """
        since = None if modified_since in (None, "") else moment(modified_since, "modified_since")
        before = None if modified_before in (None, "") else moment(modified_before, "modified_before")
        if since is not None and before is not None and since > before:
            raise ZohoValidationError(f"modified_since {since} is after modified_before {before}")
        return cls(since, before)

    def __bool__(self) -> bool:
        return self.since is not None or self.before is not None

    @property
    def texts(self) -> list[str | None]:
        """Both bounds as ISO 8601, for :meth:`of`."""
        return [None if at is None else at.isoformat() for at in (self.since, self.before)]

    def coql(self) -> list[str]:
        """Say it as conditions of a COQL query."""
        bounds = ((">=", self.since), ("<", self.before))
        return [f"Modified_Time {sign} {literal(zoho_datetime(at))}" for sign, at in bounds if at is not None]

    def criteria(self) -> dict[str, Any] | None:
        """Say it as criteria of a bulk read job, or None for all records."""
        bounds = (("greater_equal", self.since), ("less_than", self.before))
        leaves = [
            {"api_name": "Modified_Time", "comparator": comparator, "value": zoho_datetime(at)}
            for comparator, at in bounds
            if at is not None
        ]
        if len(leaves) > 1:
            return {"group_operator": "and", "group": leaves}
        return leaves[0] if leaves else None
