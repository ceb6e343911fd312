"""Tags of records: add and remove (the bodies are those of the public pages; the sheet has only the price)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.simulator.calls import Answer, Call
from airflow_provider_zohocrm.simulator.errors import ApiError, envelope, limit_exceeded, required_param
from airflow_provider_zohocrm.simulator.records import module_of
from airflow_provider_zohocrm.simulator.validation import record_locked

if TYPE_CHECKING:
    from airflow_provider_zohocrm.simulator.modules import Module
    from airflow_provider_zohocrm.simulator.state import State

MAX_IDS = 500


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def ids_in(call: Call) -> list[str]:
    """Return the ids a tag call is about, for its price too.

    :param call: the request.
    """
    if call.old or "ids" in call.query:
        return _parts(call.query.get("ids", ""))
    try:
        ids = call.json().get("ids")
    except ApiError:
        return []
    return [str(one) for one in ids] if isinstance(ids, list) else []


def _names(call: Call, style: str) -> list[str]:
    if call.old:
        names = _parts(call.query.get("tag_names", ""))
        if not names:
            raise required_param("tag_names", style)
        return names
    tags = call.json().get("tags")
    if tags is None:
        raise ApiError(400, "MANDATORY_NOT_FOUND", "required field not found", {"api_name": "tags"})
    if not isinstance(tags, list) or not all(isinstance(tag, dict) and tag.get("name") for tag in tags):
        details = {"expected_data_type": "jsonarray", "api_name": "tags"}
        raise ApiError(400, "INVALID_DATA", "invalid data", details)
    return [str(tag["name"]) for tag in tags]


def _over_write(call: Call) -> bool:
    value = call.query.get("over_write", "false") if call.old else call.json().get("over_write", False)
    return str(value).lower() == "true"


def _one(
    state: State, module: Module, text: str, names: list[str], *, add: bool, over: bool
) -> dict[str, Any]:
    row = state.store.row(module, int(text)) if text.isdigit() and len(text) <= 19 else None
    if row is None:
        return envelope("INVALID_DATA", "the id given seems to be invalid", {"id": text})
    if text in state.locked:
        return record_locked(text).element(json_path=False)
    before = state.store.value(row, module.fields["Tag"]) or []
    if add:
        kept = [] if over else before
        tags = kept + [state.tag(name) for name in names if name not in {tag["name"] for tag in kept}]
    else:
        tags = [tag for tag in before if tag["name"] not in names]
    state.store.save(module, row, {"Tag": tags})
    details = {"id": text, "tags": tags}
    return {
        "code": "SUCCESS",
        "details": details,
        "message": "tags updated successfully",
        "status": "success",
    }


def _run(state: State, call: Call, name: str, ids: list[str], *, add: bool) -> Answer:
    module = module_of(state, call, name)
    names = _names(call, state.options.required_param_style)
    over = add and _over_write(call)
    results = [_one(state, module, text, names, add=add, over=over) for text in ids]
    changed = [result["details"]["id"] for result in results if result["status"] == "success"]
    entry = {"time": state.clock.now(), "module": module.api_name, "operation": "tags", "ids": changed}
    state.store.writes.append({**entry, "trigger": "all"})
    state.watch.changed(module, "update", changed, ["Tag"])
    locked = sum(result["code"] == "RECORD_LOCKED" for result in results)
    body = {
        "data": results,
        "wf_scheduler": "success",
        "success_count": str(len(changed)),
        "locked_count": locked,
    }
    failed = len(results) - len(changed)
    return Answer(200 if not failed else 400 if not changed else 207, body)


def _many(state: State, call: Call, name: str, *, add: bool) -> Answer:
    ids = ids_in(call)
    if not ids:
        raise required_param("ids", state.options.required_param_style)
    if len(ids) > MAX_IDS:
        raise limit_exceeded("ids", MAX_IDS)
    return _run(state, call, name, ids, add=add)


def add_to_many(state: State, call: Call, name: str) -> Answer:
    """``POST /crm/{v}/{module}/actions/add_tags``."""
    return _many(state, call, name, add=True)


def remove_from_many(state: State, call: Call, name: str) -> Answer:
    """``POST /crm/{v}/{module}/actions/remove_tags``."""
    return _many(state, call, name, add=False)


def add_to_one(state: State, call: Call, name: str, record_id: str) -> Answer:
    """``POST /crm/{v}/{module}/{id}/actions/add_tags``."""
    return _run(state, call, name, [record_id], add=True)


def remove_from_one(state: State, call: Call, name: str, record_id: str) -> Answer:
    """``POST /crm/{v}/{module}/{id}/actions/remove_tags``."""
    return _run(state, call, name, [record_id], add=False)
