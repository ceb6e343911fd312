"""What was deleted, as a file beside the records."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.exceptions import ZohoValidationError
from airflow_provider_zohocrm.storage import Column, file_format, named_path, open_record_writer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_zohocrm.client.records import RecordsApi
    from airflow_provider_zohocrm.extraction.window import Window
    from airflow_provider_zohocrm.storage import FileInfo

KINDS = ("all", "recycle", "permanent")
_COLUMNS = (Column("id"), Column("deleted_time", "datetime"), Column("type"))
_ROWS = 500


def kind_of(value: bool | str | None) -> str | None:
    """Read what is asked for: True is ``all``, False is None.

    :raises ZohoValidationError: for what is none of :data:`KINDS`.
    """
    text = str(value).strip().lower()
    if value is None or text == "false":
        return None
    if text == "true":
        return KINDS[0]
    if text not in KINDS:
        raise ZohoValidationError(
            f"include_deleted is {value!r}; it must be true, false or {', '.join(KINDS)}"
        )
    return text


def write_deleted(api: RecordsApi, module: str, kind: str, window: Window, output_path: str) -> FileInfo:
    """Write the tombstones of a window, ``id, deleted_time, type``, to ``<output>_deleted.<suffix>``.

    :param api: the hook, or a client.
    :param module: API name.
    :param kind: one of :data:`KINDS`.
    :param window: which, by ``deleted_time``.
    :param output_path: path of the first file of records.
    :return: the finished file.
    """
    path = named_path(output_path, "deleted")
    typed = file_format(path).name != "jsonl"
    with open_record_writer(path, list(_COLUMNS) if typed else None) as writer:
        rows: list[dict[str, Any]] = []
        for tombstone in _tombstones(api, module, kind, window):
            rows.append(tombstone)
            if len(rows) == _ROWS:
                writer.write(rows)
                rows = []
        writer.write(rows)
    return writer.info


def _tombstones(api: RecordsApi, module: str, kind: str, window: Window) -> Iterator[dict[str, Any]]:
    seen: set[tuple[str, str]] = set()
    for one in api.get_deleted_records(module, kind, window.since):
        # Pages are counted from the newest deletion on: one that comes meanwhile shifts them, and a row comes twice.
        key = str(one["id"]), str(one.get("type"))
        if key in seen:
            continue
        seen.add(key)
        when = str(one["deleted_time"])
        if window.before is None or datetime.fromisoformat(when.replace("Z", "+00:00")) < window.before:
            yield {"id": one["id"], "deleted_time": when, "type": one.get("type")}
