from __future__ import annotations

import csv
import io
import zipfile
from datetime import date
from decimal import Decimal

import pytest

from airflow_provider_zohocrm.loading.csv_zip import CsvZip, csv_cells
from airflow_provider_zohocrm.loading.values import Rejection


def rows_of(packing):
    """Read what a file holds."""
    packed = io.BytesIO()
    packing.write_to(packed)
    with zipfile.ZipFile(packed) as archive:
        (member,) = archive.infolist()
        data = archive.read(member)
    return list(csv.reader(io.StringIO(data.decode(), newline=""))), data


def test_values_are_written_as_the_reference_says():
    record = {
        "text": 'a,"b"\nü',
        "nothing": None,
        "yes": True,
        "number": 12,
        "exact": Decimal("1.10"),
        "round": Decimal("5E+6"),
        "small": 1e-7,
        "day": date(2026, 1, 2),
        "several": ["a", "b"],
        "none": [],
        "lookup": {"id": "3652397000000000001", "name": "x"},
    }
    assert list(csv_cells(record).values()) == [
        'a,"b"\nü',
        "",
        "true",
        "12",
        "1.10",
        "5000000",
        "0.0000001",
        "2026-01-02",
        "a;b",
        "",
        "3652397000000000001",
    ]


@pytest.mark.parametrize(
    ("value", "word"),
    [(["a;b"], "';'"), ([{"id": "1"}], "subforms"), ({"name": "x"}, "id"), (object(), "object")],
)
def test_a_value_that_has_no_text_is_a_rejection_of_its_field(value, word):
    said = csv_cells({"Company": "x", "Field": value})
    assert isinstance(said, Rejection)
    assert (said.code, said.details, said.json_path) == ("INVALID_DATA", {"api_name": "Field"}, "$.Field")
    assert word in said.message


def test_fields_may_turn_up_late():
    with CsvZip() as packing:
        for cells in ({"a": "1"}, {"a": 'x,"\r\ny'}, {"b": "2", "a": "3"}, {"c": "4"}, {}):
            assert packing.add(cells) is True
        rows, data = rows_of(packing)
    assert rows == [
        ["a", "b", "c"],
        ["1", "", ""],
        ['x,"\r\ny', "", ""],
        ["3", "2", ""],
        ["", "", "4"],
        ["", "", ""],
    ]
    assert packing.columns == ["a", "b", "c"]
    assert len(data) <= packing.size <= len(data) + 10


def test_a_file_ends_with_its_rows_bytes_or_columns():
    with CsvZip(max_rows=2) as packing:
        assert [packing.add({"a": "1"}) for _ in range(3)] == [True, True, False]
    with CsvZip(max_bytes=1_000) as packing:
        taken = 0
        while packing.add({"a": "ü" * 50}) is True:
            taken += 1
        assert 5 < taken < 10
        assert len(rows_of(packing)[1]) <= 1_000
    with CsvZip() as packing:
        assert packing.add({f"a{number}": "1" for number in range(200)}) is True
        assert packing.add({"one_more": "1"}) is False
        assert packing.rows == 1


def test_padding_counts_as_bytes():
    with CsvZip(max_bytes=400) as packing:
        while packing.add({"a": "1"}) is True:
            pass
        assert packing.add({f"b{number}": "1" for number in range(20)}) is False
    with CsvZip(max_bytes=400) as packing:
        for number in range(100):
            packing.add({f"c{number % 50}": "x"})
        assert len(rows_of(packing)[1]) <= 400


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        ({f"a{number}": "1" for number in range(201)}, "LIMIT_EXCEEDED"),
        ({"a": "x" * 2_000}, "FILE_TOO_LARGE"),
        ({"a": "\ud800"}, "INVALID_DATA"),
        ({"a": "\0"}, "INVALID_DATA"),
    ],
)
def test_what_no_file_can_take_is_a_rejection(cells, code):
    with CsvZip(max_bytes=1_900) as packing:
        said = packing.add(cells)
        assert isinstance(said, Rejection)
        assert said.code == code
        assert packing.rows == 0


def test_a_row_too_large_for_what_is_left_goes_into_the_next_file():
    with CsvZip(max_bytes=1_000) as packing:
        assert packing.add({"a": "x" * 600}) is True
        assert packing.add({"a": "x" * 600}) is False


def test_rows_with_other_fields_are_refused_where_an_empty_cell_would_empty_a_field():
    with CsvZip(same_fields=True) as packing:
        assert packing.add({"a": "1", "b": "2"}) is True
        assert packing.add({"b": "3", "a": "4"}) is True
        assert "same fields" in packing.add({"a": "1"}).message
        assert rows_of(packing)[0] == [["a", "b"], ["1", "2"], ["4", "3"]]
    with CsvZip(same_fields=True, columns=["a", "b"]) as packing:
        assert isinstance(packing.add({"a": "1"}), Rejection)
        assert packing.add({"a": "1", "b": ""}) is True
