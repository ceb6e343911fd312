"""Ours: what importing the operators costs a process that has imported Airflow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.contestants.measure import orders

_OPERATORS = (
    "from airflow_provider_zohocrm import ZohoBulkReadOperator, ZohoGetRecordsOperator, ZohoUpsertOperator"
)
_MARK = "=== operators"
# airflow.sdk loads what Airflow itself has not loaded when it is first asked for, as every DAG file does. Python's next
# collection goes through all that Airflow has imported, and may be due with whatever is imported next.
_BASE = """
import gc
from airflow.sdk import DAG, BaseHook, BaseOperator
gc.collect()
"""


def milliseconds(first: str) -> tuple[float, float]:
    """Time the import of the operators after another import: wall and CPU."""
    exec(first)
    wall, cpu = time.perf_counter(), time.process_time()
    exec(_OPERATORS)
    return (time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3


def in_a_child(first: str) -> tuple[float, float]:
    """Do it in a fork, so that both figures come from a process that has imported nothing yet."""
    read_end, write_end = os.pipe()
    if not os.fork():
        os.write(write_end, json.dumps(milliseconds(first)).encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as answer:
        wall, cpu = json.loads(answer.read())
    os.wait()
    return wall, cpu


def profile(path: Path) -> None:
    """Write which modules take the longest, their own imports left out."""
    script = f"import sys, airflow.sdk; print('{_MARK}', file=sys.stderr); {_OPERATORS}"
    command = [sys.executable, "-X", "importtime", "-c", script]
    log = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    lines = [line for line in log.partition(_MARK)[2].splitlines() if line.startswith("import time:")]
    lines.sort(key=lambda line: int(line.split()[2]), reverse=True)
    path.write_text("\n".join(["import time: self [us] | cumulative | imported package", *lines[:15]]))


if __name__ == "__main__":
    given = orders()
    if given["profile"]:
        profile(Path(given["profile"]))
    wall, cpu = in_a_child("import airflow.sdk")
    figures = {"import_ms": wall, "import_cpu_ms": cpu, "above_base_classes_ms": in_a_child(_BASE)[0]}
    sys.stdout.write("\n" + json.dumps(figures) + "\n")
