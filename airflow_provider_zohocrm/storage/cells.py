"""Values as JSON, and as the text of one cell."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any

import orjson


def to_json(value: Any, *, line: bool = False, indent: bool = False) -> bytes:
    """Write a value as JSON in UTF-8.

    Beyond what JSON knows: dates and times in ISO 8601, with all their digits and their offset; a Decimal as a number
    with all its digits; NaN and infinities as null; UUIDs and the values of enums as they are.

    :param value: what Zoho's JSON was parsed into, or what a file was read into.
    :param line: end with a newline.
    :param indent: lay it out for people, instead of compact.
    :return: the JSON text.
    :raises TypeError: when the value, or one inside, has no JSON form.
    """
    options = (orjson.OPT_APPEND_NEWLINE if line else 0) | (orjson.OPT_INDENT_2 if indent else 0)
    return orjson.dumps(value, _encode, options)


def compact(text: Any) -> bytes:
    """Take the blanks between the tokens of a JSON text away; everything else stays as it is.

    :param text: buffer with whole JSON.
    """
    import msgspec

    return msgspec.json.format(bytes(text), indent=-1)


def to_text(value: Any) -> str | None:
    """Write a value as the text of one cell.

    A text stays as it is; numbers, booleans and what is nested are their JSON; dates and times are ISO 8601.

    :param value: as for :func:`to_json`.
    :return: the text, or None where the value is null.
    :raises TypeError: when the value, or one inside, has no JSON form.
    """
    if value is None or type(value) is str:
        return value
    data = to_json(value)
    if data.startswith(b'"'):
        text: str = orjson.loads(data)
        return text
    return None if data == b"null" else data.decode()


def _encode(value: Any) -> Any:
    # orjson knows the date types, but not their subclasses, such as pendulum's.
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        # A float would round it.
        return orjson.Fragment(str(value)) if value.is_finite() else None
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a value of type {type(value).__name__} has no JSON form")
