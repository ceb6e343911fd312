"""The package's simulated Zoho CRM as a process of its own, seen through its control API and changed as any client would."""

from __future__ import annotations

import json
import re
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any

import requests

from tools.processes import OwnedProcess, wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from typing_extensions import Self

_URL = re.compile(r"http://127\.0\.0\.1:\d+")

Record = dict[str, Any]


class SimulatedZoho:
    """A simulated Zoho CRM, running while the context is open.

    :param seeds: how many records each module holds at the start.
    :param log: file for what it prints.
    :param options: switches of the simulator, see ``python -m airflow_provider_zohocrm.simulator --help``.
    """

    def __init__(
        self, seeds: Mapping[str, int], *, log: Path, options: Mapping[str, Any] | None = None
    ) -> None:
        command = [sys.executable, "-m", "airflow_provider_zohocrm.simulator", "--port", "0"]
        for module, count in seeds.items():
            command += ["--seed", f"{module}={count}"]
        for name, value in (options or {}).items():
            command += ["--option", f"{name}={value}"]
        self._process = OwnedProcess(command, log=log)
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy between this machine and itself
        self.url = ""

    def __enter__(self) -> Self:
        self._process.start()
        try:
            self.url = wait_for("the simulated Zoho CRM", self._printed_url, timeout=60, interval=0.1)
        except BaseException:
            self._process.stop()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._session.close()
        self._process.stop()

    def tail(self, lines: int = 20) -> str:
        """Return the last lines that the CRM has printed."""
        return self._process.tail(lines)

    def connection(self) -> dict[str, Any]:
        """Return what is entered into the connection form: login, password and extra."""
        about = self._call("GET", "/__simulator__/").json()
        return {
            "login": about["client_id"],
            "password": about["client_secret"],
            "extra": {
                "refresh_token": about["refresh_token"],
                "api_url": self.url,
                "accounts_url": self.url,
            },
        }

    def records(self, module: str) -> dict[str, Record]:
        """Return what the CRM holds: all ordinary records of a module by id, with every field."""
        lines = self._call("GET", f"/__simulator__/table/{module}").content.splitlines()
        return {record["id"]: record for record in map(json.loads, lines)}

    def journal(self, pattern: str = "") -> list[dict[str, Any]]:
        """Return the requests that the CRM has received, oldest first, each with its ``time`` and ``status``.

        :param pattern: what must be found in ``GET /path``.
        """
        entries: list[dict[str, Any]] = self._call("GET", "/__simulator__/requests").json()["requests"]
        return [each for each in entries if re.search(pattern, f"{each['method']} {each['path']}")]

    def counters(self) -> dict[str, Any]:
        """Return what the CRM has counted: calls, statuses, credits and tokens."""
        counted: dict[str, Any] = self._call("GET", "/__simulator__/counters").json()
        return counted

    def set_options(self, **options: Any) -> None:
        """Change switches of the simulator."""
        self._call("POST", "/__simulator__/options", json=options)

    def insert(self, module: str, record: Record) -> str:
        """Add a record, as a user of the CRM would, and return its id."""
        (result,) = self._crm("POST", f"/{module}", json={"data": [record]})
        return str(result["details"]["id"])

    def update(self, module: str, changes: Sequence[Record]) -> None:
        """Change records, as a user of the CRM would.

        :param changes: ``id`` and new values of each record.
        """
        for start in range(0, len(changes), 100):
            self._crm("PUT", f"/{module}", json={"data": changes[start : start + 100]})

    def delete(self, module: str, record_id: str) -> None:
        """Move a record to the recycle bin."""
        self._crm("DELETE", f"/{module}/{record_id}")

    def _crm(self, method: str, path: str, **arguments: Any) -> list[dict[str, Any]]:
        headers = {"Authorization": f"Zoho-oauthtoken {self._access_token}"}
        answer = self._call(method, f"/crm/v8{path}", headers=headers, **arguments).json()
        refused = [result for result in answer["data"] if result["status"] != "success"]
        if refused:
            raise ValueError(f"{method} {path}: {refused}")
        results: list[dict[str, Any]] = answer["data"]
        return results

    @cached_property
    def _access_token(self) -> str:
        fields = self.connection()
        form = {
            "grant_type": "refresh_token",
            "client_id": fields["login"],
            "client_secret": fields["password"],
            "refresh_token": fields["extra"]["refresh_token"],
        }
        token: str = self._call("POST", "/oauth/v2/token", data=form).json()["access_token"]
        return token

    def _call(self, method: str, path: str, **arguments: Any) -> requests.Response:
        answer = self._session.request(method, f"{self.url}{path}", timeout=60, **arguments)
        answer.raise_for_status()
        return answer

    def _printed_url(self) -> str | None:
        self._process.check()
        found = _URL.search(self._process.log.read_text())
        return found[0] if found else None
