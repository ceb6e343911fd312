from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest
from support.running import context
from support.zoho import page, refusal

from airflow_provider_zohocrm import (
    ZohoGetRecordsOperator,
    ZohoRetryPolicy,
    exceptions,
    fail_at_once,
    retry_decision,
)
from airflow_provider_zohocrm._compat import airflow_asks_retry_policies, fail_exception
from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoAuthenticationError,
    ZohoBulkReadError,
    ZohoConfigurationError,
    ZohoCreditLimitError,
    ZohoLowCreditsError,
    ZohoNotFoundError,
    ZohoPaginationLimitError,
    ZohoPermissionError,
    ZohoRateLimitError,
    ZohoRejectedRecordsError,
    ZohoScopeError,
    ZohoServerError,
    ZohoStorageError,
    ZohoTokenThrottledError,
    ZohoTransportError,
    ZohoUntrustedHostError,
    ZohoValidationError,
)

NOW = datetime(2026, 11, 22, 8, 0, tzinfo=timezone.utc)


def rate_limit(retry_at=None, **options):
    error = ZohoRateLimitError("too many", status=429, **options)
    error.retry_at = retry_at
    return error


DECISIONS = [
    (ZohoConfigurationError("no client"), "fail", None),
    (ZohoValidationError("no module"), "fail", None),
    (ZohoUntrustedHostError("redirect"), "fail", None),
    (ZohoAuthenticationError("x", code="invalid_client"), "fail", None),
    (ZohoScopeError("x", status=401, code="OAUTH_SCOPE_MISMATCH"), "fail", None),
    (ZohoPermissionError("x", status=403, code="NO_PERMISSION"), "fail", None),
    (ZohoPaginationLimitError("x", status=400), "fail", None),
    (ZohoNotFoundError("x", status=400, code="INVALID_MODULE"), "fail", None),
    (ZohoAPIError("x", status=400, code="INVALID_QUERY"), "fail", None),
    (ZohoAPIError("x", status=400, code="FIELD_NOT_AVAILABLE"), "fail", None),
    (ZohoAPIError("x", status=413, code="REQUEST_ENTITY_TOO_LARGE"), "fail", None),
    (ZohoCreditLimitError("max_credits"), "fail", None),
    (ZohoNotFoundError("x", status=404, code="RESOURCE_NOT_FOUND"), "default", None),
    (ZohoAPIError("x", status=400, code="EXPIRED_VALUE"), "default", None),
    (ZohoAPIError("x", status=400, code="RECORD_LOCKED"), "default", None),
    (ZohoServerError("x", status=500), "default", None),
    (ZohoTransportError("reset"), "default", None),
    (ZohoBulkReadError("failed"), "default", None),
    (ZohoRejectedRecordsError("3 of 10"), "default", None),
    (ZohoStorageError("disk full"), "default", None),
    (ZeroDivisionError(), "default", None),
    (KeyboardInterrupt(), "default", None),
    (rate_limit(), "retry", timedelta(hours=1)),
    (rate_limit(retry_after=90.0), "retry", timedelta(seconds=90)),
    (rate_limit(NOW + timedelta(minutes=7)), "retry", timedelta(minutes=7)),
    (rate_limit(NOW - timedelta(minutes=7)), "retry", timedelta(0)),
    (ZohoLowCreditsError("low", remaining=1, wanted=2), "retry", timedelta(hours=1)),
    (ZohoTokenThrottledError("Access Denied"), "retry", timedelta(minutes=10)),
    (ZohoTokenThrottledError("Access Denied", retry_after=900.0), "retry", timedelta(minutes=15)),
]


@pytest.mark.parametrize(
    ("error", "action", "delay"),
    DECISIONS,
    ids=lambda one: type(one).__name__ if isinstance(one, Exception) else None,
)
def test_the_decision(error, action, delay):
    decision = retry_decision(error, NOW)
    assert (decision.action, decision.delay) == (action, delay)
    assert (decision.reason is None) == (action == "default")


def test_every_error_of_the_package_has_a_decision():
    covered = {type(error) for error, *_ in DECISIONS}
    leaves = {
        kind
        for kind in vars(exceptions).values()
        if isinstance(kind, type) and issubclass(kind, Exception) and not kind.__subclasses__()
    }
    assert {
        retry_decision(
            kind("x", **({"remaining": 1, "wanted": 2} if kind is ZohoLowCreditsError else {}))
        ).action
        for kind in leaves - covered
    } <= {"default"}


# --- Airflow -------------------------------------------------------------------------------------------------------


class Airflow:
    """What becomes of a task that fails, as far as this Airflow asks a policy or the exception."""

    fail = type(fail_exception(""))

    def __init__(self, zoho, **options):
        self.zoho = zoho
        self.operator = ZohoGetRecordsOperator(
            task_id="t",
            module="Leads",
            fields=["Last_Name"],
            retries=3,
            retry_policy=ZohoRetryPolicy(),
            **options,
        )

    def run(self, *answers):
        self.zoho.on("GET", "/crm/v8/Leads", *answers)
        with pytest.raises(Exception) as failed:  # whichever it is, it is looked at here
            self.operator.execute(context())
        return failed.value

    def fails_at_once(self, error):
        if not airflow_asks_retry_policies():
            return isinstance(error, self.fail)
        return self.operator.retry_policy.evaluate(error, 1, 3).action.value == "fail"


def test_an_operator_fails_at_once_where_no_other_try_helps(zoho):
    airflow = Airflow(zoho)
    error = airflow.run(refusal(400, "INVALID_MODULE"))
    assert airflow.fails_at_once(error)
    assert "INVALID_MODULE" in str(error)


def test_an_operator_is_tried_again_where_that_may_help(zoho):
    airflow = Airflow(zoho)
    error = airflow.run(refusal(500, "INTERNAL_ERROR"))
    assert isinstance(error, ZohoServerError)
    assert not airflow.fails_at_once(error)


def test_without_a_policy_the_error_is_zohos_on_every_airflow(zoho):
    zoho.on("GET", "/crm/v8/Leads", refusal(400, "INVALID_MODULE"))
    with pytest.raises(ZohoNotFoundError):
        ZohoGetRecordsOperator(task_id="t", module="Leads", fields=["Last_Name"]).execute(context())


def test_the_policy_may_be_a_default_argument_and_be_mapped():
    policy = ZohoRetryPolicy()
    made = ZohoGetRecordsOperator(task_id="t", module="Leads", default_args={"retry_policy": policy})
    assert made.retry_policy is policy
    mapped = ZohoGetRecordsOperator.partial(task_id="m", retry_policy=policy).expand(module=["Leads"])
    assert mapped.unmap({"module": "Leads"}).retry_policy is policy


def test_the_policy_survives_serialisation():
    described = json.loads(json.dumps(ZohoRetryPolicy().serialize()))
    assert described == {"__type": "airflow_provider_zohocrm.retry_policy.ZohoRetryPolicy"}
    assert isinstance(ZohoRetryPolicy.deserialize(described), ZohoRetryPolicy)


def test_airflow_is_told_the_delay_and_the_reason():
    if not airflow_asks_retry_policies():
        from airflow.models import BaseOperator

        # Nobody would ask it.
        assert not hasattr(BaseOperator, "retry_policy")
        return
    from airflow.sdk import RetryAction, RetryPolicy

    policy = ZohoRetryPolicy()
    assert isinstance(policy, RetryPolicy)
    told = policy.evaluate(rate_limit(retry_after=90.0), 1, 3, {})
    assert (told.action, told.retry_delay) == (RetryAction.RETRY, timedelta(seconds=90))
    assert told.reason.startswith("ZohoRateLimitError")
    assert policy.evaluate(ZohoServerError("x"), 1, 3).action is RetryAction.DEFAULT
    assert policy.evaluate(ZohoScopeError("x"), 1, 3).action is RetryAction.FAIL


# --- functions -----------------------------------------------------------------------------------------------------


def test_a_function_fails_at_once_where_no_other_try_helps():
    @fail_at_once
    def read(module: str) -> str:
        """Read."""
        raise ZohoNotFoundError(f"no {module}", status=400, code="INVALID_MODULE")

    with pytest.raises(Airflow.fail, match="ZohoNotFoundError: no Leads") as failed:
        read(module="Leads")
    assert isinstance(failed.value.__cause__, ZohoNotFoundError)
    assert (read.__name__, read.__doc__) == ("read", "Read.")


def test_a_function_raises_what_may_pass_and_returns_what_it_returns():
    @fail_at_once
    def read(error: Exception | None) -> int:
        if error:
            raise error
        return 3

    assert read(None) == 3
    for error in (ZohoServerError("x"), rate_limit(), KeyError("x")):
        with pytest.raises(type(error)):
            read(error)


def test_a_task_that_works_is_not_touched_by_its_policy(zoho):
    zoho.on("GET", "/crm/v8/Leads", page([{"id": "1", "Last_Name": "x"}]))
    made = ZohoGetRecordsOperator(
        task_id="t", module="Leads", fields=["Last_Name"], retry_policy=ZohoRetryPolicy()
    )
    assert made.execute(context()) == [{"id": "1", "Last_Name": "x"}]
