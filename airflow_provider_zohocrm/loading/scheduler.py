"""Which records are sent next: per key in the order given, and no key at Zoho twice at a time."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterable, Mapping

    from airflow_provider_zohocrm.loading.inputs import Position


class Item:
    """A record on its way.

    :param index: number of its row, from 0.
    :param start: where reading would begin with its row.
    :param record: as it is sent.
    :param keys: what identifies it at Zoho.
    """

    __slots__ = ("answered", "blocked", "followers", "index", "keys", "record", "sent_at", "start", "tries")

    def __init__(
        self, index: int, start: Position, record: Mapping[str, Any], keys: Collection[Hashable]
    ) -> None:
        self.index = index
        self.start = start
        self.record = record
        self.keys = keys
        self.blocked = 0
        """How often a record before it that has a key of it stands in its way."""
        self.followers: list[Item] | None = None
        """The records that wait for this one."""
        self.tries = 0
        self.sent_at: float | None = None
        """When it was sent first without an answer, by the clock; Zoho may have stored it."""
        self.answered: int | None = None
        """How many calls had been answered when a call with it failed first."""


class Scheduler:
    """Forms batches out of records that are taken in their order.

    A record waits until those before it that share a key with it are settled. So each key is once in a batch at most,
    no two batches that share a key are under way together, and the result of each record is its own. No I/O.

    :param size: most records in a batch.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._open: dict[int, Item] = {}
        self._last: dict[Hashable, Item] = {}
        self._ready: list[int] = []
        self._later: list[tuple[float, int]] = []

    def __len__(self) -> int:
        """Tell how many records are not settled."""
        return len(self._open)

    @property
    def ready(self) -> int:
        """How many records may be sent now."""
        return len(self._ready)

    @property
    def first(self) -> Item | None:
        """The first record that is not settled."""
        return next(iter(self._open.values()), None)

    @property
    def items(self) -> Iterable[Item]:
        """The records that are not settled, in their order."""
        return self._open.values()

    @property
    def due(self) -> float | None:
        """When the next record that was put off is due."""
        return self._later[0][0] if self._later else None

    def add(self, item: Item) -> None:
        """Take the next record."""
        self._open[item.index] = item
        last = self._last
        for key in item.keys:
            before = last.get(key)
            if before is not None:
                item.blocked += 1
                if before.followers is None:
                    before.followers = []
                before.followers.append(item)
            last[key] = item
        if not item.blocked:
            heappush(self._ready, item.index)

    def batch(self, now: float) -> list[Item]:
        """Take the first records that may be sent, up to a full batch.

        :param now: the time, for records that were put off.
        """
        while self._later and self._later[0][0] <= now:
            heappush(self._ready, heappop(self._later)[1])
        count = min(self._size, len(self._ready))
        return [self._open[heappop(self._ready)] for _ in range(count)]

    def put_off(self, item: Item, due: float) -> None:
        """Have a record sent again later; those that wait for it wait on."""
        heappush(self._later, (due, item.index))

    def settle(self, item: Item) -> None:
        """Forget a record that has its result, and let the next of its keys go."""
        del self._open[item.index]
        for key in item.keys:
            if self._last.get(key) is item:
                del self._last[key]
        for follower in item.followers or ():
            follower.blocked -= 1
            if not follower.blocked:
                heappush(self._ready, follower.index)
