from __future__ import annotations

import logging

import pytest

from airflow_provider_zohocrm.exceptions import ZohoCreditLimitError
from airflow_provider_zohocrm.loading.plan import candidates, choose


def chosen(rows, operation="upsert", left=None, **more):
    return choose(candidates(operation, rows, concurrency=5, **more), left).strategy


@pytest.mark.parametrize(
    ("rows", "way"),
    [(0, "records"), (100, "records"), (5_000, "records"), (25_000, "bulk"), (1_000_000, "bulk")],
)
def test_few_records_go_by_calls_and_many_by_bulk_write(rows, way):
    assert chosen(rows) == way


def test_credits_are_those_of_the_reference():
    records, bulk = candidates("insert", 50_001, concurrency=5)
    assert (records.calls, records.credits) == (501, 5_001)
    assert bulk.credits == 3 * 500 + 3 * 6


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"operation": "delete"}, "does not delete"),
        ({"records_only": ["trigger", "lar_id"]}, "trigger, lar_id"),
        ({"rows": None}, "not known"),
    ],
)
def test_what_bulk_write_cannot_do_goes_by_calls_and_is_said_in_the_log(more, word, caplog):
    given = {"operation": "upsert", "rows": 1_000_000, **more}
    with caplog.at_level(logging.INFO):
        found = choose(candidates(given.pop("operation"), given.pop("rows"), concurrency=5, **given))
    assert found.strategy == "records"
    assert word in caplog.text
    assert "credits" in caplog.text


def test_what_costs_more_than_is_left_is_not_chosen():
    assert chosen(25_000, left=600) == "bulk"
    assert chosen(4_000, left=500) == "records"
    with pytest.raises(ZohoCreditLimitError, match="max_credits"):
        chosen(100_000, left=1_000)
