"""Where the next run begins, kept from run to run: in the state of an asset (Airflow 3.3), or in a Variable."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from datetime import datetime, timedelta, timezone
from time import sleep
from typing import TYPE_CHECKING, Any, TypedDict

from airflow_provider_zohocrm._compat import asset_state_store, is_asset, read_variable, write_variable
from airflow_provider_zohocrm.exceptions import ZohoValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_zohocrm._compat import Context

log = logging.getLogger(__name__)

# What was modified so lately is left to the next run: a second change within the same second would look like the first.
_SETTLING = 5
# As many runs can be cleared and read again what they have read.
_RUNS = 30


class Begin(TypedDict):
    """Where a run begins: ``watermark`` (ISO 8601 in UTC, None for all), and the ``border`` that it leaves out.

    ``deleted`` is up to when tombstones were delivered; records and deletions do not come at the same times.
    """

    watermark: str | None
    border: str | None
    deleted: str | None


class _Kept(Begin):
    """What is kept; ``runs`` are the last ones, each with where it began."""

    runs: list[dict[str, Any]]


class StoredWatermark:
    """The newest ``Modified_Time`` that was delivered, of one module by one connection into one asset.

    :param context: the task's context.
    :param outlets: the task's outlets; the first asset among them holds the watermark.
    :param files_uri: what is written; names the Variable where there is no asset.
    :param module: API name.
    :param zohocrm_conn_id: id of the connection.
    """

    def __init__(
        self, context: Context, outlets: Iterable[Any], files_uri: str, module: str, zohocrm_conn_id: str
    ) -> None:
        ti: Any = context.get("ti")
        self._run = [str(getattr(ti, name, "")) for name in ("dag_id", "task_id", "run_id", "map_index")]
        asset = next(filter(is_asset, outlets), None)
        self._store = None if asset is None else asset_state_store(context, asset)
        self._key = f"zohocrm_watermark/{zohocrm_conn_id}/{module}"
        self._uri = files_uri if asset is None else asset.uri
        digest = hashlib.sha256(self._uri.encode()).hexdigest()[:12]
        self._variable = re.sub(r"[^\w.-]", "_", f"zohocrm_watermark_{zohocrm_conn_id}_{module}_{digest}")

    def begin(self) -> Begin:
        """Tell where this run begins: where the last one ended, or, if it has moved the watermark itself, where it did then.

        A retry or a cleared run so reads again what it has read, and does not replace its files by the few records that
        came since.
        """
        kept = self._load()
        own = next((run for run in kept["runs"] if run["run"] == self._run), None)
        if own is None:
            return {"watermark": kept["watermark"], "border": kept["border"], "deleted": kept["deleted"]}
        log.info(
            "This run has moved the watermark before: it begins where it began then, at %s", own["watermark"]
        )
        return {"watermark": own["watermark"], "border": own.get("border"), "deleted": own.get("deleted")}

    def move(
        self, newest: str | None, border: str, began: Begin, deleted_before: str | None = None
    ) -> str | None:
        """Keep where the next run begins, once all files are safe.

        :param newest: the newest ``Modified_Time`` of this run.
        :param border: what the next run leaves out.
        :param began: what :meth:`begin` told.
        :param deleted_before: up to when this run has delivered tombstones; None if it was not asked to.
        :return: the watermark.
        """
        kept = self._load()
        watermark, deleted = _newest(kept["watermark"], newest), _newest(kept["deleted"], deleted_before)
        if newest is None and deleted_before is None:
            return watermark
        # Only of the last run the border is kept: of an older one that is cleared, the overlap comes again.
        runs = [
            {"run": run["run"], "watermark": run["watermark"], "deleted": run.get("deleted")}
            for run in kept["runs"]
            if run["run"] != self._run
        ]
        runs.append({"run": self._run, **began})
        if newest is None or any(run["run"] == self._run for run in kept["runs"][:-1]):
            # Nothing was read, or by an older run that was cleared: not what is at the end of the last one.
            border = kept["border"] or ""
        self._save({"watermark": watermark, "border": border, "deleted": deleted, "runs": runs[-_RUNS:]})
        log.info("The next run begins at %s", watermark)
        return watermark

    def _load(self) -> _Kept:
        value = None if self._store is None else self._store.get(self._key)
        if value is None:
            # Also after an upgrade to Airflow 3.3.
            text = read_variable(self._variable)
            value = None if text is None else json.loads(text)
        kept: _Kept = {"watermark": None, "border": None, "deleted": None, "runs": [], **(value or {})}
        return kept

    def _save(self, kept: _Kept) -> None:
        if self._store is not None:
            self._store.set(self._key, dict(kept))
        else:
            write_variable(
                self._variable, json.dumps(kept), f"How far {self._uri} is; delete it to begin anew"
            )


def settle(moment: datetime | None, why: str) -> None:
    """Wait until what was changed up to a moment can be read: up to six seconds.

    :param moment: the moment, or None.
    :param why: for the log.
    """
    if moment is None:
        return
    settled = moment + timedelta(seconds=_SETTLING + 1)
    # No longer where the clocks differ.
    pause = min((settled - now()).total_seconds(), _SETTLING + 1)
    if pause > 0:
        log.info("Waiting %.0f seconds, so that %s", pause, why)
        sleep(pause)


def settle_end(before: Any) -> None:
    """Wait until the end of a window is past, which no other run reads what is changed before.

    :param before: the end, or None.
    """
    from airflow_provider_zohocrm.extraction.window import Window

    end = Window.of(None, before).before
    if end is not None and end > now() + timedelta(seconds=_SETTLING):
        log.warning("modified_before is %s, in the future: what is changed until then may be in no run", end)
    else:
        settle(end, "all that was changed before modified_before is read")


def window_of(begin: Begin, since: Any, before: Any, overlap: float) -> dict[str, Any]:
    """Tell the bounds of a run: from a little before the watermark to now.

    :param begin: where the run begins.
    :param since: where the first run begins, or None.
    :param before: the end, if it is not now.
    :param overlap: seconds to look back, for what Zoho showed late.
    :return: ``modified_since``, ``modified_before`` and ``deleted_since``.
    """
    from airflow_provider_zohocrm.extraction.window import Window

    end = now() - timedelta(seconds=_SETTLING)
    given = Window.of(None, before).before
    bounds: dict[str, Any] = {
        "modified_since": since,
        "modified_before": end if given is None else min(given, end),
    }
    for name, known in (("modified_since", begin["watermark"]), ("deleted_since", begin["deleted"])):
        if known is not None:
            bounds[name] = min(
                datetime.fromisoformat(known) - timedelta(seconds=overlap), bounds["modified_before"]
            )
    return bounds


def check(watermark: str | None, given: dict[str, Any]) -> bool:
    """Tell whether a watermark is asked for.

    :param given: parameters that go with none.
    :raises ZohoValidationError: if they do not fit together.
    """
    if watermark is None:
        return False
    if watermark != "asset":
        raise ZohoValidationError(f"watermark is {watermark!r}; it must be 'asset', or left out")
    others = [name for name, value in given.items() if value is not None]
    if others:
        raise ZohoValidationError(
            f"watermark cannot be combined with {', '.join(others)}: the next run would not read what this one leaves out"
        )
    return True


def now() -> datetime:
    """Tell the time, to the second as Zoho does."""
    return datetime.now(timezone.utc).replace(microsecond=0)


def _newest(*moments: str | None) -> str | None:
    known = [moment for moment in moments if moment is not None]
    return max(known, key=datetime.fromisoformat, default=None)
