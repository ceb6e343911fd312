"""Bulk read criteria: checked, and put into the shape of the API version (reference sheet §4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.client.calls import field_names
from airflow_provider_zohocrm.client.coql import literal
from airflow_provider_zohocrm.client.jsontext import zoho_datetime
from airflow_provider_zohocrm.exceptions import ZohoValidationError

if TYPE_CHECKING:
    from airflow_provider_zohocrm.client.versions import ApiVersion

COMPARATORS = (
    "equal",
    "not_equal",
    "in",
    "not_in",
    "less_than",
    "less_equal",
    "greater_than",
    "greater_equal",
    "between",
    "not_between",
    "contains",
    "not_contains",
    "starts_with",
    "ends_with",
)
MAX_CRITERIA = 25
MAX_VALUES = 200
_LISTS = ("in", "not_in")
_RANGES = ("between", "not_between")
_LEAF_KEYS = {"api_name", "field", "comparator", "value"}
_GROUP_KEYS = {"group", "group_operator"}
_EMPTY = "${EMPTY}"
_SIGNS = {
    "equal": "=",
    "not_equal": "!=",
    "less_than": "<",
    "less_equal": "<=",
    "greater_than": ">",
    "greater_equal": ">=",
}
_NULLS = {"equal": "is null", "not_equal": "is not null"}
_PATTERNS = {"contains": "%{}%", "not_contains": "%{}%", "starts_with": "{}%", "ends_with": "%{}"}
_COQL_IN_VALUES = 50


def shaped_criteria(criteria: Mapping[str, Any], version: ApiVersion) -> dict[str, Any]:
    """Check criteria and shape them for a version.

    :param criteria: a condition ``{"api_name", "comparator", "value"}`` or a group ``{"group_operator", "group"}``
        of conditions and groups, as the v2 documents write them. ``{"field": {"api_name"}}`` is taken as well.
    :param version: v2 names fields by ``api_name``, all others by ``field.api_name``.
    :return: the same criteria in the shape of the version.
    :raises ZohoValidationError: for what Zoho would refuse: an unknown comparator, a value that does not fit the
        comparator, more than 25 conditions, more than 200 values.
    """
    leaves: list[str] = []
    shaped = _shape(criteria, version, leaves)
    if len(leaves) > MAX_CRITERIA:
        raise ZohoValidationError(
            f"criteria hold {len(leaves)} conditions; Zoho takes {MAX_CRITERIA} at most"
        )
    return shaped


def coql_condition(shaped: Mapping[str, Any]) -> str | None:
    """Say criteria as a condition of COQL, to count what they choose (reference sheet §2.7).

    :param shaped: see :func:`shaped_criteria`.
    :return: what stands after ``where``; None for what is not known to mean the same in COQL.
    """
    if "group" not in shaped:
        field = shaped.get("field")
        name = field["api_name"] if isinstance(field, Mapping) else shaped["api_name"]
        said = _coql_test(shaped["comparator"], shaped["value"])
        return None if said is None else f"{name} {said}"
    parts = [coql_condition(each) for each in shaped["group"]]
    condition = parts[0]
    for part in parts[1:]:
        # Zoho takes two conditions between two brackets.
        condition = (
            None if condition is None or part is None else f"({condition} {shaped['group_operator']} {part})"
        )
    return condition


def _coql_test(comparator: str, value: Any) -> str | None:
    if value == _EMPTY:
        return _NULLS.get(comparator)
    if isinstance(value, list):
        return _coql_list(comparator, value)
    said = _coql_value(value)
    if comparator in _SIGNS:
        return None if said is None else f"{_SIGNS[comparator]} {said}"
    if not isinstance(value, str) or "%" in value:
        return None
    negation = "not " if comparator.startswith("not_") else ""
    return f"{negation}like {literal(_PATTERNS[comparator].format(value))}"


def _coql_list(comparator: str, values: list[Any]) -> str | None:
    said = [_coql_value(each) for each in values]
    known = [each for each in said if each is not None]
    if len(known) < len(values) or len(values) > _COQL_IN_VALUES:
        return None
    word = comparator.replace("_", " ")
    return f"{word} {' and '.join(known)}" if comparator in _RANGES else f"{word} ({', '.join(known)})"


def _coql_value(value: Any) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value != _EMPTY:
        return literal(value)
    return str(value) if isinstance(value, (int, float, Decimal)) else None


def _shape(node: Any, version: ApiVersion, leaves: list[str]) -> dict[str, Any]:
    if not isinstance(node, Mapping):
        raise ZohoValidationError(f"criteria must be objects, not {type(node).__name__}: {node!r}")
    if "group" in node or "group_operator" in node:
        return _shape_group(node, version, leaves)
    return _shape_leaf(node, version, leaves)


def _shape_group(node: Mapping[str, Any], version: ApiVersion, leaves: list[str]) -> dict[str, Any]:
    _only(node, _GROUP_KEYS)
    operator = str(node.get("group_operator", "")).lower()
    if operator not in ("and", "or"):
        raise ZohoValidationError(
            f"group_operator is {node.get('group_operator')!r}; it must be 'and' or 'or'"
        )
    group = node.get("group")
    if not isinstance(group, (list, tuple)) or not group:
        raise ZohoValidationError("group must be a list of at least one condition or group")
    return {"group_operator": operator, "group": [_shape(child, version, leaves) for child in group]}


def _shape_leaf(node: Mapping[str, Any], version: ApiVersion, leaves: list[str]) -> dict[str, Any]:
    _only(node, _LEAF_KEYS)
    field = node.get("field")
    name = field.get("api_name") if isinstance(field, Mapping) else node.get("api_name")
    if not isinstance(name, str):
        raise ZohoValidationError(f"a condition needs api_name, comparator and value; got {dict(node)!r}")
    name = (field_names([name], "criteria") or [name])[0]
    leaves.append(name)
    comparator = node.get("comparator")
    if comparator not in COMPARATORS:
        raise ZohoValidationError(
            f"comparator {comparator!r} of {name} is unknown; it must be one of {', '.join(COMPARATORS)}"
        )
    if "value" not in node:
        raise ZohoValidationError(f"the condition on {name} has no value; write ${{EMPTY}} for an empty one")
    leaf: dict[str, Any] = {"field": {"api_name": name}} if version.bulk_objects else {"api_name": name}
    return leaf | {"comparator": comparator, "value": _value(name, comparator, node["value"])}


def _value(name: str, comparator: str, value: Any) -> Any:
    several = isinstance(value, (list, tuple, set, frozenset))
    if comparator != "equal" and any(isinstance(item, bool) for item in (value if several else [value])):
        raise ZohoValidationError(
            f"a boolean such as {name} can only be compared by equal, not by {comparator}"
        )
    if several:
        values = [_scalar(item) for item in value]
        if comparator in _RANGES and len(values) != 2:
            raise ZohoValidationError(
                f"{comparator} on {name} needs two values, from and to; got {len(values)}"
            )
        if comparator not in _LISTS + _RANGES:
            raise ZohoValidationError(f"{comparator} on {name} takes one value, not a list; use in or not_in")
        if not 0 < len(values) <= MAX_VALUES:
            raise ZohoValidationError(
                f"{comparator} on {name} has {len(values)} values; Zoho takes 1 to {MAX_VALUES}"
            )
        return values
    if comparator in _RANGES:
        raise ZohoValidationError(f"{comparator} on {name} needs a list of two values, from and to")
    if comparator in _LISTS:
        return [_scalar(value)]
    return _scalar(value)


def _scalar(value: Any) -> Any:
    if value is None:
        raise ZohoValidationError("a value in criteria is null; write ${EMPTY} for an empty one")
    if isinstance(value, datetime):
        return zoho_datetime(value)
    if isinstance(value, date):
        return value.isoformat()
    return value


def _only(node: Mapping[str, Any], allowed: set[str]) -> None:
    extra = sorted(set(node) - allowed)
    if extra:
        raise ZohoValidationError(
            f"criteria hold unknown or mixed keys {', '.join(map(str, extra))} in {dict(node)!r}"
        )
