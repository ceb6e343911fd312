"""Files that appear under their final name only when they are whole."""

from __future__ import annotations

import errno
import gzip
import io
import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, TypedDict, cast
from uuid import uuid4

from airflow_provider_zohocrm.exceptions import ZohoStorageError
from airflow_provider_zohocrm.storage.locations import local_path, object_file, storage_error

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typing_extensions import Buffer

_BUFFER = 1 << 20

# Twice as fast as the usual 6, and records grow by 2 % only.
_LEVEL = 4

# File systems whose put_file makes an object visible only with the last byte, by package, with the options that let
# it replace an object on every release. A retry of a task must be able to.
_WHOLE_UPLOADS: dict[str, dict[str, Any]] = {"s3fs": {}, "gcsfs": {}, "adlfs": {"overwrite": True}}


class FileInfo(TypedDict):
    """One finished file, as plain JSON.

    ``path`` is the path as it was given, ``records`` the number of records, ``bytes`` the size of the file.
    """

    path: str
    records: int
    bytes: int


class StagedFile:
    """A file on its way.

    :param file: takes the content; packs it where the format asks for it.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.bytes: int | None = None
        """Size of the published file; None until then."""

    def info(self, path: str, records: int) -> FileInfo:
        """Describe the finished file.

        :param path: the path as the user gave it.
        :param records: number of records in the file.
        :return: the description.
        :raises ZohoStorageError: when the file is not published.
        """
        if self.bytes is None:
            raise ZohoStorageError(f"{path!r} is not finished.")
        return FileInfo(path=path, records=records, bytes=self.bytes)


@contextmanager
def staged_file(path: str, *, compressed: bool = False) -> Iterator[StagedFile]:
    """Write a file under a temporary name and publish it when the block ends without an error.

    A local file is written beside its final name. What goes to object storage is collected in a local temporary
    file (``TMPDIR`` says where) and uploaded at the end: a file that is opened on object storage and left by an
    exception is closed, and by that committed, on most fsspec file systems. What stood under the name before is
    replaced on success and kept on failure.

    :param path: local path, or URI of object storage. Folders are made where they are missing.
    :param compressed: pack the content with gzip.
    :return: context manager that gives the :class:`StagedFile`.
    :raises ZohoStorageError: when the place cannot be reached, written to, or uploaded to.
    """
    target = _target(path)
    temporary = target.folder / f".{uuid4().hex}.part"
    try:
        with _translated("write", path):
            # Like any new file of this user; what waits for its upload is nobody else's business.
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, target.permissions)
        with os.fdopen(descriptor, "wb", 0) as raw:
            sink = _Sink(raw, path, target.full_disk)
            buffered = io.BufferedWriter(sink, _BUFFER)
            # No name and no time in the gzip header: equal records give equal bytes.
            packed = gzip.GzipFile("", "wb", _LEVEL, buffered, mtime=0) if compressed else None
            staged = StagedFile(
                cast("BinaryIO", io.BufferedWriter(cast("Any", packed), _BUFFER) if packed else buffered)
            )
            try:
                yield staged
                staged.file.flush()
                if packed:
                    packed.close()
                buffered.flush()
            finally:
                # What is above flushes when it is closed or collected: that must neither write nor raise any more.
                sink.abandon()
                if packed:
                    # Refers to itself, so that the file below may be collected before it.
                    packed.close()
            size = os.fstat(raw.fileno()).st_size
        target.publish(temporary)
        staged.bytes = size
    finally:
        temporary.unlink(missing_ok=True)


class _Sink(io.RawIOBase):
    """The lowest layer of a staged file: names the path in errors, and can be told to take no more."""

    def __init__(self, raw: io.FileIO, path: str, full_disk: str) -> None:
        self._raw = raw
        self._path = path
        self._full_disk = full_disk
        self._abandoned = False

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer, /) -> int:
        if self._abandoned:
            return memoryview(data).nbytes
        try:
            return self._raw.write(data)
        except OSError as error:
            raise storage_error("write", self._path, error, hint=self._full_disk) from error

    def abandon(self) -> None:
        """Let whatever is still written vanish."""
        self._abandoned = True


class _Target(Protocol):
    """Where a temporary file is made, and how it gets to its final place."""

    folder: Path
    permissions: int
    full_disk: str

    def publish(self, temporary: Path) -> None: ...


def _target(path: str) -> _Target:
    local = local_path(path)
    return _ObjectTarget(path) if local is None else _LocalTarget(path, local)


class _LocalTarget:
    """A file on the local disk."""

    permissions = 0o666
    full_disk = ""

    def __init__(self, path: str, local: Path) -> None:
        with _translated("write", path):
            # A link stays a link to the file that is replaced.
            final = local.resolve()
            final.parent.mkdir(parents=True, exist_ok=True)
            if final.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        self.folder = final.parent
        self._path = path
        self._final = final

    def publish(self, temporary: Path) -> None:
        with _translated("write", self._path):
            temporary.replace(self._final)


class _ObjectTarget:
    """An object on a remote file system."""

    permissions = 0o600
    full_disk = "The file is collected on the worker before its upload: point TMPDIR to a larger disk."

    def __init__(self, path: str) -> None:
        self._path = path
        self._fs, self._final = object_file(path)
        with _translated("write", path):
            self.folder = Path(tempfile.gettempdir())

    def publish(self, temporary: Path) -> None:
        source = str(temporary)
        packages = {each.__module__.partition(".")[0] for each in type(self._fs).__mro__}
        whole = packages & _WHOLE_UPLOADS.keys()
        try:
            if whole:
                self._fs.put_file(source, self._final, **_WHOLE_UPLOADS[whole.pop()])
            else:
                self._put_and_rename(source)
        except Exception as error:
            # Beside OSError there are the errors of each vendor's SDK, which share no base.
            raise storage_error("upload to", self._path, error, hint="Nothing was changed there.") from error

    def _put_and_rename(self, source: str) -> None:
        folder, slash, _ = self._final.rpartition("/")
        part = f"{folder}{slash}.{uuid4().hex}.part"
        try:
            if folder:
                self._fs.makedirs(folder, exist_ok=True)
            self._fs.put_file(source, part)
            sent, stored = Path(source).stat().st_size, self._fs.size(part)
            # Some servers do not tell sizes.
            if stored is not None and sent != stored:
                raise ZohoStorageError(f"{stored} of {sent} bytes arrived")
            _rename(self._fs, part, self._final)
        except BaseException:
            with suppress(Exception):
                self._fs.rm_file(part)
            raise


def _rename(fs: Any, source: str, final: str) -> None:
    from fsspec import AbstractFileSystem

    if type(fs).mv is AbstractFileSystem.mv:
        # The general mv reads names as patterns, so that one with brackets is not found.
        fs.cp_file(source, final)
        fs.rm_file(source)
        return
    try:
        fs.mv(source, final)
    except Exception:
        # Some servers (SMB, FTP) do not rename onto a file that is there.
        if not fs.exists(final):
            raise
        fs.rm_file(final)
        fs.mv(source, final)


@contextmanager
def _translated(action: str, path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise storage_error(action, path, error) from error
