"""The floor: one requests.Session, one call after the other, json.loads; nothing is checked or written.

The bodies are ready before the time begins, unless ``from_file`` has them read and built in it.
"""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.contestants.measure import orders, session, work

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def bodies(path: str) -> Iterator[bytes]:
    """Build the bodies of 100 records of a JSONL file."""
    with Path(path).open() as file:
        while lines := list(islice(file, 100)):
            yield json.dumps({"data": [json.loads(line) for line in lines]}).encode()


if __name__ == "__main__":
    given = orders()
    http = session(given)
    http.headers["Content-Type"] = "application/json"
    found: Iterable[bytes] = bodies(given["input"])
    if not given["options"].get("from_file"):
        found = list(found)
    with work(given):
        for body in found:
            json.loads(http.post(f"{given['url']}/crm/v8/Leads/upsert", data=body).content)
