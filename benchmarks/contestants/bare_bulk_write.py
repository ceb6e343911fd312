"""The simulator's own job and transfer time: upload, job, look every tenth of a second, download; one after the other.

The zips are cut before the time begins, and the results are not read.
"""

from __future__ import annotations

import csv
import io
import json
import time
import zipfile
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.contestants.measure import orders, session, work

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

ROWS_PER_JOB = 25_000


def cell(value: Any) -> Any:
    """Write a value as a bulk write CSV has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ";".join(value) if isinstance(value, list) else value


def zips(path: str) -> Iterator[tuple[list[str], bytes]]:
    """Cut a JSONL file into zipped CSVs, each with the names of its columns."""
    with Path(path).open() as file:
        while rows := [json.loads(line) for line in islice(file, ROWS_PER_JOB)]:
            text, packed = io.StringIO(newline=""), io.BytesIO()
            writer = csv.writer(text)
            writer.writerow(rows[0])
            writer.writerows([cell(value) for value in row.values()] for row in rows)
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                archive.writestr("records.csv", text.getvalue())
            yield list(rows[0]), packed.getvalue()


def write(http: requests.Session, url: str, org: str, names: list[str], content: bytes) -> None:
    """Have one job done."""
    sent = http.post(
        f"{url}/crm/v8/upload",
        files={"file": ("upload.zip", content, "application/zip")},
        headers={"feature": "bulk-write", "X-CRM-ORG": org},
    ).json()
    resource = {
        "type": "data",
        "module": {"api_name": "Leads"},
        "file_id": sent["details"]["file_id"],
        "find_by": "Email",
        "field_mappings": [{"api_name": name, "index": index} for index, name in enumerate(names)],
        "ignore_empty": True,
    }
    body = {"operation": "upsert", "resource": [resource]}
    job = http.post(f"{url}/crm/bulk/v8/write", json=body).json()["details"]["id"]
    while (state := http.get(f"{url}/crm/bulk/v8/write/{job}").json())["status"] != "COMPLETED":
        time.sleep(0.1)
    http.get(state["result"]["download_url"]).raise_for_status()


if __name__ == "__main__":
    given = orders()
    http = session(given)
    org = http.get(f"{given['url']}/crm/v8/org").json()["org"][0]["zgid"]
    ready = list(zips(given["input"]))
    with work(given):
        for names, content in ready:
            write(http, given["url"], org, names, content)
