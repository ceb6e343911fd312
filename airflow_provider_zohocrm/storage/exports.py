"""The result of a bulk read job into files."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from contextlib import closing, contextmanager
from itertools import chain, compress, islice
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_provider_zohocrm.exceptions import ZohoBulkReadError
from airflow_provider_zohocrm.storage.columns import Column
from airflow_provider_zohocrm.storage.csv_blocks import count_rows, csv_blocks, row_ends
from airflow_provider_zohocrm.storage.csv_rows import csv_rows
from airflow_provider_zohocrm.storage.formats import file_format
from airflow_provider_zohocrm.storage.parts import Part, Parts, PartT
from airflow_provider_zohocrm.storage.targets import FileInfo, StagedFile, staged_file
from airflow_provider_zohocrm.storage.writers import RecordWriter

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow_provider_zohocrm.storage.values import OnTypeError

_CHUNK = 256 << 10
_ROWS = 500
_RESULT = "the result of the bulk read job"
_EVENT = b"BEGIN:VEVENT"

Watch = tuple[str, Callable[[list[str | None]], None]]
Sieve = tuple[str, Callable[[list[str | None], list[str | None]], list[bool]]]
Schema = Callable[[list[str]], Sequence[Column]]


def write_csv_export(
    stream: BinaryIO,
    path: str,
    *,
    expected: int | None = None,
    columns: Schema | None = None,
    on_type_error: OnTypeError = "fail",
    max_records: int | None = None,
    first: int = 1,
    watch: Watch | None = None,
    sieve: Sieve | None = None,
) -> list[FileInfo]:
    """Write the CSV of a bulk read job to files, as a stream. They appear once all of it is read and counted.

    Without columns ``.csv`` keeps the bytes as Zoho sent them; ``.jsonl`` holds one object of texts per row,
    ``.parquet`` columns of texts, where an empty cell is null, as Zoho's CSV does not tell null from an empty text.
    With columns all formats hold typed values, as :func:`open_record_writer` writes them.

    :param stream: binary stream of RFC 4180 CSV in UTF-8, header first. What it raises passes through.
    :param path: path of the first file, local or URI of object storage; the suffix tells the format (see
        :func:`file_format`), the other files have a number before it (see :func:`numbered_path`).
    :param expected: number of rows after the header, where it is known.
    :param columns: takes the header and gives the columns. They match by name, ``id`` and ``Id`` in any case; one
        that the header lacks is null.
    :param on_type_error: as for :func:`open_record_writer`.
    :param max_records: most rows in a file; None for one file.
    :param first: number of the first file, from 1.
    :param watch: name of a column, and what is shown its texts; not where the bytes are kept as they are.
    :param sieve: name of a column, and what tells by ids and texts of that column which rows are written; not where the
        bytes are kept as they are.
    :return: the finished files, at least one, each with the number of rows after the header.
    :raises ZohoValidationError: when the format is not known, or a number is below 1.
    :raises ZohoBulkReadError: when the stream is not CSV, so that rows cannot be told apart, holds more or fewer rows
        than expected, or a column that is none of those given; no file appears then.
    :raises ZohoTypeError: when a value does not fit its column.
    :raises ZohoStorageError: when a file cannot be written.
    """
    format_ = file_format(path)
    page = _Page(path, max_records, first)

    def writers(given: Sequence[Column] | None) -> Parts[RecordWriter]:
        # Without a schema all columns are texts, which everything fits.
        policy = on_type_error if columns else "fail"
        return page.parts(lambda name: RecordWriter(name, given, on_type_error=policy))

    try:
        if format_.name == "parquet":
            _csv_to_parquet(stream, columns or _texts, writers, watch, page.sifting(sieve))
        elif format_.name == "csv" and columns is None:
            _copy_csv(stream, lambda header: page.parts(lambda name: _CsvPart(name, header)))
        else:
            _csv_to_records(stream, columns, writers, watch, page.sifting(sieve))
        return page.publish(expected)
    finally:
        page.discard()


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
    return staged.info(records)


class _Page:
    """The files of one result, which appear together.

    :param path: as for :func:`write_csv_export`, as are the others.
    """

    def __init__(self, path: str, max_records: int | None, first: int) -> None:
        self._path = path
        self._max_records = max_records
        self._first = first
        self._staged: list[Part] = []
        self._left_out = 0

    def sifting(self, sieve: Sieve | None) -> Sieve | None:
        """Count what a sieve leaves out."""
        if sieve is None:
            return None
        column, chosen = sieve

        def counted(ids: list[str | None], texts: list[str | None]) -> list[bool]:
            flags = chosen(ids, texts)
            self._left_out += flags.count(False)
            return flags

        return column, counted

    def parts(self, open_part: Callable[[str], PartT]) -> Parts[PartT]:
        """Spread rows over files that wait for the last of them."""

        def opened(name: str) -> PartT:
            part = open_part(name)
            self._staged.append(part)
            return part

        return Parts(
            self._path,
            opened,
            max_records=self._max_records,
            first=self._first,
            on_full=lambda part: part.finish(),
        )

    def publish(self, expected: int | None) -> list[FileInfo]:
        """Let all files appear, if they hold as many rows as Zoho counted."""
        for part in self._staged:
            part.finish()
        records = sum(part.records for part in self._staged) + self._left_out
        if expected is not None and records != expected:
            raise ZohoBulkReadError(
                f"The job counts {expected} records, and its result holds {records}; {self._path} was not written. "
                "Run the task again."
            )
        return [part.publish() for part in self._staged]

    def discard(self) -> None:
        """Remove what is not published."""
        for part in self._staged:
            part.discard()


class _CsvPart:
    """A file that keeps the bytes of rows.

    :param path: the path.
    :param header: the bytes of the header.
    """

    def __init__(self, path: str, header: bytes) -> None:
        self.records = 0
        self._staged = StagedFile(path, file_format(path).compression)
        self._staged.file.write(header)

    def write(self, rows: bytes, count: int) -> None:
        self._staged.file.write(rows)
        self.records += count

    def finish(self) -> None:
        self._staged.finish()

    def publish(self) -> FileInfo:
        self._staged.publish()
        return self._staged.info(self.records)

    def discard(self) -> None:
        self._staged.discard()


@contextmanager
def _after_header(stream: BinaryIO) -> Iterator[tuple[bytes, Iterator[bytes]]]:
    """Cut the header off: the bytes of the first row, and blocks of those after it."""
    with closing(csv_blocks(stream, _CHUNK)) as blocks:
        header = rest = b""
        for block in blocks:
            ends = row_ends(block)
            end = ends[0] if ends else len(block)
            header, rest = header + block[:end], block[end:]
            if ends:
                break
        yield header, chain([rest] if rest else [], blocks)


def _copy_csv(stream: BinaryIO, start: Callable[[bytes], Parts[_CsvPart]]) -> None:
    with _after_header(stream) as (header, blocks):
        parts = start(header)
        parts.open()
        for block in blocks:
            rows = count_rows(block)
            if not rows and parts.current:
                parts.current.write(block, 0)
            ends: list[int] = []
            for part, first, stop in parts.slices(rows):
                if stop - first == rows:
                    part.write(block, rows)
                    continue
                ends = ends or row_ends(block)
                part.write(block[ends[first - 1] if first else 0 : ends[stop - 1]], stop - first)


def _texts(header: list[str]) -> list[Column]:
    # A field that was asked for twice is one column, as it is one key in JSON. The id is always there (sheet §4.5).
    return [Column(name) for name in dict.fromkeys(header or ["Id"])]


def _csv_to_records(
    stream: BinaryIO,
    schema: Schema | None,
    start: Callable[[Sequence[Column] | None], Parts[RecordWriter]],
    watch: Watch | None,
    sieve: Sieve | None,
) -> None:
    with csv_rows(stream, _RESULT, ZohoBulkReadError) as rows:
        columns = None if schema is None else schema(rows.header)
        names = rows.header if columns is None else _names(rows.header, columns)
        parts = start(columns)
        parts.open()
        records = (dict(zip(names, [cell or None for cell in row], strict=True)) for row in rows)
        while chunk := list(islice(records, _ROWS)):
            if watch is not None and watch[0] in names:
                watch[1]([record[watch[0]] for record in chunk])
            if sieve is not None and sieve[0] in names:
                ids = [record.get("id") for record in chunk]
                chunk = list(compress(chunk, sieve[1](ids, [record[sieve[0]] for record in chunk])))
            for part, first, last in parts.slices(len(chunk)):
                part.write(chunk[first:last])


def _csv_to_parquet(
    stream: BinaryIO,
    schema: Schema,
    start: Callable[[Sequence[Column] | None], Parts[RecordWriter]],
    watch: Watch | None,
    sieve: Sieve | None,
) -> None:
    with _after_header(stream) as (head, blocks):
        with csv_rows(io.BytesIO(head), _RESULT, ZohoBulkReadError) as rows:
            header = rows.header
        columns = schema(header)
        # Of a column that comes twice the last counts, as it does in JSON.
        places = {name: place for place, name in enumerate(_names(header, columns))}
        id_ = next((place for place, name in enumerate(header) if name.lower() == "id"), 0)
        parts = start(columns)
        parts.open()
        parse = _Parser(header, head.count(b"\n"))
        for block in blocks:
            for texts, count in parse.sifted(block, id_, places, sieve):
                if watch is not None and watch[0] in places:
                    watch[1](texts[places[watch[0]]].to_pylist())
                for part, first, stop in parts.slices(count):
                    cut = [text.slice(first, stop - first) for text in texts]
                    values = [
                        cut[places[column.name]] if column.name in places else None for column in columns
                    ]
                    part.write_texts(values, cut[id_], stop - first)


def _names(header: list[str], columns: Sequence[Column]) -> list[str]:
    """Tell the column of each cell; the id is written in both cases (sheet §4.5)."""
    known = {column.name: column.name for column in columns}
    ids = [name for name in known if name.lower() == "id"]
    found = [known.get(name) or (ids[0] if ids and name.lower() == "id" else None) for name in header]
    unknown = [name for name, column in zip(header, found, strict=True) if column is None]
    if unknown:
        raise ZohoBulkReadError(
            f"The result of the bulk read job has columns that the output has not: {', '.join(unknown)}; "
            f"the output has {', '.join(known)}."
        )
    return [name for name in found if name]


class _Parser:
    """Parses blocks of CSV into Arrow arrays of texts.

    :param header: names of the columns.
    :param line: number of lines before the first block.
    """

    def __init__(self, header: list[str], line: int) -> None:
        import pyarrow as pa
        from pyarrow import csv

        self._pa = pa
        self._csv = csv
        self._header = header
        self._line = line
        self._names = [str(place) for place in range(len(header))]
        self._parse = csv.ParseOptions(newlines_in_values=True)
        self._convert = csv.ConvertOptions(
            column_types=dict.fromkeys(self._names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
        )

    def __call__(self, block: bytes) -> Iterator[tuple[list[Any], int]]:
        pa = self._pa
        options = self._csv.ReadOptions(
            use_threads=False, block_size=len(block) + 1, column_names=self._names
        )
        try:
            table = self._csv.read_csv(pa.py_buffer(block), options, self._parse, self._convert)
        except pa.ArrowInvalid:
            # The row-wise reader tells the line, or understands it.
            yield self._row_by_row(block)
        else:
            for batch in table.to_batches():
                yield batch.columns, batch.num_rows
        self._line += block.count(b"\n")

    def sifted(
        self, block: bytes, id_: int, places: Mapping[str, int], sieve: Sieve | None
    ) -> Iterator[tuple[list[Any], int]]:
        """Parse a block, and keep what a sieve lets through."""
        for texts, count in self(block):
            if sieve is None or sieve[0] not in places:
                yield texts, count
                continue
            flags = sieve[1](texts[id_].to_pylist(), texts[places[sieve[0]]].to_pylist())
            mask = self._pa.array(flags, self._pa.bool_())
            yield [text.filter(mask) for text in texts], flags.count(True)

    def _row_by_row(self, block: bytes) -> tuple[list[Any], int]:
        with csv_rows(
            io.BytesIO(block), _RESULT, ZohoBulkReadError, header=self._header, line=self._line
        ) as rows:
            cells = [[cell or None for cell in row] for row in rows]
        texts = self._pa.string()
        return [
            self._pa.array([row[place] for row in cells], texts) for place in range(len(self._header))
        ], len(cells)


def _copy_events(stream: BinaryIO, file: BinaryIO) -> int:
    events = 0
    rest = b""
    while chunk := stream.read(_CHUNK):
        file.write(chunk)
        # A description can hold the same words, but not at the start of a line: there a folded line has a space.
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        events += sum(line.rstrip() == _EVENT for line in lines)
    return events + (rest.rstrip() == _EVENT)
