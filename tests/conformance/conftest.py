"""Judges that nobody here wrote: Zoho's Python SDK and Zoho's OpenAPI files."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import pytest

from airflow_provider_zohocrm.simulator.server import Simulator
from conformance.sdk import SDK

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = {
    "Leads": 450,
    "Contacts": 120,
    "Accounts": 40,
    "Events": 20,
    "Deals": 60,
    "Products": 20,
    "Campaigns": 10,
}


@pytest.fixture(scope="package")
def running() -> Iterator[Simulator]:
    with Simulator(SEED) as simulator:
        yield simulator


@pytest.fixture
def simulator(running: Simulator) -> Iterator[Simulator]:
    """The simulator with its seeded data; tokens and the SDK's session outlive the test."""
    running.configure(mint_limit=1000)
    yield running
    running.seed(SEED)
    tokens = dict(running.state.tokens._live)
    running.reset()
    running.state.tokens._live.update(tokens)


@pytest.fixture(scope="package")
def sdk_session(running: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SDK]:
    if importlib.util.find_spec("zohocrmsdk") is None:
        pytest.skip("Zoho's SDK (zohocrmsdk8-0) is not installed beside this Airflow")
    session = SDK(running, tmp_path_factory.mktemp("sdk"))
    session.initialize()
    yield session
    session.close()


@pytest.fixture
def sdk(simulator: Simulator, sdk_session: SDK) -> Iterator[SDK]:
    """Zoho's SDK, with a token."""
    yield sdk_session
    if sdk_session.elsewhere:
        simulator.configure(token_life=3600)
        sdk_session.initialize()
