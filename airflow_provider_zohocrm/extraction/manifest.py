"""The manifest of a run: which files, of what, and where the next run begins."""

from __future__ import annotations

import logging
from datetime import datetime, timezone
from itertools import count
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.exceptions import ZohoStorageError
from airflow_provider_zohocrm.storage import file_exists, manifest_path, numbered_path, write_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

log = logging.getLogger(__name__)

_SHOWN = 5


def write_run(
    path: str | None,
    output_path: str,
    files: Sequence[Mapping[str, Any]],
    subforms: Mapping[str, Mapping[str, Any]] | None = None,
    deleted: Mapping[str, Any] | None = None,
    **more: Any,
) -> str:
    """Write the manifest of a run, as the last of its files; warn of files that a run before it has left.

    :param path: where it is written; None for ``_manifest.json`` in the folder of the output.
    :param output_path: path of the first file.
    :param files: ``path, records, bytes, sha256`` of each, and ``job_id`` where a bulk read job made it.
    :param subforms: the same of the file of each subform, by its name.
    :param deleted: the same of the file of tombstones.
    :param more: what else is told: module, query, columns, watermark and the like.
    :return: the path of the manifest.
    """
    path = path or manifest_path(output_path)
    content = {
        "files": [_listed(file) for file in files],
        "subforms": {name: _listed(file) for name, file in (subforms or {}).items()},
        **({} if deleted is None else {"deleted": _listed(deleted)}),
        "rows": sum(file["records"] for file in files),
        "bytes": sum(file["bytes"] for file in files),
        "job_ids": list(dict.fromkeys(file["job_id"] for file in files if "job_id" in file)),
        **more,
        "finished_at": now(),
    }
    write_manifest(path, content)
    _tell_surplus(output_path, {file["path"] for file in files}, path)
    return path


def _tell_surplus(output_path: str, written: set[str], manifest: str) -> None:
    """Warn of files that a run with more of them has left: their names are those of the next of this run.

    They are not deleted: whoever read the manifest of that run may still be at them.
    """
    left: list[str] = []
    for number in count(2):
        path = numbered_path(output_path, number)
        if path in written:
            continue
        if not _is_there(path):
            break
        left.append(path)
    if left:
        log.warning(
            "%d files of an earlier run stand beside those of this one, and what reads the folder or a pattern reads "
            "their records, too: %s%s. Delete them, or read the files that %s lists.",
            len(left),
            ", ".join(left[:_SHOWN]),
            ", ..." if len(left) > _SHOWN else "",
            manifest,
        )


def _is_there(path: str) -> bool:
    try:
        return file_exists(path)
    except ZohoStorageError as error:
        # Some may write what they may not look at; the run is done.
        log.debug("No look for files of an earlier run: %s", error)
        return False


def _listed(file: Mapping[str, Any]) -> dict[str, Any]:
    return {"rows" if name == "records" else name: value for name, value in file.items()}


def now() -> str:
    """Tell the time, ISO 8601 in UTC to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
