"""Read back what the DAGs wrote, with nothing of the package itself."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pyarrow.parquet

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Record = dict[str, Any]


def read_jsonl(path: Path) -> list[Record]:
    """Read a file of one JSON object a line."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write_jsonl(path: Path, records: Iterable[Record]) -> None:
    """Write one JSON object a line."""
    path.write_text(
        "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8"
    )


def read_csv(path: Path) -> list[dict[str, str | None]]:
    """Read a CSV file; line ends within a value stay as they are."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def read_parquet(path: Path) -> list[Record]:
    """Read a Parquet file."""
    rows: list[Record] = pyarrow.parquet.read_table(path).to_pylist()
    return rows
