"""What the simulator's own table holds, to compare every row that came out with, value by value."""

from __future__ import annotations

import csv
import gzip
import io
from datetime import date, datetime
from decimal import Context, Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson
import requests

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from benchmarks.rows import Rows

_DECIMALS = {"double", "currency"}
_COMPOUND = {"multiselectpicklist", "lookup", "ownerlookup"}
_PRECISE = Context(prec=60)


class WrongRowsError(Exception):
    """What came out is not what the simulator holds."""


class Truth:
    """A digest of every record of Leads, by id.

    :param url: address of the simulator.
    :param kinds: data type by API name, of the fields that count.
    :param exact: compare JSON values; otherwise what a CSV can tell: the id of a lookup, no difference between null and
        an empty text or list, moments and numbers whatever their form.
    """

    def __init__(self, url: str, kinds: Mapping[str, str], *, exact: bool) -> None:
        self._kinds = list(kinds.items())
        self._exact = exact
        lines = _lines(f"{url}/__simulator__/table/Leads")
        self._digests = {int(row["id"]): self._digest(row) for row in map(orjson.loads, lines)}

    def compare(self, folder: Path, expected: int | None) -> int:
        """Compare all files in a folder, and return the number of rows.

        :param expected: how many rows there must be; None means all of the table.
        :raises WrongRowsError: where a row is missing, there twice, or holds another value.
        """
        seen: set[int] = set()
        for path in sorted(folder.iterdir()):
            for row in _rows(path):
                key = int(row.get("id") or row["Id"])
                if key in seen:
                    raise WrongRowsError(f"record {key} is there twice, the second time in {path.name}")
                if self._digests.get(key) != self._digest(row):
                    raise WrongRowsError(f"record {key} of {path.name} is not what the simulator holds")
                seen.add(key)
        wanted = len(self._digests) if expected is None else expected
        if len(seen) != wanted:
            raise WrongRowsError(f"{len(seen)} rows came out, and the simulator holds {wanted}")
        return len(seen)

    def _digest(self, row: Mapping[str, Any]) -> int:
        if self._exact:
            return hash(orjson.dumps([row[name] for name, _ in self._kinds], option=orjson.OPT_SORT_KEYS))
        return hash(tuple([_cell(row[name], kind) for name, kind in self._kinds]))


def check_loaded(url: str, rows: Rows, kinds: Mapping[str, str], before: int, rejects: Path | None) -> int:
    """Compare what was sent with the Leads that the simulator holds, and return the number of rows sent.

    :param rows: what was sent.
    :param kinds: data type by API name.
    :param before: how many Leads there were.
    :param rejects: JSON lines of the bad rows.
    :raises WrongRowsError: where a good row is missing, there twice, or held with another value; where a bad one is
        held, or is not rejected once and for its reason; and where there are more or fewer other Leads than before.
    """
    seen, others = _rejected(rows, rejects), 0
    for record in map(orjson.loads, _lines(f"{url}/__simulator__/table/Leads")):
        number = rows.number_of(record["Email"])
        if number is None:
            others += 1
            continue
        if seen[number]:
            raise WrongRowsError(f"row {number} is held twice, or rejected and held")
        seen[number] = 1
        for name, value in rows.row(number).items():
            if _cell(record[name], kinds[name]) != _cell(value, kinds[name]):
                raise WrongRowsError(f"{name} of row {number} is {record[name]!r}, and {value!r} was sent")
    if not all(seen):
        raise WrongRowsError(f"{rows.count - sum(seen)} of {rows.count} rows are neither held nor rejected")
    if others != before - len(rows.known):
        raise WrongRowsError(f"{others} other Leads are held, and not {before - len(rows.known)}")
    return rows.count


def _rejected(rows: Rows, path: Path | None) -> bytearray:
    seen = bytearray(rows.count)
    for line in path.read_bytes().splitlines() if path else ():
        reject = orjson.loads(line)
        number, reason = reject["index"], (reject["code"], reject["json_path"])
        if seen[number] or reason != rows.rejection(number):
            raise WrongRowsError(
                f"row {number} is rejected for {reason}, or twice; {rows.rejection(number)} was expected"
            )
        seen[number] = 1
    bad = sum(rows.rejection(number) is not None for number in range(rows.count))
    if sum(seen) != bad:
        raise WrongRowsError(f"{sum(seen)} of {bad} bad rows are rejected")
    return seen


def known_emails(url: str) -> list[str]:
    """Return the addresses of the Leads that the simulator holds."""
    found = map(orjson.loads, _lines(f"{url}/__simulator__/table/Leads"))
    return [record["Email"] for record in found if record["Email"]]


def _lines(address: str) -> Iterator[bytes]:
    rest = b""
    with requests.get(address, stream=True, timeout=600) as answer:
        answer.raise_for_status()
        for chunk in answer.iter_content(1 << 20):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines


def _rows(path: Path) -> Iterable[Mapping[str, Any]]:
    if path.name == "_manifest.json":
        return
    if path.suffix == ".parquet":
        from pyarrow.parquet import ParquetFile

        for batch in ParquetFile(path).iter_batches(10_000):
            yield from batch.to_pylist()
        return
    with _opened(path) as file:
        if ".jsonl" in path.suffixes:
            yield from map(orjson.loads, file)
        else:
            yield from csv.DictReader((line.decode() for line in file), strict=True)


def _opened(path: Path) -> io.BufferedIOBase:
    if path.suffix == ".gz":
        return gzip.open(path)
    if path.suffix == ".zst":
        import zstandard

        return io.BufferedReader(zstandard.open(path))
    return path.open("rb")


def _cell(value: Any, kind: str) -> Any:
    if value is None or value in ("", []):
        return ""
    if kind == "datetime":
        return _moment(value)
    if kind in _DECIMALS:
        return _number(str(value))
    if kind in _COMPOUND and isinstance(value, str) and value[0] in "[{":
        value = orjson.loads(value)
    if isinstance(value, dict):
        return str(value["id"])
    if isinstance(value, list):
        return ";".join(str(one["name"] if isinstance(one, dict) else one) for one in value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, date) else str(value)


def _moment(value: datetime | str) -> float:
    if isinstance(value, str):
        value = datetime.fromisoformat(value.replace("Z", "+00:00"))
    return value.timestamp()


@lru_cache(100_000)
def _number(text: str) -> Decimal:
    return _PRECISE.normalize(Decimal(text))
