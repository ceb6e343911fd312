from __future__ import annotations

import threading

import pytest

from airflow_provider_zohocrm.read_ahead import read_ahead


def test_items_come_in_their_order():
    assert list(read_ahead(iter(range(100)))) == list(range(100))


def test_the_next_item_is_fetched_while_this_one_is_worked_on():
    fetched = [threading.Event() for _ in range(3)]

    def items():
        for number, event in enumerate(fetched):
            event.set()
            yield number

    ahead = read_ahead(items())
    assert next(ahead) == 0
    assert fetched[1].wait(5)
    ahead.close()


def test_no_more_than_the_depth_is_held():
    made = []

    def items():
        for number in range(100):
            made.append(number)
            yield number

    ahead = read_ahead(items(), depth=2)
    assert [next(ahead) for _ in range(10)] == list(range(10))
    # Given out, two waiting, and one in the hand of the thread.
    assert len(made) <= 13
    ahead.close()


def test_an_error_comes_after_the_items_before_it():
    def items():
        yield 1
        raise ValueError("broken")

    ahead = read_ahead(items())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="broken"):
        next(ahead)


def test_a_caller_that_stops_early_leaves_no_thread():
    ended = threading.Event()

    def items():
        try:
            yield from range(100)
        finally:
            ended.set()

    ahead = read_ahead(items())
    next(ahead)
    ahead.close()
    assert ended.wait(5)


def test_nothing_is_read_before_the_first_is_asked_for():
    started = []
    read_ahead(started.append(number) for number in range(3))
    assert started == []
