"""Read records into a file, or into XCom."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm._compat import BaseOperator
from airflow_provider_zohocrm.client.calls import field_names
from airflow_provider_zohocrm.client.versions import PAGE_SIZE
from airflow_provider_zohocrm.exceptions import ZohoValidationError
from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook
from airflow_provider_zohocrm.operators.parameters import given, truth, whole_number
from airflow_provider_zohocrm.storage import file_format, open_record_writer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from airflow_provider_zohocrm._compat import Context


_NOT_WITH_RECORD_ID = (
    "ids",
    "sort_by",
    "sort_order",
    "converted",
    "approved",
    "cvid",
    "territory_id",
    "include_child",
    "modified_since",
    "max_records",
)


class ZohoGetRecordsOperator(BaseOperator):
    """Read the records of a module into a file, or into XCom when they are few.

    With ``output_path`` the records are streamed to the file, which appears under its name when it is whole. The task
    returns ``{"path", "records", "bytes", "module", "fields", "max_modified_time"}``; the last is the newest
    ``Modified_Time`` in UTC, to be the ``modified_since`` of the next run, and None if that field was not read.
    Without it, the task returns the list of records.

    .. seealso:: :meth:`~airflow_provider_zohocrm.client.records.RecordsApi.get_records` tells more of the parameters.

    :param module: API name, e.g. ``Leads``.
    :param fields: API names, as a list or separated by commas; None for every field a list can hold.
    :param record_id: read this one record, with its subforms; not together with what chooses or orders records.
    :param ids: read these records only.
    :param sort_by: ``id``, ``Created_Time`` or ``Modified_Time``; any field in v2 and v2.1.
    :param sort_order: ``asc`` or ``desc``.
    :param converted: False, True or ``"both"``: converted Leads.
    :param approved: False, True or ``"both"``: approved records.
    :param cvid: id of a custom view.
    :param territory_id: id of a territory.
    :param include_child: take the territory's children too.
    :param modified_since: only records modified at or after this moment: ISO 8601 or a datetime, UTC if it has no
        offset. An empty text or ``None`` means all, so that
        ``{{ prev_data_interval_end_success }}`` reads everything in the first run.
    :param page_size: records per call, 1 to 200.
    :param max_records: end after this many.
    :param output_path: local path or object storage URI; the format is told by the suffix: ``.jsonl``, ``.jsonl.gz``,
        ``.csv``, ``.csv.gz``, ``.parquet``.
    :param max_xcom_records: without ``output_path``, fail if there are more records than this.
    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param api_version: ``v2`` … ``v8``, in place of the connection's.
    """

    template_fields: Sequence[str] = (
        "module",
        "fields",
        "record_id",
        "ids",
        "sort_by",
        "sort_order",
        "converted",
        "approved",
        "cvid",
        "territory_id",
        "include_child",
        "modified_since",
        "page_size",
        "max_records",
        "output_path",
        "max_xcom_records",
        "zohocrm_conn_id",
        "api_version",
    )
    ui_color = "#e8f1fb"

    def __init__(
        self,
        *,
        module: str,
        fields: str | Sequence[str] | None = None,
        record_id: str | int | None = None,
        ids: str | Sequence[str | int] | None = None,
        sort_by: str | None = None,
        sort_order: str | None = None,
        converted: bool | str | None = None,
        approved: bool | str | None = None,
        cvid: str | int | None = None,
        territory_id: str | int | None = None,
        include_child: bool | str | None = None,
        modified_since: str | datetime | None = None,
        page_size: int | str = PAGE_SIZE,
        max_records: int | str | None = None,
        output_path: str | None = None,
        max_xcom_records: int | str = 1000,
        zohocrm_conn_id: str = ZohoCRMHook.default_conn_name,
        api_version: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.module = module
        self.fields = fields
        self.record_id = record_id
        self.ids = ids
        self.sort_by = sort_by
        self.sort_order = sort_order
        self.converted = converted
        self.approved = approved
        self.cvid = cvid
        self.territory_id = territory_id
        self.include_child = include_child
        self.modified_since = modified_since
        self.page_size = page_size
        self.max_records = max_records
        self.output_path = output_path
        self.max_xcom_records = max_xcom_records
        self.zohocrm_conn_id = zohocrm_conn_id
        self.api_version = api_version

    def execute(self, context: Context) -> Any:  # noqa: ARG002  # Airflow's signature
        """Read the records.

        :return: a description of the file, or the records.
        """
        path = given(self.output_path)
        needs_columns = path is not None and file_format(path).name != "jsonl"
        hook = ZohoCRMHook(self.zohocrm_conn_id, api_version=given(self.api_version))
        fields = field_names(given(self.fields))
        records = self._records(hook, fields)
        if path is None:
            return self._small(records)
        is_list = given(self.record_id) is None
        if fields is None and (needs_columns or (is_list and hook.version.fields_required)):
            fields = hook.list_fields(self.module) if is_list else hook.all_fields(self.module)
            if is_list:
                records = self._records(hook, fields)
        watermark = Watermark()
        columns = None if fields is None else list(dict.fromkeys(["id", *fields]))
        with open_record_writer(path, columns if needs_columns else None) as writer:
            writer.write(watermark.watch(records))
        self.log.info("Wrote %d records of %s to %s", writer.info["records"], self.module, path)
        return {
            **writer.info,
            "module": self.module,
            "fields": fields,
            "max_modified_time": watermark.newest,
        }

    def _records(self, hook: ZohoCRMHook, fields: list[str] | None) -> Iterable[dict[str, Any]]:
        record_id = given(self.record_id)
        if record_id is not None:
            others = [name for name in _NOT_WITH_RECORD_ID if given(getattr(self, name)) is not None]
            if others:
                raise ZohoValidationError(f"record_id cannot be combined with {', '.join(others)}")
            record = hook.get_record(self.module, record_id, fields)
            return [] if record is None else [record]
        page_size = whole_number(self.page_size, "page_size")
        return hook.get_records(
            self.module,
            fields,
            ids=given(self.ids),
            sort_by=given(self.sort_by),
            sort_order=given(self.sort_order),
            converted=given(self.converted),
            approved=given(self.approved),
            cvid=given(self.cvid),
            territory_id=given(self.territory_id),
            include_child=truth(self.include_child, "include_child"),
            modified_since=given(self.modified_since),
            page_size=PAGE_SIZE if page_size is None else page_size,
            max_records=whole_number(self.max_records, "max_records"),
        )

    def _small(self, records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        limit = whole_number(self.max_xcom_records, "max_xcom_records")
        taken: list[dict[str, Any]] = []
        for record in records:
            if limit is not None and len(taken) >= limit:
                raise ZohoValidationError(
                    f"{self.module} has more than {limit} records, too many for XCom. Give output_path to write "
                    "them to a file, narrow the query, or raise max_xcom_records."
                )
            taken.append(record)
        return taken


class Watermark:
    """Finds the newest ``Modified_Time`` among records that pass."""

    def __init__(self) -> None:
        self._newest: datetime | None = None
        self._last: Any = None

    @property
    def newest(self) -> str | None:
        """The newest moment so far, ISO 8601 in UTC, or None."""
        return self._newest.isoformat(timespec="seconds") if self._newest else None

    def watch(self, records: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Pass records on, and look at each."""
        for record in records:
            text = record.get("Modified_Time")
            if text is not None and text != self._last:
                self._last = text
                self._see(text)
            yield record

    def _see(self, text: str) -> None:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc)
        if self._newest is None or moment > self._newest:
            self._newest = moment
