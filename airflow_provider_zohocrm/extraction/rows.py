"""Rows of any origin into files, as they come: COQL, deleted and related records."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.exceptions import ZohoValidationError
from airflow_provider_zohocrm.extraction.manifest import now, write_run
from airflow_provider_zohocrm.extraction.watermark import FIELD, Watermark
from airflow_provider_zohocrm.read_ahead import read_ahead
from airflow_provider_zohocrm.storage import Column, RecordParts, file_format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from airflow_provider_zohocrm.client.client import ZohoCRMApi
    from airflow_provider_zohocrm.client.records import Record
    from airflow_provider_zohocrm.extraction.extract import ExtractResult

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RowFiles:
    """The files rows go into; made by :meth:`of`.

    :param path: local path or object storage URI of the first; the suffix tells the format.
    :param max_records_per_file: begin another file after this many rows.
    :param manifest_path: where the manifest is written; None for the folder of the output.
    """

    path: str
    max_records_per_file: int | None = None
    manifest_path: str | None = None

    @classmethod
    def of(
        cls, path: str, max_records_per_file: int | None = None, manifest_path: str | None = None
    ) -> RowFiles:
        """Check where the rows are to go.

        :raises ZohoValidationError: for what cannot be right.
        """
        file_format(path)
        if max_records_per_file is not None and max_records_per_file < 1:
            raise ZohoValidationError(
                f"max_records_per_file is {max_records_per_file!r}; it must be a whole number above 0"
            )
        return cls(path, max_records_per_file, manifest_path)

    @property
    def typed(self) -> bool:
        """Whether the columns have types."""
        return file_format(self.path).name == "parquet"

    @property
    def free(self) -> bool:
        """Whether rows are written as they are, without columns."""
        return file_format(self.path).name == "jsonl"


def write_rows(
    api: ZohoCRMApi,
    pages: Iterable[list[Record]],
    files: RowFiles,
    *,
    module: str,
    strategy: str,
    query: Mapping[str, Any],
    columns: Callable[[list[Record]], Sequence[Column]],
    watermark_field: str = FIELD,
) -> ExtractResult:
    """Write rows to files while the next page is on its way.

    :param api: the hook, or a client, which the pages come from; its usage is what was spent.
    :param pages: lists of rows.
    :param files: where they go.
    :param module: API name of the module, for the result.
    :param strategy: how they are read, for the result.
    :param query: what was asked for, as plain JSON, for the manifest.
    :param columns: names and types the columns, by the rows of the first page, for formats that have columns.
    :param watermark_field: the field whose newest moment is ``max_modified_time`` of the result.
    :return: what ``ZohoGetRecordsOperator`` returns.
    """
    started_at, begun = now(), (api.usage.calls, api.usage.credits)
    watermark = Watermark()
    ahead = read_ahead(pages)
    with closing(ahead):
        first = next(ahead, [])
        chosen = None if files.free else list(columns(first))
        names: Sequence[str | Column] | None = chosen
        if chosen is not None and not files.typed:
            names = [column.name for column in chosen]
        with RecordParts(files.path, names, max_records=files.max_records_per_file) as parts:
            page: list[Record] | None = first
            while page is not None:
                watermark.see(_times(page, watermark_field))
                parts.write(page)
                page = next(ahead, None)
    written = parts.files
    result: ExtractResult = {
        "path": written[0]["path"],
        "records": sum(file["records"] for file in written),
        "bytes": sum(file["bytes"] for file in written),
        "module": module,
        "fields": None if chosen is None else [column.name for column in chosen],
        "max_modified_time": watermark.newest,
        "strategy": strategy,
        "files": [{key: file[key] for key in ("path", "records", "bytes")} for file in written],
        "subforms": {},
        "manifest": "",
        "calls": api.usage.calls - begun[0],
        "credits": api.usage.credits - begun[1],
    }
    result["manifest"] = write_run(
        files.manifest_path,
        files.path,
        written,
        query=query,
        columns=[list(column) for column in chosen] if chosen is not None and files.typed else None,
        watermark=watermark.newest,
        api_version=api.version.name,
        started_at=started_at,
        module=module,
        strategy=strategy,
        calls=result["calls"],
        credits=result["credits"],
    )
    log.info(
        "Wrote %d rows of %s to %d files for %d API credits",
        result["records"],
        module,
        len(written),
        result["credits"],
    )
    return result


def _times(page: list[Record], field: str) -> list[str | None]:
    """Name the moments of a page; a column of a query may be called like the field and hold something else."""
    values = (row.get(field) for row in page)
    return [value for value in values if isinstance(value, str) and value[10:11] == "T"]
