from __future__ import annotations

import random

import pytest

from airflow_provider_zohocrm.loading.inputs import Position
from airflow_provider_zohocrm.loading.ranges import inside, ranges
from airflow_provider_zohocrm.loading.scheduler import Item, Scheduler


def item(index, *keys):
    return Item(index, Position(0, index), {"n": index}, frozenset(keys))


def indexes(batch):
    return [one.index for one in batch]


def test_records_without_a_common_key_go_in_full_batches_in_their_order():
    scheduler = Scheduler(3)
    for number in range(7):
        scheduler.add(item(number, ("Email", str(number))))
    assert [indexes(scheduler.batch(0)) for _ in range(4)] == [[0, 1, 2], [3, 4, 5], [6], []]


def test_a_key_is_in_one_batch_at_a_time_and_in_order():
    scheduler = Scheduler(10)
    first, second, third = item(0, "a"), item(1, "a", "b"), item(2, "b")
    for one in (first, second, third):
        scheduler.add(one)
    assert scheduler.batch(0) == [first]
    assert scheduler.batch(0) == []
    scheduler.settle(first)
    assert scheduler.batch(0) == [second]
    scheduler.settle(second)
    assert scheduler.batch(0) == [third]
    scheduler.settle(third)
    assert len(scheduler) == 0


def test_a_key_that_is_settled_is_free_again():
    scheduler = Scheduler(10)
    first = item(0, "a")
    scheduler.add(first)
    scheduler.batch(0)
    scheduler.settle(first)
    scheduler.add(item(1, "a"))
    assert indexes(scheduler.batch(0)) == [1]


def test_records_that_share_two_keys_wait_once_for_each_other():
    scheduler = Scheduler(10)
    first, second = item(0, "a", "b"), item(1, "b", "a")
    scheduler.add(first)
    scheduler.add(second)
    scheduler.batch(0)
    scheduler.settle(first)
    assert scheduler.batch(0) == [second]


def test_a_record_that_was_put_off_keeps_its_followers_waiting():
    scheduler = Scheduler(10)
    first, second = item(0, "a"), item(1, "a")
    scheduler.add(first)
    scheduler.add(second)
    scheduler.batch(0)
    scheduler.put_off(first, 5.0)
    assert scheduler.due == 5.0
    assert scheduler.batch(4.9) == []
    assert scheduler.batch(5.0) == [first]
    assert scheduler.due is None
    scheduler.settle(first)
    assert scheduler.batch(5.0) == [second]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_back_when_per_key_the_order_is_kept(seed):
    """Random keys, batches that end in any order, records put off: nothing is lost, no key overtakes itself."""
    chance = random.Random(seed)
    scheduler, now, applied, under_way = Scheduler(4), 0.0, [], []
    items = [item(n, *(f"k{chance.randint(0, 9)}" for _ in range(chance.randint(0, 3)))) for n in range(80)]
    waiting = iter(items)
    while len(applied) < len(items):
        now += 1
        for one in (next(waiting, None) for _ in range(chance.randint(0, 5))):
            if one is not None:
                scheduler.add(one)
        batch = scheduler.batch(now)
        if batch:
            under_way.append(batch)
        keys = [key for each in under_way for one in each for key in one.keys]
        assert len(keys) == len(set(keys))
        if under_way and chance.random() < 0.7:
            for one in under_way.pop(chance.randrange(len(under_way))):
                if chance.random() < 0.1:
                    scheduler.put_off(one, now + chance.randint(1, 5))
                else:
                    scheduler.settle(one)
                    applied.append(one)
    assert sorted(one.index for one in applied) == list(range(80))
    for key in {key for one in items for key in one.keys}:
        order = [one.index for one in applied if key in one.keys]
        assert order == sorted(order)
    assert len(scheduler) == 0


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [([], []), ([5], [[5, 5]]), ([1, 2, 3, 7, 9, 10], [[1, 3], [7, 7], [9, 10]])],
)
def test_ranges_are_short_and_hold_what_they_were_made_of(numbers, expected):
    found = ranges(numbers)
    assert found == expected
    assert [number for number in range(12) if inside(found, number)] == numbers
