from __future__ import annotations

import inspect

import pytest

from airflow_provider_zohocrm import exceptions
from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoAuthenticationError,
    ZohoBulkReadError,
    ZohoBulkReadTimeoutError,
    ZohoConfigurationError,
    ZohoCRMError,
    ZohoTokenThrottledError,
    ZohoTransportError,
    ZohoValidationError,
)

ALL = [
    one for _, one in inspect.getmembers(exceptions, inspect.isclass) if one.__module__ == exceptions.__name__
]


@pytest.mark.parametrize("kind", ALL)
def test_every_error_is_on_the_one_root(kind):
    assert issubclass(kind, ZohoCRMError)
    assert kind.__doc__


def test_the_root_is_a_plain_exception():
    assert ZohoCRMError.__bases__ == (Exception,)


@pytest.mark.parametrize("kind", [ZohoConfigurationError, ZohoValidationError])
def test_wrong_input_is_a_value_error(kind):
    assert issubclass(kind, ValueError)


@pytest.mark.parametrize(
    ("kind", "parent"),
    [(ZohoTokenThrottledError, ZohoAuthenticationError), (ZohoBulkReadTimeoutError, ZohoBulkReadError)],
)
def test_a_special_case_is_caught_by_the_general_one(kind, parent):
    assert issubclass(kind, parent)


@pytest.mark.parametrize("kind", [one for one in ALL if issubclass(one, ZohoAPIError)])
def test_a_refusal_carries_what_zoho_said(kind):
    error = kind("text", status=400, code="X", details=["a"], retry_after=3.0)
    assert (str(error), error.status, error.code, error.details, error.retry_after) == (
        "text",
        400,
        "X",
        ["a"],
        3.0,
    )


def test_what_zoho_did_not_say_is_empty():
    error = ZohoAPIError("text", status=500)
    assert (error.code, error.details, error.retry_after, error.results) == ("", {}, None, ())


def test_a_transport_error_counts_as_sent_unless_known_otherwise():
    assert ZohoTransportError("text").sent is True
    assert ZohoTransportError("text", sent=False).sent is False


def test_results_of_one_error_are_not_those_of_another():
    first = ZohoCRMError("a")
    first.results = [{"code": "SUCCESS"}]
    assert ZohoCRMError("b").results == ()
