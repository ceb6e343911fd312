"""Records into a module by bulk write: as many jobs as it takes, and a progress that another process can go on from."""

from __future__ import annotations

import logging
import tempfile
import time
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import tenacity

from airflow_provider_zohocrm.client.answers import printable
from airflow_provider_zohocrm.client.job_run import JobRun
from airflow_provider_zohocrm.client.jobs import write_job_failure, write_job_state, written_count
from airflow_provider_zohocrm.client.polling import FIRST_POLL, LONGEST_POLL, note_end
from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoBulkReadError,
    ZohoBulkWriteError,
    ZohoBulkWriteTimeoutError,
    ZohoCorruptResultError,
    ZohoCRMError,
    ZohoNotFoundError,
    ZohoPermissionError,
    ZohoResponseError,
    ZohoServerError,
    ZohoStorageError,
    ZohoTransportError,
)
from airflow_provider_zohocrm.loading.bulk_progress import (
    RESULT_LIFE,
    LoadFile,
    LoadProgress,
    cut_again,
    jobs_of,
    new_file,
    new_load,
    next_file,
    note_created,
    note_written,
    running,
)
from airflow_provider_zohocrm.loading.bulk_results import open_results
from airflow_provider_zohocrm.loading.bulk_rows import BulkTarget, FileRows
from airflow_provider_zohocrm.loading.csv_zip import CsvZip
from airflow_provider_zohocrm.loading.outcome import not_noted
from airflow_provider_zohocrm.loading.values import Rejection
from airflow_provider_zohocrm.storage.locations import temporary_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_zohocrm.client.client import ZohoCRMApi
    from airflow_provider_zohocrm.client.jobs import Job
    from airflow_provider_zohocrm.client.polling import Timing
    from airflow_provider_zohocrm.loading.bulk_results import Said
    from airflow_provider_zohocrm.loading.bulk_rows import Prepared
    from airflow_provider_zohocrm.loading.inputs import InputRow, Inputs
    from airflow_provider_zohocrm.loading.outcome import Outcome

log = logging.getLogger(__name__)

_DOWNLOADS = 3
# Zoho's words for an upload that it has no more.
_GONE_UPLOADS = ("FILE_NOT_FOUND", "INVALID_FILE_ID")


class BulkLoad(JobRun):
    """Loads records by one bulk write job for each 25,000 of them.

    While Zoho works on one file, the next is cut and uploaded, and the outcome of the one before is joined to the input,
    row by row in the order of the file. Every change that was paid for is saved at once, and that a job is about to be
    created before it is: a load that is made of what was saved last goes on from there, and pays for no job twice.

    :param api: the hook or client.
    :param target: what is done with the records.
    :param inputs: the records; whoever goes on with a load must have the same.
    :param prepared: see :func:`~airflow_provider_zohocrm.loading.bulk_rows.preparation`; called when it is needed
        first.
    :param outcome: takes what became of each row; it is published after each file.
    :param progress: what was saved by a load of the same records; None begins one.
    :param max_jobs_in_flight: how many jobs Zoho may have at once.
    :param poll_interval: seconds before the first look at the first job.
    :param max_poll_interval: the longest seconds between two looks.
    :param max_credits: API credits that may be spent over all tries.
    :param save: is given the progress, plain JSON, at every step. No job of an insert is created after it has returned
        False: not kept.
    :param try_number: which try of a task this is, for the log.
    :raises ZohoStorageError: if the records are no longer those that the progress is about.
    """

    def __init__(
        self,
        api: ZohoCRMApi,
        target: BulkTarget,
        inputs: Inputs,
        prepared: Callable[[], Prepared],
        outcome: Outcome,
        progress: LoadProgress | None = None,
        *,
        max_jobs_in_flight: int = 1,
        poll_interval: float = FIRST_POLL,
        max_poll_interval: float = LONGEST_POLL,
        max_credits: int | None = None,
        save: Callable[[LoadProgress], bool | None] = lambda _: None,
        try_number: int = 1,
    ) -> None:
        # A job costs 500 credits, a look 1.
        super().__init__(poll_interval, max_poll_interval, often=True)
        self.progress = (
            new_load(inputs.fingerprint, target.operation, target.find_by) if progress is None else progress
        )
        if self.progress["inputs"] != inputs.fingerprint:
            raise ZohoStorageError(
                "The input has changed since its rows were sent, so the results of Zoho's jobs cannot be told apart by "
                f"row any more. Bring the former input back and retry; the jobs are {self._named_jobs()}."
            )
        self._api = api
        self._target = target
        self._outcome = outcome
        self._rows = FileRows(target, inputs, prepared)
        self._at_once = max_jobs_in_flight
        self._save_progress = save
        self._try_number = try_number
        self._failure: ZohoCRMError | None = None
        """What has halted the load in this process."""
        self._settling = False
        self._spent_before = self.progress["credits"] - api.usage.credits
        self._calls_before = self.progress["calls"] - api.usage.calls
        if max_credits is not None:
            api.usage.max_credits = max_credits - self._spent_before

    @property
    def jobs(self) -> list[LoadFile]:
        """The files whose jobs Zoho has, and whose outcome is not written, in their order."""
        return jobs_of(self.progress)

    @property
    def timing(self) -> Timing:
        """What is known of how long jobs take."""
        return self.progress

    @property
    def summary(self) -> dict[str, Any]:
        """Counts and files, and what it has cost."""
        credits_, calls = self._used()
        return {**self._outcome.summary, "calls": calls, "credits": credits_}

    def timed_out(self, timeout: float) -> ZohoBulkWriteTimeoutError:
        """Make the error for a job that did not end in time."""
        return ZohoBulkWriteTimeoutError(
            f"Bulk write job {self.jobs[0]['job_id']} did not end within {timeout:.0f} s. Zoho goes on with it. Raise "
            "timeout; a retry of the task (Airflow 3.3 and newer) goes on waiting for the same job."
        )

    # --- work --------------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Take over from another process: count time-outs from now on, and settle what it left open."""
        now = time.time()
        self.progress["resumed_at"], self.progress["again"] = now, []
        self.progress["halted"], self.progress["failed"], self._failure = False, "", None
        for file in list(self.progress["files"]):
            if file["state"] == "creating":
                self._without_job(file, "the worker ended before it knew whether Zoho had taken the job")
            elif file["state"] != "cut" and file["job_id"]:
                log.info(
                    "Re-attached to bulk write job %s of file %d, submitted by try %d",
                    file["job_id"],
                    file["number"],
                    file["try_number"],
                )
                if now - file["submitted_at"] >= RESULT_LIFE:
                    self._lose(file, f"bulk write job {file['job_id']} is older than seven days")
        if self.progress["finished"]:
            log.info("%d files are written already", self.progress["finished"])
        for path in type(self._outcome).lost(self.progress["outcome"]):
            log.warning("%s of an earlier try is gone; its records are not paid for again", path)

    def work(self, *, eager: bool = False) -> bool:
        """Do all that can be done now: cut, upload, submit, look, download, join.

        :param eager: look at the oldest job even if it is not expected to have ended.
        :return: whether the load is finished.
        :raises ZohoBulkWriteError: if a job failed, or its result cannot be used.
        """
        while True:
            self._go_ahead(self._submit)
            if not self.jobs:
                if not self.progress["halted"]:
                    return True
                self._raise_failure()
                continue
            # Zoho is busy: there is time for the next file.
            self._go_ahead(self._upload_ahead)
            if not eager and self.pause() > 0:
                return False
            file = self.jobs[0]
            running_at = file["looked_at"]
            answer = self._look(file)
            if answer is None:
                continue
            if write_job_state(answer) == "running":
                return False
            self._take(file, answer, running_at)

    def _go_ahead(self, step: Callable[[], None]) -> None:
        """Do a step for the next files, unless one has failed before."""
        if not self.progress["halted"]:
            try:
                step()
            except ZohoCRMError as error:
                if self._settling:
                    # Half of an outcome must not be published with that of the next file.
                    raise
                self._end(error)

    def _end(self, failure: ZohoCRMError) -> None:
        """Begin nothing more, and raise the failure as soon as no job is under way: jobs are paid for."""
        if not self.jobs:
            raise failure
        log.warning(
            "Nothing more is submitted; what the jobs under way have done is still fetched: %s", failure
        )
        self.progress["halted"], self._failure = True, failure

    def _raise_failure(self) -> None:
        """Raise what has halted the load; after a deferral it is known of a failed job only, and else shows again."""
        if self.progress["failed"]:
            raise ZohoBulkWriteError(self.progress["failed"])
        if self._failure is not None:
            raise self._failure
        self.progress["halted"] = False

    def _submit(self) -> None:
        """Create the jobs that should be in flight now. Costs 500 credits each."""
        while running(self.progress) < self._at_once:
            file = next_file(self.progress) or self._cut_next()
            if file is None:
                return
            if file["state"] == "cut":
                self._upload(file)
            if not file["rows"]:
                return
            if not file["sent"]:
                self._settle(file, self._rows.refused(file))
                continue
            self._create(file)

    def _upload_ahead(self) -> None:
        file = next_file(self.progress) or self._cut_next()
        if file is not None and file["state"] == "cut":
            self._upload(file)

    def _cut_next(self) -> LoadFile | None:
        """Describe the file that begins where the last one ended, if there may be rows."""
        return None if self.progress["ended"] else new_file(self.progress)

    def _upload(self, file: LoadFile) -> None:
        """Write the rows of a file, and upload it. Costs 1 credit."""
        progress = self.progress
        first_time = file["number"] == progress["next_number"]
        target, same_fields = self._target, self._rows.same_fields
        with (
            temporary_files(),
            CsvZip(
                same_fields=same_fields,
                columns=progress["columns"],
                max_rows=target.max_rows,
                max_bytes=target.max_bytes,
            ) as packing,
        ):
            after = self._rows.cut(file, packing, None if first_time else file["rows"])
            if packing.rows:
                file["file_id"] = self._sent(packing)
            file["columns"], file["sent"], file["state"] = packing.columns, packing.rows, "uploaded"
        if first_time:
            progress["next"], progress["ended"] = list(after.position), after.ended
            progress["next_index"] += file["rows"]
            if not file["rows"]:
                return
            progress["next_number"] += 1
            progress["files"] = [*progress["files"], file]
            if same_fields and packing.rows:
                progress["columns"] = packing.columns
        self._save()
        log.info(
            "Uploaded file %d: %d rows, %d bytes of CSV; %d rows were refused before",
            file["number"],
            packing.rows,
            packing.size,
            file["rows"] - packing.rows,
        )

    def _sent(self, packing: CsvZip) -> str:
        if not self.progress["org"]:
            self.progress["org"] = str(self._api.get_organization()["zgid"])
        with tempfile.TemporaryFile() as archive:
            packing.write_to(cast("BinaryIO", archive))
            return self._api.upload_bulk_write_file(cast("BinaryIO", archive), self.progress["org"])

    def _create(self, file: LoadFile) -> None:
        file["state"] = "creating"
        # Before the call: after a kill it must be known that there may be a job.
        if not self._save() and not file["harmless"]:
            file["state"] = "uploaded"
            raise not_noted()
        try:
            job = self._api.create_bulk_write_job(
                self._target.module,
                self._target.operation,
                file["file_id"],
                fields=file["columns"],
                find_by=self._target.find_by,
                ignore_empty=self._target.ignore_empty,
                callback=self._target.callback,
                repeatable=file["harmless"],
            )
        except ZohoCRMError as error:
            self._not_created(file, error)
            return
        note_created(self.progress, file, str(job["id"]), time.time(), self._try_number)
        self._save()
        log.info("Submitted bulk write job %s for file %d", file["job_id"], file["number"])

    def _not_created(self, file: LoadFile, error: ZohoCRMError) -> None:
        file["state"] = "uploaded"
        lost = isinstance(error, (ZohoServerError, ZohoResponseError, ZohoTransportError)) and error.sent
        if lost and not file["harmless"]:
            self._without_job(file, f"the answer that names the job was lost ({error})")
            return
        gone = isinstance(error, ZohoAPIError) and error.code in _GONE_UPLOADS
        if gone and file["number"] not in self.progress["again"]:
            log.warning("File %d is uploaded again: %s", file["number"], error)
            self._begin_again(file)
            return
        self._save()
        raise error

    def _look(self, file: LoadFile) -> Job | None:
        """Ask how a job stands; None if Zoho does not know it."""
        try:
            answer = self._api.get_bulk_write_job(file["job_id"])
        except ZohoNotFoundError as error:
            self._lose(file, str(error))
            return None
        file["looks"] += 1
        file["looked_at"] = time.time()
        return answer

    def _take(self, file: LoadFile, answer: Job, running_at: float) -> None:
        """Take the result of a job that has ended.

        :param running_at: when it was last seen to run, 0 for never.
        """
        alone = not any(one["number"] > file["number"] for one in self.jobs)
        note_end(self.progress, file, file["looked_at"], alone=alone, running_at=running_at)
        file["state"] = "completed"
        if write_job_state(answer) == "failed":
            self._failed(file, answer)
            return
        with temporary_files(), tempfile.TemporaryFile() as archive:
            try:
                lines = self._fetch(file, answer, cast("BinaryIO", archive))
            except ZohoAPIError as error:
                if not _is_gone(error):
                    raise
                self._lose(file, str(error))
                return
            # Zoho works on the next file while the outcome of this one is written. Not before the result is here: a file
            # whose result is gone is written again, and the next one after it.
            self._go_ahead(self._submit)
            if lines != file["sent"]:
                why = f"job {file['job_id']} gave {lines} results for {file['sent']} records"
                log.error("What became of the records of file %d cannot be told: %s", file["number"], why)
                self._settle(file, self._rows.unknown(file, why))
                return
            with open_results(cast("BinaryIO", archive), file["job_id"]) as results:
                self._settle(file, self._rows.joined(file, results))

    def _failed(self, file: LoadFile, answer: Job) -> None:
        why = f"Bulk write job {file['job_id']} failed: {printable(write_job_failure(answer))}"
        if file["harmless"] or written_count(answer) == 0:
            cut_again(file)
            what = "Nothing is lost: a further try writes its records by another job."
        else:
            self._settle(file, self._rows.unknown(file, why))
            what = "Which of its records were written is not known; they are in the rejects."
        # Also where the task is deferred for the others.
        self.progress["failed"] = f"{why}. {what}"
        self._save()
        self._end(ZohoBulkWriteError(self.progress["failed"]))

    def _fetch(self, file: LoadFile, answer: Job, archive: BinaryIO) -> int:
        """Download a result, and count its lines; a damaged one is downloaded again."""

        def once() -> int:
            size = self._download(file, answer, archive)
            log.info("Downloaded %d bytes of bulk write job %s", size, file["job_id"])
            with open_results(archive, file["job_id"]) as lines:
                return sum(1 for _ in lines)

        try:
            return tenacity.Retrying(
                retry=tenacity.retry_if_exception_type(ZohoCorruptResultError),
                stop=tenacity.stop_after_attempt(_DOWNLOADS),
                before_sleep=lambda state: log.warning("Downloading the result again: %s", state.outcome),
                reraise=True,
            )(once)
        except ZohoBulkReadError as error:
            raise ZohoBulkWriteError(str(error)) from error
        finally:
            self._save()

    def _download(self, file: LoadFile, answer: Job, archive: BinaryIO) -> int:
        try:
            return self._api.download_bulk_write_result(answer, archive)
        except ZohoPermissionError:
            # Links go stale; the job names a fresh one.
            return self._api.download_bulk_write_result(file["job_id"], archive)

    # --- what goes wrong ---------------------------------------------------------------------------------------

    def _lose(self, file: LoadFile, why: str) -> None:
        """Give a job up: have another one write its records where that does no harm, else say that nothing is known."""
        if file["number"] in self.progress["again"]:
            self._save()
            raise ZohoBulkWriteError(f"File {file['number']} was sent twice, and lost twice: {why}")
        self._without_job(file, why)

    def _without_job(self, file: LoadFile, why: str) -> None:
        # With one job at a time, of rows with the same key the last of the input is the last to be written.
        later = [one for one in self.jobs if one["number"] > file["number"]] if self._at_once == 1 else []
        if file["harmless"] and all(one["harmless"] for one in later):
            for one in later:
                cut_again(one)
            log.warning("File %d is written by another job: %s", file["number"], why)
            self._begin_again(file)
        else:
            log.error("What became of the records of file %d is not known: %s", file["number"], why)
            self._settle(file, self._rows.unknown(file, why))

    def _begin_again(self, file: LoadFile) -> None:
        self.progress["again"] = [*self.progress["again"], file["number"]]
        cut_again(file)
        self._save()

    # --- outcome -----------------------------------------------------------------------------------------------

    def _settle(self, file: LoadFile, outcome: Iterator[tuple[InputRow, Said]]) -> None:
        """Write what became of the rows of a file, which is done with then."""
        self._settling = True
        found_by = None if self._target.operation == "insert" else self._target.find_by
        for index, (row, said) in enumerate(outcome, file["index"]):
            if isinstance(said, Rejection):
                self._outcome.rejected(index, row.values, said)
            else:
                field = found_by if said.action == "update" else None
                self._outcome.accepted(index, said.id, said.action, field)
        self._outcome.publish()
        note_written(self.progress, file)
        self._save()
        self._settling = False
        log.info("File %d is done; %s", file["number"], self._outcome.counts)

    def _save(self) -> bool:
        self.progress["outcome"] = self._outcome.state
        self.progress["credits"], self.progress["calls"] = self._used()
        return self._save_progress(self.progress) is not False

    def _used(self) -> tuple[int, int]:
        usage = self._api.usage
        return self._spent_before + usage.credits, self._calls_before + usage.calls

    def _named_jobs(self) -> str:
        return (
            ", ".join(file["job_id"] for file in self.progress["files"] if file["job_id"])
            or "not created yet"
        )


def _is_gone(error: ZohoAPIError) -> bool:
    """Tell whether a result is no more; a link that is stale although the job has just named it is refused without a code."""
    gone = isinstance(error, ZohoNotFoundError) or error.code == "RESOURCE_NOT_FOUND"
    return gone or (isinstance(error, ZohoPermissionError) and not error.code)
