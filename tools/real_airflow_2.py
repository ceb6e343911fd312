"""A real Airflow 2.11 on this machine: scheduler and triggerer, used through its commands and read from its database."""

from __future__ import annotations

import json
import secrets
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.airflow_environment import airflow_environment
from tools.processes import OwnedProcess, free_ports, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from typing_extensions import Self

ENDED = {"success", "failed"}


class RealAirflow2:
    """Scheduler and triggerer of Airflow 2.11 with SQLite and LocalExecutor, in a home of their own, as a context manager.

    :param home: an empty folder for configuration, database and logs; kept afterwards.
    :param dags_folder: the folder whose DAGs it runs.
    :param environment: variables for Airflow and its tasks. Those of the caller that configure Airflow are left out.
    """

    def __init__(
        self, home: Path, dags_folder: Path, *, environment: Mapping[str, str] | None = None
    ) -> None:
        self.home = home
        self._database = home / "airflow.db"
        self._program = str(Path(sys.executable).with_name("airflow"))
        self._variables = self._environment(dags_folder, environment or {})
        self._processes = {
            name: OwnedProcess([self._program, name], log=home / f"{name}.log", environment=self._variables)
            for name in ("scheduler", "triggerer")
        }

    def __enter__(self) -> Self:
        self.home.mkdir(parents=True, exist_ok=True)
        self.command("db", "migrate")
        for process in self._processes.values():
            process.start()
        return self

    def __exit__(self, *exception: object) -> None:
        with ExitStack() as stopping:
            for process in self._processes.values():
                stopping.callback(process.stop)

    def command(self, *arguments: str) -> str:
        """Run a command of this Airflow, e.g. ``("pools", "list")``, and return what it printed.

        :raises RuntimeError: when it fails.
        """
        done = subprocess.run(
            [self._program, *arguments],
            env=self._variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(
                f"airflow {' '.join(arguments[:2])} ended with {done.returncode}:\n{done.stderr[-4000:]}"
            )
        return done.stdout

    def wait_for_dags(self, dag_ids: Iterable[str], timeout: float = 120) -> None:
        """Wait until the DAGs have been read.

        :raises RuntimeError: when a file of the folder cannot be imported.
        """
        wanted = set(dag_ids)

        def look() -> bool:
            errors = self._rows("select stacktrace from import_error")
            if errors:
                raise RuntimeError("\n".join(text for (text,) in errors))
            return wanted <= {dag_id for (dag_id,) in self._rows("select dag_id from serialized_dag")}

        self._wait(f"the DAGs {', '.join(sorted(wanted))}", look, timeout)

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run of a DAG now, and return its id."""
        run_id = f"test_{secrets.token_hex(4)}"
        self.command("dags", "trigger", dag_id, "--run-id", run_id, "--conf", json.dumps(dict(conf or {})))
        return run_id

    def ended_runs(self, dag_id: str) -> dict[str, str]:
        """Return the state of each run of a DAG that has ended."""
        query = "select run_id, state from dag_run where dag_id = ?"
        return {run_id: state for run_id, state in self._rows(query, dag_id) if state in ENDED}

    def wait_for_run(self, dag_id: str, run_id: str, *, timeout: float = 300) -> str:
        """Wait until a run has ended, and return its state."""
        what = f"the end of {dag_id} {run_id}"
        state: str = self._wait(what, lambda: self.ended_runs(dag_id).get(run_id), timeout)
        return state

    def task_states(self, dag_id: str, run_id: str) -> dict[tuple[str, int], str]:
        """Return the state of each task of a run, by its id and its map index."""
        query = "select task_id, map_index, state from task_instance where dag_id = ? and run_id = ?"
        return {(task_id, index): state for task_id, index, state in self._rows(query, dag_id, run_id)}

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return what a task left for others."""
        query = "select value from xcom where dag_id = ? and run_id = ? and task_id = ? and key = ?"
        ((value,),) = self._rows(query, dag_id, run_id, task_id, key)
        return json.loads(value)

    def were_deferred(self, dag_id: str) -> set[str]:
        """Return the tasks of a DAG whose triggers have left a log."""
        logs = self.home.glob(f"logs/dag_id={dag_id}/**/*.log.trigger.*")
        return {
            part.removeprefix("task_id=") for log in logs for part in log.parts if part.startswith("task_id=")
        }

    def _rows(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True, timeout=60)) as database:
            return database.execute(query, values).fetchall()

    def _wait(self, what: str, look: Any, timeout: float) -> Any:
        def look_while_running() -> Any:
            for process in self._processes.values():
                process.check()
            return look()

        return wait_for(what, look_while_running, timeout=timeout)

    def _environment(self, dags_folder: Path, own: Mapping[str, str]) -> dict[str, str]:
        worker_logs, trigger_logs = free_ports(2)
        return {
            **airflow_environment(self.home, dags_folder),
            # SequentialExecutor, the only one that 2.11 allows on SQLite, takes seconds for each task. Those of SQLite's
            # writers who come second wait.
            "_AIRFLOW__SKIP_DATABASE_EXECUTOR_COMPATIBILITY_CHECK": "1",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self._database}?timeout=60",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__SCHEDULER__DAG_DIR_LIST_INTERVAL": "5",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_logs),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_logs),
            **own,
        }
