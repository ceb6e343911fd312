"""All operations on one organisation, without Airflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.client.api import query_params
from airflow_provider_zohocrm.client.bulk_read import BulkReadApi, Job, job_call, read_job
from airflow_provider_zohocrm.client.bulk_write import BulkWriteApi, read_write_job, write_job_call
from airflow_provider_zohocrm.client.calls import Call, record_id
from airflow_provider_zohocrm.client.records import RecordsApi
from airflow_provider_zohocrm.client.writing import WritingApi
from airflow_provider_zohocrm.exceptions import ZohoValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_zohocrm.client.aio import AsyncTransport
    from airflow_provider_zohocrm.client.transport import Transport
    from airflow_provider_zohocrm.client.usage import Usage


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
    """

    def __init__(self, transport: AsyncTransport) -> None:
        self.transport = transport

    async def send(self, call: Call, usage: Usage | None = None) -> dict[str, Any] | None:
        """Send a call and read its answer.

        :param usage: counts what is used.
        """
        return await self.transport.send(call, usage)

    async def get_bulk_read_job(self, job_id: str | int) -> Job:
        """Read how a job stands, see :meth:`BulkReadApi.get_bulk_read_job`."""
        call = job_call(self.transport.credentials.version, record_id(job_id))
        return read_job(call, await self.transport.send(call))

    async def get_bulk_write_job(self, job_id: str | int) -> Job:
        """Read how a job stands, see :meth:`BulkWriteApi.get_bulk_write_job`."""
        call = write_job_call(self.transport.credentials.version, job_id)
        return read_write_job(call, await self.transport.send(call))
