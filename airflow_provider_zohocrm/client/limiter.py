"""How many calls of this process are at one organisation together: one limiter for all its clients, threads and loops."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from threading import Lock
from typing import TYPE_CHECKING

from airflow_provider_zohocrm.client.pace import Pace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

# What Zoho allows of searches, COQL and writes in every edition, and of all calls in Standard (reference sheet §6.1).
MOST = 10


class Limiter:
    """Lets calls begin while there is room; the others wait in their order. Threads and event loops may share it.

    :param most: calls that may ever be under way together.
    """

    def __init__(self, most: int = MOST) -> None:
        self._pace = Pace(most, time.monotonic())
        self._lock = Lock()
        self._under_way = 0
        self._waiting: deque[Future[None]] = deque()

    @property
    def limit(self) -> int:
        """Calls that may be under way together now."""
        with self._lock:
            self._pace.look(time.monotonic())
            return self._pace.limit

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for room in this thread, and keep it."""
        waiting = self._enter()
        if waiting is not None:
            try:
                waiting.result()
            except BaseException:
                self._withdraw(waiting)
                raise
        try:
            yield
        finally:
            self._leave()

    @asynccontextmanager
    async def async_slot(self) -> AsyncIterator[None]:
        """Wait for room without blocking the event loop, and keep it."""
        waiting = self._enter()
        if waiting is not None:
            try:
                await asyncio.wrap_future(waiting)
            except BaseException:
                self._withdraw(waiting)
                raise
        try:
            yield
        finally:
            self._leave()

    def refuse(self, seconds: float = 0.0) -> None:
        """Note that Zoho refused a call that has a slot, because there were too many.

        :param seconds: how long a call takes.
        """
        with self._lock:
            self._pace.refuse(self._under_way, time.monotonic(), seconds)

    def _enter(self) -> Future[None] | None:
        """Take a slot; or, where there is none, a place in the queue."""
        with self._lock:
            self._pace.look(time.monotonic())
            if self._under_way < self._pace.limit and not self._waiting:
                self._under_way += 1
                return None
            self._waiting.append(Future())
            return self._waiting[-1]

    def _withdraw(self, waiting: Future[None]) -> None:
        """Leave the queue; the slot may have come at the same moment."""
        if not waiting.cancel():
            self._leave()

    def _leave(self) -> None:
        admitted = []
        with self._lock:
            self._under_way -= 1
            self._pace.look(time.monotonic())
            while self._waiting and self._under_way < self._pace.limit:
                first = self._waiting.popleft()
                if first.set_running_or_notify_cancel():
                    self._under_way += 1
                    admitted.append(first)
        for one in admitted:
            one.set_result(None)


_limiters: dict[str, Limiter] = {}
_guard = Lock()


def limiter_of(key: str) -> Limiter:
    """Return the limiter of this process for all that give the same key.

    :param key: ``token_key`` of the credentials.
    """
    with _guard:
        if key not in _limiters:
            _limiters[key] = Limiter()
        return _limiters[key]
