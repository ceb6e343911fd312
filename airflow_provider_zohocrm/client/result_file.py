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

# CSV packs to a tenth or less; deflate reaches a thousandth on what was made to fill a disk.
_LARGE = 256 << 20
_ABSURD_RATIO = 250


@contextmanager
def open_result(archive: BinaryIO, job_id: str, file_type: str) -> Iterator[BinaryIO]:
    """Open the one file in a result as a stream; nothing is unpacked by name, and the checksum is verified.

    No more bytes come than the archive declares, however many are packed.

    :param archive: the downloaded zip, seekable.
    :param job_id: the job; its id is the name of the file.
    :param file_type: ``csv`` or ``ics``.
    :raises ZohoCorruptResultError: if the archive is truncated or damaged, also while it is being read.
    :raises ZohoBulkReadError: if it does not hold exactly the one file named after the job, or one that unpacks to an
        absurd size.
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
    expected = f"{job_id}.{file_type}"
    members = archive.infolist()
    if [info.filename for info in members] != [expected]:
        names = ", ".join(info.filename[:80] for info in members[:5]) or "nothing"
        raise ZohoBulkReadError(
            f"The result of bulk read job {job_id} should hold {expected} and nothing else; it holds {names}."
        )
    (member,) = members
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # Of the others zipfile unpacks a whole block at once, of any size.
        raise ZohoBulkReadError(
            f"The result of bulk read job {job_id} is packed by method {member.compress_type}, not by deflate."
        )
    if member.file_size > _LARGE and member.file_size > _ABSURD_RATIO * member.compress_size:
        raise ZohoBulkReadError(
            f"The result of bulk read job {job_id} would grow from {member.compress_size} to {member.file_size} "
            "bytes when it is unpacked, which no records do; it was not unpacked."
        )
    return member
