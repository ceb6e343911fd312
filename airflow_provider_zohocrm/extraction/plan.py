"""Which way of reading is the cheapest: pure estimates, and the choice between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider_zohocrm.client import coql
from airflow_provider_zohocrm.client.versions import (
    CREDITS_PER_BULK_READ,
    CREDITS_PER_VIEW_PAGE,
    FIELDS_PER_CALL,
    IDS_PER_CALL,
    PAGE_SIZE,
    RECORDS_PER_BULK_READ,
)
from airflow_provider_zohocrm.exceptions import ZohoCreditLimitError, ZohoValidationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_zohocrm.client.versions import ApiVersion

STRATEGIES = ("records", "coql", "bulk")
# Below this many pages the second end costs more calls than it saves time.
BOTH_ENDS_FROM = 6
# A list reaches 100,000 records from either end (reference sheet §2.1).
_LISTED = 100_000
_BULK_FIELDS = 200
# How long things take, in seconds: guesses from the figures of reference sheet §2.1 and §4.6, used to compare only.
_CALL = 0.13
_PER_LIST_PAGE = 0.05
_PER_COQL_ROW = 0.0001
_PER_BULK_ROW = 1 / 10_000
_PER_DOWNLOADED_ROW = 1 / 50_000
_FIRST_LOOK = 10.0
_DEFERRAL = 8.0
# What a second is worth: 100,000 records by COQL instead of bulk read cost 100 credits more and are there 10 s sooner.
_CREDITS_PER_SECOND = 10


@dataclass(frozen=True, slots=True)
class Demands:
    """What is asked for, as far as it decides how it can be read.

    :param fields: how many fields come back.
    :param lists_only: parameters that only lists know, e.g. ``sort_by``.
    :param system_keys: fields such as ``$approval``, which only lists return.
    :param joined: fields of a lookup's module, e.g. ``Owner.last_name``, which lists do not return.
    :param unclear: multi-select fields with a ``;`` in one of their values, which bulk read joins by ``;``.
    :param cvid: whether a custom view is read.
    :param max_records: end after this many.
    :param refused: why Zoho will not have a way of reading, by its name.
    """

    fields: int
    lists_only: tuple[str, ...] = ()
    system_keys: tuple[str, ...] = ()
    joined: tuple[str, ...] = ()
    unclear: tuple[str, ...] = ()
    cvid: bool = False
    max_records: int | None = None
    refused: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way of reading, and what it is thought to cost.

    :param obstacle: why it cannot be taken; empty if it can.
    """

    strategy: str
    calls: int
    credits: int
    seconds: float
    obstacle: str = ""

    @property
    def score(self) -> float:
        """What it costs in all, in credits."""
        return self.credits + _CREDITS_PER_SECOND * self.seconds

    def __str__(self) -> str:
        if self.obstacle:
            return f"{self.strategy} not: {self.obstacle}"
        return f"{self.strategy} {self.calls} calls, {self.credits} credits, {self.seconds:.0f} s"


def candidates(
    demands: Demands, version: ApiVersion, count: int | None, call_seconds: float | None = None
) -> list[Candidate]:
    """Estimate every way of reading.

    :param count: number of records, or None if Zoho does not tell.
    :param call_seconds: how long a call takes, if known.
    """
    rows = count or 0
    if demands.max_records is not None:
        rows = min(rows, demands.max_records)
    seconds = _CALL if call_seconds is None else call_seconds
    return [
        _records(demands, version, rows, seconds, count is None),
        _coql(demands, version, rows, seconds, count is None),
        _bulk(demands, rows, seconds),
    ]


def choose(found: Sequence[Candidate], left: int | None = None) -> Candidate:
    """Take the candidate that costs least; a second counts as 10 credits.

    :param left: credits that may still be spent; None for no bound.
    :raises ZohoValidationError: if there is no way to read what was asked for.
    :raises ZohoCreditLimitError: if every way costs more than may be spent.
    """
    possible = [one for one in found if not one.obstacle]
    shown = "; ".join(map(str, found))
    if not possible:
        raise ZohoValidationError(f"No way of reading can give all that is asked for: {shown}")
    affordable = [one for one in possible if left is None or one.credits <= left]
    if not affordable:
        raise ZohoCreditLimitError(
            f"{left} API credits are left of max_credits, and every way of reading needs more: {shown}. Nothing was "
            "read. Raise max_credits, or narrow what is read."
        )
    return min(affordable, key=lambda one: one.score)


def from_both_ends(count: int | None, page: int) -> bool:
    """Tell whether a walk from both ends at once pays."""
    return count is not None and count >= BOTH_ENDS_FROM * page


def lists_from_both_ends(demands: Demands, version: ApiVersion, count: int | None) -> bool:
    """Tell whether lists are walked from both ends at once; what is estimated is what is done."""
    narrowed = demands.lists_only or demands.cvid or demands.max_records is not None
    return version.page_token and not narrowed and from_both_ends(count, PAGE_SIZE)


def coql_from_both_ends(demands: Demands, version: ApiVersion, count: int | None) -> bool:
    """Tell whether COQL is walked from both ends at once."""
    return demands.max_records is None and from_both_ends(count, version.coql_page)


def _records(demands: Demands, version: ApiVersion, rows: int, seconds: float, uncounted: bool) -> Candidate:
    pages = _parts(rows, PAGE_SIZE)
    groups = _parts(demands.fields, FIELDS_PER_CALL - 2) if demands.fields > FIELDS_PER_CALL else 1
    calls = pages + (groups - 1) * _parts(rows, IDS_PER_CALL)
    ends = 2 if lists_from_both_ends(demands, version, rows) else 1
    obstacle = ""
    if demands.joined:
        obstacle = f"lists do not return {', '.join(demands.joined)}"
    elif rows > ends * _LISTED and not uncounted:
        obstacle = f"lists end at {_LISTED:,} records{' from either end' if ends == 2 else ''}"
    each = CREDITS_PER_VIEW_PAGE if demands.cvid else 1
    return Candidate("records", calls, calls * each, calls * (seconds + _PER_LIST_PAGE) / ends, obstacle)


def _coql(demands: Demands, version: ApiVersion, rows: int, seconds: float, uncounted: bool) -> Candidate:
    size = version.coql_page
    ends = 2 if coql_from_both_ends(demands, version, rows) else 1
    groups = _parts(demands.fields, FIELDS_PER_CALL - 2) if demands.fields > FIELDS_PER_CALL else 1
    calls = (_parts(rows, size) + ends - 1) * groups
    lists_only = (*demands.lists_only, *(["cvid"] if demands.cvid else []), *demands.system_keys)
    obstacle = demands.refused.get("coql", "")
    if lists_only:
        obstacle = f"COQL does not know {', '.join(lists_only)}"
    elif uncounted and not obstacle:
        obstacle = "the records could not be counted"
    return Candidate(
        "coql",
        calls,
        calls * coql.cost(size),
        calls * (seconds + size * _PER_COQL_ROW) / ends,
        obstacle,
    )


def _bulk(demands: Demands, rows: int, seconds: float) -> Candidate:
    jobs = _parts(rows, RECORDS_PER_BULK_READ)
    calls = jobs * 5
    unknown = (*demands.lists_only, *(["max_records"] if demands.max_records else []), *demands.system_keys)
    obstacle = demands.refused.get("bulk", "")
    if unknown:
        obstacle = f"bulk read does not know {', '.join(unknown)}"
    elif demands.unclear:
        obstacle = f"bulk read joins by ';', which is in values of {', '.join(demands.unclear)}"
    elif demands.fields > _BULK_FIELDS:
        obstacle = f"bulk read takes {_BULK_FIELDS} fields"
    work = max(_FIRST_LOOK, 2 + rows * _PER_BULK_ROW) + rows * _PER_DOWNLOADED_ROW
    return Candidate(
        "bulk",
        calls,
        jobs * CREDITS_PER_BULK_READ + calls - jobs,
        _DEFERRAL + work + calls * seconds,
        obstacle,
    )


def _parts(whole: int, size: int) -> int:
    return max(1, -(-whole // size))
