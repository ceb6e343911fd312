"""Where the rows come from: records given in Python, or files."""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from airflow_provider_zohocrm.exceptions import ZohoStorageError, ZohoValidationError
from airflow_provider_zohocrm.loading.overlap import lies_in, writes_over
from airflow_provider_zohocrm.storage.formats import file_format, file_suffix
from airflow_provider_zohocrm.storage.locations import local_path, object_file, storage_error
from airflow_provider_zohocrm.storage.readers import count_records, parquet_rows, read_records

_MANIFEST = ".json"
_WILDCARDS = re.compile(r"[*?\[]")
# Bytes. Nobody asks for the number of the rows of so little to save something.
_SMALL = 4 << 10
_DIGITS = re.compile(r"([0-9]+)")
# What file systems call the version of a file; none is known to all of them.
_VERSIONS = ("ETag", "etag", "md5Hash", "mtime", "LastModified", "last_modified", "updated", "created")


class Position(NamedTuple):
    """How far the input is done.

    :param file: index of the file.
    :param row: number of rows of it that are done.
    """

    file: int
    row: int


class InputRow(NamedTuple):
    """A row of the input.

    :param index: number of the row over all files, from 0.
    :param position: where the next row is.
    :param values: values by column.
    :param texts: the values are the texts of CSV cells.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody asks a row for
    position: Position
    values: dict[str, Any]
    texts: bool


class InputFile(NamedTuple):
    """A file of the input.

    :param path: local path, or URI of object storage.
    :param version: what changes when the file does.
    :param records: number of its records, where a manifest tells it.
    """

    path: str
    version: str
    records: int | None = None


class Inputs:
    """The rows of records given in Python, or of files: one path, a folder, a glob, or a manifest of an extraction.

    Made by :meth:`of_records` or :meth:`of_path`. Rows are read as they are asked for, and memory does not grow with
    their number.
    """

    def __init__(
        self,
        records: Sequence[Mapping[str, Any]] | None,
        files: Sequence[InputFile],
        given: str | None = None,
        *,
        several: bool = False,
    ) -> None:
        self._records = records
        self.files = tuple(files)
        """The files, in the order in which they are read; none where records were given in Python."""
        self._given = given
        self._several = several
        self._counted: int | None = None

    @classmethod
    def of_records(cls, records: Sequence[Mapping[str, Any]]) -> Inputs:
        """Take records given in Python.

        :param records: a list of dicts; it may be empty.
        :raises ZohoValidationError: when it is something else, naming the first record that is no dict.
        """
        if isinstance(records, (str, bytes, Mapping)) or not isinstance(records, Sequence):
            raise ZohoValidationError(f"records must be a list of dicts, not {type(records).__name__}")
        for index, record in enumerate(records):
            if not isinstance(record, Mapping):
                raise ZohoValidationError(
                    f"record {index} is {str(record)[:80]!r}; each record must be a dict of columns and values"
                )
            if not all(isinstance(name, str) for name in record):
                raise ZohoValidationError(
                    f"record {index} has a column whose name is no text: {[*record]!r:.80}"
                )
        return cls(records, ())

    @classmethod
    def of_path(cls, input_path: str) -> Inputs:
        """Find the files of a path.

        :param input_path: local, or URI of object storage: a ``.jsonl``, ``.csv`` or ``.parquet`` file (the first two
            also with ``.gz`` or ``.zst``); a manifest written by the extraction (``.json``), for its files in their
            order; a folder, for its files of these kinds; or a glob (``*``, ``?``, ``**``). Files of a folder or glob
            are sorted by name, ``part-2`` before ``part-10``; hidden ones (``.``, ``_``) are left out.
        :raises ZohoValidationError: when the format is not known.
        :raises ZohoStorageError: when there is no such file, or a file of the manifest is gone or has another size.
        """
        place = _place(input_path)
        if input_path.lower().endswith(_MANIFEST):
            return cls(None, _files_of_manifest(input_path, place), input_path)
        if place.is_file():
            file_format(input_path)
            return cls(None, [InputFile(input_path, place.version())], input_path)
        is_glob = _WILDCARDS.search(input_path) is not None
        if not is_glob and not place.is_folder():
            file_format(input_path)
            raise storage_error("read", input_path, FileNotFoundError("There is no such file or folder"))
        found = sorted(
            (path for path in (place.matches() if is_glob else place.members()) if _is_input(path)),
            key=_sort_key,
        )
        if not found:
            raise ZohoStorageError(
                f"There are no files of records in {input_path!r}: nothing there ends with .jsonl, .csv or .parquet. "
                "An extraction without records writes an empty file."
            )
        files = [InputFile(path, _place(path).version()) for path in found]
        return cls(None, files, input_path, several=True)

    def keep_apart(self, *outputs: str | None) -> Inputs:
        """Check that nothing is written over the input, or where a further try would read it as a part of it.

        :param outputs: paths of files to be written; None for none.
        :return: these inputs.
        :raises ZohoValidationError: naming the path.
        """
        given = self._given
        for output in outputs:
            if output is None or given is None:
                continue
            if writes_over(output, [given, *(file.path for file in self.files)]) or (
                self._several and _is_input(output) and lies_in(output, given)
            ):
                raise ZohoValidationError(
                    f"{output!r} would be written where the input is read, {given!r}: write it to another folder."
                )
        return self

    @cached_property
    def fingerprint(self) -> str:
        """A text that changes when the input does: of names, sizes and change times of files, or of the records."""
        digest = hashlib.sha256()
        for file in self.files:
            digest.update(f"{file.path}\n{file.version}\n".encode())
        for record in self._records or ():
            digest.update(f"{record!r}\n".encode())
        return digest.hexdigest()

    def count(self, *, read: bool = False) -> int | None:
        """Tell the number of rows, where that costs little: of records, by a manifest, or by the footers of Parquet.

        :param read: else read the files through, without parsing their rows, unless it is a small one. What was counted
            is known from then on.
        :return: the number, or None.
        :raises ZohoStorageError: when a file cannot be read.
        """
        if self._records is not None:
            return len(self._records)
        if self._counted is None:
            self._counted = _sum(map(_known_rows, self.files))
        if self._counted is None and read and self._may_have_many():
            self._counted = _sum(_counted_rows(file) for file in self.files)
        return self._counted

    def _may_have_many(self) -> bool:
        if len(self.files) > 1 or not self.files:
            return True
        path = self.files[0].path
        # What is packed may be many times as large.
        return bool(file_format(path).compression) or _place(path).size() >= _SMALL

    def rows(self, start: Position = Position(0, 0), *, index: int | None = None) -> Iterator[InputRow]:  # noqa: B008  # immutable
        """Read the rows.

        :param start: the position of the row that was done last.
        :param index: number of the first row over all files. None counts those before, which reads files that do not
            tell their number of rows.
        :return: iterator over rows.
        :raises ZohoStorageError: while reading: no such file, no access, or a line that is no record (with its number).
        """
        if self._records is not None:
            for number in range(start.row, len(self._records)):
                yield InputRow(number, Position(0, number + 1), dict(self._records[number]), False)
            return
        if index is None:
            index = start.row + sum(_rows_of(file) for file in self.files[: start.file])
        skip = start.row
        for place in range(start.file, len(self.files)):
            path = self.files[place].path
            texts = file_format(path).name == "csv"
            done = skip
            for values in read_records(path, skip=skip, empty_cells=True):
                done += 1
                yield InputRow(index, Position(place, done), values, texts)
                index += 1
            skip = 0


def _known_rows(file: InputFile) -> int | None:
    if file.records is not None:
        return file.records
    return parquet_rows(file.path) if file_format(file.path).name == "parquet" else None


def _counted_rows(file: InputFile) -> int | None:
    known = _known_rows(file)
    return count_records(file.path) if known is None else known


def _sum(counts: Iterable[int | None]) -> int | None:
    total = 0
    for count in counts:
        if count is None:
            return None
        total += count
    return total


def _rows_of(file: InputFile) -> int:
    known = _known_rows(file)
    return sum(1 for _ in read_records(file.path)) if known is None else known


def _is_input(path: str) -> bool:
    name = path.rsplit("/", 1)[-1]
    if name.startswith((".", "_")):
        return False
    try:
        file_format(path)
    except ZohoValidationError:
        return False
    return True


def _sort_key(path: str) -> tuple[list[tuple[str, int]], str]:
    # "leads.csv" is the first part of "leads-0002.csv", which a plain comparison would put after it.
    stem = path[: len(path) - len(file_suffix(path))]
    return [("", int(part)) if part.isdecimal() else (part, 0) for part in _DIGITS.split(stem)], path


def _files_of_manifest(path: str, place: _Place) -> list[InputFile]:
    try:
        content = orjson.loads(place.read())
        listed = [
            (file["path"], file["bytes"], file.get("rows"), file.get("sha256")) for file in content["files"]
        ]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ZohoStorageError(
            f"{path!r} is no manifest of an extraction: it has no list of files. Records in a file end with .jsonl."
        ) from error
    files = []
    for name, size, records, sha256 in listed:
        file_format(name)
        member = _place(name)
        if not member.is_file():
            raise ZohoStorageError(
                f"{name!r}, which {path!r} lists, is gone. A local file is seen only on the worker that wrote it."
            )
        if member.size() != size:
            raise ZohoStorageError(
                f"{name!r} has {member.size()} bytes, but {size} when {path!r} was written: extract it again."
            )
        # The checksum is what the manifest says: it does not tell of a change since.
        files.append(InputFile(name, f"{sha256 or ''} {member.version()}", records))
    return files


def _place(path: str) -> _Place:
    local = local_path(path)
    return _Object(path) if local is None else _Local(local)


class _Place(ABC):
    """What is at a path."""

    @abstractmethod
    def is_file(self) -> bool: ...

    @abstractmethod
    def is_folder(self) -> bool: ...

    @abstractmethod
    def members(self) -> list[str]:
        """List the paths in the folder."""

    @abstractmethod
    def matches(self) -> list[str]:
        """List the paths of files that match the glob."""

    @abstractmethod
    def size(self) -> int: ...

    @abstractmethod
    def version(self) -> str:
        """Tell size and change time."""

    @abstractmethod
    def read(self) -> bytes: ...


class _Local(_Place):
    def __init__(self, path: Path) -> None:
        self._path = path

    def is_file(self) -> bool:
        return self._path.is_file()

    def is_folder(self) -> bool:
        return self._path.is_dir()

    def members(self) -> list[str]:
        return [str(one) for one in self._path.iterdir() if one.is_file()]

    def matches(self) -> list[str]:
        root = Path(self._path.anchor)
        return [str(one) for one in root.glob(str(self._path.relative_to(root))) if one.is_file()]

    def size(self) -> int:
        return self._path.stat().st_size

    def version(self) -> str:
        stat = self._path.stat()
        return f"{stat.st_size} {stat.st_mtime_ns}"

    def read(self) -> bytes:
        try:
            return self._path.read_bytes()
        except OSError as error:
            raise storage_error("read", str(self._path), error) from error


class _Object(_Place):
    def __init__(self, path: str) -> None:
        self._path = path
        self._fs, self._name = object_file(path)

    def is_file(self) -> bool:
        return bool(self._asked(lambda: self._fs.isfile(self._name)))

    def is_folder(self) -> bool:
        return bool(self._asked(lambda: self._fs.isdir(self._name)))

    def members(self) -> list[str]:
        listed = self._asked(lambda: self._fs.ls(self._name, detail=True))
        return self._uris(self._path, {one["name"]: one for one in listed})

    def matches(self) -> list[str]:
        found = self._asked(lambda: self._fs.glob(self._name, detail=True))
        fixed = self._path[: _WILDCARDS.search(self._path).start()]  # type: ignore[union-attr]  # it is a glob
        return self._uris(fixed.rpartition("/")[0], found)

    def _uris(self, root: str, found: Mapping[str, Any]) -> list[str]:
        # File systems list names without scheme and connection, with or without a slash in front.
        left_off = len(object_file(root)[1].strip("/"))
        return [
            f"{root.rstrip('/')}/{name.lstrip('/')[left_off:].lstrip('/')}"
            for name, one in found.items()
            if one["type"] == "file"
        ]

    def size(self) -> int:
        return int(self._info()["size"])

    def version(self) -> str:
        info = self._info()
        return " ".join([str(info["size"]), *(f"{key}={info[key]}" for key in _VERSIONS if info.get(key))])

    def read(self) -> bytes:
        return bytes(self._asked(lambda: self._fs.cat_file(self._name)))

    def _info(self) -> dict[str, Any]:
        return dict(self._asked(lambda: self._fs.info(self._name)))

    def _asked(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except Exception as error:
            # Beside OSError there are the errors of each vendor's SDK, which share no base.
            raise storage_error("look for", self._path, error) from error
