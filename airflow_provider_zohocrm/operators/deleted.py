"""Read what was deleted into files, or into XCom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.client.versions import PAGE_SIZE
from airflow_provider_zohocrm.client.writing import batches
from airflow_provider_zohocrm.operators.parameters import given
from airflow_provider_zohocrm.operators.rows import RowsOperator

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from airflow_provider_zohocrm.client.records import Record
    from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook
    from airflow_provider_zohocrm.storage import Column


class ZohoGetDeletedRecordsOperator(RowsOperator):
    """Read the deleted records of a module into files, or into XCom when they are few.

    Each row is ``{"id", "display_name", "type", "deleted_time", "deleted_by", "created_by"}``; of a permanent deletion
    name and users are null. Zoho keeps deleted records for 60 days. A page of 200 costs 2 credits.

    With ``output_path`` the task returns ``{"path", "records", "bytes", "module", "fields", "max_modified_time",
    "strategy", "files", "subforms", "manifest", "calls", "credits"}``, where ``max_modified_time`` is the newest
    ``deleted_time``; else the list of rows.

    :param module: API name, e.g. ``Leads``.
    :param type: ``all``, ``recycle`` (in the recycle bin) or ``permanent``.
    :param deleted_since: only what was deleted at or after this moment: ISO 8601 or a datetime, UTC if it has no offset.
        An empty text or ``None`` means all, so that ``{{ prev_data_interval_end_success }}`` reads everything in the
        first run.
    :param output_path: local path or object storage URI; the format is told by the suffix: ``.jsonl``, ``.csv``, both
        also with ``.gz`` or ``.zst``, and ``.parquet``.
    :param max_records_per_file: begin another file after this many rows: ``leads-0002.jsonl``.
    :param manifest_path: where the manifest is written; None for ``_manifest.json`` in the folder of the output.
    :param max_credits: fail before more API credits than this are spent.
    :param max_xcom_records: without ``output_path``, fail if there are more rows than this.
    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param api_version: ``v2`` … ``v8``, in place of the connection's.
    """

    template_fields: Sequence[str] = ("module", "type", "deleted_since", *RowsOperator.output_fields)
    strategy = "deleted"
    watermark_field = "deleted_time"

    def __init__(
        self,
        *,
        module: str,
        type: str = "all",  # noqa: A002  # Zoho's own name
        deleted_since: str | datetime | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.module = module
        self.type = type
        self.deleted_since = deleted_since
        self._declare(kwargs)

    def _pages(self, hook: ZohoCRMHook) -> Iterable[list[Record]]:
        rows = hook.get_deleted_records(self.module, given(self.type) or "all", given(self.deleted_since))
        return batches(rows, PAGE_SIZE)

    def _columns(self, hook: ZohoCRMHook, first: list[Record], *, typed: bool) -> list[Column]:  # noqa: ARG002  # known
        from airflow_provider_zohocrm.storage import Column

        return [
            Column("id"),
            Column("display_name"),
            Column("type"),
            Column("deleted_time", "datetime"),
            Column("deleted_by", "lookup"),
            Column("created_by", "lookup"),
        ]

    def _described(self) -> dict[str, Any]:
        since = given(self.deleted_since)
        return {
            "module": self.module,
            "type": self.type,
            "deleted_since": None if since is None else str(since),
        }

    def _what(self) -> str:
        return self.module
