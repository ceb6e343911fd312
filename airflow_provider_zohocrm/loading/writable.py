"""Records as they are written to rejects, whatever is in them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from airflow_provider_zohocrm.loading.converters import EMPTY, plain
from airflow_provider_zohocrm.storage.cells import to_json

# What writes JSON goes some 250 levels deep.
_DEEPEST = 100


def writable(value: Any) -> Any:
    r"""Give a value that JSON has no form for one.

    Bytes become base64, lone surrogates ``\ud800``, keys of objects and what else JSON does not know the text that Python
    gives it; integers of any size and what is as JSON wants it stay as they are.

    :param value: a record, or a value of one.
    :return: the same, or a copy that :func:`~airflow_provider_zohocrm.storage.cells.to_json` takes.
    """
    return value if _is_json([[value]]) else _written(value, 0)


def _written(value: Any, depth: int) -> Any:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    value = plain(value)
    if value is EMPTY:
        return None
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, (Mapping, list)):
        return _nested(value, depth) if depth < _DEEPEST else _written(_text(value), depth)
    if type(value) is int:
        # JSON libraries give an integer 64 bits; a decimal has as many digits as it needs.
        value = Decimal(value)
    return value if _is_json(value) else _written(_text(value), depth)


def _nested(value: Mapping[Any, Any] | list[Any], depth: int) -> Any:
    if isinstance(value, list):
        return [_written(one, depth + 1) for one in value]
    return {_written(_text(key), depth): _written(one, depth + 1) for key, one in value.items()}


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001  # objects that are not ours, and what is nested deeper than Python goes
        return f"{type(value).__name__}: {type(error).__name__}"


def _is_json(value: Any) -> bool:
    try:
        to_json(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True
