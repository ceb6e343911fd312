"""A module into files by bulk read: as many jobs as it has pages, and a progress that another process can go on from."""

from __future__ import annotations

import logging
import tempfile
import time
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from airflow_provider_zohocrm.client.bulk_read import job_result
from airflow_provider_zohocrm.client.job_run import JobRun
from airflow_provider_zohocrm.client.jobs import Job, job_state
from airflow_provider_zohocrm.client.polling import FIRST_POLL, LONGEST_POLL
from airflow_provider_zohocrm.client.result_file import open_result
from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoBulkReadError,
    ZohoBulkReadTimeoutError,
    ZohoCorruptResultError,
    ZohoNotFoundError,
)
from airflow_provider_zohocrm.extraction.progress import (
    ExportedFile,
    JobInFlight,
    Progress,
    drop_lost,
    first_file_number,
    forget,
    new_job,
    new_progress,
    next_page,
    note_completed,
    note_submitted,
    note_written,
    token_for,
)
from airflow_provider_zohocrm.storage.locations import temporary_files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_zohocrm.client.bulk_read import BulkReadApi
    from airflow_provider_zohocrm.client.polling import Timing

log = logging.getLogger(__name__)

_DOWNLOADS = 3


class Write(Protocol):
    """Writes the result of one job to one or more files, which appear when the number of records is right."""

    def __call__(self, stream: BinaryIO, first: int, expected: int | None) -> Sequence[Mapping[str, Any]]:
        """Write a page.

        :param stream: the CSV or iCalendar text.
        :param first: number of the page's first file among all files of the export, from 1.
        :param expected: number of records by the job, if it tells.
        :return: ``path``, ``records`` and ``bytes`` of each file.
        :raises ZohoBulkReadError: if the stream is not what was expected.
        """


class BulkExport(JobRun):
    """Exports a module by one bulk read job for each 200,000 records.

    When page n is ready, the job of page n+1 is created, then n is downloaded and written while Zoho works. Every
    change that was paid for is saved at once; an export that is made of what was saved last goes on from there, with
    the jobs that are known. Between Zoho's answer that a job is created and the end of ``save`` a kill loses that job,
    as Zoho has no list of jobs.

    :param api: the hook or client.
    :param query: parameters of :meth:`~airflow_provider_zohocrm.client.bulk_read.BulkReadApi.create_bulk_read_job`
        but ``page`` and ``page_token``.
    :param write: writes one page.
    :param progress: what was saved by an export of the same query; None begins one.
    :param pages: number of pages by a count of the records; their jobs may be submitted ahead, by page number.
    :param max_pages: the highest page wanted.
    :param max_jobs_in_flight: how many jobs Zoho may have at once; without ``pages`` there is one.
    :param poll_interval: seconds before the first look at the first job.
    :param max_poll_interval: the longest seconds between two looks.
    :param save: is given the progress, plain JSON, after every submitted job and every written page.
    :param try_number: which try of a task this is, for the log.
    """

    def __init__(
        self,
        api: BulkReadApi,
        query: Mapping[str, Any],
        write: Write,
        progress: Progress | None = None,
        *,
        pages: int | None = None,
        max_pages: int | None = None,
        max_jobs_in_flight: int = 1,
        poll_interval: float = FIRST_POLL,
        max_poll_interval: float = LONGEST_POLL,
        save: Callable[[Progress], None] = lambda _: None,
        try_number: int = 1,
    ) -> None:
        super().__init__(poll_interval, max_poll_interval)
        self.progress = new_progress(pages or 0) if progress is None else progress
        self._api = api
        self._query = dict(query)
        self._write = write
        self._max_pages = max_pages
        self._at_once = max_jobs_in_flight
        self._save_progress = save
        self._try_number = try_number
        self._spent_before = self.progress["credits"] - api.transport.usage.credits
        api.downloads.remember(self.progress["downloads"])

    # --- what came out -----------------------------------------------------------------------------------------

    @property
    def files(self) -> list[ExportedFile]:
        """The files of the pages written so far, in order."""
        return self.progress["files"]

    @property
    def more_records(self) -> bool:
        """Whether Zoho has more than the pages written."""
        return self.progress["last_page"] is None

    @property
    def jobs(self) -> list[JobInFlight]:
        """The jobs whose pages are not written, in the order of the pages."""
        return self.progress["jobs"]

    @property
    def timing(self) -> Timing:
        """What is known of how long jobs take."""
        return self.progress

    # --- work --------------------------------------------------------------------------------------------------

    def resume(self, exists: Callable[[str], bool]) -> None:
        """Take over from another process: drop what cannot be built on, and count time-outs from now on.

        :param exists: tells whether a file that was written is still there.
        """
        now = time.time()
        self.progress["resumed_at"], self.progress["replaced"] = now, []
        for text in drop_lost(self.progress, now, exists):
            log.warning("That page is exported again: %s", text)
        for job in self.progress["jobs"]:
            log.info(
                "Re-attached to bulk read job %s of page %d, submitted by try %d",
                job["job_id"],
                job["page"],
                job["try_number"],
            )
        if self.progress["finished"]:
            log.info("%d pages are written already", len(self.progress["finished"]))

    def submit(self) -> None:
        """Create the jobs that should be in flight now. Costs 50 credits each."""
        while (
            page := next_page(self.progress, max_pages=self._max_pages, at_once=self._at_once)
        ) is not None:
            self._submit(page)

    def work(self, *, eager: bool = False) -> bool:
        """Do all that can be done now: submit, look, download, write.

        :param eager: look at the job of the next page even if it is not expected to have ended.
        :return: whether the export is finished.
        :raises ZohoBulkReadError: if a job failed, or its result cannot be used; another job would export its page.
        """
        while True:
            self.submit()
            if not self.progress["jobs"]:
                return True
            if not eager and self.pause() > 0:
                return False
            job = self.progress["jobs"][0]
            answer = self._look(job)
            if answer is None:
                continue
            if job_state(answer) == "running":
                return False
            self._take(job, answer)

    def timed_out(self, timeout: float) -> ZohoBulkReadTimeoutError:
        """Make the error for a job that did not end in time."""
        return ZohoBulkReadTimeoutError(
            f"Bulk read job {self.progress['jobs'][0]['job_id']} did not end within {timeout:.0f} s. Zoho goes on with "
            "it; its result can be fetched for a day. Raise timeout, or run fewer jobs at once: Zoho works on them one "
            "after another."
        )

    # --- steps -------------------------------------------------------------------------------------------------

    def _submit(self, page: int) -> None:
        job_id = self._create(page)
        if job_id is None:
            return
        note_submitted(self.progress, new_job(job_id, page, time.time(), self._try_number))
        # Nothing before this: a kill in between loses a job that is paid for.
        self._save()
        log.info("Submitted bulk read job %s for page %d of %s", job_id, page, self._query["module"])

    def _create(self, page: int) -> str | None:
        token = token_for(self.progress, page, time.time()) if self._api.version.bulk_page_token else None
        try:
            return self._created(page, token)
        except ZohoAPIError as error:
            if token is not None and _is_stale_token(error):
                log.info("The page token has expired; going on by page number %d", page)
                return self._created(page, None)
            ahead = page > self.progress["more_after"] + 1
            if not ahead or error.code != "PAGE_RANGE_EXCEEDED":
                raise
            # Tokens may lead further than page numbers (reference sheet §4.6).
            log.info("Zoho takes no job for page %d by its number; going on from page to page", page)
            self.progress["counted"] = page - 1
            return None

    def _created(self, page: int, token: str | None) -> str:
        return str(self._api.create_bulk_read_job(**self._query, page=page, page_token=token)["id"])

    def _look(self, job: JobInFlight) -> Job | None:
        """Ask how a job stands; None if Zoho does not know it, and another one is to export its page."""
        try:
            answer = self._api.get_bulk_read_job(job["job_id"])
        except ZohoNotFoundError as error:
            self._replace(job, error)
            return None
        job["looks"] += 1
        job["looked_at"] = time.time()
        return answer

    def _take(self, job: JobInFlight, answer: Job) -> None:
        """Take the result of a job that has ended."""
        try:
            result = job_result(answer)
            for needless in note_completed(self.progress, job, result, job["looked_at"]):
                log.info("Bulk read job %s is not needed: Zoho has fewer pages than were counted", needless)
            # Zoho works on the next page while this one is downloaded.
            self.submit()
            files = self._fetch(job, answer)
        except ZohoAPIError as error:
            if not _is_gone(error):
                raise
            self._replace(job, error)
            return
        except ZohoBulkReadError:
            # A further try would get the same from the same job.
            self._forget(job)
            raise
        note_written(self.progress, job, files)
        self._save()

    def _fetch(self, job: JobInFlight, answer: Job) -> list[ExportedFile]:
        """Download and write a result; a damaged one is downloaded again."""
        import tenacity

        return tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(ZohoCorruptResultError),
            stop=tenacity.stop_after_attempt(_DOWNLOADS),
            before_sleep=lambda state: log.warning("Downloading the result again: %s", state.outcome),
            reraise=True,
        )(self._fetch_once, job, answer)

    def _fetch_once(self, job: JobInFlight, answer: Job) -> list[ExportedFile]:
        job_id, page = job["job_id"], job["page"]
        with temporary_files(), tempfile.TemporaryFile() as archive:
            size = self._api.download_bulk_read_result(answer, archive)
            log.info("Downloaded %d bytes of bulk read job %s", size, job_id)
            with open_result(archive, job_id, self._query["file_type"]) as stream:
                files = self._write(stream, first_file_number(self.progress, page), _count(answer))
        # Whatever else the writer tells of a file (its checksum) is kept.
        described: list[Any] = [{**file, "job_id": job_id, "page": page} for file in files]
        return described

    def _replace(self, job: JobInFlight, error: ZohoAPIError) -> None:
        """Have another job export the page of one that is gone; a second time in one try is not for chance."""
        if job["page"] in self.progress["replaced"]:
            raise error
        self.progress["replaced"] = [*self.progress["replaced"], job["page"]]
        log.warning("Page %d is exported by another job: %s", job["page"], error)
        self._forget(job)

    def _forget(self, job: JobInFlight) -> None:
        forget(self.progress, job)
        self._save()

    def _save(self) -> None:
        self.progress["downloads"] = self._api.downloads.recent()
        self.progress["credits"] = self._spent_before + self._api.transport.usage.credits
        self._save_progress(self.progress)


def _is_gone(error: ZohoAPIError) -> bool:
    # 404 in one specification, 400 in the other (reference sheet §4.7).
    return isinstance(error, ZohoNotFoundError) or error.code == "RESOURCE_NOT_FOUND"


def _is_stale_token(error: ZohoAPIError) -> bool:
    named = isinstance(error.details, dict) and error.details.get("api_name") == "page_token"
    return error.code == "EXPIRED_VALUE" or (error.code == "INVALID_DATA" and named)


def _count(answer: Job) -> int | None:
    """Read how many records Zoho says a result holds, if it says so."""
    count = str(job_result(answer).get("count"))
    return int(count) if count.isdigit() else None
