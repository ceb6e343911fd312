"""Run as a program: many processes that use a hook within one second, as that many tasks of an Airflow would.

Airflow is imported once, then the processes are forked, as Airflow's workers do with tasks. In Airflow 3 a task has no way
to the database but through its supervisor and the API server, which runs ``airflow.models.Variable`` for it; here the
processes run that themselves. All else is what a task runs: hook, store, client, and the statements in the database.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from typing import Any


def use_the_database_directly() -> None:
    """Read and write Variables as Airflow 3's API server does for a task; Airflow 2 knows no other way."""
    from airflow_provider_zohocrm import _compat

    _compat._CLASSES["Variable"] = ("airflow.models", "airflow.models")


def call(conn_id: str) -> dict[str, Any]:
    """Do what a task does."""
    from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook

    begun = time.monotonic()
    try:
        ZohoCRMHook(conn_id).get_organization()
    except Exception as error:  # noqa: BLE001  # the test is told
        return {"error": f"{type(error).__name__}: {error}", "seconds": time.monotonic() - begun}
    return {"error": None, "seconds": time.monotonic() - begun}


def main(conn_id: str, processes: int, stored_token: str) -> None:
    """Store a token, then fork, and print what came of it as lines of JSON.

    :param stored_token: what the store holds before.
    """
    use_the_database_directly()
    from airflow import settings

    from airflow_provider_zohocrm.client.tokens import token_name
    from airflow_provider_zohocrm.hooks.token_store import token_store
    from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook

    credentials = ZohoCRMHook(conn_id).transport.credentials
    token_store(credentials).write(token_name(credentials.token_key), stored_token)
    settings.engine.dispose()
    # What is never collected is never copied.
    gc.freeze()
    (go, hold), (read_end, write_end) = os.pipe(), os.pipe()
    for number in range(processes):
        if os.fork() == 0:
            os.close(hold)
            os.read(go, 1)  # until all are there
            time.sleep(number / processes)
            os.write(write_end, json.dumps(call(conn_id)).encode() + b"\n")
            os._exit(0)
    os.close(hold)
    os.close(write_end)
    with os.fdopen(read_end) as lines:
        for line in lines:
            sys.stdout.write(line)
    for _ in range(processes):
        os.wait()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
