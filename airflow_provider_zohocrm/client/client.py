"""All operations on one organisation, without Airflow."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.client.api import query_params
from airflow_provider_zohocrm.client.bulk_read import BulkReadApi, job_call, read_job
from airflow_provider_zohocrm.client.bulk_write import BulkWriteApi, read_write_job, write_job_call
from airflow_provider_zohocrm.client.calls import Call, record_id
from airflow_provider_zohocrm.client.changes import (
    MOST_PAGES,
    changed_call,
    deleted_call,
    matching_call,
    newest_call,
    next_page,
    read_deleted,
    read_ids,
    read_newest,
)
from airflow_provider_zohocrm.client.records import RecordsApi
from airflow_provider_zohocrm.client.usage import Usage
from airflow_provider_zohocrm.client.versions import PAGE_SIZE
from airflow_provider_zohocrm.client.writing import WritingApi
from airflow_provider_zohocrm.exceptions import ZohoPaginationLimitError, ZohoValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_zohocrm.client.aio import AsyncTransport
    from airflow_provider_zohocrm.client.changes import Deletion, Row
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

    async def get_newest_records(self, module: str) -> tuple[list[Row], bool]:
        """Read which records were modified last, 200 at most: 1 credit.

        :return: id, ``Created_Time`` and ``Modified_Time`` in UTC of each, and whether there are more records.
        """
        call = newest_call(self.transport.credentials.version, module)
        return read_newest(call, await self.transport.send(call, self.usage))

    async def get_changed_records(self, module: str, since: str) -> tuple[list[Row], bool]:
        """Read which records were modified at or after a moment: 1 credit for 200, 10,000 at most.

        :param since: ISO 8601 in UTC; empty for all.
        :return: id, ``Created_Time`` and ``Modified_Time`` in UTC of each, the earliest first, and whether there are more.
        """
        found: dict[str, Row] = {}
        place, number = {"page": "1"}, 1
        for _ in range(MOST_PAGES):
            call = changed_call(self.transport.credentials.version, module, since, place)
            try:
                answer = await self.transport.send(call, self.usage)
            except ZohoPaginationLimitError:
                return list(found.values()), True
            rows, more = read_newest(call, answer)
            found |= {row[0]: row for row in rows}
            if not more or not rows:
                return list(found.values()), False
            if rows[-1][2] > since:
                # Numbered pages would shift where a record is deleted meanwhile; a moment does not.
                since, place, number = rows[-1][2], {"page": "1"}, 1
            else:
                number += 1
                place = next_page(answer, number)
        return list(found.values()), True

    async def get_deletions(self, module: str, since: str) -> tuple[list[Deletion], bool]:
        """Read what was deleted at or after a moment: 2 credits for 200, 10,000 at most.

        :param since: ISO 8601 in UTC; empty for the 60 days Zoho keeps.
        :return: id and ``deleted_time`` in UTC of each, and whether there are more.
        """
        found: dict[str, str] = {}
        for page in range(1, MOST_PAGES + 1):
            call = deleted_call(self.transport.credentials.version, module, since, page)
            try:
                rows, more = read_deleted(call, await self.transport.send(call, self.usage))
            except ZohoPaginationLimitError:
                break
            # What is deleted meanwhile moves others onto the next page.
            found |= {id_: when for id_, when in rows if when > found.get(id_, "")}
            if not more or not rows:
                return list(found.items()), False
        return list(found.items()), True

    async def get_matching_ids(self, module: str, criteria: str, since: str) -> tuple[set[str], bool]:
        """Read which records modified at or after a moment meet a condition of COQL: 1 credit for up to 200.

        :return: their ids, and whether there are more.
        """
        version = self.transport.credentials.version
        found: set[str] = set()
        last, size = None, PAGE_SIZE
        for _ in range(MOST_PAGES):
            call = matching_call(version, module, criteria, since, last, size)
            ids, more = read_ids(call, await self.transport.send(call, self.usage))
            found.update(ids)
            if not more or not ids:
                return found, False
            last, size = ids[-1], version.coql_page
        return found, True
