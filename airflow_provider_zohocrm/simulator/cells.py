"""From the text of a csv cell to the value of a field: for files to start from, and for bulk write (sheet §5)."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_zohocrm.simulator.modules import Field

# Letters of a date format as in `field_mappings[].format`, the longest first.
_LETTERS = {"yyyy": "%Y", "yy": "%y", "MM": "%m", "dd": "%d", "HH": "%H", "mm": "%M", "ss": "%S"}
_TOKEN = re.compile("|".join([*_LETTERS, "[A-Za-z]", "%"]))


def strptime_format(form: str) -> str | None:
    """Translate a date format.

    :param form: for example ``MM/dd/yyyy``.
    :returns: the same for ``strptime``, ``None`` where a letter is unknown.
    """
    if any(match[0] not in {*_LETTERS, "T", "%"} for match in _TOKEN.finditer(form)):
        return None
    return _TOKEN.sub(lambda match: _LETTERS.get(match[0], match[0].replace("%", "%%")), form)


def typed(spec: Field, text: str, form: str | None = None, offset: str = "+00:00") -> Any:
    """Turn the text of a cell into a value of its field; what cannot be turned stays text, for the check to refuse.

    :param spec: the field.
    :param text: the cell; empty is no value.
    :param form: format of a date or date-time for ``strptime``.
    :param offset: offset of a date-time that was written with a format.
    """
    if text == "":
        return [] if spec.json_type == "jsonarray" else None
    kind = spec.data_type
    if spec.json_type == "jsonarray":
        return [part for part in text.split(";") if part]
    if kind in {"lookup", "ownerlookup"}:
        return {"id": text}
    if kind == "boolean":
        return {"true": True, "false": False, "1": True, "0": False}.get(text.lower(), text)
    with suppress(ValueError):
        if kind == "integer":
            return int(text)
        if kind in {"double", "currency"}:
            number = float(text)
            return int(number) if number.is_integer() and "." not in text else number
        if form and kind == "date":
            return datetime.strptime(text, form).date().isoformat()  # noqa: DTZ007 - a day has no zone
        if form and kind == "datetime":
            return f"{datetime.strptime(text, form).isoformat(timespec='seconds')}{offset}"  # noqa: DTZ007 - zone added
    return text
