"""What outlasts an outage while somebody waits, and what all triggers need to ask Zoho."""

from __future__ import annotations

import asyncio
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoRateLimitError,
    ZohoServerError,
    ZohoTokenThrottledError,
    ZohoTransportError,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine

# Who waits goes on after a failure anyway, so a single look need not be patient.
RETRIES_PER_LOOK = 2
PASSING = (ZohoTransportError, ZohoServerError, ZohoRateLimitError, ZohoTokenThrottledError)
"""Failures that may pass."""
# No token is minted for 10 minutes after Zoho has throttled that (reference sheet §1.5).
_THROTTLE_PAUSE = 600.0

GRACE = 20.0
"""Seconds that the last look may take."""
TOO_LONG = asyncio.TimeoutError
"""What :func:`within` raises."""

T = TypeVar("T")
_hooks: list[Any] = []


async def within(look: Coroutine[Any, Any, T], end_time: float | None) -> T:
    """Await a look, past the deadline for a short while at most.

    :param end_time: Unix time of the deadline, or None.
    :raises TOO_LONG: if it takes longer.
    """
    left = None if end_time is None else max(0.0, end_time - time.time()) + GRACE
    return await asyncio.wait_for(look, left)


async def imported_hooks() -> Any:
    """Import the hooks beside the event loop of the triggerer: the first time takes longer than it may be blocked."""
    if not _hooks:
        _hooks.append(await asyncio.to_thread(_import_hooks))
    return _hooks[0]


def _import_hooks() -> Any:
    # Both are imported by functions of the hooks and triggers, which run in the event loop.
    for name in ("client.aio", "client.conditions"):
        import_module(f"airflow_provider_zohocrm.{name}")
    return import_module("airflow_provider_zohocrm.hooks.zohocrm")


def pause_after(error: Exception) -> float:
    """Tell how many seconds at least to stay away after a failure."""
    if isinstance(error, ZohoTokenThrottledError):
        return _THROTTLE_PAUSE
    return error.retry_after or 0.0 if isinstance(error, ZohoAPIError) else 0.0
