"""How long to wait between two looks at a job: one rule for workers and triggers."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_POLL = 10.0
LONGEST_POLL = 60.0


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
        delay = min(delay * 1.5, max(first, longest))
        yield delay * random.uniform(0.8, 1.0)  # noqa: S311  # no secret
