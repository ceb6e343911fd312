"""What every contestant shares: its orders, the measuring, and the line of JSON at the end."""

from __future__ import annotations

import json
import os
import resource
import time
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

MB = 1 << 20


def orders() -> dict[str, Any]:
    """Read what is to be done.

    :return: ``url``, ``token``, ``fields``, ``kinds``, ``output``, ``input``, ``rejects``, ``limit``, ``options``, ``profile``.
    """
    found: dict[str, Any] = json.loads(os.environ["BENCHMARK_ORDERS"])
    return found


def preload(path: str, *names: str) -> None:
    """Import what the package leaves to the moment of use: the peers have their imports behind them too.

    :param path: of the file that is written or read.
    :param names: further modules.
    """
    if path.endswith(".parquet"):
        names += ("pyarrow", "pyarrow.csv", "pyarrow.parquet")
    for name in names:
        import_module(name)


@contextmanager
def work(given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Measure a block, and print its figures; imports come before it.

    :param given: the orders; with ``profile``, the block runs under cProfile instead of being timed for use.
    :return: to take further figures, such as ``rows``.
    """
    result: dict[str, Any] = {}
    before, profiler = resident("VmRSS"), _profiler(given)
    wall, cpu = time.perf_counter(), cpu_seconds()
    yield result
    result |= {"wall": time.perf_counter() - wall, "cpu": cpu_seconds() - cpu}
    if profiler is not None:
        _write_profile(profiler, given["profile"])
    peak = resident("VmHWM")
    result |= {"peak_mb": peak / MB, "growth_mb": (peak - before) / MB}
    print("\n" + json.dumps(result), flush=True)


@contextmanager
def check_file(given: dict[str, Any]) -> Iterator[TextIO | None]:
    """Open the file to write records to, in the run that is checked; in a measured run there is none."""
    if not given["output"]:
        yield None
        return
    with Path(given["output"]).open("w") as file:
        yield file


def cpu_seconds() -> float:
    """Return user and system time of this process, its threads, and children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def resident(key: str) -> int:
    """Return resident memory in bytes, now (``VmRSS``) or at its highest (``VmHWM``).

    Not ``ru_maxrss``, which a process inherits from the one that started it.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) << 10
    raise LookupError(key)


def session(given: dict[str, Any]) -> requests.Session:
    """Return a session as anybody would make it, with the token in it."""
    import requests

    made = requests.Session()
    made.headers["Authorization"] = f"Zoho-oauthtoken {given['token']}"
    return made


def finished_result(given: dict[str, Any], made: requests.Session) -> str:
    """Have a bulk read job done, and return the address of its result."""
    query = {"module": {"api_name": "Leads"}, "fields": given["fields"]}
    created = made.post(f"{given['url']}/crm/bulk/v8/read", json={"query": query}).json()
    address = f"{given['url']}/crm/bulk/v8/read/{created['data'][0]['details']['id']}"
    while made.get(address).json()["data"][0]["state"] != "COMPLETED":
        time.sleep(0.2)
    return f"{address}/result"


def _profiler(given: dict[str, Any]) -> Any:
    if not given.get("profile"):
        return None
    import cProfile

    profiler = cProfile.Profile()
    profiler.enable()
    return profiler


def _write_profile(profiler: Any, path: str) -> None:
    import pstats

    profiler.disable()
    with Path(path).open("w") as file:
        pstats.Stats(profiler, stream=file).strip_dirs().sort_stats("tottime").print_stats(15)
