"""Parameters as operators get them: given in Python, or as the text a template renders."""

from __future__ import annotations

from typing import Any

from airflow_provider_zohocrm.client import jsontext
from airflow_provider_zohocrm.exceptions import ZohoValidationError


def given(value: Any) -> Any:
    """Take the text of an empty template for "not given", e.g. of a first run's ``prev_data_interval_end_success``."""
    return None if isinstance(value, str) and value.strip() in ("", "None", "none") else value


def whole_number(value: Any, what: str) -> int | None:
    """Read a whole number.

    :raises ZohoValidationError: if it is none.
    """
    value = given(value)
    if value is None:
        return None
    try:
        number = int(value)
    except (TypeError, ValueError):
        raise ZohoValidationError(f"{what} is {value!r}; it must be a whole number") from None
    if isinstance(value, bool) or number != float(value):
        raise ZohoValidationError(f"{what} is {value!r}; it must be a whole number")
    return number


def seconds(value: Any, what: str) -> float:
    """Read a number of seconds.

    :raises ZohoValidationError: if it is none, or below 0.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = -1.0
    if isinstance(value, bool) or not 0 <= number < float("inf"):
        raise ZohoValidationError(f"{what} is {value!r}; it must be a number of seconds")
    return number


def truth(value: Any, what: str) -> bool | None:
    """Read true or false.

    :raises ZohoValidationError: if it is neither.
    """
    value = given(value)
    if value is None or isinstance(value, bool):
        return value
    found = {"true": True, "false": False}.get(str(value).strip().lower())
    if found is None:
        raise ZohoValidationError(f"{what} is {value!r}; it must be true or false")
    return found


def name_list(value: Any, what: str) -> Any:
    """Read a list of names that may also be JSON text, or names separated by commas.

    :raises ZohoValidationError: if text that looks like JSON is none.
    """
    value = given(value)
    if isinstance(value, str) and not value.lstrip().startswith("["):
        return [name.strip() for name in value.split(",") if name.strip()]
    return from_json(value, what)


def from_json(value: Any, what: str) -> Any:
    """Read JSON text; anything but text is passed on.

    :raises ZohoValidationError: if the text is not JSON.
    """
    value = given(value)
    if not isinstance(value, str):
        return value
    try:
        return jsontext.loads(value.encode())
    except ValueError:
        raise ZohoValidationError(f"{what} is text that is not JSON: {value[:80]!r}") from None
