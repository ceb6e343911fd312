"""``/__simulator__/``: the simulator as seen by tests and demos in other processes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from functools import wraps
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from airflow_provider_zohocrm.simulator.faults import ACTIONS
from airflow_provider_zohocrm.simulator.store import Selection

if TYPE_CHECKING:
    from airflow_provider_zohocrm.simulator.state import State

LONGEST_PAUSE = 3_600

Endpoint = Callable[[Request], Awaitable[Response]]


def _json(content: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def _checked(endpoint: Endpoint) -> Endpoint:
    @wraps(endpoint)
    async def checked(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (ValueError, TypeError, KeyError) as error:
            return _json({"error": str(error)}, 400)

    return checked


async def _body(request: Request) -> dict[str, Any]:
    raw = await request.body()
    content = orjson.loads(raw) if raw else {}
    if not isinstance(content, dict):
        raise TypeError("an object is expected")
    return content


def counters(state: State) -> dict[str, Any]:
    """Return everything that was counted.

    :param state: the simulator.
    """
    return {
        **state.limits.as_dict(),
        "tokens_minted": state.tokens.minted,
        "authorization_prefixes": dict(state.tokens.prefixes),
        "jobs": len(state.bulk.jobs),
        "write_jobs": len(state.bulk_write.jobs),
        "downloads": sum(job.downloads for job in state.bulk.jobs.values()),
        "requests": len(state.journal.entries),
    }


def table_rows(state: State, module_name: str) -> Iterator[dict[str, Any]]:
    """Return all ordinary records of a module, by id, with every value: the truth to compare with.

    :param state: the simulator.
    :param module_name: API name.
    """
    module = state.store.module(module_name) or state.store.subform(module_name)
    if module is None:
        raise ValueError(f"unknown module {module_name!r}")
    specs = list(module.fields.values())
    rows = state.store.scan(Selection(module, descending=False))
    while part := list(islice(rows, 500)):
        yield from state.store.records(part, specs)


class Control:
    """The endpoints."""

    def __init__(self, state: State, pause: Callable[[float], None]) -> None:
        self.state = state
        self._pause = pause

    async def about(self, _request: Request) -> Response:
        """Tell what this is and what is in it."""
        modules = {name: self.state.store.count(Selection(m)) for name, m in self.state.store.modules.items()}
        return _json(
            {
                "name": "Zoho CRM simulator",
                "client_id": self.state.tokens.client_id,
                "client_secret": self.state.tokens.client_secret,
                "refresh_token": self.state.tokens.refresh_token,
                "records": modules,
                "seed_number": self.state.store.seed_number,
            }
        )

    async def seed(self, request: Request) -> Response:
        """Fill modules: ``{"Leads": 5000}``."""
        self.state.store.seed({name: int(count) for name, count in (await _body(request)).items()})
        return _json({"seeded": self.state.store.seeded})

    async def reset(self, _request: Request) -> Response:
        """Go back to the seeded data and the options of the start, with nothing counted."""
        self.state.reset()
        return _json({"reset": True})

    async def options(self, request: Request) -> Response:
        """Show or set options: ``{"discrete_limit": 20}``."""
        if request.method != "GET":
            self.state.options.update(await _body(request))
            self.state.apply_options()
        return _json(self.state.options.as_dict())

    async def faults(self, request: Request) -> Response:
        """Show, plan or drop faults: ``{"action": "status", "path": "/coql", "count": 3, "status": 500}``."""
        if request.method == "DELETE":
            self.state.faults.clear()
        elif request.method == "POST":
            content = await _body(request)
            fault = self.state.faults.add(**content)
            return _json(asdict(fault), 201)
        return _json({"faults": self.state.faults.as_list(), "actions": ACTIONS})

    async def clock(self, request: Request) -> Response:
        """Show the time or move it forward: ``{"advance": 3600}``."""
        if request.method == "POST":
            self.state.clock.advance(float((await _body(request))["advance"]))
        now = self.state.clock.now()
        return _json({"now": now, "iso": self.state.clock.iso(now)})

    async def requests(self, request: Request) -> Response:
        """Show or forget the requests received."""
        if request.method == "DELETE":
            self.state.journal.clear()
        return _json({"requests": self.state.journal.as_list()})

    async def counters(self, request: Request) -> Response:
        """Show what was counted; DELETE starts again."""
        if request.method == "DELETE":
            self.state.limits.reset()
        return _json(counters(self.state))

    async def writes(self, _request: Request) -> Response:
        """Show what was written, with triggers."""
        return _json(
            {
                "writes": self.state.store.writes,
                "callbacks": self.state.callbacks,
                "notifications": self.state.watch.sent,
            }
        )

    async def tokens(self, _request: Request) -> Response:
        """Invalidate every access token (DELETE)."""
        self.state.tokens.kill_all()
        return _json({"tokens": "killed"})

    async def pause(self, request: Request) -> Response:
        """Refuse connections for a while, and come back on the same port: ``{"seconds": 20}``."""
        seconds = float((await _body(request))["seconds"])
        if not 0 < seconds <= LONGEST_PAUSE:
            raise ValueError(f"seconds is above 0 and at most {LONGEST_PAUSE}")

        async def afterwards() -> None:
            self._pause(seconds)

        answer = _json({"paused": seconds})
        # When the answer is out.
        answer.background = BackgroundTask(afterwards)
        return answer

    async def locks(self, request: Request) -> Response:
        """Show, add (POST) or remove (DELETE) locks of records: ``{"ids": ["3652…"]}``; DELETE without ids: all."""
        if request.method != "GET":
            ids = {str(one) for one in (await _body(request)).get("ids", [])}
            if request.method == "POST":
                self.state.locked |= ids
            else:
                self.state.locked -= ids or set(self.state.locked)
        return _json({"locked": sorted(self.state.locked)})

    async def table(self, request: Request) -> Response:
        """Stream all ordinary records of a module as JSON lines."""
        rows = table_rows(self.state, request.path_params["module"])
        first = next(rows, None)

        def lines() -> Iterator[bytes]:
            if first is not None:
                yield orjson.dumps(first) + b"\n"
            while part := list(islice(rows, 200)):
                yield b"".join(orjson.dumps(row) + b"\n" for row in part)

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    def application(self) -> Starlette:
        """Build the ASGI application of these endpoints."""
        paths: list[tuple[str, Endpoint, list[str]]] = [
            ("", self.about, ["GET"]),
            ("/", self.about, ["GET"]),
            ("/seed", self.seed, ["POST"]),
            ("/reset", self.reset, ["POST"]),
            ("/options", self.options, ["GET", "POST", "PUT"]),
            ("/faults", self.faults, ["GET", "POST", "DELETE"]),
            ("/clock", self.clock, ["GET", "POST"]),
            ("/requests", self.requests, ["GET", "DELETE"]),
            ("/counters", self.counters, ["GET", "DELETE"]),
            ("/writes", self.writes, ["GET"]),
            ("/tokens", self.tokens, ["DELETE"]),
            ("/pause", self.pause, ["POST"]),
            ("/locks", self.locks, ["GET", "POST", "DELETE"]),
            ("/table/{module}", self.table, ["GET"]),
        ]
        return Starlette(
            routes=[
                Route(f"/__simulator__{path}", _checked(endpoint), methods=methods)
                for path, endpoint, methods in paths
            ]
        )
