"""A hostile or wrong server costs a clear error, bounded memory and time, and no third host learns anything."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import textwrap
import zipfile
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from support.wrong_servers import answer, serving, token_answer

from airflow_provider_zohocrm.client import body as bodies
from airflow_provider_zohocrm.client.calls import Call
from airflow_provider_zohocrm.client.client import ZohoCRMClient
from airflow_provider_zohocrm.client.result_file import open_result
from airflow_provider_zohocrm.client.retry import RetryPolicy
from airflow_provider_zohocrm.client.tokens import MemoryTokenStore
from airflow_provider_zohocrm.client.transport import Transport
from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoAuthenticationError,
    ZohoBulkReadError,
    ZohoCRMError,
    ZohoResponseError,
    ZohoTransportError,
    ZohoUntrustedHostError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READ = Call("GET", "/crm/v8/Leads")
TOKEN = "/oauth/v2/token"


def for_ever(piece: bytes, *headers: bytes, most: int = 400 << 20) -> Iterator[bytes]:
    """Answer 200 with a body that goes on until the client hangs up, or until the test would fail anyway."""
    yield answer(200, b"", *headers, length=False)
    for _ in range(most // len(piece)):
        yield piece


def server(path: str, given: Any, api_domain: str = "") -> Any:
    """Answer one path with something wrong, and all else rightly."""

    def respond(request: str, _: bytes) -> Any:
        if path in request:
            return given() if callable(given) else given
        return token_answer(api_domain) if TOKEN in request else answer(200, b'{"data": []}')

    return respond


# --- hosts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("path", ["/crm/", TOKEN])
def test_a_redirect_to_another_host_is_not_followed(
    send: Any, credentials: Any, third_host: Any, path: str, status: int
) -> None:
    moved = answer(status, b"", f"Location: {third_host.url}/stolen".encode())
    with serving(server(path, moved)) as url, pytest.raises(ZohoUntrustedHostError, match="redirect"):
        send(credentials(url), READ)


def test_a_redirect_with_an_endless_body_is_not_read(send: Any, credentials: Any, third_host: Any) -> None:
    sent = []

    def endless() -> Iterator[bytes]:
        yield answer(302, b"", f"Location: {third_host.url}".encode(), length=False)
        for _ in range(2000):
            sent.append(1)
            yield b"x" * 100_000

    with (
        serving(server("/crm/", endless)) as url,
        pytest.raises((ZohoUntrustedHostError, ZohoResponseError)),
    ):
        send(credentials(url), READ)
    assert len(sent) < 1900


def test_an_api_domain_elsewhere_gets_no_token(send: Any, credentials: Any, third_host: Any) -> None:
    for elsewhere in (
        third_host.url.replace("127.0.0.1", "third.localhost.example"),
        f"https://www.zohoapis.com@127.0.0.1:{third_host.port}",
        f"http://127.0.0.1:{third_host.port}\\.zohoapis.com",
        f"https://www.zohoapis.com.127.0.0.1.example:{third_host.port}",
    ):
        with (
            serving(server("nothing", b"", elsewhere.replace("\\", "\\\\"))) as url,
            pytest.raises(ZohoUntrustedHostError, match="not one of Zoho's"),
        ):
            send(credentials(url, api_url=""), READ)


@pytest.fixture
def client(credentials: Any) -> Iterator[Any]:
    with ExitStack() as stack:

        def make(url: str) -> ZohoCRMClient:
            transport = Transport(
                credentials(url, upload_url=url), store=MemoryTokenStore(), policy=RetryPolicy(0)
            )
            stack.callback(transport.close)
            return ZohoCRMClient(transport)

        yield make


@pytest.mark.parametrize("shape", ["{third}/x.zip", "//{host}/x.zip", "/crm/bulk/../../@{host}", "@{host}/"])
def test_a_result_elsewhere_is_not_fetched(client: Any, third_host: Any, shape: str) -> None:
    place = shape.format(third=third_host.url, host=third_host.url[7:])
    seen: list[str] = []

    def respond(request: str, _: bytes) -> bytes:
        seen.append(request)
        return token_answer() if TOKEN in request else answer(404, b"{}")

    with serving(respond) as url:
        crm = client(url)
        for job, download in (
            ({"id": "1", "state": "COMPLETED"}, crm.download_bulk_read_result),
            ({"id": "1", "status": "COMPLETED"}, crm.download_bulk_write_result),
        ):
            with pytest.raises((ZohoUntrustedHostError, ZohoAPIError)):
                download({**job, "result": {"download_url": place}}, io.BytesIO())
    assert all(request.split(" ")[1].startswith("/") for request in seen)


def test_the_password_of_a_netrc_is_not_sent(
    send: Any, credentials: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password of-another-service\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    seen: list[bytes] = []

    def respond(request: str, raw: bytes) -> bytes:
        seen.append(raw)
        return token_answer() if TOKEN in request else answer(200, b'{"data": []}')

    with serving(respond) as url:
        assert send(credentials(url), READ) == {"data": []}
    assert len(seen) == 2
    assert not [raw for raw in seen if b"Basic" in raw]
    assert b"Zoho-oauthtoken 1000.a" in seen[1]


def test_a_proxy_of_the_environment_is_used(
    send: Any, credentials: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def respond(request: str, _: bytes) -> bytes:
        seen.append(request)
        return token_answer() if TOKEN in request else answer(200, b'{"data": []}')

    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name)
    with serving(respond) as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        assert send(credentials("http://127.0.0.1:9"), READ) == {"data": []}
    assert seen == ["POST http://127.0.0.1:9/oauth/v2/token", "GET http://127.0.0.1:9/crm/v8/Leads"]


# --- bodies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/crm/", TOKEN])
def test_an_endless_body_is_given_up(
    send: Any, credentials: Any, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    from airflow_provider_zohocrm.client import aio, transport

    for module in (aio, transport):
        monkeypatch.setattr(module, "MAX_JSON", 4 << 20)
    with (
        serving(server(path, lambda: for_ever(b'{"data":[' + b" " * (1 << 20)))) as url,
        pytest.raises(ZohoResponseError, match=r"larger than \d MiB"),
    ):
        send(credentials(url), READ)


def test_an_endless_error_is_given_up(send: Any, credentials: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_zohocrm.client import aio, transport

    for module in (aio, transport):
        monkeypatch.setattr(module, "MAX_JSON", 4 << 20)

    def endless() -> Iterator[bytes]:
        yield answer(500, b"", length=False)
        for _ in range(400):
            yield b"<html>" * 50_000

    with serving(server("/crm/", endless)) as url, pytest.raises(ZohoResponseError, match="4 MiB"):
        send(credentials(url), READ)


def test_an_endless_download_is_given_up(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow_provider_zohocrm.client import transport

    monkeypatch.setattr(transport, "MAX_DOWNLOAD", 4 << 20)
    target = io.BytesIO()
    with (
        serving(server("/result", lambda: for_ever(b"PK" * 100_000))) as url,
        pytest.raises(ZohoResponseError, match="4 MiB"),
    ):
        client(url).download_bulk_read_result("1", target)
    assert len(target.getvalue()) <= 4 << 20


@pytest.mark.parametrize("path", ["/crm/", TOKEN])
def test_a_body_that_trickles_is_given_up(
    send: Any, credentials: Any, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    import time

    monkeypatch.setattr(bodies, "_PATIENCE", 0.2)
    monkeypatch.setattr(bodies, "_SLOWEST", 10**9)

    def trickle() -> Iterator[bytes]:
        yield answer(200, b"", length=False)
        for _ in range(2000):
            time.sleep(0.01)
            yield b" "

    with serving(server(path, trickle)) as url, pytest.raises(ZohoTransportError, match="goes on"):
        send(credentials(url), READ)


def test_a_slow_but_whole_body_is_read(send: Any, credentials: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def pieces() -> Iterator[bytes]:
        text = b'{"data": []}'
        yield answer(200, b"", b"Content-Length: %d" % len(text), length=False)
        for place in range(len(text)):
            yield text[place : place + 1]

    with serving(server("/crm/", pieces)) as url:
        assert send(credentials(url), READ) == {"data": []}


def test_a_packed_body_counts_as_what_it_unpacks_to(
    send: Any, credentials: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow_provider_zohocrm.client import aio, transport

    for module in (aio, transport):
        monkeypatch.setattr(module, "MAX_JSON", 4 << 20)
    packed = gzip.compress(b" " * (40 << 20))
    given = answer(200, packed, b"Content-Encoding: gzip")
    assert len(given) < 50_000
    with serving(server("/crm/", given)) as url, pytest.raises(ZohoResponseError, match="4 MiB"):
        send(credentials(url), READ)


# Run in a process of its own, whose memory is measured from after the imports.
_MEASURED = """
import asyncio, resource, sys, time
from airflow_provider_zohocrm.client.aio import AsyncTransport
from airflow_provider_zohocrm.client.calls import Call
from airflow_provider_zohocrm.client.credentials import ZohoCredentials
from airflow_provider_zohocrm.client.retry import RetryPolicy
from airflow_provider_zohocrm.client.tokens import MemoryTokenStore
from airflow_provider_zohocrm.client.transport import Transport
import aiohttp

kind, url = sys.argv[1:]
extra = {"refresh_token": "x", "accounts_url": url, "api_url": url}
credentials = ZohoCredentials.from_fields("id", "secret", extra)
call = Call("GET", "/crm/v8/Leads")

async def by_aiohttp():
    async with AsyncTransport(credentials, store=MemoryTokenStore(), policy=RetryPolicy(0)) as transport:
        await transport.send(call)

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    if kind == "requests":
        Transport(credentials, store=MemoryTokenStore(), policy=RetryPolicy(0)).send(call)
    else:
        asyncio.run(by_aiohttp())
    said = "no error"
except Exception as error:
    said = f"{type(error).__name__}: {error}"
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
print(said)
"""


@pytest.mark.parametrize("kind", ["requests", "aiohttp"])
@pytest.mark.parametrize("packed", [False, True])
def test_200_mb_of_json_cost_bounded_memory(kind: str, packed: bool) -> None:
    """Without a bound the body alone would take 200 MB, joined 400, and parsed several times that."""
    piece = b'{"id":"1"},' * 100_000
    if packed:
        packer = gzip.compress(b'{"data":[' + piece * 190, 1)
        given: Any = answer(200, packer, b"Content-Encoding: gzip")
    else:
        given = lambda: for_ever(piece, most=210_000_000)  # noqa: E731  # one of two forms of the same
    with serving(server("/crm/", given)) as url:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(_MEASURED), kind, url],
            check=True,
            capture_output=True,
            text=True,
            timeout=120,
        )
    grown, said = done.stdout.splitlines()
    assert said.startswith("ZohoResponseError: GET /crm/v8/Leads: the answer is larger than 64 MiB")
    assert int(grown) < 110_000, "KiB"


# --- headers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        b"X-Odd: a\x00b\x07c",
        b"X-Odd: \x1b[2J\x1b[31mforged line",
        b"Retry-After: \x1b[2J",
        b"Retry-After: 1e400",
        b"Retry-After: -5",
        b"Retry-After: Mon, 99 Xyz 99999 99:99:99",
        b"Content-Type: application/json\rX-Injected: yes",
        b"Set-Cookie: a=b\x00; Domain=.example.com",
        b"No colon at all",
        b"X-Long: " + b"a" * 100_000,
        b"\r\n".join(b"X-%d: a" % number for number in range(2000)),
        b"Content-Encoding: unheard-of",
        b"Content-Encoding: gzip",
        b"Transfer-Encoding: chunked",
        b"Content-Length: -1",
        b"Content-Length: 9999999999999999999999",
    ],
)
@pytest.mark.parametrize(("path", "status"), [("/crm/", 200), ("/crm/", 429), (TOKEN, 503)])
def test_headers_with_anything_in_them_end_as_an_error_of_the_package_or_are_not_minded(
    send: Any, credentials: Any, caplog: pytest.LogCaptureFixture, path: str, status: int, header: bytes
) -> None:
    body = b'{"data": []}'
    with serving(server(path, answer(status, body, header))) as url:
        try:
            assert send(credentials(url), READ) == {"data": []}
        except ZohoCRMError as error:
            shown = str(error)
            assert shown.isprintable(), shown
            assert len(shown) < 2000


@pytest.mark.parametrize(
    "garbage",
    [b"", b"\x16\x03\x01\x02", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/9.9 abc\r\n\r\n", b"\x00" * 100_000,
     b"HTTP/1.1 200 \x1b[2J\r\n\r\n{"],
)  # fmt: skip
def test_what_is_no_http_ends_as_an_error_of_the_package(send: Any, credentials: Any, garbage: bytes) -> None:
    with serving(server("/crm/", garbage)) as url, pytest.raises(ZohoCRMError) as caught:
        send(credentials(url), READ)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "value", ["a b", "a\nb", "a\r\nX-Injected: yes", "ü", "\u2028", "", None, 5, [], "a\x00"]
)
def test_a_token_that_no_header_can_carry_is_not_sent(send: Any, credentials: Any, value: Any) -> None:
    token = answer(200, json.dumps({"access_token": value, "expires_in": 3600}).encode())
    seen: list[bytes] = []

    def respond(request: str, raw: bytes) -> bytes:
        seen.append(raw)
        return token if TOKEN in request else answer(200, b"{}")

    with serving(respond) as url, pytest.raises(ZohoAuthenticationError):
        send(credentials(url), READ)
    assert len(seen) == 1


@pytest.mark.parametrize("life", ["NaN", "1e999", "-1", '"x"', "[]", "null", "9" * 500])
def test_any_life_of_a_token_is_borne(send: Any, credentials: Any, life: str) -> None:
    token = answer(200, f'{{"access_token": "1000.x", "expires_in": {life}}}'.encode())
    with serving(server(TOKEN, token)) as url:
        try:
            assert send(credentials(url), READ) == {"data": []}
        except ZohoCRMError as error:
            assert "oauth" in str(error)  # noqa: PT017  # either is right


# --- zips ---------------------------------------------------------------------------------------------------------


def _zip(name: str, content: bytes) -> io.BytesIO:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return packed


@pytest.mark.parametrize(
    "name", ["../1.csv", "../../etc/1.csv", "/1.csv", "..\\1.csv", "C:\\1.csv", "1.csv/../2.csv"]
)
def test_a_name_that_leads_elsewhere_is_refused(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with (
        pytest.raises(ZohoBulkReadError, match=r"should hold 1\.csv"),
        open_result(_zip(name, b"Id\n1\n"), "1", "csv"),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_name_in_a_result_of_bulk_write_is_never_used(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with open_result(_zip("../../x.csv", b"Id\n"), "1", "csv", named=False) as stream:
        assert stream.read() == b"Id\n"
    assert list(tmp_path.rglob("*")) == []


def test_a_name_cannot_forge_a_line_of_the_log() -> None:
    with (
        pytest.raises(ZohoBulkReadError) as caught,
        open_result(_zip("a\n[2026-01-01] INFO - fine\x1b[2J.csv", b""), "1", "csv"),
    ):
        pass
    assert str(caught.value).isprintable()


_GB = 1 << 30


@pytest.fixture(scope="module")
def bomb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 GB of zeros in 10 MB; packed once and repeated, as packing all of it would take a minute."""
    import zlib

    path = tmp_path_factory.mktemp("bomb") / "bomb.zip"
    size, block = 10 * _GB, 64 << 20
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    # After a full flush a block depends on nothing before it.
    piece = packer.compress(b"\0" * block) + packer.flush(zlib.Z_FULL_FLUSH)
    packed = piece * (size // block) + zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("1.csv")
        with archive.open(info, "w", force_zip64=True) as member:
            member.write(packed)
        # Stored as it is, and said to be deflated.
        found = archive.infolist()[0]
        found.compress_type, found.file_size = zipfile.ZIP_DEFLATED, size
    return path


def test_10_gb_from_10_mb_are_not_unpacked(bomb: Path) -> None:
    assert bomb.stat().st_size < 12 << 20
    with (
        bomb.open("rb") as archive,
        pytest.raises(ZohoBulkReadError, match=r"would grow from .* to 10737418240 bytes"),
        open_result(archive, "1", "csv"),
    ):
        pass


def test_a_bomb_that_understates_its_size_yields_no_more_than_it_says(bomb: Path) -> None:
    import struct

    raw = bytearray(bomb.read_bytes())
    at = raw.rfind(b"PK\x01\x02")
    size, said = struct.pack("<Q", 10 * _GB), struct.pack("<Q", 1000)
    place = raw.find(size, at)
    if place >= 0:
        raw[place : place + 8] = said
    else:
        raw[at + 24 : at + 28] = struct.pack("<L", 1000)
    read: list[int] = []

    def unpack() -> None:
        with open_result(io.BytesIO(bytes(raw)), "1", "csv") as stream:
            while piece := stream.read(1 << 16):
                read.append(len(piece))

    with pytest.raises(ZohoBulkReadError):
        unpack()
    assert sum(read) <= 1000


def test_a_directory_of_many_files_is_not_read() -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(20_000):
            archive.writestr(f"{number:060}.csv", b"")
    with pytest.raises(ZohoBulkReadError, match="directory"), open_result(packed, "1", "csv"):
        pass
