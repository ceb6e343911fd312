from __future__ import annotations

import csv
import json
from datetime import date, datetime, timezone
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_provider_zohocrm.exceptions import (
    ZohoBulkReadError,
    ZohoStorageError,
    ZohoTypeError,
    ZohoValidationError,
)
from airflow_provider_zohocrm.storage import (
    Column,
    open_record_writer,
    parquet,
    read_records,
    write_csv_export,
)

SUFFIXES = ["jsonl", "jsonl.zst", "csv", "csv.gz", "parquet"]

COLUMNS = [
    Column("id"),
    Column("Name"),
    Column("Employees", "integer"),
    Column("Amount", "decimal", 2),
    Column("Opt_Out", "boolean"),
    Column("Closing", "date"),
    Column("Created", "datetime"),
    Column("Tag", "list"),
    Column("Account", "lookup"),
    Column("Owner", "user"),
    Column("Rows", "json"),
    Column("Missing", "integer"),
]
RECORD = {
    "id": "1234567890123456789",
    "Name": 'a "b", c\nd',
    "Employees": 9007199254740993,
    "Amount": 0.1,
    "Opt_Out": False,
    "Closing": "2026-01-31",
    "Created": "2026-01-31T04:00:00-08:00",
    "Tag": [{"name": "Hot", "id": "1"}, {"name": "Cold", "id": "2"}],
    "Account": {"name": "Acme", "id": "77", "module": {"id": "1"}},
    "Owner": {"name": "Ann", "id": "5", "email": "ann@example.com"},
    "Rows": [{"a": 1.5}],
    "Other": "left out",
}
NULLS = {"id": "2", "Name": "", "Employees": "", "Tag": [], "Account": None}
TYPED = {
    "id": "1234567890123456789",
    "Name": 'a "b", c\nd',
    "Employees": 9007199254740993,
    "Amount": Decimal("0.10"),
    "Opt_Out": False,
    "Closing": date(2026, 1, 31),
    "Created": datetime(2026, 1, 31, 12, tzinfo=timezone.utc),
    "Tag": ["Hot", "Cold"],
    "Account": {"id": "77", "name": "Acme"},
    "Owner": {"id": "5", "name": "Ann", "email": "ann@example.com"},
    "Rows": '[{"a":1.5}]',
    "Missing": None,
}
TYPED_NULLS = {**dict.fromkeys(TYPED), "id": "2", "Name": "", "Tag": []}


def write(path, records, columns=COLUMNS, **options):
    with open_record_writer(str(path), columns, **options) as writer:
        writer.write(records)
    return writer


def test_typed_parquet_comes_back_with_its_types(tmp_path):
    write(tmp_path / "a.parquet", [RECORD, NULLS])
    text = pa.string()
    assert pq.read_schema(tmp_path / "a.parquet").types == [
        text,
        text,
        pa.int64(),
        pa.decimal128(38, 2),
        pa.bool_(),
        pa.date32(),
        pa.timestamp("us", "UTC"),
        pa.list_(text),
        pa.struct([("id", text), ("name", text)]),
        pa.struct([("id", text), ("name", text), ("email", text)]),
        text,
        pa.int64(),
    ]
    first, second = read_records(str(tmp_path / "a.parquet"))
    assert first == TYPED
    assert second == TYPED_NULLS
    assert first["Created"].utcoffset().total_seconds() == 0


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.zst", "jsonl.gz"])
def test_typed_json_lines_have_exactly_the_columns_and_all_digits(tmp_path, suffix):
    write(tmp_path / f"a.{suffix}", [RECORD, NULLS])
    first, second = read_records(str(tmp_path / f"a.{suffix}"))
    assert list(first) == list(second) == [column.name for column in COLUMNS]
    assert first == {
        **TYPED,
        "Amount": 0.1,
        "Closing": "2026-01-31",
        "Created": "2026-01-31T12:00:00+00:00",
        "Rows": [{"a": 1.5}],
    }
    assert second == TYPED_NULLS


def test_decimals_keep_their_digits_in_json_lines(tmp_path):
    value = "123456789012345678901234567890123456.78"
    write(tmp_path / "a.jsonl", [{"Amount": value}], [Column("Amount", "decimal", 2)])
    assert (tmp_path / "a.jsonl").read_text() == f'{{"Amount":{value}}}\n'


def test_typed_csv_holds_the_texts_of_the_values(tmp_path):
    write(tmp_path / "a.csv", [RECORD, NULLS])
    with (tmp_path / "a.csv").open(newline="") as file:
        header, first, second = csv.reader(file)
    assert dict(zip(header, first, strict=True)) == {
        "id": "1234567890123456789",
        "Name": 'a "b", c\nd',
        "Employees": "9007199254740993",
        "Amount": "0.10",
        "Opt_Out": "false",
        "Closing": "2026-01-31",
        "Created": "2026-01-31T12:00:00+00:00",
        "Tag": '["Hot","Cold"]',
        "Account": '{"id":"77","name":"Acme"}',
        "Owner": '{"id":"5","name":"Ann","email":"ann@example.com"}',
        "Rows": '[{"a":1.5}]',
        "Missing": "",
    }
    assert second == ["2", "", "", "", "", "", "", "[]", "", "", "", ""]


BAD = [{"id": "1", "Amount": "1.0.5", "Closing": "x"}, {"id": "2", "Amount": 3}, {"id": "3", "Closing": [1]}]
BAD_COLUMNS = [Column("id"), Column("Amount", "decimal", 2), Column("Closing", "date")]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_value_that_does_not_fit_fails_by_name_and_leaves_nothing(tmp_path, suffix):
    with pytest.raises(ZohoTypeError, match=r"Amount of record 1 is no decimal .*'1\.0\.5'") as caught:
        write(tmp_path / f"a.{suffix}", BAD, BAD_COLUMNS)
    assert isinstance(caught.value, ZohoStorageError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_values_that_do_not_fit_are_set_aside(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    writer = write(path, BAD, BAD_COLUMNS, on_type_error="string")
    assert writer.type_errors == writer.info["type_errors"] == 3
    rows = [{"_type_errors": None, **row} for row in read_records(str(path))]
    asides = [row["_type_errors"] for row in rows]
    assert [json.loads(aside) if isinstance(aside, str) else aside for aside in asides] == [
        {"Amount": "1.0.5", "Closing": "x"},
        None,
        {"Closing": "[1]"},
    ]
    assert rows[0].get("Amount") is None
    assert float(rows[1]["Amount"]) == 3


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_all_files_of_a_run_that_sets_aside_share_their_columns(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    writer = write(path, [{"id": "1"}], BAD_COLUMNS, on_type_error="string")
    assert writer.type_errors == 0
    if suffix == "parquet":
        assert pq.read_schema(path).names == ["id", "Amount", "Closing", "_type_errors"]
    elif suffix == "csv":
        assert path.read_text().splitlines()[0] == "id,Amount,Closing,_type_errors"
    elif suffix == "jsonl":
        assert path.read_text() == '{"id":"1","Amount":null,"Closing":null,"_type_errors":null}\n'


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_names_are_columns_of_texts_that_everything_fits(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    writer = write(path, [{"id": 1, "x": [1]}], ["id"], on_type_error="string")
    assert "type_errors" not in writer.info
    assert "_type_errors" not in next(read_records(str(path)))


def test_columns_and_policy_are_checked(tmp_path):
    with pytest.raises(ZohoValidationError, match="twice: _type_errors"):
        write(tmp_path / "a.csv", [], [Column("_type_errors")], on_type_error="string")
    with pytest.raises(ZohoValidationError, match="twice: id"):
        write(tmp_path / "a.jsonl", [], [Column("id"), Column("id", "integer")])
    with pytest.raises(ZohoValidationError, match="'fail' or 'string'"):
        write(tmp_path / "a.csv", [], [Column("id")], on_type_error="ignore")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_record_that_cannot_be_written_is_numbered_across_batches(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(parquet, "_BATCH_CELLS", 3)
    with pytest.raises(ZohoStorageError, match=r"Cannot write record 6 to .*a\."):
        write(tmp_path / f"a.{suffix}", [{"id": "1"}] * 5 + [{"id": {1}}], [Column("id", "json")])


HEADER = "ID,Name,Employees,Amount,Opt_Out,Closing,Created,Tag,Account,Owner"
CSV = (
    f"{HEADER}\r\n"
    '12,"a ""b"",\r\nc",7,0.10,TRUE,2026-01-31,2026-01-31T04:00:00-08:00,Hot;Cold,77,5\r\n'
    '13,"",,,,,,,,""\r\n'
)
EXPORTED = {
    **dict.fromkeys(TYPED),
    "id": "12",
    "Name": 'a "b",\r\nc',
    "Employees": 7,
    "Amount": Decimal("0.10"),
    "Opt_Out": True,
    "Closing": date(2026, 1, 31),
    "Created": datetime(2026, 1, 31, 12, tzinfo=timezone.utc),
    "Tag": ["Hot", "Cold"],
    "Account": {"id": "77", "name": None},
    "Owner": {"id": "5", "name": None, "email": None},
}
EXPORTED_NULLS = {**dict.fromkeys(TYPED), "id": "13"}


def exported(tmp_path, suffix, content, schema=lambda header: COLUMNS, **options):
    import io

    path = str(tmp_path / f"a.{suffix}")
    files = write_csv_export(io.BytesIO(content.encode()), path, columns=schema, **options)
    return [list(read_records(file["path"])) for file in files]


def test_an_export_becomes_typed_parquet(tmp_path):
    assert exported(tmp_path, "parquet", CSV, expected=2) == [[EXPORTED, EXPORTED_NULLS]]


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "csv.zst"])
def test_an_export_becomes_the_same_values_in_every_format(tmp_path, suffix):
    ((first, second),) = exported(tmp_path, suffix, CSV)
    (tmp_path / "b").mkdir()
    write(tmp_path / "b" / f"a.{suffix}", [EXPORTED_AS_JSON, {"id": "13"}])
    assert [first, second] == list(read_records(str(tmp_path / "b" / f"a.{suffix}")))
    assert len(first) > 5


EXPORTED_AS_JSON = {
    **{name: value for name, value in EXPORTED.items() if not isinstance(value, date)},
    "Closing": "2026-01-31",
    "Created": "2026-01-31T12:00:00Z",
}


def test_the_callable_sees_the_header(tmp_path):
    seen = []
    exported(tmp_path, "parquet", CSV, lambda header: seen.append(header) or COLUMNS)
    exported(tmp_path, "jsonl", CSV, lambda header: seen.append(header) or COLUMNS)
    assert seen == [HEADER.split(",")] * 2


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_a_column_that_nobody_expects_is_an_error(tmp_path, suffix):
    with pytest.raises(
        ZohoBulkReadError, match="has columns that the output has not: New; the output has id, Name"
    ):
        exported(tmp_path, suffix, "Id,New,Name\n1,2,3\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("position", [0, 4_999])
def test_a_misfit_in_an_export_fails_by_name_or_is_set_aside(tmp_path, suffix, position):
    rows = [f"{number},{number}.5" for number in range(5_000)]
    rows[position] = f"{position},1.0.5"
    content = "Id,Amount\n" + "\n".join(rows)
    schema = lambda header: [Column("Id"), Column("Amount", "decimal", 2)]  # noqa: E731
    with pytest.raises(ZohoTypeError, match=rf"Amount of record {position} .*'1\.0\.5'"):
        exported(tmp_path, suffix, content, schema)
    assert list(tmp_path.iterdir()) == []
    files = exported(tmp_path, suffix, content, schema, on_type_error="string", max_records=2_000)
    assert [len(file) for file in files] == [2_000, 2_000, 1_000]
    found = [row for file in files for row in file if row.get("_type_errors")]
    assert [row["Id"] for row in found] == [str(position)]
    aside = found[0]["_type_errors"]
    assert (json.loads(aside) if isinstance(aside, str) else aside) == {"Amount": "1.0.5"}
    assert sum(1 for file in files for row in file if row.get("Amount")) == 4_999


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_an_empty_result_has_the_columns_of_the_run(tmp_path, suffix):
    assert exported(tmp_path, suffix, "", expected=0) == [[]]
    if suffix == "parquet":
        assert pq.read_schema(tmp_path / "a.parquet").names == [column.name for column in COLUMNS]
