from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import pairwise

import pytest

from airflow_provider_zohocrm.exceptions import ZohoValidationError
from airflow_provider_zohocrm.extraction.window import Window


def test_a_window_in_the_words_of_each_api():
    window = Window.of("2026-01-31T09:30:00+05:30", "2026-02-01T00:00:00.999Z")
    assert window.coql() == [
        "Modified_Time >= '2026-01-31T09:30:00+05:30'",
        "Modified_Time < '2026-02-01T00:00:00+00:00'",
    ]
    assert window.criteria() == {
        "group_operator": "and",
        "group": [
            {
                "api_name": "Modified_Time",
                "comparator": "greater_equal",
                "value": "2026-01-31T09:30:00+05:30",
            },
            {"api_name": "Modified_Time", "comparator": "less_than", "value": "2026-02-01T00:00:00+00:00"},
        ],
    }


def test_one_bound_is_one_condition():
    assert Window.of("2026-01-31", None).criteria() == {
        "api_name": "Modified_Time",
        "comparator": "greater_equal",
        "value": "2026-01-31T00:00:00+00:00",
    }
    assert len(Window.of(None, "2026-01-31").coql()) == 1


def test_no_bound_is_no_condition():
    window = Window.of(None, "")
    assert not window
    assert window.coql() == []
    assert window.criteria() is None


def test_windows_that_touch_share_no_moment():
    start = datetime(2026, 1, 1, tzinfo=timezone.utc)
    edges = [start + timedelta(seconds=0.4 * n) for n in range(20)]
    windows = [Window.of(a, b) for a, b in pairwise(edges)]
    for second in range(7):
        moment = start + timedelta(seconds=second)
        assert sum(one.since <= moment < one.before for one in windows) == 1, moment


@pytest.mark.parametrize(
    ("since", "before", "text"),
    [
        ("yesterday", None, "modified_since is 'yesterday'"),
        (None, "2026-13-01", "modified_before is '2026-13-01'"),
        ("2026-02-01", "2026-01-01", "is after"),
    ],
)
def test_bounds_that_cannot_be_right(since, before, text):
    with pytest.raises(ZohoValidationError, match=text):
        Window.of(since, before)
