"""The zip that bulk read delivers (reference sheet §4.4)."""

from __future__ import annotations

import contextlib
import io
import zipfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from airflow_provider_zohocrm.exceptions import ZohoBulkReadError, ZohoCorruptResultError

if TYPE_CHECKING:
    from collections.abc import Iterator

_BUFFER = 256 << 10


@contextmanager
def open_result(archive: BinaryIO, job_id: str, file_type: str) -> Iterator[BinaryIO]:
    """Open the one file in a result as a stream; nothing is unpacked by name, and the checksum is verified.

    :param archive: the downloaded zip, seekable.
    :param job_id: the job; its id is the name of the file.
    :param file_type: ``csv`` or ``ics``.
    :raises ZohoCorruptResultError: if the archive is truncated or damaged, also while it is being read.
    :raises ZohoBulkReadError: if it does not hold exactly one file that can be meant.
    """
    with contextlib.ExitStack() as stack:
        with _corrupt(job_id):
            opened = stack.enter_context(zipfile.ZipFile(archive))
            member = stack.enter_context(opened.open(_member(opened, job_id, file_type)))
        yield cast("BinaryIO", io.BufferedReader(_Member(member, job_id), _BUFFER))


class _Member(io.RawIOBase):
    """Reads a member, and tells damage of the archive from failures of whoever reads."""

    def __init__(self, member: IO[bytes], job_id: str) -> None:
        self._member = member
        self._job_id = job_id

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        with _corrupt(self._job_id):
            chunk = self._member.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)


@contextmanager
def _corrupt(job_id: str) -> Iterator[None]:
    try:
        yield
    except ZohoBulkReadError:
        raise
    except Exception as error:  # zipfile raises whatever its bytes lead it to
        raise ZohoCorruptResultError(
            f"The result of bulk read job {job_id} is damaged or incomplete: {type(error).__name__}: {error}"
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
