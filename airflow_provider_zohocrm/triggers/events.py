"""What triggers tell of failures, and how tasks raise them again."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_provider_zohocrm import exceptions
from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoCRMError,
    ZohoLowCreditsError,
    ZohoRateLimitError,
)


def failure(error: Exception) -> dict[str, Any]:
    """Describe a failure for an event: ``status``, ``message`` and ``error``, from which :func:`failed` makes it again."""
    kind = type(error).__name__
    known: dict[str, Any] = {"type": kind}
    if isinstance(error, ZohoAPIError):
        known |= {"status": error.status, "code": error.code, "retry_after": error.retry_after}
    if isinstance(error, ZohoRateLimitError) and error.retry_at is not None:
        known["retry_at"] = error.retry_at.isoformat()
    return {"status": "error", "message": f"{kind}: {error}", "error": known}


def low_credits(error: ZohoLowCreditsError) -> dict[str, Any]:
    """Tell in an event that API credits are to be left for others."""
    return {
        "status": "low_credits",
        "message": str(error),
        "credits_remaining": error.remaining,
        "min_credits_remaining": error.wanted,
    }


def failed(event: Any, default: type[ZohoCRMError]) -> ZohoCRMError:
    """Make the error that an event tells of, so that retry policies know it.

    :param event: as of :func:`failure` or :func:`low_credits`.
    :param default: for what is no error of this package.
    """
    known: dict[str, Any] = event if isinstance(event, dict) else {}
    message = str(known.get("message") or f"The trigger sent an unknown event: {event!r}")
    if known.get("status") == "low_credits":
        return ZohoLowCreditsError(
            message, remaining=known["credits_remaining"], wanted=known["min_credits_remaining"]
        )
    told = known.get("error") or {}
    kind = getattr(exceptions, str(told.get("type")), None)
    if not isinstance(kind, type) or not issubclass(kind, ZohoCRMError):
        return default(message)
    text = message.removeprefix(f"{kind.__name__}: ")
    if not issubclass(kind, ZohoAPIError):
        return kind(text)
    error = kind(text, status=told["status"], code=told["code"], retry_after=told["retry_after"])
    if isinstance(error, ZohoRateLimitError) and told.get("retry_at"):
        error.retry_at = datetime.fromisoformat(told["retry_at"])
    return error
