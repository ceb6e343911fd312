"""The synchronous transport: requests and tenacity around the shared functions."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import requests
import tenacity
from urllib3.exceptions import HTTPError, NewConnectionError

from airflow_provider_zohocrm.client import jsontext
from airflow_provider_zohocrm.client.answers import clock_offset, error_of, is_crowded, printable, read_answer
from airflow_provider_zohocrm.client.body import CHUNK, MAX_DOWNLOAD, MAX_JSON, MAX_TOKEN_ANSWER, Intake
from airflow_provider_zohocrm.client.limiter import limiter_of
from airflow_provider_zohocrm.client.multipart import FormFile
from airflow_provider_zohocrm.client.oauth import (
    FORM_HEADERS,
    TOKEN_CALL,
    Token,
    read_token_answer,
    token_body,
)
from airflow_provider_zohocrm.client.renewal import MINT_TIMEOUT, Ask, HeldToken, Pause, Step, Tell, drive
from airflow_provider_zohocrm.client.retry import RetryPolicy, note_lasting
from airflow_provider_zohocrm.client.secret import SecretBytes, without_frames
from airflow_provider_zohocrm.client.session import ZohoAuth, ZohoSession
from airflow_provider_zohocrm.client.timeouts import DEFAULT_TIMEOUT, Timeout
from airflow_provider_zohocrm.client.tls import UNVERIFIED, ca_bundle, is_unverified
from airflow_provider_zohocrm.client.tokens import (
    MOST_REFUSED,
    PROCESS_TOKENS,
    TokenStore,
    minting,
)
from airflow_provider_zohocrm.client.usage import Usage
from airflow_provider_zohocrm.exceptions import ZohoAuthenticationError, ZohoCRMError, ZohoTransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from airflow_provider_zohocrm.client.calls import Call
    from airflow_provider_zohocrm.client.credentials import ZohoCredentials

log = logging.getLogger(__name__)

_UNREACHABLE = "Check that the worker can reach the API and accounts hosts of the connection's data centre."

T = TypeVar("T")


class Transport:
    """Sends calls to one organisation. Threads may share it.

    :param credentials: the organisation.
    :param store: where tokens are kept.
    :param policy: what is repeated.
    :param timeout: seconds to connect and between two bytes, or a pair of both.
    :param on_token: is told every token before its first use, to have it masked in logs.
    :param usage: counts what is used; None for one of its own, bounded by the connection's ``min_credits_remaining``.
    """

    def __init__(
        self,
        credentials: ZohoCredentials,
        *,
        store: TokenStore = PROCESS_TOKENS,
        policy: RetryPolicy | None = None,
        timeout: Timeout = DEFAULT_TIMEOUT,
        on_token: Callable[[str], None] | None = None,
        usage: Usage | None = None,
    ) -> None:
        self.credentials = credentials
        self.policy = policy or RetryPolicy()
        self.usage = usage or Usage(min_remaining=credentials.min_credits_remaining)
        self.limiter = limiter_of(credentials.token_key)
        self._on_token = on_token
        bundle = ca_bundle(credentials.verify)
        self._accounts = ZohoSession(_at_most(timeout, MINT_TIMEOUT / 2), ca_bundle=bundle)
        self._held = HeldToken(store, credentials.token_key, self.policy)
        self.clock_offset = 0.0
        """Seconds by which Zoho's clock is ahead of this machine's, as its last answer shows."""
        self.session = ZohoSession(timeout, lambda: self._api_base(self.token()), bundle)
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

    def token(self, refused: Collection[str] = ()) -> Token:
        """Return a token that may be used: ours, a stored one, or a new one.

        :param refused: values of tokens Zoho has just refused.
        """
        token = self._held.usable(refused)
        if token is None:
            with minting(self.credentials.token_key):
                # Another thread may have been here.
                token = self._held.usable(refused)
                if token is None:
                    token = self._another(refused)
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
        except BaseException as error:  # noqa: BLE001  # an execution time-out strikes anywhere, too; all of it is raised again
            if isinstance(error, ZohoCRMError):
                error.exhausted = True
                note_lasting(error, call, self.usage.remaining, time.time())
            raise without_frames(error)  # noqa: B904  # the same error

    def _authorised(self, once: Callable[[], T]) -> T:
        """Run a request, again with another token if Zoho refuses the one it was sent with."""
        refused: list[str] = []
        while True:
            token = self.token(refused)
            try:
                return once()
            except ZohoAuthenticationError as error:
                # One that was stored may be dead as well; one that was just minted is refused for another reason.
                if error.exhausted or (refused and token.new) or len(refused) == MOST_REFUSED:
                    raise
                log.info("Zoho refused the access token; taking another one")
                refused.append(token.value)

    def _another(self, refused: Collection[str]) -> Token:
        try:
            return drive(self._held.another(refused), self._take)
        except BaseException as error:  # noqa: BLE001  # as for every call
            raise without_frames(error)  # noqa: B904  # the same error

    def _take(self, step: Step) -> Any:
        if isinstance(step, Ask):
            return step.function(*step.args)
        if isinstance(step, Pause):
            return self._pause(step.seconds)
        if isinstance(step, Tell):
            return self._on_token(step.value) if self._on_token is not None else None
        return self._mint()

    @staticmethod
    def _pause(seconds: float) -> None:
        time.sleep(seconds)

    def _exchange(self, call: Call) -> dict[str, Any] | None:
        with self._open(call) as response:
            return read_answer(call, response.status_code, response.headers, _body(call, response))

    def _stream(self, call: Call, target: BinaryIO) -> int:
        with self._open(call) as response:
            if response.status_code != 200:
                read_answer(call, response.status_code, response.headers, _body(call, response))
                raise error_of(call, response.status_code, response.headers, None)
            target.seek(0)
            target.truncate()
            target.writelines(_chunks(response, Intake(call, MAX_DOWNLOAD)))
            return target.tell()

    def _mint(self) -> Token:
        url = self.credentials.accounts_url + TOKEN_CALL.path
        with (
            _as_transport_error(TOKEN_CALL),
            self._accounts.post(
                url, data=token_body(self.credentials), headers=FORM_HEADERS, stream=True
            ) as response,
        ):
            body = SecretBytes(b"".join(_chunks(response, Intake(TOKEN_CALL, MAX_TOKEN_ANSWER))))
            token = read_token_answer(
                self.credentials, response.status_code, response.headers, body, time.time()
            )
        self.usage.mint()
        return token

    @contextmanager
    def _open(self, call: Call) -> Iterator[requests.Response]:
        headers = dict(call.headers)
        body: Any = None
        if call.file is not None:
            body = FormFile(*call.file)
            headers["Content-Type"] = body.content_type
        elif call.json is not None:
            body = jsontext.dumps(call.json)
            # Bulk read answers 415 without it (reference sheet §1.8).
            headers["Content-Type"] = "application/json"
        with self.limiter.slot():
            self.usage.spend(call)
            with self._sent(call, body, headers) as response:
                yield response

    @contextmanager
    def _sent(self, call: Call, body: Any, headers: dict[str, str]) -> Iterator[requests.Response]:
        with (
            _as_transport_error(call),
            self.session.request(
                call.method,
                call.base + call.path,
                params=dict(call.params),
                data=body,
                headers=headers,
                stream=True,  # so that no more is read than may be
                auth=ZohoAuth(self.token, lambda _: call.base) if call.base else None,
            ) as response,
        ):
            self.clock_offset = clock_offset(response.headers, time.time())
            self.usage.answered(response.status_code, response.headers, response.elapsed.total_seconds())
            if is_crowded(call, response.status_code):
                self.limiter.refuse(self.usage.mean_seconds or 0.0)
            yield response


def _at_most(timeout: Timeout, seconds: float) -> tuple[float, float]:
    connect, read = timeout if isinstance(timeout, tuple) else (timeout, timeout)
    return min(connect, seconds), min(read, seconds)


def _body(call: Call, response: requests.Response) -> bytes:
    return b"".join(_chunks(response, Intake(call, MAX_JSON)))


def _chunks(response: requests.Response, intake: Intake) -> Iterator[bytes]:
    """Read a body as it comes: each piece counts, however small."""
    raw = response.raw
    # urllib3 1 has no read1, and fills a whole chunk before it returns.
    pieces = iter(lambda: raw.read1(CHUNK, True), b"") if hasattr(raw, "read1") else raw.stream(CHUNK, True)
    for piece in pieces:
        yield intake.take(piece)


@contextmanager
def _as_transport_error(call: Call) -> Iterator[None]:
    """Turn what requests raises into the package's error."""
    try:
        yield
    except (requests.RequestException, HTTPError) as error:
        without_frames(error)
        reason = getattr(error.args[0], "reason", None) if error.args else None
        refused = isinstance(error, requests.ConnectTimeout) or isinstance(reason, NewConnectionError)
        unverified = is_unverified(error)
        failure = ZohoTransportError(
            f"{call}: no whole answer from Zoho ({printable(f'{type(error).__name__}: {error}')}). {UNVERIFIED if unverified else _UNREACHABLE}",
            sent=not refused and not unverified,
        )
        failure.exhausted = unverified
        raise failure from error
