from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal

import pytest

from airflow_provider_zohocrm.loading.writable import writable
from airflow_provider_zohocrm.storage.cells import to_json


class Mute:
    def __str__(self):
        raise ZeroDivisionError


class Number:
    """As numpy has them."""

    def tolist(self):
        return 5


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, "ü", None, True, 1.5]}, '{"a":[1,"ü",null,true,1.5]}'),
        (date(2024, 5, 6), '"2024-05-06"'),
        (b"\xff\x00", '"/wA="'),
        (timedelta(days=1, seconds=2), '"1 day, 0:00:02"'),
        (2**64, "18446744073709551616"),
        ([-(10**30), {"a": Decimal("1.10")}], '[-1000000000000000000000000000000,{"a":1.10}]'),
        ({1}, "[1]"),
        ({1: {(2, 3): b"x"}}, '{"1":{"(2, 3)":"eA=="}}'),
        ("a\ud800", '"a\\\\ud800"'),
        ({"\udfff": 1}, '{"\\\\udfff":1}'),
        (float("inf"), "null"),
        (Number(), "5"),
        (Mute(), '"Mute: ZeroDivisionError"'),
    ],
)
def test_whatever_there_is_can_be_written(value, text):
    assert to_json(writable(value)).decode() == text
    assert to_json(writable({"deeper": [value]})).decode() == '{"deeper":[' + text + "]}"


@pytest.mark.parametrize("depth", [90, 150, 253, 300, 5_000])
def test_what_is_nested_deeply_can_be_written(depth):
    lists, objects = [], {}
    for _ in range(depth):
        lists, objects = [lists], {"a": objects}
    for value in (lists, objects, {"a": {1: lists}}):
        assert json.loads(to_json({"index": 1, "record": writable(value)}))


def test_what_holds_itself_can_be_written():
    loop = {}
    loop["a"] = loop
    assert to_json(writable(loop))


def test_what_json_knows_is_not_copied():
    record = {"a": [1]}
    assert writable(record) is record
