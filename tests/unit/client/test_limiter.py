from __future__ import annotations

import asyncio
import threading

import pytest

from airflow_provider_zohocrm.client.limiter import MOST, Limiter, limiter_of

WAIT = 30


class Crowd:
    """Threads that hold a slot until they are told to leave."""

    def __init__(self, limiter):
        self.limiter = limiter
        self.inside = threading.Semaphore(0)
        self.door = threading.Semaphore(0)
        self.threads = []

    def come(self, count):
        for _ in range(count):
            self.threads.append(threading.Thread(target=self._stay, daemon=True))
            self.threads[-1].start()

    def _stay(self):
        with self.limiter.slot():
            self.inside.release()
            self.door.acquire(timeout=WAIT)

    def entered(self, count):
        return all(self.inside.acquire(timeout=WAIT) for _ in range(count))

    def leave(self, count=1):
        self.door.release(count)

    def end(self):
        for thread in self.threads:
            thread.join(WAIT)
        assert not any(thread.is_alive() for thread in self.threads)


def test_no_more_than_the_limit_are_under_way_and_the_others_follow():
    crowd = Crowd(Limiter(2))
    crowd.come(3)
    assert crowd.entered(2)
    assert not crowd.inside.acquire(timeout=0.05)
    crowd.leave()
    assert crowd.entered(1)
    crowd.leave(2)
    crowd.end()


def test_threads_and_event_loops_wait_for_each_other():
    limiter = Limiter(1)
    crowd = Crowd(limiter)
    crowd.come(1)
    assert crowd.entered(1)

    async def look():
        waiting = asyncio.create_task(one())
        await asyncio.sleep(0.05)
        assert not waiting.done()
        crowd.leave()
        return await asyncio.wait_for(waiting, WAIT)

    async def one():
        async with limiter.async_slot():
            return "in"

    assert asyncio.run(look()) == "in"
    crowd.end()


def test_a_thread_follows_an_event_loop():
    limiter = Limiter(1)
    crowd = Crowd(limiter)

    async def hold():
        async with limiter.async_slot():
            crowd.come(1)
            assert not await asyncio.to_thread(crowd.inside.acquire, timeout=0.05)
        assert await asyncio.to_thread(crowd.entered, 1)

    asyncio.run(hold())
    crowd.leave()
    crowd.end()


def test_a_cancelled_wait_costs_no_slot():
    limiter = Limiter(1)

    async def run():
        async def one():
            async with limiter.async_slot():
                return True

        async with limiter.async_slot():
            waiting = [asyncio.create_task(one()) for _ in range(3)]
            await asyncio.sleep(0)
            waiting[0].cancel()
            waiting[1].cancel()
        # The slot is on its way to the third; it is cancelled before it can take it.
        waiting[2].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return await asyncio.wait_for(one(), WAIT)

    assert asyncio.run(run())


def test_a_failure_inside_gives_the_slot_back():
    limiter = Limiter(1)
    for _ in range(2):
        with pytest.raises(RuntimeError), limiter.slot():
            raise RuntimeError
    with limiter.slot():
        pass


def test_a_refusal_halves_what_may_be_under_way():
    limiter = Limiter(10)
    crowd = Crowd(limiter)
    crowd.come(4)
    assert crowd.entered(4)
    limiter.refuse()
    assert limiter.limit == 2
    crowd.come(2)
    crowd.leave(2)
    assert not crowd.inside.acquire(timeout=0.05)
    crowd.leave(4)
    crowd.end()


def test_all_clients_with_the_same_credentials_share_one():
    assert limiter_of("a") is limiter_of("a")
    assert limiter_of("a") is not limiter_of("b")
    assert limiter_of("a").limit == MOST


def test_both_transports_of_a_connection_share_one(zoho, wire):
    assert zoho.transport().limiter is zoho.transport(version="v2").limiter
    assert wire.transport().limiter is wire.aio().limiter
    assert wire.transport().limiter is not zoho.transport().limiter
