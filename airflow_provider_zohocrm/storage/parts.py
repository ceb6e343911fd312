"""Records spread over numbered files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from airflow_provider_zohocrm.exceptions import ZohoValidationError
from airflow_provider_zohocrm.storage.formats import file_format, numbered_path
from airflow_provider_zohocrm.storage.writers import RecordWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from typing_extensions import Self

    from airflow_provider_zohocrm.storage.columns import Column
    from airflow_provider_zohocrm.storage.targets import FileInfo
    from airflow_provider_zohocrm.storage.values import OnTypeError


class Part(Protocol):
    """One file of several."""

    records: int

    def finish(self) -> None:
        """Complete the file under its temporary name."""

    def publish(self) -> FileInfo:
        """Let the file appear under its final name."""

    def discard(self) -> None:
        """Remove what is not published."""


PartT = TypeVar("PartT", bound=Part)


class Parts(Generic[PartT]):
    """Opens numbered files one after the other, each when the one before is full.

    :param path: path of the first file.
    :param open_part: makes a part, from its path.
    :param max_records: most records in a file; None for one file of any size.
    :param first: number of the first file, from 1.
    :param on_full: takes a part that is full.
    """

    def __init__(
        self,
        path: str,
        open_part: Callable[[str], PartT],
        *,
        max_records: int | None,
        first: int,
        on_full: Callable[[PartT], None],
    ) -> None:
        if max_records is not None and max_records < 1:
            raise ZohoValidationError(f"A file holds at least 1 record, not {max_records}.")
        numbered_path(path, first)
        self._path = path
        self._open_part = open_part
        self._max_records = max_records
        self._number = first
        self._on_full = on_full
        self.current: PartT | None = None
        """The part that has room, if one is open."""

    def open(self) -> PartT:
        """Find a part with room.

        :return: the open part, or the next one.
        """
        if self.current is None:
            self.current = self._open_part(numbered_path(self._path, self._number))
            self._number += 1
        return self.current

    def slices(self, rows: int) -> Iterator[tuple[PartT, int, int]]:
        """Spread the next records over parts; the caller writes each slice before it asks for the next.

        :param rows: number of records.
        :return: iterator over part, index of the first record for it, and index after the last.
        """
        start = 0
        while start < rows:
            part = self.open()
            room = rows if self._max_records is None else self._max_records - part.records
            stop = min(rows, start + room)
            yield part, start, stop
            start = stop
            if part.records == self._max_records:
                self.current = None
                self._on_full(part)


class RecordParts:
    """Spreads records over numbered files, which appear together at the end.

    A context manager. When the block raises, no file appears; of those that ``on_file`` was told, which is for who goes
    on after them, only the unfinished one vanishes. Without records there is one empty file, if the numbers start at 1.

    :param path: path of the first file; the others have a number before the suffix (see :func:`numbered_path`).
    :param columns: columns, or names of columns (see :func:`open_record_writer`).
    :param max_records: most records in a file; None for one file of any size.
    :param on_type_error: as for :func:`open_record_writer`.
    :param first: number of the first file, from 1.
    :param on_file: called with each file, which then appears as soon as it is full.
    :raises ZohoValidationError: when the format is not known, or a number is below 1.
    :raises ZohoConfigurationError: when a package that the format needs is not installed.
    """

    def __init__(
        self,
        path: str,
        columns: Sequence[str | Column] | None,
        *,
        max_records: int | None = None,
        on_type_error: OnTypeError = "fail",
        first: int = 1,
        on_file: Callable[[FileInfo], None] | None = None,
    ) -> None:
        file_format(path)
        self.files: list[FileInfo] = []
        """The published files."""
        self._on_file = on_file
        self._empty_file = first == 1
        self._full: list[RecordWriter] = []
        self._set_aside = 0
        self._parts: Parts[RecordWriter] = Parts(
            path,
            lambda name: RecordWriter(name, columns, on_type_error=on_type_error),
            max_records=max_records,
            first=first,
            on_full=self._finish if on_file is None else self._publish,
        )

    def __enter__(self) -> Self:
        if self._empty_file:
            # A place that cannot be written to is told before the first record is asked for.
            self._parts.open()
        return self

    def write(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Write records in the order given.

        :param records: dicts as Zoho's JSON is parsed into.
        :raises ZohoValidationError: when one is not a mapping, or the columns are not right.
        :raises ZohoTypeError: when a value does not fit its column.
        :raises ZohoStorageError: when a file cannot be written.
        """
        for part, start, stop in self._parts.slices(len(records)):
            part.write(records[start:stop])

    def write_lines(self, lines: Sequence[Any]) -> None:
        """Write records that are JSON already, see :meth:`RecordWriter.write_lines`."""
        for part, start, stop in self._parts.slices(len(lines)):
            part.write_lines(lines[start:stop])

    @property
    def records(self) -> int:
        """Number of records written so far."""
        return sum(file["records"] for file in self.files) + sum(part.records for part in self._waiting)

    @property
    def type_errors(self) -> int:
        """Number of values set aside so far."""
        return self._set_aside + sum(part.type_errors for part in self._waiting)

    @property
    def _waiting(self) -> list[RecordWriter]:
        return self._full + ([self._parts.current] if self._parts.current else [])

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        waiting, self._full, self._parts.current = self._waiting, [], None
        try:
            if kind is None:
                # One that cannot be completed keeps all of them back.
                for part in waiting:
                    part.finish()
                for part in waiting:
                    self._publish(part)
        finally:
            for part in waiting:
                part.discard()

    def _finish(self, part: RecordWriter) -> None:
        self._full.append(part)
        part.finish()

    def _publish(self, part: RecordWriter) -> None:
        try:
            info = part.publish()
        finally:
            part.discard()
        self._set_aside += part.type_errors
        self.files.append(info)
        if self._on_file:
            self._on_file(info)
