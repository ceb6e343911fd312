"""Bulk write: upload, create, states, and the result file (sheet §5)."""

from __future__ import annotations

import csv
import io
import threading
import zipfile
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any

import python_multipart
from python_multipart.exceptions import FormParserError

from airflow_provider_zohocrm.simulator.bulk_mapping import Mapping, Part, PlanReader
from airflow_provider_zohocrm.simulator.bulk_read import bad, body_of, callback_of
from airflow_provider_zohocrm.simulator.calls import Answer, Call
from airflow_provider_zohocrm.simulator.cells import typed
from airflow_provider_zohocrm.simulator.errors import ApiError
from airflow_provider_zohocrm.simulator.export import build_zip
from airflow_provider_zohocrm.simulator.modules import CURRENT_USER, ORG_PREFIX, Row
from airflow_provider_zohocrm.simulator.outgoing import post
from airflow_provider_zohocrm.simulator.settings import ZGID
from airflow_provider_zohocrm.simulator.validation import RecordError, Validator, record_locked

if TYPE_CHECKING:
    from airflow_provider_zohocrm.simulator.state import State

FEATURE = "bulk-write"
DONE = {"COMPLETED", "FAILED"}
# A status call waits so long for a job that is due, before it says "still running".
PATIENCE = 0.5


@dataclass
class WriteJob:
    """A bulk write job."""

    id: str
    version: str
    operation: str
    parts: list[Part]
    data: bytes
    """The zip."""
    encoding: str
    callback: str | None
    base_url: str
    created: float
    state: str = "ADDED"
    polls: int = 0
    ticks: int = 0
    """Status calls of any job since it runs, see ``bulk_read.Job``."""
    started: float | None = None
    finished: float | None = None
    working: Future[None] | None = None
    file: IO[bytes] | None = None
    failure: str = ""
    lines: list[tuple[str, str, str]] = field(default_factory=list)
    """STATUS, RECORD_ID and ERRORS of every row, in the order of the input."""


class BulkWrite:
    """The uploads and bulk write jobs of the organisation; jobs run one after another."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.jobs: dict[str, WriteJob] = {}
        self._uploads: dict[str, bytes] = {}
        self._number = 0
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="bulk-write")
        self._caller = ThreadPoolExecutor(2, thread_name_prefix="bulk-write-callback")

    def reset(self) -> None:
        """Forget all uploads and jobs."""
        for job in self.jobs.values():
            if job.working is not None and not job.working.cancel():
                with suppress(Exception):
                    job.working.result()
            if job.file is not None:
                job.file.close()
        self.jobs.clear()
        self._uploads.clear()

    def close(self) -> None:
        """Forget all jobs and end the threads."""
        self.reset()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._caller.shutdown(wait=False, cancel_futures=True)

    def _new_id(self) -> str:
        self._number += 1
        return str((ORG_PREFIX * 1_000 + 960) * 1_000_000_000 + self._number * 1_001)

    # --- upload ------------------------------------------------------------------------------------------------

    def upload(self, call: Call) -> Answer:
        """``POST /crm/{v}/upload``: any name of the part will do."""
        content = _part_of(call)
        if call.headers.get("feature") != FEATURE or call.headers.get("x-crm-org") != ZGID or content is None:
            # Another envelope than everywhere else.
            body = {
                "ERROR_MESSAGE": "Bad Request",
                "ERROR_CODE": 400,
                "x-error": "check if headers [feature, X-CRM-ORG] are present and valid",
                "http_status": "400",
            }
            return Answer(400, body)
        limit = self.state.options.upload_limit
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                size = sum(member.file_size for member in archive.infolist())
        except zipfile.BadZipFile as error:
            raise bad("INVALID_FILE_FORMAT", "invalid file format. only zip format is supported") from error
        if max(size, len(content)) > limit:
            raise bad("FILE_TOO_LARGE", "File size too large to process")
        file_id = self._new_id()
        self._uploads[file_id] = content
        details = {"file_id": file_id, "created_time": self.state.clock.iso(self.state.clock.now())}
        message = {"code": "FILE_UPLOAD_SUCCESS", "message": "file uploaded."}
        return Answer(200, {"status": "success", **message, "details": details})

    # --- create ------------------------------------------------------------------------------------------------

    def create(self, call: Call) -> Answer:
        """``POST /crm/bulk/{v}/write``: answers are flat."""
        content = body_of(call)
        reader = PlanReader(self.state, self._uploads, call.rank)
        operation, encoding, data, parts = reader.read(content)
        job = WriteJob(
            self._new_id(),
            call.version,
            operation,
            parts,
            data,
            encoding,
            callback_of(content),
            call.base_url,
            self.state.clock.now(),
        )
        self.jobs[job.id] = job
        self.advance()
        details = {"id": job.id, "created_by": CURRENT_USER.shortest()}
        return Answer(201, {"status": "success", "code": "SUCCESS", "message": "success", "details": details})

    # --- running -----------------------------------------------------------------------------------------------

    def _running(self) -> WriteJob | None:
        return next((job for job in self.jobs.values() if job.state not in DONE), None)

    def advance(self, polled: WriteJob | None = None) -> None:
        """Move jobs on: only the oldest one that is not done runs.

        :param polled: the job whose status was asked for.
        """
        with self._lock:
            if polled is not None:
                polled.polls += 1
                running = self._running()
                if running is not None:
                    running.ticks += 1
            while (job := self._running()) is not None:
                if job.started is None:
                    job.started = self.state.clock.now()
                    job.failure = self.state.options.job_failure
                    job.working = self._pool.submit(self._work, job)
                if not self._due(job) or not self._worked(job):
                    return
                self._finish(job)

    def _due(self, job: WriteJob) -> bool:
        options = self.state.options
        if options.job_stuck or job.started is None:
            return False
        if options.job_seconds > 0:
            return self.state.clock.now() >= job.started + options.job_seconds
        return job.ticks >= options.job_polls

    @staticmethod
    def _worked(job: WriteJob) -> bool:
        if job.working is None:
            return False
        wait([job.working], PATIENCE)
        if not job.working.done():
            return False
        # Raises what went wrong, if anything did.
        job.working.result()
        return True

    def _finish(self, job: WriteJob) -> None:
        job.finished = self.state.clock.now()
        job.state = "FAILED" if job.failure else "COMPLETED"
        if job.callback and self.state.options.callbacks:
            self._caller.submit(self._call_back, job)

    def _work(self, job: WriteJob) -> None:
        if job.failure:
            return
        ids_of: dict[str, dict[str, int]] = {}
        with zipfile.ZipFile(io.BytesIO(job.data)) as archive:
            for part in job.parts:
                _PartWriter(self.state, job, part, ids_of).run(archive)

        def write(target: zipfile.ZipFile) -> None:
            text = io.StringIO(newline="")
            writer = csv.writer(text)
            writer.writerow(["STATUS", "RECORD_ID", "ERRORS"])
            writer.writerows(job.lines)
            target.writestr(f"{job.id}.csv", text.getvalue())

        job.file = build_zip(write, "none")

    # --- status and result -------------------------------------------------------------------------------------

    def _shown(self, job: WriteJob) -> str:
        if job.state in DONE:
            return job.state
        waits = job.started is None or (job.polls <= 1 and not self.state.options.job_seconds)
        return "ADDED" if waits else str(self.state.options.bulk_write_running)

    def _url(self, job: WriteJob) -> str:
        # The form of Zoho's download hosts; here it is the simulator's own.
        return f"{job.base_url}/v2/crm/{ZGID}/bulk-write/{job.id}/{job.id}.zip"

    def status(self, job_id: str) -> Answer:
        """``GET /crm/bulk/{v}/write/{id}``: flat."""
        job = self.jobs.get(job_id)
        if job is None:
            status = self.state.options.unknown_write_job_status
            message = "The requested resource doesn't exist."
            raise ApiError(status, "RESOURCE_NOT_FOUND", message, {"resource": job_id})
        self.advance(job)
        shown = self._shown(job)
        done = job.state == "COMPLETED"
        body: dict[str, Any] = {
            "status": shown,
            "character_encoding": job.encoding,
            "resource": [part.describe(shown, done=done, failure=job.failure) for part in job.parts],
            "id": job.id,
        }
        if job.callback:
            body["callback"] = {"url": job.callback, "method": "post"}
        if done:
            body["result"] = {"download_url": self._url(job)}
        created = {"created_by": CURRENT_USER.shortest(), "operation": job.operation}
        return Answer(200, {**body, **created, "created_time": self.state.clock.iso(job.created)})

    def download(self, zgid: str, job_id: str, name: str) -> Answer:
        """``GET`` of ``download_url``."""
        job = self.jobs.get(job_id)
        life = self.state.options.write_result_life
        if job is None or job.file is None or zgid != ZGID or name != f"{job_id}.zip":
            return _stale()
        if job.finished is None or self.state.clock.now() >= job.finished + life:
            return _stale()
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Disposition": f"attachment; filename={name}",
        }
        return Answer(200, headers=headers, file=job.file)

    def _call_back(self, job: WriteJob) -> None:
        # No source shows this body: it has the keys of the one of bulk read that have a meaning here.
        body: dict[str, Any] = {"job_id": job.id, "operation": job.operation, "state": job.state}
        if job.state == "COMPLETED":
            body["result"] = {"download_url": self._url(job)}
        sent = {"url": job.callback, "body": body, "status": post(str(job.callback), body)}
        self.state.callbacks.append(sent)


class _PartWriter:
    """Writes the rows of one csv."""

    def __init__(self, state: State, job: WriteJob, part: Part, ids_of: dict[str, dict[str, int]]) -> None:
        self.state = state
        self.job = job
        self.part = part
        self.ids_of = ids_of
        """Of the parts before: ``module/column`` to the id of the record whose row has a text in that column."""
        self.wanted = {
            m.parent_column for p in job.parts for m in p.mappings if m.parent == part.module.api_name
        }
        self.added: list[str] = []
        self.updated: list[str] = []

    def run(self, archive: zipfile.ZipFile) -> None:
        """Write every row.

        :param archive: the uploaded zip.
        """
        part = self.part
        for cells in part.rows(archive, self.job.encoding):
            part.total += 1
            try:
                with self.state.store.transaction():
                    record_id, status = self._row(cells)
            except RecordError as error:
                part.skipped += 1
                self.job.lines.append(("SKIPPED", "", f"{error.code}:{error.details.get('api_name', '')}"))
                continue
            self.job.lines.append((status, str(record_id), ""))
            for column in self.wanted:
                if column is not None and column < len(cells):
                    known = self.ids_of.setdefault(f"{part.module.api_name}/{column}", {})
                    known[cells[column]] = record_id
        part.added, part.updated = len(self.added), len(self.updated)
        fields = [mapping.spec.api_name for mapping in part.mappings]
        for operation, ids in (("insert", self.added), ("update", self.updated)):
            self.state.watch.changed(part.module, operation, ids, fields)
        entry = {"time": self.state.clock.now(), "module": part.module.api_name, "trigger": "all"}
        ids = [*self.added, *self.updated]
        self.state.store.writes.append({**entry, "operation": f"bulk_{self.job.operation}", "ids": ids})

    def _row(self, cells: list[str]) -> tuple[int, str]:
        part, operation = self.part, self.job.operation
        row = self._existing(cells) if operation != "insert" else None
        # A new record gets its id from Zoho: one that was named and is unknown is an error for upsert too.
        by_id = part.find_by == "id" and self._key(cells) != ""
        if row is None and (operation == "update" or by_id):
            raise RecordError("INVALID_DATA", "no such record", {"api_name": part.find_by}, None)
        if row is not None and str(row.id) in self.state.locked:
            raise record_locked(str(row.id))
        record = self._record(cells, row)
        values = Validator(self.state, part.module, part.total - 1).values(record, row)
        saved = self.state.store.save(part.module, row, values)
        (self.added if row is None else self.updated).append(str(saved.id))
        return saved.id, "ADDED" if row is None else "UPDATED"

    def _key(self, cells: list[str]) -> str:
        return next(m for m in self.part.mappings if m.spec.api_name == self.part.find_by).text(cells)

    def _existing(self, cells: list[str]) -> Row | None:
        part, text = self.part, self._key(cells)
        if text == "":
            return None
        if part.find_by == "id":
            return self.state.store.row(part.module, int(text)) if _is_id(text) else None
        found = self.state.store.find(part.module, part.module.fields[str(part.find_by)], text)
        return None if found is None else self.state.store.row(part.module, found)

    def _record(self, cells: list[str], row: Row | None) -> dict[str, Any]:
        record: dict[str, Any] = {}
        for mapping in self.part.mappings:
            text = mapping.text(cells)
            if text == "" and mapping.default is not None:
                record[mapping.spec.api_name] = mapping.default
            elif text == "" and self.part.ignore_empty and row is not None:
                continue
            else:
                record[mapping.spec.api_name] = self._value(mapping, text)
        return record

    def _value(self, mapping: Mapping, text: str) -> Any:
        spec = mapping.spec
        if text and mapping.parent is not None:
            known = self.ids_of.get(f"{mapping.parent}/{mapping.parent_column}", {})
            return {"id": str(known.get(text, ""))}
        if text and mapping.target is not None:
            target, by = mapping.target
            found = self.state.store.find(target, by, text)
            return {"id": "" if found is None else str(found)}
        return typed(spec, text, mapping.form, self.state.options.utc_offset)


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 19 and int(text) < 2**63


def _stale() -> Answer:
    return Answer(403, {"x-info": "Link not valid", "info": "Forbidden"})


def _part_of(call: Call) -> bytes | None:
    """Return the first file of a form, ``None`` where there is none."""
    kind = call.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        return None
    found: list[bytes] = []

    def keep(file: Any) -> None:
        file.file_object.seek(0)
        found.append(file.file_object.read())
        file.close()

    headers = {"Content-Type": kind.encode("latin-1"), "Content-Length": str(len(call.body)).encode()}
    try:
        python_multipart.parse_form(headers, io.BytesIO(call.body), None, keep)
    except FormParserError:
        return None
    return found[0] if found else None
