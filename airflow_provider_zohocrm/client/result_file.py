"""The zip that bulk read delivers (reference sheet §4.4)."""

from __future__ import annotations

import zipfile
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

from airflow_provider_zohocrm.exceptions import ZohoBulkReadError, ZohoCorruptResultError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def open_result(archive: BinaryIO, job_id: str, file_type: str) -> Iterator[BinaryIO]:
    """Open the one file in a result as a stream; nothing is unpacked by name, and the checksum is verified.

    :param archive: the downloaded zip, seekable.
    :param job_id: the job; its id is the name of the file.
    :param file_type: ``csv`` or ``ics``.
    :raises ZohoCorruptResultError: if the archive is truncated or damaged, also while it is being read.
    :raises ZohoBulkReadError: if it does not hold exactly one file that can be meant.
    """
    try:
        with zipfile.ZipFile(archive) as opened, opened.open(_member(opened, job_id, file_type)) as stream:
            yield cast("BinaryIO", stream)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ZohoCorruptResultError(
            f"The result of bulk read job {job_id} is damaged or incomplete: {error}"
        ) from error


def _member(archive: zipfile.ZipFile, job_id: str, file_type: str) -> zipfile.ZipInfo:
    files = [info for info in archive.infolist() if not info.is_dir()]
    named = [info for info in files if info.filename == f"{job_id}.{file_type}"]
    typed = [info for info in files if info.filename.lower().endswith(f".{file_type}")]
    for found in (named, typed):
        if len(found) == 1:
            return found[0]
    names = ", ".join(info.filename[:80] for info in files[:5]) or "nothing"
    raise ZohoBulkReadError(
        f"The result of bulk read job {job_id} should hold {job_id}.{file_type}; it holds {names}."
    )
