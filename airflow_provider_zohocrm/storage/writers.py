"""Records into files."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO

from airflow_provider_zohocrm.exceptions import ZohoStorageError, ZohoValidationError
from airflow_provider_zohocrm.storage.cells import to_json, to_text
from airflow_provider_zohocrm.storage.formats import FileFormat, file_format
from airflow_provider_zohocrm.storage.parquet import ParquetRows
from airflow_provider_zohocrm.storage.targets import FileInfo, StagedFile, staged_file


class RecordWriter:
    """Takes records for one file; made by :func:`open_record_writer`."""

    def __init__(self, path: str, staged: StagedFile, add: Callable[[Mapping[str, Any]], None]) -> None:
        self.records = 0
        """Number of records written so far."""
        self._path = path
        self._staged = staged
        self._add = add

    def write(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Write records in the order given. What the iterable raises passes through.

        :param records: dicts as Zoho's JSON is parsed into; read one by one.
        :raises ZohoValidationError: when one is not a mapping.
        :raises ZohoStorageError: when one has a value that cannot be written, or the disk takes no more.
        """
        add = self._add
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
        if format_.name == "jsonl":
            encoder = _json_lines(staged.file)
        elif format_.name == "csv":
            encoder = _csv(staged.file, names)
        else:
            encoder = _parquet(staged.file, names, path)
        with encoder as add:
            yield RecordWriter(path, staged, add)


@contextmanager
def _json_lines(file: BinaryIO) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    def add(record: Mapping[str, Any]) -> None:
        file.write(to_json(record, line=True))

    yield add


@contextmanager
def _csv(file: BinaryIO, columns: Sequence[str]) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    text = io.TextIOWrapper(file, "utf-8", newline="")
    # With both characters in the line end, every Python quotes a cell that holds only one of them.
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)

    def add(record: Mapping[str, Any]) -> None:
        writer.writerow([to_text(record.get(column)) for column in columns])

    yield add
    # Flushes; the file below is closed by its owner.
    text.detach()


@contextmanager
def _parquet(
    file: BinaryIO, columns: Sequence[str], path: str
) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    with ParquetRows(file, columns, path) as rows:

        def add(record: Mapping[str, Any]) -> None:
            rows.add([to_text(record.get(column)) for column in columns])

        yield add


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
