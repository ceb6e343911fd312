from __future__ import annotations

from airflow_provider_zohocrm.loading.pace import CALM, Pace


def test_a_refusal_halves_what_is_under_way():
    pace = Pace(10, 0, now=0.0)
    pace.look(1, now=5.0)
    assert pace.limit == 5
    pace.look(2, now=10.0)
    assert pace.limit == 2


def test_refusals_of_calls_that_were_under_way_already_count_once():
    pace = Pace(10, 0, now=0.0)
    pace.look(1, now=5.0, seconds=3.0)
    pace.look(4, now=7.9, seconds=3.0)
    assert pace.limit == 5
    pace.look(5, now=8.0, seconds=3.0)
    assert pace.limit == 2


def test_at_least_one_call_is_made():
    pace = Pace(1, 0, now=0.0)
    pace.look(1, now=5.0)
    assert pace.limit == 1


def test_one_more_at_a_time_after_each_calm_while_up_to_the_most():
    pace = Pace(4, 0, now=0.0)
    pace.look(1, now=1.0)
    limits = []
    for number in range(1, 5):
        pace.look(1, now=1.0 + number * CALM)
        limits.append(pace.limit)
    assert limits == [3, 4, 4, 4]


def test_a_refusal_begins_the_calm_anew():
    pace = Pace(8, 0, now=0.0)
    pace.look(1, now=1.0)
    pace.look(2, now=1.0 + CALM / 2)
    assert pace.limit == 2
    pace.look(2, now=1.5 + CALM)
    assert pace.limit == 2


def test_refusals_before_the_load_do_not_count():
    pace = Pace(8, 3, now=0.0)
    pace.look(3, now=1.0)
    assert pace.limit == 8
