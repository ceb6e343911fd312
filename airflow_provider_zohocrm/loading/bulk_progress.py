"""How far a load by bulk write has come, as plain JSON, and what follows from that; nothing here does I/O."""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.client.polling import JobLooks, Timing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Results live for seven days (reference sheet §5).
RESULT_LIFE = 7 * 24 * 60 * 60.0


class LoadFile(JobLooks):
    """Some rows of the input, which one job writes; those that were not refused before are in its file.

    ``state`` is ``cut`` (no file is uploaded), ``uploaded``, ``creating`` (a job may have been created, and its id is
    not known), ``running`` or ``completed``. ``start`` is the position before the first row, ``index`` its number over
    the whole input, ``rows`` the number of rows and ``sent`` of those in the file; ``refused`` marks the others, see
    :func:`packed`. ``columns`` are the fields in their order. ``harmless`` tells that a second job with the same file
    would leave the same records behind.
    """

    number: int
    start: list[int]
    index: int
    rows: int
    sent: int
    refused: str
    columns: list[str]
    file_id: str
    harmless: bool


class LoadProgress(Timing):
    """How far a load has come.

    ``files`` are those whose outcome is not written, in the order of the input; ``next``, ``next_index`` and
    ``next_number`` tell where the one after them begins, ``ended`` that there is none. ``finished`` is the number of
    files whose outcome is written, ``outcome`` what was published of it. ``org`` is the id of the organisation,
    ``columns`` the fields where all rows must have the same, ``inputs`` the fingerprint of the input, ``calls`` and
    ``credits`` what was spent, ``job_ids`` all jobs that were created. ``again`` are the numbers of files that another job
    writes in this try, as the first was lost. ``halted`` tells that nothing more is submitted while a job is under way, ``failed``
    why a job has failed in this try. ``schema`` is for who tells of the load, ``operation`` and ``find_by`` for who chose them.
    """

    files: list[LoadFile]
    next: list[int]
    next_index: int
    next_number: int
    ended: bool
    finished: int
    outcome: dict[str, Any]
    org: str
    columns: list[str] | None
    inputs: str
    calls: int
    credits: int
    again: list[int]
    job_ids: list[str]
    schema: list[list[Any]]
    halted: bool
    failed: str
    operation: str
    find_by: str | None


def new_load(inputs: str, operation: str = "", find_by: str | None = None) -> LoadProgress:
    """Begin a load.

    :param inputs: fingerprint of the input.
    :param operation: ``insert``, ``update`` or ``upsert``; empty where it is not known.
    :param find_by: the field by which records are found.
    """
    return {
        "files": [],
        "next": [0, 0],
        "next_index": 0,
        "next_number": 1,
        "ended": False,
        "finished": 0,
        "outcome": {},
        "org": "",
        "columns": None,
        "inputs": inputs,
        "calls": 0,
        "credits": 0,
        "again": [],
        "job_ids": [],
        "schema": [],
        "halted": False,
        "failed": "",
        "operation": operation,
        "find_by": find_by,
        "busy_since": 0.0,
        "completed": 0,
        "job_seconds": None,
        "ended_at": 0.0,
        "early": False,
        "resumed_at": 0.0,
    }


def read_load(value: Mapping[str, Any]) -> LoadProgress:
    """Read a progress that was kept as JSON."""
    progress = new_load("")
    progress.update({key: each for key, each in value.items() if key in progress})  # type: ignore[typeddict-item]
    return progress


def new_file(progress: LoadProgress) -> LoadFile:
    """Describe the next file, before its rows are known."""
    return {
        "number": progress["next_number"],
        "start": progress["next"],
        "index": progress["next_index"],
        "rows": 0,
        "sent": 0,
        "refused": "",
        "columns": [],
        "file_id": "",
        "harmless": False,
        "state": "cut",
        "job_id": "",
        "submitted_at": 0.0,
        "looks": 0,
        "looked_at": 0.0,
        "try_number": 1,
    }


def jobs_of(progress: LoadProgress) -> list[LoadFile]:
    """Return the files whose jobs Zoho has, the oldest first."""
    return [file for file in progress["files"] if file["state"] in ("running", "completed")]


def next_file(progress: LoadProgress) -> LoadFile | None:
    """Return the first file whose job is not created, if there is one that is cut."""
    return next(
        (file for file in progress["files"] if file["state"] in ("cut", "uploaded", "creating")), None
    )


def running(progress: LoadProgress) -> int:
    """Count the jobs that Zoho has to work on."""
    return sum(file["state"] == "running" for file in progress["files"])


def note_created(progress: LoadProgress, file: LoadFile, job_id: str, now: float, try_number: int) -> None:
    """Note that Zoho has taken a job."""
    if not running(progress):
        progress["busy_since"], progress["completed"] = now, 0
    file["state"], file["job_id"], file["submitted_at"] = "running", job_id, now
    progress["job_ids"].append(job_id)
    file["looks"], file["looked_at"], file["try_number"] = 0, 0.0, try_number


def note_written(progress: LoadProgress, file: LoadFile) -> None:
    """Note that the outcome of a file is written."""
    progress["files"] = [one for one in progress["files"] if one["number"] != file["number"]]
    progress["finished"] += 1


def cut_again(file: LoadFile) -> None:
    """Have another upload and another job write the rows of a file."""
    file["state"], file["job_id"], file["file_id"] = "cut", "", ""


def packed(marked: Iterable[int]) -> str:
    """Write which rows of a file are marked, as a short text.

    :param marked: numbers of rows in the file, from 0; empty for none.
    """
    bits = bytearray()
    for row in marked:
        byte = row >> 3
        if byte >= len(bits):
            bits.extend(bytes(byte + 1 - len(bits)))
        bits[byte] |= 1 << (row & 7)
    return base64.b85encode(zlib.compress(bytes(bits), 9)).decode() if bits else ""


def unpacked(text: str) -> frozenset[int]:
    """Read what :func:`packed` wrote."""
    if not text:
        return frozenset()
    bits = zlib.decompress(base64.b85decode(text))
    return frozenset(
        (number << 3) + bit for number, byte in enumerate(bits) if byte for bit in range(8) if byte >> bit & 1
    )
