"""What a file is, told by the end of its name."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal, NamedTuple

from airflow_provider_zohocrm.exceptions import ZohoConfigurationError, ZohoValidationError
from airflow_provider_zohocrm.storage.locations import local_path

Compression = Literal["", "gzip", "zstd"]


class FileFormat(NamedTuple):
    """The format of a file.

    :param name: what the (unpacked) content is.
    :param suffix: the end of the file name that says so, in lower case, e.g. ``.csv.gz``.
    :param compression: how the content is packed.
    """

    name: Literal["jsonl", "csv", "parquet", "ics", "zip"]
    suffix: str
    compression: Compression = ""


_RECORD_FORMATS = (
    FileFormat("jsonl", ".jsonl"),
    FileFormat("jsonl", ".jsonl.gz", "gzip"),
    FileFormat("jsonl", ".jsonl.zst", "zstd"),
    FileFormat("csv", ".csv"),
    FileFormat("csv", ".csv.gz", "gzip"),
    FileFormat("csv", ".csv.zst", "zstd"),
    FileFormat("parquet", ".parquet"),
)
_RAW_FORMATS = (FileFormat("ics", ".ics"), FileFormat("zip", ".zip"))


def file_format(path: str, *, raw: bool = False) -> FileFormat:
    """Tell the format of a file by its suffix, in any case. Touches neither the file nor the network.

    :param path: local path, or URI of object storage.
    :param raw: ask for a format that is passed through as it is (``.ics``, ``.zip``) instead of one of records.
    :return: the format.
    :raises ZohoValidationError: when the suffix is none of those that work, or a ``file://`` URI is not absolute.
    :raises ZohoConfigurationError: for Parquet where pyarrow is not installed, for zstd where zstandard is not.
    """
    found = _match(path, _RAW_FORMATS if raw else _RECORD_FORMATS)
    local_path(path)
    if found.name == "parquet":
        _require(path, "pyarrow", "parquet", "choose a .csv or .jsonl file")
    if found.compression == "zstd":
        _require(path, "zstandard", "zstd", "choose a file that ends with .gz")
    return found


def numbered_path(path: str, number: int) -> str:
    """Name the file of one page of a result that is spread over several files.

    :param path: the path of the first file; its suffix must be a known one.
    :param number: number of the page, from 1.
    :return: ``path`` itself for page 1, else with the number before the suffix: ``leads-0002.csv.gz``.
    :raises ZohoValidationError: when the suffix is not known, or the number is below 1.
    """
    if number < 1:
        raise ZohoValidationError(f"Pages are counted from 1, not {number}.")
    suffix = file_suffix(path)
    if number == 1:
        return path
    cut = len(path) - len(suffix)
    return f"{path[:cut]}-{number:04d}{path[cut:]}"


def file_suffix(path: str) -> str:
    """Tell the end of a file name that stands for its format.

    :param path: local path, or URI of object storage.
    :return: the suffix in lower case, e.g. ``.csv.gz``.
    :raises ZohoValidationError: when the suffix is not known.
    """
    return _match(path, _RECORD_FORMATS + _RAW_FORMATS).suffix


def _require(path: str, package: str, extra: str, otherwise: str) -> None:
    if find_spec(package) is None:
        raise ZohoConfigurationError(
            f"{path!r} needs {package}, which is not installed: "
            f"run `pip install airflow-provider-zohocrm[{extra}]`, or {otherwise}."
        )


def _match(path: str, known: tuple[FileFormat, ...]) -> FileFormat:
    for each in known:
        if path.lower().endswith(each.suffix):
            return each
    suffixes = ", ".join(each.suffix for each in known)
    raise ZohoValidationError(
        f"The format of {path!r} is not known: the name must end with one of {suffixes}."
    )
