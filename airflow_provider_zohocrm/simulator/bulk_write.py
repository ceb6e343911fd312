"""Bulk write: upload, create, states, and the result file (sheet §5)."""

from __future__ import annotations

import csv
import io
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import python_multipart
from python_multipart.exceptions import FormParserError

from airflow_provider_zohocrm.simulator.bulk_mapping import Mapping, Part, PlanReader
from airflow_provider_zohocrm.simulator.bulk_read import bad, body_of, callback_of
from airflow_provider_zohocrm.simulator.calls import Answer, Call
from airflow_provider_zohocrm.simulator.cells import typed
from airflow_provider_zohocrm.simulator.errors import ApiError
from airflow_provider_zohocrm.simulator.export import build_zip
from airflow_provider_zohocrm.simulator.jobs import DONE, JobQueue, QueuedJob
from airflow_provider_zohocrm.simulator.modules import CURRENT_USER, ORG_PREFIX, Row
from airflow_provider_zohocrm.simulator.settings import ZGID
from airflow_provider_zohocrm.simulator.validation import RecordError, Validator, record_locked

if TYPE_CHECKING:
    from airflow_provider_zohocrm.simulator.state import State

FEATURE = "bulk-write"


@dataclass(kw_only=True)
class WriteJob(QueuedJob):
    """A bulk write job."""

    operation: str
    parts: list[Part]
    data: bytes
    """The zip."""
    encoding: str
    base_url: str
    lines: list[tuple[str, str, str]] = field(default_factory=list)
    """STATUS, RECORD_ID and ERRORS of every row, in the order of the input."""


class BulkWrite(JobQueue[WriteJob]):
    """The uploads and bulk write jobs of the organisation."""

    FAILED = "FAILED"

    def __init__(self, state: State) -> None:
        super().__init__(state.clock, state.options, state.callbacks)
        self.state = state
        self._uploads: dict[str, bytes] = {}
        self._number = 0

    def reset(self) -> None:
        """Forget all uploads and jobs."""
        super().reset()
        self._uploads.clear()

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
            id=self._new_id(),
            version=call.version,
            operation=operation,
            parts=parts,
            data=data,
            encoding=encoding,
            callback=callback_of(content),
            base_url=call.base_url,
            created=self.clock.now(),
        )
        self.add(job)
        details = {"id": job.id, "created_by": CURRENT_USER.shortest()}
        return Answer(201, {"status": "success", "code": "SUCCESS", "message": "success", "details": details})

    # --- running -----------------------------------------------------------------------------------------------

    def do(self, job: WriteJob) -> None:
        """Write the records, and the result file."""
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

    def callback_body(self, job: WriteJob) -> dict[str, Any]:
        """Build what is posted to the callback of a job that is done."""
        # No source shows this body: it has the keys of the one of bulk read that have a meaning here.
        body: dict[str, Any] = {"job_id": job.id, "operation": job.operation, "state": job.state}
        if job.state == "COMPLETED":
            body["result"] = {"download_url": self._url(job)}
        return body


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
