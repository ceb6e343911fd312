"""COQL: the query language (sheet §2.7)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from airflow_provider_zohocrm.simulator import permissions
from airflow_provider_zohocrm.simulator.calls import Answer, Call
from airflow_provider_zohocrm.simulator.conditions import (
    Column,
    Predicate,
    Sql,
    all_of,
    any_of,
    as_sql,
    column_of,
    comparable,
    compare,
    select,
)
from airflow_provider_zohocrm.simulator.errors import ApiError
from airflow_provider_zohocrm.simulator.store import SORT_COLUMNS, Selection, sort_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_zohocrm.simulator.modules import Module, Row
    from airflow_provider_zohocrm.simulator.state import State

MAX_ORDER = 10
MAX_GROUP = 4
MAX_AGGREGATES = 5
DEFAULT_LIMIT = 200

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:\\.|''|[^'\\])*')|(?P<number>-?\d+(?:\.\d+)?)(?![\w.])|(?P<name>[A-Za-z_$][\w.$]*)"
    r"|(?P<sign><=|>=|!=|<>|[=<>(),*])|(?P<other>\S))"
)
_KEYWORDS = {"select", "from", "where", "group", "order", "by", "limit", "offset", "and", "or", "not", "in", "between", "like", "is", "null", "as", "asc", "desc"}  # fmt: skip
_AGGREGATES = {"count", "sum", "min", "max", "avg"}
_SIGNS = {"=": "equal", "!=": "not_equal", "<>": "not_equal", "<": "less_than", "<=": "less_equal", ">": "greater_than", ">=": "greater_equal"}  # fmt: skip


@dataclass(frozen=True)
class Token:
    """A piece of the query."""

    kind: str
    text: str
    column: int

    @property
    def word(self) -> str:
        """A keyword in lower case, a sign, or nothing."""
        low = self.text.lower()
        return low if (self.kind == "name" and low in _KEYWORDS) or self.kind == "sign" else ""


@dataclass(frozen=True)
class Item:
    """An item of SELECT or ORDER BY."""

    path: str
    function: str = ""
    alias: str = ""

    @property
    def label(self) -> str:
        """The key in the answer."""
        return self.alias or (f"{self.function.upper()}({self.path})" if self.function else self.path)


def _syntax(message: str, **details: Any) -> ApiError:
    return ApiError(400, "SYNTAX_ERROR", message, details)


def _invalid(message: str, **details: Any) -> ApiError:
    return ApiError(400, "INVALID_QUERY", message, details)


def tokens_of(text: str) -> list[Token]:
    """Cut a query into pieces.

    :param text: the query.
    """
    result, place = [], 0
    text = text.strip().removesuffix(";").rstrip()
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match is None:
            break
        kind = match.lastgroup or "other"
        start = match.start(kind)
        if kind == "other":
            raise _syntax("unexpected token", line=1, column=start + 1, near=match[kind])
        result.append(Token(kind, match[kind], start + 1))
        place = match.end()
    return result


class Parser:
    """Reads a query; columns are resolved while conditions are read."""

    def __init__(self, state: State, text: str, *, most: int, most_offset: int) -> None:
        self.state = state
        self.tokens = tokens_of(text)
        self.place = 0
        self.most = most
        self.most_offset = most_offset
        self.items: list[Item] = []
        self.module: Module
        self.test: Predicate
        self.sql: list[Sql] = []
        self.exact = True
        """Whether the database can answer all of the condition."""
        self.grouped: list[str] = []
        self.order: list[tuple[str, bool]] = []
        self.limit = DEFAULT_LIMIT
        self.offset = 0
        self.where_text = ""

    # --- reading tokens ----------------------------------------------------------------------------------------

    def _peek(self, ahead: int = 0) -> Token:
        place = self.place + ahead
        return self.tokens[place] if place < len(self.tokens) else Token("end", "", 0)

    def _next(self) -> Token:
        token = self._peek()
        self.place += 1
        return token

    def _accept(self, *words: str) -> bool:
        if all(self._peek(n).word == word for n, word in enumerate(words)):
            self.place += len(words)
            return True
        return False

    def _unexpected(self, token: Token) -> ApiError:
        if token.kind == "end":
            near = self.tokens[-1].text if self.tokens else ""
            return _syntax("error occured while parsing the query", near=near)
        return _syntax("unexpected token", line=1, column=token.column, near=token.text)

    def _expect(self, word: str) -> None:
        if not self._accept(word):
            raise self._unexpected(self._peek())

    def _name(self) -> str:
        token = self._next()
        if token.kind != "name" or token.word:
            raise self._unexpected(token)
        return token.text

    # --- the query ---------------------------------------------------------------------------------------------

    def read(self) -> Parser:
        """Read the whole query."""
        if not self._accept("select"):
            raise _syntax("missing clause", clause="select")
        self.items = list(self._listed(self._item))
        if not self._accept("from"):
            token = self._peek()
            raise self._unexpected(token) if token.kind != "end" else _syntax("missing clause", clause="from")
        self._module()
        if not self._accept("where"):
            raise _syntax("missing clause", clause="where")
        start = self.place
        self.test = self._either(top=True)
        self.where_text = " ".join(token.text for token in self.tokens[start : self.place])
        if self._accept("group", "by"):
            self.grouped = list(self._listed(self._name))
        if self._accept("order", "by"):
            self.order = list(self._listed(self._direction))
        self._limits()
        if self._peek().kind != "end":
            raise self._unexpected(self._peek())
        self._check()
        return self

    def _listed(self, read: Callable[[], Any]) -> Iterator[Any]:
        yield read()
        while self._accept(","):
            yield read()

    def _module(self) -> None:
        name = self._name()
        module = self.state.readable(name)
        if module is None or module.api_name != name:
            raise ApiError(400, "INVALID_MODULE", "the given module is not supported in api")
        permissions.check(self.state.options, module)
        self.module = module

    def _item(self) -> Item:
        name = self._name()
        function = ""
        if name.lower() in _AGGREGATES and self._peek().word == "(":
            self._next()
            function = name.lower()
            name = "*" if self._accept("*") else self._name()
            self._expect(")")
        alias = self._name() if self._accept("as") else ""
        return Item(name, function, alias)

    def _direction(self) -> tuple[str, bool]:
        item = self._item()
        descending = self._accept("desc")
        if not descending:
            self._accept("asc")
        return (item.label if item.function else item.path), descending

    def _limits(self) -> None:
        if self._accept("limit"):
            first = self._number("limit")
            if self._accept(","):
                self.offset, first = first, self._number("limit")
            self.limit = first
        if self._accept("offset"):
            self.offset = self._number("offset")
        if not 1 <= self.limit <= self.most:
            raise _invalid("limit given seems to be invalid", limit=str(self.limit))
        if self.offset + self.limit > self.most_offset:
            raise _invalid("offset given seems to be invalid", offset=str(self.offset))

    def _number(self, clause: str) -> int:
        token = self._next()
        if token.kind != "number" or not token.text.isdigit():
            raise _invalid(f"{clause} given seems to be invalid", **{clause: token.text})
        return int(token.text)

    def _check(self) -> None:
        plain = [item for item in self.items if not item.function]
        most = self.state.options.coql_fields
        if len(self.items) > most:
            raise ApiError(400, "LIMIT_EXCEEDED", "select columns limit exceeded", {"limit": most})
        if (
            len(self.items) - len(plain) > MAX_AGGREGATES
            or len(self.grouped) > MAX_GROUP
            or len(self.order) > MAX_ORDER
        ):
            raise ApiError(400, "LIMIT_EXCEEDED", "limit exceeded", {"limit": MAX_AGGREGATES})
        aliases = [item.alias for item in self.items if item.alias]
        if len(set(aliases)) < len(aliases):
            raise ApiError(400, "DUPLICATE_ALIAS", "duplicate alias found", {"alias": aliases[0]})
        for item in self.items:
            if item.path != "*" or not item.function:
                self.column(item.path)
        aggregated = len(plain) < len(self.items)
        if (aggregated or self.grouped) and any(item.path not in self.grouped for item in plain):
            raise _invalid("column not in group by", column_name=plain[0].path)

    def column(self, path: str) -> Column:
        """Resolve a column.

        :param path: for example ``Account_Name.Phone``.
        """
        column = column_of(self.state.store, self.module, path)
        if column is None or not column.spec.listed:
            raise _invalid("column given seems to be invalid", column_name=path)
        return column

    # --- conditions --------------------------------------------------------------------------------------------

    def _either(self, *, top: bool = False) -> Predicate:
        before = len(self.sql)
        tests = [self._both(top=top)]
        while self._accept("or"):
            # What was collected for the database holds for a conjunction only.
            del self.sql[before:]
            tests.append(self._both(top=False))
        return tests[0] if len(tests) == 1 else any_of(tests)

    def _both(self, *, top: bool) -> Predicate:
        tests = [self._one(top=top)]
        while self._accept("and"):
            tests.append(self._one(top=top))
        return tests[0] if len(tests) == 1 else all_of(tests)

    def _one(self, *, top: bool) -> Predicate:
        if self._accept("not"):
            inner = self._one(top=False)
            return lambda row: not inner(row)
        if self._accept("("):
            test = self._either(top=top)
            self._expect(")")
            return test
        path = self._name()
        column = self.column(path)
        comparator, value = self._condition()
        condition = as_sql(self.module, path, comparator, value) if top else None
        if condition is not None:
            self.sql.append(condition)
        self.exact = self.exact and condition is not None
        return compare(column, comparator, value)

    def _condition(self) -> tuple[str, Any]:
        if self._accept("is"):
            negated = self._accept("not")
            self._expect("null")
            return ("not_equal" if negated else "equal"), None
        negated = self._accept("not")
        prefix = "not_" if negated else ""
        if self._accept("in"):
            self._expect("(")
            values = list(self._listed(self._value))
            self._expect(")")
            most = self.state.options.coql_in_values
            if len(values) > most:
                raise ApiError(400, "LIMIT_EXCEEDED", "in values limit exceeded", {"limit": most})
            return f"{prefix}in", values
        if self._accept("between"):
            low = self._value()
            self._expect("and")
            return f"{prefix}between", [low, self._value()]
        if self._accept("like"):
            comparator, value = _like(str(self._value()))
            return f"{prefix}{comparator}", value
        if negated:
            raise self._unexpected(self._peek())
        token = self._next()
        comparator = _SIGNS.get(token.text, "")
        if not comparator:
            raise self._unexpected(token)
        return comparator, self._value()

    def _value(self) -> Any:
        token = self._next()
        if token.kind == "text":
            return re.sub(r"\\(.)|'(')", lambda match: match[1] or match[2], token.text[1:-1])
        if token.kind == "number":
            return float(token.text) if "." in token.text else int(token.text)
        if token.kind == "name" and token.text.lower() in {"true", "false"}:
            return token.text.lower() == "true"
        raise self._unexpected(token)


def _like(pattern: str) -> tuple[str, str]:
    inner = pattern.strip("%")
    if pattern.startswith("%"):
        return ("contains" if pattern.endswith("%") else "ends_with"), inner
    return ("starts_with" if pattern.endswith("%") else "equal"), inner


# --- execution -------------------------------------------------------------------------------------------------


class Execution:
    """Runs a query."""

    def __init__(self, state: State, parsed: Parser) -> None:
        self.state = state
        self.parsed = parsed

    def selection(self, order: str, *, descending: bool) -> Selection:
        """Build the selection of the WHERE clause.

        :param order: column of the store.
        :param descending: the way.
        """
        parsed = self.parsed
        matches = None if parsed.exact else parsed.test
        return select(parsed.module, parsed.sql, matches, order, descending=descending)

    def rows(self) -> tuple[list[Row], bool]:
        """Return the rows of a query without aggregates, and whether there are more."""
        parsed = self.parsed
        order = parsed.order or [("id", False)]
        last = parsed.offset + parsed.limit
        # The id breaks ties in the store.
        plain = len(order) == 1 or order[0][0] == "id" or order[1:] == [("id", order[0][1])]
        if order[0][0] in SORT_COLUMNS and plain:
            selection = self.selection(SORT_COLUMNS[order[0][0]], descending=order[0][1])
            found = self._stream(selection, last)
        else:
            found = list(self.state.store.scan(self.selection("id", descending=False)))
            for path, descending in reversed(order):
                column = parsed.column(path)
                found.sort(key=lambda row, c=column: sort_key(c.get(row)), reverse=descending)  # type: ignore[misc]  # bound at once
            found = found[parsed.offset : last + 1]
        return found[: parsed.limit], len(found) > parsed.limit

    def _stream(self, selection: Selection, last: int) -> list[Row]:
        """Read in the order of the store; a page that follows one that was read begins where that ended."""
        parsed, known = self.parsed, self.state.coql_keys
        key = (
            self.state.store.version,
            parsed.module.api_name,
            parsed.where_text,
            selection.order,
            selection.descending,
        )
        after = known.get((*key, parsed.offset)) if parsed.offset else None
        offset = 0 if after else parsed.offset
        found = self.state.store.rows(selection, after=after, offset=offset, limit=parsed.limit + 1)
        if len(found) > parsed.limit:
            if len(known) > 1_000:
                known.clear()
            behind = (*key, last)
            known[behind] = self.state.store.key_of(selection, found[parsed.limit - 1])
        return found

    def plain(self) -> tuple[list[dict[str, Any]], bool]:
        """Run a query without aggregates."""
        rows, more = self.rows()
        items = [*self.parsed.items]
        if not any(item.path == "id" for item in items):
            items.append(Item("id"))
        simple = [item for item in items if "." not in item.path]
        specs = [self.parsed.module.fields[item.path] for item in simple]
        columns = dict(
            zip([item.label for item in simple], self.state.store.columns(rows, specs), strict=True)
        )
        for item in items:
            if "." in item.path:
                get = self.parsed.column(item.path).get
                columns[item.label] = [get(row) for row in rows]
        names = [item.label for item in items]
        data = [dict(zip(names, values)) for values in zip(*(columns[name] for name in names))]  # noqa: B905 - same lengths
        return data, more

    def grouped(self) -> tuple[list[dict[str, Any]], bool]:
        """Run a query with aggregates or groups."""
        parsed = self.parsed
        if not parsed.grouped and all(
            item.function == "count" and item.path in {"*", "id"} for item in parsed.items
        ):
            count = self.state.store.count(self.selection("id", descending=False))
            return [{item.label: count for item in parsed.items}], False
        keys = [parsed.column(path) for path in parsed.grouped]
        columns = [None if item.path == "*" else parsed.column(item.path) for item in parsed.items]
        groups: dict[bytes, list[Any]] = {}
        for row in self.state.store.scan(self.selection("id", descending=False)):
            key = orjson.dumps([comparable(column.spec, column.get(row)) for column in keys])
            group = groups.get(key)
            if group is None:
                first = [column.get(row) if column is not None else None for column in columns]
                group = groups[key] = [first, [Total() for _ in columns]]
            for column, total in zip(columns, group[1], strict=True):
                total.add(column, row)
        if not groups and not parsed.grouped:
            groups[b""] = [[None] * len(columns), [Total() for _ in columns]]
        data = [
            {
                item.label: total.result(item.function) if item.function else value
                for item, value, total in zip(parsed.items, first, totals, strict=True)
            }
            for first, totals in groups.values()
        ]
        for label, descending in reversed(parsed.order):
            data.sort(key=lambda one, name=label: sort_key(one.get(name)), reverse=descending)  # type: ignore[misc]  # bound at once
        part = data[parsed.offset : parsed.offset + parsed.limit]
        return part, len(data) > parsed.offset + parsed.limit


class Total:
    """What the aggregates of one column need."""

    def __init__(self) -> None:
        self.count = 0
        self.sum: float = 0
        self.low: tuple[Any, Any] | None = None
        self.high: tuple[Any, Any] | None = None

    def add(self, column: Column | None, row: Row) -> None:
        """Add a record.

        :param column: the column, ``None`` for ``*``.
        :param row: the record.
        """
        if column is None:
            self.count += 1
            return
        value = column.get(row)
        found = comparable(column.spec, value)
        if found is None or isinstance(found, list):
            return
        self.count += 1
        if isinstance(found, (int, float)):
            self.sum += found
        if self.low is None or found < self.low[0]:
            self.low = (found, value)
        if self.high is None or found > self.high[0]:
            self.high = (found, value)

    def result(self, function: str) -> Any:
        """Return the value of an aggregate.

        :param function: count, sum, min, max or avg.
        """
        if function == "count":
            return self.count
        if function == "min":
            return None if self.low is None else self.low[1]
        if function == "max":
            return None if self.high is None else self.high[1]
        if not self.count:
            return None
        return self.sum if function == "sum" else self.sum / self.count


def _limits(call: Call) -> tuple[int, int]:
    return (200, 10_000) if call.old else (2_000, 100_000)


def price(call: Call) -> int:
    """Cost by the limit asked for (sheet §6.2)."""
    match = re.search(rb"limit\s+(?:\d+\s*,\s*)?(\d+)", call.body, re.IGNORECASE)
    limit = int(match[1]) if match else DEFAULT_LIMIT
    return 1 if limit <= 200 else 2 if limit <= 1_000 else 3


def query(state: State, call: Call) -> Answer:
    """``POST /crm/{v}/coql``."""
    text = call.json().get("select_query")
    if not isinstance(text, str) or not text.strip():
        raise ApiError(400, "MANDATORY_NOT_FOUND", "mandatory key not found", {"api_name": "select_query"})
    most, most_offset = _limits(call)
    parsed = Parser(state, text, most=most, most_offset=most_offset).read()
    execution = Execution(state, parsed)
    aggregated = parsed.grouped or any(item.function for item in parsed.items)
    data, more = execution.grouped() if aggregated else execution.plain()
    if not data:
        return Answer(204)
    state.note(call, records=len(data))
    return Answer(200, {"data": data, "info": {"count": len(data), "more_records": more}})
