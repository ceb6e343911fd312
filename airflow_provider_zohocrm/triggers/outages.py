"""What outlasts an outage while somebody waits, and what all triggers need to ask Zoho."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_zohocrm.client.imports import imported
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

_PACKAGE = "airflow_provider_zohocrm"
_OF_HOOKS = (
    "aiohttp",
    f"{_PACKAGE}.client.aio",
    f"{_PACKAGE}.client.conditions",
    f"{_PACKAGE}.hooks.zohocrm",
)

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
        # The others are imported by functions of the hooks and triggers, which run in the event loop.
        *_, hooks = await imported(*_OF_HOOKS)
        _hooks.append(hooks)
    return _hooks[0]


def pause_after(error: Exception) -> float:
    """Tell how many seconds at least to stay away after a failure."""
    if isinstance(error, ZohoTokenThrottledError):
        return _THROTTLE_PAUSE
    return error.retry_after or 0.0 if isinstance(error, ZohoAPIError) else 0.0
