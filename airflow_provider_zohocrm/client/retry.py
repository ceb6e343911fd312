"""Which failure is repeated, and after how long: one policy for both transports."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoCRMError,
    ZohoRateLimitError,
    ZohoServerError,
    ZohoTransportError,
)

if TYPE_CHECKING:
    import tenacity

    from airflow_provider_zohocrm.client.calls import Call

log = logging.getLogger(__name__)

# Seconds after which another try is worth it where credits may be used up: every hour, those of a day ago come back.
CREDITS_PAUSE = 3600.0
_DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When and how often a call is repeated (reference sheet §6.4).

    :param retries: repetitions after the first try. With the default the waits add up to about two and a half
        minutes, so that a short outage of Zoho does not fail a task.
    :param base: upper bound in seconds of the first wait; it doubles with each try.
    :param cap: upper bound in seconds of any wait that Zoho did not ask for.
    :param longest: the longest wait in seconds that Zoho may ask for; beyond it the call fails at once.
    """

    retries: int = 9
    base: float = 2.0
    cap: float = 60.0
    longest: float = 300.0

    def is_retryable(self, error: BaseException, call: Call) -> bool:
        """Tell whether a failure may pass and the call may be repeated.

        A call that is not repeatable is repeated only after a failure that proves that Zoho did nothing.
        """
        if not isinstance(error, ZohoCRMError) or error.exhausted:
            return False
        if isinstance(error, ZohoTransportError):
            return call.repeatable or not error.sent
        if isinstance(error, (ZohoRateLimitError, ZohoServerError)):
            refused = isinstance(error, ZohoRateLimitError)
            return (refused or call.repeatable) and (error.retry_after or 0) <= self.longest
        return False

    def wait(self, error: BaseException | None, attempt: int, call: Call) -> float:
        """Decide the seconds before the next try: what Zoho asked for, else exponential with full jitter.

        :param attempt: number of tries so far, from 1.
        """
        if isinstance(error, ZohoAPIError) and error.retry_after is not None:
            return error.retry_after
        if isinstance(error, ZohoRateLimitError) and call.pause is not None:
            return call.pause
        return random.uniform(0, min(self.cap, self.base * 2 ** (attempt - 1)))  # noqa: S311  # no secret

    def options(self, call: Call) -> dict[str, Any]:
        """Build the arguments of tenacity's ``Retrying`` and ``AsyncRetrying`` for one call."""
        # DAG files are parsed all day, and retry nothing.
        import tenacity

        retries = self.retries if call.retries is None else min(call.retries, self.retries)

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            return self.wait(error, state.attempt_number, call)

        def before_sleep(state: tenacity.RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            pause = state.next_action.sleep if state.next_action else 0.0
            log.warning("Try %d of %d in %.1f s: %s", state.attempt_number + 1, retries + 1, pause, error)

        return {
            "retry": tenacity.retry_if_exception(lambda error: self.is_retryable(error, call)),
            "wait": wait,
            "stop": tenacity.stop_after_attempt(retries + 1),
            "before_sleep": before_sleep,
            "reraise": True,
        }


def note_lasting(error: ZohoCRMError, call: Call, remaining: int | None, now: float) -> None:
    """Say in the error of a call that is repeated no more when it may work again, if Zoho refused it with 429.

    :param remaining: API credits the organisation has left, if Zoho has told.
    :param now: Unix time.
    """
    if not isinstance(error, ZohoRateLimitError) or error.retry_at is not None:
        return
    moment = datetime.fromtimestamp(now, timezone.utc)
    if error.retry_after is not None:
        error.retry_at = moment + timedelta(seconds=error.retry_after)
        hint = f"Zoho wants to be called again at {_clock(error.retry_at)}."
    else:
        error.retry_at = moment + timedelta(seconds=CREDITS_PAUSE)
        gone = remaining is not None and remaining < call.credits
        hint = (
            f"{'The API credits are used up' if gone else 'If the API credits are used up'}: some may be back at "
            f"{_clock(error.retry_at)}, all of them by {_clock(moment + _DAY)}."
        )
    error.args = (f"{error} {hint}", *error.args[1:])


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
