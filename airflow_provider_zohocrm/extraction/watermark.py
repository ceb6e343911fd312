"""The newest ``Modified_Time`` of what was read: where the next run begins."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


FIELD = "Modified_Time"


class Watermark:
    """Finds the newest ``Modified_Time``.

    :param newest: what was found before, ISO 8601.
    """

    def __init__(self, newest: str | None = None) -> None:
        self._newest = None if newest is None else datetime.fromisoformat(newest)

    @property
    def newest(self) -> str | None:
        """The newest moment so far, ISO 8601 in UTC to the second, or None."""
        return self._newest.isoformat(timespec="seconds") if self._newest else None

    def see(self, texts: Iterable[str | None]) -> None:
        """Look at values of ``Modified_Time``."""
        # Texts with one offset compare as they are, and a page has one or two offsets: few need to be parsed.
        last: dict[str, str] = {}
        for text in texts:
            if text is not None and text > last.get(text[19:], ""):
                last[text[19:]] = text
        for text in last.values():
            found = datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)
            if self._newest is None or found > self._newest:
                self._newest = found
