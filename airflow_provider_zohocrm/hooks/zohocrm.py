"""The hooks: from an Airflow connection to Zoho's operations."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from airflow_provider_zohocrm import connection_form
from airflow_provider_zohocrm._compat import (
    BaseHook,
    async_connection,
    async_mask_secret,
    mask_secret,
    sync_to_async,
)
from airflow_provider_zohocrm.client.client import AsyncZohoCRMClient, ZohoCRMApi, ZohoCRMClient
from airflow_provider_zohocrm.client.credentials import ZohoCredentials
from airflow_provider_zohocrm.client.retry import RetryPolicy
from airflow_provider_zohocrm.client.secret import without_frames
from airflow_provider_zohocrm.client.timeouts import DEFAULT_TIMEOUT
from airflow_provider_zohocrm.client.tokens import MemoryTokenStore
from airflow_provider_zohocrm.client.usage import Usage
from airflow_provider_zohocrm.client.versions import api_version as known_version
from airflow_provider_zohocrm.exceptions import ZohoCRMError, ZohoValidationError
from airflow_provider_zohocrm.hooks.token_store import token_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import requests

    from airflow_provider_zohocrm._compat import Connection
    from airflow_provider_zohocrm.client.calls import Call
    from airflow_provider_zohocrm.client.changes import Deletion, Row
    from airflow_provider_zohocrm.client.jobs import Job
    from airflow_provider_zohocrm.client.timeouts import Timeout
    from airflow_provider_zohocrm.client.tokens import TokenStore
    from airflow_provider_zohocrm.client.transport import Transport
    from airflow_provider_zohocrm.client.versions import ApiVersion
    from airflow_provider_zohocrm.extraction.extract import ExtractResult

DEFAULT_RETRIES = RetryPolicy().retries
LONGEST_WAIT = RetryPolicy().longest
# Hooks that are entered within so many seconds share what was fetched of a connection.
_CONNECTION_LIFE = 30.0


class ZohoCRMHook(BaseHook, ZohoCRMApi):
    """Read and write the records of one Zoho CRM organisation.

    The operations are documented in :class:`~airflow_provider_zohocrm.client.records.RecordsApi`,
    :class:`~airflow_provider_zohocrm.client.writing.WritingApi`,
    :class:`~airflow_provider_zohocrm.client.bulk_read.BulkReadApi`,
    :class:`~airflow_provider_zohocrm.client.bulk_write.BulkWriteApi` and
    :class:`~airflow_provider_zohocrm.client.metadata.MetadataApi`. The connection is looked up on first use.

    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param api_version: ``v2`` … ``v8``, in place of the connection's.
    :param timeout: seconds to connect and between two bytes, or a pair of both.
    :param retries: how often a call is repeated after a failure that may pass; the default outlasts some minutes.
    :param longest_wait: the longest seconds that Zoho may ask to wait before such a repetition; beyond it the call fails.
    :param min_credits_remaining: API credits that the organisation must have left after each call, in place of the
        connection's; 0 for no bound.
    :param usage: counts what is used; None for one of its own.
    """

    conn_name_attr = "zohocrm_conn_id"
    default_conn_name = "zohocrm_default"
    conn_type = connection_form.CONNECTION_TYPE
    hook_name = connection_form.HOOK_NAME

    def __init__(
        self,
        zohocrm_conn_id: str = default_conn_name,
        *,
        api_version: str | None = None,
        timeout: Timeout = DEFAULT_TIMEOUT,
        retries: int = DEFAULT_RETRIES,
        longest_wait: float = LONGEST_WAIT,
        min_credits_remaining: int | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__()
        self.zohocrm_conn_id = zohocrm_conn_id
        self.api_version = api_version
        self.timeout = timeout
        self.retries = retries
        self.longest_wait = longest_wait
        self.min_credits_remaining = min_credits_remaining
        self._usage = usage or Usage()

    @classmethod
    def get_connection_form_widgets(cls) -> dict[str, Any]:
        """Build the form of Airflow 2.11 to 3.1; newer ones read the provider info."""
        from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
        from flask_babel import lazy_gettext
        from wtforms import PasswordField, StringField
        from wtforms.validators import Optional, any_of

        def widget(field: Mapping[str, Any]) -> Any:
            schema = field["schema"]
            secret = schema.get("format") == "password"
            return (PasswordField if secret else StringField)(
                lazy_gettext(field["label"]),
                widget=(BS3PasswordFieldWidget if secret else BS3TextFieldWidget)(),
                description=field["description"],
                default=schema.get("default"),
                validators=[Optional(), *([any_of(schema["enum"])] if "enum" in schema else [])],
            )

        return {name: widget(field) for name, field in connection_form.CONN_FIELDS.items()}

    @classmethod
    def get_ui_field_behaviour(cls) -> dict[str, Any]:
        """Adapt the standard fields of the form in Airflow 2.11 to 3.1; newer ones read the provider info."""
        return {
            "hidden_fields": connection_form.HIDDEN_FIELDS,
            "relabeling": connection_form.RELABELING,
            "placeholders": connection_form.PLACEHOLDERS,
        }

    @cached_property
    def transport(self) -> Transport:
        """What sends the calls; made from the connection on first use."""
        policy = RetryPolicy(retries=self.retries, longest=self.longest_wait)
        transport = self._transport(self.timeout, policy, usage=self._usage)
        bound = transport.credentials.min_credits_remaining
        self._usage.min_remaining = (
            bound if self.min_credits_remaining is None else self.min_credits_remaining
        )
        return transport

    def get_conn(self) -> requests.Session:
        """Return an authenticated session.

        It takes paths (``session.get("/crm/v8/users")``), sends the token to Zoho's API host only, never follows a
        redirect, and has time-outs. It neither repeats calls nor turns refusals into errors: :meth:`request` does.
        """
        return self.transport.session

    def extract(
        self,
        module: str,
        output_path: str,
        *,
        strategy: str = "auto",
        timeout: float = 6 * 60 * 60,
        **options: Any,
    ) -> ExtractResult:
        """Read a module into files by the cheapest way; what ``ZohoGetRecordsOperator`` does, for functions.

        It waits for bulk read jobs where it is called, and holds the worker meanwhile.

        :param module: API name, e.g. ``Leads``.
        :param output_path: local path or object storage URI; the suffix tells the format.
        :param strategy: ``auto``, ``records``, ``coql`` or ``bulk``.
        :param timeout: seconds that one bulk read job may take.
        :param options: ``fields``, ``modified_since``, ``modified_before``, ``subforms``, ``max_records``,
            ``include_deleted``, ``max_records_per_file``, ``manifest_path``, ``max_credits``, ``max_jobs_in_flight``, ``on_type_error``, ``cvid``,
            ``page_size``, ``poll_interval``, ``max_poll_interval`` and the parameters only lists know, as
            :class:`~airflow_provider_zohocrm.operators.records.ZohoGetRecordsOperator` describes them.
        :return: the operator's result.
        :raises ZohoValidationError: before any request, for what cannot be right.
        :raises ZohoCreditLimitError: before a call that would cost more than ``max_credits``.
        :raises ZohoLowCreditsError: before a call that would leave fewer credits than ``min_credits_remaining``.
        """
        from airflow_provider_zohocrm.extraction.extract import Extraction
        from airflow_provider_zohocrm.extraction.request import ExtractRequest

        request = ExtractRequest.of(module, output_path, strategy=strategy, **options)
        return Extraction(self, request).run_and_wait(timeout)

    def load(
        self,
        operation: str,
        module: str,
        records: Iterable[Mapping[str, Any]] | None = None,
        *,
        input_path: str | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Write records or files to a module; what ``ZohoUpsertOperator`` and its sisters do, for functions.

        Rejected records are counted, and written to ``rejects_path``; they are no exception.

        :param operation: ``upsert``, ``insert``, ``update`` or ``delete``.
        :param module: API name, e.g. ``Leads``.
        :param records: dicts of columns and values. Either these or ``input_path``.
        :param input_path: a file, a folder, a glob, or the manifest of an extraction.
        :param options: ``mapping``, ``ignore_empty``, ``validate``, ``max_concurrency``, ``results_path``,
            ``rejects_path``, ``max_credits`` and those of the operation, as
            :class:`~airflow_provider_zohocrm.operators.loading.LoadOperator` and
            :class:`~airflow_provider_zohocrm.operators.upsert.ZohoUpsertOperator` describe them.
        :return: the operator's result.
        :raises ZohoValidationError: before any request, for what cannot be right.
        :raises ZohoCRMError: for what stops it; what was written until then is in the files.
        """
        from airflow_provider_zohocrm.loading.inputs import Inputs
        from airflow_provider_zohocrm.loading.load import Load
        from airflow_provider_zohocrm.loading.request import LoadRequest

        if (records is None) == (input_path is None):
            raise ZohoValidationError("give either records or input_path")
        request = LoadRequest.of(operation, module, **options)
        inputs = (
            Inputs.of_path(input_path) if input_path is not None else Inputs.of_records([*(records or ())])
        )
        inputs.keep_apart(request.results_path, request.rejects_path)
        return Load(self, request, inputs).run()

    def test_connection(self) -> tuple[bool, str]:
        """Check the connection by fetching a token and the organisation.

        :return: whether it works, and the organisation, or what failed and what to do about it.
        """
        step = "Connection"
        try:
            # Without the stored token, which would hide that the credentials no longer make one.
            transport = self._transport((5.0, 8.0), RetryPolicy(retries=0), MemoryTokenStore(), Usage())
            step = "Token"
            transport.token()
            step = "Organisation"
            organization = ZohoCRMClient(transport).get_organization()
        except ZohoCRMError as error:
            return False, f"{step}: {error}"
        except Exception as error:  # noqa: BLE001  # Airflow shows the text of whatever goes wrong to the user
            return False, f"{step}: {type(error).__name__}: {error}"
        credentials = transport.credentials
        plan = organization.get("license_details") or {}
        edition = plan.get("paid_type") or plan.get("trial_type") or "unknown"
        return True, (
            f"Connected to {organization.get('company_name', 'the organisation')} (edition {edition}, "
            f"data centre {credentials.data_center}, {credentials.environment}, API {credentials.version.name})"
        )

    def _transport(
        self,
        timeout: Timeout,
        policy: RetryPolicy,
        store: TokenStore | None = None,
        usage: Usage | None = None,
    ) -> Transport:
        # Slow, and of no use to those who only parse DAG files.
        from airflow_provider_zohocrm.client.transport import Transport

        try:
            credentials = self._credentials()
        except ZohoCRMError as error:
            raise without_frames(error)  # noqa: B904  # the same error; its frames hold the connection
        for secret in (credentials.client_secret, credentials.refresh_token):
            mask_secret(secret)
        return Transport(
            credentials,
            store=store or token_store(credentials),
            policy=policy,
            timeout=timeout,
            on_token=mask_secret,
            usage=usage,
        )

    def _credentials(self) -> ZohoCredentials:
        connection = self.get_connection(self.zohocrm_conn_id)
        return _credentials(connection, connection.extra_dejson, self.api_version)


class ZohoCRMAsyncHook(BaseHook):
    """The operations a trigger needs; an asynchronous context manager.

    .. code-block:: python

        async with ZohoCRMAsyncHook("zohocrm_default") as hook:
            job = await hook.get_bulk_read_job(job_id)

    Hooks of one event loop with the same connection and parameters share one session and one token, and fetch the
    connection once in half a minute; a hook keeps the connection it was entered with.

    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param api_version: ``v2`` … ``v8``, in place of the connection's.
    :param timeout: seconds for a whole call.
    :param retries: how often a call is repeated after a failure that may pass.
    :param longest_wait: the longest seconds that Zoho may ask to wait before such a repetition; beyond it the call fails.
    :param min_credits_remaining: API credits that the organisation must have left after each call, in place of the
        connection's; 0 for no bound.
    :param usage: what another hook has counted by, to go on with it.
    """

    def __init__(
        self,
        zohocrm_conn_id: str = ZohoCRMHook.default_conn_name,
        *,
        api_version: str | None = None,
        timeout: float = 60.0,
        retries: int = DEFAULT_RETRIES,
        longest_wait: float = LONGEST_WAIT,
        min_credits_remaining: int | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__()
        self.zohocrm_conn_id = zohocrm_conn_id
        self.api_version = api_version
        self.timeout = timeout
        self.retries = retries
        self.longest_wait = longest_wait
        self.min_credits_remaining = min_credits_remaining
        self.usage = usage or Usage(min_remaining=min_credits_remaining)
        """What was asked of Zoho by this hook so far, and by those before that counted by it."""
        self._client: AsyncZohoCRMClient | None = None
        self._exit = AsyncExitStack()

    async def __aenter__(self) -> ZohoCRMAsyncHook:
        from airflow_provider_zohocrm.client.aio import AsyncTransport, shared_transport

        try:
            credentials = await self._credentials()
        except ZohoCRMError as error:
            raise without_frames(error)  # noqa: B904  # the same error; its frames hold the connection

        policy = RetryPolicy(retries=self.retries, longest=self.longest_wait)

        async def make() -> AsyncTransport:
            return AsyncTransport(
                credentials,
                store=await sync_to_async(token_store, credentials),
                policy=policy,
                timeout=self.timeout,
                on_token=async_mask_secret,
                blocking=sync_to_async,
            )

        transport = await self._exit.enter_async_context(
            shared_transport((credentials, self.timeout, policy), make)
        )
        if self.min_credits_remaining is None:
            self.usage.min_remaining = credentials.min_credits_remaining
        self._client = AsyncZohoCRMClient(transport, self.usage)
        return self

    async def _credentials(self) -> ZohoCredentials:
        fetched = await _shared_connection(self.zohocrm_conn_id)
        return _credentials(fetched.connection, fetched.extra, self.api_version)

    async def __aexit__(self, *error: object) -> None:
        self._client = None
        await self._exit.aclose()

    @property
    def version(self) -> ApiVersion:
        """The API version in use."""
        return self._entered().transport.credentials.version

    async def send(self, call: Call, usage: Usage | None = None) -> dict[str, Any] | None:
        """Send a call and read its answer.

        :param call: a call of the version in use.
        :param usage: counts what is used, and is told the API credits that are left.
        :return: the JSON object, or None for an empty answer.
        :raises ZohoCRMError: the subclass that fits.
        """
        return await self._entered().send(call, usage)

    async def get_bulk_read_job(self, job_id: str | int) -> Job:
        """Read how a job stands.

        :param job_id: the job's id.
        :return: Zoho's job: ``id, operation, state, query, file_type`` and, when it has ended, ``result``.
        :raises ZohoNotFoundError: if Zoho does not know the job.
        """
        return await self._entered().get_bulk_read_job(job_id)

    async def get_bulk_write_job(self, job_id: str | int) -> Job:
        """Read how a job stands.

        :param job_id: the job's id.
        :return: Zoho's job: ``id, status, operation, resource`` and, when it has ended, ``result``.
        :raises ZohoNotFoundError: if Zoho does not know the job.
        """
        return await self._entered().get_bulk_write_job(job_id)

    async def get_newest_records(self, module: str) -> tuple[list[Row], bool]:
        """Read which records were modified last, 200 at most: 1 credit.

        :param module: API name.
        :return: id, ``Created_Time`` and ``Modified_Time`` in UTC of each, and whether there are more records.
        """
        return await self._entered().get_newest_records(module)

    async def get_changed_records(self, module: str, since: str) -> tuple[list[Row], bool]:
        """Read which records were modified at or after a moment: 1 credit for 200, 10,000 at most.

        :param module: API name.
        :param since: ISO 8601 in UTC; empty for all.
        :return: id, ``Created_Time`` and ``Modified_Time`` in UTC of each, the earliest first, and whether there are more.
        """
        return await self._entered().get_changed_records(module, since)

    async def get_deletions(self, module: str, since: str) -> tuple[list[Deletion], bool]:
        """Read what was deleted at or after a moment: 2 credits for 200, 10,000 at most.

        :param module: API name.
        :param since: ISO 8601 in UTC; empty for the 60 days Zoho keeps.
        :return: id and ``deleted_time`` in UTC of each, and whether there are more.
        """
        return await self._entered().get_deletions(module, since)

    async def get_matching_ids(self, module: str, criteria: str, since: str) -> tuple[set[str], bool]:
        """Read which records meet a condition: 1 credit for up to 200.

        :param module: API name.
        :param criteria: what stands after ``where`` in COQL.
        :param since: of those modified at or after this moment, ISO 8601.
        :return: their ids, and whether there are more.
        """
        return await self._entered().get_matching_ids(module, criteria, since)

    def _entered(self) -> AsyncZohoCRMClient:
        if self._client is None:
            raise RuntimeError("ZohoCRMAsyncHook is used outside of 'async with'")
        return self._client


@dataclass(repr=False)
class _Fetched:
    """A connection and its extra. The event loop shows the result of a task in its logs, so that it must have no ``repr``."""

    connection: Connection
    extra: dict[str, Any]


_connections: WeakKeyDictionary[
    asyncio.AbstractEventLoop, dict[str, tuple[float, asyncio.Task[_Fetched]]]
] = WeakKeyDictionary()


async def _shared_connection(conn_id: str) -> _Fetched:
    """Fetch a connection once for all that ask for it at about the same time on this event loop."""
    fetches = _connections.setdefault(asyncio.get_running_loop(), {})
    now = time.monotonic()
    for name, (begun, fetch) in list(fetches.items()):
        # A failed fetch is not kept: the connection may be there the next time.
        if now - begun > _CONNECTION_LIFE or (
            fetch.done() and (fetch.cancelled() or fetch.exception() is not None)
        ):
            del fetches[name]
    if conn_id not in fetches:
        fetches[conn_id] = now, asyncio.create_task(_masked_connection(conn_id))
    # Whoever began the fetch may be cancelled; the others still need it.
    return await asyncio.shield(fetches[conn_id][1])


async def _masked_connection(conn_id: str) -> _Fetched:
    """Fetch a connection, and have its secrets masked before anything can log them."""
    connection, extra = await async_connection(conn_id)
    for secret in (connection.password or "", str(extra.get("refresh_token") or "")):
        await async_mask_secret(secret)
    return _Fetched(connection, extra)


def _credentials(connection: Connection, extra: Mapping[str, Any], version: str | None) -> ZohoCredentials:
    credentials = ZohoCredentials.from_fields(
        connection.login, connection.password, extra, name=f"Connection {connection.conn_id!r}"
    )
    return replace(credentials, version=known_version(version)) if version else credentials
