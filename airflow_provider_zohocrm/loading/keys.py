"""Which records Zoho may take for the same one (reference sheet §3.3)."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_BY_MODULE = {
    "Accounts": "Account_Name",
    "Campaigns": "Campaign_Name",
    "Cases": "Subject",
    "Contacts": "Email",
    "Deals": "Deal_Name",
    "Invoices": "Subject",
    "Leads": "Email",
    "Price_Books": "Price_Book_Name",
    "Products": "Product_Name",
    "Purchase_Orders": "Subject",
    "Quotes": "Subject",
    "Sales_Orders": "Subject",
    "Solutions": "Solution_Title",
    "Vendors": "Vendor_Name",
}
_CUSTOM_MODULE = "Name"

SYSTEM_FIELDS = frozenset({*_BY_MODULE.values(), _CUSTOM_MODULE})
"""The system fields of the duplicate check, of whatever module."""

_NUMBER = re.compile(r"([+-]?)0*([0-9]+)(?:\.([0-9]*?)0*)?")


def duplicate_check(
    module: str, fields: Sequence[Mapping[str, Any]], given: Sequence[str] | None
) -> list[str]:
    """Name the fields by which Zoho looks for the record of an upsert.

    :param module: API name.
    :param fields: Zoho's field objects, see ``get_fields``.
    :param given: ``duplicate_check_fields`` of the call, if any.
    :return: API names in Zoho's order, with ``id`` as the first. A system field that is not among those given is
        not looked at; unique fields always are.
    """
    names = {field["api_name"] for field in fields}
    # Modules are known by the names Zoho gave them first; older pages write them without an underscore.
    system = next(
        (name for known, name in _BY_MODULE.items() if known.replace("_", "") == module.replace("_", "")),
        _CUSTOM_MODULE,
    )
    first = list(given) if given else [system] if system in names else []
    unique = [field["api_name"] for field in fields if is_unique(field)]
    return list(dict.fromkeys(["id", *first, *unique]))


def is_unique(field: Mapping[str, Any]) -> bool:
    """Tell whether a field allows no value twice: a unique field, or an external one."""
    return bool(field.get("unique") or field.get("external"))


def keys_of(record: Mapping[str, Any], checked: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Name what Zoho may find a record by.

    Two records that Zoho may take for the same one share a key. The other way round, two that share one may still be
    different ones for Zoho (``é`` and ``e``): keys tell what must stay in order, not what can be left out.

    :param record: as prepared for Zoho.
    :param checked: see :func:`duplicate_check`.
    :return: field and value in the form that is compared: without regard to case, accents, blanks around and between,
        and to how a number is written. Empty values are no keys.
    """
    keys = []
    for name in checked:
        value = record.get(name)
        if value is not None and value != "" and value == value:  # NaN differs from itself
            keys.append((name, _compared(value)))
    return tuple(keys)


def _compared(value: Any) -> str:
    if type(value) is not str:
        value = _as_text(value)
    text = value.lower() if value.isascii() else _folded(value)
    text = " ".join(text.split())
    number = _NUMBER.fullmatch(text) if text[:1] in "+-0123456789" else None
    if number is None:
        return text
    sign, whole, fraction = number.groups("")
    digits = f"{whole}.{fraction}" if fraction else whole
    return f"-{digits}" if sign == "-" and digits != "0" else digits


def _folded(text: str) -> str:
    # Unicode's caseless match, then without accents and what is unseen.
    for form in ("NFD", "NFKD"):
        text = unicodedata.normalize(form, text).casefold()
    text = unicodedata.normalize("NFKD", text)
    return "".join([one for one in text if unicodedata.category(one) not in ("Mn", "Me", "Cf")])


def _as_text(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("id") or value.get("name") or value)
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, Decimal) and value.is_finite() and abs(value.adjusted()) < 100:
        return format(value, "f")
    if isinstance(value, list):
        try:
            return orjson.dumps(value, default=str).decode()
        except TypeError:
            return repr(value)
    return str(value)
