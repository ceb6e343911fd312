"""Where a file is: on the local disk or on object storage, and what to do when it cannot be reached."""

from __future__ import annotations

import errno
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.exceptions import ZohoStorageError, ZohoValidationError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)


def local_path(path: str) -> Path | None:
    """Tell where on the local disk a file is.

    :param path: plain path, ``file://`` URI, or URI of object storage.
    :return: the path with ``~`` expanded, or None when the file is on object storage.
    :raises ZohoValidationError: when a ``file://`` URI is not absolute.
    """
    uri = _SCHEME.match(path)
    if uri is None:
        return Path(path).expanduser()
    scheme, rest = uri.groups()
    if scheme.lower() not in ("file", "local"):
        return None
    # As in ObjectStoragePath, what stands before "@" is a connection id, and %20 is no space.
    host, slash, tail = rest.rpartition("@")[2].partition("/")
    if host not in ("", "localhost") or not slash:
        raise ZohoValidationError(f"{path!r} is not absolute: write file:///folder/name, or a plain path.")
    return Path("/", tail)


def object_file(path: str) -> tuple[Any, str]:
    """Find the fsspec file system of a URI through Airflow, with its connection.

    :param path: URI of object storage, e.g. ``s3://conn_id@bucket/key``.
    :return: the file system, and the file's name on it.
    :raises ZohoStorageError: when the scheme, its provider or the connection is missing.
    """
    from airflow_provider_zohocrm._compat import object_storage_path

    try:
        location = object_storage_path(path)
        return location.fs, location.path
    except Exception as error:
        # A scheme without a provider is a ValueError; the rest is up to Airflow, the provider and the vendor's SDK.
        raise storage_error(
            "reach",
            path,
            error,
            hint="Is the Airflow provider of this storage installed, and does the connection before the @ exist?",
        ) from error


def file_exists(path: str) -> bool:
    """Tell whether a file is there.

    :param path: local path, or URI of object storage.
    :raises ZohoStorageError: when the place cannot be reached.
    """
    local = local_path(path)
    if local is not None:
        return local.is_file()
    fs, name = object_file(path)
    try:
        return bool(fs.isfile(name))
    except Exception as error:
        # Beside OSError there are the errors of each vendor's SDK, which share no base.
        raise storage_error("look for", path, error) from error


@contextmanager
def temporary_files() -> Iterator[None]:
    """Turn the failure of a temporary file into an error that names the place.

    :raises ZohoStorageError: when the disk takes no more.
    """
    try:
        yield
    except OSError as error:
        place = tempfile.gettempdir()
        raise storage_error(
            "write", place, error, hint="Free space there, or point TMPDIR to a larger disk."
        ) from error


def storage_error(action: str, path: str, error: BaseException, *, hint: str = "") -> ZohoStorageError:
    """Turn the error of a file system into one that says what to do.

    :param action: what was tried, as a verb: ``write``.
    :param path: the path as the user gave it.
    :param error: what the file system raised.
    :param hint: what to do, where the error itself does not tell.
    :return: the error to raise from ``error``.
    """
    code = error.errno if isinstance(error, OSError) else None
    if code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        hint = hint or "Free space there, or write to another place."
    elif isinstance(error, FileNotFoundError):
        hint = "Check the path. A local file is seen only on the worker that wrote it; object storage is seen by all."
    elif isinstance(error, PermissionError):
        hint = "Give the user of the Airflow worker, or of the connection, access to it."
    elif isinstance(error, (IsADirectoryError, NotADirectoryError, FileExistsError)):
        hint = "A folder and a file stand in each other's way: choose another path."
    reason = str(error) or type(error).__name__
    return ZohoStorageError(f"Cannot {action} {path!r}: {reason.rstrip('.')}. {hint}".rstrip())
