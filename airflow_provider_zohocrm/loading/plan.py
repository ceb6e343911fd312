"""Which way of writing is the cheapest: pure estimates, and the choice between them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow_provider_zohocrm.client.bulk_write import OPERATIONS
from airflow_provider_zohocrm.client.versions import (
    CREDITS_PER_BULK_WRITE,
    RECORDS_PER_BULK_WRITE,
    RECORDS_PER_CREDIT,
    RECORDS_PER_WRITE,
)
from airflow_provider_zohocrm.exceptions import ZohoCreditLimitError
from airflow_provider_zohocrm.extraction.plan import Candidate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

log = logging.getLogger(__name__)

WAYS = ("records", "bulk")
# How long things take, in seconds: guesses from the figures of reference sheet §4.6, used to compare only.
_CALL = 0.13
_PER_RECORD = 0.004
_PER_BULK_ROW = 1 / 5_000
_FIRST_LOOK = 10.0
_DEFERRAL = 8.0
# Beside the job itself: upload, four looks, download.
_CALLS_PER_JOB = 7


def candidates(
    operation: str,
    rows: int | None,
    *,
    concurrency: int,
    records_only: Iterable[str] = (),
    call_seconds: float | None = None,
) -> list[Candidate]:
    """Estimate both ways of writing.

    :param operation: ``insert``, ``update``, ``upsert`` or ``delete``.
    :param rows: number of rows, or None if that is not known without reading them.
    :param concurrency: calls at a time.
    :param records_only: parameters in use that only calls with records know, e.g. ``trigger``.
    :param call_seconds: how long a call takes, if known.
    """
    count = rows or 0
    seconds = _CALL if call_seconds is None else call_seconds
    calls = _parts(count, RECORDS_PER_WRITE)
    by_records = Candidate(
        "records",
        calls,
        _parts(count, RECORDS_PER_CREDIT),
        (calls * seconds + count * _PER_RECORD) / max(1, concurrency),
    )
    jobs = _parts(count, RECORDS_PER_BULK_WRITE)
    unknown = list(records_only)
    obstacle = ""
    if operation not in OPERATIONS:
        obstacle = f"bulk write does not {operation}"
    elif unknown:
        obstacle = f"bulk write does not know {', '.join(unknown)}"
    elif rows is None:
        obstacle = "the number of rows is not known"
    looks = jobs * _CALLS_PER_JOB
    by_bulk = Candidate(
        "bulk",
        looks,
        jobs * CREDITS_PER_BULK_WRITE + looks - jobs,
        _DEFERRAL + max(_FIRST_LOOK, count * _PER_BULK_ROW) + looks * seconds,
        obstacle,
    )
    return [by_records, by_bulk]


def cheapest(found: Sequence[Candidate], left: int | None = None) -> Candidate | None:
    """Find the candidate that costs least, where a second counts as 10 credits; None if none is possible.

    :param left: credits that may still be spent; None for no bound.
    """
    possible = [one for one in found if not one.obstacle and (left is None or one.credits <= left)]
    return min(possible, key=lambda one: one.score, default=None)


def choose(found: Sequence[Candidate], left: int | None = None) -> Candidate:
    """Take the cheapest candidate, and log why.

    :param left: credits that may still be spent; None for no bound.
    :raises ZohoCreditLimitError: if every way costs more than may be spent.
    """
    shown = "; ".join(map(str, found))
    chosen = cheapest(found, left)
    if chosen is None:
        raise ZohoCreditLimitError(
            f"{left} API credits are left of max_credits, and every way of writing needs more: {shown}. Nothing was "
            "written. Raise max_credits, or write fewer records."
        )
    log.info("Writing by %s: %s", chosen.strategy, shown)
    return chosen


def _parts(whole: int, size: int) -> int:
    return max(1, -(-whole // size))
