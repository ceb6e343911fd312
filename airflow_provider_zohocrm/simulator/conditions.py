"""Comparisons on records, shared by search, COQL and the criteria of bulk read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from airflow_provider_zohocrm.simulator.clock import parse_iso
from airflow_provider_zohocrm.simulator.modules import USERS, Field, Module, Row
from airflow_provider_zohocrm.simulator.store import SORT_COLUMNS, Selection, Store

Predicate = Callable[[Row], bool]
Getter = Callable[[Row], Any]

NUMBERS = {"integer", "double", "currency", "bigint", "percent"}
TEXTS = {"text", "email", "phone", "website", "picklist", "multiselectpicklist", "textarea"}
DATES = {"date", "datetime"}
LOOKUPS = {"lookup", "ownerlookup"}

USER_PARTS: dict[str, Callable[[Any], str]] = {
    "id": lambda user: user.id,
    "first_name": lambda user: user.first_name,
    "last_name": lambda user: user.last_name,
    "full_name": lambda user: user.name,
    "name": lambda user: user.name,
    "email": lambda user: user.email,
}
_USERS = {user.id: user for user in USERS}


@dataclass(frozen=True)
class Column:
    """A field, or one reached over lookups (``Account_Name.Phone``)."""

    spec: Field
    get: Getter


def column_of(store: Store, module: Module, path: str) -> Column | None:
    """Find what a dot path leads to.

    :param store: the data.
    :param module: where the path begins.
    :param path: for example ``Owner.last_name``.
    :returns: ``None`` where a part is unknown.
    """
    first, _, rest = path.partition(".")
    spec = module.fields.get(first)
    if spec is None:
        return None
    if not rest:
        return Column(spec, lambda row: store.value(row, spec))
    if spec.data_type == "ownerlookup":
        return _user_column(store, spec, rest)
    if spec.data_type != "lookup":
        return None
    target = store.modules[spec.lookup]
    inner = column_of(store, target, target.display if rest == "name" else rest)
    if inner is None:
        return None
    place = 4 + spec.link

    def over(row: Row) -> Any:
        link = row[place]
        parent = None if link is None else store.row(target, int(str(link)), bin_too=True)
        return None if parent is None else inner.get(parent)

    return Column(inner.spec, over)


def _user_column(store: Store, spec: Field, part: str) -> Column | None:
    of_user = USER_PARTS.get(part.lower())
    if of_user is None:
        return None

    def of_owner(row: Row) -> str | None:
        owner = store.value(row, spec)
        user = _USERS.get(owner["id"]) if owner else None
        return None if user is None else of_user(user)

    return Column(Field(f"{spec.api_name}.{part}", "text", "string", of_owner), of_owner)


def comparable(spec: Field, value: Any) -> Any:
    """Bring a value into the form in which values of its field are compared.

    :param spec: the field.
    :param value: from a record or from a condition.
    :returns: ``None`` for empty; ids of lookups as text; moments as seconds; text without regard to case.
    """
    if value is None or value == "" or value == []:
        return None
    kind = spec.data_type
    if kind in LOOKUPS:
        return str(value["id"] if isinstance(value, dict) else value)
    if kind == "datetime":
        return parse_iso(str(value))
    if kind == "boolean":
        return value if isinstance(value, bool) else str(value).lower() == "true"
    if kind in NUMBERS:
        return _number(value)
    if isinstance(value, list):
        return [str(v["name"] if isinstance(v, dict) else v).casefold() for v in value]
    return str(value).casefold()


def _number(value: Any) -> int | float | None:
    if isinstance(value, (int, float)):
        return value
    try:
        return int(value)
    except ValueError:
        pass
    try:
        return float(value)
    except ValueError:
        return None


def _holds(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def either(found: Any, wanted: Any) -> bool:
        return any(test(one, wanted) for one in found) if isinstance(found, list) else test(found, wanted)

    return either


def _same_type(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def checked(found: Any, wanted: Any) -> bool:
        return isinstance(found, str) == isinstance(wanted, str) and test(found, wanted)

    return checked


_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "equal": _holds(lambda found, wanted: found == wanted),
    "less_than": _same_type(lambda found, wanted: found < wanted),
    "less_equal": _same_type(lambda found, wanted: found <= wanted),
    "greater_than": _same_type(lambda found, wanted: found > wanted),
    "greater_equal": _same_type(lambda found, wanted: found >= wanted),
    "contains": _holds(lambda found, wanted: wanted in str(found)),
    "starts_with": _holds(lambda found, wanted: str(found).startswith(wanted)),
    "ends_with": _holds(lambda found, wanted: str(found).endswith(wanted)),
}

NEGATED = {
    "not_equal": "equal",
    "not_in": "in",
    "not_between": "between",
    "not_contains": "contains",
}


def compare(column: Column, comparator: str, value: Any) -> Predicate:
    """Build the test of one condition.

    :param column: what is compared.
    :param comparator: a name of the sheet §4.2.
    :param value: one value, or a list for in, between and their opposites; ``None`` means empty.
    """
    if comparator in NEGATED:
        inner = compare(column, NEGATED[comparator], value)
        return lambda row: not inner(row)
    spec, get = column.spec, column.get
    values = value if isinstance(value, list) else [value]
    wanted = [comparable(spec, one) for one in values]
    if comparator == "between":
        low, high = wanted
        return lambda row: (found := comparable(spec, get(row))) is not None and low <= found <= high
    if comparator == "in":
        return _any_of(spec, get, wanted)
    test, one = _TESTS[comparator], wanted[0]
    if one is None:
        return lambda row: comparator == "equal" and comparable(spec, get(row)) is None
    return lambda row: (found := comparable(spec, get(row))) is not None and test(found, one)


def _any_of(spec: Field, get: Getter, wanted: Sequence[Any]) -> Predicate:
    chosen = set(wanted)

    def test(row: Row) -> bool:
        found = comparable(spec, get(row))
        return any(one in chosen for one in found) if isinstance(found, list) else found in chosen

    return test


def all_of(tests: Sequence[Predicate]) -> Predicate:
    """Build the conjunction.

    :param tests: any number.
    """
    return lambda row: all(test(row) for test in tests)


def any_of(tests: Sequence[Predicate]) -> Predicate:
    """Build the disjunction.

    :param tests: any number.
    """
    return lambda row: any(test(row) for test in tests)


_SQL = {"equal": "=", "less_than": "<", "less_equal": "<=", "greater_than": ">", "greater_equal": ">="}


class Sql(NamedTuple):
    """A condition for the database, which means the same there.

    :param text: SQL.
    :param values: its parameters.
    :param low: no id below it fits.
    :param high: no id above it fits.
    """

    text: str
    values: list[Any]
    low: int | None = None
    high: int | None = None


def _sql_column(module: Module, path: str) -> tuple[str, str]:
    """Return the column of the store that holds what a path leads to, and whether it is a moment."""
    first, _, rest = path.partition(".")
    spec = module.fields.get(first)
    if spec is not None and spec.link and (not rest or (rest == "id" and module.parent is not None)):
        return f"link{spec.link}", "id"
    if module.parent is not None and first == "Parent_Id" and rest != "id":
        # The times of a row are those of its parent.
        path = rest
    return SORT_COLUMNS.get(path, ""), "id" if path == "id" else "time"


def as_sql(module: Module, path: str, comparator: str, value: Any) -> Sql | None:
    """Translate a condition on ids, lookups, Created_Time or Modified_Time: the database seeks instead of scanning.

    :param module: the module.
    :param path: the field.
    :param comparator: a name of the sheet §4.2.
    :param value: its value.
    :returns: ``None`` for all other conditions.
    """
    column, kind = _sql_column(module, path)
    if not column:
        return None
    if value is None and comparator == "not_equal" and not column.startswith("link"):
        return Sql("1", [])
    values = value if isinstance(value, list) else [value]
    parsed = [_as_integer(kind, one) for one in values]
    numbers = [one for one in parsed if one is not None]
    if len(numbers) < len(values):
        return None
    low = high = None
    if column == "id":
        low = min(numbers) if comparator not in {"less_than", "less_equal"} else None
        high = max(numbers) if comparator not in {"greater_than", "greater_equal"} else None
    if comparator in _SQL:
        if column.startswith("link") and comparator != "equal":
            return None
        return Sql(f"{column} {_SQL[comparator]} ?", numbers, low, high)
    if comparator == "between" and not column.startswith("link"):
        return Sql(f"{column} BETWEEN ? AND ?", numbers, low, high)
    if comparator == "in":
        return Sql(f"{column} IN ({','.join('?' * len(numbers))})", numbers, low, high)
    return None


def _as_integer(kind: str, value: Any) -> int | None:
    """Return the number the store has for a value."""
    if kind == "id":
        text = str(value)
        fits = text.isascii() and text.isdigit() and len(text) <= 19 and int(text) < 2**63
        return int(text) if fits else None
    moment = parse_iso(str(value))
    return None if moment is None else int(moment)


def select(
    module: Module,
    sql: Sequence[Sql],
    matches: Predicate | None,
    order: str = "id",
    *,
    descending: bool = False,
) -> Selection:
    """Build the selection of the ordinary records that meet conditions.

    :param module: the module.
    :param sql: what the database can test.
    :param matches: what it cannot.
    :param order: column of the store.
    :param descending: the way.
    """
    where = " AND ".join(["view = 0", *(one.text for one in sql)])
    params = tuple(value for one in sql for value in one.values)
    low = max((one.low for one in sql if one.low is not None), default=None)
    high = min((one.high for one in sql if one.high is not None), default=None)
    return Selection(module, where, params, order, descending, matches, low, high)
