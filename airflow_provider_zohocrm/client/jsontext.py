"""JSON text: one place for how values go to and come from Zoho."""

from __future__ import annotations

import re
from datetime import date, datetime, timezone
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson

from airflow_provider_zohocrm import exact_json
from airflow_provider_zohocrm.exceptions import ZohoResponseError, ZohoValidationError

__all__ = ["dumps", "loads", "loads_page", "loads_results", "modified_times", "zoho_datetime"]

if TYPE_CHECKING:
    from collections.abc import Iterable

# Half an emoji, as a text that was cut in the middle of one ends with: no Unicode text can hold it, so that orjson and
# msgspec refuse it, while Python's parser takes it and no file in UTF-8 does. Each becomes U+FFFD, whoever parses. What
# comes first are escaped backslashes and whole pairs.
_HALVES = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)
_MAY_BE_HALF = re.compile(rb"\\u[dD]")


def loads(text: bytes) -> Any:
    """Parse JSON; numbers with a fraction that a float would round become ``Decimal``, half a character U+FFFD.

    :raises ValueError: if the text is not whole JSON.
    """
    return exact_json.loads(_whole(text))


def loads_short(text: bytes) -> Any:
    """Parse JSON like :func:`loads` where no number is long."""
    return orjson.loads(_whole(text))


def _whole(text: bytes) -> bytes:
    """Put U+FFFD in the place of half characters."""
    # In few texts is there any; to look for one character, and then by a pattern, is the fastest way to know.
    if b"\\" not in text or _MAY_BE_HALF.search(text) is None:
        return text
    return _HALVES.sub(lambda found: rb"\ufffd" if found[1] else found[0], text)


@cache
def _page_decoder() -> Any:
    # Imported here, as DAG files are parsed all day.
    import msgspec

    page = msgspec.defstruct("Page", [("data", list[msgspec.Raw]), ("info", Any, None)])
    return msgspec.json.Decoder(page)


def loads_page(text: bytes) -> Any:
    """Parse the answer to a list, but leave its records the text they are: a third of the work.

    :return: the object, whose ``data`` holds the JSON of each record as a buffer; where it is no list, as
        :func:`loads` returns it.
    :raises ValueError: if the text is not whole JSON.
    """
    import msgspec

    # Records are not looked into here.
    text = _whole(text)
    try:
        page = _page_decoder().decode(text)
    except msgspec.ValidationError:
        return loads(text)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error
    return {"data": page.data, "info": page.info}


def loads_results(text: bytes) -> Any:
    """Parse the answer to a write.

    :return: the object. If all records were written, its ``data`` are
        :class:`~airflow_provider_zohocrm.client.written.Written`; else it is all that Zoho says.
    :raises ValueError: if the text is not whole JSON.
    """
    import msgspec

    from airflow_provider_zohocrm.client.written import decode_results

    text = _whole(text)
    try:
        return {"data": decode_results(text).data}
    except msgspec.ValidationError:
        return orjson.loads(text)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error


@cache
def _times_decoder() -> Any:
    import msgspec

    return msgspec.json.Decoder(msgspec.defstruct("Times", [("Modified_Time", str | None, None)]))


def modified_times(lines: Iterable[Any]) -> list[str | None]:
    """Read ``Modified_Time`` out of the JSON of records.

    :raises ZohoResponseError: if one is no object, or its ``Modified_Time`` no text.
    """
    import msgspec

    decode = _times_decoder().decode
    try:
        return [decode(line).Modified_Time for line in lines]
    except msgspec.DecodeError as error:
        raise ZohoResponseError(f"A record of Zoho's is not as documented: {error}") from error


def dumps(value: Any) -> bytes:
    """Render JSON as Zoho takes it: datetimes to the second and with offset, decimals with all their digits.

    :raises ZohoValidationError: for a value JSON has no form for.
    """
    try:
        return orjson.dumps(value, _render, orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_NON_STR_KEYS)
    except TypeError as error:
        raise ZohoValidationError(
            f"What was to be sent to Zoho is no JSON: {error.__cause__ or error}"
        ) from None


def _render(value: Any) -> Any:
    if isinstance(value, datetime):
        return zoho_datetime(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return orjson.Fragment(format(value, "f")) if value.is_finite() else None
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    raise TypeError(f"a value of type {type(value).__name__} cannot be sent to Zoho")


def zoho_datetime(value: datetime | str) -> str:
    """Render a moment as Zoho takes it: ISO 8601, with offset, without fraction (reference sheet §2.1).

    :param value: a datetime or ISO 8601 text; without an offset it counts as UTC, as everywhere in Airflow.
    :raises ValueError: if it is no moment.
    """
    if not isinstance(value, (str, datetime)):
        raise ValueError(f"{value!r} is no moment")
    if isinstance(value, str):
        text = value.strip()
        value = datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in "Zz" and text else text)
    if value.tzinfo is None:
        value = value.replace(tzinfo=timezone.utc)
    return value.isoformat(timespec="seconds")
