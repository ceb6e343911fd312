"""What Airflow gives a task for its assets."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from support.running import TaskInstance

try:
    from airflow.sdk.execution_time.context import OutletEventAccessors  # 3.0
except ImportError:
    from airflow.utils.context import OutletEventAccessors

__all__ = ["AssetState", "AssetStates", "OutletEventAccessors", "events_of_outlets", "run_context"]


class AssetState(dict[str, Any]):
    """The state of an asset in Airflow 3.3; values are JSON there."""

    def set(self, key: str, value: Any) -> None:
        """Keep a value."""
        self[key] = json.loads(json.dumps(value))


class AssetStates:
    """The states of a task's assets, all of them one."""

    def __init__(self, state: AssetState) -> None:
        self._state = state

    def __getitem__(self, asset: Any) -> AssetState:
        return self._state


def run_context(run_id: str = "r1", state: AssetState | None = None, map_index: int = -1) -> dict[str, Any]:
    """Build the context of a run."""
    ti: Any = TaskInstance()
    ti.dag_id, ti.task_id, ti.run_id, ti.map_index = "d", "t", run_id, map_index
    found: dict[str, Any] = {"ti": ti, "outlet_events": OutletEventAccessors()}
    if state is not None:
        found["asset_state_store"] = AssetStates(state)
    return found


def events_of_outlets(context: dict[str, Any]) -> list[Any]:
    """Name the events of a run's outlets: ``uri`` (of an alias), ``alias`` (if it is one), ``extra``."""
    found = []
    for key, accessor in context["outlet_events"]._dict.items():
        events = getattr(accessor, "asset_alias_events", None) or getattr(
            accessor, "dataset_alias_events", []
        )
        if not events:
            uri = getattr(key, "uri", key)
            found.append(SimpleNamespace(uri=uri, alias=None, extra=accessor.extra))
        for event in events:
            one = (
                event
                if isinstance(event, dict)
                else {"uri": event.dest_asset_key.uri, "alias": event.source_alias_name, "extra": event.extra}
            )
            found.append(
                SimpleNamespace(
                    uri=one.get("uri") or one["dest_dataset_uri"],
                    alias=one.get("alias") or one["source_alias_name"],
                    extra=one["extra"],
                )
            )
    return found
