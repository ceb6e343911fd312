"""Whether bulk write does the same to the rows of an upsert as calls with records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_zohocrm.client.bulk_write import MAX_COLUMNS
from airflow_provider_zohocrm.loading.bulk_rows import computed_fields
from airflow_provider_zohocrm.loading.csv_zip import csv_cells
from airflow_provider_zohocrm.loading.keys import duplicate_check
from airflow_provider_zohocrm.loading.values import Preparation, Rejection, mandatory_fields

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_zohocrm.loading.inputs import Inputs
    from airflow_provider_zohocrm.loading.request import LoadRequest

_EMPTY = (None, "")


class BulkWay(NamedTuple):
    """How bulk write does what is asked for.

    :param operation: ``upsert``, or ``update`` where each row names its record by ``id``.
    :param find_by: the field by which records are found; None for the module's system field.
    """

    operation: str
    find_by: str | None


def bulk_way(inputs: Inputs, request: LoadRequest, fields: Sequence[Mapping[str, Any]]) -> BulkWay | str:
    """Read the rows of an upsert, and tell how bulk write leaves the records that calls with records leave.

    Calls look for a record by its ``id``, then by the fields of the duplicate check, one after the other (reference sheet
    §3.3); a job of bulk write looks by one field (§5). Memory does not grow with the number of rows. Reading ends at the
    first row that bulk write cannot do.

    :param fields: Zoho's field objects of the module.
    :return: how, or why not.
    :raises ZohoStorageError: for a row that cannot be read.
    """
    survey = _Survey(request, fields)
    for row in inputs.rows():
        obstacle = survey.look(row.index, row.values, texts=row.texts)
        if obstacle:
            return obstacle
    return survey.way()


class _Survey:
    """What was seen of the rows so far."""

    def __init__(self, request: LoadRequest, fields: Sequence[Mapping[str, Any]]) -> None:
        self._keys = duplicate_check(request.module, fields, request.duplicate_check_fields)
        self._preparation = Preparation(
            fields,
            request.operation,
            mapping=request.mapping,
            ignore_empty=request.ignore_empty,
            validate=request.validate,
            checked=self._keys,
        )
        # What a call with records sends of values that nobody checks.
        self._unconverted = (
            None
            if request.validate
            else Preparation(
                None,
                request.operation,
                mapping=request.mapping,
                ignore_empty=request.ignore_empty,
                validate=False,
                checked=self._keys,
            )
        )
        self._computed = computed_fields(fields).difference(self._keys)
        self._known = {"id", *(field["api_name"] for field in fields)}
        self._mandatory = mandatory_fields(fields)
        self._ignore_empty = request.ignore_empty
        self._first: set[str] | None = None
        self._found_by: str | None = None
        self._keyless = False

    def look(self, index: int, values: Mapping[str, Any], *, texts: bool) -> str:
        """Look at a row.

        :return: why bulk write would do something else with it, or an empty text.
        """
        record = self._preparation.prepare(values, texts=texts)
        if isinstance(record, Rejection):
            # It is sent in neither way.
            return ""
        why = self._key_obstacle(record) or self._value_obstacle(record)
        if not why and self._unconverted is not None and not texts:
            why = _difference(record, self._unconverted.prepare(values, texts=False))
        return f"row {index} {why}" if why else ""

    def way(self) -> BulkWay | str:
        """Tell what follows from all rows."""
        if self._found_by is None:
            return "no row has a field to be found by"
        if self._found_by != "id":
            return BulkWay("upsert", self._found_by)
        # Without an id there would be a new record.
        return "only some rows have an id" if self._keyless else BulkWay("update", "id")

    def _key_obstacle(self, record: Mapping[str, Any]) -> str:
        used = [name for name in self._keys if record.get(name) not in _EMPTY]
        if "id" in used:
            used = ["id"]
        if not used:
            self._keyless = True
            return ""
        if len(used) > 1:
            return f"may be found by {' or by '.join(used)}"
        self._found_by = self._found_by or used[0]
        return "" if used[0] == self._found_by else f"is found by {used[0]}, others by {self._found_by}"

    def _value_obstacle(self, record: Mapping[str, Any]) -> str:
        unknown = record.keys() - self._known
        if unknown:
            return f"has {min(unknown)}, which bulk write does not know"
        if self._found_by != "id":
            lacking = [name for name in self._mandatory if record.get(name) in _EMPTY]
            if lacking:
                return f"has no {lacking[0]}, which bulk write wants of each row"
        cells = csv_cells({name: value for name, value in record.items() if name not in self._computed})
        if isinstance(cells, Rejection):
            return f"has a {cells.details['api_name']} that bulk write cannot take: {cells.message}"
        if len(cells) > MAX_COLUMNS:
            return f"has more than {MAX_COLUMNS} fields"
        for name, cell in cells.items():
            if self._ignore_empty and not cell:
                return f"empties {name}, which bulk write would leave alone"
            if "\0" in cell:
                return f"has a NUL character in {name}"
        if self._ignore_empty:
            return ""
        self._first = self._first or set(cells)
        # An empty cell empties its field.
        return "" if self._first == cells.keys() else "has other fields than the first"


def _difference(converted: Mapping[str, Any], given: Mapping[str, Any] | Rejection) -> str:
    """Tell which value bulk write would send in another form, as a cell needs one; empty for none."""
    if isinstance(given, Rejection):
        return "has no form for bulk write"
    for name in sorted(converted.keys() | given.keys()):
        one, other = converted.get(name), given.get(name)
        if type(one) is not type(other) or one != other:
            return f"has a {name} that bulk write would convert"
    return ""
