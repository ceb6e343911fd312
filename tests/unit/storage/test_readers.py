from __future__ import annotations

import gzip
from datetime import date, datetime, time, timezone
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from airflow_provider_zohocrm.exceptions import ZohoStorageError, ZohoValidationError
from airflow_provider_zohocrm.storage import Column, open_record_writer, read_records


def read(path):
    return list(read_records(str(path)))


@pytest.fixture
def file(tmp_path):
    def make(name, content):
        path = tmp_path / name
        pack = {".gz": gzip.compress, ".zst": zstandard.compress}.get(path.suffix, bytes)
        path.write_bytes(pack(content))
        return path

    return make


def test_json_lines_keep_null_and_whole_numbers(file):
    path = file(
        "a.jsonl", b'\xef\xbb\xbf{"id":1234567890123456789,"a":null}\r\n\n  \n{"b":[1,{"c":"\xc3\xa9"}]}'
    )
    assert read(path) == [{"id": 1234567890123456789, "a": None}, {"b": [1, {"c": "é"}]}]


NUMBERS = (
    "12345678901234567.89",
    "-0.12345678901234567890",
    "1.10",
    "18446744073709551616",
    "-9223372036854775809",
)


@pytest.mark.parametrize("text", NUMBERS)
def test_json_lines_keep_all_digits_of_numbers(file, text):
    lines = f'{{"a":{text},"b":[{text}]}}\n{{"a": {text}, "b": [1, {text}]}}\n'
    for row in read(file("numbers.jsonl", lines.encode())):
        for number in (row["a"], row["b"][-1]):
            assert Decimal(str(number)) == Decimal(text)


def test_a_long_number_keeps_its_digits_wherever_in_a_large_file(file):
    lines = [b'{"n":%d.5,"text":"%s"}' % (number, b"x" * 500) for number in range(1_000)]
    for place in (0, 130, 500, 999):
        lines[place] = b'{"n":12345678901234567.89}'
    numbers = [record["n"] for record in read(file("a.jsonl", b"\n".join(lines)))]
    long = Decimal("12345678901234567.89")
    assert numbers == [long if number in (0, 130, 500, 999) else number + 0.5 for number in range(1_000)]


def test_typed_json_lines_come_back_as_they_were_written(tmp_path):
    path = str(tmp_path / "typed.jsonl")
    columns = [Column("decimal", "decimal", scale=10), Column("whole", "integer"), Column("nested", "json")]
    rows = [
        {"decimal": Decimal(text), "whole": 2**63 - 1, "nested": {"deep": [Decimal(text)]}}
        for text in ("12345678901234567.89", "-1234567.8912345678", "18446744073709551616")
    ]
    with open_record_writer(path, columns) as writer:
        writer.write(rows)
    assert [{**row, "decimal": Decimal(str(row["decimal"]))} for row in read_records(path)] == rows


def test_half_a_surrogate_pair_is_bad_for_its_record_only(file):
    path = file("half.jsonl", b'{"a":"\\ud800"}\n{"a":1}\n')
    assert read(path) == [{"a": "\ud800"}, {"a": 1}]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst"])
def test_csv_leaves_empty_cells_out_and_texts_as_they_are(file, name):
    path = file(name, '\ufeffid,Name,Note\r\n007,"a ""b""\nc",\n\n 1 ,,"x\ry"'.encode())
    assert read(path) == [{"id": "007", "Name": 'a "b"\nc'}, {"id": " 1 ", "Note": "x\ry"}]


def test_parquet_gives_python_values(tmp_path):
    moment = datetime(2024, 1, 2, 3, 4, 5, 678901, timezone.utc)
    table = pa.table(
        {
            "id": pa.array([1234567890123456789, None], pa.int64()),
            "day": pa.array([date(2024, 2, 29), None]),
            "us": pa.array([moment, None], pa.timestamp("us", "UTC")),
            "ns": pa.array([1_704_164_645_678_901_234, None], pa.timestamp("ns", "UTC")),
            "time": pa.array([3_600_000_000_001, None], pa.time64("ns")),
            "amount": pa.array([Decimal("12.30"), None], pa.decimal128(20, 2)),
            "word": pa.array(["x", None]).dictionary_encode(),
            "nested": pa.array([{"a": [1]}, None]),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    first, second = read(tmp_path / "a.parquet")
    assert first == {
        "id": 1234567890123456789,
        "day": date(2024, 2, 29),
        "us": moment,
        "ns": moment,
        "time": time(1),
        "amount": Decimal("12.30"),
        "word": "x",
        "nested": {"a": [1]},
    }
    assert type(first["ns"]) is datetime
    assert second == dict.fromkeys(first)


def test_parquet_is_read_in_batches(tmp_path, monkeypatch):
    pq.write_table(pa.table({"n": list(range(5_000))}), tmp_path / "a.parquet")
    sizes = []
    real = pq.ParquetFile.iter_batches

    def spy(self, *args, **kwargs):
        for batch in real(self, *args, **kwargs):
            sizes.append(batch.num_rows)
            yield batch

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spy)
    records = read_records(str(tmp_path / "a.parquet"))
    assert next(records) == {"n": 0}
    assert sizes == [1_000]
    assert sum(record["n"] for record in records) == sum(range(5_000))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"a":1}\n\n{"a":\n', r"Line 3 of .*a\.jsonl' is not JSON"),
        ("a.jsonl", b'{"a":1}\n[1]\n', r"Line 2 of .* no JSON object"),
        ("a.jsonl", b'{"a":"\xff"}\n', r"Line 1 of .* is not JSON"),
        ("a.csv", b"a,b\n1,2\n\n1,2,3\n", r"Line 4 of .* has 3 cells, but the header has 2"),
        ("a.csv", b"a,b\n1\n", r"Line 2 of .* has 1 cells"),
        ("a.csv", b'a,b\n1,"2\n', r"Line 2 of .* is not CSV"),
        ("a.csv", b'a,b\n1,"2"3\n', r"Line 2 of .* is not CSV"),
        ("a.csv", b"a,b\n1,\xff\n", "is not UTF-8"),
        ("a.csv", b"a,a\n1,2\n", "none twice"),
        ("a.csv", b"a,\n1,2\n", "must name each column"),
        ("a.csv", b"id;Name\n1;x\n", "separate cells by commas"),
        ("a.parquet", b"PAR1 not really", "whole Parquet file"),
    ],
)
def test_what_is_no_record_is_named_with_its_line(file, name, content, message):
    with pytest.raises(ZohoStorageError, match=message):
        read(file(name, content))


def test_a_line_far_down_is_named_by_its_number(file):
    lines = [b'{"text":"%s"}' % (b"x" * 500)] * 1_000
    lines[700] = b"no"
    path = file("a.jsonl", b"\n".join(lines))
    with pytest.raises(ZohoStorageError, match="Line 701 of"):
        read(path)


@pytest.mark.parametrize("damage", ["cut", "noise", "plain"])
def test_a_damaged_gzip_file_is_an_error(tmp_path, damage):
    path = tmp_path / "a.jsonl.gz"
    packed = gzip.compress(b"".join(b'{"n":%d}\n' % number for number in range(10_000)))
    path.write_bytes(
        {"cut": packed[:-200], "noise": packed[:50] + b"\0" * 50 + packed[100:], "plain": b"{}\n"}[damage]
    )
    with pytest.raises(ZohoStorageError, match=r"Cannot read '.*a\.jsonl\.gz'") as caught:
        read(path)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("damage", ["cut", "cut at a block", "noise", "plain", "second frame cut"])
def test_a_damaged_zstd_file_is_an_error(tmp_path, damage):
    path = tmp_path / "a.jsonl.zst"
    lines = b"".join(b'{"n":%d}\n' % (number * 7919 % 100_003) for number in range(100_000))
    packed = zstandard.ZstdCompressor(write_checksum=True).compress(lines)
    path.write_bytes(
        {
            "cut": packed[:-200],
            "cut at a block": packed[:-4],
            "noise": packed[:5_000] + b"\0" * 50 + packed[5_050:],
            "plain": b"{}\n",
            "second frame cut": packed + packed[:1_000],
        }[damage]
    )
    with pytest.raises(ZohoStorageError, match=r"Cannot read '.*a\.jsonl\.zst'") as caught:
        read(path)
    assert caught.value.__cause__ is not None


def test_several_frames_of_zstd_are_one_file(tmp_path):
    frames = [zstandard.compress(b'{"n":%d}\n' % number) for number in range(3)]
    (tmp_path / "a.jsonl.zst").write_bytes(b"".join(frames))
    assert read(tmp_path / "a.jsonl.zst") == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_a_missing_file_says_where_files_are_seen(tmp_path):
    records = read_records(str(tmp_path / "a.csv"))
    with pytest.raises(
        ZohoStorageError, match=r"Cannot read .*a\.csv.*object storage is seen by all"
    ) as caught:
        next(records)
    assert isinstance(caught.value.__cause__, FileNotFoundError)


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(ZohoStorageError, match="choose another path"):
        read(tmp_path / "a.csv")


def test_an_unknown_format_is_refused_before_the_first_record(tmp_path):
    with pytest.raises(ZohoValidationError, match="must end with"):
        read_records(str(tmp_path / "a.xlsx"))


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.csv.gz", "a.jsonl.gz", "a.jsonl.zst", "a.csv.zst"])
def test_an_empty_file_holds_no_records(file, name):
    assert read(file(name, b"")) == []


def test_cells_longer_than_pythons_limit_are_read(file):
    assert read(file("a.csv", b"id,Note\n1," + b"x" * 300_000 + b"\n"))[0]["Note"] == "x" * 300_000


def test_errors_of_the_consumer_are_left_alone(file):
    records = read_records(str(file("a.jsonl", b'{"a":1}\n{"a":2}\n')))
    next(records)
    with pytest.raises(OSError, match="mine"):
        records.throw(OSError("mine"))


def test_the_file_is_closed_when_reading_stops_early(file, monkeypatch):
    path = file("a.csv", b"id\n1\n2\n")
    opened = []
    real = type(path).open

    def spy(self, *args, **kwargs):
        opened.append(real(self, *args, **kwargs))
        return opened[-1]

    monkeypatch.setattr(type(path), "open", spy)
    records = read_records(f"file://{path}")
    assert next(records) == {"id": "1"}
    records.close()
    assert [each.closed for each in opened] == [True]
