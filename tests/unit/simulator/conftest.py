"""A running simulator, shared by the tests of a session and put back after each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from airflow_provider_zohocrm.simulator.server import Simulator
from simulator.wire import Zoho

if TYPE_CHECKING:
    from collections.abc import Iterator


SEED = {"Leads": 450, "Contacts": 120, "Accounts": 40, "Events": 40, "Deals": 90}


@pytest.fixture(scope="session")
def running() -> Iterator[Simulator]:
    with Simulator(SEED) as simulator:
        yield simulator


@pytest.fixture
def zoho(running: Simulator) -> Iterator[Zoho]:
    client = Zoho(running)
    running.state.journal.clear()
    yield client
    client.session.close()
    changed = {name: count for name, count in SEED.items() if running.state.store.seeded[name] != count}
    if changed:
        running.seed(changed)
    running.reset()
