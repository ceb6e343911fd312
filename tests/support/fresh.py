"""What happens in a Python that has imported nothing yet; importing Airflow takes seconds, so it is done once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from typing import Any

_SCRIPT = """
import asyncio, json, os, sys, time, warnings
from importlib import import_module

def triggerer():
    # What a triggerer has imported before it meets its first trigger of ours; that it imports on its event loop.
    import airflow.jobs.triggerer_job_runner, airflow.models.dagrun, airflow.models.taskinstance, airflow.models.trigger

    async def run():
        gaps = []

        async def beat():
            # Processor time of this thread: on a busy machine the clock would tell of others' work.
            last = time.thread_time()
            while True:
                await asyncio.sleep(0.005)
                gaps.append(time.thread_time() - last)
                last = time.thread_time()

        beating = asyncio.create_task(beat())
        await asyncio.sleep(0.05)
        trigger_class = import_module("airflow_provider_zohocrm.triggers.bulk_read").BulkReadJobTrigger
        await asyncio.sleep(0.05)
        trigger = trigger_class("7", "zohocrm_default", poll_interval=0.05, end_time=time.time() + 0.3)
        events = [event.payload["status"] async for event in trigger.run()]
        await asyncio.sleep(0.05)
        beating.cancel()
        return {"events": events, "longest_gap": max(gaps)}

    return asyncio.run(run())

read_end, write_end = os.pipe()
if not os.fork():
    os.write(write_end, json.dumps(triggerer()).encode())
    os._exit(0)
os.close(write_end)

# The libraries that draw the form up to Airflow 3.1 are missing.
sys.modules.update(dict.fromkeys(("wtforms", "flask_appbuilder", "flask_babel")))
from airflow_provider_zohocrm._compat import BaseHook, BaseOperator, BaseTrigger
before = set(sys.modules)
for name in [name for name in sys.modules if name.startswith("airflow_provider_zohocrm")]:
    del sys.modules[name]
seen = {}
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from airflow_provider_zohocrm import (
        BulkReadJobTrigger, ZohoBulkReadOperator, ZohoCRMHook, ZohoGetRecordsOperator, ZohoUpsertOperator
    )
seen["warnings"] = [str(one.message) for one in caught if "airflow_provider_zohocrm" in one.filename]
seen["imported"] = sorted(set(sys.modules) - before)
seen["deferrable"] = ZohoBulkReadOperator(task_id="t", module="Leads").deferrable
seen["relabeling"] = ZohoCRMHook.get_ui_field_behaviour()["relabeling"]
with os.fdopen(read_end) as child:
    seen |= json.loads(child.read())
print("\\n" + json.dumps(seen))
"""


@cache
def fresh_process() -> dict[str, Any]:
    """Import the public names, and run a trigger whose Zoho cannot be reached."""
    from support.connection import CONNECTION

    nobody = "http://127.0.0.1:9"
    extra = {**CONNECTION["extra"], "api_url": nobody, "accounts_url": nobody}
    environment = {
        **os.environ,
        "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": "True",
        "AIRFLOW_CONN_ZOHOCRM_DEFAULT": json.dumps({**CONNECTION, "extra": extra}),
    }
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], check=False, capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
