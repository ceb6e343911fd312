"""Text from a CSV file as the values that the fields of a module take."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_INTEGER = re.compile(r"[+-]?[0-9]{1,40}")
# An exponent of more digits would be written out as a text that fills the memory.
_DECIMAL = re.compile(r"[+-]?([0-9]{1,40}\.?[0-9]{0,40}|\.[0-9]{1,40})([eE][+-]?[0-9]{1,2})?")


def text_converter(fields: Iterable[Mapping[str, Any]]) -> Callable[[Mapping[str, str]], dict[str, Any]]:
    """Build a function that turns a row of texts into a record.

    A text that does not fit its field stays as it is, so that Zoho rejects the record and says why.

    :param fields: Zoho's field objects, see ``get_fields``.
    :return: row of texts by API name → record.
    """
    kinds = {field["api_name"]: (field.get("json_type"), field.get("data_type")) for field in fields}

    def convert(row: Mapping[str, str]) -> dict[str, Any]:
        return {name: _value(text, *kinds.get(name, (None, None))) for name, text in row.items()}

    return convert


def _value(text: str, json_type: str | None, data_type: str | None) -> Any:
    if json_type == "boolean":
        return {"true": True, "false": False}.get(text.strip().lower(), text)
    if json_type == "integer" and _INTEGER.fullmatch(text.strip()):
        number = int(text)
        # JSON libraries give an integer 64 bits; a decimal has as many digits as it needs.
        return number if -(2**63) <= number < 2**63 else Decimal(number)
    if json_type == "double" and _DECIMAL.fullmatch(text.strip()):
        return Decimal(text.strip())
    if json_type == "jsonarray" and data_type == "multiselectpicklist":
        return [part.strip() for part in text.split(";") if part.strip()]
    if json_type == "jsonobject" and text.strip().isascii() and text.strip().isdigit():
        return {"id": text.strip()}
    return text
