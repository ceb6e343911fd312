"""What has changed in a module since it was last looked at: the calls that tell it, and what follows from the answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, TypedDict

from airflow_provider_zohocrm.client import coql
from airflow_provider_zohocrm.client.answers import records_of
from airflow_provider_zohocrm.client.calls import Call, module_name
from airflow_provider_zohocrm.client.jsontext import zoho_datetime
from airflow_provider_zohocrm.client.records import moment
from airflow_provider_zohocrm.client.versions import CREDITS_PER_DELETED_PAGE, PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from airflow_provider_zohocrm.client.versions import ApiVersion


class Watermark(TypedDict):
    """Up to where changes are known; plain JSON. Moments are ISO 8601 in UTC.

    ``modified`` is the newest ``Modified_Time``, ``deleted`` the newest ``deleted_time``, None before the first;
    ``seen`` and ``gone`` are the moments, by id, of records changed or deleted within the overlap before them.
    """

    modified: str | None
    deleted: str | None
    seen: dict[str, str]
    gone: dict[str, str]


@dataclass
class Snapshot:
    """The newest changes of a module.

    :param records: id, ``Created_Time`` and ``Modified_Time`` of the records modified last, at most 200.
    :param deleted: id and ``deleted_time`` of what was deleted at or after ``deleted_since``.
    :param deleted_since: None for the 60 days that Zoho keeps.
    :param more: whether there may be more of either.
    """

    records: list[tuple[str, str, str]]
    deleted: list[tuple[str, str]]
    deleted_since: str | None = None
    more: bool = False

    @property
    def newest(self) -> str | None:
        """The newest ``Modified_Time``."""
        return max((modified for _, _, modified in self.records), default=None)


@dataclass(frozen=True)
class Changes:
    """What is new: ids by kind, the oldest ``Modified_Time`` among the records, and whether there may be more."""

    created: list[str]
    changed: list[str]
    deleted: list[str]
    modified_since: str | None
    more: bool

    def __bool__(self) -> bool:
        return bool(self.created or self.changed or self.deleted)


NOTHING = Changes([], [], [], None, more=False)


def newest_call(version: ApiVersion, module: str) -> Call:
    """Build the call for the 200 records modified last: 1 credit (reference sheet §2.1)."""
    params = {
        "fields": "id,Created_Time,Modified_Time",
        "sort_by": "Modified_Time",
        "sort_order": "desc",
        "per_page": str(PAGE_SIZE),
    }
    return Call("GET", f"/crm/{version.name}/{module_name(module)}", params)


def deleted_call(version: ApiVersion, module: str, since: str | None) -> Call:
    """Build the call for what was deleted at or after a moment: 2 credits (reference sheet §2.3)."""
    headers = {} if since is None else {"If-Modified-Since": zoho_datetime(moment(since, "since"))}
    return Call(
        "GET",
        f"/crm/{version.name}/{module_name(module)}/deleted",
        {"type": "all", "per_page": str(PAGE_SIZE), "page": "1"},
        headers=headers,
        credits=CREDITS_PER_DELETED_PAGE,
    )


def matching_call(version: ApiVersion, module: str, criteria: str, since: str) -> Call:
    """Build the call for the records that meet a condition and were modified at or after a moment: 1 credit (§2.7).

    :param criteria: a COQL condition, e.g. ``Stage = 'Closed Won'``.
    """
    bound = coql.literal(zoho_datetime(moment(since, "since")))
    query = (
        f"select id from {module_name(module)} where (Modified_Time >= {bound} and ({criteria}))"  # noqa: S608  # COQL; the module is checked, the bound quoted, the condition checked by coql.checked_condition
        f" order by Modified_Time desc limit {PAGE_SIZE}"
    )
    body = {"select_query": query}
    return Call("POST", f"/crm/{version.name}/coql", json=body, credits=coql.cost(PAGE_SIZE))


def read_newest(call: Call, answer: dict[str, Any] | None) -> tuple[list[tuple[str, str, str]], bool]:
    """Read the answer of :func:`newest_call`.

    :return: the records, and whether there are more.
    """
    rows = [
        (str(row["id"]), _utc(row.get("Created_Time")), _utc(row.get("Modified_Time")))
        for row in records_of(answer, call)
    ]
    return rows, _more(answer)


def read_deleted(call: Call, answer: dict[str, Any] | None) -> tuple[list[tuple[str, str]], bool]:
    """Read the answer of :func:`deleted_call`.

    :return: what was deleted, and whether there is more.
    """
    return [(str(row["id"]), _utc(row.get("deleted_time"))) for row in records_of(answer, call)], _more(
        answer
    )


def read_ids(call: Call, answer: dict[str, Any] | None) -> set[str]:
    """Read the ids of an answer."""
    return {str(row["id"]) for row in records_of(answer, call)}


def compare(known: Watermark | None, snapshot: Snapshot, *, overlap: float) -> tuple[Changes, Watermark]:
    """Tell what a snapshot holds that is not known yet, and what is known from then on.

    :param known: None for the first look, which finds nothing: watching begins with it.
    :param overlap: seconds that a record may come late, with a ``Modified_Time`` before that of others already seen.
    """
    if known is None:
        known = Watermark(modified=None, deleted=None, seen={}, gone={})
        found = NOTHING
    else:
        since, gone_since = _before(known["modified"], overlap), _before(known["deleted"], overlap)
        fresh = [row for row in snapshot.records if row[2] >= since and known["seen"].get(row[0]) != row[2]]
        found = Changes(
            created=[id_ for id_, created, _ in fresh if created >= since and id_ not in known["seen"]],
            changed=[id_ for id_, created, _ in fresh if created < since or id_ in known["seen"]],
            deleted=[
                id_ for id_, when in snapshot.deleted if when >= gone_since and id_ not in known["gone"]
            ],
            modified_since=min((row[2] for row in fresh), default=None),
            more=snapshot.more and len(fresh) == len(snapshot.records),
        )
    modified = max(filter(None, (known["modified"], snapshot.newest)), default=None)
    # Before the first deletion, what was deleted since the newest change is known: nothing.
    times = (known["deleted"], *(when for _, when in snapshot.deleted))
    deleted = max(filter(None, times), default=snapshot.deleted_since)
    return found, Watermark(
        modified=modified,
        deleted=deleted,
        seen=_recent(known["seen"], ((id_, when) for id_, _, when in snapshot.records), modified, overlap),
        gone=_recent(known["gone"], snapshot.deleted, deleted, overlap),
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


def _recent(
    known: dict[str, str], rows: Iterable[tuple[str, str]], newest: str | None, overlap: float
) -> dict[str, str]:
    since = _before(newest, overlap)
    return {id_: when for id_, when in (known | dict(rows)).items() if when >= since}


def _before(when: str | None, seconds: float) -> str:
    """Tell the moment so many seconds earlier; texts in UTC compare as their moments do."""
    if when is None:
        return ""
    return (datetime.fromisoformat(when) - timedelta(seconds=seconds)).isoformat()


def _utc(value: Any) -> str:
    return moment(value, "a time in Zoho's answer").astimezone(timezone.utc).isoformat()


def _more(answer: dict[str, Any] | None) -> bool:
    return bool(((answer or {}).get("info") or {}).get("more_records"))
