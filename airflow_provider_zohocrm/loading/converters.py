"""What becomes of a value, by the metadata of its field (reference sheet §2.8, §10.2)."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Context, Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

from airflow_provider_zohocrm.exact_json import loads

Convert = Callable[[Any], Any]
"""Takes a value that is not in its form for Zoho yet; returns that form or :data:`EMPTY`, or raises :class:`RefusedError`."""

ConvertRow = Callable[[Mapping[str, Any]], tuple[dict[str, Any], list[tuple[str, "RefusedError"]]]]


class _Empty(Enum):
    EMPTY = 0


EMPTY: Final = _Empty.EMPTY
"""What stands for an empty text, null, NaN and the missing values of pandas."""

_LONGEST_ID = 19
_WHOLE = re.compile(r"[+-]?[0-9]{1,40}")
# An exponent of more digits would be written out as a text that fills the memory.
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,2})?")
_MOST_PLACES = 140
_EXACT = Context(prec=4 * _MOST_PLACES)
# A float beyond may stand for another whole number than the one it was made of.
_EXACT_FLOAT = 1 << 53
_LIMITS = {"integer": 2_147_483_647, "double": 10**16, "currency": 10**16}
_INT64 = (1 << 63) - 1
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}
# Zoho's own patterns are narrower; what these let pass is left to Zoho.
_PATTERNS = {
    "email": re.compile(r"[^@\s,;\"]+@[^@\s,;\"]+\.[^@\s,;\"]+"),
    "phone": re.compile(r"[+]?[0-9a-zA-Z()\-./ ;*#,]*"),
}
_TEXTS = {str}
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[+-][0-9]{2}:[0-9]{2}")
_ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?(?: ?(?:([Zz])|([+-])([0-9]{2}):?([0-9]{2})?))?)?"
)


class RefusedError(Exception):
    """Raised for a value that Zoho would refuse.

    :param value: what to send all the same, where Zoho is to be the judge.
    :param details: as Zoho's ``details``, without ``json_path``.
    :param code: the code Zoho would give (sheet §7).
    :param message: the message Zoho would give.
    :param place: where in the value, as the end of a JSON path.
    """

    def __init__(
        self,
        value: Any,
        details: dict[str, Any],
        *,
        code: str = "INVALID_DATA",
        message: str = "invalid data",
        place: str = "",
    ) -> None:
        super().__init__(message)
        self.value = value
        self.details = details
        self.code = code
        self.message = message
        self.place = place


def converter_of(field: Mapping[str, Any], convert_row: ConvertRow | None = None) -> Convert:
    """Make the function that converts the values of a field.

    :param field: Zoho's field object.
    :param convert_row: converts a row, where the field is a subform.
    :return: the function. It returns a value that is right already as it is, after one look at its type.
    """
    data_type, json_type = field.get("data_type"), field.get("json_type")
    if field["api_name"] == "Tag":
        return _tags(field)
    if data_type == "subform":
        return _subform(field, convert_row or untyped_row)
    if data_type == "bigint" and json_type in (None, "string"):
        return _bigint(field)
    if data_type in _BY_DATA_TYPE and json_type in (None, _JSON_TYPES.get(data_type, "string")):
        return _BY_DATA_TYPE[data_type](field)
    return {"integer": _whole, "double": _decimal, "boolean": _boolean}.get(json_type or "", _untyped)(field)


def plain(value: Any) -> Any:
    """Turn what numpy, pandas and others have instead of Python's own values into those; see :data:`EMPTY`."""
    kind = type(value)
    if value is None or value is EMPTY or kind.__name__ in ("NaTType", "NAType"):
        return EMPTY
    if kind in (str, int, bool, list, dict):
        return value
    if isinstance(value, float):
        return EMPTY if value != value else float(value)  # NaN differs from itself
    if isinstance(value, Decimal):
        return EMPTY if value.is_nan() else value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (tuple, set, frozenset)):
        return list(value)
    if kind.__name__ == "datetime64":
        # To the nanosecond numpy would give a number.
        value = value.astype("datetime64[us]")
    return plain(value.tolist()) if hasattr(value, "tolist") else value


def sendable(value: Any) -> Any:
    """Give a value that JSON has no form for one that Zoho refuses, instead of one that says something else."""
    if type(value) is int and not -_INT64 <= value <= _INT64:
        # JSON libraries give an integer 64 bits; a decimal has as many digits as it needs.
        return Decimal(value)
    if isinstance(value, float) and value - value != 0:
        return str(value)
    if isinstance(value, Decimal) and not _written_out(value):
        return str(value)
    return repr(value) if isinstance(value, (bytes, bytearray, memoryview)) else value


def valid_id(value: Any) -> str | None:
    """Return the text of a record id, or None where the value cannot be one."""
    if type(value) is not str:
        if type(value) is float and value.is_integer() and abs(value) < _EXACT_FLOAT:
            value = int(value)
        if type(value) is not int:
            return None
        value = str(value)
    text: str = value.strip()
    return text if text.isascii() and text.isdigit() and len(text) <= _LONGEST_ID else None


def id_converter(value: Any) -> Any:
    """Convert the id of a record; what cannot be an id is left as it is."""
    if type(value) is str and (found := valid_id(value)):
        return found
    value = plain(value)
    if value is EMPTY or (type(value) is str and not value.strip()):
        return EMPTY
    return valid_id(value) or sendable(value)


def untyped(value: Any) -> Any:
    """Convert a value of which nothing is known."""
    value = plain(value)
    return EMPTY if value is EMPTY or value == "" else sendable(value)


def parsed(value: Any) -> Any:
    """Convert a value that may be JSON text, as cells of CSV and Parquet hold what is nested."""
    value = plain(value)
    if type(value) is not str:
        return value
    text = value.strip()
    if text[:1] in ("[", "{"):
        try:
            return loads(text.encode())
        except ValueError:
            return text
    return text or EMPTY


def _untyped(field: Mapping[str, Any]) -> Convert:
    if field.get("json_type") in ("jsonarray", "jsonobject"):
        return lambda value: untyped(parsed(value))
    return untyped


def untyped_row(row: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[str, RefusedError]]]:
    """Convert a row of a subform of whose fields nothing is known."""
    return {name: value for name, value in row.items() if plain(value) is not EMPTY or name == "_delete"}, []


def _wrong_type(field: Mapping[str, Any], value: Any, expected: str | None = None) -> RefusedError:
    details = {"expected_data_type": expected or field.get("data_type"), "api_name": field["api_name"]}
    return RefusedError(sendable(value), details)


def _too_long(field: Mapping[str, Any], value: Any) -> RefusedError:
    return RefusedError(
        sendable(value), {"maximum_length": field.get("length"), "api_name": field["api_name"]}
    )


# --- texts ---------------------------------------------------------------------------------------------------


def _text(field: Mapping[str, Any]) -> Convert:
    limit = _length(field)

    def convert(value: Any) -> Any:
        # The length tells an empty text, too.
        if type(value) is str and 0 < len(value) <= limit:
            return value
        text = _as_text(field, value)
        if text is not EMPTY and len(text) > limit:
            raise _too_long(field, text)
        return text

    return convert


def _patterned(field: Mapping[str, Any]) -> Convert:
    convert_text, matches = _text(field), _PATTERNS[str(field["data_type"])].fullmatch
    limit = _length(field)

    def convert(value: Any) -> Any:
        if type(value) is str and 0 < len(value) <= limit and matches(value):
            return value
        try:
            text = convert_text(value)
        except RefusedError as refused:
            # Of an address that is none, Zoho says that first.
            if type(refused.value) is str and not matches(refused.value):
                raise _wrong_type(field, refused.value) from None
            raise
        if text is not EMPTY and not matches(text):
            raise _wrong_type(field, text)
        return text

    return convert


def _length(field: Mapping[str, Any]) -> int:
    length = field.get("length")
    return length if type(length) is int and length > 0 else sys.maxsize


def _as_text(field: Mapping[str, Any], value: Any) -> Any:
    value = plain(value)
    if value is EMPTY or value == "":
        return EMPTY
    if type(value) is str:
        return value
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is float and value.is_integer() and abs(value) < _EXACT_FLOAT:
        # A column of whole numbers becomes one of floats in pandas as soon as one is missing.
        return str(int(value))
    if type(value) is int or (type(value) is float and value - value == 0):
        return str(value)
    if isinstance(value, Decimal) and _written_out(value):
        return format(value, "f")
    if isinstance(value, datetime):
        return _moment_text(value)
    if isinstance(value, (date, time, UUID)):
        return str(value)
    raise _wrong_type(field, value)


# --- numbers -------------------------------------------------------------------------------------------------


def _written_out(value: Decimal) -> bool:
    return value.is_finite() and (not value or abs(value.adjusted()) < _MOST_PLACES)


def _as_number(field: Mapping[str, Any], value: Any) -> Any:
    """Return a finite number (an int, a float or a Decimal), or EMPTY."""
    value = plain(value)
    if type(value) is str:
        text = value.strip()
        if not text:
            return EMPTY
        if not _DECIMAL.fullmatch(text):
            raise _wrong_type(field, value)
        return int(text) if _WHOLE.fullmatch(text) else Decimal(text)
    if value is EMPTY or type(value) is int:
        return value
    if type(value) is float and value - value == 0:
        return value
    if isinstance(value, Decimal) and _written_out(value):
        return value
    raise _wrong_type(field, value)


def _as_whole(field: Mapping[str, Any], value: Any) -> Any:
    number = _as_number(field, value)
    if number is EMPTY or type(number) is int:
        return number
    if number != int(number) or (type(number) is float and abs(number) >= _EXACT_FLOAT):
        raise _wrong_type(field, value)
    return int(number)


def _whole(field: Mapping[str, Any]) -> Convert:
    limit = _LIMITS.get(str(field.get("data_type")), _INT64)

    def convert(value: Any) -> Any:
        if type(value) is int and -limit <= value <= limit:
            return value
        number = _as_whole(field, value)
        if number is not EMPTY and not -limit <= number <= limit:
            raise _too_long(field, number)
        return number

    return convert


def _bigint(field: Mapping[str, Any]) -> Convert:
    limit = min(_length(field), 20)

    def convert(value: Any) -> Any:
        if (
            type(value) is str
            and value.isascii()
            and value.isdigit()
            and value[0] != "0"
            and len(value) <= limit
        ):
            digits = value
        else:
            number = _as_whole(field, value)
            if number is EMPTY:
                return EMPTY
            digits = str(number)
        if len(digits.lstrip("-")) > _LONGEST_ID:
            raise _wrong_type(field, digits)
        if len(digits) > limit:
            raise _too_long(field, digits)
        return digits

    return convert


def _decimal(field: Mapping[str, Any]) -> Convert:
    limit = _LIMITS.get(str(field.get("data_type")))
    near = limit or _INT64

    def convert(value: Any) -> Any:
        if (type(value) is float or type(value) is int) and -near <= value <= near:
            return value
        number = _as_number(field, value)
        if number is EMPTY:
            return EMPTY
        if limit is not None and not -limit <= number <= limit:
            raise _too_long(field, number)
        # Files of decimals fill up with zeros, and Zoho counts digits.
        return _EXACT.normalize(number) if isinstance(number, Decimal) else sendable(number)

    return convert


def _boolean(field: Mapping[str, Any]) -> Convert:
    def convert(value: Any) -> Any:
        if value is True or value is False:
            return value
        value = plain(value)
        if type(value) is str and not (value := value.strip().lower()):
            return EMPTY
        if value is EMPTY or type(value) is bool:
            return value
        found = _BOOLEANS.get(str(value)) if type(value) in (str, int) else None
        if found is None:
            if type(value) is float and value in (0.0, 1.0):
                return value == 1.0
            raise _wrong_type(field, value)
        return found

    return convert


# --- dates ---------------------------------------------------------------------------------------------------


def _date(field: Mapping[str, Any]) -> Convert:
    def convert(value: Any) -> Any:
        if type(value) is date:
            return value.isoformat()
        if type(value) is str and _DAY.fullmatch(value):
            try:
                date.fromisoformat(value)
            except ValueError:
                raise _wrong_type(field, value) from None
            return value
        moment = _as_moment(field, value)
        if moment is EMPTY:
            return EMPTY
        if moment.time() != time():
            # pandas has no dates, but midnights; any other time would be lost.
            raise _wrong_type(field, value)
        return moment.date().isoformat()

    return convert


def _datetime(field: Mapping[str, Any]) -> Convert:
    def convert(value: Any) -> Any:
        if type(value) is str and _MOMENT.fullmatch(value):
            try:
                datetime.fromisoformat(value)
            except ValueError:
                raise _wrong_type(field, value) from None
            return value
        moment = _as_moment(field, value)
        return EMPTY if moment is EMPTY else _moment_text(moment)

    return convert


def _as_moment(field: Mapping[str, Any], value: Any) -> Any:
    value = plain(value)
    if type(value) is str:
        text = value.strip()
        if not text:
            return EMPTY
        try:
            return _parsed_moment(text)
        except ValueError:
            raise _wrong_type(field, value) from None
    if value is EMPTY or isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime.combine(value, time())
    raise _wrong_type(field, value)


def _parsed_moment(text: str) -> datetime:
    match = _ISO.fullmatch(text)
    if match is None:
        raise ValueError
    year, month, day, hour, minute, second, _, utc, sign, hours, minutes = match.groups("0")
    zone = None
    if utc != "0":
        zone = timezone.utc
    elif sign != "0":
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        if int(minutes) > 59:
            raise ValueError
        zone = timezone(-offset if sign == "-" else offset)
    return datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=zone)


def _moment_text(value: datetime) -> str:
    """Render a moment to the second and with an offset; without one it is UTC, as everywhere in Airflow (§2.1)."""
    offset = value.utcoffset()
    if offset is None:
        value = value.replace(tzinfo=timezone.utc)
    elif offset % timedelta(minutes=1):
        # Local mean time, before there were zones: Zoho has no offsets to the second.
        value = value.astimezone(timezone.utc)
    return datetime.isoformat(value, timespec="seconds")


# --- what is nested ------------------------------------------------------------------------------------------


def _items(field: Mapping[str, Any], value: Any) -> Any:
    """Return a list, out of a list, a JSON text of one, or a text with semicolons; or EMPTY."""
    found = parsed(value)
    if type(found) is str:
        return [part for part in (part.strip() for part in found.split(";")) if part]
    if found is EMPTY or type(found) is list:
        return found
    raise _wrong_type(field, value)


def _multiselect(field: Mapping[str, Any]) -> Convert:
    def convert(value: Any) -> Any:
        if type(value) is list and set(map(type, value)) <= _TEXTS:
            return value
        items = _items(field, value)
        if items is not EMPTY and not all(isinstance(one, str) for one in items):
            raise _wrong_type(field, value)
        return items

    return convert


def _tags(field: Mapping[str, Any]) -> Convert:
    def convert(value: Any) -> Any:
        items = _items(field, value)
        if items is EMPTY:
            return EMPTY
        if not all(isinstance(one, (str, dict)) for one in items):
            raise _wrong_type(field, value)
        return [{"name": one} if isinstance(one, str) else one for one in items]

    return convert


def _lookup(field: Mapping[str, Any]) -> Convert:
    name = field["api_name"]

    def invalid(value: Any) -> RefusedError:
        message = "the id given seems to be invalid"
        return RefusedError(value, {"api_name": name}, message=message, place=".id")

    def convert(value: Any) -> Any:
        if type(value) is not dict:
            value = parsed(value)
        if value is EMPTY:
            return EMPTY
        if type(value) is not dict:
            digits = str(value).strip() if type(value) in (str, int) else ""
            if digits.isascii() and digits.isdigit() and len(digits) > _LONGEST_ID:
                raise invalid({"id": digits})
            found = valid_id(value)
            if found is None:
                raise _wrong_type(field, value, "jsonobject")
            return {"id": found}
        given = value.get("id")
        found = valid_id(given)
        if found is None and untyped(given) is EMPTY:
            # Typed files hold an object of nulls; one with a name only is for Zoho to find.
            return {key: one for key, one in value.items() if one is not None} or EMPTY
        if found is None:
            raise invalid(value)
        if found is given and None not in value.values():
            return value
        return {**{key: one for key, one in value.items() if one is not None}, "id": found}

    return convert


def _subform(field: Mapping[str, Any], convert_row: ConvertRow) -> Convert:
    def convert(value: Any) -> Any:
        rows = parsed(value)
        if rows is EMPTY:
            return EMPTY
        if type(rows) is not list or not all(isinstance(row, Mapping) for row in rows):
            raise _wrong_type(field, value)
        return _converted_rows(field, rows, convert_row)

    return convert


def _converted_rows(
    field: Mapping[str, Any], rows: Iterable[Mapping[str, Any]], convert_row: ConvertRow
) -> list[dict[str, Any]]:
    converted: list[dict[str, Any]] = []
    first: tuple[int, str, RefusedError] | None = None
    for number, row in enumerate(rows):
        record, problems = convert_row(row)
        converted.append(record)
        if problems and first is None:
            first = (number, *problems[0])
    if first is not None:
        number, name, refused = first
        raise RefusedError(
            converted,
            {**refused.details, "parent_api_name": field["api_name"]},
            code=refused.code,
            message=refused.message,
            place=f"[{number}].{name}{refused.place}",
        )
    return converted


_BY_DATA_TYPE: dict[str, Callable[[Mapping[str, Any]], Convert]] = {
    "boolean": _boolean,
    "currency": _decimal,
    "date": _date,
    "datetime": _datetime,
    "decimal": _decimal,
    "double": _decimal,
    "email": _patterned,
    "integer": _whole,
    "lookup": _lookup,
    "multiselectpicklist": _multiselect,
    "ownerlookup": _lookup,
    "percent": _decimal,
    "phone": _patterned,
    "picklist": _text,
    "text": _text,
    "textarea": _text,
    "userlookup": _lookup,
    "website": _text,
}
_JSON_TYPES = {
    "boolean": "boolean",
    "currency": "double",
    "decimal": "double",
    "double": "double",
    "integer": "integer",
    "lookup": "jsonobject",
    "multiselectpicklist": "jsonarray",
    "ownerlookup": "jsonobject",
    "percent": "double",
    "userlookup": "jsonobject",
}
