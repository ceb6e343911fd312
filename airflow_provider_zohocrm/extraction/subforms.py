"""Subforms: their rows, which lists leave out, read by the cheapest way (reference sheet §2.1, §2.2)."""

from __future__ import annotations

import logging
from array import array
from bisect import bisect_left
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_zohocrm.client import coql
from airflow_provider_zohocrm.client.calls import module_name, names as checked_names, record_id
from airflow_provider_zohocrm.client.versions import IDS_PER_CALL, IDS_PER_CALL_FALLBACK, PAGE_SIZE
from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoAuthenticationError,
    ZohoResponseError,
    ZohoValidationError,
)
from airflow_provider_zohocrm.extraction.schema import columns_of
from airflow_provider_zohocrm.extraction.walks import CoqlWalk
from airflow_provider_zohocrm.extraction.window import Window
from airflow_provider_zohocrm.read_ahead import read_ahead
from airflow_provider_zohocrm.storage.columns import Column

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from airflow_provider_zohocrm.client.records import Record, RecordsApi

log = logging.getLogger(__name__)

PARENT = "Parent_Id"
ROW = "Row"
"""The column that holds a row whole, where Zoho does not tell the fields of a subform."""

_REFUSED = (400, 401, 403, 404)
_CODE_TOO_MANY = "LIMIT_EXCEEDED"


class SubformField(NamedTuple):
    """A subform of a module.

    :param name: API name of the field, under which a record holds the rows.
    :param module: API name of the module whose records the rows are.
    """

    name: str
    module: str


def subform_fields(fields: Iterable[Mapping[str, Any]], wanted: str | Iterable[str]) -> list[SubformField]:
    """Find subforms in the metadata of a module's fields.

    :param fields: Zoho's field objects, see ``get_fields``.
    :param wanted: API names of subforms, or ``"all"``.
    :raises ZohoValidationError: if there is no such subform; it names those there are.
    """
    found = {
        # The name becomes part of the name of a file, so that it is not just taken from Zoho.
        field["api_name"]: SubformField(module_name(field["api_name"], "subform"), _rows_module(field))
        for field in fields
        if field.get("data_type") == "subform"
    }
    if wanted == "all":
        return list(found.values())
    asked = checked_names(wanted, "subforms") or []
    for name in asked:
        if name not in found:
            raise ZohoValidationError(
                f"subforms holds {name!r}; the module has {', '.join(found) or 'no subforms'}. Give their API names or 'all'."
            )
    return [found[name] for name in asked]


def _rows_module(field: Mapping[str, Any]) -> str:
    told = field.get("subform")
    name = told.get("module") if isinstance(told, dict) else None
    return module_name(name or field["api_name"])


def subform_columns(api: RecordsApi, subform: SubformField) -> list[Column]:
    """Type the rows of a subform by the metadata of their module; one credit.

    :return: ``id``, ``Parent_Id`` and the subform's fields; where Zoho does not tell them, ``id``, ``Parent_Id`` and
        a JSON column ``Row``.
    """
    first = [Column("id"), Column(PARENT, "lookup")]
    try:
        fields = api.get_fields(subform.module)
    except ZohoAPIError as error:
        if not _is_refusal(error):
            raise
        log.warning(
            "Zoho does not tell the fields of the subform %s (%s); its rows are written as JSON in the column %s.",
            subform.name,
            error.code or error,
            ROW,
        )
        return [*first, Column(ROW, "json")]
    taken = {column.name for column in first}
    names = [field["api_name"] for field in fields if field["api_name"] not in taken]
    return [*first, *columns_of(fields, names)]


def subform_rows(
    api: RecordsApi,
    module: str,
    subforms: Sequence[SubformField],
    columns: Mapping[str, Sequence[Column]],
    *,
    parent_ids: Iterable[str] | None = None,
) -> Iterator[tuple[str, list[Record]]]:
    """Read the rows of subforms.

    They are read by COQL from the module of the rows, 3 credits for 2,000: all of them, or those of a hundred records
    a query, whichever costs less. Where Zoho refuses that, or the records are fewer than the subforms, each record
    is read alone, for one credit.

    :param api: sends the calls.
    :param module: API name of the module that has the subforms.
    :param subforms: see :func:`subform_fields`.
    :param columns: by name of the subform, see :func:`subform_columns`.
    :param parent_ids: ids of the records whose rows are wanted, or None for all records.
    :return: names of subforms with some of their rows: dicts with ``id``, ``Parent_Id`` as ``{"id": …}`` and the
        subform's fields. A record that went meanwhile has no rows.
    """
    parents = None if parent_ids is None else ParentIds(parent_ids)
    reader = _Reader(api, module_name(module), columns, parents)
    alone: list[SubformField] = []
    for subform in subforms:
        names = [column.name for column in columns[subform.name]]
        if ROW in names or (parents is not None and len(parents) < len(subforms)):
            alone.append(subform)
            continue
        try:
            for rows in reader.by_coql(subform, names):
                yield subform.name, rows
        except _Refused as refused:
            alone.append(subform)
            log.warning(
                "Zoho refuses COQL on %s (%s); the rows are read with their records, at one credit each: %s.",
                subform.module,
                refused,
                "the number of records is not known" if parents is None else f"{len(parents)} credits",
            )
    if alone:
        yield from reader.from_records(alone)


class ParentIds:
    """Ids of records, any number, in eight bytes each.

    :param ids: 1 to 19 digits each.
    """

    def __init__(self, ids: Iterable[str]) -> None:
        numbers = array("Q", (int(record_id(one)) for one in ids))
        if any(low >= high for low, high in pairwise(numbers)):
            numbers = array("Q", sorted(set(numbers)))
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[str]:
        return map(str, self._numbers)

    def __contains__(self, one: object) -> bool:
        number = int(str(one))
        place = bisect_left(self._numbers, number)
        return place < len(self._numbers) and self._numbers[place] == number

    def chunk(self, start: int, size: int) -> tuple[str, ...]:
        """Return some of the ids, in their order."""
        return tuple(map(str, self._numbers[start : start + size]))


class _Refused(Exception):  # noqa: N818  # not an error: another way is taken
    """Zoho will not have COQL on the module of a subform."""


@dataclass(frozen=True, slots=True)
class _OfParents(Window):
    """The rows of some records."""

    ids: tuple[str, ...] = ()

    def coql(self) -> list[str]:
        return [f"{PARENT} in ({', '.join(map(coql.literal, self.ids))})"]


class _Reader:
    """Reads rows in either way."""

    def __init__(
        self,
        api: RecordsApi,
        module: str,
        columns: Mapping[str, Sequence[Column]],
        parents: ParentIds | None,
    ) -> None:
        self._api = api
        self._module = module
        self._columns = columns
        self._parents = parents
        self._in_values = IDS_PER_CALL

    def by_coql(self, subform: SubformField, names: Sequence[str]) -> Iterator[list[Record]]:
        """Read the rows of a subform from their module.

        :raises _Refused: before the first rows, if Zoho refuses.
        """
        parents = self._parents
        if parents is None or self._all_is_cheaper(subform, len(parents)):
            walk = CoqlWalk(self._api, subform.module, names, Window())
            pages = _or_refused(walk.pages())
        else:
            pages = self._by_parents(subform, names, parents)
        with closing(read_ahead(pages)) as ahead:
            for page in ahead:
                rows = [_row(names, row, _parent_of(subform, row)) for row in page]
                wanted = rows if parents is None else [row for row in rows if row[PARENT]["id"] in parents]
                if wanted:
                    yield wanted

    def _all_is_cheaper(self, subform: SubformField, parents: int) -> bool:
        if parents <= self._in_values:
            return False
        try:
            text = f"select COUNT(id) from {subform.module} where id is not null"  # noqa: S608  # COQL; a checked name
            answer, _ = self._api.coql_page(text, 1)
        except ZohoAPIError as error:
            if not _is_refusal(error):
                raise
            # Whether it is the count that Zoho will not have shows in the next query.
            return False
        count = next((one for row in answer for one in row.values() if type(one) is int), None)
        size = self._api.version.coql_page
        return count is not None and _parts(count, size) * coql.cost(size) < _parts(parents, self._in_values)

    def _by_parents(
        self, subform: SubformField, names: Sequence[str], parents: ParentIds
    ) -> Iterator[list[Record]]:
        start, size = 0, PAGE_SIZE
        while start < len(parents):
            ids = parents.chunk(start, self._in_values)
            walk = CoqlWalk(self._api, subform.module, names, _OfParents(ids=ids), page_size=size)
            found = 0
            try:
                for page in _or_refused(walk.pages()) if start == 0 else walk.pages():
                    found += len(page)
                    yield page
            except (_Refused, ZohoAPIError) as error:
                # Up to v6 `in` takes 50 values, from v7 on 100.
                cause = error.__cause__ if isinstance(error, _Refused) else error
                too_many = isinstance(cause, ZohoAPIError) and cause.code == _CODE_TOO_MANY
                if not too_many or found or len(ids) <= IDS_PER_CALL_FALLBACK:
                    raise
                self._in_values = IDS_PER_CALL_FALLBACK
                continue
            start += len(ids)
            # What a hundred records had is what the next hundred is thought to have.
            size = PAGE_SIZE if found <= PAGE_SIZE else self._api.version.coql_page

    def from_records(self, subforms: Sequence[SubformField]) -> Iterator[tuple[str, list[Record]]]:
        """Read the rows of subforms with their records, one by one."""
        names = {one.name: [column.name for column in self._columns[one.name]] for one in subforms}
        for parent in self._every_id() if self._parents is None else self._parents:
            record = self._api.get_record(self._module, parent)
            for subform in subforms:
                given = (record or {}).get(subform.name) or []
                if not isinstance(given, list):
                    raise ZohoResponseError(
                        f"record {parent} of {self._module}: the subform {subform.name} is {given!r}, not a list of rows"
                    )
                rows = [_row(names[subform.name], row, parent) for row in given]
                if rows:
                    yield subform.name, rows

    def _every_id(self) -> Iterator[str]:
        try:
            walk = _or_refused(CoqlWalk(self._api, self._module, ["id"], Window()).pages())
            first = next(walk, [])
        except _Refused:
            return (str(record["id"]) for record in self._api.get_records(self._module, ["id"]))
        return (str(record["id"]) for page in chain([first], walk) for record in page)


def _or_refused(pages: Iterator[list[Record]]) -> Iterator[list[Record]]:
    """Pass pages on; a refusal of the first shows that this way cannot be gone."""
    try:
        first = next(pages, None)
    except ZohoAPIError as error:
        if not _is_refusal(error):
            raise
        raise _Refused(error.code or str(error)) from error
    if first is not None:
        yield first
        yield from pages


def _is_refusal(error: ZohoAPIError) -> bool:
    return error.status in _REFUSED and not isinstance(error, ZohoAuthenticationError)


def _parent_of(subform: SubformField, row: Record) -> str:
    parent = row.get(PARENT)
    found = parent.get("id") if isinstance(parent, dict) else parent
    if not found:
        raise ZohoResponseError(f"row {row.get('id')} of {subform.module} names no record it belongs to")
    return str(found)


def _row(names: Sequence[str], row: Record, parent: str) -> Record:
    """Give a row the same form whichever way it came."""
    if ROW in names:
        rest = {name: value for name, value in row.items() if name not in ("id", PARENT)}
        return {"id": row.get("id"), PARENT: {"id": parent}, ROW: rest}
    found: Record = {name: row.get(name) for name in names}
    found[PARENT] = {"id": parent}
    return found


def _parts(whole: int, size: int) -> int:
    return max(1, -(-whole // size))
