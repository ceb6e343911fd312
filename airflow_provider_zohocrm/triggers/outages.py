"""What outlasts an outage while somebody waits, and what all triggers need to ask Zoho."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoLowCreditsError,
    ZohoRateLimitError,
    ZohoServerError,
    ZohoTokenThrottledError,
    ZohoTransportError,
)

# Who waits goes on after a failure anyway, so a single look need not be patient.
RETRIES_PER_LOOK = 2
PASSING = (ZohoTransportError, ZohoServerError, ZohoRateLimitError, ZohoTokenThrottledError)
"""Failures that may pass."""
# No token is minted for 10 minutes after Zoho has throttled that (reference sheet §1.5).
_THROTTLE_PAUSE = 600.0

_hooks: list[Any] = []


async def imported_hooks() -> Any:
    """Import the hooks beside the event loop of the triggerer: the first time takes longer than it may be blocked."""
    if not _hooks:
        _hooks.append(await asyncio.to_thread(import_module, "airflow_provider_zohocrm.hooks.zohocrm"))
    return _hooks[0]


def low_credits(error: ZohoLowCreditsError) -> dict[str, Any]:
    """Tell in an event that API credits are to be left for others."""
    return {
        "status": "low_credits",
        "message": str(error),
        "credits_remaining": error.remaining,
        "min_credits_remaining": error.wanted,
    }


def raise_low_credits(event: dict[str, Any]) -> None:
    """Raise what :func:`low_credits` has told, in the task."""
    if event.get("status") == "low_credits":
        raise ZohoLowCreditsError(
            str(event["message"]), remaining=event["credits_remaining"], wanted=event["min_credits_remaining"]
        )


def pause_after(error: Exception) -> float:
    """Tell how many seconds at least to stay away after a failure."""
    if isinstance(error, ZohoTokenThrottledError):
        return _THROTTLE_PAUSE
    return error.retry_after or 0.0 if isinstance(error, ZohoAPIError) else 0.0
