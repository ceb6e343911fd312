"""Which versions of records a run has delivered lately, so that the next one, which looks back a little, leaves them out."""

from __future__ import annotations

import base64
import json
import logging
import zlib
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

log = logging.getLogger(__name__)

# About 30 kB in the asset's state or the Variable, which a database may bound at 64 kB.
_MOST = 5_000

Version = tuple[int, int]


class Border:
    """The versions of records, ``(id, Modified_Time)``, at the end of what was delivered.

    :param overlap: seconds before the newest one that count as the end.
    :param delivered: those of runs before this one, as :meth:`packed` gave them.
    """

    def __init__(self, overlap: float, delivered: str | None = None) -> None:
        self._overlap = overlap
        self._delivered = frozenset(_unpacked(delivered))
        self._taken: set[Version] = set()

    def take(self, ids: Sequence[str | None], times: Sequence[str | None]) -> list[bool]:
        """Tell which versions are new, and note them as delivered.

        :param ids: ids of records.
        :param times: their ``Modified_Time``.
        """
        fresh = []
        for record_id, text in zip(ids, times, strict=True):
            if record_id is None or text is None:
                fresh.append(True)
                continue
            version = int(record_id), _seconds(text)
            fresh.append(version not in self._delivered)
            self._taken.add(version)
        if len(self._taken) > 4 * _MOST:
            self._taken = set(self._last(self._taken))
        return fresh

    def restore(self, taken: str | None) -> None:
        """Go on from what an earlier try of the run has taken."""
        self._taken = set(_unpacked(taken))

    @property
    def taken(self) -> str:
        """What this run has taken so far, for :meth:`restore`."""
        return _packed(self._last(self._taken))

    @property
    def packed(self) -> str:
        """The end of all that was delivered, for the next run."""
        last = self._last(self._delivered | self._taken)
        if len(last) == _MOST:
            log.warning(
                "More than %d records were modified within the overlap of %.0f s: the next run may deliver some of them "
                "again. A shorter overlap avoids it.",
                _MOST,
                self._overlap,
            )
        return _packed(last)

    def _last(self, versions: Iterable[Version]) -> list[Version]:
        """Choose those of the overlap, the newest first."""
        ordered = sorted(versions, key=lambda version: version[1], reverse=True)
        if not ordered:
            return []
        first = ordered[0][1] - self._overlap
        return [version for version in ordered[:_MOST] if version[1] >= first]


@lru_cache(maxsize=10_000)
def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp())


def _packed(versions: Iterable[Version]) -> str:
    """Render versions small: ids of one second by their distances."""
    by_time: dict[int, list[int]] = {}
    for record_id, seconds in versions:
        by_time.setdefault(seconds, []).append(record_id)
    rows = []
    for seconds, ids in sorted(by_time.items()):
        ids.sort()
        rows.append([seconds, *(after - before for before, after in zip([0, *ids], ids, strict=False))])
    return base64.b85encode(zlib.compress(json.dumps(rows, separators=(",", ":")).encode(), 9)).decode()


def _unpacked(text: str | None) -> Iterable[Version]:
    if not text:
        return
    for seconds, *distances in json.loads(zlib.decompress(base64.b85decode(text))):
        record_id = 0
        for distance in distances:
            record_id += distance
            yield record_id, seconds
