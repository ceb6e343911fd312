"""How long to wait between two looks at a job: one rule for workers and triggers, bulk read and bulk write."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_POLL = 10.0
LONGEST_POLL = 60.0
# Two looks are never nearer, however well the end of a job is known: each costs a credit.
_SHORTEST = 1.0
_GROWTH = 1.5


class JobLooks(TypedDict):
    """What is known of a job in flight. Times are Unix times.

    ``state`` is ``running`` or ``completed`` for a job that Zoho has, ``looks`` how often it was asked for,
    ``looked_at`` when last (0 for never), ``try_number`` which try of the task submitted it.
    """

    job_id: str
    submitted_at: float
    state: str
    looks: int
    looked_at: float
    try_number: int


class Timing(TypedDict):
    """What is known of how long jobs take.

    ``busy_since`` and ``completed`` are the time since which Zoho has had a job of ours to work on, and how many it has
    ended since; ``job_seconds`` is what one takes by that, ``ended_at`` when the last one was seen to have ended,
    ``early`` whether it had by the first look at it, and ``resumed_at`` when a further try of the task took over.
    """

    busy_since: float
    completed: int
    job_seconds: float | None
    ended_at: float
    early: bool
    resumed_at: float


def poll_delays(first: float, longest: float) -> Iterator[float]:
    """Yield seconds to wait: the first at once in full, then half as long again each time, with jitter.

    Each look costs a credit. The first wait is never shortened: a trigger that fires within seconds of the deferral
    can fail its task.

    :param first: seconds before the first look.
    :param longest: upper bound in seconds.
    """
    delay = first
    yield delay
    while True:
        delay = min(delay * _GROWTH, max(first, longest))
        yield delay * random.uniform(0.8, 1.0)  # noqa: S311  # no secret


def seconds_to_look(
    timing: Timing, job: JobLooks, now: float, first: float, longest: float, *, often: bool = False
) -> float:
    """Tell in how many seconds a look at the oldest job is worth its credit.

    While no job has ended yet: ``first`` after the submission, then half as long again each time; ``often``, after a
    quarter of the time that it has taken so far. Zoho works on the jobs of an organisation one after another (reference
    sheet §4.6); once one has ended, the next is looked at when it should have ended, too. If it was later than thought
    that the last one was looked at, the next is at once.

    :param job: the oldest job that is not done with.
    :param first: seconds before the first look at the first job.
    :param longest: the longest seconds between two looks.
    :param often: a look costs little beside the job.
    :return: 0 or less for "now".
    """
    if job["state"] == "completed":
        return 0.0
    last, looks, job_seconds = job["looked_at"] or job["submitted_at"], job["looks"], timing["job_seconds"]
    longest = max(first, longest)
    if timing["early"] and looks == 0 and job["submitted_at"] < timing["ended_at"]:
        return 0.0
    if job_seconds is None:
        taken = last - job["submitted_at"]
        delay = max(_SHORTEST, taken / 4) if often and looks else first * _GROWTH**looks
        return last + min(delay, longest) - now
    expected = max(job["submitted_at"], timing["busy_since"] + (timing["completed"] + 1) * job_seconds)
    if last >= expected:
        expected = last + max(_SHORTEST, job_seconds / 5) * _GROWTH ** max(0, looks - 1)
    # An end that is far away is not waited for blindly: the last job may be a short one.
    at = min(expected, last + longest)
    return max(at, job["looked_at"] + min(_SHORTEST, first)) - now


def note_end(
    timing: Timing, job: JobLooks, now: float, *, alone: bool, running_at: float | None = None
) -> None:
    """Note that a job has ended.

    :param alone: whether no other job was in flight.
    :param running_at: when it was last seen to run, 0 for never. Where a look costs little beside the job, the next job
        is looked at from the middle between that time and the end on. None: when this one was seen to have ended.
    """
    if job["state"] == "completed":
        return
    timing["completed"] += 1
    duration = max(0.0, now - timing["busy_since"]) / timing["completed"]
    timing["early"] = job["looks"] <= 1
    if alone and running_at is not None:
        shortest = max(0.0, running_at - timing["busy_since"]) / timing["completed"]
        duration = (shortest + duration) / 2
    elif timing["early"]:
        # It may have ended long before, as when a download kept us: that tells nothing but an upper bound.
        # Where no other job's state tells more, the next one is looked at somewhat sooner.
        duration = min(duration * (0.7 if alone else 1.0), timing["job_seconds"] or duration)
    timing["job_seconds"] = duration
    timing["ended_at"] = now
