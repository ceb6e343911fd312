from __future__ import annotations

import json
import random
from datetime import date, datetime, timezone
from decimal import Decimal

import pyarrow as pa
import pytest

from airflow_provider_zohocrm.exceptions import ZohoTypeError
from airflow_provider_zohocrm.storage import arrays
from airflow_provider_zohocrm.storage.arrays import ArrowRows, arrow_type
from airflow_provider_zohocrm.storage.cells import to_json
from airflow_provider_zohocrm.storage.columns import Column
from airflow_provider_zohocrm.storage.values import TypedRows, TypeErrors, typed_value

UTC = timezone.utc
KINDS = {
    "string": Column("f"),
    "integer": Column("f", "integer"),
    "decimal": Column("f", "decimal", 2),
    "whole": Column("f", "decimal", 0),
    "double": Column("f", "decimal", 18),
    "boolean": Column("f", "boolean"),
    "date": Column("f", "date"),
    "datetime": Column("f", "datetime"),
    "list": Column("f", "list"),
    "lookup": Column("f", "lookup"),
    "user": Column("f", "user"),
    "json": Column("f", "json"),
}

FITS = [
    ("string", " a ", " a "),
    ("string", "", ""),
    ("string", 1234567890123456789, "1234567890123456789"),
    ("string", 0.1, "0.1"),
    ("string", True, "true"),
    ("string", {"id": "1", "a": [1, None]}, '{"id":"1","a":[1,null]}'),
    ("integer", 9223372036854775807, 9223372036854775807),
    ("integer", "-9223372036854775808", -9223372036854775808),
    ("integer", "+007", 7),
    ("integer", 12.0, 12),
    ("decimal", 12, Decimal("12.00")),
    ("decimal", 0.1, Decimal("0.10")),
    ("decimal", 1e22, Decimal("10000000000000000000000.00")),
    ("decimal", "12.300", Decimal("12.30")),
    (
        "decimal",
        "123456789012345678901234567890123456.78",
        Decimal("123456789012345678901234567890123456.78"),
    ),
    ("decimal", Decimal("-0.00"), Decimal("0.00")),
    ("decimal", "1e2", Decimal("100.00")),
    ("decimal", 0.125, Decimal("0.12")),
    ("decimal", "-0.135", Decimal("-0.14")),
    ("whole", "0.5", Decimal(0)),
    ("double", 1 / 300, Decimal("0.003333333333333334")),
    ("double", "0.0012100000000000001", Decimal("0.001210000000000000")),
    ("double", Decimal("0.0012100000000000001"), Decimal("0.001210000000000000")),
    ("double", 5e-324, Decimal("0.000000000000000000")),
    ("double", 99999999999999984384.0, Decimal("99999999999999980000.000000000000000000")),
    ("whole", "100", Decimal(100)),
    ("boolean", True, True),
    ("boolean", "FALSE", False),
    ("boolean", "1", True),
    ("boolean", "0", False),
    ("date", "2024-02-29", date(2024, 2, 29)),
    ("datetime", "2026-01-31T04:00:00+05:30", datetime(2026, 1, 30, 22, 30, tzinfo=UTC)),
    ("datetime", "2026-01-31T04:00:00-08:00", datetime(2026, 1, 31, 12, tzinfo=UTC)),
    ("datetime", "2026-01-31T04:00:00Z", datetime(2026, 1, 31, 4, tzinfo=UTC)),
    ("datetime", "2026-01-31T04:00:00.123Z", datetime(2026, 1, 31, 4, 0, 0, 123000, tzinfo=UTC)),
    ("list", ["a;b", " c"], ["a;b", " c"]),
    ("list", [], []),
    ("list", [{"name": "Hot", "id": "1", "color_code": None}, {"name": "Cold"}], ["Hot", "Cold"]),
    ("list", "a; b ;c d", ["a", "b", "c d"]),
    ("list", ";", []),
    ("lookup", {"name": "Acme", "id": "12"}, {"id": "12", "name": "Acme"}),
    ("lookup", {"id": 12, "more": 1}, {"id": "12", "name": None}),
    ("lookup", "12", {"id": "12", "name": None}),
    ("lookup", 1234567890123456789, {"id": "1234567890123456789", "name": None}),
    ("user", {"name": "A", "id": "1", "email": "a@b"}, {"id": "1", "name": "A", "email": "a@b"}),
    ("user", "1", {"id": "1", "name": None, "email": None}),
    ("json", [{"a": 1}], [{"a": 1}]),
    *[(kind, None, None) for kind in KINDS],
    *[(kind, "", None) for kind in KINDS if kind != "string"],
]

MISFITS = [
    *[
        ("integer", value)
        for value in (12.5, "12.0", "x", " 1", "1_0", "0x1F", True, 1 << 63, "9223372036854775808")
    ],
    *[("integer", value) for value in (float("nan"), float("inf"), [1], {"a": 1}, "\u0661")],
    *[("decimal", value) for value in ("x", " 1", "1_0", "nan", "Infinity", True, [1], "\u0661")],
    *[("decimal", value) for value in ("1" * 37, 10**36, 1e300, float("nan"), "1e99999999999999999999")],
    *[("whole", value) for value in ("0,5", "1" * 39)],
    *[("boolean", value) for value in ("yes", 1, 0, 1.0, " true", [])],
    *[
        ("date", value)
        for value in ("2026-02-29", "20260101", "2026-1-1", "0000-01-01", "2026-01-01T00:00:00Z", 1)
    ],
    *[("datetime", value) for value in ("2026-01-31T04:00:00", "2026-01-31", "2026-01-31T24:00:00Z", 1, "x")],
    *[("datetime", value) for value in ("0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00")],
    *[("datetime", value) for value in ("2026-01-31T04:00:00.1234567Z", "2026-01-31T04:00:00+24:00")],
    *[("list", value) for value in ({"a": 1}, [1], [None], [{"id": "1"}], 5, True)],
    *[("lookup", value) for value in ({}, {"name": "x"}, {"id": None, "name": "x"}, ["1"], True, 1.5)],
    *[("user", value) for value in ({}, [], False)],
]


@pytest.mark.parametrize(("kind", "value", "expected"), FITS)
def test_values_of_zoho_as_values_of_a_column(kind, value, expected):
    found = typed_value(value, KINDS[kind])
    assert (found, type(found), str(found)) == (expected, type(expected), str(expected))


@pytest.mark.parametrize(("kind", "value"), MISFITS)
def test_what_does_not_fit(kind, value):
    with pytest.raises(ValueError):
        typed_value(value, KINDS[kind])


def one_by_one(values, column):
    """What a file must hold: each value by itself."""
    rows = TypedRows([column], TypeErrors("string"))
    typed = [rows.row({column.name: value}) for value in values]
    aside = {row: held[column.name] for row, (_, held) in enumerate(typed) if held}
    return [value for value, _ in typed], aside


def at_once(values, column, *, texts):
    rows = ArrowRows([column], TypeErrors("string"), "x")
    held = pa.array(values, pa.string()) if texts else values
    batch = rows.batch([held], [None] * len(values), len(values))
    typed, asides = batch.column(0).to_pylist(), batch.column(1).to_pylist()
    aside = {row: json.loads(text)[column.name] for row, text in enumerate(asides) if text}
    return typed, aside, batch.column(0).type


# Texts on both sides of what each kind takes, and what Arrow takes beyond.
PIECES = {
    "integer": [
        "0",
        "12",
        "-7",
        "+3",
        "007",
        "-0",
        "0x1F",
        " 1",
        "1 ",
        "1_0",
        "9223372036854775807",
        "1.0",
        "1e3",
        "x",
    ],
    "decimal": [
        *[
            "0",
            "1.5",
            "12.30",
            "12.300",
            "-0.00",
            "+1",
            "5.",
            ".5",
            "1e2",
            "1E-2",
            "1e-3",
            "0e50",
            " 1",
            "1 ",
            "NaN",
        ],
        *["1" * 36, "1" * 37, "0" * 50 + "1", "1.005", "inf", "0x1", ".", "-", "1e", "1,5", "--1"],
    ],
    "boolean": ["true", "False", "TRUE", "tRuE", "0", "1", "yes", " true", "t", "01"],
    "date": [
        "2024-02-29",
        "2023-02-29",
        "0001-01-01",
        "9999-12-31",
        "0000-01-01",
        "20240101",
        "2024-1-1",
        "2024-01-01 ",
    ],
    "datetime": [
        *[
            "2026-01-31T04:00:00+05:30",
            "2026-01-31 04:00:00Z",
            "2026-01-31T04:00Z",
            "2026-01-31T04+05",
            "2026-01-31Z",
        ],
        *[
            "2026-01-31T04:00:00",
            "2026-01-31T04:00:00.123456-0800",
            "2026-01-31T04:00:00.1234567Z",
            "2026-01-31T04:00:00z",
        ],
        *[
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "0000-06-01T00:00:00Z",
            "2026-01-31T04:00:60Z",
        ],
        *[
            "2026-01-31T24:00:00Z",
            "2026-01-31T04:00:00+24:00",
            "2026-01-31T04:00:00+05:60",
            "2026-01-31T04:00:00.Z",
        ],
        *[
            "2026-01-31T04:00:00-23:59",
            "1969-12-31T23:59:59.999999Z",
            " 2026-01-31T04:00:00Z",
            "2026-01-31T04:00:00 Z",
        ],
    ],
    "list": ["a", "a;b", "a; b", ";", "a;", ";;a", " a\t;\u2003b", "\x1ca", "a;\u00e9 ", " "],
    "lookup": ["1", "1234567890123456789", "abc", " "],
    "user": ["1", "x y"],
    "string": ["a", " ", "\u00e9", "1"],
    "json": ["a", "{}", '{"a":1}'],
}
PIECES["whole"] = PIECES["double"] = PIECES["decimal"]
ALPHABET = {
    "integer": "0123456789+-x_ .",
    "decimal": "0123456789+-.eE ",
    "whole": "0123456789+-.eE",
    "double": "0123456789+-.eE",
    "boolean": "trueTRUEfalse01",
    "date": "0123456789-",
    "datetime": "0123456789-:T Z+.",
    "list": "ab; \t\u2003\x1c\x85;",
    "lookup": "0123456789",
    "user": "0123456789",
    "string": "ab",
    "json": '{}[]"1',
}


def mutated(rng, text, alphabet):
    characters = list(text)
    for _ in range(rng.choice([0, 0, 0, 1, 2])):
        place = rng.randrange(len(characters) + 1)
        action = rng.randrange(3)
        if action == 0:
            characters.insert(place, rng.choice(alphabet))
        elif place < len(characters):
            characters[place : place + 1] = [rng.choice(alphabet)] if action == 1 else []
    return "".join(characters)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_whole_columns_of_texts_are_read_as_value_by_value(kind, seed):
    rng = random.Random(f"{kind} {seed}")
    column = KINDS[kind]
    for _ in range(300):
        # Short ones, as one misfit sends all its batch the slow way.
        values = [
            None if rng.random() < 0.2 else mutated(rng, rng.choice(PIECES[kind]), ALPHABET[kind]) or None
            for _ in range(rng.choice([0, 1, 1, 1, 2, 5]))
        ]
        typed, aside = one_by_one(values, column)
        if kind == "json":
            typed = [None if value is None else to_json(value).decode() for value in typed]
        found, found_aside, type_ = at_once(values, column, texts=True)
        assert (found, found_aside) == (typed, aside), values
        assert type_ == arrow_type(column)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_whole_columns_of_json_are_read_as_value_by_value(kind, seed):
    rng = random.Random(f"{kind} {seed}")
    column = KINDS[kind]
    good = [value for each, value, _ in FITS if each == kind]
    bad = [value for each, value in MISFITS if each == kind] or good
    for _ in range(200):
        pool = [rng.choice(good), rng.choice(good), rng.choice(bad if rng.random() < 0.5 else good)]
        values = [rng.choice(pool) for _ in range(rng.choice([1, 2, 5]))]
        typed, aside = one_by_one(values, column)
        if kind == "json":
            typed = [None if value is None else to_json(value).decode() for value in typed]
        found, found_aside, _ = at_once(values, column, texts=False)
        assert (found, found_aside) == (typed, aside), values


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "json"])
def test_plain_values_take_the_fast_way(kind, monkeypatch):
    monkeypatch.setattr(arrays, "typed_value", lambda value, column: pytest.fail(f"{value!r} one by one"))
    plain = {
        "string": ("a", None),
        "integer": ("12", 12),
        "decimal": ("1.50", 1.5),
        "whole": ("3", 3),
        "double": ("0.30000000000000004", 0.5),
        "boolean": ("true", True),
        "date": ("2026-01-31", "2026-01-31"),
        "datetime": ("2026-01-31T04:00:00+05:30", "2026-01-31T04:00:00+05:30"),
        "list": ("a;b c", ["a", "b"]),
        "lookup": ("1", {"id": "1", "name": "x"}),
        "user": ("1", {"id": "1", "name": "x", "email": "y"}),
    }
    text, value = plain[kind]
    at_once([text, None, text], KINDS[kind], texts=True)
    at_once([value, None, value], KINDS[kind], texts=False)
    # A slice, as a page that is split makes them.
    rows = ArrowRows([KINDS[kind]], TypeErrors("fail"), "x")
    held = pa.array([None, text, None, text], pa.string()).slice(1, 2)
    assert rows.batch([held], [None, None], 2).column(0).null_count == 1


def test_a_misfit_is_named_with_its_record_and_what_to_do():
    errors = TypeErrors("fail")
    with pytest.raises(ZohoTypeError) as caught:
        errors.add("x" * 500, Column("Amount", "decimal", 2), "12")
    text = str(caught.value)
    assert "Amount of record 12 is no decimal with 2 digits" in text
    assert 'on_type_error="string"' in text
    assert "x" * 90 in text
    assert "x" * 100 not in text
