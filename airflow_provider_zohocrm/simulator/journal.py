"""Every request received, for assertions; secrets are masked (sheet §10.1 row 30)."""

from __future__ import annotations

import re
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

KEPT = 50_000
KEPT_BODIES = 64_000_000
"""Bytes of bodies that are kept: those of older requests go, so that a long run does not fill the memory."""
LONGEST_BODY = 1_000_000

_SECRET = re.compile(r"((?:^|&)(?:client_secret|refresh_token|access_token|code|token)=)[^&]*")
_IN_JSON = re.compile(
    r'("(?:client_secret|refresh_token|access_token|code|token)"\s*:\s*")(?:[^"\\]|\\.)*(")'
)
_CHANNEL_TOKEN = re.compile(r'("token"\s*:\s*")(?:[^"\\]|\\.)*(")')
_HEADER = re.compile(r"^(\S+ )?.*$", re.DOTALL)


def mask(text: str) -> str:
    """Replace the values of secret parameters.

    :param text: a query string or a form.
    """
    return _SECRET.sub(r"\1***", text)


class Journal:
    """Keeps the last requests."""

    def __init__(self, path: str | None = None) -> None:
        self.entries: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._lock = threading.Lock()
        self._bodies: deque[tuple[dict[str, Any], int]] = deque()
        self._size = 0
        self._file: TextIO | None = Path(path).open("a", encoding="utf-8") if path else None  # noqa: SIM115 - open as long as the simulator lives

    def begin(
        self, when: float, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes
    ) -> dict[str, Any]:
        """Note a request.

        :returns: its entry, to which the answer is added by ``end``.
        """
        shown = dict(headers)
        if "authorization" in shown:
            # The prefix stays: whether a client says Bearer or Zoho-oauthtoken is worth an assertion.
            shown["authorization"] = _HEADER.sub(r"\1***", shown["authorization"])
        text = body[:LONGEST_BODY].decode("utf-8", "replace")
        if shown.get("content-type", "").startswith("multipart/"):
            text = f"<form of {len(body)} bytes>"
        form = "json" not in shown.get("content-type", "json")
        if path.startswith("/oauth/"):
            # Zoho takes no JSON there; whoever sends it has a mistake in the client, and secrets in the body all the same.
            text = _IN_JSON.sub(r"\1***\2", text)
        if not form and path.endswith("/actions/watch"):
            # What a channel sends back with each notification, so that its receiver knows it is meant.
            text = _CHANNEL_TOKEN.sub(r"\1***\2", text)
        entry = {
            "time": when,
            "method": method,
            "path": path,
            "query": mask(query),
            "headers": shown,
            "body": mask(text) if form else text,
            "status": None,
        }
        with self._lock:
            self.entries.append(entry)
            self._bodies.append((entry, len(text)))
            self._size += len(text)
            while self._size > KEPT_BODIES:
                oldest, size = self._bodies.popleft()
                oldest["body"] = None
                self._size -= size
        return entry

    def end(self, entry: dict[str, Any], status: int | None) -> None:
        """Note the answer.

        :param entry: what ``begin`` returned.
        :param status: status, ``None`` where the connection was reset.
        """
        entry["status"] = status
        if self._file is not None:
            with self._lock:
                self._file.write(orjson.dumps(entry).decode() + "\n")
                self._file.flush()

    def as_list(self) -> list[dict[str, Any]]:
        """Return all entries, oldest first."""
        with self._lock:
            return list(self.entries)

    def clear(self) -> None:
        """Forget all entries."""
        with self._lock:
            self.entries.clear()
            self._bodies.clear()
            self._size = 0

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
