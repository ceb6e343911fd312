"""The zip that bulk read (reference sheet §4.4) and bulk write (§5) deliver."""

from __future__ import annotations

import contextlib
import io
import zipfile
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

from airflow_provider_zohocrm.client.answers import printable
from airflow_provider_zohocrm.exceptions import ZohoBulkReadError, ZohoCorruptResultError

if TYPE_CHECKING:
    from collections.abc import Iterator

_BUFFER = 256 << 10

# CSV packs to a tenth or less; deflate reaches a thousandth on what was made to fill a disk.
_LARGE = 256 << 20
_ABSURD_RATIO = 250
# That of one file has 65 KB at most; a block of the file is never larger than the buffer.
_DIRECTORY = 1 << 20


@contextmanager
def open_result(
    archive: BinaryIO, job_id: str, file_type: str, *, kind: str = "bulk read", named: bool = True
) -> Iterator[BinaryIO]:
    """Open the one file in a result as a stream; nothing is unpacked by name, and the checksum is verified.

    No more bytes come than the archive declares, however many are packed.

    :param archive: the downloaded zip, seekable.
    :param job_id: the job; its id is the name of the file.
    :param file_type: ``csv`` or ``ics``.
    :param kind: kind of the job, for the error texts.
    :param named: whether the file must have the job's id for a name; for bulk write no source tells its name.
    :raises ZohoCorruptResultError: if the archive is truncated or damaged, also while it is being read.
    :raises ZohoBulkReadError: if it does not hold exactly the one file named after the job, or one that unpacks to an
        absurd size.
    """
    with contextlib.ExitStack() as stack:
        job = f"{kind} job {job_id}"
        with _corrupt(job):
            opened = stack.enter_context(zipfile.ZipFile(cast("BinaryIO", _Archive(archive))))
            found = _member(opened, job, f"{job_id if named else ''}.{file_type}")
            member = stack.enter_context(opened.open(found))
        yield cast("BinaryIO", io.BufferedReader(_Member(member, job), _BUFFER))


class _Archive:
    """The archive as zipfile sees it, which would read a directory of any size at once."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = file.seekable

    def read(self, size: int = -1) -> bytes:
        if size > _DIRECTORY:
            raise zipfile.BadZipFile("its directory is too large")
        # Without a size zipfile asks for the end of the file, where a comment of 65 KB may stand.
        return self._file.read(size if size >= 0 else _DIRECTORY)


class _Member(io.RawIOBase):
    """Reads a member, and tells damage of the archive from failures of whoever reads."""

    def __init__(self, member: IO[bytes], job: str) -> None:
        self._member = member
        self._job = job

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        with _corrupt(self._job):
            chunk = self._member.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)


@contextmanager
def _corrupt(job: str) -> Iterator[None]:
    try:
        yield
    except ZohoBulkReadError:
        raise
    except Exception as error:  # zipfile raises whatever its bytes lead it to
        raise ZohoCorruptResultError(
            f"The result of {job} is damaged or incomplete: {type(error).__name__}: {printable(str(error)[:200])}"
        ) from error


def _member(archive: zipfile.ZipFile, job: str, expected: str) -> zipfile.ZipInfo:
    members = archive.infolist()
    if len(members) != 1 or not _fits(members[0].filename, expected):
        names = ", ".join(printable(info.filename[:80]) for info in members[:5]) or "nothing"
        raise ZohoBulkReadError(
            f"The result of {job} should hold {expected} and nothing else; it holds {names}."
        )
    (member,) = members
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # Of the others zipfile unpacks a whole block at once, of any size.
        raise ZohoBulkReadError(
            f"The result of {job} is packed by method {member.compress_type}, not by deflate."
        )
    if member.file_size > _LARGE and member.file_size > _ABSURD_RATIO * member.compress_size:
        raise ZohoBulkReadError(
            f"The result of {job} would grow from {member.compress_size} to {member.file_size} "
            "bytes when it is unpacked, which no records do; it was not unpacked."
        )
    return member


def _fits(name: str, expected: str) -> bool:
    return name.lower().endswith(expected) if expected.startswith(".") else name == expected
