"""Sixty extracts of twelve modules for the DAG ``many_extracts``, and what must be true when they have run."""

from __future__ import annotations

import gzip
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.files import read_csv, read_jsonl, read_parquet

if TYPE_CHECKING:
    from tools.real_airflow import RealAirflow
    from tools.simulated_zoho import SimulatedZoho

DAG = "many_extracts"
DAGS_FOLDER = Path(__file__).parents[2] / "tools" / "dags"
POOL = "zoho_crm"
SLOTS = 8
MODULES = (
    *("Leads", "Contacts", "Accounts", "Deals", "Campaigns", "Tasks"),
    *("Events", "Calls", "Products", "Quotes", "Invoices", "Machines"),
)
SEEDS = dict.fromkeys(MODULES, 600)
# Zoho's limits in its Standard edition; those on tokens are always on. Answers take time, so that calls meet.
OPTIONS = {"concurrency_limit": 10, "sub_concurrency_limit": 10, "latency": 1.5, "job_seconds": 15}
# As many bulk reads as Zoho lets be downloaded in a minute.
BULK_READS = 10


def sixty_extracts(output: Path) -> list[dict[str, Any]]:
    """Build the arguments of each task: five for each module, in turn, ten of the sixty as bulk reads."""
    ways = [
        *(("records", "jsonl"), ("coql", "parquet"), ("bulk", "parquet")),
        *(("records", "csv"), ("coql", "jsonl.gz")),
    ]
    extracts = []
    for way, (strategy, suffix) in enumerate(ways):
        for number, module in enumerate(MODULES):
            chosen = "records" if strategy == "bulk" and number >= BULK_READS else strategy
            path = output / f"{module}-{way}" / f"part.{suffix}"
            extracts.append({"module": module, "strategy": chosen, "output_path": str(path)})
    return extracts


def prepare(airflow: RealAirflow, zoho: SimulatedZoho) -> None:
    """Enter the connection and the pool, and wait for the DAG."""
    airflow.create_connection("zohocrm_default", "zohocrm", **zoho.connection())
    airflow.create_pool(POOL, SLOTS, include_deferred=True)
    airflow.wait_for_dags([DAG])


def check(airflow: RealAirflow, zoho: SimulatedZoho, run: str, extracts: list[dict[str, Any]]) -> None:
    """Check that every task succeeded, wrote all records of its module once, and kept Zoho's limits."""
    tasks = [each for each in airflow.task_instances(DAG, run) if each["task_id"] == "extract"]
    assert [each["state"] for each in tasks] == ["success"] * len(extracts)
    held = {module: sorted(zoho.records(module)) for module in MODULES}
    for extract in extracts:
        assert written_ids(Path(extract["output_path"])) == held[extract["module"]], extract
    check_limits(zoho)


def summary(airflow: RealAirflow, zoho: SimulatedZoho, run: str) -> str:
    """Tell what a run took: for whoever reads the output of the test."""
    info = airflow.api("GET", f"/dags/{DAG}/dagRuns/{run}")
    seconds = (
        datetime.fromisoformat(info["end_date"]) - datetime.fromisoformat(info["start_date"])
    ).total_seconds()
    counted = zoho.counters()
    tries = Counter(each["try_number"] for each in airflow.task_instances(DAG, run))
    hosts = Counter(each["hostname"] for each in airflow.task_instances(DAG, run))
    return (
        f"{seconds:.0f} s, {counted['calls']} calls, at most {counted['peak_concurrency']} at a time, "
        f"statuses {counted['statuses']}, tokens {counted['tokens_minted']}, tries {dict(tries)}, on {dict(hosts)}"
    )


def check_limits(zoho: SimulatedZoho) -> None:
    """Check that few tokens were minted, none refused, and no call either after the first minute."""
    counted = zoho.counters()
    assert counted["tokens_minted"] <= 3
    assert counted["calls_by_operation"]["token"] == counted["tokens_minted"]
    journal = zoho.journal()
    begin = journal[0]["time"]
    refused = [each for each in journal if each["status"] == 429]
    assert [each for each in refused if each["time"] > begin + 60] == []


def written_ids(path: Path) -> list[str]:
    """Return the ids of the records in a file, sorted."""
    if path.suffix == ".gz":
        unpacked = path.with_suffix("")
        unpacked.write_bytes(gzip.decompress(path.read_bytes()))
        path = unpacked
    readers = {".jsonl": read_jsonl, ".csv": read_csv, ".parquet": read_parquet}
    return sorted(str(row["id"]) for row in readers[path.suffix](path))
