"""Records out of files."""

from __future__ import annotations

import gzip
import io
import json
from contextlib import ExitStack, closing, contextmanager
from datetime import date, datetime, timedelta, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import orjson

from airflow_provider_zohocrm.exact_json import loads, may_round, no_json
from airflow_provider_zohocrm.exceptions import ZohoBulkReadError, ZohoStorageError
from airflow_provider_zohocrm.storage.csv_blocks import count_rows, csv_blocks
from airflow_provider_zohocrm.storage.csv_rows import csv_rows
from airflow_provider_zohocrm.storage.formats import file_format
from airflow_provider_zohocrm.storage.locations import local_path, object_file, storage_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from typing_extensions import Buffer

    from airflow_provider_zohocrm.storage.formats import Compression

_BUFFER = 1 << 20
_BOM = b"\xef\xbb\xbf"
_PARQUET_ROWS = 1_000
_SMALL_BUFFER = 64 << 10
# Bytes of lines of JSON that are taken together.
_LINES = 64 << 10
_LARGE_GROUP = 8 << 20
_FIRST_MOMENT = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FIRST_DAY = _FIRST_MOMENT.toordinal()
# What is unpacked at once may be many times as large.
_PACKED = 16 << 10


def read_records(path: str, *, skip: int = 0, empty_cells: bool = False) -> Iterator[dict[str, Any]]:
    """Read the records of a file one by one.

    JSONL gives each object as it is. CSV gives texts as they stand, and leaves an empty cell out of its record, so
    that an upsert leaves that field alone. Parquet gives Python values (``date``, ``datetime`` to the microsecond,
    ``Decimal``), with None for null.

    :param path: local path, or URI of object storage; the suffix tells the format (see :func:`file_format`).
    :param skip: number of records at the beginning to leave out; of Parquet, whole row groups are not even read.
    :param empty_cells: give an empty cell of CSV as an empty text.
    :return: iterator over dicts; the file is opened with the first.
    :raises ZohoValidationError: at once, when the format is not known.
    :raises ZohoStorageError: while reading: no such file, no access, or a line that is no record (with its number).
    """
    format_ = file_format(path)

    def records() -> Iterator[dict[str, Any]]:
        # Of Parquet, pyarrow says how much it wants at once.
        buffer = _SMALL_BUFFER if format_.name == "parquet" else _BUFFER
        with _opened(path, format_.compression, buffer) as file:
            if format_.name == "csv":
                yield from _csv(file, path, skip, empty_cells=empty_cells)
            else:
                yield from (_parquet if format_.name == "parquet" else _json_lines)(file, path, skip)

    return records()


def parquet_rows(path: str) -> int:
    """Tell the number of records of a Parquet file; only its footer is read.

    :param path: local path, or URI of object storage.
    :raises ZohoStorageError: when it cannot be read, or is no Parquet file.
    """
    with _opened(path, "", _SMALL_BUFFER) as file:
        rows: int = _parquet_file(file, path).metadata.num_rows
        return rows


def count_records(path: str) -> int | None:
    """Count the records of a JSONL or CSV file by its lines; they are not parsed.

    :param path: local path, or URI of object storage.
    :return: the number, or None where quotes of CSV are not those of RFC 4180.
    :raises ZohoStorageError: when it cannot be read.
    """
    format_ = file_format(path)
    with _opened(path, format_.compression, _BUFFER) as file:
        if format_.name == "jsonl":
            return sum(1 for line in file if not line.isspace())
        try:
            with closing(csv_blocks(file, _BUFFER)) as blocks:
                # The header is a row, too.
                return max(0, sum(map(count_rows, blocks)) - 1)
        except ZohoBulkReadError:
            return None


def _json_lines(file: BinaryIO, path: str, skip: int) -> Iterator[dict[str, Any]]:
    number = 0
    while lines := file.readlines(_LINES):
        # To look for long numbers line by line takes about half as long as to parse them.
        parse = loads if may_round(b"".join(lines)) else orjson.loads
        for number, line in enumerate(lines, number + 1):  # noqa: B020  # it goes on
            text = line.removeprefix(_BOM).strip() if number == 1 else line.strip()
            if not text:
                continue
            if skip:
                skip -= 1
                continue
            try:
                record = _parsed(text, parse)
            except (ValueError, RecursionError) as error:
                raise ZohoStorageError(f"Line {number} of {path!r} is not JSON: {error}.") from error
            if not isinstance(record, dict):
                raise ZohoStorageError(f"Line {number} of {path!r} is no JSON object, but {text[:40]!r}.")
            yield record


def _parsed(line: bytes, parse: Callable[[bytes], Any]) -> Any:
    try:
        return parse(line)
    except ValueError:
        if b"\\u" not in line:
            raise
        # Half of a surrogate pair is bad for its record, not for the file.
        return json.loads(line, parse_constant=no_json)


def _csv(file: BinaryIO, path: str, skip: int, *, empty_cells: bool) -> Iterator[dict[str, Any]]:
    with csv_rows(file, repr(path), ZohoStorageError) as rows:
        header = rows.header
        if len(header) == 1 and any(separator in header[0] for separator in ";\t"):
            raise ZohoStorageError(
                f"The header of {path!r} is a single cell, {header[0]!r}: separate cells by commas."
            )
        if len(set(header)) < len(header) or "" in header:
            raise ZohoStorageError(f"The header of {path!r} must name each column, and none twice: {header}.")
        for row in islice(rows, skip, None):
            yield {name: cell for name, cell in zip(header, row, strict=True) if cell or empty_cells}


def _parquet(file: BinaryIO, path: str, skip: int) -> Iterator[dict[str, Any]]:
    import pyarrow as pa

    table = _parquet_file(file, path)
    groups = list(range(table.metadata.num_row_groups))
    while groups and skip >= (rows := table.metadata.row_group(groups[0]).num_rows):
        skip -= rows
        del groups[0]
    wanted = _to_microseconds(pa, table.schema_arrow)
    batches = table.iter_batches(_PARQUET_ROWS, row_groups=groups, use_threads=False)
    while True:
        # What is done with the records is none of our errors.
        try:
            batch = next(batches, None)
            if batch is None:
                return
            if skip:
                skip, batch = max(0, skip - batch.num_rows), batch.slice(min(skip, batch.num_rows))
            part = pa.Table.from_batches([batch])
            records = _records(pa, part if wanted is None else part.cast(wanted, safe=False))
        except (pa.ArrowException, ArithmeticError, OSError, ValueError) as error:
            raise _no_parquet(path, error) from error
        yield from records


def _parquet_file(file: BinaryIO, path: str) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(file)
        largest = max(
            (metadata.row_group(n).total_byte_size for n in range(metadata.num_row_groups)), default=0
        )
        # A row group may be as large as the file: read through a buffer per column, it is never held as a whole.
        buffer = (
            0 if largest < _LARGE_GROUP else max(_LARGE_GROUP // max(1, metadata.num_columns), _SMALL_BUFFER)
        )
        return pq.ParquetFile(file, metadata=metadata, buffer_size=min(buffer, _BUFFER), pre_buffer=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _no_parquet(path, error) from error


def _no_parquet(path: str, error: Exception) -> ZohoStorageError:
    return storage_error("read", path, error, hint="Is it a whole Parquet file?")


def _records(pa: Any, part: Any) -> list[dict[str, Any]]:
    names = part.column_names
    columns = [_values(pa, column) for column in part.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _values(pa: Any, column: Any) -> list[Any]:
    """Make a list of the values of a column; pyarrow's own way to dates and times takes up to 7 µs each."""
    kind = column.type
    if pa.types.is_date32(kind):
        days = column.cast(pa.int32()).to_pylist()
        return [None if day is None else date.fromordinal(_FIRST_DAY + day) for day in days]
    if pa.types.is_timestamp(kind) and kind.tz in (None, "UTC"):
        start = _FIRST_MOMENT if kind.tz else _FIRST_MOMENT.replace(tzinfo=None)
        ticks = column.cast(pa.timestamp("us", kind.tz)).cast(pa.int64()).to_pylist()
        return [None if tick is None else start + timedelta(microseconds=tick) for tick in ticks]
    values: list[Any] = column.to_pylist()
    return values


def _to_microseconds(pa: Any, schema: Any) -> Any:
    """Replace nanoseconds in a schema; Python has none, and pyarrow refuses them or asks for pandas.

    :return: the schema to cast to, or None when there is nothing to replace.
    """
    fields = []
    for field in schema:
        kind = field.type
        if pa.types.is_timestamp(kind) and kind.unit == "ns":
            kind = pa.timestamp("us", kind.tz)
        elif pa.types.is_time64(kind):
            kind = pa.time64("us")
        elif pa.types.is_duration(kind) and kind.unit == "ns":
            kind = pa.duration("us")
        fields.append(field.with_type(kind))
    replaced = pa.schema(fields)
    return None if replaced.equals(schema) else replaced


@contextmanager
def _opened(path: str, compression: Compression, buffer: int) -> Iterator[BinaryIO]:
    local = local_path(path)
    with ExitStack() as stack:
        raw: Any
        try:
            if local is not None:
                raw = local.open("rb")
            else:
                fs, name = object_file(path)
                raw = fs.open(name, "rb")
        except ZohoStorageError:
            raise
        except Exception as error:
            # Beside OSError there are the errors of each vendor's SDK, which share no base.
            raise storage_error("read", path, error) from error
        stack.callback(raw.close)
        if compression == "gzip":
            raw = gzip.GzipFile(fileobj=raw)
        elif compression == "zstd":
            raw = io.BufferedReader(_Zstd(raw))
        yield cast("BinaryIO", io.BufferedReader(_Source(raw, path), buffer))


class _Source(io.RawIOBase):
    """The lowest layer of a file being read: names the path in errors.

    :param file: needs no more than ``read`` (and ``seek`` for Parquet), which is what all fsspec files have.
    """

    def __init__(self, file: Any, path: str) -> None:
        self._file = file
        self._path = path

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer)
        try:
            data = self._file.read(view.nbytes)
        except Exception as error:
            # A damaged gzip file is an EOFError or a zlib.error, and object storage has errors of its own.
            raise storage_error("read", self._path, error) from error
        view[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        position: int = self._file.seek(offset, whence)
        return position

    def tell(self) -> int:
        position: int = self._file.tell()
        return position


class _Zstd(io.RawIOBase):
    """Unpacks zstd, of one frame or several, and does not take a cut file for a whole one."""

    def __init__(self, file: Any) -> None:
        import zstandard

        self._file = file
        self._unpacker = zstandard.ZstdDecompressor()
        self._frame: Any = None
        self._packed = b""
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        view = memoryview(buffer)
        while not self._ready and self._unpack():
            pass
        part, self._ready = self._ready[: view.nbytes], self._ready[view.nbytes :]
        view[: len(part)] = part
        return len(part)

    def _unpack(self) -> bool:
        packed = self._packed or self._file.read(_PACKED)
        if not packed:
            if self._frame is not None:
                raise EOFError("the file ends before its zstd frame does")
            return False
        frame = self._frame or self._unpacker.decompressobj()
        self._ready = memoryview(frame.decompress(packed))
        self._packed, self._frame = (frame.unused_data, None) if frame.eof else (b"", frame)
        return True
