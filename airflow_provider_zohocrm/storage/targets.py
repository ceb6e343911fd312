"""Files that appear under their final name only when they are whole."""

from __future__ import annotations

import errno
import gzip
import hashlib
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

    from airflow_provider_zohocrm.storage.formats import Compression

_BUFFER = 1 << 20

# Twice as fast as the usual 6, and records grow by 2 % only.
_LEVEL = 4

# File systems whose put_file makes an object visible only with the last byte, by package, with the options that let
# it replace an object on every release. A retry of a task must be able to.
_WHOLE_UPLOADS: dict[str, dict[str, Any]] = {"s3fs": {}, "gcsfs": {}, "adlfs": {"overwrite": True}}


class _TypeErrors(TypedDict, total=False):
    type_errors: int


class FileInfo(_TypeErrors):
    """One finished file, as plain JSON.

    ``path`` is the path as it was given, ``records`` the number of records, ``bytes`` the size of the file,
    ``sha256`` the hex digest of its bytes. ``type_errors`` is the number of values set aside, and only there in files
    written with ``on_type_error="string"``.
    """

    path: str
    records: int
    bytes: int
    sha256: str


class StagedFile:
    """A file on its way: written under a temporary name, then published.

    A local file is written beside its final name. What goes to object storage is collected in a local temporary
    file (``TMPDIR`` says where) and uploaded at the end: a file that is opened on object storage and left by an
    exception is closed, and by that committed, on most fsspec file systems. What stood under the name before is
    replaced on success and kept on failure.

    :param path: local path, or URI of object storage. Folders are made where they are missing.
    :param compression: how to pack the content.
    :raises ZohoStorageError: when the place cannot be reached or written to.
    """

    def __init__(self, path: str, compression: Compression = "") -> None:
        self.path = path
        self._target = _target(path)
        self._temporary = self._target.folder / f".{uuid4().hex}.part"
        with _translated("write", path):
            # Like any new file of this user; what waits for its upload is nobody else's business.
            descriptor = os.open(
                self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, self._target.permissions
            )
        self._sink: _Sink | None = _Sink(os.fdopen(descriptor, "wb", 0), path, self._target.full_disk)
        self._buffered = io.BufferedWriter(self._sink, _BUFFER)
        self._packed = _packed(self._buffered, compression)
        self.file: BinaryIO = (
            self._buffered
            if self._packed is None
            else cast("BinaryIO", io.BufferedWriter(self._packed, _BUFFER))
        )
        """Takes the content, until the file is finished; packs it where the format asks for it."""
        self._size = 0
        self._digest = ""
        self._published = False

    def finish(self) -> None:
        """Complete the file under its temporary name, and let go of its buffers.

        :raises ZohoStorageError: when the disk takes no more.
        """
        sink = self._sink
        if sink is None:
            return
        self.file.flush()
        if self._packed is not None:
            self._packed.close()
        self._buffered.flush()
        self._size, self._digest = sink.size, sink.hash.hexdigest()
        self._close(sink)

    def publish(self) -> None:
        """Let the file appear under its final name.

        :raises ZohoStorageError: when the disk takes no more, or the upload fails.
        """
        self.finish()
        self._target.publish(self._temporary)
        self._published = True

    def discard(self) -> None:
        """Remove what is not published; nothing, where all is."""
        try:
            if self._sink is not None:
                self._close(self._sink)
        finally:
            self._temporary.unlink(missing_ok=True)

    def info(self, records: int) -> FileInfo:
        """Describe the published file.

        :param records: number of records in the file.
        :return: the description.
        :raises ZohoStorageError: when the file is not published.
        """
        if not self._published:
            raise ZohoStorageError(f"{self.path!r} is not finished.")
        return FileInfo(path=self.path, records=records, bytes=self._size, sha256=self._digest)

    def _close(self, sink: _Sink) -> None:
        # What is above flushes when it is closed or collected: that must neither write nor raise any more.
        sink.abandon()
        if self._packed is not None:
            # Refers to itself, so that the file below may be collected before it.
            self._packed.close()
        # Each file of many would keep its buffers.
        del self.file, self._packed, self._buffered
        self._sink = None


@contextmanager
def staged_file(path: str, compression: Compression = "") -> Iterator[StagedFile]:
    """Write a file under a temporary name and publish it when the block ends without an error.

    :param path: local path, or URI of object storage (see :class:`StagedFile`).
    :param compression: how to pack the content.
    :return: context manager that gives the :class:`StagedFile`.
    :raises ZohoStorageError: when the place cannot be reached, written to, or uploaded to.
    """
    staged = StagedFile(path, compression)
    try:
        yield staged
        staged.publish()
    finally:
        staged.discard()


def _packed(file: BinaryIO, compression: Compression) -> Any:
    if compression == "gzip":
        # No name and no time in the gzip header: equal records give equal bytes.
        return gzip.GzipFile("", "wb", _LEVEL, file, mtime=0)
    if compression == "zstd":
        import zstandard

        # gzip has a checksum, too.
        packer = zstandard.ZstdCompressor(level=3, write_checksum=True)
        return packer.stream_writer(file, closefd=False)
    return None


class _Sink(io.RawIOBase):
    """The lowest layer of a staged file: names the path in errors, and can be told to take no more."""

    def __init__(self, raw: io.FileIO, path: str, full_disk: str) -> None:
        self._raw = raw
        self._path = path
        self._full_disk = full_disk
        self._abandoned = False
        self.size = 0
        self.hash = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer, /) -> int:
        if self._abandoned:
            return memoryview(data).nbytes
        try:
            written = self._raw.write(data)
        except OSError as error:
            raise storage_error("write", self._path, error, hint=self._full_disk) from error
        self.hash.update(memoryview(data)[:written])
        self.size += written
        return written

    def abandon(self) -> None:
        """Close the file, and let whatever is still written vanish."""
        self._abandoned = True
        self._raw.close()


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
