"""Files as assets: one for the files of all runs, whatever a template puts into their path."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_zohocrm.exceptions import ZohoValidationError
from airflow_provider_zohocrm.storage.locations import local_path

if TYPE_CHECKING:
    from airflow_provider_zohocrm._compat import Asset

_TEMPLATE = re.compile(r"\{[{%#]")


def files_asset(output_path: str) -> Asset:
    """Make the asset that an operator with this ``output_path`` writes, to schedule a DAG by.

    :param output_path: as given to the operator: up to the last slash before its first template it names the asset.
    :raises ZohoValidationError: if it begins with a template.
    """
    from airflow_provider_zohocrm._compat import asset

    uri = parsed_uri(output_path)
    if uri is None:
        raise ZohoValidationError(
            f"output_path {output_path!r} begins with a template: what it names is known in a run only"
        )
    return asset(uri)


def parsed_uri(template: Any) -> str | None:
    """Tell, when a DAG is parsed, what :func:`uri_of_files` will say in a run; None where that is not known yet."""
    if not isinstance(template, str):
        return None
    found = _TEMPLATE.search(template)
    if found is None:
        return uri_of_files(template)
    folder = template[: found.start()].rpartition("/")[0]
    return None if not folder or folder.endswith((":", "/")) else uri_of_files(folder)


def uri_of_files(path: str, template: Any = None) -> str:
    """Name the files of all runs by one URI: what stands before the first template, up to its last slash.

    :param path: as rendered.
    :param template: as the DAG's author wrote it; its path as a whole if it holds no template.
    :return: ``s3://lake/zoho/leads`` for ``s3://conn@lake/zoho/leads/{{ ds }}/part.parquet``; without a template, and
        for one that begins with it, the URI of the file.
    """
    if template is not None and (known := parsed_uri(template)) is not None:
        return known
    local = local_path(path)
    if local is not None:
        return Path(local).absolute().as_uri()
    parts = urlsplit(path)
    # The connection before the @ is a way there, and no part of the name.
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
