"""How many calls may be under way: fewer after a refusal, slowly more while Zoho is calm."""

from __future__ import annotations

# Seconds without a refusal after which one more call may be under way.
CALM = 10.0


class Pace:
    """Additive increase, multiplicative decrease. No I/O.

    :param most: calls that may ever be under way together.
    :param refused: refusals so far.
    :param now: the time in seconds.
    """

    def __init__(self, most: int, refused: int, now: float) -> None:
        self._most = most
        self._refused = refused
        self._changed = now
        self._next_halving = now
        self.limit = most
        """Calls that may be under way together now."""

    def look(self, refused: int, now: float, seconds: float | None = None) -> None:
        """Adapt the limit.

        :param refused: answers of 429 so far.
        :param seconds: how long a call takes; what was under way when the limit was halved may still be refused, and
            tells nothing new.
        """
        if refused > self._refused:
            if now >= self._next_halving:
                self.limit = max(1, self.limit // 2)
                self._next_halving = now + max(1.0, seconds or 0.0)
            self._refused, self._changed = refused, now
        elif now - self._changed >= CALM and self.limit < self._most:
            self.limit += 1
            self._changed = now
