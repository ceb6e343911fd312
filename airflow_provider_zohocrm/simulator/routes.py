"""Which path is which call, what scope it needs, and what it costs."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.simulator import coql, records, settings, tags, writes
from airflow_provider_zohocrm.simulator.calls import VERSIONS, Answer, Call
from airflow_provider_zohocrm.simulator.errors import (
    ApiError,
    invalid_method,
    invalid_url,
    not_supported_version,
)

if TYPE_CHECKING:
    from airflow_provider_zohocrm.simulator.state import State

Handler = Callable[..., Answer]
Price = Callable[[Call], int]

STANDARD_MODULES = {
    "leads", "accounts", "contacts", "deals", "campaigns", "tasks", "events", "calls", "products", "quotes", "invoices", "notes",
}  # fmt: skip


def one_credit(_call: Call) -> int:
    """Price of an ordinary call."""
    return 1


def per_ten_records(call: Call) -> int:
    """One credit for ten records (sheet §6.2)."""
    return max(1, ceil(record_count(call) / 10))


def record_count(call: Call) -> int:
    """Return how many records a write carries.

    :param call: the request.
    """
    try:
        data = call.json().get("data", [])
    except ApiError:
        return 0
    return len(data) if isinstance(data, list) else 0


def list_price(call: Call) -> int:
    """Three credits with a custom view (sheet §6.2)."""
    return 3 if "cvid" in call.query else 1


@dataclass(frozen=True)
class Route:
    """A path and a verb."""

    operation: str
    method: str
    pattern: re.Pattern[str]
    handler: Handler
    scopes: tuple[str, ...]
    """Any of these is enough; ``{module}`` is the module of the path. Several groups are separated by ``+``."""
    price: Price = one_credit
    heavy: bool = False
    """Counts for the sub-concurrency limit (sheet §6.1)."""

    def is_heavy(self, call: Call) -> bool:
        """Tell whether a request counts for the sub-concurrency limit.

        :param call: the request.
        """
        if self.operation == "list_records":
            return "cvid" in call.query
        return self.heavy if self.price is not per_ten_records else record_count(call) > 10


def _route(
    operation: str,
    method: str,
    path: str,
    handler: Handler,
    *scopes: str,
    price: Price = one_credit,
    heavy: bool = False,
) -> Route:
    pattern = re.compile(re.sub(r"<(\w+)>", r"(?P<\1>[^/]+)", path))
    return Route(operation, method, pattern, handler, scopes, price, heavy)


def _bulk_create(state: State, call: Call) -> Answer:
    return state.bulk.create(call, state)


def _bulk_status(state: State, _call: Call, job_id: str) -> Answer:
    return state.bulk.status(job_id)


def _bulk_result(state: State, _call: Call, job_id: str) -> Answer:
    return state.bulk.download(job_id)


def _write_create(state: State, call: Call) -> Answer:
    return state.bulk_write.create(call)


def _write_status(state: State, _call: Call, job_id: str) -> Answer:
    return state.bulk_write.status(job_id)


def _write_result(state: State, _call: Call, zgid: str, job_id: str, file: str) -> Answer:
    return state.bulk_write.download(zgid, job_id, file)


def _upload(state: State, call: Call) -> Answer:
    return state.bulk_write.upload(call)


def _watch_create(state: State, call: Call) -> Answer:
    return state.watch.create(call)


def _watch_replace(state: State, call: Call) -> Answer:
    return state.watch.replace(call)


def _watch_change(state: State, call: Call) -> Answer:
    return state.watch.change(call)


def _watch_show(state: State, call: Call) -> Answer:
    return state.watch.show(call)


def _watch_remove(state: State, call: Call) -> Answer:
    return state.watch.remove(call)


def tag_price(call: Call) -> int:
    """One credit for fifty records (sheet §6.2)."""
    return max(1, ceil(len(tags.ids_in(call)) / 50))


def _prices(route: Route) -> tuple[int, int]:
    """Lowest and highest price of a call, as ``__apis`` tells them."""
    if route.price is per_ten_records:
        return 1, 10
    if route.price is coql.price or route.price is list_price:
        return 1, 3
    if route.price is tag_price:
        return 1, 10
    price = route.price(Call("", "", {}, {}, b"", ""))
    return price, price


def apis(_state: State, call: Call) -> Answer:
    """``GET /crm/v8/__apis``: what can be called, with which scope and at which price (sheet §2.8)."""
    if call.rank < 8:
        raise not_supported_version("v8")
    paths: dict[str, list[dict[str, Any]]] = {}
    for prefix, routes in (("/crm/v8/", CRM), ("/crm/bulk/v8/", BULK)):
        for route in routes:
            shown = re.sub(r"\(\?P<(\w+)>\[\^/\]\+\)", r"{\1}", route.pattern.pattern)
            shown = shown.replace("{name}", "{module_api_name}").replace("{record_id}", "{id}")
            low, high = _prices(route)
            scopes = ",".join(route.scopes).replace("+", ",").replace("{module}", "{module_api_name}")
            operation = {
                "method": route.method,
                "oauth_scope": scopes,
                "max_credits": high,
                "min_credits": low,
            }
            paths.setdefault(prefix + shown, []).append(operation)
    return Answer(200, {"__apis": [{"path": path, "operation_types": ops} for path, ops in paths.items()]})


def _module(verb: str) -> str:
    return f"ZohoCRM.modules.{{module}}.{verb}"


_NOTIFY = "ZohoCRM.notifications"
_SEARCH = "ZohoSearch.securesearch.READ"

# The first that fits is taken: fixed names come before names of modules, ids and relations.
CRM = (
    _route("coql", "POST", "coql", coql.query, "ZohoCRM.coql.READ", price=coql.price, heavy=True),
    _route("apis", "GET", "__apis", apis, "ZohoCRM.apis.READ"),
    _route("upload", "POST", "upload", _upload, "ZohoFiles.files.CREATE"),
    _route("watch_create", "POST", "actions/watch", _watch_create, f"{_NOTIFY}.CREATE"),
    _route("watch_replace", "PUT", "actions/watch", _watch_replace, f"{_NOTIFY}.UPDATE"),
    _route("watch_change", "PATCH", "actions/watch", _watch_change, f"{_NOTIFY}.UPDATE"),
    _route("watch_show", "GET", "actions/watch", _watch_show, f"{_NOTIFY}.READ"),
    _route("watch_remove", "DELETE", "actions/watch", _watch_remove, f"{_NOTIFY}.DELETE"),
    _route("organization", "GET", "org", settings.organization, "ZohoCRM.org.READ"),
    _route("users", "GET", "users", settings.list_users, "ZohoCRM.users.READ"),
    _route("user", "GET", "users/<user_id>", settings.one_user, "ZohoCRM.users.READ"),
    _route("modules", "GET", "settings/modules", settings.list_modules, "ZohoCRM.settings.modules.READ"),
    _route("module", "GET", "settings/modules/<name>", settings.one_module, "ZohoCRM.settings.modules.READ"),
    _route("fields", "GET", "settings/fields", settings.list_fields, "ZohoCRM.settings.fields.READ"),
    _route("field", "GET", "settings/fields/<field_id>", settings.one_field, "ZohoCRM.settings.fields.READ"),
    _route("related_lists", "GET", "settings/related_lists", settings.related_lists, "ZohoCRM.settings.related_lists.READ"),
    _route("custom_views", "GET", "settings/custom_views", records.custom_views, "ZohoCRM.settings.custom_views.READ"),
    _route("deleted_records", "GET", "<name>/deleted", records.deleted_records, _module("READ"), price=lambda _call: 2),
    _route("search", "GET", "<name>/search", records.search_records, f"{_module('READ')}+{_SEARCH}", heavy=True),
    _route("count", "GET", "<name>/actions/count", records.count_records, f"{_module('READ')}+{_SEARCH}"),
    _route("add_tags", "POST", "<name>/actions/add_tags", tags.add_to_many, _module("UPDATE"), price=tag_price),
    _route("remove_tags", "POST", "<name>/actions/remove_tags", tags.remove_from_many, _module("UPDATE"), price=tag_price),
    _route("add_tags_one", "POST", "<name>/<record_id>/actions/add_tags", tags.add_to_one, _module("UPDATE")),
    _route("remove_tags_one", "POST", "<name>/<record_id>/actions/remove_tags", tags.remove_from_one, _module("UPDATE")),
    _route("upsert", "POST", "<name>/upsert", writes.upsert_records, f"{_module('CREATE')}+{_module('UPDATE')}", price=per_ten_records),
    _route("deleted_parent", "GET", "<name>/deleted/<record_id>/<relation>", records.deleted_parent_records, _module("READ")),
    _route("list_records", "GET", "<name>", records.list_records, _module("READ"), price=list_price),
    _route("insert", "POST", "<name>", writes.insert_records, _module("CREATE"), price=per_ten_records),
    _route("update", "PUT", "<name>", writes.update_records, _module("UPDATE"), price=per_ten_records),
    _route("delete", "DELETE", "<name>", writes.delete_records, _module("DELETE")),
    _route("one_record", "GET", "<name>/<record_id>", records.one_record, _module("READ")),
    _route("update_one", "PUT", "<name>/<record_id>", writes.update_record, _module("UPDATE")),
    _route("delete_one", "DELETE", "<name>/<record_id>", writes.delete_record, _module("DELETE")),
    _route("related_records", "GET", "<name>/<record_id>/<relation>", records.related_records, _module("READ")),
)  # fmt: skip

BULK = (
    _route("bulk_create", "POST", "read", _bulk_create, "ZohoCRM.bulk.READ", price=lambda _call: 50),
    _route("bulk_status", "GET", "read/<job_id>", _bulk_status, "ZohoCRM.bulk.READ"),
    _route("write_create", "POST", "write", _write_create, "ZohoCRM.bulk.CREATE", price=lambda _call: 500),
    _route("write_status", "GET", "write/<job_id>", _write_status, "ZohoCRM.bulk.READ|ZohoCRM.bulk.CREATE"),
    _route("bulk_result", "GET", "read/<job_id>/result", _bulk_result, "ZohoCRM.bulk.READ"),
)

# On a host of its own at Zoho; here next to the rest.
DOWNLOADS = (
    _route("write_result", "GET", "<zgid>/bulk-write/<job_id>/<file>", _write_result, "ZohoCRM.bulk.READ|ZohoCRM.bulk.CREATE"),
)  # fmt: skip
_DOWNLOAD = "/v2/crm/"

# Words that are never the name of a module: a wrong verb on them is a wrong verb, not an unknown module.
_FIXED = {"coql", "org", "users", "settings", "deleted", "search", "upsert", "actions", "upload", "__apis"}


def _fits(route: Route, rest: str) -> dict[str, str] | None:
    match = route.pattern.fullmatch(rest)
    if match is None:
        return None
    found = match.groupdict()
    return None if _FIXED & {*found.values()} else found


def find(method: str, path: str) -> tuple[Route, str, dict[str, str]]:
    """Find the route of a request.

    :param method: verb.
    :param path: the whole path.
    :returns: route, version, and the variable parts of the path.
    :raises ApiError: of the gateway.
    """
    if path.startswith(_DOWNLOAD):
        routes: tuple[Route, ...] = DOWNLOADS
        version, rest = "v8", path[len(_DOWNLOAD) :]
    else:
        segments = path.strip("/").split("/")
        bulk = segments[1:2] == ["bulk"]
        version = segments[1 + bulk] if len(segments) > 1 + bulk else ""
        routes, rest = BULK if bulk else CRM, "/".join(segments[2 + bulk :])
        if segments[0] != "crm" or version not in VERSIONS or not rest:
            raise invalid_url()
    known = False
    for route in routes:
        found = _fits(route, rest)
        if found is None:
            continue
        known = True
        if route.method == method:
            return route, version, found
    raise invalid_method() if known else invalid_url()


def needed_scopes(route: Route, found: dict[str, str]) -> list[set[str]]:
    """Return groups of scopes: one of every group must be granted.

    :param route: the route.
    :param found: the variable parts of the path.
    """
    name = found.get("name", "").lower()
    module = name if name in STANDARD_MODULES else "custom"
    return [
        {part.replace("{module}", module) for part in group.split("|")}
        for scope in route.scopes
        for group in scope.split("+")
    ]
