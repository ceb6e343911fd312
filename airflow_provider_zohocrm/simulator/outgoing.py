"""What the simulator sends on its own: callbacks of jobs and notifications, to loopback only."""

from __future__ import annotations

import http.client
from contextlib import closing, suppress
from typing import Any
from urllib.parse import urlsplit

import orjson

LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def host_of(url: Any) -> str | None:
    """Return the host of an http address.

    :param url: what a client gave.
    :returns: ``None`` where it is no such address.
    """
    if not isinstance(url, str):
        return None
    try:
        parts = urlsplit(url)
        # Reading the port checks it.
        port = parts.port
    except ValueError:
        return None
    return parts.hostname if parts.scheme in {"http", "https"} and port != 0 else None


def post(url: str, body: dict[str, Any]) -> int | None:
    """POST to an address on loopback.

    :param url: the address.
    :param body: becomes JSON.
    :returns: the status, ``None`` where nothing answered.
    """
    parts = urlsplit(url)
    if parts.hostname not in LOOPBACK:
        return None
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    # By hand: no proxy of the environment is asked, and no redirect leads away from loopback.
    connection = kind(parts.hostname, parts.port, timeout=5)
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    with suppress(OSError, http.client.HTTPException), closing(connection):
        connection.request("POST", target, orjson.dumps(body), {"Content-Type": "application/json"})
        return connection.getresponse().status
    return None
