from __future__ import annotations

import csv
import enum
import gzip
import hashlib
import json
import uuid
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from types import MappingProxyType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from airflow_provider_zohocrm.exceptions import ZohoStorageError, ZohoValidationError
from airflow_provider_zohocrm.storage import open_record_writer, parquet, read_records

SUFFIXES = ["jsonl", "jsonl.gz", "jsonl.zst", "csv", "csv.gz", "csv.zst", "parquet"]

TEXTS = [
    "1234567890123456789",
    'a "quoted" one',
    "two\nlines",
    "two\r\nlines",
    "a lone \r return",
    "a;b,c\td",
    "=1+1",
    "  spaces  ",
    "\u00e9 composed",
    "e\u0301 decomposed",
    "\u2028 separator \x85 \x0b",
    "\U0001f600 \u4e2d",
    "\ufeffmark",
    '"',
    "'",
    "\\N",
    "NULL",
]


def write(path, records, columns=None):
    with open_record_writer(str(path), columns) as writer:
        writer.write(records)
    return writer.info


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_texts_come_back_unchanged(tmp_path, suffix):
    path = tmp_path / f"leads.{suffix}"
    records = [{"id": str(index), "Name": text, text.strip() or "x": "v"} for index, text in enumerate(TEXTS)]
    info = write(path, records, ["id", "Name"])
    content = path.read_bytes()
    assert info == {
        "path": str(path),
        "records": len(TEXTS),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    read = list(read_records(str(path)))
    assert [record["Name"] for record in read] == TEXTS
    assert [record["id"] for record in read] == [str(index) for index in range(len(TEXTS))]


VALUES = {
    "id": 1234567890123456789,
    "big": 18446744073709551615,
    "float": 0.1,
    "true": True,
    "false": False,
    "null": None,
    "empty": "",
    "lookup": {"id": "1", "name": 'a "b"'},
    "list": ["x", None, 1],
    "proxy": MappingProxyType({"a": 1}),
    "decimal": Decimal("1234567890123.4500"),
    "nan": float("nan"),
    "decimal_nan": Decimal("NaN"),
    "date": date(2024, 2, 29),
    "time": time(1, 2, 3),
    "datetime": datetime(2024, 2, 29, 1, 2, 3, 45, timezone(timedelta(hours=5, minutes=30))),
    "uuid": uuid.UUID(int=1),
    "enum": enum.Enum("Color", {"RED": "red"}).RED,
}


def test_json_lines_hold_the_values_as_they_are(tmp_path):
    path = tmp_path / "a.jsonl"
    write(path, [VALUES, {"other": 1}])
    first, second = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(first, parse_float=Decimal) == {
        **VALUES,
        "float": Decimal("0.1"),
        "proxy": {"a": 1},
        "nan": None,
        "decimal_nan": None,
        "date": "2024-02-29",
        "time": "01:02:03",
        "datetime": "2024-02-29T01:02:03.000045+05:30",
        "uuid": "00000000-0000-0000-0000-000000000001",
        "enum": "red",
    }
    assert '"decimal":1234567890123.4500,' in first
    assert second == '{"other":1}'


def test_a_subclass_of_datetime_is_written_like_one(tmp_path):
    class Pendulum(datetime):
        pass

    write(tmp_path / "a.jsonl", [{"at": Pendulum(2024, 1, 2, 3, 4, 5, tzinfo=timezone.utc)}])
    assert (tmp_path / "a.jsonl").read_text() == '{"at":"2024-01-02T03:04:05+00:00"}\n'


TEXT_OF_VALUES = {
    "id": "1234567890123456789",
    "big": "18446744073709551615",
    "float": "0.1",
    "true": "true",
    "false": "false",
    "null": None,
    "empty": "",
    "lookup": '{"id":"1","name":"a \\"b\\""}',
    "list": '["x",null,1]',
    "proxy": '{"a":1}',
    "decimal": "1234567890123.4500",
    "nan": None,
    "decimal_nan": None,
    "date": "2024-02-29",
    "time": "01:02:03",
    "datetime": "2024-02-29T01:02:03.000045+05:30",
    "uuid": "00000000-0000-0000-0000-000000000001",
    "enum": "red",
    "missing": None,
}


def test_cells_of_csv_are_text_or_compact_json(tmp_path):
    path = tmp_path / "a.csv"
    write(path, [VALUES], list(TEXT_OF_VALUES))
    with path.open(newline="", encoding="utf-8") as file:
        header, row = csv.reader(file)
    assert header == list(TEXT_OF_VALUES)
    assert row == [text or "" for text in TEXT_OF_VALUES.values()]
    assert path.read_bytes().count(b"\r\n") == 2


def test_cells_of_parquet_are_text_and_tell_null_from_empty(tmp_path):
    path = tmp_path / "a.parquet"
    write(path, [VALUES], list(TEXT_OF_VALUES))
    table = pq.read_table(path)
    assert {field.type for field in table.schema} == {pa.string()}
    assert table.to_pylist() == [TEXT_OF_VALUES]


def test_a_single_empty_cell_is_still_a_row_of_csv(tmp_path):
    path = tmp_path / "a.csv"
    write(path, [{"a": None}, {"a": "x"}], ["a"])
    assert list(read_records(str(path))) == [{}, {"a": "x"}]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_records_make_a_readable_file(tmp_path, suffix):
    path = tmp_path / "new" / "folder" / f"a.{suffix}"
    info = write(path, [], ["id"])
    assert info["records"] == 0
    assert info["bytes"] == path.stat().st_size
    assert list(read_records(str(path))) == []


def test_pages_are_written_one_after_the_other(tmp_path):
    with open_record_writer(str(tmp_path / "a.jsonl")) as writer:
        writer.write({"n": number} for number in range(3))
        assert writer.records == 3
        writer.write([])
        writer.write([{"n": 3}])
    assert writer.info["records"] == 4
    assert [record["n"] for record in read_records(str(tmp_path / "a.jsonl"))] == [0, 1, 2, 3]


@pytest.mark.parametrize("suffix", ["jsonl.gz", "csv.gz", "jsonl.zst", "csv.zst", "parquet"])
def test_equal_records_give_equal_bytes(tmp_path, suffix, monkeypatch):
    write(tmp_path / f"a.{suffix}", [{"a": 1}], ["a"])
    monkeypatch.setattr("time.time", lambda: 2e9)
    write(tmp_path / f"b.{suffix}", [{"a": 1}], ["a"])
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_packed_files_are_gzip(tmp_path):
    write(tmp_path / "a.jsonl.gz", [{"a": 1}])
    with gzip.open(tmp_path / "a.jsonl.gz") as file:
        assert file.read() == b'{"a":1}\n'


def test_packed_files_are_zstd(tmp_path):
    write(tmp_path / "a.jsonl.zst", [{"a": 1}])
    unpacker = zstandard.ZstdDecompressor().decompressobj()
    assert unpacker.decompress((tmp_path / "a.jsonl.zst").read_bytes()) == b'{"a":1}\n'


@pytest.mark.parametrize("suffix", ["jsonl.gz", "jsonl.zst", "csv.zst"])
def test_equal_records_in_other_pages_give_equal_bytes(tmp_path, suffix):
    records = [{"a": f"{number * 7919 % 100_003}", "b": "x" * (number % 50)} for number in range(40_000)]
    write(tmp_path / f"a.{suffix}", records, ["a", "b"])
    with open_record_writer(str(tmp_path / f"b.{suffix}"), ["a", "b"]) as writer:
        for start in range(0, len(records), 77):
            writer.write(records[start : start + 77])
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
@pytest.mark.parametrize("columns", [None, []])
def test_tables_need_columns(tmp_path, suffix, columns):
    with pytest.raises(ZohoValidationError, match="needs columns"):
        write(tmp_path / f"a.{suffix}", [], columns)
    assert list(tmp_path.iterdir()) == []


def test_a_column_named_twice_is_refused(tmp_path):
    with pytest.raises(ZohoValidationError, match="twice: Name"):
        write(tmp_path / "a.csv", [], ["id", "Name", "Name"])


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("bad", [{1, 2}, 2**70, "\ud800"], ids=["type", "number", "surrogate"])
def test_a_value_that_cannot_be_written_is_named_and_leaves_nothing(tmp_path, suffix, bad):
    with pytest.raises(ZohoStorageError, match=r"Cannot write .*record.* to .*a\.") as caught:
        write(tmp_path / f"a.{suffix}", [{"a": "x"}, {"a": bad}], ["a"])
    assert caught.value.__cause__ is not None
    if not (suffix == "parquet" and bad == "\ud800"):
        assert "record 2 " in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_record_must_be_a_mapping(tmp_path, suffix):
    with pytest.raises(ZohoValidationError, match="Record 1 is a str"):
        write(tmp_path / f"a.{suffix}", {"a": 1}, ["a"])


def test_an_unfinished_file_has_no_info(tmp_path):
    with (
        open_record_writer(str(tmp_path / "a.jsonl")) as writer,
        pytest.raises(ZohoStorageError, match="not finished"),
    ):
        _ = writer.info


def test_row_groups_of_parquet_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "_BATCH_CELLS", 20)
    monkeypatch.setattr(parquet, "_GROUP_BYTES", 2_000)
    path = tmp_path / "a.parquet"
    write(path, ({"a": f"{number:050d}", "b": "x"} for number in range(200)), ["a", "b"])
    file = pq.ParquetFile(path)
    sizes = [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)]
    assert sum(sizes) == 200
    assert max(sizes) <= 50
    assert [int(record["a"]) for record in read_records(str(path))] == list(range(200))


def test_long_values_end_a_batch_of_parquet_early(tmp_path, monkeypatch):
    held = []

    class Spy(parquet.ParquetRecords):
        def add(self, record):
            super().add(record)
            held.append(self._characters)

    monkeypatch.setattr("airflow_provider_zohocrm.storage.writers.ParquetRecords", Spy)
    write(tmp_path / "a.parquet", ({"a": "x" * (1 << 20)} for _ in range(40)), ["a"])
    assert max(held) < 2 << 20
    assert pq.read_metadata(tmp_path / "a.parquet").num_rows == 40


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "jsonl.zst"])
def test_json_is_written_as_it_is(tmp_path, suffix):
    path = tmp_path / f"leads.{suffix}"
    lines = [b'{"id":"1","n":12345678901234567.890}', b'{"id":"2","t":"a\\nb"}']
    with open_record_writer(str(path)) as writer:
        writer.write_lines(lines)
        writer.write_lines([])
        writer.write_lines([memoryview(b'{"id":"3"}')])
    assert writer.info["records"] == 3
    assert content_of(path) == b"\n".join(lines) + b'\n{"id":"3"}\n'


def content_of(path):
    data = path.read_bytes()
    if path.suffix == ".gz":
        return gzip.decompress(data)
    return zstandard.decompress(data, max_output_size=1 << 20) if path.suffix == ".zst" else data


def test_json_with_line_breaks_becomes_one_line_a_record(tmp_path):
    path = tmp_path / "leads.jsonl"
    with open_record_writer(str(path)) as writer:
        writer.write_lines([b'{\n  "id": "1",\r\n  "n": 1.10,\n  "t": " a\\nb  c "\n}', b'{"id":"2"}'])
    assert path.read_bytes() == b'{"id":"1","n":1.10,"t":" a\\nb  c "}\n{"id":"2"}\n'


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_json_fits_json_lines_only(tmp_path, suffix):
    path = tmp_path / f"leads.{suffix}"
    with (
        pytest.raises(ZohoStorageError, match="takes records"),
        open_record_writer(str(path), ["id"]) as writer,
    ):
        writer.write_lines([b'{"id":"1"}'])
    assert not list(tmp_path.iterdir())
