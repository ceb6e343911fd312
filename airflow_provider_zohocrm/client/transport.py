"""The synchronous transport: requests and tenacity around the shared functions."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import requests
import tenacity
from urllib3.exceptions import NewConnectionError

from airflow_provider_zohocrm.client import jsontext
from airflow_provider_zohocrm.client.answers import clock_offset, error_of, read_answer
from airflow_provider_zohocrm.client.multipart import FormFile
from airflow_provider_zohocrm.client.oauth import TOKEN_CALL, Token, read_token_answer, token_form
from airflow_provider_zohocrm.client.retry import RetryPolicy
from airflow_provider_zohocrm.client.session import ZohoAuth, ZohoSession
from airflow_provider_zohocrm.client.timeouts import DEFAULT_TIMEOUT, Timeout
from airflow_provider_zohocrm.client.tokens import PROCESS_TOKENS, TokenStore, minting, usable
from airflow_provider_zohocrm.client.usage import Usage
from airflow_provider_zohocrm.exceptions import ZohoAuthenticationError, ZohoCRMError, ZohoTransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from airflow_provider_zohocrm.client.calls import Call
    from airflow_provider_zohocrm.client.credentials import ZohoCredentials

log = logging.getLogger(__name__)

_CHUNK = 1 << 20

T = TypeVar("T")


class Transport:
    """Sends calls to one organisation. Threads may share it.

    :param credentials: the organisation.
    :param store: where tokens are kept.
    :param policy: what is repeated.
    :param timeout: seconds to connect and between two bytes, or a pair of both.
    :param on_token: is told every token before its first use, to have it masked in logs.
    """

    def __init__(
        self,
        credentials: ZohoCredentials,
        *,
        store: TokenStore = PROCESS_TOKENS,
        policy: RetryPolicy | None = None,
        timeout: Timeout = DEFAULT_TIMEOUT,
        on_token: Callable[[str], None] | None = None,
    ) -> None:
        self.credentials = credentials
        self.policy = policy or RetryPolicy()
        self.usage = Usage()
        self._store = store
        self._on_token = on_token
        self._accounts = ZohoSession(timeout)
        self._token: Token | None = None
        self.clock_offset = 0.0
        """Seconds by which Zoho's clock is ahead of this machine's, as its last answer shows."""
        self.session = ZohoSession(timeout, lambda: self._api_base(self.token()))
        self.session.auth = ZohoAuth(self.token, self._api_base)

    def send(self, call: Call) -> dict[str, Any] | None:
        """Send a call, repeat it as the policy says, and read the answer.

        :return: the JSON object, or None for an empty answer.
        :raises ZohoCRMError: the subclass that fits.
        """
        return self._repeated(call, lambda: self._authorised(lambda: self._exchange(call)))

    def download(self, call: Call, target: BinaryIO) -> int:
        """Stream a body into a file, from its start on again if it breaks off.

        :param target: a seekable binary file.
        :return: number of bytes.
        """
        return self._repeated(call, lambda: self._authorised(lambda: self._stream(call, target)))

    def token(self, refused: str | None = None) -> Token:
        """Return a token that may be used: ours, a stored one, or a new one.

        :param refused: value of a token Zoho has just refused.
        """
        now = time.time()
        token = usable(self._token, refused, now)
        if token is None:
            key = self.credentials.token_key
            with minting(key):
                # Another thread may have been here, whether or not the store keeps what it was given.
                token = usable(self._token, refused, now) or usable(self._store.load(key), refused, now)
                if token is None:
                    token = self._repeated(TOKEN_CALL, self._mint)
                    self._store.save(key, token)
                if self._on_token is not None:
                    self._on_token(token.value)
                self._token = token
        return token

    def api_base(self) -> str:
        """Tell the address of the API."""
        return self._api_base(self.token())

    def upload_base(self) -> str:
        """Tell the address that files are uploaded to.

        :raises ZohoConfigurationError: if no source names the upload host of the data centre.
        """
        return self.credentials.upload_base(self.token().api_domain)

    def close(self) -> None:
        """Give the connections back."""
        self.session.close()
        self._accounts.close()

    def _api_base(self, token: Token) -> str:
        return self.credentials.api_base(token.api_domain)

    def _repeated(self, call: Call, once: Callable[[], T]) -> T:
        try:
            return tenacity.Retrying(sleep=time.sleep, **self.policy.options(call))(once)
        except ZohoCRMError as error:
            # A token that cannot be had is not asked for again by the call that needs it.
            error.exhausted = True
            error.sent = error.sent and call is not TOKEN_CALL
            raise

    def _authorised(self, once: Callable[[], T]) -> T:
        """Run a request, once more with another token if Zoho refuses the one it was sent with."""
        used = self.token().value
        try:
            return once()
        except ZohoAuthenticationError:
            log.info("Zoho refused the access token; taking another one")
            self.token(refused=used)
            return once()

    def _exchange(self, call: Call) -> dict[str, Any] | None:
        with self._open(call) as response:
            return read_answer(call, response.status_code, response.headers, response.content)

    def _stream(self, call: Call, target: BinaryIO) -> int:
        with self._open(call, stream=True) as response:
            if response.status_code != 200:
                read_answer(call, response.status_code, response.headers, response.content)
                raise error_of(call, response.status_code, response.headers, None)
            target.seek(0)
            target.truncate()
            target.writelines(response.iter_content(_CHUNK))
            return target.tell()

    def _mint(self) -> Token:
        url = self.credentials.accounts_url + TOKEN_CALL.path
        with (
            _as_transport_error(TOKEN_CALL),
            self._accounts.post(url, data=token_form(self.credentials)) as response,
        ):
            return read_token_answer(
                self.credentials, response.status_code, response.headers, response.content, time.time()
            )

    @contextmanager
    def _open(self, call: Call, *, stream: bool = False) -> Iterator[requests.Response]:
        headers = dict(call.headers)
        body: Any = None
        if call.file is not None:
            body = FormFile(*call.file)
            headers["Content-Type"] = body.content_type
        elif call.json is not None:
            body = jsontext.dumps(call.json)
            # Bulk read answers 415 without it (reference sheet §1.8).
            headers["Content-Type"] = "application/json"
        self.usage.spend(call)
        with (
            _as_transport_error(call),
            self.session.request(
                call.method,
                call.base + call.path,
                params=dict(call.params),
                data=body,
                headers=headers,
                stream=stream,
                auth=ZohoAuth(self.token, lambda _: call.base) if call.base else None,
            ) as response,
        ):
            self.clock_offset = clock_offset(response.headers, time.time())
            self.usage.took(response.elapsed.total_seconds())
            if response.status_code == 429:
                self.usage.refuse()
            yield response


@contextmanager
def _as_transport_error(call: Call) -> Iterator[None]:
    """Turn what requests raises into the package's error."""
    try:
        yield
    except requests.RequestException as error:
        reason = getattr(error.args[0], "reason", None) if error.args else None
        refused = isinstance(error, requests.ConnectTimeout) or isinstance(reason, NewConnectionError)
        raise ZohoTransportError(
            f"{call}: no whole answer from Zoho ({type(error).__name__}: {error}). "
            "Check that the worker can reach the API and accounts hosts of the connection's data centre.",
            sent=not refused,
        ) from error
