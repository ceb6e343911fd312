"""What a handler gets and what it gives, free of any web framework."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any

import orjson

from airflow_provider_zohocrm.simulator.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_zohocrm.simulator.tokens import Token

VERSIONS = {"v2": 2.0, "v2.1": 2.1, "v3": 3.0, "v4": 4.0, "v5": 5.0, "v6": 6.0, "v7": 7.0, "v8": 8.0}
"""Rank of each version that can be addressed (sheet §8)."""


@dataclass
class Call:
    """A request to the API."""

    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    base_url: str
    version: str = "v8"
    token: Token | None = None
    record: dict[str, Any] = field(default_factory=dict)
    """Its entry in the journal."""

    @property
    def rank(self) -> float:
        """Version as a number."""
        return VERSIONS[self.version]

    @property
    def old(self) -> bool:
        """v2 and v2.1: fields optional, no page_token."""
        return self.rank < 3

    def json(self) -> dict[str, Any]:
        """Read the body as an object.

        :raises ApiError: where it is none.
        """
        try:
            content = self._content
        except orjson.JSONDecodeError as error:
            raise ApiError(400, "INVALID_DATA", "body", {}) from error
        if not isinstance(content, dict):
            raise ApiError(400, "INVALID_DATA", "invalid data", {"expected_data_type": "jsonobject"})
        return content

    @cached_property
    def _content(self) -> Any:
        return orjson.loads(self.body)


@dataclass
class Answer:
    """What is sent back."""

    status: int = 200
    body: Any = None
    """An object to become JSON, bytes to be sent as they are, or ``None`` for no body."""
    headers: dict[str, str] = field(default_factory=dict)
    file: IO[bytes] | None = None
    """A file to be streamed instead of a body."""
    gateway: bool = False


def flat(error: ApiError) -> Answer:
    """Turn an error into its answer.

    :param error: the error.
    """
    return Answer(error.status, error.body, gateway=error.gateway)
