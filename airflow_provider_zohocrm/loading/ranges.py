"""Sets of numbers as ranges, for a checkpoint that stays small."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def ranges(numbers: Iterable[int]) -> list[list[int]]:
    """Put ascending numbers into ranges ``[first, last]``."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return found


def inside(found: Sequence[Sequence[int]], number: int) -> bool:
    """Tell whether a number is in one of the ranges."""
    place = bisect_right(found, number, key=lambda each: each[0])
    return place > 0 and number <= found[place - 1][1]
