"""What has changed in a module since it was last looked at: the calls that tell it, and what follows from the answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, TypedDict

from airflow_provider_zohocrm.client import coql
from airflow_provider_zohocrm.client.answers import records_of
from airflow_provider_zohocrm.client.calls import Call, module_name
from airflow_provider_zohocrm.client.jsontext import zoho_datetime
from airflow_provider_zohocrm.client.records import moment
from airflow_provider_zohocrm.client.versions import CREDITS_PER_DELETED_PAGE, PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_provider_zohocrm.client.versions import ApiVersion


# Pages that are read at once of what was changed or deleted; what lies beyond is told as "more".
MOST_PAGES = 50

Row = tuple[str, str, str]
"""id, ``Created_Time`` and ``Modified_Time`` of a record."""
Deletion = tuple[str, str]
"""id and ``deleted_time``."""


class Watermark(TypedDict):
    """Up to where changes are known; plain JSON. Moments are ISO 8601 in UTC.

    ``modified`` is the newest ``Modified_Time``, ``deleted`` the newest ``deleted_time``, None before the first;
    ``seen`` and ``gone`` are the moments, by id, of records changed or deleted within the overlap before them.
    Nothing new comes at or before ``settled`` and ``settled_deleted``, nor is it looked for. ``told`` and ``told_deleted``
    are the newest moments at which it was told that there was too much to be read.
    """

    modified: str | None
    deleted: str | None
    settled: str | None
    settled_deleted: str | None
    told: str | None
    told_deleted: str | None
    seen: dict[str, str]
    gone: dict[str, str]


def no_watermark() -> Watermark:
    """Know nothing yet."""
    return {
        "modified": None,
        "deleted": None,
        "settled": None,
        "settled_deleted": None,
        "told": None,
        "told_deleted": None,
        "seen": {},
        "gone": {},
    }


@dataclass
class Snapshot:
    """What a watcher has read of a module.

    :param records: all that were modified since the moment it asked from, and maybe others.
    :param deleted: all that was deleted since the moment it asked from, and maybe more; None if it was not read.
    :param more: whether there are records that were not read: they were too many.
    :param more_deleted: the same of deletions.
    """

    records: list[Row]
    deleted: list[Deletion] | None = None
    more: bool = False
    more_deleted: bool = False


@dataclass(frozen=True)
class Changes:
    """What is new: ids by kind, the oldest ``Modified_Time`` among the records, and whether there are others unread."""

    created: list[str]
    changed: list[str]
    deleted: list[str]
    modified_since: str | None
    more: bool

    def __bool__(self) -> bool:
        return bool(self.created or self.changed or self.deleted or self.more)


NOTHING = Changes([], [], [], None, more=False)


class Settling:
    """Tells when nothing can come late any more: the overlap after the newest moment was first seen.

    Without that, each look at a quiet module would read again all that was changed shortly before its newest change.

    :param overlap: seconds that something may come late.
    """

    def __init__(self, overlap: float) -> None:
        self._overlap = overlap
        self._newest: str | None = None
        self._since = 0.0

    def is_over(self, newest: str | None, begun: float, ended: float) -> bool:
        """Note the newest moment that a look has shown, and tell whether anything before it may still come.

        :param begun: when the look began, in seconds of any clock.
        :param ended: when all was read.
        """
        if newest != self._newest:
            self._newest, self._since = newest, ended
            return False
        # A second more: others of the newest one may follow.
        return newest is not None and begun - self._since > self._overlap + 1


def newest_call(version: ApiVersion, module: str) -> Call:
    """Build the call for the 200 records modified last: 1 credit (reference sheet §2.1)."""
    params = {
        "fields": "id,Created_Time,Modified_Time",
        "sort_by": "Modified_Time",
        "sort_order": "desc",
        "per_page": str(PAGE_SIZE),
    }
    return Call("GET", f"/crm/{version.name}/{module_name(module)}", params)


def changed_call(version: ApiVersion, module: str, since: str, place: dict[str, str]) -> Call:
    """Build the call for 200 records modified at or after a moment, the earliest first: 1 credit (reference sheet §2.1).

    :param since: ISO 8601; empty for all.
    :param place: ``page`` or ``page_token``.
    """
    call = newest_call(version, module)
    return replace(call, params={**call.params, "sort_order": "asc", **place}, headers=_since(since))


def deleted_call(version: ApiVersion, module: str, since: str, page: int) -> Call:
    """Build the call for what was deleted at or after a moment: 2 credits (reference sheet §2.3).

    :param since: ISO 8601; empty for the 60 days that Zoho keeps.
    :param page: number of the page of 200.
    """
    return Call(
        "GET",
        f"/crm/{version.name}/{module_name(module)}/deleted",
        {"type": "all", "per_page": str(PAGE_SIZE), "page": str(page)},
        headers=_since(since),
        credits=CREDITS_PER_DELETED_PAGE,
    )


def matching_call(
    version: ApiVersion, module: str, criteria: str, since: str, after: str | None, size: int
) -> Call:
    """Build the call for records that meet a condition and were modified at or after a moment, by id (§2.7).

    :param criteria: a COQL condition, e.g. ``Stage = 'Closed Won'``.
    :param after: the last id of the page before; None for the first page.
    :param size: how many at most, which decides what it costs.
    """
    bound = coql.literal(zoho_datetime(moment(since, "since")))
    condition = f"(Modified_Time >= {bound} and ({criteria}))"
    if after is not None:
        condition = f"({condition} and id > {coql.literal(after)})"
    query = f"select id from {module_name(module)} where {condition} order by id asc limit {size}"  # noqa: S608  # COQL; the module is checked, bound and id quoted, the condition checked by coql.checked_condition
    return coql.query_call(version, query, size)


def read_newest(call: Call, answer: dict[str, Any] | None) -> tuple[list[Row], bool]:
    """Read the answer of :func:`newest_call` or :func:`changed_call`.

    :return: the records, and whether there are more.
    """
    rows = [
        (str(row["id"]), _utc(row.get("Created_Time")), _utc(row.get("Modified_Time")))
        for row in records_of(answer, call)
    ]
    return rows, _info(answer, "more_records") is True


def next_page(answer: dict[str, Any] | None, number: int) -> dict[str, str]:
    """Tell where the next page of a list is.

    :param number: its number, for versions without page tokens.
    """
    token = _info(answer, "next_page_token")
    return {"page_token": str(token)} if token else {"page": str(number)}


def read_deleted(call: Call, answer: dict[str, Any] | None) -> tuple[list[Deletion], bool]:
    """Read the answer of :func:`deleted_call`.

    :return: what was deleted, and whether there is more.
    """
    rows = [(str(row["id"]), _utc(row.get("deleted_time"))) for row in records_of(answer, call)]
    return rows, _info(answer, "more_records") is True


def read_ids(call: Call, answer: dict[str, Any] | None) -> tuple[list[str], bool]:
    """Read the ids of an answer.

    :return: the ids, and whether there are more.
    """
    return [str(row["id"]) for row in records_of(answer, call)], _info(answer, "more_records") is True


def before(when: str | None, seconds: float) -> str:
    """Tell the moment so many seconds earlier, empty for None; texts in UTC compare as their moments do."""
    if when is None:
        return ""
    return (datetime.fromisoformat(when) - timedelta(seconds=seconds)).isoformat()


def records_since(known: Watermark, overlap: float) -> str:
    """Tell from which ``Modified_Time`` on records may be new."""
    return max(before(known["modified"], overlap), _after(known["settled"]))


def deletions_since(known: Watermark, overlap: float) -> str:
    """Tell from which ``deleted_time`` on deletions may be new."""
    return max(before(known["deleted"], overlap), _after(known["settled_deleted"]))


def compare(known: Watermark | None, snapshot: Snapshot, *, overlap: float) -> tuple[Changes, Watermark]:
    """Tell what a snapshot holds that is not known yet, and what is known from then on.

    :param known: None for the first look, which finds nothing: watching begins with it.
    :param snapshot: all since :func:`records_since` and :func:`deletions_since`; for the first look, since the overlap
        before the newest record.
    :param overlap: seconds that a record may come late, with a ``Modified_Time`` before that of others already seen.
    """
    if known is None:
        return NOTHING, _baseline(snapshot, overlap)
    gone = snapshot.deleted or []
    modified = max(filter(None, (known["modified"], _newest(snapshot.records))), default=None)
    deleted = max(filter(None, (known["deleted"], *(when for _, when in gone))), default=None)
    since, gone_since = records_since(known, overlap), deletions_since(known, overlap)
    fresh = [row for row in snapshot.records if row[2] >= since and known["seen"].get(row[0]) != row[2]]
    found = Changes(
        created=[id_ for id_, created, _ in fresh if created >= since and id_ not in known["seen"]],
        changed=[id_ for id_, created, _ in fresh if created < since or id_ in known["seen"]],
        deleted=[id_ for id_, when in gone if when >= gone_since and known["gone"].get(id_) != when],
        modified_since=min((row[2] for row in fresh), default=None),
        more=(snapshot.more and modified != known["told"])
        or (snapshot.more_deleted and deleted != known["told_deleted"]),
    )
    after: Watermark = {
        **known,
        "modified": modified,
        "deleted": deleted,
        "told": modified if snapshot.more else known["told"],
        "told_deleted": deleted if snapshot.more_deleted else known["told_deleted"],
        "seen": known["seen"] | {id_: when for id_, _, when in snapshot.records},
        "gone": known["gone"] | dict(gone),
    }
    return found, _recent(after, overlap)


def _baseline(snapshot: Snapshot, overlap: float) -> Watermark:
    """Know what was there before watching began."""
    newest, gone = _newest(snapshot.records), snapshot.deleted
    known: Watermark = {
        **no_watermark(),
        "modified": newest,
        # By Zoho's own clock: what was deleted before the newest change is known.
        "deleted": None
        if gone is None
        else max(filter(None, (newest, *(when for _, when in gone))), default=None),
        "seen": {id_: when for id_, _, when in snapshot.records},
        "gone": dict(gone or []),
    }
    # What was not read was there as well.
    return settle(known, overlap, records=snapshot.more, deletions=snapshot.more_deleted)


def settle(known: Watermark, overlap: float, *, records: bool, deletions: bool) -> Watermark:
    """Take what is known for all there is up to the newest record, or the newest deletion."""
    return _recent(
        {
            **known,
            "settled": known["modified"] if records else known["settled"],
            "settled_deleted": known["deleted"] if deletions else known["settled_deleted"],
        },
        overlap,
    )


def only(found: Changes, kinds: Collection[str], matching: Collection[str] | None = None) -> Changes:
    """Leave the kinds of changes that are asked for, and of the records those that match.

    :param matching: ids; None for all.
    """

    def left(kind: str, ids: list[str]) -> list[str]:
        return [id_ for id_ in ids if matching is None or id_ in matching] if kind in kinds else []

    return Changes(
        created=left("created", found.created),
        changed=left("changed", found.changed),
        deleted=list(found.deleted) if "deleted" in kinds else [],
        modified_since=found.modified_since,
        more=found.more,
    )


def _recent(known: Watermark, overlap: float) -> Watermark:
    """Forget what can no more be taken for new."""
    since, gone_since = records_since(known, overlap), deletions_since(known, overlap)
    return {
        **known,
        "seen": {id_: when for id_, when in known["seen"].items() if when >= since},
        "gone": {id_: when for id_, when in known["gone"].items() if when >= gone_since},
    }


def _newest(rows: list[Row]) -> str | None:
    return max((modified for _, _, modified in rows), default=None)


def _after(when: str | None) -> str:
    """Tell the moment after one; Zoho's have no fractions of a second."""
    return before(when, -1)


def _since(when: str) -> dict[str, str]:
    return {"If-Modified-Since": zoho_datetime(moment(when, "since"))} if when else {}


def _utc(value: Any) -> str:
    return moment(value, "a time in Zoho's answer").astimezone(timezone.utc).isoformat()


def _info(answer: dict[str, Any] | None, name: str) -> Any:
    return ((answer or {}).get("info") or {}).get(name)
