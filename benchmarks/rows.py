"""The rows that are loaded: made by number, so that a million can be checked without keeping them."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_DOMAIN = "@bench.example"
_LANGUAGES = ("English", "Deutsch", "Français", "日本語", "Español")
_SOURCES = ("Cold Call", "Advertisement", "External Referral", "Trade Show", "Web Download")
_FIRST_CALL = datetime(2026, 1, 1, tzinfo=timezone.utc)
_FIRST_BIRTHDAY = date(1950, 1, 1)
_PART = 10_000
_BAD = 100
# What is wrong with a bad row, one kind after the other, and how it is rejected.
_FLAWS: tuple[tuple[dict[str, Any], tuple[str, str]], ...] = (
    ({"Last_Name": None}, ("MANDATORY_NOT_FOUND", "$.Last_Name")),
    ({"Email": "no address"}, ("INVALID_DATA", "$.Email")),
    ({"Company": "Ünal & Söhne " * 50}, ("INVALID_DATA", "$.Company")),
    # Only Zoho knows that there is no such Account.
    ({"Partner": "1"}, ("INVALID_DATA", "$.Partner.id")),
)


class Rows:
    """Rows for Leads; the first, third, … have the e-mail addresses of known Leads, as long as there are any.

    :param count: how many.
    :param known: addresses of Leads that exist.
    :param bad: whether every hundredth is one that is rejected.
    """

    def __init__(self, count: int, known: Sequence[str], *, bad: bool = False) -> None:
        self.count = count
        self.bad = bad
        self.known = known[: (count + 1) // 2]
        self._numbers = {email: 2 * place for place, email in enumerate(self.known)}

    def row(self, number: int) -> dict[str, Any]:
        """Make a row, with its values as Zoho's JSON has them."""
        known = number % 2 == 0 and number // 2 < len(self.known)
        row = {
            "Last_Name": f"Person {number} Ünal",
            "Company": f"Company {number % 977}, Ltd.",
            "Email": self.known[number // 2] if known else f"person.{number}{_DOMAIN}",
            "Phone": f"+49 30 {number:07d}",
            "Lead_Source": _SOURCES[number % 5],
            "Description": f'A text with a comma, and "quotes", for row {number}.\n' * 2,
            "No_of_Employees": number % 5000,
            "Annual_Revenue": number / 4,
            "Email_Opt_Out": number % 3 == 0,
            "Birthday": (_FIRST_BIRTHDAY + timedelta(days=number % 20_000)).isoformat(),
            "Next_Call": (_FIRST_CALL + timedelta(seconds=number * 61 % 10_000_000)).isoformat(),
            "Languages": [_LANGUAGES[number % 5], _LANGUAGES[(number + 2) % 5]],
        }
        if self.bad:
            flaw = self._flaw(number)
            row |= {"Partner": None, **(flaw[0] if flaw else {})}
        return row

    def rejection(self, number: int) -> tuple[str, str] | None:
        """Return the code and the ``json_path`` with which a row is rejected, None for a good one."""
        flaw = self._flaw(number)
        return flaw[1] if flaw else None

    def _flaw(self, number: int) -> tuple[dict[str, Any], tuple[str, str]] | None:
        bad = self.bad and number % _BAD == _BAD - 1
        return _FLAWS[number // _BAD % len(_FLAWS)] if bad else None

    def number_of(self, email: str | None) -> int | None:
        """Return the number of the row with an address, None where there is none."""
        if not email:
            return None
        name, domain, _ = email.partition(_DOMAIN)
        return int(name.removeprefix("person.")) if domain else self._numbers.get(email)

    def write(self, path: Path) -> None:
        """Write all rows to a file: ``.jsonl``, or ``.parquet`` with typed columns."""
        if path.suffix == ".parquet":
            self._write_parquet(path)
            return
        with path.open("w") as file:
            for part in self._parts():
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in part)

    def _write_parquet(self, path: Path) -> None:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter

        types = {"Birthday": date.fromisoformat, "Next_Call": datetime.fromisoformat}
        writer = None
        for part in self._parts():
            rows = [row | {name: read(row[name]) for name, read in types.items()} for row in part]
            table = pa.Table.from_pylist(rows)
            writer = writer or ParquetWriter(path, table.schema)
            writer.write_table(table)
        if writer:
            writer.close()

    def _parts(self) -> Iterator[list[dict[str, Any]]]:
        for start in range(0, self.count, _PART):
            yield [self.row(number) for number in range(start, min(start + _PART, self.count))]
