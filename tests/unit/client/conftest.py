"""A clock that does not wait, Zoho as canned answers (requests-mock), and Zoho as a socket (for broken answers)."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests_mock as requests_mock_module

from airflow_provider_zohocrm.client import aio, renewal, transport as sync
from airflow_provider_zohocrm.client.aio import AsyncTransport
from airflow_provider_zohocrm.client.client import ZohoCRMClient
from airflow_provider_zohocrm.client.credentials import ZohoCredentials
from airflow_provider_zohocrm.client.oauth import Token
from airflow_provider_zohocrm.client.retry import RetryPolicy
from airflow_provider_zohocrm.client.tokens import MemoryTokenStore, token_name, token_text
from airflow_provider_zohocrm.client.transport import Transport

CLIENT_ID = "1000.CLIENTID"
CLIENT_SECRET = "csecret-0123456789abcdef"
REFRESH_TOKEN = "1000.rtoken-0123456789abcdef.fedcba9876543210"
API = "https://www.zohoapis.com"
ACCOUNTS = "https://accounts.zoho.com"


class Clock:
    """Stands for ``time`` and ``asyncio`` in the transports: sleeping only moves the hand."""

    def __init__(self):
        self.now = 1_800_000_000.0
        self.slept = []
        self.on_sleep = None

    def time(self):
        return self.now

    monotonic = time

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds
        if self.on_sleep is not None:
            self.on_sleep()


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    fake = Clock()

    class FakeAsyncio:
        def __getattr__(self, name):
            return getattr(asyncio, name)

        @staticmethod
        async def sleep(seconds):
            fake.sleep(seconds)

    monkeypatch.setattr(sync, "time", fake)
    monkeypatch.setattr(aio, "time", fake)
    monkeypatch.setattr(renewal, "time", fake)
    monkeypatch.setattr(aio, "asyncio", FakeAsyncio())
    return fake


@pytest.fixture
def secrets():
    """What must be seen nowhere: client secret, refresh token, and the tokens both Zohos mint."""
    return (CLIENT_SECRET, REFRESH_TOKEN, "atoken-")


@pytest.fixture
def make_credentials():
    def make(version="v8", **extra):
        fields = {"refresh_token": REFRESH_TOKEN, "api_version": version} | extra
        return ZohoCredentials.from_fields(CLIENT_ID, CLIENT_SECRET, fields)

    return make


@dataclass
class Seen:
    """One request as it was on the wire."""

    method: str
    path: str
    query: dict
    headers: dict
    body: bytes = b""
    host: str = ""

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def form(self):
        return dict(parse_qsl(self.body.decode()))


class Zoho:
    """Zoho as canned answers. An answer is a body (status 200), None (204), or a tuple of status, body, headers."""

    def __init__(self, mocker, credentials):
        self.mocker = mocker
        self.make_credentials = credentials
        self.minted = 0
        mocker.post(f"{ACCOUNTS}/oauth/v2/token", json=self._mint)

    def _mint(self, request, context):
        self.minted += 1
        return {
            "access_token": f"1000.atoken-{self.minted}",
            "api_domain": API,
            "token_type": "Bearer",
            "expires_in": 3600,
        }

    def answer(self, method, path, *answers, host=API):
        """Answer the requests to a path in turn; one more than that is a failure."""
        responses = []
        for given in answers:
            status, body, headers = given if isinstance(given, tuple) else (200, given, {})
            if given is None:
                status = 204
            content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
            responses.append({"status_code": status, "content": content, "headers": headers})

        def too_many(request, context):
            raise AssertionError(f"asked too often: {request.method} {request.url}")

        self.mocker.register_uri(method, host + path, [*responses, {"content": too_many}])

    def transport(self, version="v8", retries=9, store=None, on_token=None, **extra):
        return Transport(
            self.make_credentials(version, **extra),
            store=store or MemoryTokenStore(),
            policy=RetryPolicy(retries=retries),
            on_token=on_token,
        )

    def client(self, version="v8", retries=9, **extra):
        return ZohoCRMClient(self.transport(version, retries, **extra))

    @property
    def requests(self):
        return [
            Seen(
                one.method,
                urlsplit(one.url).path,
                dict(parse_qsl(urlsplit(one.url).query, keep_blank_values=True)),
                dict(one.headers),
                one.body.encode() if isinstance(one.body, str) else one.body or b"",
                urlsplit(one.url).netloc,
            )
            for one in self.mocker.request_history
        ]

    @property
    def calls(self):
        """The requests, without those for tokens."""
        return [one for one in self.requests if not one.path.startswith("/oauth/")]


@pytest.fixture
def zoho(make_credentials):
    with requests_mock_module.Mocker(case_sensitive=True) as mocker:
        yield Zoho(mocker, make_credentials)


@dataclass
class Wire:
    """Zoho as a socket on loopback, one request per connection.

    A script item is ``bytes`` to send as they are, a tuple of status, body and headers, ``"reset"`` or ``"hang up"``.
    """

    make_credentials: object
    script: list = field(default_factory=list)
    token_script: list = field(default_factory=list)
    requests: list = field(default_factory=list)
    minted: int = 0

    def __post_init__(self):
        self.lock = threading.Lock()
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = None

    def listen(self):
        if self.thread is None:
            self.socket.listen(64)
            self.thread = threading.Thread(target=self._serve, daemon=True)
            self.thread.start()

    def close(self):
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        if self.thread is not None:
            self.thread.join(5)

    @property
    def calls(self):
        return [one for one in self.requests if not one.path.startswith("/oauth/")]

    def credentials(self, version="v8", **extra):
        urls = {"accounts_url": self.url, "api_url": self.url}
        return self.make_credentials(version, **urls | extra)

    def transport(self, retries=9, store=None, **extra):
        return Transport(
            self.credentials(**extra), store=store or MemoryTokenStore(), policy=RetryPolicy(retries=retries)
        )

    def client(self, **options):
        return ZohoCRMClient(self.transport(**options))

    def aio(self, retries=9, store=None, on_token=None, **extra):
        return AsyncTransport(
            self.credentials(**extra),
            store=store or MemoryTokenStore(),
            policy=RetryPolicy(retries=retries),
            on_token=on_token,
        )

    def stocked(self, clock, **extra):
        """A store that holds a token already, so that no request for one is made."""
        store = MemoryTokenStore()
        token = Token("1000.atoken-stocked", self.url, clock.now + 3600, 3600)
        store.write(token_name(self.credentials(**extra).token_key), token_text(token))
        return store

    def _serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._handle, args=(connection,), daemon=True).start()

    def _handle(self, connection):
        with connection, suppress(OSError):
            raw = b""
            while b"\r\n\r\n" not in raw:
                chunk = connection.recv(65536)
                if not chunk:
                    return
                raw += chunk
            head, body = raw.split(b"\r\n\r\n", 1)
            first, *lines = head.decode().split("\r\n")
            method, target, _ = first.split(" ")
            headers = dict(line.split(": ", 1) for line in lines)
            while len(body) < int(headers.get("Content-Length", 0)):
                body += connection.recv(65536)
            parts = urlsplit(target)
            with self.lock:
                seen = Seen(method, parts.path, dict(parse_qsl(parts.query)), headers, body)
                self.requests.append(seen)
                answer = self._next(parts.path)
            self._send(connection, answer)

    def _next(self, path):
        if path.startswith("/oauth/"):
            self.minted += 1
            token = {"access_token": f"1000.atoken-{self.minted}", "api_domain": self.url, "expires_in": 3600}
            return self.token_script.pop(0) if self.token_script else (200, token, {})
        return self.script.pop(0) if self.script else (418, {"message": "asked too often"}, {})

    @staticmethod
    def _send(connection, answer):
        if answer == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        if answer == "hang up":
            return
        if isinstance(answer, tuple):
            status, body, headers = answer
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            head = {"Content-Length": str(len(content)), "Connection": "close"} | headers
            lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
            answer = f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode() + content
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        # Wait for the client's end, so that closing does not reset what is still on its way.
        connection.settimeout(2)
        with suppress(OSError):
            connection.recv(1)


@pytest.fixture
def silent_wire(make_credentials):
    """Refuses connections until ``listen()``."""
    one = Wire(make_credentials)
    yield one
    one.close()


@pytest.fixture
def wire(silent_wire):
    silent_wire.listen()
    return silent_wire


@pytest.fixture
def truncated():
    """Build an answer that breaks off before its announced end."""

    def build(body, status=200):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
        return head.encode() + content[: len(content) // 2]

    return build
