"""What a task has asked of Zoho so far, and the bound it set itself."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from airflow_provider_zohocrm.exceptions import ZohoCreditLimitError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_zohocrm.client.calls import Call

_REMAINING = "X-API-CREDITS-REMAINING"


class Usage:
    """Counts calls and API credits; threads may share it. Repeated tries count each, minted tokens do not.

    :param max_credits: credits that may be spent; None for no bound.
    """

    def __init__(self, max_credits: int | None = None) -> None:
        self.max_credits = max_credits
        self.calls = 0
        self.credits = 0
        self.refused = 0
        """Answers with status 429 so far, also of calls that were repeated with success."""
        self.remaining: int | None = None
        """Credits the organisation had left by the last answer that told."""
        self._seconds = 0.0
        self._lock = Lock()

    def spend(self, call: Call) -> None:
        """Count a call that is about to be sent.

        :raises ZohoCreditLimitError: if it would cost more than may be spent; it must not be sent then.
        """
        with self._lock:
            if self.max_credits is not None and self.credits + call.credits > self.max_credits:
                raise ZohoCreditLimitError(
                    f"{call} would cost {call.credits} API credits; {self.credits} are spent, and max_credits is "
                    f"{self.max_credits}. It was not sent. Raise max_credits, or narrow what is read."
                )
            self.calls += 1
            self.credits += call.credits

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
                self.remaining = int(told)

    @property
    def mean_seconds(self) -> float | None:
        """Mean duration of the calls so far in seconds, or None before the first."""
        return self._seconds / self.calls if self.calls else None
