"""Which failure of a task is worth another try, and when."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import wraps
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, ParamSpec, TypeVar

from airflow_provider_zohocrm._compat import RetryPolicy, airflow_retry_decision, fail_exception
from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoAuthenticationError,
    ZohoConfigurationError,
    ZohoCreditLimitError,
    ZohoLowCreditsError,
    ZohoNotFoundError,
    ZohoPaginationLimitError,
    ZohoPermissionError,
    ZohoRateLimitError,
    ZohoScopeError,
    ZohoTokenThrottledError,
    ZohoUntrustedHostError,
    ZohoValidationError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_zohocrm._compat import Context

# Zoho mints 10 tokens in 10 minutes (reference sheet §1.5).
THROTTLE_DELAY = timedelta(minutes=10)
# Credits come back 24 hours after each was spent, so every hour those of an hour of yesterday.
CREDITS_DELAY = timedelta(hours=1)
_FINAL = (
    ZohoConfigurationError,
    ZohoValidationError,
    ZohoUntrustedHostError,
    ZohoAuthenticationError,
    ZohoScopeError,
    ZohoPermissionError,
    ZohoPaginationLimitError,
    # A bound of the task's own; the next try begins below it at best.
    ZohoCreditLimitError,
)
# Refusals that another try may not meet: of a record that is locked, of a service that is down, of a page token, a job
# or a result that is too old (reference sheet §7).
_PASSING = ("RECORD_LOCKED", "DEPENDENT_SERVICE_ERROR", "EXPIRED_VALUE", "RESOURCE_NOT_FOUND")

P = ParamSpec("P")
T = TypeVar("T")


class Decision(NamedTuple):
    """What should become of a task that failed.

    :param action: ``fail`` without further tries, ``retry``, or ``default`` for what the task's ``retries`` say.
    :param delay: how long to wait before the retry; None for the task's ``retry_delay``.
    :param reason: for the log.
    """

    action: Literal["fail", "retry", "default"]
    delay: timedelta | None = None
    reason: str | None = None


def retry_decision(error: BaseException, now: datetime | None = None) -> Decision:
    """Decide what should become of a task that failed.

    :param error: what it raised.
    :param now: the time; None for that of the clock.
    :return: ``fail`` for what no other try changes: credentials, scope, right, module, criteria and other parameters;
        ``retry`` with Zoho's delay or a computed one for limits: calls, credits, tokens; ``default`` for the rest.
    """
    name = type(error).__name__
    if isinstance(error, ZohoTokenThrottledError):
        wait = max(THROTTLE_DELAY, timedelta(seconds=error.retry_after or 0))
        return Decision("retry", wait, f"{name}: Zoho mints no token for 10 minutes")
    if isinstance(error, ZohoLowCreditsError):
        return Decision(
            "retry", CREDITS_DELAY, f"{name}: API credits come back 24 hours after they were spent"
        )
    if isinstance(error, ZohoRateLimitError):
        return Decision("retry", _until(error, now), f"{name}: Zoho takes no more calls for now")
    if isinstance(error, _FINAL) or _is_refused_for_good(error):
        return Decision("fail", reason=f"{name}: another try would fail in the same way")
    return Decision("default")


def _until(error: ZohoRateLimitError, now: datetime | None) -> timedelta:
    if error.retry_at is None:
        return CREDITS_DELAY if error.retry_after is None else timedelta(seconds=error.retry_after)
    return max(timedelta(0), error.retry_at - (now or datetime.now(timezone.utc)))


def _is_refused_for_good(error: BaseException) -> bool:
    """Tell whether Zoho would refuse a call again: a module, field or criteria it does not know, a wrong value."""
    if not isinstance(error, ZohoAPIError) or error.code in _PASSING:
        return False
    # Their subclasses for limits and failures of Zoho may pass.
    return isinstance(error, ZohoNotFoundError) or (type(error) is ZohoAPIError and 400 <= error.status < 500)


class ZohoRetryPolicy(RetryPolicy):
    """Decides on retries by :func:`retry_decision`: ``ZohoGetRecordsOperator(..., retries=3, retry_policy=ZohoRetryPolicy())``.

    From Airflow 3.3 on for any task, and with delays. Before, for the operators of this package, which then fail at once
    where that is decided; delays are those of ``retry_delay``.
    """

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002  # Airflow's
        max_tries: int,  # noqa: ARG002  # Airflow's
        context: Context | None = None,  # noqa: ARG002  # Airflow's
    ) -> Any:
        """Decide for Airflow.

        :param exception: what the task raised.
        :return: Airflow's ``RetryDecision``.
        """
        return airflow_retry_decision(*retry_decision(exception))

    def serialize(self) -> dict[str, Any]:
        """Describe the policy as plain JSON."""
        return {"__type": f"{type(self).__module__}.{type(self).__qualname__}"}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> ZohoRetryPolicy:  # noqa: ARG003  # it has no parameters
        """Make the policy again."""
        return cls()


def fail_at_once(function: Callable[P, T]) -> Callable[P, T]:
    """Let a Python task fail without further tries where no other try would help, on any Airflow.

    .. code-block:: python

        @task(retries=3)
        @fail_at_once
        def count() -> int:
            return ZohoCRMHook().count_records("Leads")

    :param function: the function of the task.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            if retry_decision(error).action == "fail":
                raise fail_exception(f"{type(error).__name__}: {error}") from error
            raise

    return run
