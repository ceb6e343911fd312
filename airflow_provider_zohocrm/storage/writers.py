"""Records into files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, Protocol

from airflow_provider_zohocrm.exceptions import ZohoStorageError, ZohoValidationError
from airflow_provider_zohocrm.storage.cells import to_json, to_text
from airflow_provider_zohocrm.storage.formats import FileFormat, file_format
from airflow_provider_zohocrm.storage.parquet import ParquetRows
from airflow_provider_zohocrm.storage.targets import FileInfo, StagedFile, staged_file


class RecordWriter:
    """Takes records for one file; made by :func:`open_record_writer`."""

    def __init__(self, path: str, staged: StagedFile, encoder: _Encoder) -> None:
        self.records = 0
        """Number of records written so far."""
        self._path = path
        self._staged = staged
        self._encoder = encoder

    def write(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Write records in the order given. What the iterable raises passes through.

        :param records: dicts as Zoho's JSON is parsed into; read one by one.
        :raises ZohoValidationError: when one is not a mapping.
        :raises ZohoStorageError: when one has a value that cannot be written, or the disk takes no more.
        """
        add = self._encoder.add
        for record in records:
            if not isinstance(record, Mapping):
                raise ZohoValidationError(
                    f"Record {self.records + 1} is a {type(record).__name__}, but records are dicts of "
                    f"field name and value."
                )
            try:
                add(record)
            except (TypeError, ValueError) as error:
                raise ZohoStorageError(
                    f"Cannot write record {self.records + 1} to {self._path!r}: {error}."
                ) from error
            self.records += 1

    @property
    def info(self) -> FileInfo:
        """The finished file.

        :raises ZohoStorageError: as long as the ``with`` block has not ended without an error.
        """
        return self._staged.info(self._path, self.records)


@contextmanager
def open_record_writer(path: str, columns: Sequence[str] | None = None) -> Iterator[RecordWriter]:
    """Write records to a file that appears when the block ends without an error.

    JSONL holds the records as they are. CSV and Parquet hold the named columns, all as text: a text as it is, numbers
    and booleans and what is nested as compact JSON, null and a missing field as an empty cell or null; fields that are
    no column are left out. CSV is RFC 4180 in UTF-8 with a header.

    :param path: local path, or URI of object storage; the suffix tells the format (see :func:`file_format`).
    :param columns: names of the columns, for CSV and Parquet; JSONL does not use them.
    :return: context manager that gives the :class:`RecordWriter`, whose ``info`` is set after the block.
    :raises ZohoValidationError: when the format is not known, or columns are missing or named twice.
    :raises ZohoStorageError: when the file cannot be written.
    """
    format_ = file_format(path)
    names = _checked_columns(path, format_, columns)
    with staged_file(path, compressed=format_.compressed) as staged:
        encoder = _encoder(format_, staged.file, names)
        yield RecordWriter(path, staged, encoder)
        try:
            encoder.finish()
        except (TypeError, ValueError) as error:
            raise ZohoStorageError(f"Cannot write the last records to {path!r}: {error}.") from error


class _Encoder(Protocol):
    def add(self, record: Mapping[str, Any]) -> None: ...

    def finish(self) -> None: ...


class _JsonLines:
    def __init__(self, file: BinaryIO) -> None:
        self._write = file.write

    def add(self, record: Mapping[str, Any]) -> None:
        self._write(to_json(record, line=True))

    def finish(self) -> None:
        """Nothing is held back."""


class _Csv:
    def __init__(self, file: BinaryIO, columns: Sequence[str]) -> None:
        self._columns = columns
        self._text = io.TextIOWrapper(file, "utf-8", newline="")
        # With both characters in the line end, every Python quotes a cell that holds only one of them.
        self._writer = csv.writer(self._text, lineterminator="\r\n")
        self._writer.writerow(columns)

    def add(self, record: Mapping[str, Any]) -> None:
        get = record.get
        self._writer.writerow([to_text(get(column)) for column in self._columns])

    def finish(self) -> None:
        self._text.flush()
        # The file below is closed by its owner.
        self._text.detach()


class _Parquet:
    def __init__(self, file: BinaryIO, columns: Sequence[str]) -> None:
        self._columns = columns
        self._rows = ParquetRows(file, columns)

    def add(self, record: Mapping[str, Any]) -> None:
        get = record.get
        self._rows.add([to_text(get(column)) for column in self._columns])

    def finish(self) -> None:
        self._rows.finish()


def _encoder(format_: FileFormat, file: BinaryIO, columns: Sequence[str]) -> _Encoder:
    if format_.name == "jsonl":
        return _JsonLines(file)
    return _Csv(file, columns) if format_.name == "csv" else _Parquet(file, columns)


def _checked_columns(path: str, format_: FileFormat, columns: Sequence[str] | None) -> list[str]:
    names = list(columns or ())
    if format_.name == "jsonl":
        return names
    if not names:
        raise ZohoValidationError(f"{path!r} needs columns: name the fields, or choose a .jsonl file.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ZohoValidationError(
            f"Each column of {path!r} must be named once; named twice: {', '.join(twice)}."
        )
    return names
