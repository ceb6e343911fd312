"""What became of each record: results and rejects as files, and counts."""

from __future__ import annotations

import logging
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.exceptions import ZohoStorageError
from airflow_provider_zohocrm.loading.writable import writable
from airflow_provider_zohocrm.storage import Column, RecordWriter, file_exists, file_format, numbered_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from typing_extensions import Self

    from airflow_provider_zohocrm.loading.values import Rejection

log = logging.getLogger(__name__)

RESULT_COLUMNS = (
    Column("index", "integer"),
    Column("id"),
    Column("action"),
    Column("duplicate_field"),
)
REJECT_COLUMNS = (
    Column("index", "integer"),
    Column("code"),
    Column("message"),
    Column("details"),
    Column("json_path"),
    Column("record"),
)
# What became of a record is not known: its answer was lost, and there is no way to look it up.
UNKNOWN = "UNKNOWN_OUTCOME"
_COUNTS = {"insert": "inserted", "update": "updated", "delete": "deleted"}
# Enough to see what is wrong; the rest is in the rejects file.
_SHOWN = 100
# Rows that are written to a file together.
_ROWS = 500


def not_noted() -> ZohoStorageError:
    """Make the error for records that must not be inserted, as a further try would not know that they may have been."""
    return ZohoStorageError(
        "The checkpoint cannot be kept, see the log, and without it a retry would insert records again that are there: "
        "nothing further is sent. A retry goes on from the last checkpoint; durable=False inserts without one."
    )


class Outcome:
    """Takes the result of each record, and writes results and rejects as streams.

    A context manager: when the block raises, what is not published vanishes. The files are ``path`` itself and, after
    each :meth:`publish` in between, ``path`` with a number. In a file, rows stand in the order of the input, but for those
    whose answer came more than some hundred others late.

    :param results_path: file of the records that were written, ``index, id, action, duplicate_field``; None for none.
    :param rejects_path: file of the others, ``index, code, message, details, json_path, record``; None for none.
    :param kept: the :attr:`state` of an earlier try, which is gone on from.
    """

    def __init__(
        self, results_path: str | None, rejects_path: str | None, kept: Mapping[str, Any] | None = None
    ) -> None:
        kept = kept or {}
        self.counts: dict[str, int] = dict.fromkeys(
            ("inserted", "updated", "deleted", "rejected", "unknown"), 0
        )
        self.counts.update(kept.get("counts") or {})
        self.shown: list[dict[str, Any]] = list(kept.get("shown") or ())
        """The first 100 rejects, without their records."""
        self.unpublished = 0
        """Records that came since the files were published."""
        self._results = _Parts(results_path, RESULT_COLUMNS, kept.get("results") or ())
        self._rejects = _Parts(rejects_path, REJECT_COLUMNS, kept.get("rejects") or ())
        self.state = self._described()

    @classmethod
    def lost(cls, kept: Mapping[str, Any], exists: Callable[[str], bool] = file_exists) -> list[str]:
        """Name the files of an earlier try that are no longer there."""
        paths = [*(kept.get("results") or ()), *(kept.get("rejects") or ())]
        return [path for path in paths if not exists(path)]

    def __enter__(self) -> Self:
        # A place that cannot be written to is told before the first record is sent.
        self._results.open()
        try:
            self._rejects.open()
        except BaseException:
            self._results.discard()
            raise
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        try:
            if kind is None:
                self.publish(last=True)
        finally:
            self._results.discard()
            self._rejects.discard()

    def accepted(self, index: int, id: str, action: str, duplicate_field: str | None = None) -> None:  # noqa: A002  # the name of the column
        """Take a record that was written.

        :param index: which row of the input, from 0.
        :param id: the record's id.
        :param action: ``insert``, ``update`` or ``delete``.
        :param duplicate_field: the field by which an upsert found it.
        """
        self.counts[_COUNTS[action]] += 1
        self.unpublished += 1
        if self._results.wanted:
            self._results.add(
                {"index": index, "id": id, "action": action, "duplicate_field": duplicate_field}
            )

    def rejected(self, index: int, record: Mapping[str, Any], rejection: Rejection) -> None:
        """Take a record that was not written, or of which that is not known (:data:`UNKNOWN`).

        :param index: which row of the input, from 0.
        :param record: the record; what has no form in JSON is written as
            :func:`~airflow_provider_zohocrm.loading.writable.writable` gives it.
        :param rejection: why.
        """
        rejection = rejection._replace(
            code=writable(rejection.code),
            message=writable(rejection.message),
            details=writable(rejection.details),
            json_path=writable(rejection.json_path),
        )
        self.counts["rejected"] += 1
        self.counts["unknown"] += rejection.code == UNKNOWN
        self.unpublished += 1
        reject = {"index": index, **rejection._asdict()}
        if len(self.shown) < _SHOWN:
            self.shown.append(reject)
            log.warning(
                "Record %d of the input was rejected: %s %s %s",
                index,
                rejection.code,
                rejection.message,
                rejection.details,
            )
        if self._rejects.wanted:
            self._rejects.add({**reject, "record": writable(record)})

    def publish(self, *, last: bool = False) -> None:
        """Let what came so far appear as files, and begin others with what comes.

        :param last: that nothing comes any more; then there is at least one file each, if empty.
        """
        self._results.publish(last=last)
        self._rejects.publish(last=last)
        self.unpublished = 0
        self.shown.sort(key=_index)
        self.state = self._described()

    @property
    def total(self) -> int:
        """Number of records so far."""
        counts = self.counts
        return counts["inserted"] + counts["updated"] + counts["deleted"] + counts["rejected"]

    @property
    def summary(self) -> dict[str, Any]:
        """Counts and published files; ``unknown`` is part of ``rejected``."""
        counts = {name: count for name, count in self.counts.items() if name != "deleted"}
        return {
            "total": self.total,
            **counts,
            "deleted": self.counts["deleted"],
            "results_path": self._results.path,
            "results_paths": list(self._results.files),
            "rejects_path": self._rejects.path,
            "rejects_paths": list(self._rejects.files),
        }

    @property
    def first(self) -> str:
        """The first reject, in words."""
        reject = self.shown[0]
        return f"record {reject['index']}: {reject['code']} {reject['message']} {reject['details']}"

    def _described(self) -> dict[str, Any]:
        """Describe what was published, as plain JSON."""
        return {
            "counts": dict(self.counts),
            "shown": list(self.shown),
            "results": self._results.kept,
            "rejects": self._rejects.kept,
        }


_index = itemgetter("index")


class _Parts:
    """Numbered files of rows, each published on demand."""

    def __init__(self, path: str | None, columns: Sequence[Column], files: Sequence[str]) -> None:
        self.path = path
        self.wanted = path is not None
        self.files = list(files)
        # JSONL holds values as they are, so that records can be sent again.
        self._columns = None if path is None or file_format(path).name == "jsonl" else columns
        self._empty: set[str] = set()
        self._writer: RecordWriter | None = None
        self._rows: list[dict[str, Any]] = []

    @property
    def kept(self) -> list[str]:
        """The files that a further try goes on after; one without rows it replaces."""
        return [path for path in self.files if path not in self._empty]

    def add(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        if len(self._rows) >= 2 * _ROWS:
            # Answers come in another order than records: the later half waits for what belongs before it.
            self._flush(_ROWS)

    def open(self) -> None:
        """Open a file, if it is the first, or if an earlier try has left one under its name that nobody lists."""
        if self.path is None:
            return
        number = len(self.files) + 1
        if number == 1 or file_exists(numbered_path(self.path, number)):
            self._open()

    def publish(self, *, last: bool) -> None:
        if self.path is None:
            return
        self._flush()
        writer = self._writer
        if writer is None or not (writer.records or last or self.files):
            return
        self._writer = None
        try:
            info = writer.publish()
        finally:
            writer.discard()
        self.files.append(info["path"])
        if not info["records"]:
            self._empty.add(info["path"])

    def discard(self) -> None:
        if self._writer is not None:
            self._writer.discard()
            self._writer = None

    def _open(self) -> RecordWriter:
        if self._writer is None:
            path = numbered_path(str(self.path), len(self.files) + 1)
            self._writer = RecordWriter(path, self._columns)
        return self._writer

    def _flush(self, count: int | None = None) -> None:
        if self._rows:
            self._rows.sort(key=_index)
            self._open().write(self._rows[:count])
            self._rows = [] if count is None else self._rows[count:]
