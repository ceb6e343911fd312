"""Export records by bulk read jobs, waiting for them without a worker slot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from airflow_provider_zohocrm._compat import default_deferrable
from airflow_provider_zohocrm.assets.zohocrm import files_alias, module_alias
from airflow_provider_zohocrm.client.bulk_read import job_body
from airflow_provider_zohocrm.client.calls import field_names
from airflow_provider_zohocrm.client.criteria import coql_condition, shaped_criteria
from airflow_provider_zohocrm.client.polling import FIRST_POLL, LONGEST_POLL
from airflow_provider_zohocrm.client.versions import PAGE_SIZE
from airflow_provider_zohocrm.exceptions import ZohoAPIError, ZohoValidationError
from airflow_provider_zohocrm.operators.base import ZohoOperator
from airflow_provider_zohocrm.operators.checkpoint import Checkpoint, fingerprint, organisation
from airflow_provider_zohocrm.operators.parameters import from_json, given, seconds, truth, whole_number
from airflow_provider_zohocrm.operators.waiting import check_event, deferral

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_zohocrm._compat import Context
    from airflow_provider_zohocrm.extraction.bulk import BulkExport
    from airflow_provider_zohocrm.extraction.progress import Progress
    from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook
    from airflow_provider_zohocrm.operators.report import Report
    from airflow_provider_zohocrm.storage import Column, FileInfo

# Records in one job (reference sheet §4.6).
RECORDS_PER_JOB = {"csv": 200_000, "ics": 20_000}
_CHECKPOINT = "zoho_bulk_read"


class ZohoBulkReadOperator(ZohoOperator):
    """Export the records of a module by bulk read: 200,000 records and 50 credits a job.

    The operator submits a job, waits for it, downloads and unpacks its result as a stream, and goes on with the next
    job while Zoho has more records. It returns ``{"files": [{"path", "records", "bytes", "job_id", "page"}],
    "records", "module", "more_records"}``, and writes a manifest of the files with their checksums. The id of the job
    that was submitted last is in XCom ``job_id``. From
    Airflow 3.3 on, a retry goes on with the jobs and files of the try before; on older ones it starts again, and
    overwrites the files. Zoho offers no way to cancel a job.

    :param module: API name, e.g. ``Leads``.
    :param fields: API names, at most 200, as a list or separated by commas; a dot reads from a lookup's module, e.g.
        ``Owner.last_name``. None means all. Not for ics.
    :param criteria: which records: a condition ``{"api_name", "comparator", "value"}`` or a group
        ``{"group_operator": "and", "group": [...]}``, also as JSON text.
    :param cvid: id of a custom view; criteria narrow it further.
    :param file_type: ``csv``, or ``ics`` for Events.
    :param callback: address that Zoho posts to when a job has ended.
    :param output_path: local path or object storage URI of the first file; further ones get a number before the
        suffix, ``leads-0002.csv``. The suffix tells the format: ``.csv`` (as Zoho wrote it), ``.jsonl``, both also
        with ``.gz`` or ``.zst``, and ``.parquet``; ``.ics`` for ics. JSONL and Parquet have the types of the fields,
        which costs a call for the metadata.
    :param max_records_per_file: begin another file after this many records.
    :param manifest_path: where the manifest is written; None for ``_manifest.json`` in the folder of the output, where
        a later run into the same folder replaces it.
    :param on_type_error: what becomes of a value that does not fit the type of its field, in JSONL and Parquet:
        ``fail``, or ``string`` to have it as text in a column ``_type_errors``.
    :param max_pages: end after this many jobs; ``more_records`` of the result tells whether Zoho had more.
    :param max_jobs_in_flight: how many jobs Zoho may have at once. Above 1, without criteria, the records are counted
        first (scope ``ZohoSearch.securesearch.READ``), and their jobs submitted ahead by page number.
    :param durable: keep a checkpoint for retries (Airflow 3.3 and newer).
    :param deferrable: wait in the triggerer; the default is Airflow's ``[operators] default_deferrable``.
    :param wait_for_completion: if False, submit the first job, and return with its id in ``job_id``.
    :param poll_interval: seconds before the first look at a job; it grows by half each time.
    :param max_poll_interval: the longest seconds between two looks.
    :param timeout: seconds after which a job that has not ended fails the task.
    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param api_version: ``v2`` … ``v8``, in place of the connection's.
    """

    template_fields: Sequence[str] = (
        "module",
        "fields",
        "criteria",
        "cvid",
        "file_type",
        "callback",
        "output_path",
        "max_records_per_file",
        "manifest_path",
        "on_type_error",
        "max_pages",
        "max_jobs_in_flight",
        "durable",
        "wait_for_completion",
        "poll_interval",
        "max_poll_interval",
        "timeout",
        "zohocrm_conn_id",
        "api_version",
    )
    template_fields_renderers = {"criteria": "json"}  # noqa: RUF012  # as Airflow's own operators declare it
    ui_color = "#fdf3e0"

    def __init__(
        self,
        *,
        module: str,
        fields: str | Sequence[str] | None = None,
        criteria: Mapping[str, Any] | str | None = None,
        cvid: str | int | None = None,
        file_type: str = "csv",
        callback: str | Mapping[str, str] | None = None,
        output_path: str | None = None,
        max_records_per_file: int | str | None = None,
        manifest_path: str | None = None,
        on_type_error: str = "fail",
        max_pages: int | str | None = None,
        max_jobs_in_flight: int | str = 1,
        durable: bool | str = True,
        deferrable: bool = default_deferrable(),
        wait_for_completion: bool | str = True,
        poll_interval: float | str = FIRST_POLL,
        max_poll_interval: float | str = LONGEST_POLL,
        timeout: float | str = 6 * 60 * 60,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.module = module
        self.fields = fields
        self.criteria = criteria
        self.cvid = cvid
        self.file_type = file_type
        self.callback = callback
        self.output_path = output_path
        self.max_records_per_file = max_records_per_file
        self.manifest_path = manifest_path
        self.on_type_error = on_type_error
        self.max_pages = max_pages
        self.max_jobs_in_flight = max_jobs_in_flight
        self.durable = durable
        self.deferrable = deferrable
        self.wait_for_completion = wait_for_completion
        self.poll_interval = poll_interval
        self.max_poll_interval = max_poll_interval
        self.timeout = timeout
        self._path_template = output_path
        self.declare(
            kwargs,
            reads=module_alias(module, self.zohocrm_conn_id),
            writes=output_path and files_alias(module, self.zohocrm_conn_id),
        )

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit the first jobs, and wait for them and the ones after them.

        :return: the files.
        """
        from airflow_provider_zohocrm.extraction.progress import read_progress
        from airflow_provider_zohocrm.storage import file_exists

        hook = self._hook()
        job_body(hook.version, **self._query())
        self._waits()
        self.show_pages(context, hook, self.module)
        wait = truth(self.wait_for_completion, "wait_for_completion") is not False
        if wait:
            self._check_output()
        kept = self._checkpoint(context, hook).load()
        progress = read_progress(kept) if kept else self._new_progress(hook, wait=wait)
        export = self._export(context, hook, progress)
        if kept:
            export.resume(file_exists)
            # Airflow has removed what the try before had told.
            self._tell_job_id(context, _newest(progress))
        if not wait:
            return self._submit_only(context, hook, export)
        return self._advance(context, hook, export)

    def execute_complete(self, context: Context, event: Any, progress: Mapping[str, Any]) -> dict[str, Any]:
        """Go on when the trigger has fired.

        :param event: what the trigger sent.
        :param progress: how far the export had come.
        :return: the files.
        """
        from airflow_provider_zohocrm.extraction.progress import read_progress

        hook = self._hook()
        export = self._export(context, hook, read_progress(progress))
        check_event(event, export, self._waits()[2])
        return self._advance(context, hook, export)

    def on_kill(self) -> None:
        """Tell that the job goes on."""
        self.log.info("The bulk read job goes on at Zoho, which has no way to cancel it")

    def _query(self) -> dict[str, Any]:
        return {
            "module": self.module,
            "fields": given(self.fields),
            "criteria": from_json(self.criteria, "criteria"),
            "cvid": given(self.cvid),
            "file_type": given(self.file_type) or "csv",
            "callback": given(self.callback),
        }

    def _waits(self) -> tuple[float, float, float]:
        """Read the first and the longest seconds between two looks, and the seconds a job may take."""
        return (
            seconds(self.poll_interval, "poll_interval"),
            seconds(self.max_poll_interval, "max_poll_interval"),
            seconds(self.timeout, "timeout"),
        )

    def _check_output(self) -> None:
        from airflow_provider_zohocrm.storage import file_format

        if not given(self.output_path):
            raise ZohoValidationError("give output_path, or wait_for_completion=False to only submit the job")
        raw = self._query()["file_type"] == "ics"
        if file_format(str(self.output_path), raw=raw).name == "zip":
            raise ZohoValidationError("output_path must end with .ics for file_type ics")
        for name in ("max_pages", "max_jobs_in_flight", "max_records_per_file"):
            number = whole_number(getattr(self, name), name)
            if number is not None and number < 1:
                raise ZohoValidationError(f"{name} is {number}; it must be at least 1")
        if self.on_type_error not in ("fail", "string"):
            raise ZohoValidationError(f"on_type_error is {self.on_type_error!r}; it must be fail or string")

    def _jobs_in_flight(self) -> int:
        return whole_number(self.max_jobs_in_flight, "max_jobs_in_flight") or 1

    def _new_progress(self, hook: ZohoCRMHook, *, wait: bool) -> Progress:
        from airflow_provider_zohocrm.extraction.progress import new_progress
        from airflow_provider_zohocrm.extraction.schema import columns_of
        from airflow_provider_zohocrm.storage import file_format

        if not wait:
            return new_progress()
        progress = new_progress(self._count_pages(hook))
        if self._query()["file_type"] == "csv" and file_format(str(self.output_path)).name != "csv":
            fields = hook.get_fields(self.module)
            names = field_names(given(self.fields)) or [field["api_name"] for field in fields]
            progress["columns"] = [list(column) for column in columns_of(fields, names)]
        return progress

    def _count_pages(self, hook: ZohoCRMHook) -> int:
        """Tell the number of pages, or 0 where it is not known or of no use."""
        query = self._query()
        if self._jobs_in_flight() == 1:
            return 0
        try:
            records = self._count(hook, query)
        except ZohoAPIError as error:
            self.log.warning(
                "Submitting one job after the other, as the records cannot be counted: %s", error
            )
            return 0
        if records is None:
            return 0
        self.log.info("%s has %d records", query["module"], records)
        return -(-records // RECORDS_PER_JOB[query["file_type"]])

    def _count(self, hook: ZohoCRMHook, query: dict[str, Any]) -> int | None:
        """Count what is exported; None for criteria that COQL has no words for, or that narrow a view."""
        if not query["criteria"]:
            return hook.count_records(query["module"], cvid=query["cvid"])
        where = coql_condition(shaped_criteria(query["criteria"], hook.version))
        if where is None or query["cvid"] is not None:
            return None
        select = f"select COUNT(id) from {query['module']} where {where}"  # noqa: S608  # COQL; checked and quoted
        rows, _ = hook.coql_page(select, PAGE_SIZE)
        return int(next(iter(rows[0].values()))) if rows else 0

    def _checkpoint(self, context: Context, hook: ZohoCRMHook) -> Checkpoint:
        query = {name: value for name, value in self._query().items() if name != "callback"}
        parts = {
            **job_body(hook.version, **query),
            "output_path": given(self.output_path),
            "max_pages": whole_number(self.max_pages, "max_pages"),
            "api_version": hook.version.name,
            "waits": truth(self.wait_for_completion, "wait_for_completion") is not False,
            "max_records_per_file": whole_number(self.max_records_per_file, "max_records_per_file"),
            "on_type_error": self.on_type_error,
            "organisation": organisation(hook),
        }
        durable = truth(self.durable, "durable") is not False
        return Checkpoint(context, _CHECKPOINT, fingerprint(**parts), enabled=durable)

    def _export(self, context: Context, hook: ZohoCRMHook, progress: Progress) -> BulkExport:
        from airflow_provider_zohocrm.extraction.bulk import BulkExport

        checkpoint = self._checkpoint(context, hook)
        told = _newest(progress)

        def save(progress: Progress) -> None:
            if progress["jobs"] or progress["finished"]:
                checkpoint.save(progress)
            else:
                checkpoint.delete()
            nonlocal told
            if (newest := _newest(progress)) != told:
                told = newest
                self._tell_job_id(context, newest)

        first, longest, _ = self._waits()
        return BulkExport(
            hook,
            self._query(),
            lambda stream, first, expected: self._write(progress, stream, first, expected),
            progress,
            max_pages=whole_number(self.max_pages, "max_pages"),
            max_jobs_in_flight=self._jobs_in_flight(),
            poll_interval=first,
            max_poll_interval=longest,
            save=save,
            try_number=getattr(context.get("ti"), "try_number", 1),
        )

    def _write(
        self, progress: Progress, stream: BinaryIO, first: int, expected: int | None
    ) -> list[FileInfo]:
        from airflow_provider_zohocrm.extraction.schema import columns_of_header
        from airflow_provider_zohocrm.extraction.watermark import FIELD, Watermark
        from airflow_provider_zohocrm.storage import Column, numbered_path, write_csv_export, write_raw_export

        path = str(self.output_path)
        if self._query()["file_type"] == "ics":
            return [write_raw_export(stream, numbered_path(path, first))]

        def typed(header: list[str]) -> list[Column]:
            columns = columns_of_header(header, [Column(*each) for each in progress["columns"] or ()])
            progress["columns"] = [list(column) for column in columns]
            return columns

        watermark = Watermark(progress["watermark"])
        files = write_csv_export(
            stream,
            path,
            expected=expected,
            columns=None if progress["columns"] is None else typed,
            on_type_error="string" if self.on_type_error == "string" else "fail",
            max_records=whole_number(self.max_records_per_file, "max_records_per_file"),
            first=first,
            watch=(FIELD, watermark.see),
        )
        progress["watermark"] = watermark.newest
        return files

    def _tell_job_id(self, context: Context, job_id: str | None) -> None:
        """Have the id of the job that was submitted last in an XCom."""
        ti = context.get("ti")
        if ti is not None and job_id is not None:
            ti.xcom_push(key="job_id", value=job_id)

    def _submit_only(self, context: Context, hook: ZohoCRMHook, export: BulkExport) -> dict[str, Any]:
        export.submit()
        (job_id,) = export.waiting_for
        self._checkpoint(context, hook).delete()
        return {"job_id": job_id, "module": self.module, "files": [], "records": 0}

    def _advance(self, context: Context, hook: ZohoCRMHook, export: BulkExport) -> dict[str, Any]:
        """Export what is left, as far as can be done without deferring."""
        if not self.deferrable:
            export.run(self._waits()[2])
        elif not export.work(eager=True):
            self._defer(export)
        summary = self._summary(hook, export)
        self._checkpoint(context, hook).delete()
        self.tell(context, self._reported(hook, export))
        return summary

    def _reported(self, hook: ZohoCRMHook, export: BulkExport) -> Report:
        from airflow_provider_zohocrm.assets.files import uri_of_files
        from airflow_provider_zohocrm.operators.report import Report, schema_of, uri_of_module
        from airflow_provider_zohocrm.storage import manifest_path

        files, progress = export.files, export.progress
        names = field_names(given(self.fields))
        return Report(
            uri_of_module(hook, self.module),
            writes=False,
            files_uri=uri_of_files(str(self.output_path), self._path_template),
            rows=sum(file["records"] for file in files),
            bytes=sum(file["bytes"] for file in files),
            files=tuple(file["path"] for file in files),
            watermark=progress["watermark"],
            job_ids=tuple(dict.fromkeys(file["job_id"] for file in files)),
            manifest=given(self.manifest_path) or manifest_path(str(self.output_path)),
            schema=schema_of(progress["columns"], names, hook.known_fields(self.module)),
        )

    def _summary(self, hook: ZohoCRMHook, export: BulkExport) -> dict[str, Any]:
        from airflow_provider_zohocrm.extraction.manifest import write_run
        from airflow_provider_zohocrm.extraction.progress import ExportedFile

        files, progress = export.files, export.progress
        records = sum(file["records"] for file in files)
        write_run(
            given(self.manifest_path),
            str(self.output_path),
            files,
            module=self.module,
            strategy="bulk",
            query={name: value for name, value in self._query().items() if name != "callback"},
            columns=progress["columns"],
            watermark=progress["watermark"],
            api_version=hook.version.name,
            started_at=progress["started_at"],
            credits=progress["credits"],
        )
        self.log.info("Exported %d records of %s into %d files", records, self.module, len(files))
        if export.more_records:
            self.log.warning("Zoho has more records of %s; max_pages ended the export", self.module)
        told = [
            {name: value for name, value in file.items() if name in ExportedFile.__annotations__}
            for file in files
        ]
        return {
            "files": told,
            "records": records,
            "module": self.module,
            "more_records": export.more_records,
        }

    def _defer(self, export: BulkExport) -> NoReturn:
        first, longest, timeout = self._waits()
        self.defer(
            method_name="execute_complete",
            kwargs={"progress": dict(export.progress)},
            **deferral(
                export,
                timeout=timeout,
                zohocrm_conn_id=self.zohocrm_conn_id,
                poll_interval=first,
                max_poll_interval=longest,
                api_version=given(self.api_version),
                min_credits_remaining=self._min_credits(),
            ),
        )
        raise AssertionError("defer returned")


def _newest(progress: Progress) -> str | None:
    """Return the id of the job that was submitted last, of those in flight."""
    newest = max(progress["jobs"], key=lambda job: job["submitted_at"], default=None)
    return newest and newest["job_id"]
