"""Read the records related to others into files, or into XCom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.client.calls import field_names, record_id as checked_id
from airflow_provider_zohocrm.client.versions import PAGE_SIZE
from airflow_provider_zohocrm.client.writing import batches
from airflow_provider_zohocrm.exceptions import ZohoAPIError, ZohoValidationError
from airflow_provider_zohocrm.operators.parameters import given, name_list, truth
from airflow_provider_zohocrm.operators.rows import RowsOperator

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from airflow_provider_zohocrm._compat import Context
    from airflow_provider_zohocrm.client.records import Record
    from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook
    from airflow_provider_zohocrm.storage import Column

PARENT = "Parent_Id"


class ZohoGetRelatedRecordsOperator(RowsOperator):
    """Read the records of a related list, of one or many records, into files, or into XCom when they are few.

    Each row is Zoho's record with the id of the record it is related to as ``Parent_Id``. A call returns up to 200
    records of one parent, for a credit; for many parents either give all ids to one task, or map the task over them.

    With ``output_path`` the task returns ``{"path", "records", "bytes", "module", "fields", "max_modified_time",
    "strategy", "files", "subforms", "manifest", "calls", "credits"}`` and ``missing``, else the list of rows.

    :param module: API name of the parents' module, e.g. ``Accounts``.
    :param related_list: API name of the related list, e.g. ``Contacts``.
    :param record_ids: id of the parent, or ids as a list, as text separated by commas or as JSON; also records with
        ``id``, such as the output of ``ZohoGetDeletedRecordsOperator``.
    :param fields: API names of the related module's fields, at most 50, as a list or separated by commas; mandatory
        from v3 on.
    :param deleted: the parents are in the recycle bin (v8 only, and only related lists made by a lookup field).
    :param on_missing: what becomes of a parent that Zoho does not know: ``fail``, or ``skip`` to go on and name it in
        ``missing`` and the log.
    :param output_path: local path or object storage URI; the format is told by the suffix: ``.jsonl``, ``.csv``, both
        also with ``.gz`` or ``.zst``, and ``.parquet``, whose columns hold texts.
    :param max_records_per_file: begin another file after this many rows: ``contacts-0002.jsonl``.
    :param manifest_path: where the manifest is written; None for ``_manifest.json`` in the folder of the output.
    :param max_credits: fail before more API credits than this are spent.
    :param max_xcom_records: without ``output_path``, fail if there are more rows than this.
    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param api_version: ``v2`` … ``v8``, in place of the connection's.
    """

    template_fields: Sequence[str] = (
        "module",
        "related_list",
        "record_ids",
        "fields",
        "deleted",
        "on_missing",
        *RowsOperator.output_fields,
    )
    strategy = "related"

    def __init__(
        self,
        *,
        module: str,
        related_list: str,
        record_ids: str | int | Sequence[str | int | Mapping[str, Any]],
        fields: str | Sequence[str] | None = None,
        deleted: bool | str = False,
        on_missing: str = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.module = module
        self.related_list = related_list
        self.record_ids = record_ids
        self.fields = fields
        self.deleted = deleted
        self.on_missing = on_missing
        self._missing: list[str] = []
        self._declare(kwargs)

    def execute(self, context: Context) -> Any:
        """Read the rows.

        :return: a description of the files and the ids of the parents that Zoho does not know, or the rows.
        """
        self._missing = []
        result = super().execute(context)
        return {**result, "missing": self._missing} if isinstance(result, dict) else result

    def _pages(self, hook: ZohoCRMHook) -> Iterable[list[Record]]:
        if self.on_missing not in ("fail", "skip"):
            raise ZohoValidationError(f"on_missing is {self.on_missing!r}; it must be fail or skip")
        deleted = truth(self.deleted, "deleted") or False
        read = hook.get_deleted_record_related_records if deleted else hook.get_related_records
        fields: Any = field_names(given(self.fields))
        # All are checked before the first is read; the iterators are lazy.
        found = [(one, read(self.module, one, self.related_list, fields)) for one in self._ids()]
        return self._of_all(found, parent_index=2 if deleted else 1)

    def _of_all(
        self, found: list[tuple[str, Iterator[Record]]], *, parent_index: int
    ) -> Iterator[list[Record]]:
        for parent, records in found:
            yield from self._of_one(parent, records, parent_index)

    def _of_one(self, parent: str, records: Iterator[Record], parent_index: int) -> Iterator[list[Record]]:
        try:
            for page in batches(records, PAGE_SIZE):
                # Notes have a field of this name; its id is the same.
                yield [{PARENT: parent} | record | {PARENT: parent} for record in page]
        except ZohoAPIError as error:
            if self.on_missing == "fail" or not _is_unknown(error, parent_index):
                raise
            self.log.warning("Going on without %s %s, which Zoho does not know", self.module, parent)
            self._missing.append(parent)

    def _ids(self) -> list[str]:
        ids = given(self.record_ids)
        if isinstance(ids, str):
            ids = name_list(ids, "record_ids")
        if isinstance(ids, (str, int)) or hasattr(ids, "keys"):
            ids = [ids]
        if ids is None:
            raise ZohoValidationError("record_ids is empty; give the id of at least one record")
        return list(dict.fromkeys(checked_id(one["id"] if hasattr(one, "keys") else one) for one in ids))

    def _columns(self, hook: ZohoCRMHook, first: list[Record], *, typed: bool) -> list[Column]:  # noqa: ARG002  # texts
        from airflow_provider_zohocrm.storage import Column

        found = (name for row in first for name in row)
        names = dict.fromkeys([PARENT, "id", *(field_names(given(self.fields)) or ()), *found])
        return [Column(name) for name in names]

    def _described(self) -> dict[str, Any]:
        return {
            "module": self.module,
            "related_list": self.related_list,
            "record_ids": len(self._ids()),
            "fields": field_names(given(self.fields)),
            "deleted": truth(self.deleted, "deleted") or False,
        }

    def _what(self) -> str:
        return f"{self.module}/{self.related_list}"

    def _source(self) -> str:
        return self.module


def _is_unknown(error: ZohoAPIError, parent_index: int) -> bool:
    """Tell whether Zoho's refusal is about the id of the parent, not the name of the list (reference sheet §10.2)."""
    details = error.details if isinstance(error.details, dict) else {}
    return error.code == "INVALID_DATA" and details.get("resource_path_index") == parent_index
