"""Ours: ZohoBulkReadOperator from the moment its trigger has fired; submitting and waiting are not measured."""

from __future__ import annotations

import asyncio
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import TaskDeferred

from airflow_provider_zohocrm import ZohoBulkReadOperator
from benchmarks.contestants.measure import orders, preload, work


async def fired(trigger: Any) -> Any:
    """Run a trigger, and return what it sends."""
    async for event in trigger.run():
        return event.payload
    raise RuntimeError("the trigger ended without an event")


def deferred(operator: ZohoBulkReadOperator) -> TaskDeferred:
    """Run an operator until it defers."""
    try:
        operator.execute({})
    except TaskDeferred as deferral:
        return deferral
    raise RuntimeError("the operator did not defer")


if __name__ == "__main__":
    given = orders()
    preload(given["output"])
    BaseHook.get_connection("zohocrm_default")
    operator = ZohoBulkReadOperator(
        task_id="read",
        module="Leads",
        fields=given["fields"],
        output_path=given["output"],
        deferrable=True,
        poll_interval=0.2,
        max_poll_interval=0.2,
        **given["options"],
    )
    deferral = deferred(operator)
    event = asyncio.run(fired(deferral.trigger))
    with work(given) as result:
        arguments = {**(deferral.kwargs or {}), "event": event}
        result["rows"] = operator.resume_execution(deferral.method_name, arguments, {})["records"]
