"""The connection that tests use unless they say otherwise."""

from __future__ import annotations

from typing import Any

CONNECTION: dict[str, Any] = {
    "conn_type": "zohocrm",
    "login": "1000.CLIENT",
    "password": "the-client-secret",
    "extra": {"refresh_token": "1000.the-refresh-token", "auth_store": "memory"},
}
