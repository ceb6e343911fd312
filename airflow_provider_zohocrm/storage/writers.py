"""Records into files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, Protocol

from airflow_provider_zohocrm.exceptions import ZohoStorageError, ZohoValidationError
from airflow_provider_zohocrm.storage.cells import compact, to_json, to_text
from airflow_provider_zohocrm.storage.columns import Column
from airflow_provider_zohocrm.storage.formats import file_format
from airflow_provider_zohocrm.storage.parquet import ParquetRecords
from airflow_provider_zohocrm.storage.targets import FileInfo, StagedFile
from airflow_provider_zohocrm.storage.values import TYPE_ERRORS, OnTypeError, TypedRows, TypeErrors


class _Encoder(Protocol):
    """Writes records to a file that somebody else owns."""

    def add(self, record: Mapping[str, Any]) -> None: ...

    def end(self) -> None: ...

    def abandon(self) -> None: ...


class RecordWriter:
    """Takes records for one file; made by :func:`open_record_writer`.

    :param path: local path, or URI of object storage; the suffix tells the format (see :func:`file_format`).
    :param columns: as for :func:`open_record_writer`.
    :param on_type_error: as for :func:`open_record_writer`.
    """

    def __init__(
        self,
        path: str,
        columns: Sequence[str | Column] | None = None,
        *,
        on_type_error: OnTypeError = "fail",
    ) -> None:
        format_ = file_format(path)
        typed = any(isinstance(column, Column) for column in columns or ())
        # Every value fits a column of texts.
        self._errors = TypeErrors(on_type_error if typed else "fail")
        checked = checked_columns(path, columns, needed=format_.name != "jsonl", extra=self._errors.set_aside)
        self.records = 0
        """Number of records written so far."""
        self._path = path
        self._staged = StagedFile(path, format_.compression)
        try:
            self._encoder: _Encoder | None = self._encode(format_.name, checked, typed=typed)
        except BaseException:
            self._staged.discard()
            raise

    def write(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Write records in the order given. What the iterable raises passes through.

        :param records: dicts as Zoho's JSON is parsed into; read one by one.
        :raises ZohoValidationError: when one is not a mapping.
        :raises ZohoTypeError: when a value does not fit its column; for Parquet also when the file is completed.
        :raises ZohoStorageError: when one has a value that cannot be written, or the disk takes no more.
        """
        add = self._open_encoder().add
        for record in records:
            if type(record) is not dict and not isinstance(record, Mapping):
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

    def write_lines(self, lines: Sequence[Any]) -> None:
        """Write records that are JSON already.

        :param lines: buffers, each with one object.
        :raises ZohoStorageError: when the file is no untyped JSONL, or the disk takes no more.
        """
        encoder = self._open_encoder()
        if not isinstance(encoder, _JsonLines):
            raise ZohoStorageError(f"{self._path!r} takes records, not JSON.")
        encoder.add_lines(lines)
        self.records += len(lines)

    def write_texts(self, values: Sequence[Any], ids: Any, rows: int) -> None:
        """Write rows of CSV to Parquet, which takes whole columns faster than records.

        :param values: per column an Arrow array of texts, with null for an empty cell, or None where all are null.
        :param ids: Arrow array of the ids of the records.
        :param rows: number of rows.
        :raises ZohoTypeError: when a value does not fit its column.
        """
        encoder = self._open_encoder()
        if not isinstance(encoder, ParquetRecords):
            raise ZohoStorageError(f"{self._path!r} takes records, not columns.")
        encoder.add_texts(values, ids, rows)
        self.records += rows

    def finish(self) -> None:
        """Complete the file under its temporary name; it takes no more records.

        :raises ZohoStorageError: when the disk takes no more, or a record cannot be written.
        """
        if self._encoder is not None:
            self._encoder.end()
            self._encoder = None
            self._staged.finish()

    def publish(self) -> FileInfo:
        """Let the file appear under its final name.

        :return: the finished file.
        :raises ZohoStorageError: when the disk takes no more, a record cannot be written, or the upload fails.
        """
        self.finish()
        self._staged.publish()
        return self.info

    def discard(self) -> None:
        """Remove what is not published."""
        if self._encoder is not None:
            self._encoder.abandon()
            self._encoder = None
        self._staged.discard()

    @property
    def type_errors(self) -> int:
        """Number of values set aside so far."""
        return self._errors.count

    @property
    def info(self) -> FileInfo:
        """The finished file.

        :raises ZohoStorageError: as long as the ``with`` block has not ended without an error.
        """
        info = self._staged.info(self.records)
        if self._errors.set_aside:
            info["type_errors"] = self._errors.count
        return info

    def _encode(self, format_: str, columns: Sequence[Column], *, typed: bool) -> _Encoder:
        file = self._staged.file
        if format_ == "parquet":
            return ParquetRecords(file, columns, self._path, self._errors)
        if format_ == "csv":
            return _Csv(file, columns, self._errors)
        return _TypedJsonLines(file, columns, self._errors) if typed else _JsonLines(file)

    def _open_encoder(self) -> _Encoder:
        if self._encoder is None:
            raise ZohoStorageError(f"{self._path!r} is finished: it takes no more records.")
        return self._encoder


@contextmanager
def open_record_writer(
    path: str, columns: Sequence[str | Column] | None = None, *, on_type_error: OnTypeError = "fail"
) -> Iterator[RecordWriter]:
    """Write records to a file that appears when the block ends without an error.

    Columns given as names hold texts: a text as it is, numbers and booleans and what is nested as compact JSON, null
    and a missing field as an empty cell or null; fields that are no column are left out. JSONL then holds the records
    as they are. Columns given as :class:`Column` hold typed values (see :func:`typed_value`) in all formats: those of
    Parquet have types, JSONL holds exactly these columns, with dates in ISO 8601 and all digits of numbers, CSV the
    text of the same values. CSV is RFC 4180 in UTF-8 with a header.

    :param path: local path, or URI of object storage; the suffix tells the format (see :func:`file_format`).
    :param columns: columns, or names of columns, for CSV and Parquet; JSONL does not use names.
    :param on_type_error: for a value that does not fit its column: ``fail``, or ``string``, which sets it aside: its
        column is null, and a last column ``_type_errors`` holds an object of field name and text.
    :return: context manager that gives the :class:`RecordWriter`, whose ``info`` is set after the block.
    :raises ZohoValidationError: when the format is not known, or columns are missing or named twice.
    :raises ZohoConfigurationError: when a package that the format needs is not installed.
    :raises ZohoTypeError: when a value does not fit its column.
    :raises ZohoStorageError: when the file cannot be written.
    """
    writer = RecordWriter(path, columns, on_type_error=on_type_error)
    try:
        yield writer
        writer.publish()
    finally:
        writer.discard()


class _JsonLines:
    """Records as they are."""

    def __init__(self, file: BinaryIO) -> None:
        self._write = file.write

    def add(self, record: Mapping[str, Any]) -> None:
        self._write(to_json(record, line=True))

    def add_lines(self, lines: Sequence[Any]) -> None:
        joined = b"\n".join(lines)
        if joined.count(b"\n") >= len(lines) > 0 or b"\r" in joined:
            # Whoever wrote this JSON likes it indented.
            joined = b"\n".join([compact(line) for line in lines])
        if lines:
            self._write(joined + b"\n")

    def end(self) -> None:
        del self._write

    abandon = end


class _TypedJsonLines:
    """One object of typed values per record."""

    def __init__(self, file: BinaryIO, columns: Sequence[Column], errors: TypeErrors) -> None:
        self._write = file.write
        self._names = _names(columns, errors)
        self._rows = TypedRows(columns, errors)

    def add(self, record: Mapping[str, Any]) -> None:
        self._write(to_json(dict(zip(self._names, self._rows.row(record), strict=True)), line=True))

    def end(self) -> None:
        del self._write

    abandon = end


class _Csv:
    """The texts of typed values."""

    def __init__(self, file: BinaryIO, columns: Sequence[Column], errors: TypeErrors) -> None:
        self._text = io.TextIOWrapper(file, "utf-8", newline="")
        # With both characters in the line end, every Python quotes a cell that holds only one of them.
        self._writer = csv.writer(self._text, lineterminator="\r\n")
        self._writer.writerow(_names(columns, errors))
        self._rows = TypedRows(columns, errors)

    def add(self, record: Mapping[str, Any]) -> None:
        self._writer.writerow([to_text(value) for value in self._rows.row(record)])

    def end(self) -> None:
        # Flushes; the file below is closed by its owner.
        self._text.detach()

    def abandon(self) -> None:
        """Leave the text to the owner of the file, who lets it vanish."""


def _names(columns: Sequence[Column], errors: TypeErrors) -> list[str]:
    return [column.name for column in columns] + ([TYPE_ERRORS.name] if errors.set_aside else [])


def checked_columns(
    path: str, columns: Sequence[str | Column] | None, *, needed: bool, extra: bool
) -> list[Column]:
    """Check the columns of a file.

    :param path: the path as the user gave it.
    :param columns: columns, or names of columns of texts.
    :param needed: whether the format cannot do without.
    :param extra: whether the file has a column of values set aside.
    :return: the columns.
    :raises ZohoValidationError: when columns are missing, or named twice.
    """
    found = [column if isinstance(column, Column) else Column(column) for column in columns or ()]
    if not needed and not any(isinstance(column, Column) for column in columns or ()):
        return found
    if not found:
        raise ZohoValidationError(f"{path!r} needs columns: name the fields, or choose a .jsonl file.")
    names = [column.name for column in found] + ([TYPE_ERRORS.name] if extra else [])
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ZohoValidationError(
            f"Each column of {path!r} must be named once; named twice: {', '.join(twice)}."
        )
    return found
