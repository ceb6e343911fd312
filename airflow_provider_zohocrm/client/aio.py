"""The asynchronous transport, for triggers: aiohttp and tenacity around the shared functions."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Hashable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass
from weakref import WeakKeyDictionary

import tenacity

from airflow_provider_zohocrm.client import jsontext
from airflow_provider_zohocrm.client.answers import is_crowded, printable, read_answer
from airflow_provider_zohocrm.client.body import MAX_JSON, MAX_TOKEN_ANSWER, Intake
from airflow_provider_zohocrm.client.imports import imported
from airflow_provider_zohocrm.client.limiter import limiter_of
from airflow_provider_zohocrm.client.oauth import (
    FORM_HEADERS,
    TOKEN_CALL,
    Token,
    read_token_answer,
    token_body,
)
from airflow_provider_zohocrm.client.renewal import MINT_TIMEOUT, Ask, HeldToken, Pause, Step, Steps, Tell
from airflow_provider_zohocrm.client.retry import RetryPolicy, note_lasting
from airflow_provider_zohocrm.client.secret import Secret, SecretBytes, without_frames
from airflow_provider_zohocrm.client.tls import UNVERIFIED, ca_bundle, is_unverified, ssl_context
from airflow_provider_zohocrm.client.tokens import MOST_REFUSED, PROCESS_TOKENS, TokenStore
from airflow_provider_zohocrm.client.usage import Usage
from airflow_provider_zohocrm.exceptions import ZohoAuthenticationError, ZohoCRMError, ZohoTransportError

if TYPE_CHECKING:
    import ssl

    import aiohttp

    from airflow_provider_zohocrm.client.calls import Call
    from airflow_provider_zohocrm.client.credentials import ZohoCredentials

log = logging.getLogger(__name__)

# Many share a transport; each counts what it uses itself.
_usage: ContextVar[Usage | None] = ContextVar("zohocrm_usage", default=None)
_UNREACHABLE = (
    "Check that the triggerer can reach the API and accounts hosts of the connection's data centre."
)

Blocking = Callable[..., Awaitable[Any]]
T = TypeVar("T")


class AsyncTransport:
    """Sends calls to one organisation from an event loop; an asynchronous context manager.

    :param credentials: the organisation.
    :param store: where tokens are kept; it may block, so it is called through ``blocking``.
    :param policy: what is repeated.
    :param timeout: seconds for a whole call.
    :param on_token: is told every token before its first use, to have it masked in logs.
    :param blocking: runs a function and its arguments outside the event loop.
    """

    def __init__(
        self,
        credentials: ZohoCredentials,
        *,
        store: TokenStore = PROCESS_TOKENS,
        policy: RetryPolicy | None = None,
        timeout: float = 60.0,
        on_token: Callable[[str], Awaitable[None]] | None = None,
        blocking: Blocking = asyncio.to_thread,
    ) -> None:
        self.credentials = credentials
        self.policy = policy or RetryPolicy()
        self.limiter = limiter_of(credentials.token_key)
        self._timeout = timeout
        self._on_token = on_token
        self._blocking = blocking
        self._held = HeldToken(store, credentials.token_key, self.policy)
        self._minting = asyncio.Lock()
        self._entering = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> AsyncTransport:
        # Those that enter together wait for the one who makes it: to read the CAs takes some 20 ms and 300 KB each time.
        async with self._entering:
            if self._session is None:
                self._session = await self._new_session()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def _new_session(self) -> aiohttp.ClientSession:
        # The first import takes longer than a triggerer's event loop may be blocked.
        await imported("aiohttp")
        import aiohttp

        # None is aiohttp's own default: what Python's ssl trusts.
        verified = await asyncio.to_thread(_context, self.credentials.verify)
        return aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._timeout),
            connector=aiohttp.TCPConnector(ssl=verified or True),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def send(self, call: Call, usage: Usage | None = None) -> dict[str, Any] | None:
        """Send a call, repeat it as the policy says, and read the answer.

        :param usage: counts what is used, and bounds it.
        :return: the JSON object, or None for an empty answer.
        :raises ZohoCRMError: the subclass that fits.
        """
        mine = _usage.set(usage)
        try:
            return await self._repeated(call, self._authorised, call)
        finally:
            _usage.reset(mine)

    async def token(self, refused: Collection[str] = ()) -> Token:
        """Return a token that may be used: ours, a stored one, or a new one.

        :param refused: values of tokens Zoho has just refused.
        """
        async with self._minting:
            token = self._held.usable(refused)
            if token is None:
                token = await self._another(refused)
            return token

    async def _repeated(self, call: Call, once: Callable[..., Awaitable[T]], *args: Any) -> T:
        # tenacity awaits only what it knows for a coroutine function: no lambda.
        try:
            return await tenacity.AsyncRetrying(sleep=asyncio.sleep, **self.policy.options(call))(once, *args)
        except BaseException as error:  # noqa: BLE001  # a cancellation too: all of it is raised again
            if isinstance(error, ZohoCRMError):
                error.exhausted = True
                usage = _usage.get()
                note_lasting(error, call, None if usage is None else usage.remaining, time.time())
            raise without_frames(error)  # noqa: B904  # the same error

    async def _authorised(self, call: Call) -> dict[str, Any] | None:
        """Send a request, again with another token if Zoho refuses the one it was sent with."""
        refused: list[str] = []
        while True:
            token = await self.token(refused)
            try:
                return await self._exchange(call, token)
            except ZohoAuthenticationError:
                # One that was stored may be dead as well; one that was just minted is refused for another reason.
                if (refused and token.new) or len(refused) == MOST_REFUSED:
                    raise
                log.info("Zoho refused the access token; taking another one")
                refused.append(token.value)

    async def _another(self, refused: Collection[str]) -> Token:
        try:
            return await self._drive(self._held.another(refused))
        except BaseException as error:  # noqa: BLE001  # as for every call
            raise without_frames(error)  # noqa: B904  # the same error

    async def _drive(self, steps: Steps[T]) -> T:
        """Take the steps of a generator until it returns, as :func:`~..renewal.drive` does."""
        error: Exception | None = None
        answer: Any = None
        while True:
            try:
                step = steps.send(answer) if error is None else steps.throw(error)
            except StopIteration as end:
                result: T = end.value
                return result
            answer = error = None
            try:
                answer = await self._take(step)
            except Exception as raised:  # noqa: BLE001  # the generator decides about it
                error = raised

    async def _take(self, step: Step) -> Any:
        if isinstance(step, Ask):
            return await self._blocking(step.function, *step.args)
        if isinstance(step, Pause):
            return await self._pause(step.seconds)
        if isinstance(step, Tell):
            return await self._on_token(step.value) if self._on_token is not None else None
        return await self._mint()

    @staticmethod
    async def _pause(seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _exchange(self, call: Call, token: Token) -> dict[str, Any] | None:
        headers = {**call.headers, "Authorization": Secret(f"Zoho-oauthtoken {token.value}")}
        body = None
        if call.json is not None:
            body = jsontext.dumps(call.json)
            headers["Content-Type"] = "application/json"
        url = (call.base or self.credentials.api_base(token.api_domain)) + call.path
        async with self.limiter.async_slot():
            status, answered, content = await self._counted(
                call, url, params=dict(call.params), data=body, headers=headers
            )
        return read_answer(call, status, answered, content)

    async def _mint(self) -> Token:
        url = self.credentials.accounts_url + TOKEN_CALL.path
        # A task that holds the claim for longer would be taken for dead.
        request = self._request(TOKEN_CALL, url, data=token_body(self.credentials), headers=FORM_HEADERS)
        try:
            status, headers, content = await asyncio.wait_for(request, MINT_TIMEOUT)
        except asyncio.TimeoutError:
            raise ZohoTransportError(
                f"{TOKEN_CALL}: no whole answer from Zoho within {MINT_TIMEOUT:.0f} s."
            ) from None
        body = SecretBytes(content)
        del content
        token = read_token_answer(self.credentials, status, headers, body, time.time())
        if (usage := _usage.get()) is not None:
            usage.mint()
        return token

    async def _counted(self, call: Call, url: str, **kwargs: Any) -> tuple[int, Any, bytes]:
        usage = _usage.get() or Usage()
        usage.spend(call)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        status, headers, content = await self._request(call, url, **kwargs)
        seconds = loop.time() - begun
        usage.answered(status, headers, seconds)
        if is_crowded(call, status):
            self.limiter.refuse(seconds)
        return status, headers, content

    async def _request(self, call: Call, url: str, **kwargs: Any) -> tuple[int, Any, bytes]:
        import aiohttp

        if self._session is None:
            raise RuntimeError("AsyncTransport is used outside of 'async with'")
        try:
            async with self._session.request(
                call.method, url, allow_redirects=False, proxy=_proxy(url), **kwargs
            ) as response:
                intake = Intake(call, MAX_TOKEN_ANSWER if call is TOKEN_CALL else MAX_JSON)
                pieces = [intake.take(piece) async for piece in response.content.iter_any()]
                return response.status, response.headers, b"".join(pieces)
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            without_frames(error)
            unverified = is_unverified(error)
            failure = ZohoTransportError(
                f"{call}: no whole answer from Zoho ({printable(f'{type(error).__name__}: {error}')}). "
                f"{UNVERIFIED if unverified else _UNREACHABLE}",
                sent=not unverified and not isinstance(error, aiohttp.ClientConnectorError),
            )
            failure.exhausted = unverified
            raise failure from error


def _context(verify: str) -> ssl.SSLContext | None:
    bundle = ca_bundle(verify)
    return None if bundle is None else ssl_context(bundle)


def _proxy(url: str) -> str | None:
    """Find the proxy of the environment. aiohttp would do so, too, but with it send passwords of a ``.netrc``."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


@dataclass
class _Shared:
    transport: AsyncTransport
    users: int = 0


# A session belongs to the event loop that it was made on.
_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, _Shared]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_transport(
    key: Hashable, make: Callable[[], Awaitable[AsyncTransport]]
) -> AsyncIterator[AsyncTransport]:
    """Use one transport, with one session and one token, together with all that give the same key on this event loop.

    It is closed when its last user leaves, in whatever way.

    :param key: what makes two transports alike; it must hold the credentials.
    :param make: makes the transport if there is none.
    """
    transports = _shared.setdefault(asyncio.get_running_loop(), {})
    if key not in transports:
        made = _Shared(await make())
        # Others may have come meanwhile.
        transports.setdefault(key, made)
    shared = transports[key]
    shared.users += 1
    try:
        # Entered by each: the first may be cancelled before it has opened the session.
        yield await shared.transport.__aenter__()
    finally:
        shared.users -= 1
        if not shared.users:
            # Before anything is awaited: who comes now makes another one.
            del transports[key]
            await shared.transport.__aexit__()
