"""Sending a batch, and finding out what became of one whose answer was lost."""

from __future__ import annotations

import logging
import re
import time
from dataclasses import replace
from datetime import datetime, timezone
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_zohocrm.client.coql import literal
from airflow_provider_zohocrm.client.jsontext import dumps
from airflow_provider_zohocrm.client.records import moment
from airflow_provider_zohocrm.client.writing import batches
from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoCRMError,
    ZohoRateLimitError,
    ZohoResponseError,
    ZohoServerError,
    ZohoTransportError,
    ZohoValidationError,
)
from airflow_provider_zohocrm.loading.outcome import UNKNOWN
from airflow_provider_zohocrm.loading.writable import writable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from airflow_provider_zohocrm.client.client import ZohoCRMApi
    from airflow_provider_zohocrm.client.written import Written
    from airflow_provider_zohocrm.loading.request import LoadRequest
    from airflow_provider_zohocrm.loading.scheduler import Item

log = logging.getLogger(__name__)

# Repetitions of a call that was cut into smaller ones: those before it have waited long enough for an outage to pass.
_RETRIES_OF_A_PIECE = 2
# Values in one COQL "in" (reference sheet §2.7; 50 before v7).
_VALUES = 50
# Seconds by which the clocks of Zoho and of the worker may differ beyond what Zoho's answers show.
_CLOCKS_DIFFER = 300.0
# What COQL can ask for and returns as it was sent, apart from case and blanks.
_INTEGER = re.compile(r"-?[0-9]+")
_TEXTS = {"text", "email"}
_NUMBERS = {"integer", "bigint"}

Result = dict[str, Any]


class Batch(NamedTuple):
    """Records that are sent in one call.

    :param items: the records, at most 100.
    :param piece: whether it is a piece of a call that failed.
    """

    items: list[Item]
    piece: bool = False


class Delivery:
    """Sends batches; threads may share it.

    :param api: the hook, or a client.
    :param request: what is asked for.
    :param fields: the module's fields where they were read.
    """

    def __init__(
        self, api: ZohoCRMApi, request: LoadRequest, fields: Sequence[dict[str, Any]] | None
    ) -> None:
        self._api = api
        self._request = request
        self._fields = fields
        self._lock = Lock()
        # Of these a repetition is not the same as the first time, so it is not the transport that repeats.
        self._once = request.operation in ("insert", "delete")
        self._call = request.calls(api, repeat=False if self._once else None)

    def send(self, batch: Batch) -> list[tuple[Item, Result | Written | ZohoCRMError]]:
        """Send a batch; records of earlier inserts without an answer are looked up first.

        :return: for each record Zoho's result (of one that was written perhaps in short), or one of the same shape where
            it was looked up, or the error that left it without one, so that it is to be sent again.
        :raises ZohoCRMError: for a refusal of the whole call, and for a failure that will not pass.
        """
        known: list[tuple[Item, Result | Written | ZohoCRMError]] = []
        items = batch.items
        doubtful = [item for item in items if item.sent_at is not None]
        if doubtful and self._request.operation == "insert":
            known = self._looked_up(doubtful)
            settled = {item.index for item, _ in known}
            items = [item for item in items if item.index not in settled]
        if not items:
            return known
        now = time.time()
        retries = _RETRIES_OF_A_PIECE if batch.piece else None
        call = replace(self._call([item.record for item in items]), lines=True, retries=retries)
        try:
            results: list[Any] = self._api.write(call, len(items))
        except (ZohoTransportError, ZohoServerError) as error:
            if not self._once or not error.sent:
                raise
            return known + list(self._lost(items, now, error, piece=batch.piece))
        except ZohoResponseError:
            for item in items:
                item.sent_at = item.sent_at or now
            raise
        except ZohoValidationError:
            # Nothing was sent: a record of the call has no form in JSON.
            refused = [(item, said) for item in items if (said := _unsendable(item.record)) is not None]
            if not refused:
                raise
            bad = {item.index for item, _ in refused}
            rest = [item for item in items if item.index not in bad]
            return [*known, *refused, *self.send(batch._replace(items=rest))]
        if self._request.operation == "delete":
            results = [_deleted(item, result) for item, result in zip(items, results, strict=True)]
        return [*known, *zip(items, results, strict=True)]

    def _lost(
        self, items: list[Item], now: float, error: ZohoCRMError, *, piece: bool
    ) -> Iterator[tuple[Item, Result | Written | ZohoCRMError]]:
        for item in items:
            item.sent_at = item.sent_at or now
        if piece and len(items) == 1 and self._request.operation == "insert":
            # It may be the record that Zoho fails at: before that is said, it is certain that it was not stored.
            yield from self._looked_up(items) or [(items[0], error)]
            return
        for item in items:
            if self._request.operation == "insert" and self._unique_value(item) is None:
                yield item, self._unknown(item, "it has no value in a unique field to look it up by")
            else:
                yield item, error

    # --- inserts without an answer -----------------------------------------------------------------------------

    def _looked_up(self, items: list[Item]) -> list[tuple[Item, Result | Written | ZohoCRMError]]:
        try:
            return list(self._look_up(items))
        except ZohoServerError as error:
            # No record is to blame, so there is none to look for.
            raise ZohoCRMError(f"Records that may have been inserted cannot be looked up: {error}") from error

    def _look_up(self, items: list[Item]) -> Iterator[tuple[Item, Result]]:
        """Look for records that may have been stored; those that are not there are left to be sent."""
        by_field: dict[str, list[Item]] = {}
        for item in items:
            unique = self._unique_value(item)
            if unique is None:
                yield item, self._unknown(item, "it has no value in a unique field to look it up by")
            else:
                by_field.setdefault(unique, []).append(item)
        for field, wanted in by_field.items():
            for some in batches(wanted, _VALUES):
                yield from self._look_up_by(field, some)

    def _look_up_by(self, field: str, items: list[Item]) -> Iterator[tuple[Item, Result]]:
        texts = [
            name
            for name, kind in self._kinds.items()
            if kind in _TEXTS and name != field and any(item.record.get(name) for item in items)
        ]
        values = ", ".join(dict.fromkeys(self._coql_value(field, item) for item in items))
        columns = ", ".join(["id", "Created_Time", field, *texts[:40]])
        query = f"select {columns} from {self._request.module} where {field} in ({values})"  # noqa: S608  # COQL; names are Zoho's, values quoted
        try:
            rows = list(self._api.query(query))
        except ZohoAPIError as error:
            if isinstance(error, (ZohoServerError, ZohoRateLimitError)):
                raise
            for item in items:
                yield item, self._unknown(item, f"it could not be looked up ({error})")
            return
        found = {_plain(row.get(field)): row for row in rows}
        for item in items:
            row = found.get(_plain(item.record[field]))
            if row is None:
                # Its unique field keeps it from being stored twice.
                log.info("Record %d was not stored; it is inserted again", item.index)
                item.sent_at = None
            elif _is_ours(row, item, texts[:40], self._api.transport.clock_offset):
                yield item, {"status": "success", "code": "SUCCESS", "details": {"id": row["id"]}}
            else:
                item.sent_at = None  # Zoho tells of the duplicate as it always does.

    def _unique_value(self, item: Item) -> str | None:
        """Name the first unique field in which a record has a value that can be looked up."""
        return next(
            (
                name
                for name, kind in self._unique.items()
                if item.record.get(name) not in (None, "")
                if kind in _TEXTS or _INTEGER.fullmatch(str(item.record[name]))
            ),
            None,
        )

    def _coql_value(self, field: str, item: Item) -> str:
        value = str(item.record[field])
        # Zoho takes a number without quotes; whatever else stands there is a text, and finds nothing.
        return value if _INTEGER.fullmatch(value) and self._kinds[field] not in _TEXTS else literal(value)

    @property
    def _kinds(self) -> dict[str, str]:
        with self._lock:
            if self._fields is None:
                self._fields = self._api.get_fields(self._request.module)
        return {field["api_name"]: field.get("data_type", "") for field in self._fields}

    @property
    def _unique(self) -> dict[str, str]:
        kinds = self._kinds
        return {
            field["api_name"]: kinds[field["api_name"]]
            for field in self._fields or ()
            if field.get("unique") and kinds[field["api_name"]] in _TEXTS | _NUMBERS
        }

    def _unknown(self, item: Item, why: str) -> Result:
        sent = datetime.fromtimestamp(item.sent_at or time.time(), timezone.utc).isoformat(timespec="seconds")
        return {
            "status": "error",
            "code": UNKNOWN,
            "message": f"The answer to the call with this record was lost, and {why}. Find out whether "
            f"{self._request.module} has it, created at {sent} or later; if not, load it again.",
            "details": {"sent_at": sent},
        }


def _deleted(item: Item, result: Result | Written) -> Result | Written:
    """Take a record that is gone for deleted, if a call to delete it went without an answer.

    Of one that was named by an external id the own id is not known.
    """
    if item.sent_at is not None and isinstance(result, dict) and result.get("code") == "INVALID_DATA":
        return {"status": "success", "code": "SUCCESS", "details": {"id": item.record.get("id")}}
    return result


def _is_ours(row: dict[str, Any], item: Item, texts: Iterable[str], clock_offset: float) -> bool:
    """Tell whether a record that was found is the one that was sent, not an older one with the same unique value.

    :param clock_offset: seconds by which Zoho's clock is ahead.
    """
    created = moment(row.get("Created_Time"), "Created_Time").timestamp() - clock_offset
    if item.sent_at is None or created < item.sent_at - _CLOCKS_DIFFER:
        return False
    return all(
        _plain(row.get(name)) == _plain(item.record[name])
        for name in texts
        if isinstance(item.record.get(name), str) and item.record[name]
    )


def _plain(value: Any) -> str:
    return str(value).strip().casefold()


def _unsendable(record: Mapping[str, Any]) -> Result | None:
    """Say, in the shape of Zoho's results, why a record cannot be sent; None if it can."""
    try:
        # As deep as it stands in the call.
        dumps({"data": [record]})
    except ZohoValidationError as error:
        name = next((name for name, value in record.items() if not _has_json(name, value)), "")
        details = {"api_name": name, "json_path": f"$.{name}"}
        return {
            "code": "INVALID_DATA",
            "status": "error",
            "message": str(error),
            "details": writable(details),
        }
    return None


def _has_json(name: str, value: Any) -> bool:
    try:
        dumps({"data": [{name: value}]})
    except ZohoValidationError:
        return False
    return True
