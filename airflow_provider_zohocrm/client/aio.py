"""The asynchronous transport, for triggers: aiohttp and tenacity around the shared functions."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import tenacity

from airflow_provider_zohocrm.client import jsontext
from airflow_provider_zohocrm.client.answers import read_answer
from airflow_provider_zohocrm.client.oauth import TOKEN_CALL, Token, read_token_answer, token_form
from airflow_provider_zohocrm.client.retry import RetryPolicy
from airflow_provider_zohocrm.client.tokens import PROCESS_TOKENS, TokenStore, usable
from airflow_provider_zohocrm.exceptions import ZohoAuthenticationError, ZohoCRMError, ZohoTransportError

if TYPE_CHECKING:
    import aiohttp

    from airflow_provider_zohocrm.client.calls import Call
    from airflow_provider_zohocrm.client.credentials import ZohoCredentials

log = logging.getLogger(__name__)

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
        self._store = store
        self._timeout = timeout
        self._on_token = on_token
        self._blocking = blocking
        self._token: Token | None = None
        self._minting = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> AsyncTransport:
        if self._session is not None:
            return self
        # The first import takes longer than a triggerer's event loop may be blocked.
        aiohttp = await asyncio.to_thread(import_module, "aiohttp")
        if self._session is None:  # still: others may have entered meanwhile
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout),
                trust_env=True,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(self, call: Call) -> dict[str, Any] | None:
        """Send a call, repeat it as the policy says, and read the answer.

        :return: the JSON object, or None for an empty answer.
        :raises ZohoCRMError: the subclass that fits.
        """
        return await self._repeated(call, self._authorised, call)

    async def token(self, refused: str | None = None) -> Token:
        """Return a token that may be used: ours, a stored one, or a new one.

        :param refused: value of a token Zoho has just refused.
        """
        async with self._minting:
            now = time.time()
            token = usable(self._token, refused, now)
            if token is None:
                key = self.credentials.token_key
                token = usable(await self._blocking(self._store.load, key), refused, now)
                if token is None:
                    token = await self._repeated(TOKEN_CALL, self._mint)
                    await self._blocking(self._store.save, key, token)
                if self._on_token is not None:
                    await self._on_token(token.value)
                self._token = token
            return token

    async def _repeated(self, call: Call, once: Callable[..., Awaitable[T]], *args: Any) -> T:
        # tenacity awaits only what it knows for a coroutine function: no lambda.
        try:
            return await tenacity.AsyncRetrying(sleep=asyncio.sleep, **self.policy.options(call))(once, *args)
        except ZohoCRMError as error:
            # A token that cannot be had is not asked for again by the call that needs it.
            error.exhausted = True
            error.sent = error.sent and call is not TOKEN_CALL
            raise

    async def _authorised(self, call: Call) -> dict[str, Any] | None:
        token = await self.token()
        try:
            return await self._exchange(call, token)
        except ZohoAuthenticationError:
            log.info("Zoho refused the access token; taking another one")
            return await self._exchange(call, await self.token(refused=token.value))

    async def _exchange(self, call: Call, token: Token) -> dict[str, Any] | None:
        headers = {**call.headers, "Authorization": f"Zoho-oauthtoken {token.value}"}
        body = None
        if call.json is not None:
            body = jsontext.dumps(call.json)
            headers["Content-Type"] = "application/json"
        url = (call.base or self.credentials.api_base(token.api_domain)) + call.path
        status, answered, content = await self._request(
            call, url, params=dict(call.params), data=body, headers=headers
        )
        return read_answer(call, status, answered, content)

    async def _mint(self) -> Token:
        url = self.credentials.accounts_url + TOKEN_CALL.path
        status, headers, content = await self._request(TOKEN_CALL, url, data=token_form(self.credentials))
        return read_token_answer(self.credentials, status, headers, content, time.time())

    async def _request(self, call: Call, url: str, **kwargs: Any) -> tuple[int, Any, bytes]:
        import aiohttp

        if self._session is None:
            raise RuntimeError("AsyncTransport is used outside of 'async with'")
        try:
            async with self._session.request(call.method, url, allow_redirects=False, **kwargs) as response:
                return response.status, response.headers, await response.read()
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            raise ZohoTransportError(
                f"{call}: no whole answer from Zoho ({type(error).__name__}: {error}). "
                "Check that the triggerer can reach the API and accounts hosts of the connection's data centre.",
                sent=not isinstance(error, aiohttp.ClientConnectorError),
            ) from error


@dataclass
class _Shared:
    transport: AsyncTransport
    users: int = 0


# A session belongs to the event loop that it was made on.
_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, _Shared]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_transport(
    key: Hashable, make: Callable[[], AsyncTransport]
) -> AsyncIterator[AsyncTransport]:
    """Use one transport, with one session and one token, together with all that give the same key on this event loop.

    It is closed when its last user leaves, in whatever way.

    :param key: what makes two transports alike; it must hold the credentials.
    :param make: makes the transport if there is none.
    """
    transports = _shared.setdefault(asyncio.get_running_loop(), {})
    shared = transports.get(key)
    if shared is None:
        shared = transports[key] = _Shared(make())
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
