"""Reading records: lists of any length, searches, COQL, deleted and related records."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.client import coql
from airflow_provider_zohocrm.client.answers import records_of
from airflow_provider_zohocrm.client.api import query_params
from airflow_provider_zohocrm.client.calls import Call, field_names, module_name, record_id as checked_id
from airflow_provider_zohocrm.client.jsontext import zoho_datetime
from airflow_provider_zohocrm.client.metadata import MetadataApi
from airflow_provider_zohocrm.client.versions import (
    CREDITS_PER_DELETED_PAGE,
    CREDITS_PER_VIEW_PAGE,
    DISCRETE_LIMIT,
    FIELDS_PER_CALL,
    IDS_PER_CALL,
    IDS_PER_CALL_FALLBACK,
    PAGE_SIZE,
    ApiVersion,
)
from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoPaginationLimitError,
    ZohoResponseError,
    ZohoValidationError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

log = logging.getLogger(__name__)

Record = dict[str, Any]
Moment = datetime | str

# What neither a list of ids nor a COQL query can express.
_NARROWING = ("sort_by", "sort_order", "cvid", "territory_id", "include_child")
_TERRITORY_MODULES = ("Deals", "Contacts", "Accounts")
# What Zoho answers to an offset that is too large is not documented; the simulator's reading, and Zoho's code for limits.
_OFFSET_REFUSED = ("INVALID_QUERY", "LIMIT_EXCEEDED")
_COQL_WAY_OUT = (
    "Set api_version v3 or newer in the connection (it goes on by page token), or use ZohoBulkReadOperator."
)


@dataclass(frozen=True, slots=True)
class ListQuery:
    """A checked request for a list of records.

    :param module: API name.
    :param groups: the fields in groups of at most 50, each with what joins them; one None for "as Zoho likes".
    :param ids: ids to read, or None for all.
    :param params: the other query parameters.
    :param headers: ``If-Modified-Since``.
    :param page_size: records per call.
    :param filters: which of the parameters choose or order records in a way only lists know.
    :param before: only records modified before this moment.
    :param unasked: fields read only to join or to choose records, and not passed on.
    """

    module: str
    groups: list[list[str] | None]
    ids: list[str] | None
    params: dict[str, str]
    headers: dict[str, str]
    page_size: int
    filters: frozenset[str] = field(default_factory=frozenset)
    before: datetime | None = None
    unasked: frozenset[str] = field(default_factory=frozenset)


class RecordsApi(MetadataApi):
    """Operations that read records. All iterators are lazy: a page is read when its first record is asked for."""

    def get_records(
        self,
        module: str,
        fields: str | Iterable[str] | None = None,
        *,
        ids: str | Iterable[str | int] | None = None,
        sort_by: str | None = None,
        sort_order: str | None = None,
        converted: bool | str | None = None,
        approved: bool | str | None = None,
        cvid: str | int | None = None,
        territory_id: str | int | None = None,
        include_child: bool | None = None,
        modified_since: Moment | None = None,
        modified_before: Moment | None = None,
        page_size: int = PAGE_SIZE,
        max_records: int | None = None,
    ) -> Iterator[Record]:
        """Read all records of a module, page by page (reference sheet §2.1).

        From v3 on pages follow each other by page token, up to 100,000 records. v2 and v2.1 know page numbers only;
        where Zoho refuses those past 2,000 records, the rest is found by COQL and read by id.

        :param module: API name, e.g. ``Leads``.
        :param fields: API names, as a list or separated by commas. None means every field a list can hold; v3 and
            newer need their names, which cost one call for the metadata. More than 50 are read in groups of 50 and
            joined by id.
        :param ids: read these records only; any number, 100 in a call. Not together with an order, a view or a
            territory.
        :param sort_by: ``id``, ``Created_Time`` or ``Modified_Time``; any field in v2 and v2.1.
        :param sort_order: ``asc`` or ``desc``.
        :param converted: False, True or ``"both"``: converted Leads; Zoho's default is False.
        :param approved: False, True or ``"both"``: approved records; Zoho's default is True.
        :param cvid: id of a custom view; 3 credits a call; from v3 on not together with ``sort_by``.
        :param territory_id: id of a territory; Deals, Contacts and Accounts only.
        :param include_child: take the territory's children too.
        :param modified_since: only records modified at or after this moment; ISO 8601 or a datetime, UTC if it has
            no offset. Fractions of a second are cut off.
        :param modified_before: only records modified before this moment; Zoho's lists know no upper bound, so that
            later ones are read and left out.
        :param page_size: records per call, 1 to 200.
        :param max_records: end after this many.
        :return: Zoho's record objects, each with ``id``.
        :raises ZohoValidationError: at once, before any request, for a parameter that cannot be right.
        :raises ZohoPaginationLimitError: while reading, beyond what lists can return; it names the way out.
        """
        query = self._list_query(
            module,
            fields,
            ids,
            {
                "sort_by": sort_by,
                "sort_order": sort_order,
                "converted": converted,
                "approved": approved,
                "cvid": cvid,
                "territory_id": territory_id,
                "include_child": include_child,
            },
            (modified_since, modified_before),
            _page_size(page_size, _positive(max_records, "max_records")),
        )
        return islice(_flat(self._list(query)), max_records)

    def get_record_lines(
        self,
        module: str,
        fields: str | Iterable[str] | None = None,
        *,
        page_size: int = PAGE_SIZE,
        modified_since: Moment | None = None,
        **options: Any,
    ) -> Iterator[list[Any]] | None:
        """Read all records of a module as Zoho's JSON, without parsing what is in them.

        :param options: ``sort_by`` and what else chooses or orders records, see :meth:`get_records`.
        :return: pages of buffers, each with the JSON of a record; None where records must be joined or looked at:
            v2 and v2.1, ``ids``, more than 50 fields, or none named.
        """
        chosen = {**dict.fromkeys((*_NARROWING, "converted", "approved")), **options}
        query = self._list_query(module, fields, None, chosen, (modified_since, None), _page_size(page_size))
        if not self.version.page_token or query.groups[0] is None or len(query.groups) > 1:
            return None
        params = query.params | query_params({"fields": query.groups[0]})
        return self._pages(
            self.path(query.module), params, query.headers, query.page_size, by_token=True, lines=True
        )

    def _list_query(
        self,
        module: str,
        fields: str | Iterable[str] | None,
        ids: str | Iterable[str | int] | None,
        options: dict[str, Any],
        moments: tuple[Moment | None, Moment | None],
        page_size: int,
    ) -> ListQuery:
        for name in ("cvid", "territory_id"):
            options[name] = None if options[name] is None else checked_id(options[name])
        checked = None if ids is None else _ids(ids)
        return _list_query(self.version, module, field_names(fields), checked, options, moments, page_size)

    def walk_by_id(
        self,
        module: str,
        fields: Iterable[str],
        *,
        descending: bool = False,
        modified_since: Moment | None = None,
        modified_before: Moment | None = None,
    ) -> Iterator[list[Record]]:
        """Read all records of a module in pages, in the order of their ids; see :meth:`get_records`.

        :param descending: begin with the highest id.
        :return: lists of Zoho's record objects.
        """
        order = {"sort_by": "id", "sort_order": "desc" if descending else "asc"}
        options: dict[str, Any] = {**dict.fromkeys((*_NARROWING, "converted", "approved")), **order}
        moments = (modified_since, modified_before)
        query = _list_query(self.version, module, field_names(fields), None, options, moments, PAGE_SIZE)
        return self._list(query)

    def coql_page(self, select_query: str, size: int) -> tuple[list[Record], bool]:
        """Run a COQL query that sets its own limit, once (reference sheet §2.7).

        :param select_query: the whole query.
        :param size: its limit, which decides what it costs.
        :return: one dict for each row, and whether there are more.
        """
        call = coql.query_call(self.version, select_query, size)
        answer = self.send(call)
        return records_of(answer, call), bool(((answer or {}).get("info") or {}).get("more_records"))

    def get_record(
        self, module: str, record_id: str | int, fields: str | Iterable[str] | None = None
    ) -> Record | None:
        """Read one record with its subforms (reference sheet §2.2).

        :param module: API name.
        :param record_id: the record's id.
        :param fields: API names; None for all.
        :return: the record, or None if there is none with this id.
        """
        call = Call(
            "GET",
            self.path(module_name(module), checked_id(record_id)),
            query_params({"fields": field_names(fields)}),
        )
        return next(iter(records_of(self.send(call), call)), None)

    def search_records(
        self,
        module: str,
        *,
        criteria: str | None = None,
        email: str | None = None,
        phone: str | None = None,
        word: str | None = None,
        fields: str | Iterable[str] | None = None,
        converted: bool | str | None = None,
        approved: bool | str | None = None,
        page_size: int = PAGE_SIZE,
        max_records: int | None = None,
    ) -> Iterator[Record]:
        """Search a module; the index lags behind writes (reference sheet §2.6).

        :param module: API name.
        :param criteria: e.g. ``((Last_Name:equals:Boyle)and(City:starts_with:San))``, at most 10 conditions.
        :param email: an email address in any field.
        :param phone: a phone number in any field.
        :param word: a word in any field. Exactly one of the four is given.
        :param fields: API names, at most 50.
        :return: Zoho's record objects.
        :raises ZohoValidationError: at once, if not exactly one of the four is given.
        :raises ZohoPaginationLimitError: while reading, beyond 2,000 records.
        """
        terms = {"criteria": criteria, "email": email, "phone": phone, "word": word}
        if sum(bool(term) for term in terms.values()) != 1:
            raise ZohoValidationError("a search needs exactly one of criteria, email, phone and word")
        wanted = _at_most_50(field_names(fields))
        params = terms | {"fields": wanted, "converted": _three(converted), "approved": _three(approved)}
        pages = self._pages(
            self.path(module_name(module), "search"), params, {}, _page_size(page_size), by_token=False
        )
        return islice(_flat(pages), _positive(max_records, "max_records"))

    def query(self, select_query: str) -> Iterator[Record]:
        """Run a COQL query over all its pages (reference sheet §2.7).

        Without a ``limit`` of its own the query is read to its end, 2,000 records a call (v2: 200), ordered by id
        unless it says otherwise. Each call begins after the last id of the one before; a query with another order,
        groups or aggregates is read by offset, which Zoho takes up to 100,000 rows (v2: 10,000). With a limit it is
        sent once, as it is.

        :param select_query: e.g. ``select Last_Name, Email from Leads where Lead_Status = 'Lost Lead'``.
        :return: one dict for each row.
        :raises ZohoValidationError: at once, if the text is no COQL query.
        :raises ZohoScopeError: without the scope ``ZohoCRM.coql.READ``.
        :raises ZohoPaginationLimitError: while reading, beyond what an offset reaches.
        """
        return _flat(self.query_pages(select_query))

    def query_pages(self, select_query: str) -> Iterator[list[Record]]:
        """Run a COQL query like :meth:`query`.

        :return: lists of rows, one for each call.
        """
        return self._query_pages(coql.checked_query(select_query))

    def get_deleted_records(
        self,
        module: str,
        type: str = "all",  # noqa: A002  # Zoho's own name
        modified_since: Moment | None = None,
    ) -> Iterator[Record]:
        """Read what was deleted (reference sheet §2.3).

        Zoho keeps deleted records for 60 days.

        :param module: API name.
        :param type: ``all``, ``recycle`` (in the recycle bin) or ``permanent``.
        :param modified_since: only what was deleted at or after this moment.
        :return: dicts with ``id, display_name, type, deleted_time, deleted_by, created_by``.
        """
        if type not in ("all", "recycle", "permanent"):
            raise ZohoValidationError(f"type is {type!r}; it must be all, recycle or permanent")
        path = self.path(module_name(module), "deleted")
        pages = self._pages(
            path,
            {"type": type},
            _since(modified_since),
            PAGE_SIZE,
            by_token=False,
            cost=CREDITS_PER_DELETED_PAGE,
        )
        return _flat(pages)

    def get_related_records(
        self, module: str, record_id: str | int, related_list: str, fields: str | Iterable[str] | None = None
    ) -> Iterator[Record]:
        """Read the records related to a record (reference sheet §2.4).

        :param module: API name of the parent's module, e.g. ``Accounts``.
        :param record_id: id of the parent.
        :param related_list: API name of the related list, e.g. ``Contacts``.
        :param fields: API names of the related module's fields, at most 50; mandatory from v3 on.
        :return: Zoho's record objects.
        """
        path = self.path(
            module_name(module), checked_id(record_id), module_name(related_list, "related list")
        )
        return self._related(path, field_names(fields))

    def get_deleted_record_related_records(
        self, module: str, deleted_record_id: str | int, related_list: str, fields: str | Iterable[str]
    ) -> Iterator[Record]:
        """Read the records related to a record that is in the recycle bin (v8; reference sheet §2.4).

        :param module: API name of the deleted record's module.
        :param deleted_record_id: its id, e.g. from :meth:`get_deleted_records`.
        :param related_list: API name of a related list made by a lookup field.
        :param fields: API names of the related module's fields, at most 50.
        :return: Zoho's record objects; some carry ``$member_info``.
        """
        if not self.version.deleted_related:
            raise ZohoValidationError(
                f"related records of a deleted record exist in v8 only, not in {self.version.name}; "
                "give the hook api_version='v8'"
            )
        parts = (
            module_name(module),
            "deleted",
            checked_id(deleted_record_id),
            module_name(related_list, "related list"),
        )
        return self._related(self.path(*parts), field_names(fields))

    def count_records(
        self,
        module: str,
        *,
        criteria: str | None = None,
        email: str | None = None,
        phone: str | None = None,
        word: str | None = None,
        cvid: str | int | None = None,
    ) -> int:
        """Count the records of a module (reference sheet §2.5).

        :param module: API name.
        :param criteria: as in :meth:`search_records`; likewise email, phone and word.
        :param cvid: id of a custom view; not together with the others.
        :raises ZohoScopeError: without the scope ``ZohoSearch.securesearch.READ``.
        """
        terms = {"criteria": criteria, "email": email, "phone": phone, "word": word}
        if cvid is not None and any(terms.values()):
            raise ZohoValidationError("cvid cannot be combined with criteria, email, phone or word")
        params = query_params(terms | {"cvid": None if cvid is None else checked_id(cvid)})
        call = Call("GET", self.path(module_name(module), "actions", "count"), params)
        count = (self.send(call) or {}).get("count", 0)
        try:
            return int(count)  # a text in one specification, a number in the other
        except (TypeError, ValueError):
            raise ZohoResponseError(f"{call}: the count is {count!r}") from None

    def _list(self, query: ListQuery) -> Iterator[list[Record]]:
        if self.version.fields_required and query.groups == [None]:
            groups, unasked = _groups(self.list_fields(query.module), query.before)
            query = replace(query, groups=groups, unasked=unasked)
        path, first = self.path(query.module), query.groups[0]
        if query.ids is not None:
            pages: Iterable[list[Record]] = (
                self._by_ids(query, chunk, first, query.headers) for chunk in _chunks(query.ids, IDS_PER_CALL)
            )
        elif self.version.page_token:
            params = query.params | query_params({"fields": first})
            pages = self._pages(path, params, query.headers, query.page_size, by_token=True)
        else:
            pages = self._legacy_pages(query)
        for page in pages:
            whole = list(self._widened(query, page)) if len(query.groups) > 1 else page
            yield _chosen(query, whole)

    def _pages(
        self,
        path: str,
        params: Mapping[str, Any],
        headers: dict[str, str],
        size: int,
        *,
        by_token: bool,
        cost: int | None = None,
        lines: bool = False,
    ) -> Iterator[list[Record]]:
        """Walk over pages: by the token of the answer before where there is one, else by number."""
        base = query_params(params) | {"per_page": str(size)}
        cost = cost or (CREDITS_PER_VIEW_PAGE if "cvid" in base else 1)
        place: dict[str, str] = {} if by_token else {"page": "1"}
        number = 1
        while True:
            call = Call("GET", path, base | place, headers=headers, credits=cost, lines=lines)
            answer = self.send(call)
            records = records_of(answer, call)
            yield records
            info = (answer or {}).get("info") or {}
            if not info.get("more_records"):
                return
            number += 1
            token = info.get("next_page_token") if by_token else None
            if not records and token in (None, place.get("page_token")):
                raise ZohoResponseError(f"{call}: an empty page says that there are more records")
            place = {"page_token": str(token)} if token else {"page": str(number)}

    def _legacy_pages(self, query: ListQuery) -> Iterator[list[Record]]:
        """Walk over numbered pages, and where Zoho refuses one past 2,000 records, find the rest by COQL."""
        seen: set[str] = set()
        last: set[str] = set()
        params = query.params | query_params({"fields": query.groups[0]})
        pages = self._pages(self.path(query.module), params, query.headers, query.page_size, by_token=False)
        try:
            for page in pages:
                # A record inserted meanwhile moves the ones behind it onto the next page.
                fresh = [record for record in page if record["id"] not in last and record["id"] not in seen]
                last = {record["id"] for record in page}
                if len(seen) < DISCRETE_LIMIT:
                    seen |= last
                yield fresh
        except ZohoPaginationLimitError as error:
            if query.filters:
                raise _no_way_on(
                    error, f"{', '.join(sorted(query.filters))} cannot be said in COQL"
                ) from error
            log.warning(
                "Zoho %s lists no more than %d records of %s; the rest is found by COQL and read by id, at three "
                "calls for 200 records. %s",
                self.version.name,
                len(seen),
                query.module,
                _COQL_WAY_OUT,
            )
            yield from self._rest_by_coql(query, seen, error)

    def _rest_by_coql(
        self, query: ListQuery, seen: set[str], limit: ZohoPaginationLimitError
    ) -> Iterator[list[Record]]:
        """Find ids by a keyset walk and read their records as lists show them, except for those seen."""
        since = query.headers.get("If-Modified-Since")
        where = f" and Modified_Time >= {coql.literal(since)}" if since else ""
        size, last = self.version.coql_page, "0"
        while True:
            text = f"select id from {query.module} where id > {coql.literal(last)}{where} order by id asc limit {size}"  # noqa: S608  # COQL; the module is checked, all else quoted
            try:
                found = [str(row["id"]) for row in self._query_once(text)]
            except ZohoAPIError as error:
                if error.status not in (400, 401, 403):
                    raise
                raise _no_way_on(limit, f"COQL is not allowed: {error}") from error
            for chunk in _chunks([one for one in found if one not in seen], IDS_PER_CALL):
                yield self._by_ids(query, chunk, query.groups[0], {})
            if len(found) < size:
                return
            last = found[-1]

    def _by_ids(
        self, query: ListQuery, ids: list[str], fields: list[str] | None, headers: dict[str, str]
    ) -> list[Record]:
        # The ids say which records; what else narrows the list applies to them still, the order does not.
        kept = {key: value for key, value in query.params.items() if key in ("converted", "approved")}
        params = kept | query_params({"fields": fields, "ids": ids, "per_page": PAGE_SIZE})
        call = Call("GET", self.path(query.module), params, headers=headers)
        try:
            return records_of(self.send(call), call)
        except ZohoAPIError as error:
            about_ids = isinstance(error.details, dict) and error.details.get("param_name") == "ids"
            if not about_ids or len(ids) <= IDS_PER_CALL_FALLBACK:
                raise
        return [
            record
            for part in _chunks(ids, IDS_PER_CALL_FALLBACK)
            for record in self._by_ids(query, part, fields, headers)
        ]

    def _widened(self, query: ListQuery, page: list[Record]) -> Iterator[Record]:
        """Join the other groups of fields to the records of a page."""
        found: dict[str, list[Record]] = {record["id"]: [record] for record in page}
        for group in query.groups[1:]:
            for chunk in _chunks(list(found), IDS_PER_CALL):
                for record in self._by_ids(query, chunk, group, {}):
                    if record["id"] in found:
                        found[record["id"]].append(record)
        for key, parts in found.items():
            same = len({part.get("Modified_Time") for part in parts}) == 1
            if same and len(parts) == len(query.groups):
                yield {name: value for part in parts for name, value in part.items()}
            else:
                yield from self._read_again(query, key)

    def _read_again(self, query: ListQuery, key: str) -> Iterator[Record]:
        """Read a record whole that changed, or went, between the reading of two groups."""
        record = self.get_record(query.module, key)
        if record is not None:
            wanted = {"id", *(name for group in query.groups for name in group or ())}
            yield {name: value for name, value in record.items() if name in wanted}

    def _related(self, path: str, fields: list[str] | None) -> Iterator[Record]:
        if fields is None and self.version.fields_required:
            raise ZohoValidationError(f"{self.version.name} needs the fields of related records: give fields")
        pages = self._pages(
            path, {"fields": _at_most_50(fields)}, {}, PAGE_SIZE, by_token=self.version.page_token
        )
        return _flat(pages)

    def _query_pages(self, query: str) -> Iterator[list[Record]]:
        if coql.has_limit(query):
            yield self._query_once(query)
            return
        size, keyset = self.version.coql_page, coql.keyset(query)
        offset, last, more = 0, None, True
        while more:
            if keyset is not None and (last or not offset):
                rows, more = self.coql_page(keyset.page(last, size), size)
                if rows and last and str(rows[-1].get("id")) == last:
                    raise ZohoResponseError(f"Zoho answered a query for ids after {last} with this id again")
            else:
                rows, more = self._page_by_offset(query, offset, size)
            more = more and bool(rows)
            if rows:
                yield rows
            offset += len(rows)
            # Without an id the offset goes on where the ids would have, as the order is the same.
            last = str(rows[-1].get("id") or "") if rows else None

    def _page_by_offset(self, query: str, offset: int, size: int) -> tuple[list[Record], bool]:
        try:
            return self.coql_page(coql.paged(query, offset, size), size)
        except ZohoAPIError as error:
            if not offset or error.code not in _OFFSET_REFUSED:
                raise
            raise ZohoPaginationLimitError(
                f"{error} After {offset} rows Zoho takes no larger offset. Leave out the query's own order by: it is "
                "then read by id, to its end. Or narrow its where clause.",
                status=error.status,
                code=error.code,
                details=error.details,
            ) from error

    def _query_once(self, query: str) -> list[Record]:
        return self.coql_page(query, self.version.coql_page)[0]


def check_choices(options: Mapping[str, Any]) -> None:
    """Check what chooses and orders the records of a list, as far as no API version is needed to tell.

    :raises ZohoValidationError: for what cannot be right.
    """
    for name in ("cvid", "territory_id"):
        if options.get(name) is not None:
            checked_id(options[name])
    if isinstance(options.get("ids"), (str, list, tuple)):
        _ids(options["ids"])
    if options.get("sort_by") is not None:
        field_names([options["sort_by"]], "sort_by")
    _check_order(options.get("sort_order"))
    _three(options.get("converted"))
    _three(options.get("approved"))


def _check_order(sort_order: str | None) -> None:
    if sort_order not in (None, "asc", "desc"):
        raise ZohoValidationError(f"sort_order is {sort_order!r}; it must be asc or desc")


def _list_query(
    version: ApiVersion,
    module: str,
    fields: list[str] | None,
    ids: list[str] | None,
    options: dict[str, Any],
    moments: tuple[Moment | None, Moment | None],
    page_size: int,
) -> ListQuery:
    """Check a list request against what the version takes."""
    module_name(module)
    if module == "Activities" and version.fields_required:
        raise ZohoValidationError(
            f"Activities cannot be read in {version.name}; read Tasks, Events and Calls"
        )
    sort_by = options["sort_by"]
    if sort_by is not None:
        options["sort_by"] = sort_by = (field_names([sort_by], "sort_by") or [sort_by])[0]
    if version.sort_fields and sort_by not in (None, *version.sort_fields):
        raise ZohoValidationError(
            f"sort_by is {sort_by!r}; {version.name} sorts by {', '.join(version.sort_fields)}"
        )
    if sort_by is not None and options["cvid"] is not None and version.sort_fields:
        raise ZohoValidationError("cvid and sort_by exclude each other: a view has its own order")
    _check_order(options["sort_order"])
    territory = options["territory_id"] is not None or options["include_child"] is not None
    if territory and module not in _TERRITORY_MODULES:
        raise ZohoValidationError(f"{module} has no territories; only {', '.join(_TERRITORY_MODULES)} have")
    _check_ids(ids, options)
    options = options | {"converted": _three(options["converted"]), "approved": _three(options["approved"])}
    modified_since, modified_before = moments
    before = None if modified_before in (None, "") else moment(modified_before, "modified_before")
    groups, unasked = _groups(fields, before, FIELDS_PER_CALL if version.fields_required else None)
    return ListQuery(
        module=module,
        groups=groups,
        ids=ids,
        params=query_params(options),
        headers=_since(modified_since),
        page_size=_page_size(page_size),
        filters=frozenset(name for name in _NARROWING if options[name] is not None),
        before=before,
        unasked=unasked,
    )


def _check_ids(ids: list[str] | None, options: dict[str, Any]) -> None:
    if ids is None:
        return
    if not ids:
        raise ZohoValidationError("ids is empty; leave it out to read all records")
    others = [name for name in _NARROWING if options[name] is not None]
    if others:
        raise ZohoValidationError(
            f"ids cannot be combined with {', '.join(others)}: they name the records already"
        )


def _groups(
    fields: list[str] | None, before: datetime | None, size: int | None = FIELDS_PER_CALL
) -> tuple[list[list[str] | None], frozenset[str]]:
    """Split fields into groups one call may ask for.

    :param size: how many that is; None for any.
    :return: the groups, each with what joins them and shows a change, and the fields that nobody asked for.
    """
    if fields is None:
        return [None], frozenset()
    wide = size is not None and len(fields) > size
    unasked = frozenset({"Modified_Time"} - set(fields) if wide or before is not None else ())
    every = [*fields, *unasked]
    if size is None or len(every) <= size:
        return [every], unasked
    shared = ["id", "Modified_Time"]
    rest = [name for name in fields if name not in shared]
    return [shared + chunk for chunk in _chunks(rest, size - len(shared))], unasked


def _chosen(query: ListQuery, page: list[Record]) -> list[Record]:
    """Leave out the records modified too late, and the fields that were not asked for."""
    if query.before is not None:
        before = query.before
        page = [record for record in page if _modified(record) < before]
    if query.unasked:
        page = [
            {name: value for name, value in record.items() if name not in query.unasked} for record in page
        ]
    return page


def _modified(record: Record) -> datetime:
    try:
        return moment(record["Modified_Time"], "Modified_Time")
    except (KeyError, ZohoValidationError):
        raise ZohoResponseError(
            f"Record {record.get('id')} has no Modified_Time, so that modified_before cannot be applied; leave it out"
        ) from None


def _chunks(items: list[str], size: int) -> Iterator[list[str]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _flat(pages: Iterable[list[Record]]) -> Iterator[Record]:
    return (record for page in pages for record in page)


def _ids(value: str | Iterable[str | int]) -> list[str]:
    given = value.split(",") if isinstance(value, str) else value
    return list(dict.fromkeys(checked_id(one) for one in given if str(one).strip()))


def _three(value: bool | str | None) -> str | None:
    """Check true, false or both."""
    text = str(value).lower() if value is not None else None
    if text not in (None, "true", "false", "both"):
        raise ZohoValidationError(f"{value!r} must be true, false or both")
    return text


def moment(value: Moment | None, what: str) -> datetime:
    """Read a moment, with its fraction of a second cut off; UTC if it has no offset.

    :param value: a datetime, or ISO 8601 text.
    :param what: the parameter, for the error text.
    :raises ZohoValidationError: if it is none.
    """
    try:
        return datetime.fromisoformat(zoho_datetime(value or ""))
    except (ValueError, TypeError):
        raise ZohoValidationError(
            f"{what} is {value!r}; it must be a datetime or ISO 8601, e.g. 2026-01-31T04:00:00+00:00"
        ) from None


def _since(value: Moment | None) -> dict[str, str]:
    if value is None or value == "":
        return {}
    return {"If-Modified-Since": zoho_datetime(moment(value, "modified_since"))}


def _page_size(size: int, wanted: int | None = None) -> int:
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= PAGE_SIZE:
        raise ZohoValidationError(f"page_size is {size!r}; it must be 1 to {PAGE_SIZE}")
    return size if wanted is None else min(size, wanted)


def _positive(value: int | None, what: str) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ZohoValidationError(f"{what} is {value!r}; it must be a whole number above 0")
    return value


def _at_most_50(fields: list[str] | None) -> list[str] | None:
    if fields is not None and len(fields) > FIELDS_PER_CALL:
        raise ZohoValidationError(
            f"{len(fields)} fields asked for; Zoho returns {FIELDS_PER_CALL} here at most"
        )
    return fields


def _no_way_on(error: ZohoPaginationLimitError, why: str) -> ZohoPaginationLimitError:
    return ZohoPaginationLimitError(
        f"{error} The rest cannot be found by COQL either: {why.rstrip('.')}.",
        status=error.status,
        code=error.code,
        details=error.details,
    )
