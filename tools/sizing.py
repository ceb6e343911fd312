"""Measure what one Celery worker and one triggerer do: small extracts, large ones, and jobs that are waited for.

    make sizing

Wall times hold for this machine only, which also runs the simulated CRM, PostgreSQL, Redis and the rest of Airflow; CPU
times are those of the worker or the triggerer alone.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from tools.processes import end_like_ctrl_c_on_sigterm, wait_for
from tools.real_airflow import ENDED
from tools.real_celery import CeleryAirflow, Machine
from tools.simulated_zoho import SimulatedZoho

if TYPE_CHECKING:
    from collections.abc import Callable

DAGS_FOLDER = Path(__file__).parent / "dags"
DAG = "many_extracts"
SMALL, LARGE = 1_000, 200_000
SEEDS = {"Accounts": SMALL, "Leads": LARGE}
CONCURRENCY = 8
MIB = 1 << 20


@dataclass
class Use:
    """What the programs of a machine have used.

    :param cpu: seconds, of processes that have ended too.
    :param memory: bytes; what processes share is counted once.
    """

    cpu: float
    memory: int


def use_of(machine: Machine) -> Use:
    """Add up the processes of a machine."""
    cpu, memory = 0.0, 0
    for program in machine.programs.values():
        for process in program.living():
            try:
                times, pss = process.cpu_times(), process.memory_full_info().pss
            except psutil.NoSuchProcess:
                continue
            cpu += times.user + times.system + times.children_user + times.children_system
            memory += pss
    return Use(cpu, memory)


class Sizing:
    """The measurements, each a run of the DAG.

    :param zoho: the simulated CRM, running.
    :param airflow: one worker and one triggerer, running.
    :param output: the folder that the DAG writes to.
    """

    def __init__(self, zoho: SimulatedZoho, airflow: CeleryAirflow, output: Path) -> None:
        self.zoho = zoho
        self.airflow = airflow
        self.output = output
        (self.worker,) = airflow.workers
        (self.triggerer,) = airflow.triggerers

    def idle(self) -> None:
        """Print what waits for work."""
        for machine in (self.worker, self.triggerer):
            print(f"{machine.name} idle: {use_of(machine).memory / MIB:,.0f} MiB", flush=True)

    def small(self, count: int) -> None:
        """Measure many extracts of few records."""
        self._work(f"{count} lists of {SMALL:,} records", "Accounts", "records", "jsonl", count)

    def large(self, count: int) -> None:
        """Measure few extracts of many records."""
        self._work(f"{count} COQL reads of {LARGE:,} records", "Leads", "coql", "parquet", count)
        self._work(f"{count} bulk reads of {LARGE:,} records", "Leads", "bulk", "parquet", count)

    def waiting(self, count: int, seconds: float) -> None:
        """Measure the triggerer while it waits for that many jobs; they do not end.

        :param seconds: how long, after the last task was deferred.
        """
        self.zoho.set_options(job_stuck=True)
        run = self._start("Accounts", "bulk", "parquet", count)
        wait_for("all tasks to be deferred", lambda: self._deferred(run) == count, timeout=1800, interval=2)
        before, began = use_of(self.triggerer), time.monotonic()
        time.sleep(seconds)
        after, took = use_of(self.triggerer), time.monotonic() - began
        print(
            f"{count} jobs waited for: {(after.cpu - before.cpu) / took:.1%} of a core, "
            f"{after.memory / MIB:,.0f} MiB in the triggerer",
            flush=True,
        )

    def _work(self, what: str, module: str, strategy: str, suffix: str, count: int) -> None:
        before, began, most = use_of(self.worker), time.monotonic(), 0

        def look() -> None:
            nonlocal most
            most = max(most, use_of(self.worker).memory)

        run = self._start(module, strategy, suffix, count)
        self._wait(run, look)
        took, cpu = time.monotonic() - began, use_of(self.worker).cpu - before.cpu
        rows = count * SEEDS[module]
        tries = sum(each["try_number"] for each in self._tasks(run))
        print(
            f"{what}: {took:.0f} s, {rows * 3600 / took:,.0f} rows an hour, {count * 3600 / took:,.0f} tasks an hour; "
            f"worker: {cpu / count:.1f} s of CPU a task, {most / MIB:,.0f} MiB at most; {tries} tries",
            flush=True,
        )

    def _start(self, module: str, strategy: str, suffix: str, count: int) -> str:
        extracts = [
            {
                "module": module,
                "strategy": strategy,
                "output_path": str(self.output / f"{module}-{strategy}-{number}" / f"part.{suffix}"),
            }
            for number in range(count)
        ]
        return self.airflow.trigger(DAG, {"extracts": extracts})

    def _wait(self, run: str, look: Callable[[], None] = lambda: None) -> None:
        def ended() -> str | None:
            look()
            state = self.airflow.run_state(DAG, run)
            return state if state in ENDED else None

        state = wait_for(f"the end of {run}", ended, timeout=3600, interval=2)
        if state != "success":
            raise RuntimeError(f"The run ended as {state}.\n{self.airflow.tail()}")

    def _tasks(self, run: str) -> list[dict[str, Any]]:
        return [each for each in self.airflow.task_instances(DAG, run) if each["task_id"] == "extract"]

    def _deferred(self, run: str) -> int:
        return sum(each["state"] == "deferred" for each in self._tasks(run))


def main() -> int:
    """Measure, and print a line for each case."""
    parser = argparse.ArgumentParser(prog="make sizing", description=__doc__)
    parser.add_argument("--small", type=int, default=60, help="extracts of few records (default 60)")
    parser.add_argument("--large", type=int, default=4, help="extracts of many records (default 4)")
    parser.add_argument("--waiting", type=int, default=60, help="jobs to be waited for (default 60)")
    given = parser.parse_args()
    end_like_ctrl_c_on_sigterm()
    with tempfile.TemporaryDirectory(prefix="sizing-") as folder:
        home = Path(folder)
        options = {"job_seconds": 1, "downloads_per_minute": 1000}
        with (
            SimulatedZoho(SEEDS, log=home / "simulator.log", options=options) as zoho,
            CeleryAirflow(
                home / "machines", DAGS_FOLDER, workers=1, triggerers=1, concurrency=CONCURRENCY
            ) as airflow,
        ):
            airflow.create_connection("zohocrm_default", "zohocrm", **zoho.connection())
            airflow.create_pool("zoho_crm", 1000)
            airflow.wait_for_dags([DAG])
            sizing = Sizing(zoho, airflow, home / "output")
            sizing.idle()
            sizing.small(given.small)
            sizing.large(given.large)
            sizing.waiting(given.waiting, 60)
    return 0


if __name__ == "__main__":
    sys.exit(main())
