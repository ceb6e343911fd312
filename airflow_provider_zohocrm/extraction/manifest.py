"""The manifest of a run: which files, of what, and where the next run begins."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.storage import manifest_path, write_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def write_run(
    path: str | None,
    output_path: str,
    files: Sequence[Mapping[str, Any]],
    subforms: Mapping[str, Mapping[str, Any]] | None = None,
    deleted: Mapping[str, Any] | None = None,
    **more: Any,
) -> str:
    """Write the manifest of a run, as the last of its files.

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
    return path


def _listed(file: Mapping[str, Any]) -> dict[str, Any]:
    return {"rows" if name == "records" else name: value for name, value in file.items()}


def now() -> str:
    """Tell the time, ISO 8601 in UTC to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
