"""Reading records: lists, one record, deleted ones, related ones, and how many there are (sheet §2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.simulator.calls import Answer, Call
from airflow_provider_zohocrm.simulator.clock import parse_iso
from airflow_provider_zohocrm.simulator.errors import (
    ApiError,
    ambiguous,
    invalid_module,
    invalid_param,
    limit_exceeded,
    not_supported_version,
    pattern_not_matched,
    required_param,
)
from airflow_provider_zohocrm.simulator.modules import (
    CURRENT_USER,
    ORG_PREFIX,
    Field,
    Module,
    RelatedList,
    Row,
)
from airflow_provider_zohocrm.simulator.paging import Page, whole_number
from airflow_provider_zohocrm.simulator.search import Search
from airflow_provider_zohocrm.simulator.store import SORT_COLUMNS, Selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_provider_zohocrm.simulator.state import State

MAX_FIELDS = 50
TERRITORIES = tuple(str(ORG_PREFIX * 10**12 + 5_000 + n) for n in range(3))
"""A territory and its two children."""
TERRITORY_MODULES = {"Deals", "Contacts", "Accounts"}

# What v2 adds to every record (SEED-0).
_NO = {"approve": False, "reject": False, "resubmit": False}
V2_EXTRAS: dict[str, Any] = {
    "$currency_symbol": "$",
    "$field_states": None,
    "$state": "save",
    "$converted": False,
    "$process_flow": False,
    "$approved": True,
    "$approval": {"delegate": False, **_NO},
    "$data_source_details": {},
    "$editable": True,
    "$review_process": _NO,
    "$canvas_id": None,
    "$review": None,
    "$converted_detail": {},
    "$orchestration": False,
    "$stop_processing": False,
    "$in_merge": False,
    "$approval_state": "approved",
}


def module_of(state: State, call: Call, name: str, *, readable: bool = False) -> Module:
    """Find the module of the address.

    :param state: the simulator.
    :param call: the request.
    :param name: the segment of the path.
    :param readable: modules of subforms will do, too.
    """
    module = state.readable(name) if readable else state.store.module(name)
    if module is None or (name.lower() == "activities" and not call.old):
        raise invalid_module()
    return module


def fields_of(state: State, call: Call, module: Module, *, single: bool = False) -> list[Field]:
    """Read ``fields``: mandatory for lists from v3 on, at most 50.

    :param state: the simulator.
    :param call: the request.
    :param module: the module.
    :param single: one record is read: all fields if absent, subforms among them.
    """
    text = call.query.get("fields", "")
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        if call.old or single:
            return list(module.fields.values() if single or call.old else module.listed)
        raise required_param("fields", state.options.required_param_style)
    if len(names) > MAX_FIELDS and not call.old:
        raise limit_exceeded("fields", MAX_FIELDS)
    chosen = {name: module.fields[name] for name in names if name in module.fields}
    chosen["id"] = module.fields["id"]
    return list(chosen.values())


def render(state: State, call: Call, rows: Sequence[Row], specs: Sequence[Field]) -> list[dict[str, Any]]:
    """Turn rows of a list into what is sent.

    :param state: the simulator.
    :param call: the request.
    :param rows: the rows.
    :param specs: the fields wanted.
    """
    listed = [spec for spec in specs if spec.listed]
    records = state.store.records(rows, listed)
    if not call.old:
        return records
    # v2 shows how many rows a subform has (SEED-0), and keys of its own where no fields were named.
    for spec in specs:
        if not spec.listed:
            for record, row in zip(records, rows, strict=True):
                record[spec.api_name] = len(state.store.value(row, spec) or [])
    if "fields" in call.query:
        return records
    return [
        {**record, **V2_EXTRAS, "$converted": row.view == 1, "$approved": row.view != 2}
        for record, row in zip(records, rows, strict=True)
    ]


def _views(call: Call) -> list[int]:
    converted = call.query.get("converted", "false")
    approved = call.query.get("approved", "true")
    for name, value in (("converted", converted), ("approved", approved)):
        if value not in {"true", "false", "both"}:
            raise pattern_not_matched(name)
    if approved == "false":
        return [2]
    views = {"true": [1], "false": [0], "both": [0, 1]}[converted]
    return [*views, 2] if approved == "both" else views


def _ids(state: State, call: Call, name: str = "ids") -> list[int] | None:
    text = call.query.get(name)
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isascii() and part.isdigit() and len(part) <= 19 for part in parts):
        raise invalid_param(name)
    if len(parts) > state.options.ids_limit:
        raise limit_exceeded(name, state.options.ids_limit)
    return [int(part) for part in parts]


def since_of(call: Call) -> float | None:
    """Read ``If-Modified-Since``.

    :param call: the request.
    """
    text = call.headers.get("if-modified-since")
    if text is None:
        return None
    moment = parse_iso(text)
    if moment is None:
        message = "Please check whether the input values are correct"
        raise ApiError(400, "INVALID_DATA", message, {"header_name": "If-Modified-Since"})
    return moment


def selection_of(state: State, call: Call, module: Module) -> Selection:
    """Turn the parameters of a list into a selection.

    :param state: the simulator.
    :param call: the request.
    :param module: the module.
    """
    where: list[str] = [f"view IN ({','.join(map(str, _views(call)))})"]
    params: list[Any] = []
    since = since_of(call)
    if since is not None:
        # Inclusive (sheet §2.1).
        where.append("modified >= ?")
        params.append(int(since))
    ids = _ids(state, call)
    if ids is not None:
        where.append(f"id IN ({','.join('?' * len(ids))})")
        params += ids
    if "territory_id" in call.query:
        where.append(_territory(call, module))
    matches = None
    if "cvid" in call.query:
        if "sort_by" in call.query:
            raise ambiguous("cvid", "sort_by")
        views = {module.view_id(0)} if module.parent is not None else {module.view_id(0), module.view_id(1)}
        if call.query["cvid"] not in views:
            raise invalid_param("cvid")
        if call.query["cvid"] == module.view_id(1):
            matches = state.mine(module)
    order, descending = _order(call)
    low, high = (min(ids), max(ids)) if ids else (None, None)
    return Selection(module, " AND ".join(where), tuple(params), order, descending, matches, low, high)


def _territory(call: Call, module: Module) -> str:
    wanted = call.query["territory_id"]
    if module.api_name not in TERRITORY_MODULES or wanted not in TERRITORIES:
        raise invalid_param("territory_id")
    number = TERRITORIES.index(wanted)
    children = call.query.get("include_child", "false") == "true" and number == 0
    return "id % 3 IN (0, 1, 2)" if children else f"(id / 3) % 3 = {number}"


def _order(call: Call) -> tuple[str, bool]:
    way = call.query.get("sort_order", "desc")
    if way not in {"asc", "desc"}:
        raise invalid_param("sort_order", supported_values=["asc", "desc"])
    by = call.query.get("sort_by", "id")
    if by not in SORT_COLUMNS and not call.old:
        raise invalid_param("sort_by", supported_values=list(SORT_COLUMNS))
    return SORT_COLUMNS.get(by, "id"), way == "desc"


def list_records(state: State, call: Call, name: str) -> Answer:
    """``GET /crm/{v}/{module}``."""
    module = module_of(state, call, name, readable=True)
    specs = fields_of(state, call, module)
    selection = selection_of(state, call, module)
    by = call.query.get("sort_by", "id")
    if by not in SORT_COLUMNS:
        if by not in module.fields:
            raise invalid_param("sort_by")
        page = _sorted_page(state, call, selection, module.fields[by])
    else:
        page = state.pager.page(call, selection, tokens=not call.old)
    return _list_answer(state, call, page, render(state, call, page.rows, specs))


def _sorted_page(state: State, call: Call, selection: Selection, by: Field) -> Page:
    """Serve v2's order by any field from a sorted list of ids."""
    ids = state.store.sorted_ids(selection, by)
    count = whole_number(call, "per_page", 200, 200)
    number = whole_number(call, "page", 1)
    start = (number - 1) * count
    state.pager.check_page(call, start)
    part = ids[start : start + count]
    found = state.store.by_ids(selection.module, part)
    info = {"call": False, "per_page": count, "count": len(part), "page": number, "email": False}
    return Page([found[i] for i in part], {**info, "more_records": start + count < len(ids)})


def _list_answer(state: State, call: Call, page: Page, data: list[dict[str, Any]]) -> Answer:
    if not data:
        return Answer(304 if "if-modified-since" in call.headers and page.info["page"] == 1 else 204)
    info = page.info
    if not call.old:
        info["sort_by"] = call.query.get("sort_by", "id")
        info["sort_order"] = call.query.get("sort_order", "desc")
    state.note(call, records=len(data))
    return Answer(200, {"data": data, "info": info})


def record_row(state: State, module: Module, text: str, *, index: int = 1) -> Row | None:
    """Find the record of the address.

    :param state: the simulator.
    :param module: its module.
    :param text: the segment of the path.
    :param index: place of the segment in the path.
    :raises ApiError: where the segment cannot be an id.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        details = {"resource_path_index": index}
        raise ApiError(400, "INVALID_DATA", "the id given seems to be invalid", details)
    return state.store.row(module, int(text))


def one_record(state: State, call: Call, name: str, record_id: str) -> Answer:
    """``GET /crm/{v}/{module}/{id}``: with subforms; 204 for an unknown id."""
    module = module_of(state, call, name)
    specs = fields_of(state, call, module, single=True)
    row = record_row(state, module, record_id)
    if row is None:
        return Answer(204)
    since = since_of(call)
    if since is not None and row.modified < since:
        return Answer(304)
    record = state.store.record(row, specs)
    if call.old and "fields" not in call.query:
        record |= V2_EXTRAS
    elif not call.old and "fields" not in call.query:
        record |= {"$approval_state": "approved", "$editable": True, "$in_merge": False}
    state.note(call, records=1)
    return Answer(200, {"data": [record]})


def deleted_records(state: State, call: Call, name: str) -> Answer:
    """``GET /crm/{v}/{module}/deleted``."""
    module = module_of(state, call, name)
    kind = call.query.get("type", "all")
    if kind not in {"all", "recycle", "permanent"}:
        raise invalid_param("type", supported_values=["all", "recycle", "permanent"])
    count = whole_number(call, "per_page", 200, 200)
    number = whole_number(call, "page", 1)
    since = since_of(call)
    found = state.store.deleted(module, kind, since, (number - 1) * count, count + 1)
    if not found:
        return Answer(304 if since is not None and number == 1 else 204)
    more, found = len(found) > count, found[:count]
    state.note(call, records=len(found))
    info = {"per_page": count, "count": len(found), "page": number, "more_records": more}
    return Answer(200, {"data": found, "info": info})


def _relation(module: Module, name: str, index: int) -> RelatedList:
    for related in module.related:
        if related.api_name.lower() == name.lower():
            return related
    message = "The relation name given seems to be invalid"
    raise ApiError(400, "INVALID_DATA", message, {"resource_path_index": index})


def _children(state: State, call: Call, module: Module, parent: int, related: RelatedList) -> Selection:
    child = state.store.modules[related.module]
    order, descending = _order(call)
    if related.lookup:
        column = f"link{child.fields[related.lookup].link}"
        where, params = f"{column} = ? AND view = 0", [parent]
    else:
        where = "id IN (SELECT child FROM members WHERE module = ? AND list = ? AND parent = ?) AND view = 0"
        params = [module.api_name, related.api_name, parent]  # type: ignore[list-item]  # texts and a number for SQL
    ids = _ids(state, call)
    if ids is not None:
        where += f" AND id IN ({','.join('?' * len(ids))})"
        params += ids
    since = since_of(call)
    if since is not None:
        where += " AND modified >= ?"
        params.append(int(since))
    return Selection(child, where, tuple(params), order, descending)


def _with_membership(state: State, rows: list[Row], data: list[dict[str, Any]], related: RelatedList) -> None:
    if related.lookup:
        return
    for row, record in zip(rows, data, strict=True):
        record["$member_info"] = {
            "Modified_Time": state.clock.iso(row.modified),
            "Created_Time": state.clock.iso(row.created),
            "id": str(row.id + 500_000_000),
        }


def related_records(state: State, call: Call, name: str, record_id: str, relation: str) -> Answer:
    """``GET /crm/{v}/{module}/{id}/{related_list}``."""
    module = module_of(state, call, name)
    related = _relation(module, relation, 2)
    child = state.store.modules[related.module]
    specs = fields_of(state, call, child)
    if not record_id.isdigit() or state.store.row(module, int(record_id)) is None:
        message = "The related id given seems to be invalid"
        raise ApiError(400, "INVALID_DATA", message, {"resource_path_index": 1})
    selection = _children(state, call, module, int(record_id), related)
    page = state.pager.page(call, selection, tokens=not call.old)
    data = render(state, call, page.rows, specs)
    _with_membership(state, page.rows, data, related)
    return _list_answer(state, call, page, data)


def deleted_parent_records(state: State, call: Call, name: str, record_id: str, relation: str) -> Answer:
    """``GET /crm/v8/{module}/deleted/{id}/{related_list}``: the parent must lie in the recycle bin (SEED-4)."""
    if call.rank < 8:
        raise not_supported_version("v8")
    module = module_of(state, call, name)
    related = _relation(module, relation, 3)
    child = state.store.modules[related.module]
    if not call.query.get("fields"):
        raise required_param("fields", state.options.required_param_style)
    specs = fields_of(state, call, child)
    if not record_id.isdigit() or not state.store.in_bin(module, int(record_id)):
        message = "Given ID of the record seems to be invalid"
        raise ApiError(400, "INVALID_DATA", message, {"resource_path_index": 2})
    page = state.pager.page(call, _children(state, call, module, int(record_id), related), tokens=False)
    if not page.rows:
        return Answer(204)
    data = render(state, call, page.rows, specs)
    _with_membership(state, page.rows, data, related)
    info = {
        "per_page": page.info["per_page"],
        "next_page_token": None,
        "count": len(data),
        "page": page.info["page"],
        "previous_page_token": None,
        "page_token_expiry": None,
        "more_records": page.info["more_records"],
    }
    state.note(call, records=len(data))
    return Answer(200, {"data": data, "info": info})


def count_records(state: State, call: Call, name: str) -> Answer:
    """``GET /crm/{v}/{module}/actions/count``."""
    module = module_of(state, call, name)
    terms = [term for term in ("criteria", "email", "phone", "word") if call.query.get(term)]
    if "cvid" in call.query:
        if terms:
            message = "Please use either Cvid or Search Params. Combination of both the params is not allowed"
            due = [{"param_name": n} for n in ("cvid", *terms)]
            raise ApiError(400, "AMBIGUITY_DURING_PROCESSING", message, {"ambiguity_due_to": due})
        if call.query["cvid"] not in {module.view_id(0), module.view_id(1)}:
            raise invalid_param("cvid")
    matches = None
    if call.query.get("cvid") == module.view_id(1):
        matches = state.mine(module)
    elif terms:
        matches = Search(state, module).predicate(call.query)
    total = state.store.count(Selection(module, matches=matches))
    return Answer(200, {"count": str(total) if state.options.count_as == "str" else total})


def search_records(state: State, call: Call, name: str) -> Answer:
    """``GET /crm/{v}/{module}/search``: at most 2,000 records in all (sheet §2.6)."""
    module = module_of(state, call, name)
    if not any(call.query.get(term) for term in ("criteria", "email", "phone", "word")):
        details = {"param_names": ["criteria", "email", "phone", "word"]}
        raise ApiError(400, "EXPECTED_PARAM_MISSING", "One of the expected parameter is missing", details)
    specs = fields_of(state, call, module, single=True)
    count = whole_number(call, "per_page", 200, 200)
    number = whole_number(call, "page", 1)
    if number * count > 2000:
        raise ApiError(400, "LIMIT_REACHED", "Search results limit reached", {"limit": 2000})
    matches = Search(state, module).predicate(call.query)
    selection = Selection(module, f"view IN ({','.join(map(str, _views(call)))})", matches=matches)
    rows = state.store.rows(selection, offset=(number - 1) * count, limit=count + 1)
    if not rows:
        return Answer(204)
    more, rows = len(rows) > count, rows[:count]
    info = {"call": False, "per_page": count, "count": len(rows), "page": number, "email": False}
    state.note(call, records=len(rows))
    return Answer(200, {"data": render(state, call, rows, specs), "info": {**info, "more_records": more}})


def custom_views(state: State, call: Call) -> Answer:
    """``GET /crm/{v}/settings/custom_views?module=``: all records, and those of the current user."""
    if not call.query.get("module"):
        raise required_param("module", state.options.required_param_style)
    module = module_of(state, call, call.query["module"])
    views = [
        {
            "id": module.view_id(number),
            "name": f"{label} {module.api_name}",
            "display_value": f"{label} {module.api_name}",
            "system_name": f"{label.upper()}{module.api_name.upper()}",
            "default": number == 0,
            "system_defined": True,
            "category": "public_views",
            "module": {"api_name": module.api_name, "id": module.module_id},
            "created_by": CURRENT_USER.shortest(),
        }
        for number, label in enumerate(("All", "My"))
    ]
    info = {
        "per_page": 200,
        "default": module.view_id(0),
        "count": len(views),
        "page": 1,
        "more_records": False,
    }
    return Answer(200, {"custom_views": views, "info": info})
