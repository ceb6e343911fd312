"""Walks over all records of a module, in pages that follow each other by id."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_zohocrm.client import coql
from airflow_provider_zohocrm.client.calls import field_names, module_name
from airflow_provider_zohocrm.client.records import Record, moment
from airflow_provider_zohocrm.client.versions import FIELDS_PER_CALL
from airflow_provider_zohocrm.exceptions import ZohoAPIError, ZohoResponseError
from airflow_provider_zohocrm.read_ahead import read_ahead

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from airflow_provider_zohocrm.client.records import RecordsApi
    from airflow_provider_zohocrm.extraction.window import Window

# How many fields COQL takes is reported as 50 and as 500 (reference sheet §2.7); what Zoho answers decides.
_MOST_FIELDS = 500
_CODE_TOO_MANY_FIELDS = "LIMIT_EXCEEDED"


class Page(NamedTuple):
    """One page of a walk.

    :param records: Zoho's record objects.
    :param descending: whether it comes from the end with the highest ids.
    """

    records: list[Record]
    descending: bool = False


class CoqlWalk:
    """Reads a module by COQL: each query begins after the last id of the one before (reference sheet §2.7).

    :param api: sends the queries.
    :param module: API name.
    :param fields: API names of the fields; more than Zoho takes at once are read in groups and joined by id.
    :param window: which records.
    :param page_size: rows per query; the version's most if absent.
    """

    def __init__(
        self,
        api: RecordsApi,
        module: str,
        fields: Sequence[str],
        window: Window,
        page_size: int | None = None,
    ) -> None:
        self._api = api
        self._module = module_name(module)
        self._fields = [name for name in field_names(list(fields)) or () if name != "id"]
        self._window = window
        self._limit = _MOST_FIELDS
        self._size = page_size or api.version.coql_page

    def pages(self, *, descending: bool = False, after: str | None = None) -> Iterator[list[Record]]:
        """Walk from one end.

        :param descending: begin with the highest id.
        :param after: go on after this id.
        """
        sign = "<" if descending else ">"
        last = after
        more = True
        while more:
            conditions = ["id is not null" if last is None else f"id {sign} {coql.literal(last)}"]
            rows, more = self._read(conditions, descending)
            if not rows:
                return
            last = rows[-1]["id"]
            yield rows

    def _read(self, conditions: list[str], descending: bool) -> tuple[list[Record], bool]:
        while True:
            groups = self._groups()
            try:
                rows, more = self._query(groups[0], conditions, descending)
            except ZohoAPIError as error:
                limit = _field_limit(error)
                if limit is None or limit >= self._limit:
                    raise
                self._limit = limit
            else:
                return (self._joined(groups, rows, descending) if len(groups) > 1 else rows), more

    def _groups(self) -> list[list[str]]:
        """Split the fields; each group holds what joins them and shows a change."""
        if len(self._fields) < self._limit:
            return [["id", *self._fields]]
        rest = [name for name in self._fields if name != "Modified_Time"]
        size = self._limit - 2
        return [["id", "Modified_Time", *rest[start : start + size]] for start in range(0, len(rest), size)]

    def _query(self, fields: list[str], conditions: list[str], descending: bool) -> tuple[list[Record], bool]:
        where = " and ".join([*conditions, *self._window.coql()])
        order = "desc" if descending else "asc"
        text = f"select {', '.join(fields)} from {self._module} where {where} order by id {order} limit {self._size}"  # noqa: S608  # COQL; names are checked, values quoted
        return self._api.coql_page(text, self._size)

    def _joined(self, groups: list[list[str]], rows: list[Record], descending: bool) -> list[Record]:
        """Join the other groups of fields to the rows of a page; what changed in between is read again."""
        found: dict[str, list[Record]] = {row["id"]: [row] for row in rows}
        ends = sorted((rows[0]["id"], rows[-1]["id"]), key=int) if rows else []
        between = [f"id >= {coql.literal(ends[0])}", f"id <= {coql.literal(ends[1])}"] if ends else []
        for group in groups[1:] if ends else ():
            for row in self._query(group, between, descending)[0]:
                if row["id"] in found:
                    found[row["id"]].append(row)
        return [record for key, parts in found.items() if (record := self._whole(groups, key, parts))]

    def _whole(self, groups: list[list[str]], key: str, parts: list[Record]) -> Record | None:
        unchanged = len({part.get("Modified_Time") for part in parts}) == 1
        if unchanged and len(parts) == len(groups):
            return {name: value for part in parts for name, value in part.items()}
        record = self._api.get_record(self._module, key)
        return record if record is not None and self._fits(record) else None

    def _fits(self, record: Record) -> bool:
        before = self._window.before
        return before is None or moment(record.get("Modified_Time"), "Modified_Time") < before


def _field_limit(error: ZohoAPIError) -> int | None:
    """Read how many fields COQL takes out of its refusal of more."""
    if error.code != _CODE_TOO_MANY_FIELDS:
        return None
    told = str(error.details.get("limit")) if isinstance(error.details, dict) else ""
    return int(told) if told.isdigit() and int(told) > 2 else FIELDS_PER_CALL


def both_ends(
    ascending: Iterator[list[Record]],
    descending: Iterator[list[Record]],
    *,
    after: str | None = None,
    before: str | None = None,
) -> Iterator[Page]:
    """Walk from both ends at once, in a thread each, until the two meet.

    :param ascending: pages in the order of their ids.
    :param descending: pages in the opposite order.
    :param after: id up to which all is read already.
    :param before: id from which on all is read already.
    :return: pages of both, each record once.
    :raises ZohoResponseError: if Zoho did not keep the order, so that where they meet cannot be told.
    """
    low, high = int(after or -1), int(before or 1 << 70)
    up, down = read_ahead(ascending), read_ahead(descending)
    with closing(up), closing(down):
        while True:
            for end, rising in ((up, True), (down, False)):
                page = next(end, None)
                if page is None:
                    return
                ids = _in_order(page, rising=rising)
                # A page may repeat records of the one before it.
                fresh = [record for record, number in zip(page, ids, strict=True) if low < number < high]
                yield Page(fresh, descending=not rising)
                if ids and (ids[-1] >= high if rising else ids[-1] <= low):
                    return
                if ids and rising:
                    low = max(low, ids[-1])
                elif ids:
                    high = min(high, ids[-1])


def _in_order(page: list[Record], *, rising: bool) -> list[int]:
    ids = [int(record["id"]) for record in page]
    if ids != sorted(ids, reverse=not rising):
        raise ZohoResponseError(
            "Zoho did not return the records in the order of their ids, so that a walk from both ends cannot tell "
            "where it ends. Read the module with strategy='bulk' or 'coql'."
        )
    return ids
