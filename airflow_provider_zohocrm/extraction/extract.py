"""From a module to files: the way is chosen, the pages are written, and what is finished is kept for a retry."""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from itertools import compress
from typing import TYPE_CHECKING, Any, TypedDict

from airflow_provider_zohocrm.client.jsontext import modified_times
from airflow_provider_zohocrm.client.metadata import listed
from airflow_provider_zohocrm.client.versions import PAGE_SIZE, RECORDS_PER_BULK_READ
from airflow_provider_zohocrm.client.writing import batches
from airflow_provider_zohocrm.exceptions import ZohoAPIError, ZohoValidationError
from airflow_provider_zohocrm.extraction.bulk import BulkExport
from airflow_provider_zohocrm.extraction.deleted import write_deleted
from airflow_provider_zohocrm.extraction.manifest import now, write_run
from airflow_provider_zohocrm.extraction.plan import (
    Demands,
    candidates,
    choose,
    coql_from_both_ends,
    lists_from_both_ends,
)
from airflow_provider_zohocrm.extraction.progress import Progress, read_progress
from airflow_provider_zohocrm.extraction.schema import check_names, columns_of
from airflow_provider_zohocrm.extraction.subforms import (
    SubformField,
    subform_columns,
    subform_fields,
    subform_rows,
)
from airflow_provider_zohocrm.extraction.walks import CoqlWalk, Page, both_ends
from airflow_provider_zohocrm.extraction.watermark import FIELD, Watermark
from airflow_provider_zohocrm.read_ahead import read_ahead
from airflow_provider_zohocrm.storage import (
    RecordParts,
    file_format,
    named_path,
    open_record_writer,
    read_records,
    write_csv_export,
)
from airflow_provider_zohocrm.storage.columns import Column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from typing_extensions import NotRequired

    from airflow_provider_zohocrm.client.client import ZohoCRMApi
    from airflow_provider_zohocrm.client.records import Record
    from airflow_provider_zohocrm.extraction.border import Border
    from airflow_provider_zohocrm.extraction.request import ExtractRequest
    from airflow_provider_zohocrm.storage import FileInfo

log = logging.getLogger(__name__)

# Refusals that another way of reading may not meet: wrong or unknown, scope, right.
_REFUSED = (400, 401, 403, 404)


class State(TypedDict):
    """How far an extraction has come; plain JSON."""

    strategy: str
    fields: list[str] | None
    columns: list[list[Any]] | None
    count: int | None
    started_at: str
    calls: int
    credits: int
    files: list[FileInfo]
    subforms: list[list[str]]
    watermark: str | None
    ascending: str | None
    descending: str | None
    bulk: dict[str, Any] | None
    window: list[str | None]
    border: str | None


class ExtractResult(TypedDict):
    """What an extraction returns; plain JSON.

    ``path`` is the first of ``files``, ``max_modified_time`` the newest ``Modified_Time`` in UTC (None where the field
    was not read), ``deleted`` the file of tombstones where they were asked for, ``manifest`` the file that describes all of
    it.
    """

    path: str
    records: int
    bytes: int
    module: str
    fields: list[str] | None
    max_modified_time: str | None
    strategy: str
    files: list[dict[str, Any]]
    subforms: dict[str, dict[str, Any]]
    deleted: NotRequired[dict[str, Any]]
    manifest: str
    calls: int
    credits: int


class Extraction:
    """Reads a module into files.

    :param api: the hook, or a client.
    :param request: what is asked for.
    :param state: how far an earlier try, or the task before it was deferred, has come.
    :param save: is given the state whenever something is finished that a retry need not do again.
    :param try_number: which try of a task this is, for the log.
    :param border: what runs before this one have delivered, which is left out.
    """

    def __init__(
        self,
        api: ZohoCRMApi,
        request: ExtractRequest,
        state: State | None = None,
        save: Callable[[State], object] | None = None,
        try_number: int = 1,
        border: Border | None = None,
    ) -> None:
        self._api = api
        self._request = request
        self._border = border
        if border is not None and state is not None:
            border.restore(state["border"])
        self._save = save
        self._try_number = try_number
        self._fields_of: list[dict[str, Any]] | None = None
        self._refused: dict[str, str] = {}
        self._bulk: BulkExport | None = None
        self._begun = (api.usage.calls, api.usage.credits)
        self._spent = (state["calls"], state["credits"]) if state else (0, 0)
        self.state: State = state or {
            "strategy": "",
            "fields": None,
            "columns": None,
            "count": None,
            "started_at": now(),
            "calls": 0,
            "credits": 0,
            "files": [],
            "subforms": [],
            "watermark": None,
            "ascending": None,
            "descending": None,
            "bulk": None,
            "window": request.window.texts,
            "border": None,
        }

    def run(self) -> ExtractResult | None:
        """Do what can be done without waiting for a bulk read job.

        :return: the result, or None if :attr:`bulk` must be waited for.
        :raises ZohoCreditLimitError: before a call that would cost more than ``max_credits``.
        :raises ZohoValidationError: if the way asked for cannot give what is asked for.
        """
        with self._bounded():
            while not self._work():
                if self.state["strategy"] == "bulk":
                    return None
            return self._finished()

    def run_and_wait(self, timeout: float) -> ExtractResult:
        """Do everything, waiting for jobs in this thread.

        :param timeout: seconds that one job may take.
        """
        while (result := self.run()) is None:
            with self._bounded():
                self.bulk.run(timeout)
        return result

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        """Bound the credits, of which tries before this one have spent some, and count them."""
        usage, most = self._api.usage, self._request.max_credits
        bound = usage.max_credits
        usage.max_credits = None if most is None else self._begun[1] + most - self._spent[1]
        try:
            yield
        finally:
            usage.max_credits = bound
            self._count_usage()

    def _work(self) -> bool:
        """Choose a way if that is left to do, and go it; False where jobs or another way are needed."""
        state = self.state
        if not state["strategy"]:
            self._begin()
        if state["strategy"] == "bulk":
            return self.bulk.work()
        try:
            self._write_pages()
        except ZohoAPIError as error:
            untouched = state["ascending"] is None and state["descending"] is None
            if state["strategy"] != "coql" or not untouched or not self._avoid("coql", error):
                raise
            return False
        return True

    def _avoid(self, strategy: str, error: ZohoAPIError) -> bool:
        """Note that Zoho refuses a way of reading; False if no other may be taken."""
        if self._request.strategy != "auto" or error.status not in _REFUSED:
            return False
        log.warning("Zoho refuses to be read by %s, looking for another way: %s", strategy, error)
        self._refused[strategy] = f"Zoho refuses it ({error.code or error.status})"
        self.state["strategy"], self._bulk = "", None
        return True

    def resume(self, exists: Callable[[str], bool]) -> None:
        """Take over from an earlier try.

        :param exists: tells whether a file that was written is still there; if one is not, all is read again.
        """
        if self.state["strategy"] == "bulk":
            self.bulk.resume(exists)
            return
        lost = [file["path"] for file in self.state["files"] if not exists(file["path"])]
        if lost:
            log.warning("Starting from the beginning, as %s is gone", lost[0])
            self.state["files"] = []
            self.state["ascending"] = self.state["descending"] = self.state["watermark"] = None
            if self._border is not None:
                self._border.restore(None)
        else:
            log.info("Going on after %d files of an earlier try", len(self.state["files"]))

    # --- the choice --------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Choose a way, and where that is bulk read, have Zoho begin; a refusal leads to the next best way."""
        if self.state["fields"] is None:
            self._fix_schema()
        while not self.state["strategy"]:
            strategy = self.state["strategy"] = self._chosen()
            try:
                if strategy == "bulk":
                    self.bulk.submit()
            except ZohoAPIError as error:
                if not self._avoid("bulk", error):
                    raise

    def _fix_schema(self) -> None:
        """Settle names and types of the columns, once for all parts; costs a call unless lists need none."""
        request, version = self._request, self._api.version
        kind = file_format(request.output_path).name
        plain = request.strategy == "records" and kind != "parquet"
        fields = None if request.fields is None else list(request.fields)
        if not plain or request.subforms or (fields is None and (kind != "jsonl" or version.fields_required)):
            self._fields_of = self._api.get_fields(request.module)
            self._fix_subforms(self._fields_of)
            if fields is None:
                fields = listed(self._fields_of)
            else:
                check_names(request.module, self._fields_of, fields)
        self.state["fields"] = fields
        if not plain and fields is not None:
            typed = columns_of(self._fields_of or (), dict.fromkeys(["id", *fields]))
            self.state["columns"] = [list(column) for column in typed]

    def _fix_subforms(self, fields: list[dict[str, Any]]) -> None:
        wanted = self._request.subforms
        subforms = subform_fields(fields, wanted) if wanted else []
        self.state["subforms"] = [list(subform) for subform in subforms]

    def _chosen(self) -> str:
        request = self._request
        if request.strategy == "records":
            return "records"
        # Of a bulk read asked for, the number only tells how many jobs can be submitted ahead.
        if self.state["count"] is None and (request.strategy != "bulk" or request.max_jobs_in_flight > 1):
            self.state["count"] = self._count()
        count = self.state["count"]
        found = candidates(self._demands(), self._api.version, count, self._api.usage.mean_seconds)
        if request.strategy != "auto":
            own = next(one for one in found if one.strategy == request.strategy)
            if own.obstacle and not (own.strategy == "coql" and count is None and not self._refused):
                raise ZohoValidationError(
                    f"strategy {own.strategy!r} cannot give what is asked for: {own.obstacle}"
                )
            return own.strategy
        most = request.max_credits
        best = choose(found, None if most is None else most - self._api.usage.credits + self._begun[1])
        log.info(
            "Reading %s records of %s by %s; estimated: %s",
            "an unknown number of" if count is None else f"{count:,}",
            request.module,
            best.strategy,
            "; ".join(map(str, found)),
        )
        return best.strategy

    def _demands(self) -> Demands:
        request, fields = self._request, self.state["fields"] or []
        unclear = [
            field["api_name"]
            for field in self._fields_of or ()
            if field["api_name"] in fields and field.get("data_type") == "multiselectpicklist"
            if any(";" in str(value.get("actual_value")) for value in field.get("pick_list_values") or ())
        ]
        return Demands(
            fields=len(fields),
            lists_only=tuple(sorted(request.options)),
            system_keys=tuple(name for name in fields if name.startswith("$")),
            joined=tuple(name for name in fields if "." in name),
            # Who asks for bulk read has its lists as it joins them.
            unclear=() if request.strategy == "bulk" else tuple(unclear),
            cvid=request.cvid is not None,
            max_records=request.max_records,
            refused=self._refused,
        )

    def _count(self) -> int | None:
        """Count what is asked for, by COQL, which shows at once whether Zoho answers COQL here. Costs a credit."""
        request, api = self._request, self._api
        if "ids" in request.options:
            return None
        if request.cvid is None:
            where = " and ".join(request.window.coql()) or "id is not null"
            query = f"select COUNT(id) from {request.module} where {where}"  # noqa: S608  # COQL; checked and quoted
            try:
                rows, _ = api.coql_page(query, PAGE_SIZE)
                return int(next(iter(rows[0].values()))) if rows else 0
            except ZohoAPIError as error:
                if error.status not in _REFUSED:
                    raise
                self._refused["coql"] = f"Zoho refuses it ({error.code or error.status})"
        if request.window:
            return None
        try:
            return api.count_records(request.module, cvid=request.cvid)
        except ZohoAPIError as error:
            if error.status not in _REFUSED:
                raise
            log.info("Zoho does not count %s: %s", request.module, error)
            return None

    # --- lists and COQL ----------------------------------------------------------------------------------------

    def _write_pages(self) -> None:
        state, request = self.state, self._request
        with RecordParts(
            request.output_path,
            self._columns(),
            max_records=request.max_records_per_file,
            on_type_error=request.on_type_error,
            first=len(state["files"]) + 1,
            on_file=self._part_written if self._goes_on else None,
        ) as parts:
            self._write_into(parts)
        if not self._goes_on:
            state["files"] += parts.files

    def _write_into(self, parts: RecordParts) -> None:
        state, most = self.state, self._request.max_records_per_file
        watermark = Watermark(state["watermark"])
        lines = self._lines()
        if lines is not None:
            for page in read_ahead(lines):
                if FIELD in (state["fields"] or ()):
                    watermark.see(modified_times(page))
                parts.write_lines(page)
            state["watermark"] = watermark.newest
            return
        written = 0
        for found, descending in self._pages():
            records = self._fresh(found)
            # A portion ends where a file does, so that what is kept with a file is true of it.
            for portion in _portions(records, written, most):
                watermark.see(record.get(FIELD) for record in portion)
                state["watermark"] = watermark.newest
                state["descending" if descending else "ascending"] = portion[-1].get("id")
                parts.write(portion)
                written += len(portion)

    def _fresh(self, records: list[Record]) -> list[Record]:
        """Leave out what runs before this one have delivered."""
        if self._border is None:
            return records
        flags = self._border.take(
            [record["id"] for record in records], [record.get(FIELD) for record in records]
        )
        return list(compress(records, flags))

    def _lines(self) -> Iterator[list[Any]] | None:
        """Read pages of JSON, where lists go into files as they are."""
        request, window = self._request, self._request.window
        plain = self.state["strategy"] == "records" and self._columns() is None
        if not plain or window.before is not None or request.max_records is not None or self._border:
            return None
        if "ids" in request.options:
            return None
        return self._api.get_record_lines(
            request.module,
            self.state["fields"],
            cvid=request.cvid,
            page_size=request.page_size or PAGE_SIZE,
            modified_since=window.since,
            **request.options,
        )

    def _columns(self) -> list[Column] | list[str] | None:
        typed, fields = self.state["columns"], self.state["fields"]
        if typed is not None:
            return [Column(*each) for each in typed]
        if file_format(self._request.output_path).name == "jsonl" or fields is None:
            return None
        return list(dict.fromkeys(["id", *fields]))

    @property
    def _goes_on(self) -> bool:
        """Whether a retry begins after the last whole file, which must be there for it."""
        return self.state["strategy"] == "coql" and self._save is not None

    def _part_written(self, file: FileInfo) -> None:
        self.state["files"].append(file)
        self._keep()

    def _pages(self) -> Iterator[Page]:
        request, state = self._request, self.state
        most = request.max_records
        if most is not None:
            most -= sum(file["records"] for file in state["files"])
        if state["strategy"] == "records":
            return self._listed_pages(most)
        walk = CoqlWalk(self._api, request.module, state["fields"] or (), request.window)
        after, before = state["ascending"], state["descending"]
        ascending = walk.pages(after=after)
        if coql_from_both_ends(self._demands(), self._api.version, state["count"]):
            descending = walk.pages(descending=True, after=before)
            return both_ends(ascending, descending, after=after, before=before)
        return map(Page, _first(read_ahead(ascending), most))

    def _listed_pages(self, most: int | None) -> Iterator[Page]:
        request, api = self._request, self._api
        fields, window = self.state["fields"], request.window
        moments: dict[str, Any] = {"modified_since": window.since, "modified_before": window.before}
        # Who asks for lists has their order.
        chosen = request.strategy == "auto" and fields is not None
        if chosen and lists_from_both_ends(self._demands(), api.version, self.state["count"]):
            ways = (
                api.walk_by_id(request.module, fields or (), descending=down, **moments)
                for down in (False, True)
            )
            return both_ends(*ways)
        records = api.get_records(
            request.module,
            fields,
            cvid=request.cvid,
            page_size=request.page_size or PAGE_SIZE,
            max_records=most,
            **request.options,
            **moments,
        )
        return map(Page, read_ahead(batches(records, PAGE_SIZE)))

    # --- bulk read ---------------------------------------------------------------------------------------------

    @property
    def bulk(self) -> BulkExport:
        """The jobs, where bulk read is the way."""
        if self._bulk is None:
            request, state = self._request, self.state
            self._bulk = BulkExport(
                self._api,
                {
                    "module": request.module,
                    "fields": None if request.fields is None else state["fields"],
                    "criteria": request.window.criteria(),
                    "cvid": request.cvid,
                    "file_type": "csv",
                },
                self._write_export,
                None if state["bulk"] is None else read_progress(state["bulk"]),
                pages=None if state["count"] is None else -(-state["count"] // RECORDS_PER_BULK_READ),
                max_jobs_in_flight=request.max_jobs_in_flight,
                poll_interval=request.poll_interval,
                max_poll_interval=request.max_poll_interval,
                save=self._keep_jobs,
                try_number=self._try_number,
            )
        return self._bulk

    def _keep_jobs(self, progress: Progress) -> None:
        self.state["bulk"] = dict(progress)
        self._keep()

    def _write_export(self, stream: BinaryIO, first: int, expected: int | None) -> list[FileInfo]:
        request, watermark = self._request, Watermark(self.state["watermark"])
        files = write_csv_export(
            stream,
            request.output_path,
            expected=expected,
            columns=self._columns_of_export,
            on_type_error=request.on_type_error,
            max_records=request.max_records_per_file,
            first=first,
            watch=(FIELD, watermark.see),
            sieve=None if self._border is None else (FIELD, self._border.take),
        )
        self.state["watermark"] = watermark.newest
        return files

    def _columns_of_export(self, header: list[str]) -> list[Column]:
        """Fix the columns by the first header: Zoho may export fewer fields than it lists, or others."""
        columns = [Column(*each) for each in self.state["columns"] or ()]
        known = {column.name.lower() for column in columns}
        others = [name for name in header if name.lower() not in known]
        if others:
            columns += columns_of(self._fields_of or (), others)
            self.state["columns"] = [list(column) for column in columns]
        exported = {name.lower() for name in header}
        missing = [column.name for column in columns if column.name.lower() not in exported]
        if missing:
            log.warning("Bulk read does not export %s of %s", ", ".join(missing), self._request.module)
        return columns

    # --- subforms ----------------------------------------------------------------------------------------------

    def _write_subforms(self, files: list[FileInfo]) -> dict[str, FileInfo]:
        """Write the rows of each subform to a file of its own, of the records that were written."""
        request, api = self._request, self._api
        subforms = [SubformField(*each) for each in self.state["subforms"]]
        if not subforms:
            return {}
        columns = {subform.name: subform_columns(api, subform) for subform in subforms}
        some = request.window or request.cvid is not None or request.options or request.max_records
        parents = (record["id"] for file in files for record in read_records(file["path"])) if some else None
        written: dict[str, FileInfo] = {}
        with ExitStack() as stack:
            writers = {
                name: stack.enter_context(
                    open_record_writer(
                        named_path(request.output_path, name),
                        columns[name],
                        on_type_error=request.on_type_error,
                    )
                )
                for name in columns
            }
            for name, rows in subform_rows(api, request.module, subforms, columns, parent_ids=parents):
                writers[name].write(rows)
        for name, writer in writers.items():
            written[name] = writer.info
            log.info("Wrote %d rows of %s to %s", writer.records, name, writer.info["path"])
        return written

    @property
    def job_ids(self) -> list[str]:
        """The bulk read jobs whose results are in the files."""
        if self.state["strategy"] != "bulk":
            return []
        return list(dict.fromkeys(file["job_id"] for file in self.bulk.files))

    # --- the end -----------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        self._count_usage()
        self._note_border()
        if self._save is not None:
            self._save(self.state)

    def _note_border(self) -> None:
        if self._border is not None:
            self.state["border"] = self._border.taken

    def _count_usage(self) -> None:
        usage = self._api.usage
        self.state["calls"] = self._spent[0] + usage.calls - self._begun[0]
        self.state["credits"] = self._spent[1] + usage.credits - self._begun[1]

    def _finished(self) -> ExtractResult:
        request, state = self._request, self.state
        files: list[Any] = list(self.bulk.files if state["strategy"] == "bulk" else state["files"])
        subforms = self._write_subforms(files)
        deleted = None
        if request.include_deleted is not None:
            deleted = write_deleted(
                self._api,
                request.module,
                request.include_deleted,
                request.deleted_window,
                request.output_path,
            )
            log.info("Wrote %d tombstones of %s to %s", deleted["records"], request.module, deleted["path"])
        self._count_usage()
        result: ExtractResult = {
            "path": files[0]["path"] if files else request.output_path,
            "records": sum(file["records"] for file in files),
            "bytes": sum(file["bytes"] for file in files),
            "module": request.module,
            "fields": state["fields"],
            "max_modified_time": state["watermark"],
            "strategy": state["strategy"],
            "files": [_told(file) for file in files],
            "subforms": {name: _told(file) for name, file in subforms.items()},
            "manifest": "",
            "calls": state["calls"],
            "credits": state["credits"],
        }
        if deleted is not None:
            result["deleted"] = _told(deleted)
        result["manifest"] = write_run(
            request.manifest_path,
            request.output_path,
            files,
            subforms=subforms,
            deleted=deleted,
            query=request.described(),
            columns=state["columns"],
            watermark=state["watermark"],
            api_version=self._api.version.name,
            started_at=state["started_at"],
            **{key: result[key] for key in ("module", "strategy", "calls", "credits")},
        )
        log.info(
            "Wrote %d records of %s to %d files for %d API credits",
            result["records"],
            request.module,
            len(files),
            result["credits"],
        )
        return result


def _portions(records: list[Record], written: int, most: int | None) -> Iterator[list[Record]]:
    """Cut a page where files of at most so many records end."""
    start = 0
    while start < len(records):
        room = len(records) if most is None else most - (written + start) % most
        yield records[start : start + room]
        start += room


def _first(pages: Iterator[list[Record]], most: int | None) -> Iterator[list[Record]]:
    """End after so many records."""
    for page in pages:
        if most is not None and len(page) >= most:
            yield page[:most]
            return
        if most is not None:
            most -= len(page)
        yield page


def _told(file: FileInfo) -> dict[str, Any]:
    """Describe a file in an XCom; the manifest tells more."""
    return {"path": file["path"], "records": file["records"], "bytes": file["bytes"]}
