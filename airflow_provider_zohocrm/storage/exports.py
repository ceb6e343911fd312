"""The result of a bulk read job into a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from airflow_provider_zohocrm.exceptions import ZohoBulkReadError
from airflow_provider_zohocrm.storage.cells import to_json
from airflow_provider_zohocrm.storage.csv_rows import csv_rows
from airflow_provider_zohocrm.storage.formats import file_format
from airflow_provider_zohocrm.storage.parquet import ParquetRows
from airflow_provider_zohocrm.storage.targets import FileInfo, staged_file

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 256 << 10
_RESULT = "the result of the bulk read job"
_EVENT = b"BEGIN:VEVENT"


def write_csv_export(stream: BinaryIO, path: str, *, expected: int | None = None) -> FileInfo:
    """Write the CSV of a bulk read job to a file, as a stream.

    ``.csv`` keeps the bytes as Zoho sent them, ``.csv.gz`` packs them. ``.jsonl`` holds one object of texts per row,
    ``.parquet`` columns of texts; there an empty cell is null, as Zoho's CSV does not tell null from an empty text.

    :param stream: binary stream of RFC 4180 CSV in UTF-8, header first. What it raises passes through.
    :param path: local path, or URI of object storage; the suffix tells the format (see :func:`file_format`).
    :param expected: number of rows after the header, where it is known.
    :return: the finished file, with the number of rows after the header.
    :raises ZohoValidationError: when the format is not known.
    :raises ZohoBulkReadError: when the stream is not CSV, so that rows cannot be told apart, or holds more or fewer
        rows than expected; no file appears then.
    :raises ZohoStorageError: when the file cannot be written.
    """
    format_ = file_format(path)
    with staged_file(path, compressed=format_.compressed) as staged:
        if format_.name == "csv":
            records = _copy_csv(stream, staged.file)
        elif format_.name == "jsonl":
            records = _csv_to_json_lines(stream, staged.file)
        else:
            records = _csv_to_parquet(stream, staged.file, path)
        if expected is not None and records != expected:
            raise ZohoBulkReadError(
                f"The job counts {expected} records, and its result holds {records}; {path} was not written. "
                "Run the task again."
            )
    return staged.info(path, records)


def write_raw_export(stream: BinaryIO, path: str) -> FileInfo:
    """Write the iCalendar file of a bulk read job to a file, byte by byte as Zoho sent it.

    :param stream: binary stream of the file. What it raises passes through.
    :param path: local path, or URI of object storage, with a suffix of ``file_format(path, raw=True)``.
    :return: the finished file, with the number of events.
    :raises ZohoValidationError: when the suffix is not one for this.
    :raises ZohoStorageError: when the file cannot be written.
    """
    file_format(path, raw=True)
    with staged_file(path) as staged:
        records = _copy_events(stream, staged.file)
    return staged.info(path, records)


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK):
        yield chunk


def _copy_csv(stream: BinaryIO, file: BinaryIO) -> int:
    rows = 0
    quoted = filled = False
    for chunk in _chunks(stream):
        file.write(chunk)
        # A newline ends a row where the quotes before it are even; no csv.reader, which takes several times as long.
        *lines, rest = chunk.split(b"\n")
        for line in lines:
            if line.count(b'"') & 1:
                quoted = not quoted
            if line and line != b"\r":
                filled = True
            if not quoted:
                rows += filled
                filled = False
        quoted ^= bool(rest.count(b'"') & 1)
        filled |= bool(rest) and rest != b"\r"
    if quoted:
        raise ZohoBulkReadError(
            "The result of the bulk read job ends within quotes: it is cut off, or its quotes are not those of RFC 4180."
        )
    rows += filled
    return max(0, rows - 1)


def _csv_to_json_lines(stream: BinaryIO, file: BinaryIO) -> int:
    records = 0
    with csv_rows(stream, _RESULT, ZohoBulkReadError) as rows:
        for row in rows:
            record = dict(zip(rows.header, [cell or None for cell in row], strict=True))
            file.write(to_json(record, line=True))
            records += 1
    return records


def _csv_to_parquet(stream: BinaryIO, file: BinaryIO, path: str) -> int:
    records = 0
    with csv_rows(stream, _RESULT, ZohoBulkReadError) as rows:
        # A field that was asked for twice is one column, as it is one key in JSON.
        last = {name: index for index, name in enumerate(rows.header)}
        with ParquetRows(file, list(last), path) as table:
            for row in rows:
                table.add([row[index] or None for index in last.values()])
                records += 1
    return records


def _copy_events(stream: BinaryIO, file: BinaryIO) -> int:
    events = 0
    rest = b""
    for chunk in _chunks(stream):
        file.write(chunk)
        # A description can hold the same words, but not at the start of a line: there a folded line has a space.
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        events += sum(line.rstrip() == _EVENT for line in lines)
    return events + (rest.rstrip() == _EVENT)
