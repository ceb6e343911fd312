from __future__ import annotations

from itertools import islice

import pytest

from airflow_provider_zohocrm.client import polling
from airflow_provider_zohocrm.client.polling import FIRST_POLL, LONGEST_POLL, poll_delays


def test_the_bounds_are_those_of_the_design():
    assert (FIRST_POLL, LONGEST_POLL) == (10.0, 60.0)


@pytest.mark.parametrize("first", [0.5, 10.0, 90.0])
def test_the_first_wait_is_never_shortened(first):
    assert next(poll_delays(first, 60.0)) == first


def test_waits_grow_to_the_longest(monkeypatch):
    monkeypatch.setattr(polling.random, "uniform", lambda low, high: high)
    assert list(islice(poll_delays(10.0, 60.0), 7)) == [10.0, 15.0, 22.5, 33.75, 50.625, 60.0, 60.0]


def test_jitter_only_shortens_and_only_a_little():
    for _ in range(20):
        delays = list(islice(poll_delays(10.0, 60.0), 12))
        assert all(0.8 * 10 <= delay <= 60.0 for delay in delays)
        assert all(48.0 <= delay <= 60.0 for delay in delays[6:])


def test_jitter_differs():
    assert len({tuple(islice(poll_delays(10.0, 60.0), 5)) for _ in range(10)}) == 10


def test_a_first_wait_above_the_longest_stays(monkeypatch):
    monkeypatch.setattr(polling.random, "uniform", lambda low, high: high)
    assert list(islice(poll_delays(90.0, 60.0), 3)) == [90.0, 90.0, 90.0]


def jobs_alone(seconds, count):
    """Wait for jobs that follow each other, where a look costs little; return all seconds, and the looks."""
    timing = {
        "busy_since": 0.0,
        "completed": 0,
        "job_seconds": None,
        "ended_at": 0.0,
        "early": False,
        "resumed_at": 0.0,
    }
    now, looks = 1000.0, 0
    for _ in range(count):
        timing["busy_since"], timing["completed"] = now, 0
        job = {"submitted_at": now, "state": "running", "looks": 0, "looked_at": 0.0}
        while job["state"] == "running":
            now += max(0.0, polling.seconds_to_look(timing, job, now, FIRST_POLL, LONGEST_POLL, often=True))
            running_at, job["looked_at"], looks = job["looked_at"], now, looks + 1
            job["looks"] += 1
            if now - job["submitted_at"] >= seconds:
                polling.note_end(timing, job, now, alone=True, running_at=running_at)
                job["state"] = "completed"
    return now - 1000.0, looks


@pytest.mark.parametrize("seconds", [15, 30, 45, 90, 200])
def test_where_a_look_costs_little_the_end_of_the_first_job_is_seen_soon(seconds):
    whole, looks = jobs_alone(seconds, 1)
    assert whole <= 1.25 * seconds
    assert looks <= 15


@pytest.mark.parametrize("seconds", [5, 12, 15, 30, 45, 90])
def test_after_the_first_job_little_time_passes_between_an_end_and_its_look(seconds):
    first, _ = jobs_alone(seconds, 1)
    whole, looks = jobs_alone(seconds, 10)
    assert whole - first <= 1.2 * 9 * seconds
    assert looks <= 45
