"""Zoho's own SDK, as its documentation shows: a Record for each row, then upsert_records of 100 one call after the other."""

from __future__ import annotations

import json
from datetime import date, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from zohocrmsdk.src.com.zoho.crm.api import HeaderMap
from zohocrmsdk.src.com.zoho.crm.api.record import ActionWrapper, BodyWrapper, Record, RecordOperations
from zohocrmsdk.src.com.zoho.crm.api.util import Choice

from benchmarks.contestants.measure import orders, work
from benchmarks.contestants.official_sdk import initialize

# The SDK refuses other types than these.
TYPES = {
    "date": date.fromisoformat,
    "datetime": datetime.fromisoformat,
    "picklist": Choice,
    "multiselectpicklist": lambda values: [Choice(value) for value in values],
}


def body_of(lines: list[str], kinds: dict[str, str]) -> BodyWrapper:
    """Build what is sent."""
    records = []
    for line in lines:
        record = Record()
        for name, value in json.loads(line).items():
            make: Any = TYPES.get(kinds[name])
            record.add_key_value(name, make(value) if make else value)
        records.append(record)
    body = BodyWrapper()
    body.set_data(records)
    return body


if __name__ == "__main__":
    given = orders()
    with work(given), Path(given["input"]).open() as file:
        initialize(given["url"], Path(given["folder"]))
        while lines := list(islice(file, 100)):
            body = body_of(lines, given["kinds"])
            answer = RecordOperations("Leads").upsert_records(body, HeaderMap()).get_object()
            if not isinstance(answer, ActionWrapper):
                raise RuntimeError(f"the SDK answered with {answer!r}")
