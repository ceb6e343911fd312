"""The simulator over a real socket, with a connection to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_zohocrm.simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def simulated(connection: Any) -> Iterator[Callable[..., Simulator]]:
    """Start simulators; the connection names the accounts server only, so ``api_domain`` is followed."""
    started: list[Simulator] = []

    def start(
        seed: dict[str, int] | None = None, conn_id: str = "zohocrm_default", **options: Any
    ) -> Simulator:
        simulator = Simulator(seed, **options)
        simulator.start()
        started.append(simulator)
        extra = {"refresh_token": simulator.refresh_token, "accounts_url": simulator.url}
        connection(conn_id, login=simulator.client_id, password=simulator.client_secret, extra=extra)
        return simulator

    yield start
    for simulator in started:
        simulator.close()
