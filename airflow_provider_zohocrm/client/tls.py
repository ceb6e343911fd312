"""Which certificate authorities are trusted. Certificates are always verified."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from airflow_provider_zohocrm.client.secret import causes
from airflow_provider_zohocrm.exceptions import ZohoConfigurationError

# In the order in which requests looks, and then what Python's ssl knows.
VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
UNVERIFIED = (
    "If a proxy or gateway of your own stands in between, enter its CA in the connection, field verify."
)

_OFF = {"false", "0", "no", "off", "none"}
_DEFAULT = {"true", "1", "yes", "on"}


def checked_verify(value: str) -> str:
    """Check that the connection's ``verify`` does not turn verification off; its file is read later.

    :param value: path of a CA bundle in PEM form, or empty.
    :return: the path, or empty for the default.
    :raises ZohoConfigurationError: if it would.
    """
    if value.lower() in _OFF:
        raise ZohoConfigurationError(
            f"verify is {value!r}, but certificates are always verified: whoever stands in between would read the token. "
            "Enter the path of a PEM file with the CA of your proxy or gateway, or leave it empty."
        )
    if value.lower() in _DEFAULT:
        return ""
    return value


def ca_bundle(verify: str) -> str | None:
    """Decide which CA bundle both transports use, and read it once; not on an event loop.

    :param verify: the connection's, checked.
    :return: path of a file, or of a folder as OpenSSL hashes it; None for the library's own.
    :raises ZohoConfigurationError: if it, or the variable of the environment, names what is no CA bundle.
    """
    if verify:
        return _bundle(verify, "verify")
    found = next((name for name in VARIABLES if os.environ.get(name)), None)
    return None if found is None else _bundle(os.environ[found], found)


def ssl_context(bundle: str) -> ssl.SSLContext:
    """Make a context that verifies by a bundle only, see :func:`ca_bundle`."""
    folder = Path(bundle).is_dir()
    return ssl.create_default_context(
        cafile=None if folder else bundle,
        capath=bundle if folder else None,
    )


def is_unverified(error: BaseException) -> bool:
    """Tell whether a request failed because the server's certificate is not trusted, which no repetition changes."""
    return any(isinstance(one, ssl.SSLCertVerificationError) for one in causes(error))


def _bundle(path: str, source: str) -> str:
    try:
        ssl_context(path)
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise ZohoConfigurationError(
            f"{source} names {path!r}, which is no CA bundle on this machine ({type(error).__name__}: {error}). Enter the "
            "path of a file with certificates in PEM form that all workers and triggerers have."
        ) from None
    return path
