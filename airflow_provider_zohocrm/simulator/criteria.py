"""Criteria of bulk read: what is accepted, which error answers the rest, and the test they mean (sheet §4.2, §4.7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.simulator.clock import parse_iso
from airflow_provider_zohocrm.simulator.conditions import (
    DATES,
    LOOKUPS,
    NUMBERS,
    Column,
    Predicate,
    Sql,
    all_of,
    any_of,
    as_sql,
    column_of,
    compare,
)
from airflow_provider_zohocrm.simulator.errors import ApiError
from airflow_provider_zohocrm.simulator.validation import is_day

if TYPE_CHECKING:
    from airflow_provider_zohocrm.simulator.modules import Module
    from airflow_provider_zohocrm.simulator.store import Store

EMPTY = "${EMPTY}"
MAX_CRITERIA = 25
MAX_VALUES = 200
MAX_TEXT = 255

_ORDERED = ["equal", "not_equal", "in", "not_in", "less_than", "less_equal", "greater_than", "greater_equal"]
_TEXT = ["equal", "not_equal", "in", "not_in", "contains", "not_contains", "starts_with", "ends_with"]
_DATE = [
    "equal", "not_equal", "in", "not_in", "between", "not_between", "greater_than", "greater_equal", "less_than", "less_equal",
]  # fmt: skip
_LOOKUP = ["equal", "not_equal", "in", "not_in"]
_ALL = set(_ORDERED) | set(_TEXT) | set(_DATE)

_LISTS = {"in", "not_in"}
_RANGES = {"between", "not_between"}


def comparators_of(data_type: str) -> list[str]:
    """Return the comparators of a kind of field (SEED-1).

    :param data_type: for example ``bigint``.
    """
    if data_type in NUMBERS:
        return _ORDERED
    if data_type in DATES:
        return _DATE
    if data_type == "boolean":
        return ["equal"]
    return _LOOKUP if data_type in LOOKUPS else _TEXT


def _bad(code: str, message: str, details: Any = None) -> ApiError:
    return ApiError(400, code, message, details)


@dataclass
class Criteria:
    """Criteria that were accepted."""

    test: Predicate
    sql: list[Sql]
    """The part the database can seek by."""
    echo: dict[str, Any]
    """As shown in the job: from v2.1 on fields have an id."""
    exact: bool
    """Whether the database can answer all of it."""


class CriteriaReader:
    """Reads the criteria of one request."""

    def __init__(self, store: Store, module: Module, *, flat: bool) -> None:
        self.store = store
        self.module = module
        self.flat = flat
        """v2: ``api_name`` instead of ``field``."""
        self._leaves = 0

    def read(self, content: Any) -> Criteria:
        """Read criteria.

        :param content: ``criteria`` of the request.
        :raises ApiError: with the code of the sheet §4.7.
        """
        if isinstance(content, list):
            raise _bad("INVALID_CRITERIA", "the criteria given is invalid", {"criteria": content})
        return self._node(content)

    def _node(self, node: Any) -> Criteria:
        if not isinstance(node, dict):
            raise _bad("INVALID_CRITERIA", "the criteria given is invalid", {"criteria": node})
        if "group" in node or "group_operator" in node:
            return self._group(node)
        return self._leaf(node)

    def _group(self, node: dict[str, Any]) -> Criteria:
        if "comparator" in node:
            raise _bad("AMBIGUOUS_CRITERIA", "the criteria is ambiguous", node)
        operator = node.get("group_operator")
        if not isinstance(operator, str) or operator.lower() not in {"and", "or"}:
            raise _bad(
                "GROUP_OPERATOR_NOT_SUPPORTED",
                "the group operator is not supported",
                {"supported": ["and", "or"]},
            )
        members = node.get("group")
        if not isinstance(members, list) or not members:
            raise _bad("INVALID_CRITERIA", "the criteria given is invalid", node)
        if len(members) == 1:
            raise _bad("AMBIGUOUS_GROUP_IN_CRITERIA", "the group in the criteria is ambiguous", node)
        parts = [self._node(member) for member in members]
        tests = [part.test for part in parts]
        both = operator.lower() == "and"
        return Criteria(
            all_of(tests) if both else any_of(tests),
            [condition for part in parts for condition in part.sql] if both else [],
            {"group_operator": operator, "group": [part.echo for part in parts]},
            both and all(part.exact for part in parts),
        )

    def _name(self, node: dict[str, Any]) -> str:
        holder = node if self.flat else node.get("field")
        other = "field" if self.flat else "api_name"
        if other in node or not isinstance(holder, dict) or not isinstance(holder.get("api_name"), str):
            # The shape of the other version (the code is a guess).
            raise _bad("REQUEST_BODY_NOT_SUPPORTED", "request body contains invalid format")
        return str(holder["api_name"])

    def _leaf(self, node: dict[str, Any]) -> Criteria:
        self._leaves += 1
        if self._leaves > MAX_CRITERIA:
            raise _bad(
                "CRITERIA_LIMIT_EXCEEDED", "the criteria limit is exceeded", {"max_limit": MAX_CRITERIA}
            )
        name = self._name(node)
        comparator, value = node.get("comparator"), node.get("value")
        if name.count(".") > 2:
            raise _bad("JOIN_LIMIT_EXCEEDED", "the join limit is exceeded")
        column = column_of(self.store, self.module, name)
        if column is None:
            raise _bad(
                "FIELD_IN_CRITERIA_NOT_AVAILABLE",
                "the field in the criteria is not available",
                {"api_name": name, "comparator": comparator},
            )
        if not column.spec.exportable:
            raise _bad(
                "FIELD_IN_CRITERIA_NOT_SUPPORTED",
                "the field in the criteria is not supported",
                {"api_name": name, "comparator": comparator},
            )
        self._check_comparator(name, column, comparator)
        if "value" not in node:
            raise _bad("INVALID_CRITERIA", "the criteria given is invalid", node)
        self._check_value(name, column, str(comparator), value)
        values = [None if one == EMPTY else one for one in value] if isinstance(value, list) else value
        test = compare(column, str(comparator), None if values == EMPTY else values)
        condition = as_sql(self.module, name, str(comparator), value)
        echo = dict(node)
        if not self.flat:
            first = self.module.fields[name.split(".", 1)[0]]
            echo["field"] = {"api_name": name, "id": self.module.field_id(first)}
        if condition is None:
            return Criteria(test, [], echo, exact=False)
        return Criteria(test, [condition], echo, exact=True)

    @staticmethod
    def _check_comparator(name: str, column: Column, comparator: Any) -> None:
        supported = comparators_of(column.spec.data_type)
        if comparator in supported:
            return
        details = {"api_name": name, "comparator": comparator, "supported": supported}
        if comparator in _ALL:
            message = "the field and comparator in the criteria are not compatible"
            raise _bad("FIELD_AND_COMPARATOR_IN_CRITERIA_NOT_COMPATIBLE", message, details)
        message = "the comparator in the criteria is not supported"
        raise _bad("FIELD_COMPARATOR_IN_CRITERIA_NOT_SUPPORTED", message, details)

    def _check_value(self, name: str, column: Column, comparator: str, value: Any) -> None:
        details = {
            "comparator": comparator,
            "api_name": name,
            "supported": comparators_of(column.spec.data_type),
        }
        listed = comparator in _LISTS | _RANGES
        if listed != isinstance(value, list) or (comparator in _RANGES and len(value) != 2) or value == []:
            message = "the comparator and value in the criteria are not compatible"
            raise _bad("COMPARATOR_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE", message, details)
        values = value if isinstance(value, list) else [value]
        if len(values) > MAX_VALUES:
            message = "the value limit in the criteria is exceeded"
            raise _bad("VALUE_LIMIT_EXCEEDED_IN_CRITERIA", message, {"max_limit": MAX_VALUES})
        for one in values:
            if one == EMPTY and comparator in {"equal", "not_equal", "in", "not_in"}:
                continue
            if one == EMPTY:
                message = "the value in the criteria is not supported"
                raise _bad(
                    "VALUE_IN_CRITERIA_NOT_SUPPORTED", message, {"api_name": name, "supported": ["value"]}
                )
            if not isinstance(one, (str, int, float, bool)):
                raise _bad(
                    "VALUE_TYPE_NOT_SUPPORTED",
                    "the value type is not supported",
                    {"api_name": name, "supported": ["string"]},
                )
            if not _fits(column.spec.data_type, one):
                message = "the field and value in the criteria are not compatible"
                raise _bad("FIELD_AND_VALUE_IN_CRITERIA_NOT_COMPATIBLE", message, details)


def _fits(data_type: str, value: Any) -> bool:
    text = str(value)
    if data_type in NUMBERS:
        return not isinstance(value, bool) and len(text.lstrip("-").replace(".", "")) <= 19 and _numeric(text)
    if data_type == "datetime":
        # No milliseconds (SEED-1).
        return parse_iso(text) is not None
    if data_type == "date":
        return is_day(text)
    if data_type == "boolean":
        return isinstance(value, bool) or text.lower() in {"true", "false"}
    if data_type in LOOKUPS:
        return text.isascii() and text.isdigit() and len(text) <= 19
    return isinstance(value, str) and len(value) <= MAX_TEXT


def _numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
