"""Run tasks as Airflow does, without a scheduler: also through deferral, trigger and resumption."""

from __future__ import annotations

import asyncio
import importlib
import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

try:
    from airflow.sdk.exceptions import TaskDeferred  # 3.2
except ImportError:
    from airflow.exceptions import TaskDeferred

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Deferral",
    "TaskDeferred",
    "TaskInstance",
    "allow_execute_in_this_thread",
    "context",
    "dag_context",
    "events_of",
    "render",
    "run_to_end",
]


class TaskInstance:
    """Takes XComs, as JSON like the real one."""

    def __init__(self) -> None:
        self.xcoms: dict[str, Any] = {}
        self.pushed: list[tuple[str, Any]] = []

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep an XCom."""
        value = through_json(value)
        self.xcoms[key] = value
        self.pushed.append((key, value))


class Deferral:
    """One time that a task gave its worker slot back."""

    def __init__(self, path: str, trigger: dict[str, Any], method: str, kwargs: dict[str, Any], timeout: Any):
        self.path, self.trigger, self.method, self.kwargs, self.timeout = (
            path,
            trigger,
            method,
            kwargs,
            timeout,
        )
        self.events: list[dict[str, Any]] = []


def allow_execute_in_this_thread() -> None:
    """Let Airflow 2 call ``execute`` outside of the main thread: it keeps who called in a variable of that thread."""
    from importlib.util import find_spec

    if find_spec("airflow.sdk") is None:
        from airflow.models.baseoperator import ExecutorSafeguard

        ExecutorSafeguard._sentinel.callers = {}


def context(**more: Any) -> dict[str, Any]:
    """Build the part of a context that the operators use."""
    return {"ti": TaskInstance(), **more}


def dag_context(**more: Any) -> dict[str, Any]:
    """Build the part of a context by which notifiers are rendered."""
    try:
        from airflow.sdk import DAG
    except ImportError:
        from airflow.models.dag import DAG

    dag = DAG("morning_load", start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), schedule=None)
    return {"dag": dag, **more}


def through_json(value: Any) -> Any:
    """Prove that a value is plain: it comes back from JSON as it was."""
    back = json.loads(json.dumps(value, allow_nan=False))
    assert back == value, f"{value!r} is not plain JSON"
    return back


def render(operator: Any, **values: Any) -> Any:
    """Render the templates of an operator as text, as Airflow does before it runs one."""
    operator.render_template_fields({"ti": TaskInstance(), **values})
    return operator


def events_of(trigger: Any, limit: float = 60.0) -> list[dict[str, Any]]:
    """Run a trigger to its end."""

    async def collect() -> list[dict[str, Any]]:
        return [event.payload async for event in trigger.run()]

    async def limited() -> list[dict[str, Any]]:
        return await asyncio.wait_for(collect(), limit)

    return asyncio.run(limited())


def rebuilt(path: str, kwargs: dict[str, Any]) -> Any:
    """Build a trigger as the triggerer does."""
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)(**kwargs)


def run_to_end(
    make: Callable[[], Any], task_context: dict[str, Any] | None = None, limit: float = 120.0
) -> tuple[Any, list[Deferral]]:
    """Run a task: execute, and for each deferral trigger, event and resumption of a fresh operator.

    :param make: builds the operator; it is built anew for each resumption, as on another worker.
    :return: what the task returned, and the deferrals on the way.
    """
    task_context = context() if task_context is None else task_context
    deferrals: list[Deferral] = []

    def step(run: Callable[[], Any]) -> Any:
        try:
            return run()
        except TaskDeferred as deferred:
            path, kwargs = deferred.trigger.serialize()
            deferral = Deferral(
                path,
                through_json(kwargs),
                deferred.method_name,
                through_json(deferred.kwargs or {}),
                deferred.timeout,
            )
            deferrals.append(deferral)
            return deferral

    outcome = step(lambda: make().execute(task_context))
    while isinstance(outcome, Deferral):
        here = outcome
        here.events = through_json(events_of(rebuilt(here.path, here.trigger), limit))
        assert len(here.events) == 1, f"a trigger fires once, not {len(here.events)} times"
        arguments = {**here.kwargs, "event": here.events[0]}
        outcome = step(
            lambda here=here, arguments=arguments: make().resume_execution(
                here.method, arguments, task_context
            )
        )
    return through_json(outcome), deferrals
