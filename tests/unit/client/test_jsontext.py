from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import orjson
import pytest

from airflow_provider_zohocrm.client.jsontext import (
    dumps,
    loads,
    loads_page,
    loads_results,
    modified_times,
    zoho_datetime,
)
from airflow_provider_zohocrm.client.written import Details, Written
from airflow_provider_zohocrm.exceptions import ZohoResponseError, ZohoValidationError

IST = timezone(timedelta(hours=5, minutes=30))


@pytest.mark.parametrize("number", [1306462000000888026, 9223372036854775807, 9999999999999999999])
def test_ids_of_19_digits_keep_every_digit(number):
    assert loads(f'{{"id":{number}}}'.encode())["id"] == number
    assert loads(f'{{"id":"{number}"}}'.encode())["id"] == str(number)
    assert dumps({"id": number}) == f'{{"id":{number}}}'.encode()


@pytest.mark.parametrize("before", ["", " ", "-", " -"])
@pytest.mark.parametrize(
    "number", ["12345678901234567.89", "0.12345678901234567891", "123456789.123456789", "9007199254740993.0"]
)
def test_fractions_that_a_float_would_round_keep_every_digit(number, before):
    text = before + number
    for body in (
        f'{{"a":{text}}}',
        f"[{text}]",
        f"[1,{text}]",
        f'{{"a":"x","b":{text}}}',
        f'{{"a": [{text}]}}',
    ):
        value = loads(body.encode())
        while not isinstance(value, (float, Decimal)):
            value = list(value.values())[-1] if isinstance(value, dict) else value[-1]
        assert Decimal(repr(value) if isinstance(value, float) else value) == Decimal(text.strip())


def test_whole_numbers_beyond_64_bits_keep_every_digit():
    assert loads(b'{"n":123456789012345678901234567890}') == {"n": 123456789012345678901234567890}


@pytest.mark.parametrize("value", [0.1, 1.5e300, 123456789012.25, -0.000001])
def test_short_fractions_stay_floats(value):
    assert loads(json.dumps({"n": value, "m": [value]}).encode()) == {"n": value, "m": [value]}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[123456789012345678901,NaN]",
        b"{",
        b'{"a":1',
        b"[1,",
        b"nul",
        b"\xff",
        b'["\xff",123456789012345678901]',
        rb'["\ud83d"',
        b"{}{}",
        b"NaN",
        b"<html>",
    ],
)
def test_what_is_not_whole_json_is_a_value_error(text):
    with pytest.raises(ValueError):
        loads(text)


HALVES = [
    (r"x\ud83d", "x\ufffd"),
    (r"\uDE00\ud83d", "\ufffd\ufffd"),
    (r"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
    (r"\ud83d\u00e9", "\ufffd\u00e9"),
    (r"\uD83D\uDE00", "\U0001f600"),
    (r"C:\\ud83d", r"C:\ud83d"),
    (r"\\\ud83d\"", '\\\ufffd"'),
]


@pytest.mark.parametrize(("escaped", "text"), HALVES)
@pytest.mark.parametrize("number", ["1", "12345678901234567.89"])
def test_half_a_character_is_replaced_whoever_parses(escaped, text, number):
    body = f'{{"data":[{{"{escaped}":"{escaped}","n":{number}}}],"info":null}}'.encode()
    assert loads(body) == {"data": [{text: text, "n": Decimal(number)}], "info": None}
    (line,) = loads_page(body)["data"]
    assert loads(bytes(line)) == {text: text, "n": Decimal(number)}
    assert orjson.loads(bytes(line))[text] == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Decimal("0.1"), "0.1"),
        (Decimal("12345678901234567890.123456789"), "12345678901234567890.123456789"),
        (Decimal("1E+3"), "1000"),
        (Decimal("1E-7"), "0.0000001"),
        (Decimal("-5.00"), "-5.00"),
        ([Decimal("1.10")], "[1.10]"),
    ],
)
def test_decimals_keep_all_their_digits_and_stay_numbers(value, text):
    assert dumps(value).decode() == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (datetime(2026, 1, 31, 4, 5, 6, 999_999, tzinfo=timezone.utc), "2026-01-31T04:05:06+00:00"),
        (datetime(2026, 1, 31, 4, 5, 6, tzinfo=IST), "2026-01-31T04:05:06+05:30"),
        (datetime(2026, 1, 31, 4, 5, 6), "2026-01-31T04:05:06+00:00"),  # noqa: DTZ001  # the case under test
        (date(2026, 1, 31), "2026-01-31"),
    ],
)
def test_moments_go_out_to_the_second_with_offset(value, text):
    assert json.loads(dumps({"When": value})) == {"When": text}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("2019-07-25T15:26:49+05:30", "2019-07-25T15:26:49+05:30"),
        ("2019-07-25T15:26:49Z", "2019-07-25T15:26:49+00:00"),
        ("2019-07-25T15:26:49z", "2019-07-25T15:26:49+00:00"),
        ("2019-07-25T15:26:49.123456+00:00", "2019-07-25T15:26:49+00:00"),
        ("2019-07-25T15:26:49.999Z", "2019-07-25T15:26:49+00:00"),
        ("2019-07-25T15:26:49", "2019-07-25T15:26:49+00:00"),
        ("2019-07-25", "2019-07-25T00:00:00+00:00"),
        (" 2019-07-25 15:26:49+00:00 ", "2019-07-25T15:26:49+00:00"),
    ],
)
def test_texts_of_a_moment_get_the_form_zoho_takes(given, sent):
    assert zoho_datetime(given) == sent


@pytest.mark.parametrize("wrong", ["", "Z", "yesterday", "2019-13-01", "25.07.2019"])
def test_a_text_that_is_no_moment_is_an_error(wrong):
    with pytest.raises(ValueError):
        zoho_datetime(wrong)


def test_pendulum_moments_of_airflow_are_taken():
    pendulum = pytest.importorskip("pendulum", reason="comes with Airflow")
    moment = pendulum.datetime(2026, 1, 31, 4, 5, 6, 789_000, tz="Asia/Kolkata")
    assert zoho_datetime(moment) == "2026-01-31T04:05:06+05:30"
    assert json.loads(dumps([moment])) == ["2026-01-31T04:05:06+05:30"]


@pytest.mark.parametrize("text", ["ü", "日本語", "a\nb", 'q"q', "=1+1", "\u0301e", "😀", ""])
def test_texts_are_not_changed(text):
    assert loads(dumps({"v": text})) == {"v": text}


def test_null_and_containers():
    assert loads(dumps({"a": None, "b": (1, 2), "c": {"x"}, 5: True})) == {
        "a": None,
        "b": [1, 2],
        "c": ["x"],
        "5": True,
    }


@pytest.mark.parametrize("value", [object(), b"bytes", 1j, {"a": [object()]}])
def test_a_value_without_json_form_is_an_error(value):
    with pytest.raises(ZohoValidationError):
        dumps(value)


def test_a_page_keeps_the_text_of_its_records():
    page = loads_page(b'{"info":{"more_records":true},"data":[{"id":"1","n":1.10},{"id":"2"}],"other":[1]}')
    assert [bytes(line) for line in page["data"]] == [b'{"id":"1","n":1.10}', b'{"id":"2"}']
    assert page["info"] == {"more_records": True}


@pytest.mark.parametrize("text", [b'{"data":{}}', b'{"message":"no"}', b"[]"])
def test_what_is_no_page_is_parsed_as_anything_else(text):
    assert loads_page(text) == json.loads(text)


@pytest.mark.parametrize("text", [b"", b'{"data":[{"id":"1"}', b'{"data":[{"id":]}', b"<html>"])
def test_a_page_that_is_not_whole_is_a_value_error(text):
    with pytest.raises(ValueError):
        loads_page(text)


WRITTEN = {
    "status": "success",
    "code": "SUCCESS",
    "message": "record added",
    "action": "insert",
    "duplicate_field": None,
    "details": {"id": "1306462000000888026", "Created_By": {"name": "\u00fc", "id": "1"}},
}
REFUSED = {"status": "error", "code": "INVALID_DATA", "message": "no", "details": {"api_name": "Email"}}


def test_of_records_that_were_all_written_only_what_tells_so_is_kept():
    text = json.dumps({"data": [WRITTEN, {"status": "success", "details": {"id": "2"}}]}).encode()
    assert loads_results(text)["data"] == [
        Written("success", Details("1306462000000888026"), "insert"),
        Written("success", Details("2")),
    ]


@pytest.mark.parametrize(
    "results",
    [
        [WRITTEN, REFUSED],
        [WRITTEN | {"status": "SUCCESS"}],
        [WRITTEN | {"details": {"id": 7}}],
        [WRITTEN | {"details": {}}],
        [WRITTEN | {"details": None}],
        [WRITTEN | {"action": 1}],
        [None],
        {},
    ],
)
def test_results_of_any_other_kind_are_kept_as_they_are(results):
    answer = {"data": results, "more": 1}
    assert loads_results(json.dumps(answer).encode()) == answer


@pytest.mark.parametrize("text", [b"", b'{"data":[{"status":"success"', b"<html>"])
def test_results_that_are_not_whole_are_a_value_error(text):
    with pytest.raises(ValueError):
        loads_results(text)


def test_times_are_read_out_of_the_text():
    lines = [
        b'{"Modified_Time":"2026-01-01T00:00:00Z","x":[{"Modified_Time":1}]}',
        b'{"Modified_Time":null}',
        b"{}",
    ]
    assert modified_times(lines) == ["2026-01-01T00:00:00Z", None, None]
    with pytest.raises(ZohoResponseError, match="not as documented"):
        modified_times([b"[1]"])
