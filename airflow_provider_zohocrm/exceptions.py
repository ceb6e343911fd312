"""All errors of the package, on one root."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


class ZohoCRMError(Exception):
    """Root of all errors of this package.

    ``results`` holds Zoho's results of the records that were written before the error, if any were. ``exhausted``
    tells that the call was repeated as often as it may be, ``sent`` is False if it certainly never reached Zoho.
    """

    results: Sequence[dict[str, Any]] = ()
    exhausted = False
    sent = True


class ZohoConfigurationError(ZohoCRMError, ValueError):
    """Raised when the connection cannot work as it is filled in; nothing was sent."""


class ZohoValidationError(ZohoCRMError, ValueError):
    """Raised when a parameter cannot be right; nothing was sent."""


class ZohoUntrustedHostError(ZohoCRMError):
    """Raised when an answer points to a host that must not see the token; nothing was sent there."""


class ZohoTransportError(ZohoCRMError):
    """Raised when no whole answer came: no connection, a time-out, a reset, a truncated body.

    :param sent: False when the request certainly never reached Zoho, so that it is safe to repeat.
    """

    def __init__(self, message: str, *, sent: bool = True) -> None:
        super().__init__(message)
        self.sent = sent


class ZohoResponseError(ZohoCRMError):
    """Raised when Zoho's answer is whole but not of the documented shape."""


class ZohoAPIError(ZohoCRMError):
    """Raised when Zoho refused a request.

    :param message: what was asked, what Zoho said, what to do.
    :param status: HTTP status, or 0.
    :param code: Zoho's code, e.g. ``INVALID_MODULE``; empty when the body named none.
    :param details: Zoho's ``details``: an object, or a list for some codes.
    :param retry_after: seconds after which Zoho asked to be called again, if it did.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        code: str = "",
        details: dict[str, Any] | list[Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = details if details is not None else {}
        self.retry_after = retry_after


class ZohoAuthenticationError(ZohoAPIError):
    """Raised when Zoho accepts neither the credentials nor the token made from them."""


class ZohoTokenThrottledError(ZohoAuthenticationError):
    """Raised when the accounts server mints no more tokens for now (10 in 10 minutes)."""


class ZohoScopeError(ZohoAPIError):
    """Raised when the token lacks the OAuth scope for a call."""


class ZohoPermissionError(ZohoAPIError):
    """Raised when the Zoho user behind the token may not do this."""


class ZohoNotFoundError(ZohoAPIError):
    """Raised when a module, job, result or address is unknown to Zoho."""


class ZohoCreditLimitError(ZohoCRMError):
    """Raised before a call that would spend more API credits than the task may; the call was not sent."""


class ZohoLowCreditsError(ZohoCreditLimitError):
    """Raised before a call that would leave the organisation with fewer credits than ``min_credits_remaining``.

    :param remaining: credits the organisation has left, as far as is known.
    :param wanted: credits that are to be left.
    """

    def __init__(self, message: str, *, remaining: int, wanted: int) -> None:
        super().__init__(message)
        self.remaining = remaining
        self.wanted = wanted


class ZohoRateLimitError(ZohoAPIError):
    """Raised when Zoho still answers 429 after all retries: credits, concurrency or downloads.

    ``retry_at`` is the moment (UTC) at which a call may work again: the one Zoho named; else an hour after the last
    try, as credits come back 24 hours after each was spent. It is None while the call is still being repeated.
    """

    retry_at: datetime | None = None


class ZohoServerError(ZohoAPIError):
    """Raised when Zoho still answers 5xx after all retries."""


class ZohoPaginationLimitError(ZohoAPIError):
    """Raised when a walk over pages meets a limit that only another way of reading passes."""


class ZohoBulkReadError(ZohoCRMError):
    """Raised when a bulk read job failed, or its result cannot be used."""


class ZohoCorruptResultError(ZohoBulkReadError):
    """Raised when a downloaded result is damaged, and downloading it again did not help."""


class ZohoBulkReadTimeoutError(ZohoBulkReadError):
    """Raised when a bulk read job did not end in time. Zoho goes on with it."""


class ZohoBulkWriteError(ZohoCRMError):
    """Raised when a bulk write job failed, or its result cannot be used."""


class ZohoBulkWriteTimeoutError(ZohoBulkWriteError):
    """Raised when a bulk write job did not end in time. Zoho goes on with it."""


class ZohoRejectedRecordsError(ZohoCRMError):
    """Raised when Zoho rejected more records than the task allows; all batches were tried."""


class ZohoStorageError(ZohoCRMError):
    """Raised when a file cannot be read or written as asked."""


class ZohoTypeError(ZohoStorageError):
    """Raised when a value does not fit the declared type of its column."""
