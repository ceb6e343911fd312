"""What tests ask of the simulator."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_zohocrm.simulator.server import Simulator


def asked(simulator: Simulator, pattern: str = "") -> list[str]:
    """Name the requests received, as ``GET /path``."""
    found = (f"{one['method']} {one['path']}" for one in simulator.requests)
    return [one for one in found if re.search(pattern, one)]


def statuses(simulator: Simulator, pattern: str) -> list[int | None]:
    """Name the statuses of the answers to some requests."""
    return [
        one["status"] for one in simulator.requests if re.search(pattern, f"{one['method']} {one['path']}")
    ]


def truth(simulator: Simulator, module: str, names: Iterable[str] | None = None) -> dict[str, dict[str, Any]]:
    """Return the simulator's records by id, with some of their fields or all but subforms."""
    wanted = None if names is None else {"id", *names}
    subforms = {
        name
        for name, field in simulator.state.store.modules[module].fields.items()
        if field.data_type == "subform"
    }
    return {
        record["id"]: {
            name: value
            for name, value in record.items()
            if name not in subforms and (wanted is None or name in wanted)
        }
        for record in simulator.table(module)
    }


def by_id(records: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Put records under their ids, of which none may be there twice."""
    taken: dict[str, dict[str, Any]] = {}
    for record in records:
        assert record["id"] not in taken, f"record {record['id']} came twice"
        taken[record["id"]] = record
    return taken


def cell(value: Any) -> str:
    """Write a value as bulk read does (reference sheet §4.5)."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return str(value["id"])
    if isinstance(value, list):
        return ";".join(map(str, value))
    return str(value)
