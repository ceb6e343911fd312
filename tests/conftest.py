"""An Airflow of the tests' own, and a Zoho that answers what a test says."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import tempfile
from typing import TYPE_CHECKING

import pytest
from support.connection import CONNECTION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any


def _give_airflow_a_home() -> None:
    """Keep Airflow, which reads all of this when it is imported, away from whatever the user has set up."""
    for name in list(os.environ):
        if name.startswith(("AIRFLOW__", "AIRFLOW_CONN_", "AIRFLOW_VAR_")):
            del os.environ[name]
    home = tempfile.mkdtemp(prefix="airflow-home-")
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    os.environ["AIRFLOW_HOME"] = home
    os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
    # aiohttp and requests ask the environment for a proxy; none knows the way to this machine's loopback.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"


_give_airflow_a_home()


@pytest.fixture(autouse=True)
def no_token_of_another_test() -> Iterator[None]:
    from airflow_provider_zohocrm.client import renewal
    from airflow_provider_zohocrm.client.tokens import PROCESS_TOKENS

    kept = (PROCESS_TOKENS._tokens, renewal._unshared, renewal._warned)
    for one in kept:
        one.clear()
    yield
    for one in kept:
        one.clear()


@pytest.fixture(autouse=True)
def no_download_of_another_test() -> Iterator[None]:
    from airflow_provider_zohocrm.client import bulk_read

    bulk_read._windows.clear()
    yield
    bulk_read._windows.clear()


@pytest.fixture(autouse=True)
def no_limiter_of_another_test() -> Iterator[None]:
    from airflow_provider_zohocrm.client import limiter

    limiter._limiters.clear()
    yield
    limiter._limiters.clear()


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the connection ``zohocrm_default``; called once with the defaults, and by tests to change fields."""

    def define(conn_id: str = "zohocrm_default", extra: dict[str, Any] | None = None, **fields: Any) -> None:
        value = {**CONNECTION, **fields, "extra": {**CONNECTION["extra"], **(extra or {})}}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(value))

    define()
    return define


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Repeat refused calls at once; the list holds what the policy would have waited."""
    from airflow_provider_zohocrm.client.aio import AsyncTransport
    from airflow_provider_zohocrm.client.retry import RetryPolicy
    from airflow_provider_zohocrm.client.transport import Transport

    waits: list[float] = []
    options = RetryPolicy.options

    def at_once(self: RetryPolicy, call: Any) -> dict[str, Any]:
        given, decided = options(self, call), [0.0]

        def wait(state: Any) -> float:
            # Tenacity asks after the last try too, and does not wait then.
            decided[0] = given["wait"](state)
            return 0.0

        def before_sleep(state: Any) -> None:
            waits.append(decided[0])
            given["before_sleep"](state)

        return {**given, "wait": wait, "before_sleep": before_sleep}

    async def async_pause(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(RetryPolicy, "options", at_once)
    # Between two tries to get a token.
    monkeypatch.setattr(Transport, "_pause", staticmethod(waits.append))
    monkeypatch.setattr(AsyncTransport, "_pause", staticmethod(async_pause))
    return waits


@pytest.fixture
def zoho(connection: Any, no_waiting: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Zoho by script, for requests and, through the same script, for the asynchronous transport."""
    import requests_mock
    from support.zoho import ScriptedZoho, answer_by_requests

    from airflow_provider_zohocrm.client.aio import AsyncTransport

    monkeypatch.setattr(AsyncTransport, "_request", answer_by_requests)
    with requests_mock.Mocker(case_sensitive=True) as mocker:
        yield ScriptedZoho(mocker)
