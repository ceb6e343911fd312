"""pytest plugin: the fixture ``zohocrm_simulator``.

pytest loads this module in every project that has the package installed, so it imports neither Airflow nor the
simulator's web framework before a test asks for the fixture.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_zohocrm.simulator.server import Simulator

_LOOPBACK = "127.0.0.1,localhost"


@pytest.fixture
def zohocrm_simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """Zoho CRM on a free port of this machine, with the Airflow connection ``zohocrm_default`` that leads to it.

    Seed it, set its options and plan its faults through the simulator itself (``seed``, ``configure``, ``add_fault``);
    ``requests``, ``counters``, ``writes`` and ``table`` tell what happened.
    """
    try:
        from airflow_provider_zohocrm.simulator.server import Simulator
    except ImportError as error:
        pytest.fail(f"zohocrm_simulator: {error}; install airflow-provider-zohocrm[simulator]", pytrace=False)
    with Simulator() as simulator:
        monkeypatch.setenv("AIRFLOW_CONN_ZOHOCRM_DEFAULT", json.dumps(simulator.connection))
        # A proxy of the environment does not know the way to the loopback of this machine.
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.setenv(name, ",".join(filter(None, (os.environ.get(name), _LOOPBACK))))
        yield simulator
