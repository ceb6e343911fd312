"""What all operators have: a connection and the hook it gives, bounds for API credits, and an account of what was used."""

from __future__ import annotations

from contextlib import contextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_zohocrm._compat import (
    BaseOperator,
    airflow_asks_retry_policies,
    fail_exception,
    skip_exception,
)
from airflow_provider_zohocrm.exceptions import ZohoLowCreditsError, ZohoValidationError
from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook
from airflow_provider_zohocrm.operators.checkpoint import Checkpoint
from airflow_provider_zohocrm.operators.lineage import LineageMixin
from airflow_provider_zohocrm.operators.parameters import given, whole_number
from airflow_provider_zohocrm.operators.usage import XCOM_KEY, UsageAccount, current_account
from airflow_provider_zohocrm.retry_policy import retry_decision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow_provider_zohocrm._compat import Context, RetryPolicy

_CHECKPOINT = "zoho_api_usage"


class ZohoOperator(LineageMixin, BaseOperator):  # type: ignore[misc]  # Airflow types its links as a plain attribute
    """Talks to Zoho CRM by way of a connection.

    What a task uses of Zoho's quotas is logged when it ends, in whatever way, and pushed to XCom ``api_usage``:
    ``{"calls", "credits", "credits_remaining", "rate_limited", "tokens_minted", "seconds"}``, over deferrals and, from
    Airflow 3.3 on, tries.

    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param api_version: ``v2`` … ``v8``, in place of the connection's.
    :param min_credits_remaining: stop before the organisation has fewer API credits left than this, in place of the
        connection's; 0 for no bound. Zoho tells how many are left once half of them are used.
    :param on_low_credits: ``"fail"`` the task then, or ``"skip"`` it.
    :param retry_policy: what decides on retries, e.g. a
        :class:`~airflow_provider_zohocrm.retry_policy.ZohoRetryPolicy`. Before Airflow 3.3 only what one of these lets
        fail at once is followed.
    """

    template_fields: Sequence[str] = (
        "zohocrm_conn_id",
        "api_version",
        "min_credits_remaining",
        "on_low_credits",
    )

    def __init__(
        self,
        *,
        zohocrm_conn_id: str = ZohoCRMHook.default_conn_name,
        api_version: str | None = None,
        min_credits_remaining: int | str | None = None,
        on_low_credits: str = "fail",
        retry_policy: RetryPolicy | None = None,
        **kwargs: Any,
    ) -> None:
        if airflow_asks_retry_policies():
            kwargs["retry_policy"] = retry_policy
        super().__init__(**kwargs)
        self.zohocrm_conn_id = zohocrm_conn_id
        self.api_version = api_version
        self.min_credits_remaining = min_credits_remaining
        self.on_low_credits = on_low_credits
        self.retry_policy = retry_policy

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Have every operator count what it uses, and template what all have."""
        super().__init_subclass__(**kwargs)
        cls.template_fields = tuple(dict.fromkeys((*cls.template_fields, *ZohoOperator.template_fields)))
        if not hasattr(cls.execute, "counted"):
            cls.execute = _counted(cls.execute)  # type: ignore[method-assign]  # wrapped, as Airflow does itself

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Go on after a deferral; called by Airflow.

        :param next_method: the method that goes on.
        :param next_kwargs: its arguments, and what the task had used before.
        """
        kwargs = dict(next_kwargs or {})
        before, event = kwargs.pop(XCOM_KEY, None), kwargs.get("event")
        told = event.get(XCOM_KEY) if isinstance(event, dict) else None
        with self._counting(context, before, told):
            return super().resume_execution(next_method, kwargs, context)

    def defer(self, *, kwargs: dict[str, Any] | None = None, **options: Any) -> NoReturn:
        """Give the worker slot back; what was used so far goes along.

        :param kwargs: arguments of the method that goes on.
        :param options: the other parameters of ``BaseOperator.defer``.
        """
        account = current_account.get()
        if account is not None:
            account.deferred = True
            kwargs = {**(kwargs or {}), XCOM_KEY: dict(account.total)}
        super().defer(kwargs=kwargs, **options)

    def _hook(self) -> ZohoCRMHook:
        account = current_account.get()
        return ZohoCRMHook(
            self.zohocrm_conn_id,
            api_version=given(self.api_version),
            min_credits_remaining=self._min_credits(),
            usage=None if account is None else account.usage(),
        )

    def _min_credits(self) -> int | None:
        number = whole_number(self.min_credits_remaining, "min_credits_remaining")
        if number is not None and number < 0:
            raise ZohoValidationError(f"min_credits_remaining is {number}; it must not be below 0")
        return number

    @contextmanager
    def _counting(self, context: Context, before: Any = None, told: Any = None) -> Iterator[None]:
        """Count what is used inside, and end the task as its parameters say.

        :param before: what the task had used when it was deferred.
        :param told: what the trigger has used.
        """
        if current_account.get() is not None:
            # Part of the run of another operator.
            yield
            return
        account = UsageAccount()
        mine = current_account.set(account)
        checkpoint = Checkpoint(context, _CHECKPOINT, "")
        failed = True
        try:
            account.resume(before)
            account.add(told)
            checkpoint.load()
            self._check_bounds()
            yield
            failed = False
        except Exception as error:
            self._end_early(error)
            raise
        finally:
            self._settle(context, account, checkpoint, failed=failed)
            current_account.reset(mine)

    def _check_bounds(self) -> None:
        self._min_credits()
        if self.on_low_credits not in ("fail", "skip"):
            raise ZohoValidationError(f"on_low_credits is {self.on_low_credits!r}; it must be fail or skip")

    def _end_early(self, error: Exception) -> None:
        """Skip the task, or let it fail without further tries, where the parameters ask for that.

        :raises Exception: Airflow's for either.
        """
        if isinstance(error, ZohoLowCreditsError) and self.on_low_credits == "skip":
            raise skip_exception(str(error)) from error
        if self.retry_policy is None or airflow_asks_retry_policies():
            return
        decision = retry_decision(error)
        if decision.action == "fail":
            raise fail_exception(f"{type(error).__name__}: {error}") from error

    def _settle(
        self, context: Context, account: UsageAccount, checkpoint: Checkpoint, *, failed: bool
    ) -> None:
        account.send_metrics(
            {"dag_id": self.dag_id, "task_id": self.task_id, "conn_id": str(self.zohocrm_conn_id)}
        )
        if not account.deferred:
            account.tell(context)
        if failed:
            checkpoint.save({})
        else:
            checkpoint.delete()


def _counted(execute: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(execute)
    def run(self: ZohoOperator, context: Context, **sentinel: Any) -> Any:
        with self._counting(context):
            return execute(self, context, **sentinel)

    run.counted = True  # type: ignore[attr-defined]  # a mark, so that none is counted twice
    return run
