"""All operations on one organisation, without Airflow."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.client.api import query_params
from airflow_provider_zohocrm.client.bulk_read import BulkReadApi, job_call, read_job
from airflow_provider_zohocrm.client.bulk_write import BulkWriteApi, read_write_job, write_job_call
from airflow_provider_zohocrm.client.calls import Call, record_id
from airflow_provider_zohocrm.client.changes import (
    deleted_call,
    matching_call,
    newest_call,
    read_deleted,
    read_ids,
    read_newest,
)
from airflow_provider_zohocrm.client.records import RecordsApi
from airflow_provider_zohocrm.client.usage import Usage
from airflow_provider_zohocrm.client.writing import WritingApi
from airflow_provider_zohocrm.exceptions import ZohoValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_zohocrm.client.aio import AsyncTransport
    from airflow_provider_zohocrm.client.jobs import Job
    from airflow_provider_zohocrm.client.transport import Transport


# What would make another path, or a header, out of a part that a template has rendered.
_UNSAFE = re.compile(r"[\x00-\x20\x7f#\\]|(?:^|/)(?:\.|%2[eE]){2}(?:/|\?|$)")
_UNSAFE_HEADER = re.compile(r"[\x00-\x1f\x7f]")


class ZohoCRMApi(RecordsApi, WritingApi, BulkReadApi, BulkWriteApi):
    """The operations, on whatever transport."""

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        repeatable: bool | None = None,
    ) -> dict[str, Any] | None:
        """Make a call that has no method of its own, with the same authorisation, retries and errors.

        :param method: HTTP method.
        :param path: below the API host (``/crm/v8/users``), or below the version in use (``users``).
        :param params: query parameters; lists are joined by commas.
        :param json: body.
        :param headers: further headers.
        :param repeatable: whether it may be repeated after a failure in which Zoho may have acted; None means all
            but POST.
        :return: the JSON object of the answer, or None if it is empty.
        :raises ZohoCRMError: the subclass that fits.
        """
        method = method.upper()
        if "://" in path or path.startswith("//"):
            raise ZohoValidationError(f"path is {path!r}; give it without a host, e.g. /crm/v8/users")
        if _UNSAFE.search(path) or any(_UNSAFE_HEADER.search(value) for value in (headers or {}).values()):
            raise ZohoValidationError(
                f"{method} {path!r}: path and headers must not hold control characters, and the path no '..', blank, # or \\"
            )
        return self.send(
            Call(
                method,
                path if path.startswith("/") else self.path(path),
                query_params(params or {}),
                json,
                dict(headers or {}),
                repeatable=method != "POST" if repeatable is None else repeatable,
            )
        )


class ZohoCRMClient(ZohoCRMApi):
    """The operations on a transport of one's own, for use without Airflow.

    :param transport: sends the calls.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @property
    def transport(self) -> Transport:
        """What sends the calls."""
        return self._transport


class AsyncZohoCRMClient:
    """The operations a trigger needs, on the asynchronous transport.

    :param transport: sends the calls; used inside ``async with``.
    :param usage: counts what is used, and bounds it.
    """

    def __init__(self, transport: AsyncTransport, usage: Usage | None = None) -> None:
        self.transport = transport
        self.usage = usage or Usage()

    async def send(self, call: Call, usage: Usage | None = None) -> dict[str, Any] | None:
        """Send a call and read its answer.

        :param usage: counts what is used; None for the client's own.
        """
        return await self.transport.send(call, usage or self.usage)

    async def get_bulk_read_job(self, job_id: str | int) -> Job:
        """Read how a job stands, see :meth:`BulkReadApi.get_bulk_read_job`."""
        call = job_call(self.transport.credentials.version, record_id(job_id))
        return read_job(call, await self.transport.send(call, self.usage))

    async def get_bulk_write_job(self, job_id: str | int) -> Job:
        """Read how a job stands, see :meth:`BulkWriteApi.get_bulk_write_job`."""
        call = write_job_call(self.transport.credentials.version, job_id)
        return read_write_job(call, await self.transport.send(call, self.usage))

    async def get_newest_records(self, module: str) -> tuple[list[tuple[str, str, str]], bool]:
        """Read which records were modified last, 200 at most: 1 credit.

        :return: id, ``Created_Time`` and ``Modified_Time`` in UTC of each, and whether there are more records.
        """
        call = newest_call(self.transport.credentials.version, module)
        return read_newest(call, await self.transport.send(call, self.usage))

    async def get_newest_deletions(
        self, module: str, since: str | None
    ) -> tuple[list[tuple[str, str]], bool]:
        """Read what was deleted at or after a moment, 200 at most: 2 credits.

        :return: id and ``deleted_time`` in UTC of each, and whether there are more.
        """
        call = deleted_call(self.transport.credentials.version, module, since)
        return read_deleted(call, await self.transport.send(call, self.usage))

    async def get_matching_ids(self, module: str, criteria: str, since: str) -> set[str]:
        """Read which records modified at or after a moment meet a condition of COQL, 200 at most: 1 credit."""
        call = matching_call(self.transport.credentials.version, module, criteria, since)
        return read_ids(call, await self.transport.send(call, self.usage))
