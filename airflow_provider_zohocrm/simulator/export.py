"""The file of a bulk read job: a zip with one csv or ics, written as a stream (sheet §4.4, §4.5)."""

from __future__ import annotations

import csv
import io
import tempfile
import zipfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from airflow_provider_zohocrm.simulator.clock import parse_iso

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from airflow_provider_zohocrm.simulator.conditions import Column
    from airflow_provider_zohocrm.simulator.modules import Field, Module, Row
    from airflow_provider_zohocrm.simulator.options import Options
    from airflow_provider_zohocrm.simulator.store import Store

CHUNK = 500
_COMPOUND = {"jsonobject", "jsonarray", "boolean"}


@dataclass(frozen=True)
class Cells:
    """How a column of the csv is made."""

    header: str
    column: Column

    @property
    def spec(self) -> Field | None:
        """The field, where no dot path leads to it."""
        return None if "." in self.header else self.column.spec


def cell(value: Any, options: Options) -> Any:
    """Turn a value into what stands in the csv.

    :param value: from a record.
    :param options: how guesses of the sheet are answered.
    """
    if value is None:
        return ""
    if value is True:
        return options.csv_boolean
    if value is False:
        return {"true": "false", "TRUE": "FALSE", "1": "0"}[options.csv_boolean]
    if isinstance(value, dict):
        return value["id"]
    if isinstance(value, list):
        return options.csv_multiselect.join(str(v["name"] if isinstance(v, dict) else v) for v in value)
    return value


def _table(
    rows: Sequence[Row], cells: Sequence[Cells], store: Store, options: Options
) -> Iterator[tuple[Any, ...]]:
    """Make the lines of some rows column by column, which is several times faster than row by row."""
    ready = iter(store.columns(rows, [c.spec for c in cells if c.spec is not None]))
    columns: list[list[Any]] = []
    for item in cells:
        values = next(ready) if item.spec is not None else [item.column.get(row) for row in rows]
        if item.spec is None or item.spec.json_type in _COMPOUND:
            values = [cell(value, options) for value in values]
        # The csv module itself writes an empty cell for None.
        columns.append(values)
    return zip(*columns, strict=True)


def write_csv(
    rows: Iterator[Row],
    cells: Sequence[Cells],
    store: Store,
    options: Options,
    target: zipfile.ZipFile,
    name: str,
) -> None:
    """Write the csv into the zip.

    :param rows: the records, any number.
    :param cells: the columns.
    :param store: the data.
    :param options: how guesses of the sheet are answered.
    :param target: the zip.
    :param name: name of the member.
    """
    with target.open(name, "w", force_zip64=True) as member:
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow([c.header for c in cells])
        part: list[Row] = []

        def flush() -> None:
            writer.writerows(_table(part, cells, store, options))
            member.write(text.getvalue().encode())
            text.seek(0)
            text.truncate()
            part.clear()

        for row in rows:
            part.append(row)
            if len(part) >= CHUNK:
                flush()
        flush()


def _escape(text: Any) -> str:
    return (
        str(text or "")
        .replace("\\", "\\\\")
        .replace(";", "\\;")
        .replace(",", "\\,")
        .replace("\r\n", "\\n")
        .replace("\n", "\\n")
    )


def _fold(line: str) -> str:
    """Fold at 75 bytes (RFC 5545 §3.1), which cuts through a line but not through a character."""
    parts, current = [], b""
    for char in line:
        raw = char.encode()
        if len(current) + len(raw) > 74:
            parts.append(current)
            current = b" "
        current += raw
    return b"\r\n".join([*parts, current]).decode()


def write_ics(rows: Iterator[Row], module: Module, store: Store, target: zipfile.ZipFile, name: str) -> None:
    """Write events as a calendar into the zip.

    :param rows: the events.
    :param module: the module Events.
    :param store: the data.
    :param target: the zip.
    :param name: name of the member.
    """

    def stamp(text: str | None) -> str:
        moment = parse_iso(text or "") or 0.0
        return store.clock.utc_compact(moment)

    with target.open(name, "w", force_zip64=True) as member:
        member.write(b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//Zoho Corporation//Zoho CRM-US//EN\r\n")
        for row in rows:
            event = store.record(row, module.fields.values())
            lines = [
                "BEGIN:VEVENT",
                f"UID:{event['id']}@zoho.com",
                f"DTSTAMP:{stamp(event['Modified_Time'])}",
                f"DTSTART:{stamp(event['Start_DateTime'])}",
                f"DTEND:{stamp(event['End_DateTime'])}",
                f"SUMMARY:{_escape(event['Event_Title'])}",
                f"LOCATION:{_escape(event['Venue'])}",
                f"DESCRIPTION:{_escape(event['Description'])}",
                f'ORGANIZER;CN="{event["Owner"]["name"]}":mailto:{event["Owner"]["email"]}',
                "END:VEVENT",
            ]
            member.write("".join(f"{_fold(line)}\r\n" for line in lines).encode())
        member.write(b"END:VCALENDAR\r\n")


def build_zip(write: Callable[[zipfile.ZipFile], None], defect: str) -> IO[bytes]:
    """Build the zip in a temporary file without a name: it goes with the process, however that ends.

    :param write: writes the member.
    :param defect: value of the option ``result_defect``.
    :returns: the open file.
    """
    file = tempfile.TemporaryFile(prefix="zohocrm-simulator-")  # noqa: SIM115 - lives as long as the job
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        write(archive)
        if defect == "two_members":
            archive.writestr("second.csv", "Id\r\n1\r\n")
    size = file.tell()
    if defect == "truncated":
        file.truncate(max(1, size // 2))
    elif defect == "corrupt":
        # Behind the local header of the member: the data itself.
        file.seek(min(120, size // 2))
        file.write(b"\xff\x00\xff\x00\xff\x00\xff\x00")
    file.flush()
    return file
