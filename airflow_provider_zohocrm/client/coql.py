"""COQL text: what is needed to page a query safely, without a parser of its own (reference sheet §2.7)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from airflow_provider_zohocrm.client.api import api_path
from airflow_provider_zohocrm.client.calls import Call
from airflow_provider_zohocrm.exceptions import ZohoValidationError

if TYPE_CHECKING:
    from airflow_provider_zohocrm.client.versions import ApiVersion

_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'", re.DOTALL)
_LIMIT = re.compile(r"\blimit\b", re.IGNORECASE)
_ORDER = re.compile(r"\border\s+by\b", re.IGNORECASE)
_WHERE = re.compile(r"\bwhere\b", re.IGNORECASE)
_BY_ID = re.compile(r"\border\s+by\s+id(?:\s+(asc|desc))?\s*$", re.IGNORECASE)
_SELECTED = re.compile(r"select\s+(.*?)\s+from\s+(\w+)", re.IGNORECASE | re.DOTALL)
_ALIAS = re.compile(r"\bas\s+(\w+)\s*$", re.IGNORECASE)
_GROUPED = re.compile(r"\bgroup\s+by\b|\b(?:count|sum|min|max|avg)\s*\(", re.IGNORECASE)


def literal(value: str) -> str:
    """Quote a text for COQL."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def without_texts(query: str) -> str:
    """Empty the quoted texts of a query, so that words in them are not taken for clauses."""
    return _QUOTED.sub("''", query)


def checked_query(select_query: str) -> str:
    """Check that a text is one COQL query.

    :raises ZohoValidationError: if it does not begin with ``select`` or lacks the mandatory ``where``.
    """
    query = select_query.strip().rstrip(";").rstrip() if isinstance(select_query, str) else ""
    bare = without_texts(query)
    if not re.match(r"select\s", bare, re.IGNORECASE):
        raise ZohoValidationError(f"a COQL query begins with select; got {str(select_query)[:80]!r}")
    if not re.search(r"\bwhere\b", bare, re.IGNORECASE):
        raise ZohoValidationError(
            "a COQL query needs a where clause; write 'where id is not null' for all records"
        )
    return query


def checked_condition(condition: str) -> str:
    """Check that a text is the condition of a COQL query and nothing else.

    :raises ZohoValidationError: if its quotes or brackets are not closed, or it has clauses of its own.
    """
    bare = without_texts(condition).replace("''", "")
    depth = 0
    for mark in bare:
        depth += {"(": 1, ")": -1}.get(mark, 0)
        if depth < 0:
            break
    words = bare.lower().split()
    if (
        not words
        or depth
        or "'" in bare
        or {"select", "from", "where", "limit", "order", "group"} & set(words)
    ):
        raise ZohoValidationError(
            f"criteria is {condition!r}; it must be what stands after 'where' in COQL, e.g. Stage = 'Closed Won'"
        )
    return condition


def cost(size: int) -> int:
    """Tell the API credits of a query that may return so many rows (reference sheet §2.7)."""
    return 1 if size <= 200 else 2 if size <= 1_000 else 3


def query_call(version: ApiVersion, query: str, size: int) -> Call:
    """Build the call that runs a query once.

    :param size: how many rows it may return, which decides what it costs.
    """
    return Call("POST", api_path(version, "coql"), json={"select_query": query}, credits=cost(size))


def has_limit(query: str) -> bool:
    """Tell whether a query sets its own limit."""
    return bool(_LIMIT.search(without_texts(query)))


def paged(query: str, offset: int, size: int) -> str:
    """Add a limit to a query, and an order if it may have one, so that no page repeats or skips a record."""
    bare = without_texts(query)
    ordered = _ORDER.search(bare) or _GROUPED.search(bare)
    return f"{query}{'' if ordered else ' order by id asc'} limit {offset}, {size}"


class Keyset(NamedTuple):
    """A query whose pages begin after the last id of the one before, so that its offset cannot grow too large.

    :param head: the query up to its ``where``.
    :param condition: what follows.
    :param descending: whether it begins with the highest id.
    """

    head: str
    condition: str
    descending: bool

    def page(self, after: str | None, size: int) -> str:
        """Write the query of one page.

        :param after: the last id of the page before; None for the first page.
        """
        order, sign = ("desc", "<") if self.descending else ("asc", ">")
        condition = self.condition
        if after is not None:
            condition = f"({condition}) and id {sign} {literal(after)}"
        return f"{self.head} {condition} order by id {order} limit {size}"


def keyset(query: str) -> Keyset | None:
    """Take a query apart to be read in the order of its ids.

    :param query: a checked query without a limit of its own.
    :return: None for one that has an order of its own, or does not return records: groups and aggregates.
    """
    bare = _QUOTED.sub(lambda quoted: "'" + "_" * (len(quoted[0]) - 2) + "'", query)
    by_id = _BY_ID.search(bare)
    where = _WHERE.search(bare)
    if where is None or _GROUPED.search(bare) or (_ORDER.search(bare) and by_id is None):
        return None
    if "id" in (name.lower() for name in aliases(query)):
        return None
    end = by_id.start() if by_id else len(query)
    descending = by_id is not None and (by_id[1] or "").lower() == "desc"
    return Keyset(query[: where.end()], query[where.end() : end].strip(), descending)


def aliases(query: str) -> list[str]:
    """Name what the query calls its columns by ``as``."""
    return [found[1] for item in _items(query) if (found := _ALIAS.search(item))]


def columns(query: str) -> list[str]:
    """Name the columns of a query in the order of its ``select``: aliases, fields, and functions as they are written."""
    return [found[1] if (found := _ALIAS.search(item)) else item for item in _items(query)]


def module_of(query: str) -> str:
    """Name the module that a query reads; empty if it cannot be told."""
    found = _SELECTED.match(query)
    return found[2] if found else ""


def is_grouped(query: str) -> bool:
    """Tell whether the rows of a query are groups or aggregates instead of records."""
    return bool(_GROUPED.search(_QUOTED.sub("''", query)))


def _items(query: str) -> list[str]:
    found = _SELECTED.match(query)
    # No function of COQL takes two arguments, so a comma always ends an item.
    return [item.strip() for item in found[1].split(",") if item.strip()] if found else []
