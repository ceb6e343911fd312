"""Rows of Parquet into a module by bulk write, against a loop that sends files cut beforehand; prints figures as JSON.

    python -m benchmarks.bulk_write --rows 100000 --job-seconds 10

The simulated CRM runs in a process of its own. Both insert the same rows into an empty module. The loop is what no load
can be faster than: upload, create, look every tenth of a second, download, one job after the other, without cutting a
file or reading a result. ``growth_mb`` is the memory on top of that before the first row.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import requests

from tools.simulated_zoho import SimulatedZoho

FIELDS = ("Last_Name", "Company", "Email", "Phone", "City", "Description", "Lead_Source", "No_of_Employees")
ROWS_PER_JOB = 25_000


def row(number: int) -> dict[str, Any]:
    """Make one row."""
    return {
        "Last_Name": f"Person {number} Ünal",
        "Company": f"Company {number % 977}, Ltd.",
        "Email": f"person.{number}@bench.example",
        "Phone": f"+49 30 {number:07d}",
        "City": ("Berlin", "Köln", "Chennai")[number % 3],
        "Description": f"A text with a comma, of some length, for record {number}. " * 2,
        "Lead_Source": "Advertisement",
        "No_of_Employees": number % 5000,
    }


def write_parquet(path: str, rows: int) -> None:
    """Write the input."""
    from airflow_provider_zohocrm.storage import Column, open_record_writer

    columns = [Column(name, "integer" if name == "No_of_Employees" else "string") for name in FIELDS]
    with open_record_writer(path, columns) as writer:
        for start in range(0, rows, 10_000):
            writer.write([row(number) for number in range(start, min(rows, start + 10_000))])


def zips(rows: int) -> list[bytes]:
    """Cut the files that the loop sends."""
    found = []
    for start in range(0, rows, ROWS_PER_JOB):
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(FIELDS)
        writer.writerows(row(number).values() for number in range(start, min(rows, start + ROWS_PER_JOB)))
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            archive.writestr("records.csv", text.getvalue())
        found.append(packed.getvalue())
    return found


def bare_loop(fields: dict[str, Any], rows: int) -> dict[str, Any]:
    """Send files cut beforehand, one job after the other."""
    extra, files = fields["extra"], zips(rows)
    session = requests.Session()
    session.trust_env = False
    form = {"grant_type": "refresh_token", "refresh_token": extra["refresh_token"]}
    form |= {"client_id": fields["login"], "client_secret": fields["password"]}
    token = session.post(f"{extra['accounts_url']}/oauth/v2/token", data=form, timeout=30).json()
    api = token["api_domain"]
    session.headers["Authorization"] = f"Zoho-oauthtoken {token['access_token']}"
    org = session.get(f"{api}/crm/v8/org", timeout=30).json()["org"][0]["zgid"]
    mappings = [{"api_name": name, "index": index} for index, name in enumerate(FIELDS)]
    began = time.perf_counter()
    for content in files:
        sent = session.post(
            f"{api}/crm/v8/upload",
            files={"file": ("upload.zip", content, "application/zip")},
            headers={"feature": "bulk-write", "X-CRM-ORG": org},
            timeout=60,
        ).json()
        resource = {"type": "data", "module": {"api_name": "Leads"}, "file_id": sent["details"]["file_id"]}
        body = {
            "operation": "insert",
            "resource": [resource | {"field_mappings": mappings, "ignore_empty": True}],
        }
        job = session.post(f"{api}/crm/bulk/v8/write", json=body, timeout=60).json()["details"]["id"]
        while (state := session.get(f"{api}/crm/bulk/v8/write/{job}", timeout=60).json())[
            "status"
        ] != "COMPLETED":
            time.sleep(0.1)
        session.get(state["result"]["download_url"], timeout=60).content  # noqa: B018  # downloaded, and left
    return {"wall": time.perf_counter() - began}


def ours(path: str, poll_interval: float) -> dict[str, Any]:
    """Load the input in a process of its own."""
    import pyarrow.parquet  # noqa: F401  # part of what is there before the first row

    from airflow_provider_zohocrm.client.client import ZohoCRMClient
    from airflow_provider_zohocrm.client.credentials import ZohoCredentials
    from airflow_provider_zohocrm.client.transport import Transport
    from airflow_provider_zohocrm.loading.bulk import BulkLoad
    from airflow_provider_zohocrm.loading.bulk_rows import BulkTarget, preparation
    from airflow_provider_zohocrm.loading.inputs import Inputs
    from airflow_provider_zohocrm.loading.outcome import Outcome
    from benchmarks.contestants.measure import MB, cpu_seconds, resident

    fields = json.loads(os.environ["BULK_WRITE_CONNECTION"])
    api = ZohoCRMClient(
        Transport(ZohoCredentials.from_fields(fields["login"], fields["password"], fields["extra"]))
    )
    target = BulkTarget.of("Leads", "insert")
    folder = Path(path).parent
    outcome = Outcome(str(folder / "results.jsonl"), str(folder / "rejects.jsonl"))
    before, began, cpu = resident("VmRSS"), time.perf_counter(), cpu_seconds()
    load = BulkLoad(
        api,
        target,
        Inputs.of_path(path),
        lambda: preparation(api, target, mapping=None, validate=True),
        outcome,
        poll_interval=poll_interval,
    )
    with outcome:
        load.run(3600)
    return {
        "wall": time.perf_counter() - began,
        "cpu": cpu_seconds() - cpu,
        "growth_mb": (resident("VmHWM") - before) / MB,
        **{name: load.summary[name] for name in ("inserted", "rejected", "calls", "credits")},
    }


def main() -> None:
    """Measure both, each against a module of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--job-seconds", type=float, default=10.0, help="that every job takes at least")
    parser.add_argument(
        "--poll-interval", type=float, default=10.0, help="seconds before our first look at a job"
    )
    parser.add_argument("--input", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.input:
        print(json.dumps(ours(options.input, options.poll_interval)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "in.parquet")
        write_parquet(path, options.rows)
        figures: dict[str, Any] = {"rows": options.rows, "job_seconds": options.job_seconds}
        switches = {"job_seconds": options.job_seconds}
        with SimulatedZoho({}, log=Path(folder) / "bare.log", options=switches) as crm:
            figures["loop"] = bare_loop(crm.connection(), options.rows)
        with SimulatedZoho({}, log=Path(folder) / "ours.log", options=switches) as crm:
            given = {**os.environ, "BULK_WRITE_CONNECTION": json.dumps(crm.connection())}
            command = [
                sys.executable,
                "-m",
                "benchmarks.bulk_write",
                "--input",
                path,
                "--poll-interval",
                str(options.poll_interval),
            ]
            done = subprocess.run(command, env=given, check=True, capture_output=True, text=True)
            figures["ours"] = json.loads(done.stdout.splitlines()[-1])
        figures["ratio"] = figures["ours"]["wall"] / figures["loop"]["wall"]
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
