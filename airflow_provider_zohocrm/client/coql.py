"""COQL text: what is needed to page a query safely, without a parser of its own (reference sheet §2.7)."""

from __future__ import annotations

import re

from airflow_provider_zohocrm.exceptions import ZohoValidationError

_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'", re.DOTALL)
_LIMIT = re.compile(r"\blimit\b", re.IGNORECASE)
_ORDER = re.compile(r"\border\s+by\b", re.IGNORECASE)
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


def cost(size: int) -> int:
    """Tell the API credits of a query that may return so many rows (reference sheet §2.7)."""
    return 1 if size <= 200 else 2 if size <= 1_000 else 3


def has_limit(query: str) -> bool:
    """Tell whether a query sets its own limit."""
    return bool(_LIMIT.search(without_texts(query)))


def paged(query: str, offset: int, size: int) -> str:
    """Add a limit to a query, and an order if it may have one, so that no page repeats or skips a record."""
    bare = without_texts(query)
    ordered = _ORDER.search(bare) or _GROUPED.search(bare)
    return f"{query}{'' if ordered else ' order by id asc'} limit {offset}, {size}"
