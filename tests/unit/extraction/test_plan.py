from __future__ import annotations

import pytest

from airflow_provider_zohocrm.client.versions import VERSIONS
from airflow_provider_zohocrm.exceptions import ZohoCreditLimitError, ZohoValidationError
from airflow_provider_zohocrm.extraction.plan import Demands, candidates, choose, from_both_ends

V8 = VERSIONS["v8"]


def best(count, version=V8, left=None, **demands):
    return choose(candidates(Demands(**{"fields": 43, **demands}), version, count, 0.13), left)


@pytest.mark.parametrize(
    ("count", "strategy"),
    [
        (0, "records"),
        (200, "records"),
        (1_000, "coql"),
        (100_000, "coql"),
        (250_000, "bulk"),
        (5_000_000, "bulk"),
    ],
)
def test_the_cheapest_way_for_the_number_of_records(count, strategy):
    assert best(count).strategy == strategy


@pytest.mark.parametrize(
    ("demands", "strategy"),
    [
        ({"lists_only": ("sort_by",)}, "records"),
        ({"system_keys": ("$approval",)}, "records"),
        ({"cvid": True}, "records"),
        ({"refused": {"coql": "scope"}}, "records"),
        ({"joined": ("Owner.last_name",)}, "coql"),
        ({"unclear": ("Languages",), "refused": {"coql": "scope"}}, "records"),
    ],
)
def test_what_must_come_back_decides_too(demands, strategy):
    assert best(5_000, **demands).strategy == strategy


def test_a_view_of_many_records_is_read_by_bulk_read_which_knows_views():
    assert best(150_000, cvid=True).strategy == "bulk"


def test_lists_are_no_way_beyond_what_they_reach_from_both_ends():
    found = {one.strategy: one for one in candidates(Demands(fields=5), V8, 200_001)}
    assert "100,000 records from either end" in found["records"].obstacle
    assert not candidates(Demands(fields=5), V8, 200_000)[0].obstacle
    assert candidates(Demands(fields=5, lists_only=("sort_by",)), V8, 100_001)[0].obstacle


@pytest.mark.parametrize(
    "demands",
    [{"cvid": True}, {"max_records": 150_000}, {"lists_only": ("sort_by",)}, {"fields": 60, "cvid": True}],
)
def test_what_is_walked_from_one_end_reaches_half_as_far(demands):
    records = candidates(Demands(**{"fields": 5, **demands}), V8, 150_000)[0]
    assert records.obstacle == "lists end at 100,000 records"
    assert not candidates(Demands(fields=5), V8, 150_000)[0].obstacle


def test_no_way_that_ends_midway_is_taken():
    with pytest.raises(ZohoValidationError, match="records not: lists end at 100,000 records;"):
        best(150_000, system_keys=("$approval",), max_records=150_000)


def test_an_unknown_number_is_read_by_lists():
    assert best(None).strategy == "records"


def test_no_way_at_all_says_why_each_is_none():
    with pytest.raises(ZohoValidationError, match=r"Owner\.last_name.*sort_by.*sort_by"):
        best(10, joined=("Owner.last_name",), lists_only=("sort_by",))


@pytest.mark.parametrize(("left", "strategy"), [(153, "coql"), (152, "bulk"), (54, "bulk")])
def test_what_is_left_of_the_credits_bounds_the_choice(left, strategy):
    assert best(100_000, left=left).strategy == strategy


def test_too_few_credits_for_every_way_are_told_before_anything_is_spent():
    with pytest.raises(ZohoCreditLimitError, match=r"53 API credits are left.*records 500 calls.*coql.*bulk"):
        best(100_000, left=53)


def test_the_estimates_are_those_of_the_sheet():
    records, coql, bulk = candidates(Demands(fields=43), V8, 100_000)
    assert (records.calls, records.credits) == (500, 500)
    assert (coql.calls, coql.credits) == (51, 153)
    assert bulk.credits == 54
    wide = candidates(Demands(fields=96), V8, 1_000)
    assert wide[0].calls == 5 + 10
    assert wide[1].calls == 2
    view = candidates(Demands(fields=10, cvid=True), V8, 1_000)[0]
    assert view.credits == 15
    old = candidates(Demands(fields=10), VERSIONS["v2"], 1_000)[1]
    assert (old.calls, old.credits) == (5, 5)


def test_both_ends_pay_from_some_pages_on():
    assert not from_both_ends(None, 200)
    assert not from_both_ends(1_199, 200)
    assert from_both_ends(1_200, 200)
