"""JSON with all the digits of its numbers."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import orjson

# Digits and the point become one character, and so does what stands before a number, so that one plain search finds a
# long one. A string, such as an id, begins with a quote.
_EVEN = bytes.maketrans(b"123456789." + b":,[-", b"0000000000" + b"    ")
# A number of up to 15 digits and a point comes out of a float as it went in.
_LONG_NUMBER = b" " + b"0" * 17


def loads(text: bytes) -> Any:
    """Parse JSON; numbers with a fraction that a float would round become ``Decimal``.

    :raises ValueError: if the text is not whole JSON.
    """
    if may_round(text):
        return json.loads(text, parse_float=_fraction, parse_constant=no_json)
    return orjson.loads(text)


def may_round(text: bytes) -> bool:
    """Tell whether JSON holds a number so long that a float may not keep all its digits.

    :param text: one JSON text, or several together.
    """
    return _LONG_NUMBER in text.translate(_EVEN)


def no_json(text: str) -> None:
    """Refuse NaN and infinities, which are no JSON.

    :raises ValueError: always.
    """
    raise ValueError(f"{text} is no JSON")


def _fraction(text: str) -> float | Decimal:
    number = float(text)
    exact = Decimal(text)
    return number if Decimal(repr(number)) == exact else exact
