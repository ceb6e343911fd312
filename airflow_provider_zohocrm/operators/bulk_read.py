"""Export records by bulk read jobs, waiting for them without a worker slot."""

from __future__ import annotations

import tempfile
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn, TypedDict

import tenacity

from airflow_provider_zohocrm._compat import BaseOperator, default_deferrable
from airflow_provider_zohocrm.client.bulk_read import Job, job_body, job_result, job_state
from airflow_provider_zohocrm.client.polling import FIRST_POLL, LONGEST_POLL, poll_delays
from airflow_provider_zohocrm.client.result_file import open_result
from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoBulkReadError,
    ZohoBulkReadTimeoutError,
    ZohoCorruptResultError,
    ZohoValidationError,
)
from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook
from airflow_provider_zohocrm.operators.parameters import from_json, given, seconds, truth, whole_number
from airflow_provider_zohocrm.storage import (
    FileInfo,
    file_format,
    numbered_path,
    write_csv_export,
    write_raw_export,
)
from airflow_provider_zohocrm.triggers.bulk_read import BulkReadJobTrigger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_zohocrm._compat import Context

_DOWNLOADS = 3


class ExportedFile(FileInfo):
    """One file of an export."""

    job_id: str
    page: int


class Progress(TypedDict):
    """How far an export has come; plain JSON, kept by Airflow while the task is deferred."""

    job_id: str
    page: int
    submitted_at: float
    files: list[ExportedFile]


class ZohoBulkReadOperator(BaseOperator):
    """Export the records of a module by bulk read: 200,000 records and 50 credits a job.

    The operator submits a job, looks at it once, waits for it, downloads and unpacks its result as a stream, and goes
    on with the next job while Zoho has more records. It returns ``{"files": [{"path", "records", "bytes", "job_id",
    "page"}], "records", "module", "more_records"}``. The id of the job that is being waited for is in XCom
    ``job_id``. A retry starts again, and overwrites the files. Zoho offers no way to cancel a job.

    :param module: API name, e.g. ``Leads``.
    :param fields: API names, at most 200, as a list or separated by commas; a dot reads from a lookup's module, e.g.
        ``Owner.last_name``. None means all. Not for ics.
    :param criteria: which records: a condition ``{"api_name", "comparator", "value"}`` or a group
        ``{"group_operator": "and", "group": [...]}``, also as JSON text.
    :param cvid: id of a custom view; criteria narrow it further.
    :param file_type: ``csv``, or ``ics`` for Events.
    :param callback: address that Zoho posts to when a job has ended.
    :param output_path: local path or object storage URI of the first file; further ones get a number before the
        suffix, ``leads-0002.csv``. The suffix tells the format: ``.csv`` (as Zoho wrote it), ``.csv.gz``,
        ``.jsonl``, ``.jsonl.gz``, ``.parquet``; ``.ics`` for ics.
    :param max_pages: end after this many jobs; ``more_records`` of the result tells whether Zoho had more.
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
        "max_pages",
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
        max_pages: int | str | None = None,
        deferrable: bool = default_deferrable(),
        wait_for_completion: bool | str = True,
        poll_interval: float | str = FIRST_POLL,
        max_poll_interval: float | str = LONGEST_POLL,
        timeout: float | str = 6 * 60 * 60,
        zohocrm_conn_id: str = ZohoCRMHook.default_conn_name,
        api_version: str | None = None,
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
        self.max_pages = max_pages
        self.deferrable = deferrable
        self.wait_for_completion = wait_for_completion
        self.poll_interval = poll_interval
        self.max_poll_interval = max_poll_interval
        self.timeout = timeout
        self.zohocrm_conn_id = zohocrm_conn_id
        self.api_version = api_version

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit the first job, and wait for it and the ones after it.

        :return: the files.
        """
        hook = self._hook()
        job_body(hook.version, **self._query())
        self._waits()
        wait = truth(self.wait_for_completion, "wait_for_completion") is not False
        if wait:
            self._check_output()
        progress = self._submit(context, hook, page=1)
        if not wait:
            return {"job_id": progress["job_id"], "module": self.module, "files": [], "records": 0}
        return self._advance(context, hook, progress)

    def execute_complete(self, context: Context, event: Any, progress: Progress) -> dict[str, Any]:
        """Go on when the trigger has fired.

        :param event: what the trigger sent.
        :param progress: how far the export had come.
        :return: the files.
        """
        status = event.get("status") if isinstance(event, dict) else None
        message = event.get("message") if isinstance(event, dict) else None
        if status == "timeout":
            self._fail_by_timeout(progress)
        if status != "success":
            raise ZohoBulkReadError(str(message or f"The trigger sent an unknown event: {event!r}"))
        return self._advance(context, self._hook(), progress)

    def on_kill(self) -> None:
        """Tell that the job goes on."""
        self.log.info("The bulk read job goes on at Zoho, which has no way to cancel it")

    def _hook(self) -> ZohoCRMHook:
        return ZohoCRMHook(self.zohocrm_conn_id, api_version=given(self.api_version))

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
        if not given(self.output_path):
            raise ZohoValidationError("give output_path, or wait_for_completion=False to only submit the job")
        raw = self._query()["file_type"] == "ics"
        if file_format(str(self.output_path), raw=raw).name == "zip":
            raise ZohoValidationError("output_path must end with .ics for file_type ics")
        max_pages = whole_number(self.max_pages, "max_pages")
        if max_pages is not None and max_pages < 1:
            raise ZohoValidationError(f"max_pages is {max_pages}; it must be at least 1")

    def _submit(
        self,
        context: Context,
        hook: ZohoCRMHook,
        *,
        page: int,
        page_token: str | None = None,
        files: Sequence[ExportedFile] = (),
    ) -> Progress:
        token = page_token if hook.version.bulk_page_token else None
        try:
            job = hook.create_bulk_read_job(**self._query(), page=page, page_token=token)
        except ZohoAPIError as error:
            if token is None or error.code != "EXPIRED_VALUE":
                raise
            job = hook.create_bulk_read_job(**self._query(), page=page)
        job_id = str(job["id"])
        self.log.info("Submitted bulk read job %s for page %d of %s", job_id, page, self.module)
        ti = context.get("ti")
        if ti is not None:
            ti.xcom_push(key="job_id", value=job_id)
        return {"job_id": job_id, "page": page, "submitted_at": time.time(), "files": list(files)}

    def _advance(self, context: Context, hook: ZohoCRMHook, progress: Progress) -> dict[str, Any]:
        """Wait for the current job, and for all that follow it, as far as can be done without deferring."""
        while True:
            job = hook.get_bulk_read_job(progress["job_id"])
            if job_state(job) == "running":
                if self.deferrable:
                    self._defer(progress)
                job = self._poll(hook, progress)
            result = job_result(job)
            more = bool(result.get("more_records"))
            following = None
            if more and progress["page"] != whole_number(self.max_pages, "max_pages"):
                # Zoho works on the next job while this one's result is downloaded.
                token = result.get("next_page_token")
                following = self._submit(context, hook, page=progress["page"] + 1, page_token=token)
            files = [*progress["files"], self._fetch(hook, job, progress["page"])]
            if following is None:
                return self._summary(files, more_records=more)
            progress = {**following, "files": files}

    def _summary(self, files: list[ExportedFile], *, more_records: bool) -> dict[str, Any]:
        records = sum(file["records"] for file in files)
        self.log.info("Exported %d records of %s into %d files", records, self.module, len(files))
        if more_records:
            self.log.warning("Zoho has more records of %s; max_pages ended the export", self.module)
        return {"files": files, "records": records, "module": self.module, "more_records": more_records}

    def _defer(self, progress: Progress) -> NoReturn:
        first, longest, timeout = self._waits()
        end_time = progress["submitted_at"] + timeout
        self.defer(
            trigger=BulkReadJobTrigger(
                job_id=progress["job_id"],
                zohocrm_conn_id=self.zohocrm_conn_id,
                poll_interval=first,
                max_poll_interval=longest,
                end_time=end_time,
                api_version=given(self.api_version),
            ),
            method_name="execute_complete",
            kwargs={"progress": dict(progress)},
            # A back-stop for a trigger that never fires; the trigger's own deadline comes first.
            timeout=timedelta(seconds=max(0.0, end_time - time.time()) + 10 * longest),
        )
        raise AssertionError("defer returned")

    def _poll(self, hook: ZohoCRMHook, progress: Progress) -> Job:
        """Wait for the job in the worker."""
        first, longest, timeout = self._waits()
        end_time = progress["submitted_at"] + timeout
        for delay in poll_delays(first, longest):
            if time.time() >= end_time:
                break
            time.sleep(max(0.0, min(delay, end_time - time.time())))
            job = hook.get_bulk_read_job(progress["job_id"])
            if job_state(job) != "running":
                return job
        return self._fail_by_timeout(progress)

    def _fail_by_timeout(self, progress: Progress) -> NoReturn:
        raise ZohoBulkReadTimeoutError(
            f"Bulk read job {progress['job_id']} did not end within {self._waits()[2]:.0f} s. Zoho goes on with it; its "
            "result can be fetched for a day. Raise timeout, or run fewer jobs at once: Zoho works on them one after "
            "another."
        )

    def _fetch(self, hook: ZohoCRMHook, job: Job, page: int) -> ExportedFile:
        """Download and unpack a result; a damaged one is downloaded again."""
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(ZohoCorruptResultError),
            stop=tenacity.stop_after_attempt(_DOWNLOADS),
            before_sleep=lambda state: self.log.warning("Downloading the result again: %s", state.outcome),
            reraise=True,
        )(self._fetch_once, hook, job, page)

    def _fetch_once(self, hook: ZohoCRMHook, job: Job, page: int) -> ExportedFile:
        job_id, file_type = str(job["id"]), self._query()["file_type"]
        path = numbered_path(str(self.output_path), page)
        with tempfile.TemporaryFile() as archive:
            size = hook.download_bulk_read_result(job, archive)
            self.log.info("Downloaded %d bytes of bulk read job %s", size, job_id)
            with open_result(archive, job_id, file_type) as stream:
                if file_type == "ics":
                    info = write_raw_export(stream, path)
                else:
                    info = write_csv_export(stream, path, expected=_count(job))[0]
        return {**info, "job_id": job_id, "page": page}


def _count(job: Job) -> int | None:
    """Read how many records Zoho says a result holds, if it says so."""
    count = str(job_result(job).get("count"))
    return int(count) if count.isdigit() else None
