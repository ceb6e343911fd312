"""A plain HTTP client: nothing of the package's own client is used to test the simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from airflow_provider_zohocrm.simulator.server import Simulator


class Zoho:
    """The simulator and a session that holds a token."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.session = requests.Session()
        self.login()

    def mint(self, **more: Any) -> requests.Response:
        form = {
            "grant_type": "refresh_token",
            "client_id": self.simulator.client_id,
            "client_secret": self.simulator.client_secret,
            "refresh_token": self.simulator.refresh_token,
            **more,
        }
        return requests.post(f"{self.simulator.url}/oauth/v2/token", data=form, timeout=10)

    def login(self) -> None:
        self.session.headers["Authorization"] = f"Zoho-oauthtoken {self.mint().json()['access_token']}"

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        return self.session.request(
            method, f"{self.simulator.url}{path}", timeout=10, allow_redirects=False, **more
        )

    def get(self, path: str, params: dict[str, Any] | None = None, **more: Any) -> requests.Response:
        return self.call("GET", path, params=params, **more)

    def post(self, path: str, json: Any = None, **more: Any) -> requests.Response:
        return self.call("POST", path, json=json, **more)

    def put(self, path: str, json: Any = None, **more: Any) -> requests.Response:
        return self.call("PUT", path, json=json, **more)

    def delete(self, path: str, params: dict[str, Any] | None = None) -> requests.Response:
        return self.call("DELETE", path, params=params)

    def ids(self, module: str) -> list[str]:
        return [record["id"] for record in self.simulator.table(module)]


def flat(code: str, message: str, details: Any = None) -> dict[str, Any]:
    return {
        "code": code,
        "details": {} if details is None else details,
        "message": message,
        "status": "error",
    }
