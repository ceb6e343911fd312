"""Read records into files, or into XCom."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_zohocrm._compat import asset, default_deferrable, made_of_mapped, newest_asset_event
from airflow_provider_zohocrm.assets.zohocrm import files_alias, module_alias
from airflow_provider_zohocrm.client.calls import field_names
from airflow_provider_zohocrm.client.polling import FIRST_POLL, LONGEST_POLL
from airflow_provider_zohocrm.client.versions import PAGE_SIZE
from airflow_provider_zohocrm.exceptions import ZohoValidationError
from airflow_provider_zohocrm.extraction.watermark import FIELD
from airflow_provider_zohocrm.operators.base import ZohoOperator
from airflow_provider_zohocrm.operators.checkpoint import Checkpoint, fingerprint, organisation
from airflow_provider_zohocrm.operators.parameters import given, name_list, seconds, truth, whole_number
from airflow_provider_zohocrm.operators.rows import into_xcom
from airflow_provider_zohocrm.operators.waiting import check_event, deferral

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from airflow_provider_zohocrm._compat import Context
    from airflow_provider_zohocrm.extraction.border import Border
    from airflow_provider_zohocrm.extraction.extract import ExtractResult, State
    from airflow_provider_zohocrm.extraction.request import ExtractRequest
    from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook
    from airflow_provider_zohocrm.operators.report import Schema
    from airflow_provider_zohocrm.operators.watermark import Begin, StoredWatermark

_CHECKPOINT = "zoho_get_records"
_CHOOSING = (
    "ids",
    "sort_by",
    "sort_order",
    "converted",
    "approved",
    "cvid",
    "territory_id",
    "include_child",
    "modified_since",
    "modified_before",
    "max_records",
    "subforms",
    "include_deleted",
    "watermark",
)
_WRITING = ("subforms", "include_deleted", "watermark")


class _Run(NamedTuple):
    """What a run is asked for, and its watermark if it has one."""

    request: ExtractRequest
    stored: StoredWatermark | None
    begin: Begin | None
    border: Border | None

    def going_on(self, state: State) -> ExtractRequest:
        """Take the window that the run has begun with: the clock has gone on since."""
        from airflow_provider_zohocrm.extraction.window import Window

        if self.begin is None:
            return self.request
        return replace(self.request, window=Window.of(*state["window"]))

    def move_watermark(self, result: ExtractResult, state: State) -> None:
        """Let the next run begin where this one has ended."""
        if self.stored is not None and self.begin is not None and self.border is not None:
            deleted_before = state["window"][1] if self.request.include_deleted else None
            self.stored.move(result["max_modified_time"], self.border.packed, self.begin, deleted_before)


class ZohoGetRecordsOperator(ZohoOperator):
    """Read the records of a module into files, or into XCom when they are few.

    With ``output_path`` the records are streamed to a file, which appears under its name when it is whole, and a
    manifest (``_manifest.json`` in its folder) that lists the files with their checksums. The task returns ``{"path",
    "records", "bytes", "module", "fields", "max_modified_time", "strategy", "files": [{"path", "records", "bytes"}],
    "subforms", "manifest", "calls", "credits"}``; ``max_modified_time`` is the newest ``Modified_Time`` in UTC, to be
    the ``modified_since`` of the next run, and None if that field was not read. Without it, the task returns the list
    of records.

    .. seealso:: :meth:`~airflow_provider_zohocrm.client.records.RecordsApi.get_records` tells more of the parameters.

    :param module: API name, e.g. ``Leads``.
    :param fields: API names, as a list or separated by commas; None for every field a list can hold.
    :param strategy: how the records are read. ``records``: by lists, Zoho's JSON as it is, 200 records a credit.
        ``coql``: 2,000 records for 3 credits. ``bulk``: 200,000 records for about 54 credits. ``auto``: what is
        cheapest for this number of records and these fields. All but ``records`` give the same typed rows: moments in
        UTC, lookups as ``{"id", "name"}``, where bulk read knows no names.
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
    :param modified_before: only records modified before this moment; with ``{{ data_interval_start }}`` and
        ``{{ data_interval_end }}`` as bounds, runs side by side get each record once.
    :param subforms: API names of subforms whose rows are read too, or ``"all"``: each into a file of its own beside
        the output, ``leads_Positions.jsonl``, with ``Parent_Id``.
    :param include_deleted: True writes what was deleted in the same window too, ``id, deleted_time, type``, to a file beside
        the output, ``leads_deleted.jsonl``; ``recycle`` or ``permanent`` only these.
    :param watermark: ``asset`` begins where the last run ended: the newest ``Modified_Time`` is kept in the state of the
        task's first outlet (Airflow 3.3 and newer) or in a Variable, and moves when the files are there.
        ``modified_since`` is for the first run then. With ``max_active_runs=1`` each version of a record comes once.
    :param overlap: seconds to look back from the watermark, for what Zoho showed late.
    :param page_size: records per call of a list, 1 to 200.
    :param max_records: end after this many.
    :param output_path: local path or object storage URI; the format is told by the suffix: ``.jsonl``, ``.csv``, both
        also with ``.gz`` or ``.zst``, and ``.parquet``, whose columns have the types of the fields.
    :param max_records_per_file: begin another file after this many records: ``leads-0002.jsonl``.
    :param manifest_path: where the manifest is written; None for ``_manifest.json`` in the folder of the output, where
        a later run into the same folder replaces it. With ``record_id`` there is one only where this names it.
    :param on_type_error: what becomes of a value that does not fit the type of its field: ``fail``, or ``string`` to
        have it as text in a column ``_type_errors``.
    :param max_credits: fail before more API credits than this are spent.
    :param max_xcom_records: without ``output_path``, fail if there are more records than this.
    :param max_jobs_in_flight: how many bulk read jobs Zoho may have at once.
    :param durable: keep a checkpoint for retries (Airflow 3.3 and newer).
    :param deferrable: wait for bulk read jobs in the triggerer; the default is Airflow's ``[operators]
        default_deferrable``.
    :param poll_interval: seconds before the first look at a bulk read job; it grows by half each time.
    :param max_poll_interval: the longest seconds between two looks.
    :param timeout: seconds after which a bulk read job that has not ended fails the task.
    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param api_version: ``v2`` … ``v8``, in place of the connection's.
    """

    template_fields: Sequence[str] = (
        "module",
        "fields",
        "strategy",
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
        "modified_before",
        "subforms",
        "include_deleted",
        "watermark",
        "overlap",
        "page_size",
        "max_records",
        "output_path",
        "max_records_per_file",
        "manifest_path",
        "on_type_error",
        "max_credits",
        "max_xcom_records",
        "max_jobs_in_flight",
        "durable",
        "poll_interval",
        "max_poll_interval",
        "timeout",
        "zohocrm_conn_id",
        "api_version",
    )
    ui_color = "#e8f1fb"

    def __init__(
        self,
        *,
        module: str,
        fields: str | Sequence[str] | None = None,
        strategy: str = "records",
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
        modified_before: str | datetime | None = None,
        subforms: str | Sequence[str] | None = None,
        include_deleted: bool | str = False,
        watermark: str | None = None,
        overlap: float | str = 300,
        page_size: int | str = PAGE_SIZE,
        max_records: int | str | None = None,
        output_path: str | None = None,
        max_records_per_file: int | str | None = None,
        manifest_path: str | None = None,
        on_type_error: str = "fail",
        max_credits: int | str | None = None,
        max_xcom_records: int | str = 1000,
        max_jobs_in_flight: int | str = 1,
        durable: bool | str = True,
        deferrable: bool = default_deferrable(),
        poll_interval: float | str = FIRST_POLL,
        max_poll_interval: float | str = LONGEST_POLL,
        timeout: float | str = 6 * 60 * 60,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.module = module
        self.fields = fields
        self.strategy = strategy
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
        self.modified_before = modified_before
        self.subforms = subforms
        self.include_deleted = include_deleted
        self.watermark = watermark
        self.overlap = overlap
        self.page_size = page_size
        self.max_records = max_records
        self.output_path = output_path
        self.max_records_per_file = max_records_per_file
        self.manifest_path = manifest_path
        self.on_type_error = on_type_error
        self.max_credits = max_credits
        self.max_xcom_records = max_xcom_records
        self.max_jobs_in_flight = max_jobs_in_flight
        self.durable = durable
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.max_poll_interval = max_poll_interval
        self.timeout = timeout
        self._path_template = output_path
        self.declare(
            kwargs,
            reads=module_alias(module, self.zohocrm_conn_id),
            writes=output_path and self._outlet(module, output_path),
        )

    def execute(self, context: Context) -> Any:
        """Read the records.

        :return: a description of the files, or the records.
        """
        from airflow_provider_zohocrm.operators.report import Report, schema_of, uri_of_module
        from airflow_provider_zohocrm.storage import file_format

        path, record_id = given(self.output_path), given(self.record_id)
        if path is not None and record_id is None:
            run = self._run(context, path)
            hook = self._hook()
            self.show_pages(context, hook, self.module)
            checkpoint = self._checkpoint(context, hook, run)
            kept: Any = checkpoint.load()
            return self._extract(context, hook, run, checkpoint, kept, resumed=kept is not None)
        if path is not None:
            file_format(path)
        hook = self._hook()
        self.show_pages(context, hook, self.module, record_id)
        hook.usage.max_credits = whole_number(self.max_credits, "max_credits")
        records = self._small(self._listed(hook)) if record_id is None else self._one(hook)
        fields = field_names(given(self.fields))
        result = None if path is None else self._write_one(hook, records, fields, path)
        schema = schema_of(None, fields, hook.known_fields(self.module))
        if result is None:
            self.tell(
                context, Report(uri_of_module(hook, self.module), False, None, len(records), schema=schema)
            )
            return records
        self._tell(context, hook, result, schema)
        return result

    def execute_complete(self, context: Context, event: Any, state: State) -> Any:
        """Go on when the trigger has fired.

        :param event: what the trigger sent.
        :param state: how far the extraction had come.
        :return: a description of the files.
        """
        run = self._run(context, str(self.output_path))
        hook = self._hook()
        checkpoint = self._checkpoint(context, hook, run)
        return self._extract(context, hook, run, checkpoint, state, event=event)

    def on_kill(self) -> None:
        """Tell that jobs go on."""
        self.log.info("A bulk read job that was submitted goes on at Zoho, which has no way to cancel it")

    def _choice(self) -> dict[str, Any]:
        """Read the parameters that choose and order records, as ``get_records`` takes them."""
        page_size = whole_number(self.page_size, "page_size")
        return {
            "ids": given(self.ids),
            "sort_by": given(self.sort_by),
            "sort_order": given(self.sort_order),
            "converted": given(self.converted),
            "approved": given(self.approved),
            "cvid": given(self.cvid),
            "territory_id": given(self.territory_id),
            "include_child": truth(self.include_child, "include_child"),
            "modified_since": given(self.modified_since),
            "modified_before": given(self.modified_before),
            "page_size": PAGE_SIZE if page_size is None else page_size,
            "max_records": whole_number(self.max_records, "max_records"),
        }

    def _request(self, path: str, **bounds: Any) -> ExtractRequest:
        from airflow_provider_zohocrm.extraction.request import ExtractRequest

        subforms = given(self.subforms)
        return ExtractRequest.of(
            self.module,
            path,
            fields=given(self.fields),
            strategy=given(self.strategy) or "records",
            subforms=subforms if subforms == "all" else name_list(subforms, "subforms"),
            include_deleted=given(self.include_deleted),
            max_records_per_file=whole_number(self.max_records_per_file, "max_records_per_file"),
            manifest_path=given(self.manifest_path),
            max_credits=whole_number(self.max_credits, "max_credits"),
            max_jobs_in_flight=whole_number(self.max_jobs_in_flight, "max_jobs_in_flight") or 1,
            on_type_error=given(self.on_type_error) or "fail",
            poll_interval=seconds(self.poll_interval, "poll_interval"),
            max_poll_interval=seconds(self.max_poll_interval, "max_poll_interval"),
            **{**self._choice(), **bounds},
        )

    def _outlet(self, module: str, output_path: str) -> Any:
        """Name what is written."""
        from airflow_provider_zohocrm.assets.files import parsed_uri

        # An alias has no state. Of a mapped task's asset Airflow knows nothing, for which 3.0 fails the task.
        stateful = self.watermark == "asset" and not made_of_mapped(self)
        uri = parsed_uri(output_path) if stateful else None
        return files_alias(module, self.zohocrm_conn_id) if uri is None else asset(uri)

    def _run(self, context: Context, path: str) -> _Run:
        """Check what is asked for, and find out where the watermark is."""
        from airflow_provider_zohocrm.assets.files import uri_of_files
        from airflow_provider_zohocrm.extraction.border import Border
        from airflow_provider_zohocrm.operators.watermark import (
            StoredWatermark,
            check,
            settle,
            settle_end,
            window_of,
        )

        bad = {name: given(getattr(self, name)) for name in ("ids", "max_records")}
        if not check(given(self.watermark), bad):
            request = self._request(path)
            settle_end(given(self.modified_before))
            return _Run(request, None, None, None)
        fields, overlap = field_names(given(self.fields)), seconds(self.overlap, "overlap")
        if fields is not None and FIELD not in fields:
            raise ZohoValidationError(f"watermark needs the field {FIELD}; add it to fields")
        files_uri = uri_of_files(path, self._path_template)
        stored = StoredWatermark(context, self.outlets, files_uri, self.module, self.zohocrm_conn_id)
        begin = stored.begin()
        settle(newest_asset_event(context), "what started this run is read by it")
        bounds = window_of(begin, given(self.modified_since), given(self.modified_before), overlap)
        return _Run(self._request(path, **bounds), stored, begin, Border(overlap, begin["border"]))

    def _checkpoint(self, context: Context, hook: ZohoCRMHook, run: _Run) -> Checkpoint:
        request = run.request
        described = request.described()
        if run.begin is not None:
            # The end of the window is now, which is another one in each try.
            described |= {"modified_before": given(self.modified_before), "watermark": run.begin["watermark"]}
        parts = fingerprint(
            request=described,
            strategy=request.strategy,
            output_path=request.output_path,
            max_records_per_file=request.max_records_per_file,
            on_type_error=request.on_type_error,
            organisation=organisation(hook),
        )
        durable = truth(self.durable, "durable") is not False
        return Checkpoint(context, _CHECKPOINT, parts, enabled=durable)

    def _extract(
        self,
        context: Context,
        hook: ZohoCRMHook,
        run: _Run,
        checkpoint: Checkpoint,
        state: State | None,
        *,
        resumed: bool = False,
        event: Any = None,
    ) -> Any:
        from airflow_provider_zohocrm.extraction.extract import Extraction
        from airflow_provider_zohocrm.operators.report import schema_of
        from airflow_provider_zohocrm.storage import file_exists

        timeout = seconds(self.timeout, "timeout")
        try_number = getattr(context.get("ti"), "try_number", 1)
        request = run.request if state is None else run.going_on(state)
        save = checkpoint.save if checkpoint.works else None
        extraction = Extraction(hook, request, state, save, try_number, run.border)
        if resumed:
            extraction.resume(file_exists)
        if event is not None:
            check_event(event, extraction.bulk, timeout)
        if not self.deferrable:
            result = extraction.run_and_wait(timeout)
        else:
            found = extraction.run()
            if found is None:
                self.defer(
                    method_name="execute_complete",
                    kwargs={"state": dict(extraction.state)},
                    **deferral(
                        extraction.bulk,
                        timeout=timeout,
                        zohocrm_conn_id=self.zohocrm_conn_id,
                        poll_interval=request.poll_interval,
                        max_poll_interval=request.max_poll_interval,
                        api_version=given(self.api_version),
                        min_credits_remaining=self._min_credits(),
                    ),
                )
                raise AssertionError("defer returned")
            result = found
        run.move_watermark(result, extraction.state)
        checkpoint.delete()
        known = hook.known_fields(self.module)
        schema = schema_of(extraction.state["columns"], extraction.state["fields"], known)
        self._tell(context, hook, result, schema, extraction.job_ids)
        return result

    def _tell(
        self,
        context: Context,
        hook: ZohoCRMHook,
        result: Mapping[str, Any],
        schema: Schema,
        job_ids: Sequence[str] = (),
    ) -> None:
        from airflow_provider_zohocrm.assets.files import uri_of_files
        from airflow_provider_zohocrm.operators.report import Report, uri_of_module

        deleted = result.get("deleted")
        report = Report(
            uri_of_module(hook, self.module),
            writes=False,
            files_uri=uri_of_files(str(self.output_path), self._path_template),
            rows=result["records"],
            bytes=result["bytes"],
            files=tuple(file["path"] for file in result.get("files", [result])),
            watermark=result["max_modified_time"],
            job_ids=tuple(job_ids),
            manifest=result.get("manifest"),
            schema=schema,
            counts={"deleted": deleted["records"]} if deleted else {},
        )
        self.tell(context, report)

    def _listed(self, hook: ZohoCRMHook) -> Iterable[dict[str, Any]]:
        strategy = given(self.strategy) or "records"
        files = [name for name in _WRITING if given(getattr(self, name)) not in (None, False)]
        if strategy not in ("records", "auto"):
            files.append(f"strategy {strategy!r}")
        if files:
            raise ZohoValidationError(f"{', '.join(files)} needs output_path: it is for files")
        return hook.get_records(self.module, given(self.fields), **self._choice())

    def _one(self, hook: ZohoCRMHook) -> list[dict[str, Any]]:
        others = [name for name in _CHOOSING if given(getattr(self, name)) not in (None, False)]
        if others:
            raise ZohoValidationError(f"record_id cannot be combined with {', '.join(others)}")
        record = hook.get_record(self.module, given(self.record_id), given(self.fields))
        return [] if record is None else [record]

    def _write_one(
        self, hook: ZohoCRMHook, records: list[dict[str, Any]], fields: list[str] | None, path: str
    ) -> dict[str, Any]:
        from airflow_provider_zohocrm.extraction.manifest import now, write_run
        from airflow_provider_zohocrm.extraction.watermark import FIELD, Watermark
        from airflow_provider_zohocrm.storage import file_format, open_record_writer

        started_at = now()
        needs_columns = file_format(path).name != "jsonl"
        if fields is None and needs_columns:
            fields = hook.all_fields(self.module)
        columns = None if fields is None else list(dict.fromkeys(["id", *fields]))
        with open_record_writer(path, columns if needs_columns else None) as writer:
            writer.write(records)
        watermark = Watermark()
        watermark.see(record.get(FIELD) for record in records)
        self.log.info("Wrote %d records of %s to %s", len(records), self.module, path)
        info = writer.info
        result = {
            "path": path,
            "records": info["records"],
            "bytes": info["bytes"],
            "module": self.module,
            "fields": fields,
            "max_modified_time": watermark.newest,
        }
        manifest = given(self.manifest_path)
        if manifest is not None:
            # Not unasked: the one in the folder may be that of a whole module.
            result["manifest"] = write_run(
                manifest,
                path,
                [info],
                module=self.module,
                strategy="record",
                query={"module": self.module, "record_id": str(given(self.record_id)), "fields": fields},
                columns=None,
                watermark=watermark.newest,
                api_version=hook.version.name,
                started_at=started_at,
                calls=hook.usage.calls,
                credits=hook.usage.credits,
            )
        return result

    def _small(self, records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        return into_xcom(records, whole_number(self.max_xcom_records, "max_xcom_records"), self.module)
