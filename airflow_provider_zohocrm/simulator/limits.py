"""Credits in rolling 24 hours, calls at the same time, and what was counted (sheet §6)."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.simulator.errors import too_many_requests

if TYPE_CHECKING:
    from airflow_provider_zohocrm.simulator.clock import Clock
    from airflow_provider_zohocrm.simulator.options import Options

DAY = 86_400


class Limits:
    """Book-keeping of an organisation's use of the API."""

    def __init__(self, clock: Clock, options: Options) -> None:
        self.clock = clock
        self.options = options
        self.calls: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.credits_total = 0
        self.records = 0
        self.active = 0
        self.active_heavy = 0
        self.peak = 0
        self._spent: deque[tuple[float, int]] = deque()
        self._used = 0

    def reset(self) -> None:
        """Start counting again."""
        self.calls.clear()
        self.statuses.clear()
        self._spent.clear()
        self.credits_total = self.records = self._used = 0
        self.peak = self.active

    def used(self) -> int:
        """Return the credits spent in the last 24 hours."""
        while self._spent and self._spent[0][0] <= self.clock.now() - DAY:
            self._used -= self._spent.popleft()[1]
        return self._used

    def charge(self, price: int) -> None:
        """Spend credits.

        :param price: how many.
        :raises ApiError: 429 where they are used up.
        """
        if self.options.enforce_credits and self.used() + price > self.options.credits:
            raise too_many_requests()
        self._spent.append((self.clock.now(), price))
        self._used += price
        self.credits_total += price

    def remaining_header(self) -> dict[str, str]:
        """Return ``X-API-CREDITS-REMAINING``, shown once half of the credits are used."""
        used = self.used()
        if used * 2 < self.options.credits:
            return {}
        return {"X-API-CREDITS-REMAINING": str(max(0, self.options.credits - used))}

    def enter(self, *, heavy: bool) -> None:
        """Count a call in.

        :param heavy: whether it counts for the sub-concurrency limit.
        :raises ApiError: 429 where too many are under way.
        """
        limit, sub = self.options.concurrency_limit, self.options.sub_concurrency_limit
        if (limit and self.active >= limit) or (heavy and sub and self.active_heavy >= sub):
            raise too_many_requests()
        self.active += 1
        self.active_heavy += heavy
        self.peak = max(self.peak, self.active)

    def leave(self, *, heavy: bool) -> None:
        """Count a call out.

        :param heavy: as when it came in.
        """
        self.active -= 1
        self.active_heavy -= heavy

    def as_dict(self) -> dict[str, Any]:
        """Return the counters."""
        return {
            "calls": self.calls.total(),
            "calls_by_operation": dict(self.calls),
            "statuses": {str(status): count for status, count in self.statuses.items()},
            "credits": self.credits_total,
            "credits_in_24_hours": self.used(),
            "records": self.records,
            "peak_concurrency": self.peak,
        }
