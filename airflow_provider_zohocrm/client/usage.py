"""What a task has asked of Zoho so far, and the bounds it set itself."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, TypedDict

from airflow_provider_zohocrm.exceptions import ZohoCreditLimitError, ZohoLowCreditsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_zohocrm.client.calls import Call

_REMAINING = "X-API-CREDITS-REMAINING"


class Counts(TypedDict):
    """What was used, as plain JSON.

    ``credits_remaining`` is what the organisation had left by the last answer that told, None if none did: Zoho tells once
    half of the credits are used (reference sheet §6.3). ``rate_limited`` are answers of 429, also of calls that were
    repeated with success, ``seconds`` what the calls took together.
    """

    calls: int
    credits: int
    credits_remaining: int | None
    rate_limited: int
    tokens_minted: int
    seconds: float


def no_counts() -> Counts:
    """Begin to count."""
    return {
        "calls": 0,
        "credits": 0,
        "credits_remaining": None,
        "rate_limited": 0,
        "tokens_minted": 0,
        "seconds": 0.0,
    }


def added(before: Counts, after: Counts) -> Counts:
    """Add up what was used before and after; the later word on the remaining credits holds."""
    left = after["credits_remaining"]
    return {
        "calls": before["calls"] + after["calls"],
        "credits": before["credits"] + after["credits"],
        "credits_remaining": before["credits_remaining"] if left is None else left,
        "rate_limited": before["rate_limited"] + after["rate_limited"],
        "tokens_minted": before["tokens_minted"] + after["tokens_minted"],
        "seconds": round(before["seconds"] + after["seconds"], 3),
    }


class Usage:
    """Counts calls, API credits and minted tokens; threads may share it. Repeated tries count each.

    :param max_credits: credits that may be spent; None for no bound.
    :param min_remaining: credits that the organisation must have left after a call; None or 0 for no bound.
    """

    def __init__(self, max_credits: int | None = None, min_remaining: int | None = None) -> None:
        self.max_credits = max_credits
        self.min_remaining = min_remaining
        self.calls = 0
        self.credits = 0
        self.refused = 0
        """Answers with status 429 so far, also of calls that were repeated with success."""
        self.minted = 0
        self.remaining: int | None = None
        """Credits the organisation had left by the last answer that told."""
        self._since_told = 0
        self._seconds = 0.0
        self._lock = Lock()

    def spend(self, call: Call) -> None:
        """Count a call that is about to be sent.

        What an answer tells of the remaining credits holds for the next call, so that no answer is lost that was paid
        for.

        :raises ZohoCreditLimitError: if it would cost more than may be spent; it must not be sent then.
        :raises ZohoLowCreditsError: if it would leave the organisation with fewer credits than it is to keep.
        """
        with self._lock:
            if self.max_credits is not None and self.credits + call.credits > self.max_credits:
                left = max(0, self.max_credits - self.credits)
                raise ZohoCreditLimitError(
                    f"{call} would cost {call.credits} API credits, and max_credits leaves {left}. It was not sent. Raise "
                    "max_credits, or narrow what is asked for."
                )
            if self.min_remaining and self.remaining is not None:
                left = self.remaining - self._since_told
                if left - call.credits < self.min_remaining:
                    raise _low(call, left, self.min_remaining)
            self.calls += 1
            self.credits += call.credits
            self._since_told += call.credits

    def answered(self, status: int, headers: Mapping[str, str], seconds: float) -> None:
        """Note the answer to a call.

        :param headers: headers of the answer, looked up without regard to case.
        :param seconds: how long it took.
        """
        told = str(headers.get(_REMAINING, "")).strip()
        with self._lock:
            self._seconds += seconds
            if status == 429:
                self.refused += 1
            if told.lstrip("-").isdecimal():
                self.remaining, self._since_told = int(told), 0

    def mint(self) -> None:
        """Count an access token that was minted."""
        with self._lock:
            self.minted += 1

    @property
    def mean_seconds(self) -> float | None:
        """Mean duration of the calls so far in seconds, or None before the first."""
        return self._seconds / self.calls if self.calls else None

    @property
    def counts(self) -> Counts:
        """What was used so far."""
        with self._lock:
            return {
                "calls": self.calls,
                "credits": self.credits,
                "credits_remaining": self.remaining,
                "rate_limited": self.refused,
                "tokens_minted": self.minted,
                "seconds": round(self._seconds, 3),
            }


def _low(call: Call, left: int, wanted: int) -> ZohoLowCreditsError:
    return ZohoLowCreditsError(
        f"{call} was not sent: it costs {call.credits} API credits, the organisation has {left:,} left, and "
        f"min_credits_remaining keeps {wanted:,} for its users. What is finished is kept. Credits come back 24 hours after "
        "they were spent: run the task later, lower min_credits_remaining (operator or connection), or buy credits.",
        remaining=left,
        wanted=wanted,
    )
