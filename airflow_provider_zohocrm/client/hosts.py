"""Zoho's data centres, and which hosts may see a token."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from airflow_provider_zohocrm.exceptions import ZohoConfigurationError, ZohoUntrustedHostError


@dataclass(frozen=True, slots=True)
class DataCenter:
    """Hosts of one data centre.

    :param accounts: host of the token endpoint.
    :param api: domain below which the API hosts live.
    :param upload: host of the bulk write upload, empty where no source names one.
    """

    accounts: str
    api: str
    upload: str = ""


# Source: reference sheet §1.1. Canada's accounts host really is on another domain.
DATA_CENTERS = {
    "us": DataCenter("accounts.zoho.com", "zohoapis.com", "content.zohoapis.com"),
    "eu": DataCenter("accounts.zoho.eu", "zohoapis.eu", "content.zohoapis.eu"),
    "in": DataCenter("accounts.zoho.in", "zohoapis.in", "content.zohoapis.in"),
    "au": DataCenter("accounts.zoho.com.au", "zohoapis.com.au", "content.zohoapis.com.au"),
    "jp": DataCenter("accounts.zoho.jp", "zohoapis.jp", "content.zohoapis.jp"),
    "cn": DataCenter("accounts.zoho.com.cn", "zohoapis.com.cn", "content.zohoapis.com.cn"),
    "ca": DataCenter("accounts.zohocloud.ca", "zohoapis.ca", "upload.zohocloud.ca"),
    "sa": DataCenter("accounts.zoho.sa", "zohoapis.sa", "files.zoho.sa"),
    "uk": DataCenter("accounts.zoho.uk", "zohoapis.uk"),
    "ae": DataCenter("accounts.zoho.ae", "zohoapis.ae"),
    "sg": DataCenter("accounts.zoho.sg", "zohoapis.sg"),
}

# What a host name or address may be made of; browsers and libraries disagree about all else.
_HOST = re.compile(r"[a-z0-9.-]+|[0-9a-f:]+")

# Host prefix of each environment (reference sheet §1.1).
ENVIRONMENTS = {"production": "www", "sandbox": "sandbox", "developer": "developer"}


def is_loopback(host: str | None) -> bool:
    """Tell whether a host is this machine."""
    if not host:
        return False
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def checked_url(url: str, field: str) -> str:
    """Check an override from the connection: https, or http on a loopback host.

    :param url: the address as filled in.
    :param field: the connection field, for the error text.
    :return: the address without a trailing slash.
    :raises ZohoConfigurationError: if a token must not be sent there.
    """
    url = url.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port  # raises on a port that is none
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ZohoConfigurationError(f"{field} must be a bare address without user, query or fragment")
    if parts.scheme not in ("https", "http") or not _HOST.fullmatch(host):
        raise ZohoConfigurationError(f"{field} {url!r} is no web address; write e.g. https://www.zohoapis.eu")
    if parts.scheme == "http" and not is_loopback(host):
        raise ZohoConfigurationError(f"{field} {url!r} would send the token unencrypted; use https")
    return url


def upload_host(api_host: str, data_center: str) -> str:
    """Name the host that takes the files of bulk write.

    :param api_host: host of the API, which tells the data centre better than the connection.
    :param data_center: the connection's.
    :return: the host, empty where no source names one.
    """
    return (data_center_of(api_host) or DATA_CENTERS[data_center]).upload


def data_center_of(api_host: str) -> DataCenter | None:
    """Find the data centre of an API host, or None if it is not one of Zoho's."""
    return next((dc for dc in DATA_CENTERS.values() if _is_below(api_host, dc.api)), None)


def trusted_download_url(url: str, own: tuple[str, ...]) -> tuple[str, str]:
    """Check the address at which Zoho says that a result of bulk write is.

    :param url: ``download_url`` of the job, an absolute one (reference sheet §5).
    :param own: addresses that see the token anyway: those of the API and of uploads.
    :return: the address of the host, and the path with its query.
    :raises ZohoUntrustedHostError: if the host is neither one of these nor a download host of Zoho's.
    """
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    base = f"{parts.scheme}://{parts.netloc}"
    label, _, domain = host.partition(".")
    zohos = label.startswith("download") and any(_is_below(domain, one) for one in _domains())
    zohos = zohos or any(_is_below(host, dc.api) for dc in DATA_CENTERS.values())
    safe = (
        parts.scheme == "https" and port in (None, 443) and "@" not in parts.netloc and _HOST.fullmatch(host)
    )
    if base not in own and not (zohos and safe):
        raise ZohoUntrustedHostError(
            f"The result is said to be at {url[:200]!r}, which is no download host of Zoho's; it was not fetched, so that "
            "the token stays with Zoho."
        )
    return base, f"{parts.path}?{parts.query}" if parts.query else parts.path


def _domains() -> set[str]:
    """Name the domains of Zoho's products, e.g. ``zoho.eu``."""
    return {dc.accounts.partition(".")[2] for dc in DATA_CENTERS.values()}


def _is_below(host: str, domain: str) -> bool:
    return host == domain or host.endswith("." + domain)


def trusted_api_url(api_domain: str, accounts_url: str, environment: str) -> str:
    """Decide the API address from the ``api_domain`` of a token answer.

    :param api_domain: as answered, e.g. ``https://www.zohoapis.eu``.
    :param accounts_url: the address that answered.
    :param environment: production, sandbox or developer; the answer names the production host.
    :return: the API address of the environment.
    :raises ZohoUntrustedHostError: if the host is neither Zoho's nor, with a token endpoint on loopback, loopback.
    """
    try:
        parts = urlsplit(api_domain.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    bare = parts.scheme in ("https", "http") and "@" not in parts.netloc
    if bare and is_loopback(host) and is_loopback(urlsplit(accounts_url).hostname):
        return f"{parts.scheme}://{parts.netloc}"
    if not _HOST.fullmatch(host):
        host = ""
    domain = next((dc.api for dc in DATA_CENTERS.values() if _is_below(host, dc.api)), None)
    if parts.scheme != "https" or domain is None or port not in (None, 443):
        raise ZohoUntrustedHostError(
            f"The token answer names {api_domain[:200]!r} as API host, which is not one of Zoho's. The token was not "
            "sent there. If the host is right, enter it as API URL in the connection."
        )
    if environment != "production" and host in (domain, f"www.{domain}"):
        host = f"{ENVIRONMENTS[environment]}.{domain}"
    return f"https://{host}"
