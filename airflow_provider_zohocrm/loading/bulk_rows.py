"""The rows of the input on their way into the files of bulk write, and beside their results again."""

from __future__ import annotations

from functools import cached_property
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_zohocrm.client.bulk_write import MAX_CSV_BYTES, write_job_body
from airflow_provider_zohocrm.client.calls import module_name
from airflow_provider_zohocrm.client.versions import RECORDS_PER_BULK_WRITE
from airflow_provider_zohocrm.exceptions import ZohoStorageError, ZohoValidationError
from airflow_provider_zohocrm.loading.bulk_progress import packed, unpacked
from airflow_provider_zohocrm.loading.csv_zip import CsvZip, csv_cells
from airflow_provider_zohocrm.loading.inputs import Position
from airflow_provider_zohocrm.loading.keys import SYSTEM_FIELDS, duplicate_check
from airflow_provider_zohocrm.loading.outcome import UNKNOWN
from airflow_provider_zohocrm.loading.values import Preparation, Rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from airflow_provider_zohocrm.client.metadata import MetadataApi
    from airflow_provider_zohocrm.loading.bulk_progress import LoadFile
    from airflow_provider_zohocrm.loading.bulk_results import Said
    from airflow_provider_zohocrm.loading.inputs import InputRow, Inputs

_NO_SUBFORMS = (
    "bulk write takes no subforms: write records with their rows 100 a call, e.g. by ZohoUpsertOperator"
)
# Rows of one file where most are refused, as a multiple of those it may hold.
_MOST_REFUSED = 4
_COMPUTED = ("formula", "autonumber", "rollup_summary")


class BulkTarget(NamedTuple):
    """What is done with the records; made by :meth:`of`.

    :param module: API name.
    :param operation: ``insert``, ``update`` or ``upsert``.
    :param find_by: the field by which records are found; None for insert.
    :param ignore_empty: whether an empty cell leaves its field alone.
    :param callback: address that Zoho posts to when a job has ended.
    :param max_rows: most rows in a file.
    :param max_bytes: most bytes in a CSV.
    """

    module: str
    operation: str
    find_by: str | None = None
    ignore_empty: bool = True
    callback: str | Mapping[str, str] | None = None
    max_rows: int = RECORDS_PER_BULK_WRITE
    max_bytes: int = MAX_CSV_BYTES

    @classmethod
    def of(
        cls,
        module: str,
        operation: str,
        *,
        find_by: str | None = None,
        ignore_empty: bool = True,
        callback: str | Mapping[str, str] | None = None,
    ) -> BulkTarget:
        """Check what is asked for.

        :param find_by: None for ``id``, and for upsert the first field by which Zoho looks for duplicates.
        :raises ZohoValidationError: for what Zoho would refuse.
        """
        module_name(module)
        if find_by is None and operation != "insert":
            # The first by which Zoho would look for the record of an upsert.
            named = [{"api_name": name} for name in SYSTEM_FIELDS]
            find_by = "id" if operation == "update" else duplicate_check(module, named, None)[1]
        columns = ["id"] if find_by is None else [find_by]
        write_job_body(module, operation, "0", fields=columns, find_by=find_by, callback=callback)
        return cls(module, operation, find_by, ignore_empty, callback)


class Prepared(NamedTuple):
    """What turns rows into records.

    :param preparation: makes the records.
    :param computed: the fields that are left out of files, as Zoho computes them: it ignores them in records, and
        refuses a whole job for one of them (reference sheet §5).
    :param subforms: the fields that no record may have.
    """

    preparation: Preparation
    computed: frozenset[str]
    subforms: frozenset[str]


def preparation(
    api: MetadataApi, target: BulkTarget, *, mapping: Mapping[str, str] | None, validate: bool
) -> Prepared:
    """Make what turns rows into records; costs a call for the metadata.

    :raises ZohoValidationError: when a column is mapped to a field that is not there, or to a subform.
    """
    fields = api.get_fields(target.module)
    subforms = frozenset(field["api_name"] for field in fields if field.get("data_type") == "subform")
    for column, name in (mapping or {}).items():
        if name in subforms:
            raise ZohoValidationError(f"mapping gives column {column!r} the subform {name}; {_NO_SUBFORMS}")
    made = Preparation(
        fields,
        target.operation,
        mapping=mapping,
        ignore_empty=target.ignore_empty,
        validate=validate,
        checked=None if target.find_by is None else [target.find_by],
        external_id=target.find_by if target.operation == "update" and target.find_by != "id" else None,
    )
    return Prepared(made, computed_fields(fields) - {"id", target.find_by}, subforms)


def computed_fields(fields: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Name the fields that Zoho computes.

    :param fields: Zoho's field objects.
    """
    return frozenset(field["api_name"] for field in fields if _is_computed(field))


def _is_computed(field: Mapping[str, Any]) -> bool:
    kind = str(field.get("data_type"))
    return bool(field.get("read_only") or field.get("field_read_only") or kind in _COMPUTED)


class After(NamedTuple):
    """Where a file ended, and whether the input did."""

    position: Position
    ended: bool


class FileRows:
    """The rows of the input, cut into files, and joined with results."""

    def __init__(self, target: BulkTarget, inputs: Inputs, prepared: Callable[[], Prepared]) -> None:
        self._target = target
        self._make_prepared = prepared
        # Two readers, each of which mostly goes on where it was: what is before the present file is not read again.
        self._to_cut = _Reader(inputs)
        self._to_join = _Reader(inputs)
        self.same_fields = target.operation != "insert" and not target.ignore_empty
        """Whether a record that lacks a field would have it emptied."""

    @cached_property
    def _prepared(self) -> Prepared:
        return self._make_prepared()

    def cut(self, file: LoadFile, packing: CsvZip, rows: int | None) -> After:
        """Fill a file with rows from its start, and note which were refused.

        :param rows: number of rows to take, all of which are to fit; None for as many as fit.
        """
        self._to_cut.seek(Position(*file["start"]), file["index"])
        refused, keyless, ended, taken = [], False, False, 0
        most = _MOST_REFUSED * self._target.max_rows if rows is None else rows
        while taken < most:
            before = self._to_cut.position
            row = self._to_cut.next()
            if row is None:
                ended = True
                break
            cells = self._cells(row)
            added = cells if isinstance(cells, Rejection) else packing.add(cells)
            if added is False:
                self._to_cut.put_back(row, before)
                break
            if isinstance(added, Rejection):
                refused.append(taken)
            elif self._target.find_by and not cells.get(self._target.find_by):  # type: ignore[union-attr]  # not refused
                keyless = True
            taken += 1
        if rows is not None and taken < rows:
            raise ZohoStorageError(
                f"The {rows} rows from {file['index']} on no longer fit in one file: the input or the fields of "
                f"{self._target.module} have changed since its first try. Clear the task to begin again."
            )
        file["rows"], file["refused"] = taken, packed(refused)
        file["harmless"] = self._target.operation != "insert" and not keyless
        return After(self._to_cut.position, ended)

    def joined(self, file: LoadFile, results: Iterator[Said]) -> Iterator[tuple[InputRow, Said]]:
        """Put the results of a job beside its rows."""
        refused = unpacked(file["refused"])
        for number, row in enumerate(self._of(file)):
            yield row, self._refusal(file, row) if number in refused else next(results)

    def refused(self, file: LoadFile) -> Iterator[tuple[InputRow, Said]]:
        """Say why the rows of a file were refused, which all were."""
        return self.joined(file, iter(()))

    def unknown(self, file: LoadFile, why: str) -> Iterator[tuple[InputRow, Said]]:
        """Say of the rows of a file that what became of them is not known."""
        job = f"bulk write job {file['job_id']}" if file["job_id"] else "a bulk write job"
        said = Rejection(
            UNKNOWN,
            f"It may have been written by {job}: {why}. Look for it in Zoho before it is sent again.",
            {"job_id": file["job_id"], "file_id": file["file_id"]},
            "",
        )
        return self.joined(file, repeat(said))

    def _of(self, file: LoadFile) -> Iterator[InputRow]:
        self._to_join.seek(Position(*file["start"]), file["index"])
        for _ in range(file["rows"]):
            row = self._to_join.next()
            if row is None:
                raise ZohoStorageError("The input has fewer rows than when they were sent.")
            yield row

    def _cells(self, row: InputRow) -> dict[str, str] | Rejection:
        preparation, computed, subforms = self._prepared
        record = preparation.prepare(row.values, texts=row.texts)
        if isinstance(record, Rejection):
            return record
        if not subforms.isdisjoint(record):
            name = min(subforms.intersection(record))
            return Rejection("INVALID_DATA", _NO_SUBFORMS, {"api_name": name}, f"$.{name}")
        find_by = self._target.find_by
        if self._target.operation == "upsert" and find_by != "id" and record.get("id"):
            # Zoho would look by the other field alone, and insert the record that it was to update.
            why = f"bulk write would find it by {find_by}, not by its id: set find_by (duplicate_check_fields of ZohoUpsertOperator) to id, or map the column to None"
            return Rejection("INVALID_DATA", why, {"api_name": "id"}, "$.id")
        cells = csv_cells({name: value for name, value in record.items() if name not in computed})
        if find_by is None or isinstance(cells, Rejection) or cells.get(find_by):
            return cells
        if self._target.operation == "update":
            details = {"api_name": find_by}
            return Rejection("MANDATORY_NOT_FOUND", "required field not found", details, f"$.{find_by}")
        # Without a key it is a new record, and the column is needed for the others.
        return {**cells, find_by: ""}

    def _refusal(self, file: LoadFile, row: InputRow) -> Rejection:
        cells = self._cells(row)
        if isinstance(cells, Rejection):
            return cells
        columns = file["columns"] if self.same_fields else None
        with CsvZip(same_fields=self.same_fields, columns=columns, max_bytes=self._target.max_bytes) as trial:
            said = trial.add(cells)
        if isinstance(said, Rejection):
            return said
        return Rejection(
            "NOT_SENT", "it was refused when its file was written, and would not be now", {}, "$"
        )


class _Reader:
    """Reads rows from any position, and cheaply from where it is."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._rows: Iterator[InputRow] | None = None
        self.position = Position(0, 0)

    def seek(self, position: Position, index: int) -> None:
        """Go to a position.

        :param index: number of the row there over the whole input.
        """
        if self._rows is None or position != self.position:
            self._rows = self._inputs.rows(position, index=index)
            self.position = position

    def next(self) -> InputRow | None:
        """Read the next row; None at the end."""
        row = next(self._rows, None) if self._rows is not None else None
        if row is not None:
            self.position = row.position
        return row

    def put_back(self, row: InputRow, before: Position) -> None:
        """Have a row read again.

        :param before: the position before it.
        """
        self._rows = chain((row,), self._rows or ())
        self.position = before
