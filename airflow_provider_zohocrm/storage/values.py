"""Values of Zoho as values of a typed column."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Any, Literal

from airflow_provider_zohocrm.exceptions import ZohoTypeError, ZohoValidationError
from airflow_provider_zohocrm.storage.cells import to_text
from airflow_provider_zohocrm.storage.columns import Column

OnTypeError = Literal["fail", "string"]

TYPE_ERRORS = Column("_type_errors", "json")
"""Holds the values set aside: an object of field name and text."""

# What str.strip and the ASCII functions of Arrow agree on.
BLANK = " \t\n\r\x0b\x0c"

_INTEGER = re.compile(r"[+-]?[0-9]+")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_DATETIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2})(?::([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6}))?)?)?"
    r"(?:Z|([+-])([0-9]{2})(?::?([0-9]{2}))?)"
)
# As Zoho writes it (sheet §2.1): read several times as fast.
_ZOHOS_DATETIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[01][0-9]:[0-9]{2}:[0-9]{2}[+-](?:0[0-9]|1[0-4]):[0-5][0-9]", re.ASCII
)
_DIGITS = 38
# A value is in Zoho a double, whose shortest text can have more digits after the point than a column: 1/300 has 19.
_ROUNDED = Context(prec=_DIGITS, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


def typed_value(value: Any, column: Column) -> Any:
    """Turn a value of Zoho into the value of a typed column.

    :param value: from Zoho's JSON, or the text of a cell in the CSV of bulk read; there None stands for an empty one,
        as the CSV does not tell null from an empty text (sheet §4.5).
    :param column: the column.
    :return: None for null, and for an empty text where the column holds no texts. Else by kind: ``str``; ``int`` of
        64 bits; ``Decimal`` with ``scale`` digits after the point, rounded half to even, and at most 38 in all;
        ``bool``; ``date``; ``datetime`` in UTC; a list of texts; ``{"id", "name"}`` or ``{"id", "name", "email"}``;
        the value itself for ``json``.
    :raises ValueError: when the value does not fit the column.
    :raises TypeError: when the value has no JSON form.
    """
    if value is None or (column.kind != "string" and type(value) is str and not value):
        return None
    return _CONVERSIONS[column.kind](value, column.scale)


def _string(value: Any, _scale: int) -> str | None:
    return value if type(value) is str else to_text(value)


def _integer(value: Any, _scale: int) -> int:
    if type(value) is int:
        number = value
    elif (type(value) is float and value.is_integer()) or (type(value) is str and _INTEGER.fullmatch(value)):
        number = int(value)
    else:
        raise ValueError
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError
    return number


def _decimal(value: Any, scale: int) -> Decimal:
    if type(value) is float:
        value = repr(value)
    if type(value) is str and not _DECIMAL.fullmatch(value):
        raise ValueError
    if type(value) not in (str, int, Decimal):
        raise ValueError
    try:
        number = Decimal(value).quantize(Decimal((0, (1,), -scale)), context=_ROUNDED)
    except ArithmeticError as error:
        raise ValueError from error
    if not number.is_finite():
        raise ValueError
    # Arrow has no negative zero.
    return number or number.copy_abs()


def _boolean(value: Any, _scale: int) -> bool:
    if type(value) is bool:
        return value
    if type(value) is str and (found := _BOOLEANS.get(value.lower())) is not None:
        return found
    raise ValueError


def _date(value: Any, _scale: int) -> date:
    match = _DATE.fullmatch(value) if type(value) is str else None
    if match is None:
        raise ValueError
    year, month, day = match.groups()
    return date(int(year), int(month), int(day))


def _datetime(value: Any, _scale: int) -> datetime:
    if type(value) is str and _ZOHOS_DATETIME.fullmatch(value):
        try:
            return datetime.fromisoformat(value).astimezone(timezone.utc)
        except OverflowError as error:
            raise ValueError from error
    match = _DATETIME.fullmatch(value) if type(value) is str else None
    if match is None:
        raise ValueError
    year, month, day, hour, minute, second, fraction, sign, hours, minutes = match.groups("0")
    local = datetime(
        int(year),
        int(month),
        int(day),
        int(hour),
        int(minute),
        int(second),
        int(fraction.ljust(6, "0")),
        timezone.utc,
    )
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    if int(minutes) > 59 or int(hours) > 23:
        raise ValueError
    try:
        return local + offset if sign == "-" else local - offset
    except OverflowError as error:
        raise ValueError from error


def _list(value: Any, _scale: int) -> list[str]:
    if type(value) is str:
        parts = [part.strip(BLANK) for part in value.split(";")]
        return [part for part in parts if part]
    if not isinstance(value, Sequence):
        raise ValueError
    texts = []
    for each in value:
        text = each.get("name") if isinstance(each, Mapping) else each
        if type(text) is not str:
            raise ValueError
        texts.append(text)
    return texts


def _reference(value: Any, *names: str) -> dict[str, str | None]:
    if isinstance(value, Mapping):
        id_, rest = value.get("id"), {name: to_text(value.get(name)) for name in names}
    else:
        id_, rest = value, dict.fromkeys(names)
    if type(id_) is int:
        id_ = str(id_)
    if type(id_) is not str:
        raise ValueError
    return {"id": id_, **rest}


_CONVERSIONS: dict[str, Callable[[Any, int], Any]] = {
    "string": _string,
    "integer": _integer,
    "decimal": _decimal,
    "boolean": _boolean,
    "date": _date,
    "datetime": _datetime,
    "list": _list,
    "lookup": lambda value, _scale: _reference(value, "name"),
    "user": lambda value, _scale: _reference(value, "name", "email"),
    "json": lambda value, _scale: value,
}


class TypeErrors:
    """What happens to values that do not fit.

    :param policy: ``fail`` raises; ``string`` sets the value aside, as text.
    """

    def __init__(self, policy: OnTypeError) -> None:
        if policy not in ("fail", "string"):
            raise ZohoValidationError(f"on_type_error is 'fail' or 'string', not {policy!r}.")
        self.set_aside = policy == "string"
        self.count = 0
        """Number of values set aside so far."""

    def add(self, value: Any, column: Column, record_id: Any) -> str:
        """Take a value that does not fit.

        :param value: the value.
        :param column: its column.
        :param record_id: id of its record, where there is one.
        :return: the value as text.
        :raises ZohoTypeError: when such values are not set aside.
        """
        if self.set_aside:
            self.count += 1
            try:
                return to_text(value) or repr(value)
            except TypeError:
                # An integer of more than 64 bits, for one.
                return repr(value)
        shown = repr(value)
        declared = (
            f"decimal with {column.scale} digits after the point" if column.kind == "decimal" else column.kind
        )
        raise ZohoTypeError(
            f"{column.name} of record {record_id or 'without id'} is no {declared}: "
            f"{shown if len(shown) <= 100 else shown[:97] + '...'}. "
            'With on_type_error="string" such values are set aside, as text in the column _type_errors.'
        )


# Values of these types need no second look.
_AS_IT_IS: dict[str, type] = {"string": str, "boolean": bool}


class TypedRows:
    """Turns records into rows of typed values.

    :param columns: the columns.
    :param errors: what happens to values that do not fit.
    """

    def __init__(self, columns: Sequence[Column], errors: TypeErrors) -> None:
        self._columns = [(column, column.name, _AS_IT_IS.get(column.kind)) for column in columns]
        self._errors = errors

    def row(self, record: Mapping[str, Any]) -> list[Any]:
        """Turn one record into a row.

        :param record: values by field name; a missing one is null.
        :return: a value per column, and what was set aside at the end, where values may be.
        :raises ZohoTypeError: when a value does not fit.
        :raises TypeError: when a value has no JSON form.
        """
        row = []
        aside: dict[str, str] | None = None
        for column, name, as_it_is in self._columns:
            value = record.get(name)
            if value is None or type(value) is as_it_is:
                row.append(value)
                continue
            try:
                row.append(typed_value(value, column))
            except ValueError:
                row.append(None)
                aside = aside or {}
                aside[name] = self._errors.add(value, column, record_id(record))
        if self._errors.set_aside:
            row.append(aside)
        return row


def record_id(record: Mapping[str, Any]) -> Any:
    """Find the id of a record; bulk read calls it ``Id`` (sheet §4.5).

    :param record: values by field name.
    :return: the id, or None.
    """
    return record.get("id") or record.get("Id")
