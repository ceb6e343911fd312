"""The columns of a typed file."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal[
    "string", "integer", "decimal", "boolean", "date", "datetime", "list", "lookup", "user", "json"
]


class Column(NamedTuple):
    """A column and the type of its values.

    :param name: API name of the field.
    :param kind: ``datetime`` is a moment in UTC, ``list`` holds texts, ``lookup`` is ``{"id", "name"}``, ``user`` is
        ``{"id", "name", "email"}``, ``json`` is anything nested.
    :param scale: digits after the point, for ``decimal``.
    """

    name: str
    kind: Kind = "string"
    scale: int = 0
