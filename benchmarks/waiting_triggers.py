"""Two thousand BulkReadJobTriggers that wait in one event loop, as in a triggerer; prints what they cost as JSON.

    python -m benchmarks.waiting_triggers --triggers 2000 --seconds 75

The simulated CRM runs in a process of its own. The time begins when all triggers have been started, as a triggerer does
in batches of 50.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from tools.simulated_zoho import SimulatedZoho

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH = 50
BEAT = 0.01


@contextmanager
def airflow_home() -> Iterator[None]:
    """Keep Airflow, which reads all of this when it is imported, away from what the user has set up."""
    with tempfile.TemporaryDirectory() as home:
        os.environ.update(AIRFLOW_HOME=home, AIRFLOW__CORE__LOAD_EXAMPLES="False", NO_PROXY="127.0.0.1")
        yield


async def measure(job_id: str, triggers: int, seconds: float) -> dict[str, Any]:
    """Run triggers for some time and cancel them.

    :param seconds: how long they wait after all have been started.
    """
    import aiohttp

    from airflow_provider_zohocrm.triggers.bulk_read import BulkReadJobTrigger

    sessions = 0
    made = aiohttp.ClientSession.__init__

    def counting(self: aiohttp.ClientSession, *args: Any, **kwargs: Any) -> None:
        nonlocal sessions
        sessions += 1
        made(self, *args, **kwargs)

    aiohttp.ClientSession.__init__ = counting  # type: ignore[method-assign]
    lags: list[float] = []
    events: list[Any] = []

    async def beat() -> None:
        while True:
            due = time.perf_counter() + BEAT
            await asyncio.sleep(BEAT)
            lags.append(time.perf_counter() - due)

    async def wait() -> None:
        trigger = BulkReadJobTrigger(job_id, "zohocrm_default", end_time=time.time() + 6 * 3600)
        events.extend([event.payload async for event in trigger.run()])

    beating = asyncio.create_task(beat())
    began, used = time.perf_counter(), time.process_time()
    waiting = []
    for number in range(triggers):
        waiting.append(asyncio.create_task(wait()))
        if number % BATCH == BATCH - 1:
            await asyncio.sleep(0)
    await asyncio.sleep(seconds)
    elapsed, used = time.perf_counter() - began, time.process_time() - used
    beating.cancel()
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    aiohttp.ClientSession.__init__ = made  # type: ignore[method-assign]
    quantiles = statistics.quantiles(lags, n=1000)
    return {
        "triggers": triggers,
        "seconds": round(elapsed, 1),
        "events": len(events),
        "lag_p50_ms": round(quantiles[499] * 1000, 2),
        "lag_p99_ms": round(quantiles[989] * 1000, 2),
        "lag_max_ms": round(max(lags) * 1000, 2),
        "cpu_share_of_a_core": round(used / elapsed, 3),
        "sessions": sessions,
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def main() -> None:
    """Start the CRM, create one job that never ends, and have all triggers wait for it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--triggers", type=int, default=2000)
    parser.add_argument("--seconds", type=float, default=75.0)
    options = parser.parse_args()
    with airflow_home(), tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "simulator.log"
        with SimulatedZoho({"Leads": 10}, log=log, options={"job_stuck": "on"}) as crm:
            fields = crm.connection()
            fields["extra"]["auth_store"] = "memory"
            os.environ["AIRFLOW_CONN_ZOHOCRM_DEFAULT"] = json.dumps({"conn_type": "zohocrm", **fields})
            # What a triggerer has imported before it meets its first trigger.
            import airflow.jobs.triggerer_job_runner  # noqa: F401

            from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook

            job = ZohoCRMHook().create_bulk_read_job("Leads", fields=["Last_Name"])
            # The hook's token is no longer there for the triggers.
            from airflow_provider_zohocrm.client.tokens import PROCESS_TOKENS

            PROCESS_TOKENS.__init__()
            control = f"{crm.url}/__simulator__"
            requests.delete(f"{control}/requests", timeout=30).raise_for_status()
            minted = requests.get(f"{control}/counters", timeout=30).json()["tokens_minted"]
            result = asyncio.run(measure(str(job["id"]), options.triggers, options.seconds))
            counters = requests.get(f"{control}/counters", timeout=30).json()
            result["tokens_minted"] = counters["tokens_minted"] - minted
            looks = requests.get(f"{control}/requests", timeout=120).json()["requests"]
            times = sorted(one["time"] for one in looks if "/bulk/" in one["path"])
            result["looks"] = len(times)
            result["most_looks_in_a_second"] = max(
                sum(begin <= other < begin + 1 for other in times)
                for begin in times[:: max(1, len(times) // 200)]
            )
            print(json.dumps(result))


if __name__ == "__main__":
    main()
