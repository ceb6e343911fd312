from __future__ import annotations

import csv
import gc
import gzip
import hashlib
import io
import random
import tracemalloc
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_zohocrm.exceptions import ZohoBulkReadError, ZohoValidationError
from airflow_provider_zohocrm.storage import (
    exports,
    read_records,
    write_csv_export,
    write_raw_export,
)

SUFFIXES = ["csv", "csv.gz", "csv.zst", "jsonl", "jsonl.gz", "jsonl.zst", "parquet"]

EXPORT = (
    b"Id,Last_Name,Note\r\n"
    b"1234567890123456789,O'Neil,\r\n"
    b'1234567890123456790,"a ""b"", c","two\nlines, and\r\nthree"\r\n'
    b'1234567890123456791,e\xcc\x81 \xc3\xa9;=1,""\r\n'
)
ROWS = [
    {"Id": "1234567890123456789", "Last_Name": "O'Neil", "Note": None},
    {"Id": "1234567890123456790", "Last_Name": 'a "b", c', "Note": "two\nlines, and\r\nthree"},
    {"Id": "1234567890123456791", "Last_Name": "e\u0301 \u00e9;=1", "Note": None},
]


def export(stream, path, **options):
    (info,) = write_csv_export(stream, path, **options)
    return info


def described(path, records):
    content = path.read_bytes()
    return {
        "path": str(path),
        "records": records,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def test_csv_is_kept_byte_by_byte(tmp_path):
    path = tmp_path / "a.csv"
    assert export(io.BytesIO(EXPORT), str(path)) == described(path, 3)
    assert path.read_bytes() == EXPORT


def test_csv_gz_holds_the_same_bytes(tmp_path):
    path = tmp_path / "a.csv.gz"
    info = export(io.BytesIO(EXPORT), str(path))
    assert info == described(path, 3)
    assert gzip.decompress(path.read_bytes()) == EXPORT


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "parquet"])
def test_other_formats_hold_texts_and_null_for_an_empty_cell(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    info = export(io.BytesIO(b"\xef\xbb\xbf" + EXPORT), str(path))
    assert info == described(path, 3)
    assert list(read_records(str(path))) == ROWS


def test_parquet_columns_are_all_strings(tmp_path):
    export(io.BytesIO(b"Id,Amount\n1,\n2,\n"), str(tmp_path / "a.parquet"))
    schema = pq.read_schema(tmp_path / "a.parquet")
    assert [(field.name, field.type) for field in schema] == [("Id", pa.string()), ("Amount", pa.string())]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_column_that_comes_twice_is_one(tmp_path, suffix):
    export(io.BytesIO(b"Id,Name,Id\n1,x,1\n"), str(tmp_path / f"a.{suffix}"))
    assert list(read_records(str(tmp_path / f"a.{suffix}"))) == [{"Id": "1", "Name": "x"}]


COUNTED = [
    (b"", 0),
    (b"Id,Name", 0),
    (b"Id,Name\r\n", 0),
    (b"\xef\xbb\xbfId\n", 0),
    (b"Id\n1\n2\n", 2),
    (b"Id\r\n1\r\n2", 2),
    (b"Id\n\n1\n\r\n2\n\n", 2),
    (b'Id,A\n1,"x\ny\n\nz"\n2,""\n', 2),
    (b'Id,A\n1,"say ""hi""\n"\n2,b', 2),
    (b'"Id\nx",A\n1,b\n', 1),
    (b'Id,A\n1,"\n"', 1),
]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(("content", "rows"), COUNTED)
def test_rows_are_counted_alike_in_every_format(tmp_path, suffix, content, rows):
    path = str(tmp_path / f"a.{suffix}")
    assert export(io.BytesIO(content), path)["records"] == rows
    assert len(list(read_records(path))) == rows


def test_an_empty_result_is_an_empty_csv(tmp_path):
    assert export(io.BytesIO(b""), str(tmp_path / "a.csv"))["bytes"] == 0
    assert (tmp_path / "a.csv").read_bytes() == b""


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64])
def test_the_count_does_not_depend_on_where_chunks_end(tmp_path, chunk, monkeypatch):
    monkeypatch.setattr(exports, "_CHUNK", chunk)
    for content, rows in COUNTED:
        assert export(io.BytesIO(content), str(tmp_path / "a.csv"))["records"] == rows, content
    rng = random.Random(chunk)
    for turn in range(30):
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator=rng.choice(["\n", "\r\n"]), quoting=rng.choice([0, 1]))
        rows = rng.randrange(20)
        for _ in range(rows + 1):
            writer.writerow(["1", *("".join(rng.choices('ab",\n\ré', k=rng.randrange(6))) for _ in range(3))])
        content = text.getvalue().encode()
        path = str(tmp_path / f"{turn}.csv")
        assert export(io.BytesIO(content), path)["records"] == rows, content


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("source", ["zip", "raw"])
def test_the_stream_is_only_read_forward_and_left_open(tmp_path, suffix, source):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.csv", EXPORT)
    with zipfile.ZipFile(packed) as archive, archive.open("1.csv") as member:
        stream = member if source == "zip" else io.BufferedReader(OneByOne(EXPORT))
        assert export(stream, str(tmp_path / f"a.{suffix}"))["records"] == 3
        gc.collect()
        assert not stream.closed


class OneByOne(io.RawIOBase):
    """A source that gives one byte at a time and cannot seek, like a slow socket."""

    def __init__(self, content, error=None):
        self._content = content
        self._at = 0
        self._error = error

    def readable(self):
        return True

    def readinto(self, buffer):
        byte = self._content[self._at : self._at + 1]
        self._at += 1
        if not byte and self._error:
            raise self._error
        buffer[: len(byte)] = byte
        return len(byte)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_error_of_the_source_passes_through_and_leaves_nothing(tmp_path, suffix):
    error = zipfile.BadZipFile("Bad CRC-32")
    with pytest.raises(zipfile.BadZipFile) as caught:
        export(io.BufferedReader(OneByOne(EXPORT, error)), str(tmp_path / f"a.{suffix}"))
    assert caught.value is error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_result_cut_off_within_quotes_is_no_result(tmp_path, suffix):
    (tmp_path / f"a.{suffix}").write_bytes(b"of yesterday")
    with pytest.raises(ZohoBulkReadError):
        export(io.BytesIO(b'Id,Note\n1,a\n2,"cut'), str(tmp_path / f"a.{suffix}"))
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"of yesterday"]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("expected", [0, 2, 4])
def test_more_or_fewer_rows_than_zoho_counted_are_no_result(tmp_path, suffix, expected):
    with pytest.raises(ZohoBulkReadError, match=f"counts {expected} records, and its result holds 3"):
        export(io.BytesIO(EXPORT), str(tmp_path / f"a.{suffix}"), expected=expected)
    assert list(tmp_path.iterdir()) == []
    assert export(io.BytesIO(EXPORT), str(tmp_path / f"a.{suffix}"), expected=3)["records"] == 3


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    ("content", "message"),
    [(b"Id,A\n1,2\n3\n", "Line 3 .* has 1 cells"), (b"Id\n\xff\n", "not UTF-8")],
)
def test_a_result_that_is_no_table_is_an_error_of_the_job(tmp_path, suffix, content, message):
    with pytest.raises(ZohoBulkReadError, match=message):
        export(io.BytesIO(content), str(tmp_path / f"a.{suffix}"))
    assert list(tmp_path.iterdir()) == []


def test_formats_are_checked(tmp_path):
    with pytest.raises(ZohoValidationError):
        export(io.BytesIO(EXPORT), str(tmp_path / "a.ics"))
    with pytest.raises(ZohoValidationError):
        write_raw_export(io.BytesIO(b""), str(tmp_path / "a.csv"))


class Generated(io.RawIOBase):
    """A long export that is made while it is read."""

    def __init__(self, rows):
        self._rows = iter(range(rows))
        self._rest = b"Id," + b",".join(b"F%d" % number for number in range(20)) + b"\r\n"
        self._row = b',"a, b",' + b",".join(b"value %d" % number for number in range(19)) + b"\r\n"

    def readable(self):
        return True

    def readinto(self, buffer):
        while len(self._rest) < len(buffer):
            number = next(self._rows, None)
            if number is None:
                break
            self._rest += b"%d" % (10**18 + number) + self._row
        part, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(part)] = part
        return len(part)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_memory_does_not_grow_with_the_rows(tmp_path, suffix):
    rows = 30_000
    export(io.BytesIO(EXPORT), str(tmp_path / f"first.{suffix}"))
    tracemalloc.start()
    try:
        info = export(io.BufferedReader(Generated(rows)), str(tmp_path / f"a.{suffix}"))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert info["records"] == rows
    # The source has 9 MB, which as rows of Python objects are some 50.
    assert peak < (18 << 20 if suffix == "parquet" else 7 << 20), peak


def test_ics_is_kept_byte_by_byte_and_its_events_counted(tmp_path, monkeypatch):
    content = (
        b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDESCRIPTION:BEGIN:VEVENT\r\n BEGIN:VEVENT\r\nEND:VEVENT\r\n"
        b"BEGIN:VEVENT\nEND:VEVENT\nBEGIN:VEVENTS\nEND:VCALENDAR\r\nBEGIN:VEVENT"
    )
    for chunk in (1, 5, 1 << 20):
        monkeypatch.setattr(exports, "_CHUNK", chunk)
        path = tmp_path / f"{chunk}.ics"
        assert write_raw_export(io.BytesIO(content), str(path)) == described(path, 3)
        assert path.read_bytes() == content
