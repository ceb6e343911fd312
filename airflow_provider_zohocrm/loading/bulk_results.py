"""What a bulk write job says of each row."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from airflow_provider_zohocrm.client.answers import printable
from airflow_provider_zohocrm.client.result_file import open_result
from airflow_provider_zohocrm.exceptions import ZohoBulkReadError, ZohoCorruptResultError
from airflow_provider_zohocrm.loading.values import Rejection
from airflow_provider_zohocrm.storage.csv_rows import csv_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

_ACTIONS = {"ADDED": "insert", "UPDATED": "update"}
_CODE = re.compile(r"[A-Z][A-Z0-9_]+")


class Written(NamedTuple):
    """A record that a job has written."""

    id: str
    action: str


Said = Written | Rejection


@contextmanager
def open_results(archive: BinaryIO, job_id: str) -> Iterator[Iterator[Said]]:
    """Open a result: one CSV with the columns STATUS, RECORD_ID and ERRORS among others (reference sheet §5)."""
    name = f"the result of bulk write job {job_id}"
    with (
        open_result(archive, job_id, "csv", kind="bulk write", named=False) as stream,
        csv_rows(stream, name, ZohoCorruptResultError) as rows,
    ):
        header = [column.strip().upper() for column in rows.header]
        missing = {"STATUS", "RECORD_ID", "ERRORS"}.difference(header)
        if missing:
            raise ZohoBulkReadError(
                f"{name} lacks {', '.join(sorted(missing))}; its columns are {rows.header}."
            )
        status, record, errors = (header.index(column) for column in ("STATUS", "RECORD_ID", "ERRORS"))
        yield (_said(row[status], row[record], row[errors]) for row in rows)


def _said(status: str, record_id: str, errors: str) -> Said:
    action = _ACTIONS.get(status.strip().upper())
    if action is not None:
        return Written(record_id, action)
    # CODE:Field, by what was seen.
    code, _, field = (part.strip() for part in errors.partition(":"))
    details = {"api_name": field} if field else {}
    details |= {"id": record_id} if record_id.strip("- ") else {}
    shown = printable(errors)[:500] or "no reason"
    known = _CODE.fullmatch(code)
    return Rejection(
        code if known else printable(status) or "SKIPPED",
        f"bulk write {printable(status).lower() or 'skipped'} it: {shown}",
        details,
        f"$.{field}" if field else "",
    )
