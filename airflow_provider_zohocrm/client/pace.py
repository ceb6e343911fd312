"""How many calls may be under way: fewer after a refusal, slowly more while Zoho is calm."""

from __future__ import annotations

# Seconds without a refusal after which one more call may be under way.
CALM = 10.0
# The same where Zoho has refused a call before: most likely it would again.
LONG_CALM = 60.0


class Pace:
    """Additive increase, multiplicative decrease. No I/O.

    :param most: calls that may ever be under way together.
    :param now: the time in seconds.
    """

    def __init__(self, most: int, now: float) -> None:
        self._most = most
        self._refused_at = most + 1
        self._changed = now
        self._next_halving = now
        self.limit = most
        """Calls that may be under way together now."""

    def refuse(self, under_way: int, now: float, seconds: float = 0.0) -> None:
        """Note that Zoho refused a call because there were too many.

        :param under_way: calls that were under way then, itself among them.
        :param seconds: how long a call takes; what was under way when the limit was halved may still be refused, and
            tells nothing new.
        """
        self._changed = now
        if now >= self._next_halving:
            self._refused_at = min(self.limit, under_way)
            self.limit = max(1, self._refused_at // 2)
            self._next_halving = now + max(1.0, seconds)

    def look(self, now: float) -> None:
        """Allow one call more, if Zoho has been calm for long enough."""
        calm = CALM if self.limit + 1 < self._refused_at else LONG_CALM
        if self.limit < self._most and now - self._changed >= calm:
            self.limit += 1
            self._changed = now
