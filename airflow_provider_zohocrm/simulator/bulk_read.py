"""Bulk read: create, states, result (sheet §4)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson

from airflow_provider_zohocrm.simulator import permissions
from airflow_provider_zohocrm.simulator.calls import VERSIONS, Answer, Call
from airflow_provider_zohocrm.simulator.conditions import Column, Predicate, Sql, all_of, column_of, select
from airflow_provider_zohocrm.simulator.criteria import CriteriaReader
from airflow_provider_zohocrm.simulator.errors import ApiError, too_many_requests
from airflow_provider_zohocrm.simulator.export import Cells, build_zip, write_csv, write_ics
from airflow_provider_zohocrm.simulator.jobs import DONE, JobQueue, QueuedJob
from airflow_provider_zohocrm.simulator.modules import CURRENT_USER, ORG_PREFIX, Module, Row
from airflow_provider_zohocrm.simulator.outgoing import LOOPBACK, host_of

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterator

    from airflow_provider_zohocrm.simulator.clock import Clock
    from airflow_provider_zohocrm.simulator.options import Options
    from airflow_provider_zohocrm.simulator.state import State
    from airflow_provider_zohocrm.simulator.store import Selection, Store

MAX_FIELDS = 200
NOT_EXPORTED = {"Notes"}
TOKEN_LIFE = 86_400


def bad(code: str, message: str, details: Any = None) -> ApiError:
    """Build a 400 of bulk read; no source gives the wording (sheet §10.2).

    :param code: a code of the sheet §4.7.
    :param message: the text.
    :param details: details.
    """
    return ApiError(400, code, message, details)


@dataclass(frozen=True)
class Query:
    """What a job is to export."""

    module: Module
    cells: tuple[Cells, ...]
    selection: Selection
    """The rows, in the order of their ids."""
    ics: bool
    echo: dict[str, Any]


@dataclass(kw_only=True)
class Job(QueuedJob):
    """A bulk read job."""

    query: Query
    page: int
    after: tuple[int, ...] | None
    """Where a continued job begins."""
    count: int = 0
    more: bool = False
    last: tuple[int, ...] | None = None
    next_token: str | None = None
    strange: bool = False
    """It has shown the undocumented state."""
    downloads: int = 0


class BulkRead(JobQueue[Job]):
    """The bulk read jobs of the organisation."""

    def __init__(self, clock: Clock, options: Options, store: Store, callbacks: list[dict[str, Any]]) -> None:
        super().__init__(clock, options, callbacks)
        self.store = store
        self._tokens: dict[str, tuple[Query, int, tuple[int, ...], float]] = {}
        self._starts: dict[tuple[str, int], tuple[int, ...]] = {}
        self._downloads: deque[float] = deque()
        self._number = 0

    def reset(self) -> None:
        """Forget all jobs and remove their files."""
        super().reset()
        self._tokens.clear()
        self._starts.clear()
        self._downloads.clear()

    # --- create ------------------------------------------------------------------------------------------------

    def create(self, call: Call, state: State) -> Answer:
        """``POST /crm/bulk/{v}/read``."""
        content = body_of(call)
        ics = _file_type(content)
        callback = callback_of(content)
        query_part = content.get("query")
        if not isinstance(query_part, dict):
            raise bad("INVALID_REQUEST", "the request is invalid")
        token = query_part.get("page_token")
        if token is not None:
            query, page, after = self._continue(call, query_part, token)
        else:
            query = QueryReader(self.store, state, call).read(query_part, ics=ics)
            page, after = self._page(query_part), None
        self._number += 1
        job_id = str((ORG_PREFIX * 1_000 + 950) * 1_000_000_000 + self._number * 1_001)
        job = Job(
            id=job_id,
            version=call.version,
            query=query,
            page=page,
            after=after,
            created=self.clock.now(),
            callback=callback,
        )
        self.add(job)
        details = {
            "id": job_id,
            "operation": "read",
            "state": "ADDED",
            "created_by": {"id": CURRENT_USER.id, "name": CURRENT_USER.name},
            "created_time": self.clock.iso(job.created),
        }
        element = {
            "status": "success",
            "code": "ADDED_SUCCESSFULLY",
            "message": "Added successfully.",
            "details": details,
        }
        return Answer(201, {"data": [element], "info": {}})

    def _page(self, query: dict[str, Any]) -> int:
        page = query.get("page", 1)
        if not isinstance(page, int) or isinstance(page, bool) or page < 1:
            raise bad("INVALID_DATA", "invalid data", {"api_name": "page", "expected_data_type": "integer"})
        if page > self.options.bulk_page_limit:
            details = {"max_limit": self.options.bulk_page_limit}
            raise bad("PAGE_RANGE_EXCEEDED", "the page range is exceeded", details)
        return page

    def _continue(self, call: Call, query: dict[str, Any], token: Any) -> tuple[Query, int, tuple[int, ...]]:
        if call.rank < 6:
            raise bad("REQUEST_BODY_NOT_SUPPORTED", "request body contains invalid format")
        if set(query) != {"page_token"}:
            raise bad("QUERY_NOT_SUPPORTED", "page_token is the only key supported in the query")
        known = self._tokens.get(str(token))
        if known is None:
            raise bad(
                "INVALID_DATA", "invalid data", {"api_name": "page_token", "json_path": "$.query.page_token"}
            )
        found, page, after, expires = known
        if expires <= self.clock.now():
            raise bad(
                "EXPIRED_VALUE",
                "Page token expired",
                {"api_name": "page_token", "json_path": "$.query.page_token"},
            )
        return found, page, after

    # --- running -----------------------------------------------------------------------------------------------

    def end(self, job: Job) -> None:
        """Make the token that continues a job."""
        if job.more and VERSIONS[job.version] >= 6:
            job.next_token = f"{job.id}{job.page + 1:04d}bulk"
            self._tokens[job.next_token] = (
                job.query,
                job.page + 1,
                job.last or (),
                self.clock.now() + TOKEN_LIFE,
            )

    def shown_state(self, job: Job) -> str:
        """Return the state a status call shows.

        :param job: the job.
        """
        if job.state in DONE:
            return job.state
        if self.options.job_unknown_state and not job.strange and job.polls > 1:
            job.strange = True
            return self.options.job_unknown_state
        if job.started is None:
            return "QUEUED" if self.options.queued_state else "ADDED"
        if job.polls <= 1 and not self.options.job_seconds:
            return "QUEUED" if self.options.queued_state else "ADDED"
        return "IN PROGRESS"

    def _rows(self, job: Job, size: int) -> Iterator[Row]:
        selection = job.query.selection
        if job.after is not None:
            yield from islice(self.store.scan(selection, after=job.after), size + 1)
            return
        skip = (job.page - 1) * size
        key = (repr(job.query.echo) + str(size), job.page)
        after = self._starts.get(key)
        if after is None and skip and selection.matches is None:
            # The rows are narrow: the database skips hundreds of thousands of them in milliseconds.
            before = self.store.rows(selection, offset=skip - 1, limit=1)
            if not before:
                return
            after = self.store.key_of(selection, before[0])
        rows = self.store.scan(selection, after=after)
        if after is None and skip:
            rows = islice(rows, skip, None)
        yield from islice(rows, size + 1)

    def do(self, job: Job) -> None:
        """Write the file."""
        size = self.options.ics_page_size if job.query.ics else self.options.bulk_page_size
        query = job.query

        def limited() -> Iterator[Row]:
            for row in self._rows(job, size):
                if job.count >= size:
                    job.more = True
                    return
                job.count += 1
                job.last = (row.id,)
                yield row

        name = f"{job.id}.{'ics' if query.ics else 'csv'}"

        def write(archive: zipfile.ZipFile) -> None:
            if query.ics:
                write_ics(limited(), query.module, self.store, archive, name)
            else:
                cells = list(query.cells)
                cells[0] = Cells(self.options.id_header, cells[0].column)
                write_csv(limited(), cells, self.store, self.options, archive, name)

        def blank(archive: zipfile.ZipFile) -> None:
            archive.writestr(name, "")

        job.file = build_zip(write, self.options.result_defect)
        if job.count == 0 and self.options.empty_result == "blank":
            job.file.close()
            job.file = build_zip(blank, self.options.result_defect)

    # --- status, result, callback ------------------------------------------------------------------------------

    def _find(self, job_id: str, status: int) -> Job:
        job = self.jobs.get(job_id)
        if job is None:
            message = "The requested resource doesn't exist."
            raise ApiError(status, "RESOURCE_NOT_FOUND", message, {"resource": job_id})
        return job

    def result(self, job: Job) -> dict[str, Any]:
        """Build ``result`` of a job that is done.

        :param job: the job.
        """
        if job.state == "FAILURE":
            inner = {
                "message": "the job could not be completed",
                "details": f"{job.failure} while reading the records",
            }
            return {"error_message": {**inner, "status": "error", "code": job.failure}}
        size = self.options.ics_page_size if job.query.ics else self.options.bulk_page_size
        result: dict[str, Any] = {
            "page": job.page,
            "per_page": size,
            "count": job.count,
            "download_url": f"/crm/bulk/{job.version}/read/{job.id}/result",
            "more_records": job.more,
        }
        if job.next_token:
            result["next_page_token"] = job.next_token
        return result

    def status(self, job_id: str) -> Answer:
        """``GET /crm/bulk/{v}/read/{id}``."""
        job = self._find(job_id, 404)
        self.advance(job)
        body: dict[str, Any] = {"id": job.id, "operation": "read", "state": self.shown_state(job)}
        if job.state in DONE:
            body["result"] = self.result(job)
        elif self.options.early_result:
            early = {"page": job.page, "per_page": self.options.bulk_page_size, "count": 0}
            body["result"] = {**early, "download_url": None, "more_records": False}
        body["query"] = {**job.query.echo, "page": job.page}
        body["created_by"] = {"id": CURRENT_USER.id, "name": CURRENT_USER.name}
        body["created_time"] = self.clock.iso(job.created)
        body["file_type"] = "ics" if job.query.ics else "csv"
        return Answer(200, {"data": [body]})

    def download(self, job_id: str) -> Answer:
        """``GET /crm/bulk/{v}/read/{id}/result``."""
        status = self.options.unknown_result_status
        job = self._find(job_id, status)
        gone = job.finished is None or self.clock.now() >= job.finished + self.options.result_life
        if job.state != "COMPLETED" or job.file is None or gone:
            message = "The requested resource doesn't exist."
            raise ApiError(status, "RESOURCE_NOT_FOUND", message, {"resource": job_id})
        self._check_rate()
        job.downloads += 1
        headers = {
            "Content-Type": self.options.result_content_type,
            # Zoho's own form (OAS-2026, §2.8): its SDK finds no name in a bare filename=.
            "Content-Disposition": f"attachment;filename*=UTF-8''{job.id}.zip",
        }
        return Answer(200, headers=headers, file=job.file)

    def _check_rate(self) -> None:
        """More than ten in a minute: none until the minute is over (sheet §4.4)."""
        now = self.clock.now()
        while self._downloads and self._downloads[0] <= now - 60:
            self._downloads.popleft()
        if len(self._downloads) >= self.options.downloads_per_minute:
            raise too_many_requests()
        self._downloads.append(now)

    def callback_body(self, job: Job) -> dict[str, Any]:
        """Build what is posted to the callback of a job that is done (sheet §4.3)."""
        return {
            "job_id": job.id,
            "operation": "read",
            "state": job.state,
            "query": {**job.query.echo, "page": job.page},
            "result": self.result(job),
        }


def body_of(call: Call) -> dict[str, Any]:
    """Read the body of a bulk request.

    :param call: the request.
    """
    media = call.headers.get("content-type", "").split(";")[0].strip().lower()
    if media != "application/json":
        # Details are an array here (SEED-3 capture).
        raise ApiError(415, "MEDIA_TYPE_NOT_SUPPORTED", "Media type is not supported.", ["application/json"])
    if not call.body.strip():
        raise bad("REQUEST_BODY_IS_EMPTY", "request body is empty")
    try:
        content = orjson.loads(call.body)
    except orjson.JSONDecodeError as error:
        raise bad("REQUEST_BODY_NOT_READABLE", "request body is not readable") from error
    if not isinstance(content, dict):
        raise bad("REQUEST_BODY_NOT_SUPPORTED", "request body contains invalid format")
    return content


def _file_type(content: dict[str, Any]) -> bool:
    query = content.get("query")
    kind = content.get("file_type", query.get("file_type", "csv") if isinstance(query, dict) else "csv")
    if kind not in {"csv", "ics"}:
        details = {"api_name": "file_type", "supported_values": ["ics", "csv"]}
        raise bad("INVALID_DATA", "invalid data", details)
    return bool(kind == "ics")


def callback_of(content: dict[str, Any]) -> str | None:
    """Read ``callback``.

    :param content: body of the request.
    :returns: where to send it, ``None`` for nothing, and for what is not on loopback.
    """
    callback = content.get("callback")
    if callback is None:
        return None
    url = callback.get("url") if isinstance(callback, dict) else None
    host = host_of(url)
    if host is None:
        raise bad("INVALID_CALLBACK_URL", "the callback url is invalid")
    if str(callback.get("method", "")).lower() != "post":
        raise bad(
            "INVALID_CALLBACK_METHOD",
            "the callback method is invalid",
            {"supported_callback_methods": ["post"]},
        )
    return str(url) if host in LOOPBACK else None


class QueryReader:
    """Reads ``query`` of a request in the shape of its version (sheet §4.2)."""

    def __init__(self, store: Store, state: State, call: Call) -> None:
        self.store = store
        self.state = state
        self.flat = call.version == "v2"

    def read(self, query: dict[str, Any], *, ics: bool) -> Query:
        """Read the query.

        :param query: ``query`` of the request.
        :param ics: a calendar is wanted.
        """
        module = self._module(query)
        fields = query.get("fields") or []
        if ics and (module.api_name != "Events" or fields):
            details = {"api_name": "file_type", "supported_values": ["csv"]}
            raise bad("INVALID_DATA", "ics is supported for Events without fields", details)
        cells = self._cells(module, fields)
        sql: list[Sql] = []
        tests: list[Predicate] = []
        name: Any = module.api_name
        echo: dict[str, Any] = {"module": name if self.flat else {"id": module.module_id, "api_name": name}}
        if fields:
            echo["fields"] = fields
        if "cvid" in query:
            tests += self._view(module, str(query["cvid"]))
            echo["cvid"] = str(query["cvid"])
        if query.get("criteria") is not None:
            criteria = CriteriaReader(self.store, module, flat=self.flat).read(query["criteria"])
            sql = criteria.sql
            if not criteria.exact:
                tests.append(criteria.test)
            echo["criteria"] = criteria.echo
        return Query(module, cells, select(module, sql, all_of(tests) if tests else None), ics, echo)

    def _module(self, query: dict[str, Any]) -> Module:
        given = query.get("module")
        name = given if self.flat or not isinstance(given, dict) else given.get("api_name")
        if not self.flat and isinstance(given, str):
            name = None
        if given is None:
            raise bad("INVALID_REQUEST", "the module is missing")
        if not isinstance(name, str):
            # The shape of the other version (the code is a guess).
            raise bad("REQUEST_BODY_NOT_SUPPORTED", "request body contains invalid format")
        module = self.state.readable(name)
        if module is None or module.api_name != name:
            raise bad("MODULE_NOT_AVAILABLE", "the module is not available", {"api_name": name})
        if module.api_name in NOT_EXPORTED:
            raise bad("MODULE_NOT_SUPPORTED", "the module is not supported")
        permissions.check(self.state.options, module)
        return module

    def _view(self, module: Module, cvid: str) -> list[Predicate]:
        if cvid == module.view_id(0):
            return []
        if cvid == module.view_id(1) and module.parent is None:
            return [self.state.mine(module)]
        raise bad("CVID_NOT_SUPPORTED", "the custom view is not supported")

    def _cells(self, module: Module, fields: Any) -> tuple[Cells, ...]:
        if not isinstance(fields, list) or not all(isinstance(name, str) for name in fields):
            raise bad(
                "INVALID_DATA", "invalid data", {"api_name": "fields", "expected_data_type": "jsonarray"}
            )
        names = [name for name in dict.fromkeys(fields) if name.lower() != "id"]
        if not names or len(names) > MAX_FIELDS:
            # Above 200 all fields are exported (sheet §4.6).
            names = [spec.api_name for spec in module.exported]
        return tuple(Cells(name, self._column(module, name)) for name in ["id", *names])

    def _column(self, module: Module, name: str) -> Column:
        if name.count(".") > 2:
            raise bad("JOIN_LIMIT_EXCEEDED", "the join limit is exceeded")
        column = column_of(self.store, module, name)
        if column is None:
            raise bad("FIELD_NOT_AVAILABLE", "the field is not available", {"api_name": name})
        if not column.spec.exportable:
            raise bad("FIELD_NOT_SUPPORTED", "the field is not supported", {"api_name": name})
        return column
