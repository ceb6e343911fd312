"""Bulk read: jobs, and their results."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urlsplit

from airflow_provider_zohocrm.client.answers import records_of
from airflow_provider_zohocrm.client.api import ApiBase
from airflow_provider_zohocrm.client.calls import Call, field_names, module_name, record_id
from airflow_provider_zohocrm.client.criteria import shaped_criteria
from airflow_provider_zohocrm.client.jobs import Job, job_failure, job_state
from airflow_provider_zohocrm.client.versions import CREDITS_PER_BULK_READ
from airflow_provider_zohocrm.exceptions import (
    ZohoBulkReadError,
    ZohoResponseError,
    ZohoUntrustedHostError,
    ZohoValidationError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from airflow_provider_zohocrm.client.versions import ApiVersion

log = logging.getLogger(__name__)


FILE_TYPES = ("csv", "ics")
MAX_FIELDS = 200
# More than 10 downloads in a minute block all of them until the minute is over (reference sheet §4.4).
MAX_DOWNLOADS = 10
_DOWNLOAD_PAUSE = 60.0
# What one download may take longer on its way to Zoho than another.
_LEEWAY = 1.0


def bulk_read_path(version: ApiVersion, *parts: str) -> str:
    """Build a bulk read path, where the version comes after ``bulk``, e.g. ``/crm/bulk/v8/read``."""
    return "/".join(("/crm/bulk", version.name, "read", *parts))


def job_call(version: ApiVersion, job_id: str) -> Call:
    """Build the call that asks for the state of a job."""
    return Call("GET", bulk_read_path(version, record_id(job_id)))


def read_job(call: Call, answer: dict[str, Any] | None) -> Job:
    """Take the job out of an answer.

    :raises ZohoResponseError: if there is none with ``id`` and ``state``.
    """
    job = next(iter(records_of(answer, call)), None)
    if not isinstance(job, dict) or not job.get("id") or not job.get("state"):
        raise ZohoResponseError(f"{call}: the answer holds no job with id and state")
    return job


def job_result(job: Job) -> dict[str, Any]:
    """Return the result of a completed job.

    :return: ``page, per_page, count, download_url, more_records`` and, from v6 on, ``next_page_token``.
    :raises ZohoBulkReadError: if the job is not completed, or failed.
    """
    state, name = job_state(job), f"Bulk read job {job.get('id')}"
    if state == "failed":
        raise ZohoBulkReadError(f"{name} failed: {job_failure(job)}. Correct the query, or try again.")
    result = job.get("result")
    if state != "completed" or not isinstance(result, dict):
        raise ZohoBulkReadError(f"{name} has no result yet: its state is {job.get('state')}")
    return result


class DownloadWindow:
    """Lets 10 downloads begin in any minute, and has the next one wait. Threads may share it."""

    def __init__(self) -> None:
        self._begun: list[float] = []
        self._lock = threading.Lock()

    def recent(self) -> list[float]:
        """Return the Unix times of the downloads of the last minute, oldest first."""
        with self._lock:
            return self._recent(time.time())

    def remember(self, begun: Iterable[float]) -> None:
        """Note downloads that began before, perhaps in another process.

        :param begun: Unix times.
        """
        with self._lock:
            self._begun = sorted({*self._begun, *begun})

    def enter(self) -> None:
        """Wait until a download may begin, and note it."""
        while True:
            with self._lock:
                now = time.time()
                recent = self._begun = self._recent(now)
                if len(recent) < MAX_DOWNLOADS:
                    recent.append(now)
                    return
                pause = recent[-MAX_DOWNLOADS] + _DOWNLOAD_PAUSE + _LEEWAY - now
            log.info("Waiting %.0f s: Zoho allows %d downloads in a minute", pause, MAX_DOWNLOADS)
            time.sleep(pause)

    def _recent(self, now: float) -> list[float]:
        # A time in the future is that of a host whose clock is ahead: it cannot be waited out.
        return [begun for begun in self._begun if now - _DOWNLOAD_PAUSE - _LEEWAY < begun <= now]


_windows: dict[str, DownloadWindow] = {}
"""The windows of this process, by the key of the credentials."""


class BulkReadApi(ApiBase):
    """Operations of bulk read (reference sheet §4)."""

    @property
    def downloads(self) -> DownloadWindow:
        """The window through which all downloads of this process with the same credentials go."""
        return _windows.setdefault(self.transport.credentials.token_key, DownloadWindow())

    def create_bulk_read_job(
        self,
        module: str,
        *,
        fields: str | Iterable[str] | None = None,
        criteria: Mapping[str, Any] | None = None,
        cvid: str | int | None = None,
        page: int = 1,
        page_token: str | None = None,
        file_type: str = "csv",
        callback: str | Mapping[str, str] | None = None,
    ) -> Job:
        """Have Zoho export up to 200,000 records of a module. Costs 50 credits.

        :param module: API name, e.g. ``Leads``.
        :param fields: API names, at most 200; a dot reads from a lookup's module, e.g. ``Owner.last_name``. None
            means all. Not for ics.
        :param criteria: which records, in the shape of the v2 documents, see
            :func:`~airflow_provider_zohocrm.client.criteria.shaped_criteria`.
        :param cvid: id of a custom view; criteria narrow it further.
        :param page: which 200,000 records, from 1.
        :param page_token: ``next_page_token`` of the job before, in place of all other parameters (v6 and newer).
        :param file_type: ``csv``, or ``ics`` for Events (20,000 a job).
        :param callback: address that Zoho posts to when the job has ended.
        :return: Zoho's job: ``id, operation, state, created_by, created_time``.
        :raises ZohoValidationError: before any request, for what Zoho would refuse.
        """
        body = job_body(
            self.version,
            module,
            fields=fields,
            criteria=criteria,
            cvid=cvid,
            page=page,
            page_token=page_token,
            file_type=file_type,
            callback=callback,
        )
        call = Call("POST", bulk_read_path(self.version), json=body, credits=CREDITS_PER_BULK_READ)
        details = next((item.get("details") for item in records_of(self.send(call), call)), None)
        if not isinstance(details, dict) or not details.get("id"):
            raise ZohoResponseError(f"{call}: the answer names no job")
        return details

    def get_bulk_read_job(self, job_id: str | int) -> Job:
        """Read how a job stands. Costs 1 credit.

        :param job_id: the job's id.
        :return: Zoho's job: ``id, operation, state, query, file_type`` and, when it has ended, ``result``.
        :raises ZohoNotFoundError: if Zoho does not know the job.
        """
        call = job_call(self.version, record_id(job_id))
        return read_job(call, self.send(call))

    def download_bulk_read_result(self, job: str | int | Job, target: str | Path | BinaryIO) -> int:
        """Download the zip of a completed job as a stream; it starts again if it breaks off.

        The eleventh download within a minute in this process waits until it may begin.

        :param job: the job's id, or the job from :meth:`get_bulk_read_job`.
        :param target: a local path, or a seekable binary file.
        :return: number of bytes.
        :raises ZohoNotFoundError: if there is no result, or no more; results live for a day.
        """
        call = Call("GET", self._result_path(job), pause=_DOWNLOAD_PAUSE)
        self.downloads.enter()
        if not isinstance(target, (str, Path)):
            return self.transport.download(call, target)
        with Path(target).open("w+b") as file:
            return self.transport.download(call, file)

    def _result_path(self, job: str | int | Job) -> str:
        if not isinstance(job, dict):
            return bulk_read_path(self.version, record_id(job), "result")
        url = str(job_result(job).get("download_url") or "")
        if not url:
            return bulk_read_path(self.version, record_id(job["id"]), "result")
        parts = urlsplit(url)
        if parts.scheme or parts.netloc or not url.startswith("/crm/bulk/"):
            raise ZohoUntrustedHostError(
                f"The result of job {job.get('id')} is said to be at {url[:200]!r}, not at a path of Zoho's API; it was "
                "not fetched, so that the token stays with Zoho."
            )
        return url


def job_body(
    version: ApiVersion,
    module: str,
    *,
    fields: str | Iterable[str] | None = None,
    criteria: Mapping[str, Any] | None = None,
    cvid: str | int | None = None,
    page: int = 1,
    page_token: str | None = None,
    file_type: str = "csv",
    callback: str | Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Check and build the body that creates a job, in the shape of the version (reference sheet §4.2)."""
    module_name(module)
    wanted = field_names(fields)
    if file_type not in FILE_TYPES:
        raise ZohoValidationError(f"file_type is {file_type!r}; it must be csv or ics")
    if file_type == "ics" and module != "Events":
        raise ZohoValidationError(f"file_type ics is for the module Events only, not for {module}; use csv")
    if file_type == "ics" and wanted:
        raise ZohoValidationError("fields cannot be chosen for file_type ics; leave them out")
    if wanted and len(wanted) > MAX_FIELDS:
        raise ZohoValidationError(
            f"{len(wanted)} fields asked for; bulk read takes {MAX_FIELDS}; None reads all"
        )
    if isinstance(page, bool) or not isinstance(page, int) or page < 1:
        raise ZohoValidationError(f"page is {page!r}; it must be a whole number from 1")
    if page_token is not None and not version.bulk_page_token:
        raise ZohoValidationError(f"{version.name} continues a bulk read by page, not by page_token")
    if page_token is not None:
        query: dict[str, Any] = {"page_token": page_token}
    else:
        query = {"module": {"api_name": module} if version.bulk_objects else module}
        query |= {} if cvid is None else {"cvid": record_id(cvid)}
        query |= {"fields": wanted} if wanted else {}
        query |= {"criteria": shaped_criteria(criteria, version)} if criteria else {}
        query |= {"page": page}
    body: dict[str, Any] = {"query": query}
    if callback is not None:
        body["callback"] = checked_callback(callback)
    if file_type != "csv":
        body["file_type"] = file_type
    # A page token stands for everything the first job was given.
    return body if page_token is None else {"query": query}


def checked_callback(callback: str | Mapping[str, str]) -> dict[str, str]:
    """Check the address that Zoho posts to when a job has ended.

    :raises ZohoValidationError: if it is no web address, or another method than post.
    """
    given = {"url": callback} if isinstance(callback, str) else dict(callback)
    url, method = str(given.get("url", "")), str(given.get("method", "post")).lower()
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("https", "http") or not parts.netloc:
        raise ZohoValidationError(f"callback url {url!r} is no web address")
    if method != "post":
        raise ZohoValidationError(f"callback method is {method!r}; Zoho only posts")
    return {"url": url, "method": "post"}
