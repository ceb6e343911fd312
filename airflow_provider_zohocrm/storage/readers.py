"""Records out of files."""

from __future__ import annotations

import gzip
import io
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import orjson

from airflow_provider_zohocrm.exceptions import ZohoStorageError
from airflow_provider_zohocrm.storage.csv_rows import csv_rows
from airflow_provider_zohocrm.storage.formats import file_format
from airflow_provider_zohocrm.storage.locations import local_path, object_file, storage_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

    from airflow_provider_zohocrm.storage.formats import Compression

_BUFFER = 1 << 20
_BOM = b"\xef\xbb\xbf"
_PARQUET_ROWS = 1_000
# What is unpacked at once may be many times as large.
_PACKED = 16 << 10


def read_records(path: str) -> Iterator[dict[str, Any]]:
    """Read the records of a file one by one.

    JSONL gives each object as it is. CSV gives texts as they stand, and leaves an empty cell out of its record, so
    that an upsert leaves that field alone. Parquet gives Python values (``date``, ``datetime`` to the microsecond,
    ``Decimal``), with None for null.

    :param path: local path, or URI of object storage; the suffix tells the format (see :func:`file_format`).
    :return: iterator over dicts; the file is opened with the first.
    :raises ZohoValidationError: at once, when the format is not known.
    :raises ZohoStorageError: while reading: no such file, no access, or a line that is no record (with its number).
    """
    format_ = file_format(path)
    parse = {"jsonl": _json_lines, "csv": _csv, "parquet": _parquet}[format_.name]

    def records() -> Iterator[dict[str, Any]]:
        with _opened(path, format_.compression) as file:
            yield from parse(file, path)

    return records()


def _json_lines(file: BinaryIO, path: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(file, 1):
        text = line.removeprefix(_BOM).strip() if number == 1 else line.strip()
        if not text:
            continue
        try:
            record = orjson.loads(text)
        except ValueError as error:
            raise ZohoStorageError(f"Line {number} of {path!r} is not JSON: {error}.") from error
        if not isinstance(record, dict):
            raise ZohoStorageError(f"Line {number} of {path!r} is no JSON object, but {text[:40]!r}.")
        yield record


def _csv(file: BinaryIO, path: str) -> Iterator[dict[str, Any]]:
    with csv_rows(file, repr(path), ZohoStorageError) as rows:
        header = rows.header
        if len(header) == 1 and any(separator in header[0] for separator in ";\t"):
            raise ZohoStorageError(
                f"The header of {path!r} is a single cell, {header[0]!r}: separate cells by commas."
            )
        if len(set(header)) < len(header) or "" in header:
            raise ZohoStorageError(f"The header of {path!r} must name each column, and none twice: {header}.")
        for row in rows:
            yield {name: cell for name, cell in zip(header, row, strict=True) if cell}


def _parquet(file: BinaryIO, path: str) -> Iterator[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(file)
        wanted = _to_microseconds(pa, table.schema_arrow)
        for batch in table.iter_batches(_PARQUET_ROWS):
            part = pa.Table.from_batches([batch])
            yield from (part if wanted is None else part.cast(wanted, safe=False)).to_pylist()
    except (pa.ArrowException, ValueError) as error:
        raise storage_error("read", path, error, hint="Is it a whole Parquet file?") from error


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
def _opened(path: str, compression: Compression) -> Iterator[BinaryIO]:
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
        yield cast("BinaryIO", io.BufferedReader(_Source(raw, path), _BUFFER))


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
