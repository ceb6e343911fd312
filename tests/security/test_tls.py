"""Certificates are verified, by the CA that the connection or the environment names."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest
from support.wrong_servers import answer, serving, token_answer

from airflow_provider_zohocrm.client import tls
from airflow_provider_zohocrm.client.aio import AsyncTransport
from airflow_provider_zohocrm.client.calls import Call
from airflow_provider_zohocrm.client.session import ZohoSession
from airflow_provider_zohocrm.exceptions import (
    ZohoConfigurationError,
    ZohoTransportError,
    ZohoValidationError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

READ = Call("GET", "/crm/v8/org")


def _issue(name: str, key: Any, issuer: tuple[Any, Any] | None, *, host: str = "") -> Any:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import NameOID

    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.timezone.utc)
    signer, signing_key = issuer or (None, key)
    issuer_name = subject if signer is None else signer.subject
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key()), critical=False
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if signer is None:
        usage = dict.fromkeys(
            (
                "digital_signature",
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        built = built.add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
    if host:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
        built = built.add_extension(names, critical=False)
    return built.sign(signing_key, hashes.SHA256())


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``ca.pem``, and certificates of it for this host and for another one."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder = tmp_path_factory.mktemp("authority")
    key = ec.generate_private_key(ec.SECP256R1())
    ca = _issue("Tests' own CA", key, None)
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    for name, host in (("here", "127.0.0.1"), ("elsewhere", "127.0.0.2")):
        own = ec.generate_private_key(ec.SECP256R1())
        private = own.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (folder / f"{name}.pem").write_bytes(
            private + _issue(name, own, (ca, key), host=host).public_bytes(pem)
        )
    return folder


def _respond(request: str, _: bytes) -> bytes:
    return token_answer() if "/oauth/" in request else answer(200, b'{"org": []}')


@pytest.fixture
def zoho(authority: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "here.pem")
    with serving(_respond, context) as url:
        yield url


@pytest.fixture(autouse=True)
def no_bundle_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tls.VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_a_ca_that_the_connection_names_is_trusted(
    zoho: str, authority: Path, send: Any, credentials: Any
) -> None:
    assert send(credentials(zoho, verify=str(authority / "ca.pem")), READ) == {"org": []}


@pytest.mark.parametrize("variable", tls.VARIABLES)
def test_a_ca_that_the_environment_names_is_trusted(
    zoho: str, authority: Path, send: Any, credentials: Any, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, str(authority / "ca.pem"))
    assert send(credentials(zoho), READ) == {"org": []}


def test_the_connection_goes_before_the_environment(
    zoho: str, authority: Path, send: Any, credentials: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import certifi

    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    assert send(credentials(zoho, verify=str(authority / "ca.pem")), READ) == {"org": []}


@pytest.mark.parametrize("verify", ["", "true", True])
def test_an_unknown_ca_is_refused_once_and_the_remedy_named(
    zoho: str, send: Any, credentials: Any, verify: Any
) -> None:
    with pytest.raises(ZohoTransportError, match="field verify") as caught:
        # A certificate does not get better: with these repetitions the test would take minutes.
        send(credentials(zoho, verify=verify), READ, retries=9)
    assert caught.value.exhausted
    assert not caught.value.sent


def test_a_certificate_of_another_host_is_refused(authority: Path, send: Any, credentials: Any) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "elsewhere.pem")
    with serving(_respond, context) as url, pytest.raises(ZohoTransportError, match="field verify"):
        send(credentials(url, verify=str(authority / "ca.pem")), READ)


@pytest.mark.parametrize("verify", [False, "false", "False", "no", "off", 0, "0", "None"])
def test_verification_cannot_be_turned_off_in_the_connection(credentials: Any, verify: Any) -> None:
    with pytest.raises(ZohoConfigurationError, match=r"always verified.*PEM"):
        credentials("https://accounts.zoho.com", verify=verify)


@pytest.mark.parametrize("content", [None, "no certificate", ""])
def test_what_is_no_bundle_is_refused_before_the_first_request(
    send: Any, credentials: Any, tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ZohoConfigurationError, match=r"verify names .*ca\.pem"):
        send(credentials("https://127.0.0.1:9", verify=str(path)), READ)


def test_a_variable_that_names_no_bundle_is_told(
    send: Any, credentials: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    with pytest.raises(ZohoConfigurationError, match=r"SSL_CERT_FILE names '/nowhere/ca\.pem'"):
        send(credentials("https://127.0.0.1:9"), READ)


def test_the_session_of_get_conn_verifies_too(
    zoho: str, authority: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import requests

    session = ZohoSession(10)
    session.verify = False
    with pytest.raises(requests.exceptions.SSLError):
        session.get(zoho)
    with pytest.raises(ZohoValidationError, match="always verified"):
        session.get(zoho, verify=False)
    assert ZohoSession(10, ca_bundle=str(authority / "ca.pem")).get(zoho).status_code == 200


def test_triggers_that_start_together_read_the_cas_once(
    authority: Path, credentials: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    make = ssl.create_default_context

    def counted(*args: Any, **kwargs: Any) -> ssl.SSLContext:
        made.append(threading.current_thread())
        return make(*args, **kwargs)

    monkeypatch.setattr(ssl, "create_default_context", counted)

    async def start() -> None:
        transport = AsyncTransport(credentials("https://127.0.0.1:9", verify=str(authority / "ca.pem")))
        await asyncio.gather(*(transport.__aenter__() for _ in range(20)))
        await transport.__aexit__()

    asyncio.run(start())
    assert len(made) == 2, "once to check the file, once to use it"
    assert threading.main_thread() not in made
