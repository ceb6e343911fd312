"""A CSV file in blocks of whole rows."""

from __future__ import annotations

import io
from contextlib import closing
from typing import TYPE_CHECKING, BinaryIO

from airflow_provider_zohocrm.exceptions import ZohoBulkReadError
from airflow_provider_zohocrm.read_ahead import read_ahead
from airflow_provider_zohocrm.storage.csv_rows import LONGEST_CELL

if TYPE_CHECKING:
    from collections.abc import Generator

_AHEAD = 2


def csv_blocks(stream: BinaryIO, size: int) -> Generator[bytes, None, None]:
    """Read RFC 4180 in blocks that end with a row; the last one may lack its newline.

    The stream is read ahead in a thread, so that it is unpacked while the blocks are worked on.

    :param stream: binary stream. What it raises passes through.
    :param size: about how many bytes a block has, at least one row.
    :return: generator of the blocks; close it before the stream.
    :raises ZohoBulkReadError: when the stream ends within quotes, or a row does not end.
    """
    rest = b""
    read = read_ahead(iter(lambda: stream.read(size), b""), depth=_AHEAD, join=True)
    with closing(read) as chunks:
        for chunk in chunks:
            rest += chunk
            end = _last_row_end(rest)
            if end:
                yield rest[:end]
                rest = rest[end:]
            elif len(rest) > LONGEST_CELL:
                raise ZohoBulkReadError(
                    f"A row of the result of the bulk read job does not end within {LONGEST_CELL >> 20} MiB: "
                    "its quotes are not those of RFC 4180."
                )
    if rest.count(b'"') & 1:
        raise ZohoBulkReadError(
            "The result of the bulk read job ends within quotes: it is cut off, or its quotes are not those of "
            "RFC 4180."
        )
    if rest:
        yield rest


def count_rows(block: bytes) -> int:
    """Count the rows of a block; an empty line is none.

    :param block: whole rows, as of :func:`csv_blocks`.
    :return: the number of rows, the header among them.
    """
    # Outside of quotes each newline ends a row.
    *lines, last = b'"'.join(block.split(b'"')[::2]).split(b"\n")
    return len(lines) - lines.count(b"") - lines.count(b"\r") + (last not in (b"", b"\r"))


def row_ends(block: bytes) -> list[int]:
    """Find where the rows of a block end; an empty line is none, but belongs to the row after it.

    :param block: whole rows, as of :func:`csv_blocks`.
    :return: per row the index after its newline.
    """
    ends = []
    at = 0
    quoted = filled = False
    for line in io.BytesIO(block):
        at += len(line)
        quoted ^= bool(line.count(b'"') & 1)
        filled |= line not in (b"\n", b"\r\n", b"\r")
        if filled and not quoted:
            ends.append(at)
            filled = False
    return ends


def _last_row_end(block: bytes) -> int:
    odd = bool(block.count(b'"') & 1)
    end = len(block)
    while True:
        newline = block.rfind(b"\n", 0, end)
        if newline < 0:
            return 0
        odd ^= bool(block.count(b'"', newline, end) & 1)
        if not odd:
            return newline + 1
        end = newline
