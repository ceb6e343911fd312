"""One simulator for all cells, and everything that waits made quick."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest
from support.connection import CONNECTION

from airflow_provider_zohocrm.client import versions
from airflow_provider_zohocrm.client.aio import AsyncTransport
from airflow_provider_zohocrm.client.retry import RetryPolicy
from airflow_provider_zohocrm.client.transport import Transport
from airflow_provider_zohocrm.loading import load
from airflow_provider_zohocrm.loading.bulk_rows import BulkTarget
from airflow_provider_zohocrm.sensors import base as sensors
from airflow_provider_zohocrm.simulator.server import Simulator
from airflow_provider_zohocrm.triggers import condition as condition_triggers, jobs as job_triggers
from faults.subjects import PAGE, SEED, World

if TYPE_CHECKING:
    from collections.abc import Iterator

RETRIES = 3


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    with Simulator(SEED, bulk_page_size=PAGE, downloads_per_minute=10_000, mint_limit=10_000) as simulator:
        world = World(simulator)
        assert world.before
        yield world


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few repetitions at once, small pages, calls and files."""
    options = RetryPolicy.options

    def at_once(self: RetryPolicy, call: Any) -> dict[str, Any]:
        few = dataclasses.replace(self, retries=min(self.retries, RETRIES))
        return {**options(few, call), "wait": lambda _: 0.0}

    async def no_pause(seconds: float) -> None:
        pass

    monkeypatch.setattr(RetryPolicy, "options", at_once)
    # Between two tries to get a token.
    monkeypatch.setattr(Transport, "_pause", staticmethod(lambda seconds: None))
    monkeypatch.setattr(AsyncTransport, "_pause", staticmethod(no_pause))
    monkeypatch.setitem(versions.VERSIONS, "v8", dataclasses.replace(versions.VERSIONS["v8"], coql_page=60))
    monkeypatch.setattr(load, "RECORDS_PER_WRITE", 10)
    monkeypatch.setattr(load, "DELAYS", (0.01,) * len(load.DELAYS))
    # Seconds that Zoho names.
    for module in (sensors, condition_triggers, job_triggers):
        pause = module.pause_after
        monkeypatch.setattr(module, "pause_after", lambda error, pause=pause: pause(error) / 50)
    of = BulkTarget.of
    monkeypatch.setattr(BulkTarget, "of", lambda *args, **kwargs: of(*args, **kwargs)._replace(max_rows=20))


@pytest.fixture
def simulator(world: World, monkeypatch: pytest.MonkeyPatch) -> Simulator:
    """The simulator as it was seeded, and the connection to it."""
    simulator = world.simulator
    simulator.reset()
    # By a name, so that it can be looked up in vain.
    simulator.options.api_domain = f"http://localhost:{simulator.port}"
    extra = {
        **CONNECTION["extra"],
        "refresh_token": simulator.refresh_token,
        "accounts_url": simulator.url,
    }
    fields = {"login": simulator.client_id, "password": simulator.client_secret}
    monkeypatch.setenv("AIRFLOW_CONN_ZOHOCRM_DEFAULT", json.dumps({**CONNECTION, **fields, "extra": extra}))
    return simulator
