from __future__ import annotations

from airflow_provider_zohocrm.client.pace import CALM, LONG_CALM, Pace


def test_a_refusal_halves_what_is_under_way():
    pace = Pace(10, now=0.0)
    pace.refuse(10, now=5.0)
    assert pace.limit == 5
    pace.refuse(5, now=10.0)
    assert pace.limit == 2


def test_what_is_halved_is_what_was_under_way_not_what_might_have_been():
    pace = Pace(10, now=0.0)
    pace.refuse(4, now=5.0)
    assert pace.limit == 2


def test_refusals_of_calls_that_were_under_way_already_count_once():
    pace = Pace(10, now=0.0)
    pace.refuse(10, now=5.0, seconds=3.0)
    pace.refuse(9, now=7.9, seconds=3.0)
    assert pace.limit == 5
    pace.refuse(5, now=8.0, seconds=3.0)
    assert pace.limit == 2


def test_at_least_one_call_is_made():
    pace = Pace(10, now=0.0)
    pace.refuse(1, now=5.0)
    assert pace.limit == 1


def test_one_more_at_a_time_after_each_calm_while_below_what_was_refused():
    pace = Pace(10, now=0.0)
    pace.refuse(6, now=1.0)
    limits = []
    for number in range(1, 5):
        pace.look(now=1.0 + number * CALM)
        limits.append(pace.limit)
    assert limits == [4, 5, 5, 5]


def test_what_was_refused_is_tried_again_after_a_long_calm_up_to_the_most():
    pace = Pace(4, now=0.0)
    pace.refuse(4, now=0.0)
    now, limits = 0.0, []
    for _ in range(4):
        now += LONG_CALM
        pace.look(now)
        limits.append(pace.limit)
    assert limits == [3, 4, 4, 4]


def test_a_refusal_begins_the_calm_anew():
    pace = Pace(8, now=0.0)
    pace.refuse(8, now=1.0)
    pace.refuse(4, now=1.0 + CALM / 2)
    assert pace.limit == 2
    pace.look(now=1.5 + CALM)
    assert pace.limit == 2
