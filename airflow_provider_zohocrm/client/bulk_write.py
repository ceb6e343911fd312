"""Bulk write: uploads, jobs, and their results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_provider_zohocrm.client.answers import error_of, records_of
from airflow_provider_zohocrm.client.api import ApiBase
from airflow_provider_zohocrm.client.bulk_read import checked_callback
from airflow_provider_zohocrm.client.calls import Call, field_names, module_name, record_id
from airflow_provider_zohocrm.client.hosts import trusted_download_url
from airflow_provider_zohocrm.client.jobs import Job, result_url
from airflow_provider_zohocrm.client.versions import CREDITS_PER_BULK_WRITE
from airflow_provider_zohocrm.exceptions import ZohoBulkWriteError, ZohoResponseError, ZohoValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_zohocrm.client.versions import ApiVersion

OPERATIONS = ("insert", "update", "upsert")
# Reference sheet §5. Of the two readings of 25 MB, the smaller one.
MAX_COLUMNS = 200
MAX_CSV_BYTES = 25_000_000
_UPLOAD_HEADERS = {"feature": "bulk-write"}
_UPLOADED = "upload.zip"


def bulk_write_path(version: ApiVersion, *parts: str) -> str:
    """Build a bulk write path, where the version comes after ``bulk``, e.g. ``/crm/bulk/v8/write``."""
    return "/".join(("/crm/bulk", version.name, "write", *parts))


def write_job_call(version: ApiVersion, job_id: str | int) -> Call:
    """Build the call that asks for the state of a job."""
    return Call("GET", bulk_write_path(version, record_id(job_id)))


def read_write_job(call: Call, answer: dict[str, Any] | None) -> Job:
    """Take the job out of an answer, which is flat.

    :raises ZohoResponseError: if there is none with ``id`` and ``status``.
    """
    job = answer or {}
    if "data" in job:
        job = next(iter(records_of(job, call)), {})
    if not job.get("id") or not job.get("status"):
        raise ZohoResponseError(f"{call}: the answer holds no job with id and status")
    return job


class BulkWriteApi(ApiBase):
    """Operations of bulk write (reference sheet §5)."""

    def upload_bulk_write_file(self, file: str | Path | BinaryIO, org_id: str | int) -> str:
        """Upload a zip with one CSV, as a stream.

        :param file: a local path, or a seekable binary file.
        :param org_id: ``zgid`` of :meth:`~airflow_provider_zohocrm.client.metadata.MetadataApi.get_organization`.
        :return: the id under which a job can name the file.
        :raises ZohoConfigurationError: if the upload host of the data centre is not known.
        :raises ZohoScopeError: without the scope ``ZohoFiles.files.ALL``.
        """
        if isinstance(file, (str, Path)):
            with Path(file).open("rb") as opened:
                return self.upload_bulk_write_file(opened, org_id)
        call = Call(
            "POST",
            self.path("upload"),
            headers={**_UPLOAD_HEADERS, "X-CRM-ORG": record_id(org_id)},
            base=self.transport.upload_base(),
            file=(_UPLOADED, file),
        )
        details = _details(call, self.send(call))
        if not details.get("file_id"):
            raise ZohoResponseError(f"{call}: the answer names no file")
        return str(details["file_id"])

    def create_bulk_write_job(
        self,
        module: str,
        operation: str,
        file_id: str,
        *,
        fields: Sequence[str | Mapping[str, Any]],
        find_by: str | None = None,
        ignore_empty: bool = True,
        callback: str | Mapping[str, str] | None = None,
        repeatable: bool = False,
    ) -> Job:
        """Have Zoho write the rows of an uploaded file. Costs 500 credits.

        :param module: API name, e.g. ``Leads``.
        :param operation: ``insert``, ``update`` or ``upsert``.
        :param file_id: of :meth:`upload_bulk_write_file`.
        :param fields: API names of the columns in their order, or Zoho's ``field_mappings``.
        :param find_by: ``id`` or a unique field by which records are found, for update and upsert.
        :param ignore_empty: whether an empty cell leaves the field alone, instead of emptying it.
        :param callback: address that Zoho posts to when the job has ended.
        :param repeatable: whether the call may be repeated after its answer was lost, which may start a second job.
        :return: Zoho's job: ``id`` and ``created_by``.
        :raises ZohoValidationError: before any request, for what Zoho would refuse.
        """
        body = write_job_body(
            module,
            operation,
            file_id,
            fields=fields,
            find_by=find_by,
            ignore_empty=ignore_empty,
            callback=callback,
        )
        call = Call(
            "POST",
            bulk_write_path(self.version),
            json=body,
            credits=CREDITS_PER_BULK_WRITE,
            repeatable=repeatable,
        )
        details = _details(call, self.send(call))
        if not details.get("id"):
            raise ZohoResponseError(f"{call}: the answer names no job")
        return details

    def get_bulk_write_job(self, job_id: str | int) -> Job:
        """Read how a job stands. Costs 1 credit.

        :param job_id: the job's id.
        :return: Zoho's job: ``id, status, operation, resource`` and, when it has ended, ``result``.
        :raises ZohoNotFoundError: if Zoho does not know the job.
        """
        call = write_job_call(self.version, job_id)
        return read_write_job(call, self.send(call))

    def download_bulk_write_result(self, job: str | int | Job, target: str | Path | BinaryIO) -> int:
        """Download the zip of a completed job as a stream; it starts again if it breaks off.

        :param job: the job's id, or the job from :meth:`get_bulk_write_job`.
        :param target: a local path, or a seekable binary file.
        :return: number of bytes.
        :raises ZohoUntrustedHostError: if the result is said to be at a host that is not Zoho's.
        :raises ZohoBulkWriteError: if the job has no result.
        :raises ZohoPermissionError: if the link is no longer valid; results live for seven days.
        """
        if not isinstance(job, dict):
            job = self.get_bulk_write_job(job)
        url = result_url(job)
        if not url:
            raise ZohoBulkWriteError(
                f"Bulk write job {job.get('id')} has no result: its status is {job.get('status')}"
            )
        transport = self.transport
        if url.startswith("/"):
            base, path = "", url
        else:
            base, path = trusted_download_url(url, (transport.api_base(), transport.upload_base()))
        call = Call("GET", path, base=base)
        if not isinstance(target, (str, Path)):
            return transport.download(call, target)
        with Path(target).open("w+b") as file:
            return transport.download(call, file)


def write_job_body(
    module: str,
    operation: str,
    file_id: str,
    *,
    fields: Sequence[str | Mapping[str, Any]],
    find_by: str | None = None,
    ignore_empty: bool = True,
    callback: str | Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Check and build the body that creates a job (reference sheet §5)."""
    mappings = [
        {"api_name": one, "index": index} if isinstance(one, str) else dict(one)
        for index, one in enumerate(fields)
    ]
    names = [str(one.get("api_name")) for one in mappings]
    if operation not in OPERATIONS:
        raise ZohoValidationError(f"operation is {operation!r}; it must be one of {', '.join(OPERATIONS)}")
    field_names(names)
    if len(mappings) > MAX_COLUMNS:
        raise ZohoValidationError(f"{len(mappings)} columns given; bulk write takes {MAX_COLUMNS}")
    if operation == "insert" and find_by is not None:
        raise ZohoValidationError("find_by is for update and upsert; an insert finds nothing")
    if operation != "insert" and not find_by:
        raise ZohoValidationError(f"{operation} needs find_by: id, or a unique field of {module}")
    if find_by is not None and find_by not in names:
        raise ZohoValidationError(f"find_by is {find_by}, which is not among the columns: {', '.join(names)}")
    resource: dict[str, Any] = {
        "type": "data",
        "module": {"api_name": module_name(module)},
        "file_id": file_id,
        "ignore_empty": ignore_empty,
        "field_mappings": mappings,
    }
    resource |= {"find_by": find_by} if find_by else {}
    body = {"operation": operation, "character_encoding": "UTF-8", "resource": [resource]}
    return body | ({} if callback is None else {"callback": checked_callback(callback)})


def _details(call: Call, answer: dict[str, Any] | None) -> dict[str, Any]:
    """Take ``details`` out of a flat answer, whose status may say success though the code says otherwise."""
    envelope = answer or {}
    if "data" in envelope:
        envelope = next(iter(records_of(envelope, call)), {})
    if envelope.get("status") == "error":
        raise error_of(call, 400, {}, envelope)
    details = envelope.get("details")
    return details if isinstance(details, dict) else {}
