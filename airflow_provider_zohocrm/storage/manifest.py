"""The file that lists the files of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.exceptions import ZohoStorageError
from airflow_provider_zohocrm.storage.cells import to_json
from airflow_provider_zohocrm.storage.formats import file_suffix
from airflow_provider_zohocrm.storage.targets import FileInfo, staged_file

if TYPE_CHECKING:
    from collections.abc import Mapping


def manifest_path(output_path: str) -> str:
    """Name the manifest of a run: ``_manifest.json`` in the folder of its output.

    What reads a folder as a table leaves names with an underscore alone.

    :param output_path: path of the first file, e.g. ``leads/part.csv.gz``; its suffix must be a known one.
    :return: the path, e.g. ``leads/_manifest.json``.
    :raises ZohoValidationError: when the suffix is not known.
    """
    file_suffix(output_path)
    folder, slash, _ = output_path.rpartition("/")
    return f"{folder}{slash}_manifest.json"


def write_manifest(path: str, content: Mapping[str, Any]) -> FileInfo:
    """Write a manifest, indented for people. It appears when it is whole.

    :param path: local path, or URI of object storage (see :func:`manifest_path`).
    :param content: what JSON knows, and dates, times and decimals.
    :return: the finished file, with 0 records.
    :raises ZohoStorageError: when the content has no JSON form, or the file cannot be written.
    """
    try:
        text = to_json(content, line=True, indent=True)
    except TypeError as error:
        raise ZohoStorageError(f"Cannot write {path!r}: {error}.") from error
    with staged_file(path) as staged:
        staged.file.write(text)
    return staged.info(0)
