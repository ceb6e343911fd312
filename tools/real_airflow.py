"""A real Airflow 3.3 on this machine: scheduler, triggerer, API server and DAG processor, used through its REST API."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from tools.airflow_environment import airflow_environment
from tools.processes import OwnedProcess, ProcessEndedError, free_ports, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from typing_extensions import Self

LOOPBACK = "127.0.0.1"
COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")
ENDED = {"success", "failed"}
# The most that the API gives at once.
_PAGE = 100
# The API server notes each action of a user in its event loop: where a task is just writing, both wait for SQLite's lock
# until one is refused, for which nothing was done then.
_DATABASE_ERROR, _TRIES = '"Database error"', 5


class AirflowAnswerError(Exception):
    """Raised when Airflow refuses a call."""


class RunFailedError(Exception):
    """Raised when a DAG run did not end well; tells the state and the last log lines of each task that failed."""


class RealAirflow:
    """``airflow standalone`` with SQLite and LocalExecutor, in a home and on ports of its own, as a context manager.

    :param home: an empty folder for configuration, database and logs; kept afterwards.
    :param dags_folder: the folder whose DAGs it runs.
    :param environment: variables for Airflow and its tasks. Those of the caller that configure Airflow are left out.
    """

    def __init__(
        self, home: Path, dags_folder: Path, *, environment: Mapping[str, str] | None = None
    ) -> None:
        self.home = home
        self._api_port, self._worker_log_port, self._trigger_log_port = free_ports(3)
        self.url = f"http://{LOOPBACK}:{self._api_port}"
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy between this machine and itself
        self._program = str(Path(sys.executable).with_name("airflow"))
        self._variables = self._environment(dags_folder, environment or {})
        self._triggerer: OwnedProcess | None = None
        self._process = OwnedProcess(
            [self._program, "standalone"],
            log=home / "standalone.log",
            environment=self._variables,
        )

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    # ---------------------------------------------------------------------------------------------- life

    def start(self, timeout: float = 300) -> None:
        """Start Airflow and log in as soon as all of its parts are healthy."""
        self.home.mkdir(parents=True, exist_ok=True)
        self._process.start()
        self._wait("all parts of Airflow to be healthy", self._healthy, timeout=timeout)
        # Another server on this port would have answered too.
        self._wait("the start of the API server", self._api_server_is_ours, timeout=10)
        token = self._call(
            "POST", "/auth/token", json={"username": self.username, "password": self.password}
        )["access_token"]
        self._session.headers["Authorization"] = f"Bearer {token}"

    def stop(self) -> None:
        """End every process of this Airflow."""
        if self._triggerer is not None:
            self._triggerer.stop()
        self._process.stop()
        self._session.close()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of this Airflow, e.g. ``("pools", "list")``, and return what it printed."""
        return subprocess.run(
            [self._program, *arguments], env=self._variables, capture_output=True, text=True, check=False
        )

    def restart_triggerer(self) -> None:
        """Kill the triggerer, and start another one."""
        self.kill_triggerer()
        self.start_triggerer()

    def kill_triggerer(self) -> None:
        """Kill the triggerer; nobody looks after deferred tasks then."""
        (self._triggerer or self._process).kill_part("triggerer")
        if self._triggerer is not None:
            self._triggerer.stop()

    def start_triggerer(self) -> None:
        """Start a triggerer in place of one that was killed."""
        self._triggerer = OwnedProcess(
            [self._program, "triggerer"], log=self.home / "triggerer.log", environment=self._variables
        )
        self._triggerer.start()

    def tail(self, lines: int = 40) -> str:
        """Return the last lines that Airflow's parts have printed, without those about calls of its API."""
        printed = self._process.tail(50 * lines).splitlines()
        return "\n".join([line[:400] for line in printed if "http.access" not in line][-lines:])

    @property
    def log(self) -> str:
        """What Airflow's parts have printed."""
        return self._process.log.read_text(errors="replace")

    @property
    def username(self) -> str:
        """The name of the only user, an administrator."""
        return "admin"

    @property
    def password(self) -> str:
        """The user's password, which Airflow makes up at its first start."""
        passwords: dict[str, str] = json.loads(self._password_file.read_text())
        return passwords[self.username]

    # ---------------------------------------------------------------------------------------------- REST API

    def api(self, method: str, path: str, **arguments: Any) -> Any:
        """Call the public REST API.

        :param path: what follows ``/api/v2``.
        :param arguments: as of ``requests.request``.
        :raises AirflowAnswerError: for any answer that is not a success.
        """
        return self._call(method, f"/api/v2{path}", **arguments)

    def ui_api(self, path: str) -> Any:
        """Read from the API that serves the web pages."""
        return self._call("GET", f"/ui{path}")

    def wait_for_dags(self, dag_ids: Iterable[str], timeout: float = 90) -> None:
        """Wait until the DAGs have been read.

        :raises AirflowAnswerError: when a file of the folder cannot be imported.
        """
        wanted = set(dag_ids)

        def look() -> bool:
            errors = self.api("GET", "/importErrors")["import_errors"]
            if errors:
                texts = [f"{error['filename']}\n{error['stack_trace']}" for error in errors]
                raise AirflowAnswerError("DAG files cannot be imported:\n" + "\n".join(texts))
            return wanted <= {dag["dag_id"] for dag in self.api("GET", "/dags?limit=100")["dags"]}

        self._wait(f"the DAGs {', '.join(sorted(wanted))}", look, timeout=timeout)

    def create_connection(self, connection_id: str, conn_type: str, **fields: Any) -> None:
        """Create a connection as the web form does.

        :param fields: login, password, host...; ``extra`` as a dict.
        """
        self.api("POST", "/connections", json=_connection_body(connection_id, conn_type, fields))

    def create_pool(self, name: str, slots: int, *, include_deferred: bool = False) -> None:
        """Create a pool; with ``include_deferred`` a deferred task keeps its slot."""
        self.api(
            "POST",
            "/pools",
            json={"name": name, "slots": slots, "description": "", "include_deferred": include_deferred},
        )

    def test_connection(self, connection_id: str, conn_type: str, **fields: Any) -> tuple[bool, str]:
        """Press the form's test button.

        :param fields: as of ``create_connection``.
        :return: whether it works, and what the hook says.
        """
        body = _connection_body(connection_id, conn_type, fields)
        answer = self.api("POST", "/connections/test", json=body)
        return answer["status"], answer["message"]

    def connection(self, connection_id: str) -> dict[str, Any]:
        """Return a connection as the API shows it, with ``extra`` as a dict."""
        answer: dict[str, Any] = self.api("GET", f"/connections/{connection_id}")
        return {**answer, "extra": json.loads(answer["extra"] or "{}")}

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Unpause a DAG and start a run of it now.

        :return: the run's id.
        """
        self.unpause(dag_id)
        now = datetime.now(tz=timezone.utc).isoformat()
        run: dict[str, str] = self.api(
            "POST", f"/dags/{dag_id}/dagRuns", json={"logical_date": now, "conf": dict(conf or {})}
        )
        return run["dag_run_id"]

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a run."""
        state: str = self.api("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"]
        return state

    def wait_for_run(
        self,
        dag_id: str,
        run_id: str,
        *,
        timeout: float = 180,
        seen: Callable[[dict[str, str]], None] | None = None,
    ) -> None:
        """Wait until a run has succeeded.

        :param seen: called at each look with the states of the run's tasks.
        :raises RunFailedError: when it ends otherwise.
        """

        def look() -> str | None:
            if seen is not None:
                seen(self.task_states(dag_id, run_id))
            state = self.run_state(dag_id, run_id)
            return state if state in ENDED else None

        state = self._wait(f"the end of {dag_id} {run_id}", look, timeout=timeout)
        if state != "success":
            raise RunFailedError(self._report(dag_id, run_id, state))

    def runs(self, dag_id: str) -> list[str]:
        """Return the ids of a DAG's runs, the oldest first."""
        found = self.api("GET", f"/dags/{dag_id}/dagRuns?order_by=run_after")["dag_runs"]
        return [run["dag_run_id"] for run in found]

    def unpause(self, dag_id: str) -> None:
        """Let a DAG be started by its schedule."""
        self.api("PATCH", f"/dags/{dag_id}", json={"is_paused": False})

    def wait_for_started_run(self, dag_id: str, *, timeout: float = 180) -> str:
        """Wait until a DAG that had no run was started by its schedule and the run has succeeded; return its id."""
        (run_id, *_) = self._wait(f"a run of {dag_id}", lambda: self.runs(dag_id), timeout=timeout)
        self.wait_for_run(dag_id, run_id, timeout=timeout)
        return str(run_id)

    def links(self, dag_id: str, run_id: str, task_id: str) -> dict[str, str]:
        """Return the extra links of a task, by the text of their buttons."""
        found: dict[str, str] = self.api(
            "GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/links"
        )["extra_links"]
        return found

    def run(self, dag_id: str, conf: Mapping[str, Any] | None = None, *, timeout: float = 180) -> str:
        """Start a run of a DAG, wait until it has succeeded, and return its id."""
        run_id = self.trigger(dag_id, conf)
        self.wait_for_run(dag_id, run_id, timeout=timeout)
        return run_id

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a run, each copy of a mapped task by itself."""
        instances: list[dict[str, Any]] = []
        while True:
            params = {"limit": _PAGE, "offset": len(instances), "order_by": "id"}
            path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
            page = self.api("GET", path, params=params)["task_instances"]
            instances += page
            if len(page) < _PAGE:
                return instances

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str]:
        """Return the state of each task of a run; of a mapped task the state of its last copy."""
        return {task["task_id"]: task["state"] or "none" for task in self.task_instances(dag_id, run_id)}

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return what a task left for others."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        return self.api("GET", path, params={"stringify": "false"})["value"]

    def task_log(
        self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1
    ) -> str:
        """Return the log of one try of a task, one event a line.

        :param map_index: which copy of a mapped task.
        """
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        params = {"full_content": "true", "map_index": map_index}
        content = self.api("GET", path, params=params)["content"]
        return "\n".join(_readable(event) for event in content)

    # ---------------------------------------------------------------------------------------------- details

    @property
    def _password_file(self) -> Path:
        return self.home / "simple_auth_manager_passwords.json.generated"

    def _environment(self, dags_folder: Path, own: Mapping[str, str]) -> dict[str, str]:
        return {
            **airflow_environment(self.home, dags_folder),
            "AIRFLOW__CORE__PARALLELISM": "4",  # that many worker processes are started at once
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__API__HOST": LOOPBACK,
            "AIRFLOW__API__PORT": str(self._api_port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
            "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(self._worker_log_port),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(self._trigger_log_port),
            **own,
        }

    def _healthy(self) -> bool:
        try:
            health = self.api("GET", "/monitor/health", timeout=5)
        except (requests.ConnectionError, requests.Timeout, AirflowAnswerError):
            return False
        return all((health.get(part) or {}).get("status") == "healthy" for part in COMPONENTS)

    def _api_server_is_ours(self) -> bool:
        printed = self._process.log.read_text(errors="replace")
        if "address already in use" in printed:
            raise ProcessEndedError(f"A port was taken by another program:\n{self.tail()}")
        return "Uvicorn running" in printed and self._password_file.exists()

    def _wait(self, what: str, look: Callable[[], Any], *, timeout: float) -> Any:
        def look_while_running() -> Any:
            self._process.check()
            return look()

        return wait_for(what, look_while_running, timeout=timeout)

    def _call(self, method: str, path: str, *, timeout: float = 120, **arguments: Any) -> Any:
        for tries_left in reversed(range(_TRIES)):
            answer = self._session.request(method, f"{self.url}{path}", timeout=timeout, **arguments)
            if not (tries_left and answer.status_code == 500 and _DATABASE_ERROR in answer.text):
                break
        if not answer.ok:
            raise AirflowAnswerError(f"{method} {path}: {answer.status_code} {answer.text[:2000]}")
        return answer.json() if answer.content else None

    def _report(self, dag_id: str, run_id: str, state: str) -> str:
        lines = [f"{dag_id} {run_id} ended as {state}."]
        for task in self.task_instances(dag_id, run_id):
            lines.append(f"  {task['task_id']} {task['map_index']}: {task['state']}")
            if task["state"] in {"failed", "up_for_retry"}:
                tries = max(task["try_number"], 1)
                log = self.task_log(dag_id, run_id, task["task_id"], tries, task["map_index"])
                lines += [f"    {line}" for line in log.splitlines()[-40:]]
        return "\n".join(lines)


def _connection_body(connection_id: str, conn_type: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    body = {"connection_id": connection_id, "conn_type": conn_type, **fields}
    if "extra" in body:
        body["extra"] = json.dumps(body["extra"])
    return body


def _readable(event: Any) -> str:
    if not isinstance(event, dict):
        return str(event)
    text = f"{event.get('timestamp', '')} {event.get('level', '')} {event.get('event', '')}".strip()
    for error in event.get("error_detail") or []:
        text += f"\n{error.get('exc_type')}: {error.get('exc_value')}"
    return text
