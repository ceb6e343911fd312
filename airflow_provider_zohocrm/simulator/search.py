"""``/search`` and the filters of count: criteria, email, phone, word (sheet §2.6)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_provider_zohocrm.simulator.conditions import (
    TEXTS,
    Column,
    Getter,
    Predicate,
    all_of,
    any_of,
    column_of,
    comparable,
    compare,
)
from airflow_provider_zohocrm.simulator.errors import ApiError, limit_exceeded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_zohocrm.simulator.modules import Field, Module, Row
    from airflow_provider_zohocrm.simulator.state import State

COMPARATORS = {
    "equals": "equal",
    "not_equal": "not_equal",
    "starts_with": "starts_with",
    "in": "in",
    "between": "between",
    "greater_than": "greater_than",
    "greater_equal": "greater_equal",
    "less_than": "less_than",
    "less_equal": "less_equal",
}
MAX_IN = 100


def _invalid_query(near: str) -> ApiError:
    return ApiError(400, "INVALID_QUERY", "invalid query formed", {"reason": "criteria", "near": near})


class Search:
    """Builds the test of a search."""

    def __init__(self, state: State, module: Module) -> None:
        self.state = state
        self.module = module
        self._found = 0

    def predicate(self, query: Mapping[str, str]) -> Predicate:
        """Build the test; criteria go before email, email before phone, phone before word.

        :param query: parameters of the request.
        """
        if query.get("criteria"):
            return self._criteria(query["criteria"])
        if query.get("email"):
            return self._kind("email", query["email"])
        if query.get("phone"):
            return self._kind("phone", query["phone"])
        return self._word(query["word"])

    def _kind(self, data_type: str, text: str) -> Predicate:
        specs = [spec for spec in self.module.fields.values() if spec.data_type == data_type]
        columns = [Column(spec, self._getter(spec)) for spec in specs]
        return any_of([compare(column, "equal", text) for column in columns])

    def _word(self, text: str) -> Predicate:
        specs = [s for s in self.module.fields.values() if s.data_type in TEXTS and s.listed]
        low = text.casefold()

        def test(row: Row) -> bool:
            return any(
                low in str(comparable(spec, self.state.store.value(row, spec)) or "") for spec in specs
            )

        return test

    def _getter(self, spec: Field) -> Getter:
        return lambda row: self.state.store.value(row, spec)

    def _criteria(self, text: str) -> Predicate:
        test, rest = self._either(text.strip())
        if rest.strip():
            raise _invalid_query(rest.strip())
        return test

    def _either(self, text: str) -> tuple[Predicate, str]:
        tests, rest = [], text
        joined = ""
        while True:
            test, rest = self._group(rest)
            tests.append(test)
            match = re.match(r"\s*(and|or)\s*(?=\()", rest, re.IGNORECASE)
            if match is None:
                break
            if joined and match[1].lower() != joined:
                raise _invalid_query(rest)
            joined, rest = match[1].lower(), rest[match.end() :]
        return (any_of if joined == "or" else all_of)(tests), rest

    def _group(self, text: str) -> tuple[Predicate, str]:
        text = text.lstrip()
        if not text.startswith("("):
            raise _invalid_query(text)
        if re.match(r"\(\s*\(", text):
            test, rest = self._either(text[1:])
            if not rest.lstrip().startswith(")"):
                raise _invalid_query(rest)
            return test, rest.lstrip()[1:]
        # Parentheses and commas inside a value are escaped with a backslash.
        match = re.match(r"\(([\w.$]+):(\w+):((?:\\.|[^\\()])*)\)", text)
        if match is None:
            raise _invalid_query(text)
        return self._leaf(match[1], match[2], match[3]), text[match.end() :]

    def _leaf(self, path: str, comparator: str, value: str) -> Predicate:
        self._found += 1
        limit = self.state.options.search_criteria_limit
        if self._found > limit:
            raise limit_exceeded("criteria", limit)
        column = column_of(self.state.store, self.module, path)
        name = COMPARATORS.get(comparator.lower())
        if column is None or name is None:
            raise _invalid_query(path if column is None else comparator)
        parts = [re.sub(r"\\(.)", r"\1", part).strip() for part in re.split(r"(?<!\\),", value)]
        if name == "in":
            if len(parts) > MAX_IN:
                raise limit_exceeded("criteria", MAX_IN)
            return compare(column, "in", parts)
        if name == "between":
            if len(parts) != 2:
                raise _invalid_query(value)
            return compare(column, "between", parts)
        whole = re.sub(r"\\(.)", r"\1", value)
        # On text `equals` behaves like contains (sheet §2.6).
        if name == "equal" and column.spec.data_type in {"text", "textarea"}:
            name = "contains"
        return compare(column, name, None if whole == "${EMPTY}" else whole)
