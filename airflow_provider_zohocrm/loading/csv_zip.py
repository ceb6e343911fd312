"""The file that a bulk write job takes: a zip with one CSV, written as a stream."""

from __future__ import annotations

import csv
import tempfile
import zipfile
from decimal import Decimal
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from airflow_provider_zohocrm.client.bulk_write import MAX_COLUMNS, MAX_CSV_BYTES
from airflow_provider_zohocrm.client.versions import RECORDS_PER_BULK_WRITE
from airflow_provider_zohocrm.loading.values import Rejection
from airflow_provider_zohocrm.storage.cells import to_text
from airflow_provider_zohocrm.storage.csv_rows import LONGEST_CELL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

    from typing_extensions import Self

_MEMBER = "records.csv"
# What is packed is sent once: the fastest level makes files a fifth larger, in a third of the time.
_LEVEL = 1
_IN_MEMORY = 1 << 20
_CHUNK = 1 << 18
_SEPARATOR = ";"


def csv_cells(record: Mapping[str, Any]) -> dict[str, str] | Rejection:
    """Write the values of a record as bulk write takes them (reference sheet §5).

    :param record: values in the shape of Zoho's JSON. Null and an empty text are an empty cell, the values of a
        multi-select are joined by ``;``, and a lookup is its id.
    :return: the texts by field, or why the record has none.
    """
    cells = {}
    for name, value in record.items():
        if type(value) is str:
            cells[name] = value
            continue
        try:
            cells[name] = _cell(value)
        except (TypeError, ValueError) as error:
            return _refused(name, str(error))
    return cells


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        if not all(isinstance(one, str) for one in value):
            raise ValueError("bulk write takes no subforms and no lists but those of a multi-select")
        if any(_SEPARATOR in one for one in value):
            raise ValueError("bulk write joins the values of a multi-select by ';', which one of them holds")
        return _SEPARATOR.join(value)
    if isinstance(value, dict):
        if not value.get("id"):
            raise ValueError("bulk write takes a lookup by its id")
        return str(value["id"])
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, Decimal):
        # Digits only: no source tells whether bulk write reads an exponent.
        return format(value, "f")
    return to_text(value) or ""


def _refused(name: str, why: str) -> Rejection:
    return Rejection("INVALID_DATA", why, {"api_name": name}, f"$.{name}")


class CsvZip:
    """Takes the rows of one file; a context manager.

    Fields may turn up at any row; those before it have an empty cell there.

    :param same_fields: whether all rows must have the same fields, as an empty cell would empty its field.
    :param columns: these fields, where they are known.
    :param max_rows: most rows.
    :param max_bytes: most bytes of the CSV before it is packed.
    """

    def __init__(
        self,
        *,
        same_fields: bool = False,
        columns: Iterable[str] | None = None,
        max_rows: int = RECORDS_PER_BULK_WRITE,
        max_bytes: int = MAX_CSV_BYTES,
    ) -> None:
        self.rows = 0
        """Number of rows."""
        self.size = 0
        """Bytes of the CSV."""
        self._columns: dict[str, None] = {}
        self._same_fields = same_fields
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        # Rows written while there were as many columns as the number beside them.
        self._segments: list[tuple[BinaryIO, int]] = []
        self._line = _Line()
        self._writer = csv.writer(self._line)
        if columns is not None:
            self._widen(columns)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for segment, _ in self._segments:
            segment.close()

    @property
    def columns(self) -> list[str]:
        """The fields, in the order of the columns."""
        return list(self._columns)

    def add(self, cells: Mapping[str, str]) -> bool | Rejection:
        """Take a row.

        :param cells: texts by field, from :func:`csv_cells`.
        :return: True, False if the file is full, or why no file can take the row.
        """
        if self._same_fields and self._columns and cells.keys() != self._columns.keys():
            name = min(cells.keys() ^ self._columns.keys())
            return _refused(
                name,
                "with ignore_empty=False all rows of a bulk write need the same fields, as an empty cell empties a field",
            )
        new = [name for name in cells if name not in self._columns]
        width = len(self._columns) + len(new)
        if len(cells) > MAX_COLUMNS:
            details = {"limit": MAX_COLUMNS}
            return Rejection("LIMIT_EXCEEDED", "bulk write takes 200 fields of a record", details, "$")
        try:
            self._writer.writerow(
                [*[cells.get(name, "") for name in self._columns], *[cells[name] for name in new]]
            )
            data = self._line.data
            grown = sum(len(name.encode()) + 3 for name in new) + len(new) * self.rows
        except UnicodeEncodeError:
            return _refused(next(iter(cells)), "a text of the record is no Unicode")
        if b"\0" in data:
            return _refused(next(iter(cells)), "a text of the record holds a NUL character")
        if len(data) + grown > self._max_bytes and not self.rows:
            details = {"limit": self._max_bytes}
            return Rejection("FILE_TOO_LARGE", "the record is larger than a file of bulk write", details, "$")
        full = self.rows >= self._max_rows or width > MAX_COLUMNS
        if full or self.size + len(data) + grown > self._max_bytes:
            return False
        if new or not self._segments:
            self._widen(new)
            self.size += len(new) * self.rows
        self._segments[-1][0].write(data)
        self.rows += 1
        self.size += len(data)
        return True

    def write_to(self, target: BinaryIO) -> None:
        """Write the zip.

        :param target: seekable binary file.
        """
        with (
            zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive,
            archive.open(_MEMBER, "w") as member,
        ):
            self._writer.writerow(self.columns)
            member.write(self._line.data)
            for segment, width in self._segments:
                segment.seek(0)
                if width == len(self._columns):
                    while chunk := segment.read(_CHUNK):
                        member.write(chunk)
                else:
                    self._pad(segment, width, cast("BinaryIO", member))

    def _widen(self, new: Iterable[str]) -> None:
        names = list(new)
        self._columns.update(dict.fromkeys(names))
        self.size += sum(len(name.encode()) + 3 for name in names)
        if self._segments and not self._segments[-1][0].tell():
            self._segments.pop()[0].close()
        segment = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  # closed by __exit__
        self._segments.append((cast("BinaryIO", segment), len(self._columns)))

    def _pad(self, segment: BinaryIO, width: int, member: BinaryIO) -> None:
        """Copy rows that were written before the last columns were known."""
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST_CELL))
        padding = [""] * (len(self._columns) - width)
        for row in csv.reader(line.decode() for line in segment):
            self._writer.writerow([*row, *padding])
            member.write(self._line.data)


class _Line:
    """Where the CSV writer writes: keeps the line written last, as bytes."""

    data = b""

    def write(self, text: str) -> None:
        self.data = text.encode()
