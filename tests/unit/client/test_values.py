from __future__ import annotations

from decimal import Decimal

import pytest

from airflow_provider_zohocrm.client.jsontext import dumps
from airflow_provider_zohocrm.client.values import text_converter

FIELDS = [
    {"api_name": "Flag", "json_type": "boolean", "data_type": "boolean"},
    {"api_name": "Count", "json_type": "integer", "data_type": "integer"},
    {"api_name": "Amount", "json_type": "double", "data_type": "currency"},
    {"api_name": "Colours", "json_type": "jsonarray", "data_type": "multiselectpicklist"},
    {"api_name": "Owner", "json_type": "jsonobject", "data_type": "ownerlookup"},
    {"api_name": "Last_Name", "json_type": "string", "data_type": "text"},
]
convert = text_converter(FIELDS)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("Flag", "true", True),
        ("Flag", " FALSE ", False),
        ("Flag", "yes", "yes"),
        ("Flag", "", ""),
        ("Count", "42", 42),
        ("Count", " -7 ", -7),
        ("Count", "+7", 7),
        ("Count", "4.0", "4.0"),
        ("Count", "", ""),
        ("Count", "٤٢", "٤٢"),
        ("Count", "--5", "--5"),
        ("Count", "+-5", "+-5"),
        ("Count", "- 5", "- 5"),
        ("Count", "9223372036854775807", 9223372036854775807),
        ("Amount", "12345678901234567.89", Decimal("12345678901234567.89")),
        ("Amount", " 1.10 ", Decimal("1.10")),
        ("Amount", "1,10", "1,10"),
        ("Amount", "NaN", "NaN"),
        ("Amount", "Infinity", "Infinity"),
        ("Amount", "1_000", "1_000"),
        ("Amount", "", ""),
        ("Colours", "red;dark blue; green", ["red", "dark blue", "green"]),
        ("Colours", "", []),
        ("Owner", " 1306462000000888026 ", {"id": "1306462000000888026"}),
        ("Owner", "Patricia", "Patricia"),
        ("Owner", "", ""),
        ("Last_Name", "007", "007"),
        ("Last_Name", "true", "true"),
        ("Unknown", "1", "1"),
    ],
)
def test_a_text_becomes_the_value_of_its_field_or_stays(name, text, value):
    found = convert({name: text})
    assert found == {name: value}
    assert type(found[name]) is type(value)


@pytest.mark.parametrize("name", ["Count", "Amount"])
@pytest.mark.parametrize("text", ["99999999999999999999", "9" * 5000, "-" + "9" * 30])
def test_a_number_of_many_digits_can_be_sent(name, text):
    body = dumps(convert({name: text, "Last_Name": "x"}))
    assert text.encode() in body
    assert b'"Last_Name":"x"' in body


def test_an_exponent_that_would_fill_the_memory_stays_a_text():
    assert convert({"Amount": "1e999999999"}) == {"Amount": "1e999999999"}


def test_a_row_keeps_its_columns_and_their_order():
    row = {"Last_Name": "x", "Flag": "true", "Other": ""}
    assert list(convert(row).items()) == [("Last_Name", "x"), ("Flag", True), ("Other", "")]


def test_field_objects_without_types_are_texts():
    assert text_converter([{"api_name": "X"}])({"X": "1"}) == {"X": "1"}
