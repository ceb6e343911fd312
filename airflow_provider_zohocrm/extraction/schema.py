"""The types of a module's fields as columns of a file."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.exceptions import ZohoValidationError
from airflow_provider_zohocrm.storage.columns import Column, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_BY_DATA_TYPE: dict[str, Kind] = {
    "bigint": "integer",
    "boolean": "boolean",
    "currency": "decimal",
    "date": "date",
    "datetime": "datetime",
    "double": "decimal",
    "integer": "integer",
    "lookup": "lookup",
    "multiselectpicklist": "list",
    "ownerlookup": "user",
    "percent": "decimal",
    "userlookup": "user",
}
# Formulas, summaries and types Zoho adds tell what they are by the type of their JSON only.
_BY_JSON_TYPE: dict[str, Kind] = {
    "boolean": "boolean",
    "double": "decimal",
    "integer": "integer",
    "jsonarray": "json",
    "jsonobject": "json",
}
# The decimal places of a field are how many it shows; its values, above all of formulas, can have as many as a double.
_DIGITS = 18


def columns_of(fields: Iterable[Mapping[str, Any]], names: Iterable[str]) -> list[Column]:
    """Type the columns of a file by the metadata of the module's fields (reference sheet §2.1, §2.8).

    :param fields: Zoho's field objects, see ``get_fields``.
    :param names: API names of the columns, in their order. One without metadata is text, such as the field of a
        lookup's module (``Owner.last_name``); a system key (``$approval``) is JSON.
    :return: the columns.
    """
    known = {field["api_name"]: field for field in fields}
    return [_column(name, known.get(name)) for name in names]


def check_names(module: str, fields: Iterable[Mapping[str, Any]], names: Iterable[str]) -> None:
    """Check names of fields by the metadata: lists ignore one that they do not know, which would be a column of nulls.

    ``id``, system keys (``$approval``) and fields of a lookup's module (``Owner.last_name``) are not in the metadata
    and are left to Zoho.

    :param module: API name, for the error.
    :param fields: Zoho's field objects, see ``get_fields``; none at all says nothing of any name.
    :param names: API names of the fields that are to be read.
    :raises ZohoValidationError: for names the module has not, with those that are like them; for subforms.
    """
    known = {field["api_name"]: field.get("data_type") for field in fields}
    if not known:
        return
    plain = [name for name in names if name != "id" and not name.startswith("$") and "." not in name]
    subforms = [name for name in plain if known.get(name) == "subform"]
    if subforms:
        raise ZohoValidationError(
            f"fields holds {', '.join(subforms)}, whose rows are in no list of {module}: name a subform in subforms=, "
            "which writes its rows to a file of their own"
        )
    unknown = [name for name in plain if name not in known]
    if unknown:
        told = "; ".join(f"{name!r}{_alike(name, known)}" for name in unknown)
        raise ZohoValidationError(
            f"fields holds what Zoho does not list among the fields of {module}: {told}. Either the API name is not "
            "right, or the profile of the connection's user may not see the field."
        )


def _alike(name: str, known: Iterable[str]) -> str:
    by_lower = {each.lower(): each for each in ("id", *known)}
    found = [by_lower[each] for each in get_close_matches(name.lower(), by_lower)]
    return f" (like {' or '.join(found)})" if found else ""


def columns_of_header(header: Iterable[str], known: Iterable[Column]) -> list[Column]:
    """Type the columns of a bulk read result by its header, which names the id in either case (§4.5).

    :param header: names in the file.
    :param known: typed columns; a name that is not among them is text.
    :return: the columns, in the order of the header.
    """
    typed = {column.name: column for column in known}
    names = ("id" if name.lower() == "id" else name for name in header)
    return [typed.get(name) or Column(name) for name in dict.fromkeys(names)]


def _column(name: str, field: Mapping[str, Any] | None) -> Column:
    if name == "id":
        return Column(name)
    if field is None:
        return Column(name, "json" if name.startswith("$") else "string")
    data_type, json_type = field.get("data_type"), field.get("json_type")
    kind: Kind = "string"
    if name == "Tag":
        kind = "list"
    elif data_type in _BY_DATA_TYPE:
        kind = _BY_DATA_TYPE[data_type]
    elif json_type in _BY_JSON_TYPE:
        kind = _BY_JSON_TYPE[json_type]
    return Column(name, kind, _DIGITS if kind == "decimal" else 0)
