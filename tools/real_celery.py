"""A real Airflow on CeleryExecutor, spread over machines that share no files: PostgreSQL, Redis, workers, triggerers."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.processes import OwnedProcess, free_ports, wait_for
from tools.real_airflow import RealAirflow
from tools.real_postgres import RealPostgres
from tools.real_redis import RealRedis

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).parents[1]
_AIRFLOW = str(Path(sys.executable).with_name("airflow"))
# After a minute and not after five or ten, so that a killed worker is noticed while somebody waits for it.
_PATIENCE = {
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT": "60",
    "AIRFLOW__SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "15",
}


class Machine:
    """A machine of the cluster: a home, a temporary folder and a copy of the DAGs of its own.

    :param name: as Airflow shows it in the column *hostname*.
    :param home: an empty folder.
    :param environment: of its programs.
    :param commands: the arguments of ``airflow`` for each program that runs on it.
    """

    def __init__(
        self, name: str, home: Path, environment: Mapping[str, str], commands: Mapping[str, list[str]]
    ) -> None:
        self.name = name
        self.home = home
        self.dags = home / "dags"
        self.killed = False
        self.revived: list[str] = []
        self.environment = {
            **environment,
            "MACHINE_NAME": name,
            "TMPDIR": str(home / "tmp"),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
        }
        self.programs = {
            program: OwnedProcess(
                [_AIRFLOW, *arguments], log=home / f"{program}.log", environment=self.environment
            )
            for program, arguments in commands.items()
        }

    def furnish(self, dags_folder: Path) -> None:
        """Make its folders, and copy the DAGs to it."""
        (self.home / "tmp").mkdir(parents=True)
        shutil.copytree(dags_folder, self.dags)

    def start(self) -> None:
        """Start its programs."""
        for program in self.programs.values():
            program.start()

    def check(self) -> None:
        """Make sure that its programs run, unless it was killed."""
        for program in self.programs.values():
            if not self.killed:
                program.check()

    def revive(self) -> None:
        """Start those of its programs again that have ended, as systemd and Kubernetes do."""
        for name, program in self.programs.items():
            if not program.running:
                program.kill()  # what it has left behind
                program.start()
                self.revived.append(name)

    def kill(self) -> None:
        """End all of its processes at once, as when the power fails."""
        self.killed = True
        for program in self.programs.values():
            program.kill()

    def stop(self) -> None:
        """End its programs."""
        with ExitStack() as programs:
            for program in self.programs.values():
                programs.callback(program.stop)


class CeleryAirflow(RealAirflow):
    """Airflow on PostgreSQL and Redis: a machine for API server, scheduler and DAG processor, one for each worker and triggerer.

    :param home: an empty folder; each machine has one of its own in it. Kept afterwards.
    :param dags_folder: the folder whose DAGs it runs.
    :param environment: further variables for all machines.
    :param workers: how many Celery workers.
    :param triggerers: how many triggerers.
    :param concurrency: tasks that a worker runs at a time.
    :param revives: programs that end are started again, and are no error.
    """

    def __init__(
        self,
        home: Path,
        dags_folder: Path,
        *,
        environment: Mapping[str, str] | None = None,
        workers: int = 2,
        triggerers: int = 2,
        concurrency: int = 8,
        revives: bool = False,
    ) -> None:
        super().__init__(home / "control", dags_folder, environment=environment)
        home.mkdir(parents=True, exist_ok=True)
        self._dags_folder = dags_folder
        self._folder = home
        self._concurrency = concurrency
        self._revives = revives
        self._postgres = RealPostgres(home / "postgres.log")
        self._redis = RealRedis(home / "redis.log")
        self._common = self._cluster_environment(dags_folder, environment or {})
        core = {"scheduler": ["scheduler"], "dag-processor": ["dag-processor"], "api-server": ["api-server"]}
        self.control = self._machine("control", core)
        self._process = self.control.programs["api-server"]
        self.workers = [self._worker(f"worker-{number + 1}") for number in range(workers)]
        self.triggerers = [
            self._machine(f"triggerer-{number + 1}", {"triggerer": ["triggerer"]})
            for number in range(triggerers)
        ]

    @property
    def machines(self) -> list[Machine]:
        """All machines that run Airflow."""
        return [self.control, *self.workers, *self.triggerers]

    def start(self, timeout: float = 300) -> None:
        """Start all machines, and log in as soon as Airflow is healthy."""
        self._postgres.__enter__()
        self._redis.__enter__()
        for machine in self.machines:
            machine.furnish(self._dags_folder)
        self._migrate()
        for machine in self.machines:
            # The API server is started by the base class.
            if machine is not self.control:
                machine.start()
        self.control.programs["scheduler"].start()
        self.control.programs["dag-processor"].start()
        super().start(timeout)
        self._wait("the Celery workers", self._workers_ready, timeout=timeout)

    def stop(self) -> None:
        """End every process of all machines, and of PostgreSQL and Redis."""
        with ExitStack() as afterwards:
            # All of it, also when some of it fails.
            afterwards.callback(self._postgres.__exit__)
            afterwards.callback(self._redis.__exit__)
            afterwards.callback(super().stop)
            with ThreadPoolExecutor() as stopping:
                list(stopping.map(Machine.stop, self.machines))

    def lose_database(self, seconds: float) -> None:
        """Have PostgreSQL fail, and come back; wait until Airflow is healthy again.

        :param seconds: how long it is away.
        """
        self._postgres.crash()
        time.sleep(seconds)
        self._postgres.restart()
        self._wait("Airflow to be healthy again", self._healthy, timeout=180)

    def tail(self, lines: int = 40) -> str:
        """Return the last lines that each program has printed."""
        return "\n".join(
            f"--- {machine.name} {name}\n{program.tail(lines)}"
            for machine in self.machines
            for name, program in machine.programs.items()
        )

    def task_log(
        self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1
    ) -> str:
        """Return the log of one try of a task, from the machines that it ran on."""
        folder = f"dag_id={dag_id}/run_id={run_id}/task_id={task_id}"
        if map_index >= 0:
            folder += f"/map_index={map_index}"
        found = [
            path
            for machine in self.machines
            for path in sorted(machine.home.glob(f"logs/{folder}/attempt={try_number}.log*"))
        ]
        return "\n".join(f"--- {path}\n{path.read_text(errors='replace')}" for path in found)

    # ---------------------------------------------------------------------------------------------- details

    def _cluster_environment(self, dags_folder: Path, own: Mapping[str, str]) -> dict[str, str]:
        environment = self._environment(dags_folder, own)
        return {
            **environment,
            # Only the code is shared: of the package, and the one that names a machine.
            "PYTHONPATH": str(ROOT),
            "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
            "AIRFLOW__CORE__PARALLELISM": "64",
            "AIRFLOW__CORE__HOSTNAME_CALLABLE": "tools.machine_name.machine_name",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": self._postgres.url,
            "AIRFLOW__CELERY__BROKER_URL": self._redis.url,
            "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{self._postgres.url}",
            **_PATIENCE,
            **own,
        }

    def _machine(self, name: str, commands: Mapping[str, list[str]]) -> Machine:
        worker_logs, trigger_logs = free_ports(2)
        environment = {
            **self._common,
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_logs),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_logs),
        }
        return Machine(name, self._folder / name, environment, commands)

    def _worker(self, name: str) -> Machine:
        command = ["celery", "worker", "--celery-hostname", f"{name}@%h"]
        return self._machine(name, {"worker": [*command, "--concurrency", str(self._concurrency)]})

    def _migrate(self) -> None:
        done = subprocess.run(
            [_AIRFLOW, "db", "migrate"],
            env=self.control.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"airflow db migrate ended with {done.returncode}:\n{done.stdout[-4000:]}")

    def _workers_ready(self) -> bool:
        return all(" ready." in machine.programs["worker"].tail(400) for machine in self.workers)

    def _wait(self, what: str, look: Callable[[], Any], *, timeout: float) -> Any:
        def look_while_all_run() -> Any:
            for machine in self.machines:
                if self._revives:
                    machine.revive()
                else:
                    machine.check()
            return look()

        return wait_for(what, look_while_all_run, timeout=timeout)
