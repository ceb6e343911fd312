from __future__ import annotations

import pytest
import tenacity

from airflow_provider_zohocrm.client import retry
from airflow_provider_zohocrm.client.calls import Call
from airflow_provider_zohocrm.client.retry import RetryPolicy
from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoAuthenticationError,
    ZohoNotFoundError,
    ZohoRateLimitError,
    ZohoResponseError,
    ZohoScopeError,
    ZohoServerError,
    ZohoTokenThrottledError,
    ZohoTransportError,
    ZohoValidationError,
)

READ = Call("GET", "/crm/v8/Leads")
INSERT = Call("POST", "/crm/v8/Leads", repeatable=False)
DOWNLOAD = Call("GET", "/crm/bulk/v8/read/1/result", pause=60.0)
POLICY = RetryPolicy()


def api(kind, status=400, retry_after=None):
    return kind("text", status=status, retry_after=retry_after)


@pytest.mark.parametrize(
    ("error", "read", "insert"),
    [
        (api(ZohoRateLimitError, 429), True, True),
        (api(ZohoServerError, 500), True, False),
        (api(ZohoServerError, 503), True, False),
        (ZohoTransportError("lost", sent=True), True, False),
        (ZohoTransportError("refused", sent=False), True, True),
        (api(ZohoAPIError), False, False),
        (api(ZohoAuthenticationError, 401), False, False),
        (api(ZohoTokenThrottledError, 400), False, False),
        (api(ZohoScopeError, 401), False, False),
        (api(ZohoNotFoundError, 404), False, False),
        (ZohoResponseError("text"), False, False),
        (ZohoValidationError("text"), False, False),
        (KeyError("bug"), False, False),
    ],
)
def test_what_is_repeated(error, read, insert):
    assert POLICY.is_retryable(error, READ) is read
    assert POLICY.is_retryable(error, INSERT) is insert


@pytest.mark.parametrize(("kind", "status"), [(ZohoRateLimitError, 429), (ZohoServerError, 503)])
@pytest.mark.parametrize(
    ("seconds", "repeated"), [(None, True), (0.0, True), (300.0, True), (301.0, False), (86400.0, False)]
)
def test_a_wait_longer_than_the_limit_fails_at_once(kind, status, seconds, repeated):
    assert POLICY.is_retryable(api(kind, status, seconds), READ) is repeated


@pytest.mark.parametrize("call", [READ, INSERT, DOWNLOAD])
@pytest.mark.parametrize("seconds", [0.0, 1.5, 60.0])
def test_what_zoho_asks_for_is_waited_exactly(call, seconds):
    assert POLICY.wait(api(ZohoRateLimitError, 429, seconds), 1, call) == seconds
    assert POLICY.wait(api(ZohoRateLimitError, 429, seconds), 9, call) == seconds


def test_a_refused_download_waits_until_the_minute_is_over():
    assert POLICY.wait(api(ZohoRateLimitError, 429), 1, DOWNLOAD) == 60.0


def test_a_broken_download_does_not_wait_the_minute(monkeypatch):
    monkeypatch.setattr(retry.random, "uniform", lambda low, high: high)
    assert POLICY.wait(ZohoTransportError("cut"), 1, DOWNLOAD) == 2.0


@pytest.mark.parametrize(
    "error", [api(ZohoRateLimitError, 429), api(ZohoServerError, 500), ZohoTransportError("lost"), None]
)
def test_otherwise_the_wait_grows_from_2_to_60_seconds_with_full_jitter(monkeypatch, error):
    bounds = []
    monkeypatch.setattr(retry.random, "uniform", lambda low, high: bounds.append((low, high)) or low)
    for attempt in range(1, 9):
        POLICY.wait(error, attempt, READ)
    assert [low for low, _ in bounds] == [0] * 8
    assert [high for _, high in bounds] == [2, 4, 8, 16, 32, 60, 60, 60]


def test_jitter_spreads_the_waits():
    waits = {POLICY.wait(ZohoTransportError("x"), 6, READ) for _ in range(50)}
    assert len(waits) > 40
    assert min(waits) >= 0
    assert max(waits) <= 60


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_the_options_make_tenacity_try_that_often_and_raise_the_error_itself(retries, caplog):
    tries = []

    def fail():
        tries.append(1)
        raise ZohoTransportError("lost")

    with pytest.raises(ZohoTransportError, match="lost"):
        tenacity.Retrying(sleep=lambda _: None, **RetryPolicy(retries=retries).options(READ))(fail)
    assert len(tries) == retries + 1
    assert len([one for one in caplog.records if one.levelname == "WARNING"]) == retries


def test_the_log_says_which_try_is_next_and_why(caplog):
    def fail():
        raise api(ZohoRateLimitError, 429, 12.0)

    with pytest.raises(ZohoRateLimitError):
        tenacity.Retrying(sleep=lambda _: None, **RetryPolicy(retries=1).options(READ))(fail)
    assert "Try 2 of 2 in 12.0 s: text" in caplog.text


def test_a_short_outage_is_bridged_by_default(monkeypatch):
    monkeypatch.setattr(retry.random, "uniform", lambda low, high: (low + high) / 2)
    waits = [POLICY.wait(ZohoTransportError("x"), attempt, READ) for attempt in range(1, POLICY.retries + 1)]
    assert sum(waits) > 60
