"""The ASGI application: faults, authorisation, limits, the call itself, and the dress of the answer."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
import struct
from email.utils import formatdate
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, unquote

import orjson

from airflow_provider_zohocrm.simulator import external, permissions, routes
from airflow_provider_zohocrm.simulator.calls import Answer, Call, flat
from airflow_provider_zohocrm.simulator.errors import ApiError, invalid_method, invalid_url
from airflow_provider_zohocrm.simulator.tokens import covers

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from airflow_provider_zohocrm.simulator.faults import Fault
    from airflow_provider_zohocrm.simulator.state import State

PART = 256 * 1024
SMALL = 860
"""Bodies below this many bytes are not compressed."""

# Captured in SEED-3.
_APPLICATION = {
    "Content-Type": "application/json",
    "Cache-Control": "no-cache",
    "Pragma": "no-cache",
    "Expires": "Thu, 01 Jan 1970 00:00:00 GMT",
    "X-Content-Type-Options": "nosniff",
}
_GATEWAY = {
    "Content-Type": "application/json;charset=utf-8",
    "X-Frame-Options": "deny",
    "X-Download-Options": "noopen",
}

_LONG = {"bulk_create", "bulk_status", "coql", "search", "count", "upload", "write_create", "write_status"}
_BEFORE = {"status", "redirect", "html", "too_many"}
_BROKEN_OFF = {"truncate", "reset_during"}


class Application:
    """Answers requests from a ``State``."""

    def __init__(self, state: State, control: ASGIApp) -> None:
        self.state = state
        self.control = control

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        if scope["path"].startswith("/__simulator__"):
            await self.control(scope, receive, send)
            return
        exchange = Exchange(self.state, scope, receive, send)
        await exchange.run()


async def _read_body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            break
    return b"".join(parts)


class Exchange:
    """One request and its answer."""

    def __init__(self, state: State, scope: Scope, receive: Receive, send: Send) -> None:
        self.state = state
        self.scope = scope
        self.receive = receive
        self.send = send
        self.method: str = scope["method"]
        self.raw_query: str = scope["query_string"].decode("latin-1")
        self.headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        self.application_level = False
        """The answer comes from the application behind the gateway, for a token that was accepted."""
        self.expires = 0.0
        self.leave: Callable[[], None] | None = None

    async def run(self) -> None:
        """Answer the request."""
        body = await _read_body(self.receive)
        path = self.scope["path"]
        target = f"{path}?{self.raw_query}" if self.raw_query else path
        now = self.state.clock.now()
        entry = self.state.journal.begin(now, self.method, path, self.raw_query, self.headers, body)
        fault = self.state.faults.take(self.method, target)
        if fault is not None:
            entry["fault"] = fault.action
        try:
            answer = await self._answer(path, body, entry, fault)
            # Noted before it is sent: who has the answer finds it in the journal.
            self.state.journal.end(entry, answer.status if answer else None)
            if answer is None:
                await self._reset()
                return
            self.state.limits.statuses[answer.status] += 1
            await self._send(answer, fault)
            if fault is not None and fault.action == "reset_idle":
                await self._reset()
        finally:
            if self.leave is not None:
                self.leave()

    async def _answer(
        self, path: str, body: bytes, entry: dict[str, Any], fault: Fault | None
    ) -> Answer | None:
        """Make the answer, ``None`` for a connection that is to be reset."""
        if fault is not None and fault.action == "reset_before":
            return None
        if fault is not None and fault.action in _BEFORE:
            return Answer(*fault.answer())
        if fault is not None and fault.action == "expire":
            self.state.tokens.kill_all()
        query = dict(parse_qsl(self.raw_query, keep_blank_values=True))
        call = Call(self.method, path, query, self.headers, body, self._base_url(), record=entry)
        if path.startswith("/oauth/"):
            await self._latency()
            answer = self._oauth(call)
        else:
            answer = await self._api(call)
        if fault is not None and fault.action == "meanwhile":
            fault.answers += [self._meanwhile(**other) for other in fault.calls]
        if fault is not None and fault.action == "delay":
            await asyncio.sleep(fault.seconds)
        return None if fault is not None and fault.action == "reset_after" else answer

    def _meanwhile(self, path: str, method: str = "GET", json: Any = None) -> int:
        """Make a call of somebody else's, which the limits and the journal of this one do not see."""
        path, _, query = path.partition("?")
        body = b"" if json is None else orjson.dumps(json)
        headers = {"content-type": "application/json"}
        call = Call(method, path, dict(parse_qsl(query)), headers, body, self._base_url())
        try:
            route, call.version, found = routes.find(method, path)
            return route.handler(self.state, call, **found).status
        except ApiError as error:
            return error.status

    def _base_url(self) -> str:
        host, port = self.scope["server"]
        return f"http://{self.headers.get('host', f'{host}:{port}')}"

    # --- accounts server ---------------------------------------------------------------------------------------

    def _oauth(self, call: Call) -> Answer:
        if call.path not in {"/oauth/v2/token", "/oauth/v2/token/revoke"}:
            return flat(invalid_url())
        if call.method != "POST":
            return flat(invalid_method())
        form = dict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True))
        given = {**call.query, **form}
        if call.path.endswith("/revoke"):
            done = self.state.tokens.revoke(given.get("token", ""))
            return Answer(200 if done else 400, {"status": "success"} if done else {"error": "invalid_token"})
        self.state.limits.calls["token"] += 1
        status, content = self.state.tokens.answer(given, call.base_url)
        return Answer(status, content, {"Content-Type": "application/json;charset=UTF-8"})

    # --- API ---------------------------------------------------------------------------------------------------

    async def _api(self, call: Call) -> Answer:
        try:
            route, call.version, found = routes.find(call.method, call.path)
            found = {name: unquote(value) for name, value in found.items()}
            heavy = route.is_heavy(call)
            self.state.limits.enter(heavy=heavy)
            # Under way until the last byte of the answer is sent.
            self.leave = lambda: self.state.limits.leave(heavy=heavy)
            await self._latency()
            self.state.limits.calls[route.operation] += 1
            self._authorise(call, route, found)
            self._check(call, found)
            self.state.limits.charge(route.price(call))
            if route.operation in _LONG:
                # May wait for a file or look at every record; others must be served meanwhile.
                return await asyncio.to_thread(route.handler, self.state, call, **found)
            return route.handler(self.state, call, **found)
        except ApiError as error:
            return flat(error)

    async def _latency(self) -> None:
        if self.state.options.latency:
            await asyncio.sleep(self.state.options.latency)

    def _authorise(self, call: Call, route: routes.Route, found: dict[str, str]) -> None:
        prefix, _, value = self.headers.get("authorization", "").partition(" ")
        allowed = {"Zoho-oauthtoken"} if self.state.options.strict_prefix else {"Zoho-oauthtoken", "Bearer"}
        if prefix not in allowed or not value.strip():
            raise ApiError(401, "AUTHENTICATION_FAILURE", "Authentication failed")
        self.state.tokens.prefixes[prefix] = self.state.tokens.prefixes.get(prefix, 0) + 1
        token = self.state.tokens.find(value.strip())
        if token is None:
            raise ApiError(401, "INVALID_TOKEN", self.state.options.invalid_token_message)
        self.application_level = True
        self.expires = token.expires
        call.token = token
        groups = routes.needed_scopes(route, found)
        if route.operation == "bulk_create":
            # Bulk read needs a scope of the module too (SEED-1); which module stands in the body.
            groups.append({f"ZohoCRM.modules.{_module_scope(call)}.READ"})
        if not all(covers(token.scopes, group) for group in groups):
            raise ApiError(401, "OAUTH_SCOPE_MISMATCH", "Unauthorized")

    def _check(self, call: Call, found: dict[str, str]) -> None:
        if len(call.body) > self.state.options.body_limit:
            raise ApiError(413, "REQUEST_ENTITY_TOO_LARGE", "the request is too large")
        if "name" not in found and "module" not in call.query:
            return
        name = found.get("name", call.query.get("module", ""))
        module = self.state.store.module(name)
        fields = call.path.endswith("/settings/fields")
        permissions.check(self.state.options, module, call.method, status=400 if fields else 403)
        if module is not None and "record_id" in found and "x-external" in self.headers:
            spec = external.field_of(call, module)
            if spec is not None:
                found["record_id"] = external.id_of(self.state, module, spec, found["record_id"])

    # --- answer ------------------------------------------------------------------------------------------------

    def _headers(self, answer: Answer) -> dict[str, str]:
        headers = {"Server": "ZGS", "Date": formatdate(self.state.clock.now(), usegmt=True)}
        headers.update(_GATEWAY if answer.gateway else _APPLICATION)
        if self.application_level and not answer.gateway:
            headers["X-ACCESSTOKEN-RESET"] = self.state.clock.iso(self.expires)
            headers.update(self.state.limits.remaining_header())
        headers.update(answer.headers)
        return headers

    async def _send(self, answer: Answer, fault: Fault | None) -> None:
        headers = self._headers(answer)
        if answer.file is not None:
            await self._send_file(answer.file, answer, headers, fault)
            return
        body = (
            answer.body
            if isinstance(answer.body, bytes)
            else b""
            if answer.body is None
            else orjson.dumps(answer.body)
        )
        if answer.gateway:
            # Captured lengths are compact JSON plus one (sheet §10.1 row 8).
            body += b"\n"
            headers["Content-Length"] = str(len(body))
        elif not body:
            headers.pop("Content-Type", None)
            if answer.status not in {204, 304}:
                headers["Content-Length"] = "0"
        elif self._wants_gzip() and len(body) >= SMALL:
            body = gzip.compress(body, 1, mtime=0)
            headers["Content-Encoding"] = "gzip"
            headers["Vary"] = "Accept-Encoding"
        if fault is not None and fault.action in _BROKEN_OFF:
            await self._break_off(answer.status, headers, body, fault)
            return
        if fault is not None and fault.action == "damage":
            body = _damaged(body)
        await self._start(answer.status, headers)
        if fault is not None and fault.action == "slow" and body:
            await self._trickle(body, fault)
            return
        await self.send({"type": "http.response.body", "body": body})

    def _wants_gzip(self) -> bool:
        return self.state.options.gzip and "gzip" in self.headers.get("accept-encoding", "")

    async def _start(self, status: int, headers: dict[str, str]) -> None:
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": raw})

    async def _trickle(self, body: bytes, fault: Fault) -> None:
        size = max(1, -(-len(body) // max(1, fault.chunks)))
        parts = [body[start : start + size] for start in range(0, len(body), size)]
        for number, part in enumerate(parts, 1):
            await asyncio.sleep(fault.seconds / len(parts))
            await self.send({"type": "http.response.body", "body": part, "more_body": number < len(parts)})

    async def _send_file(
        self, file: IO[bytes], answer: Answer, headers: dict[str, str], fault: Fault | None
    ) -> None:
        # Read by position: several downloads of one file go on at the same time.
        handle, place = file.fileno(), 0
        if fault is not None and fault.action in {*_BROKEN_OFF, "damage"}:
            body = os.pread(handle, os.fstat(handle).st_size, 0)
            if fault.action != "damage":
                await self._break_off(answer.status, headers, body, fault)
                return
            await self._start(answer.status, headers)
            await self.send({"type": "http.response.body", "body": _damaged(body)})
            return
        await self._start(answer.status, headers)
        pause = fault.seconds / max(1, fault.chunks) if fault is not None and fault.action == "slow" else 0.0
        while part := os.pread(handle, PART, place):
            if pause:
                await asyncio.sleep(pause)
            await self.send({"type": "http.response.body", "body": part, "more_body": True})
            place += len(part)
        await self.send({"type": "http.response.body", "body": b""})

    # --- broken connections ------------------------------------------------------------------------------------

    def _transport(self) -> asyncio.Transport:
        # `send` is a method of uvicorn's request cycle, which is the only way from an ASGI application to the socket.
        return cast("asyncio.Transport", cast("Any", self.send).__self__.transport)

    async def _reset(self) -> None:
        transport = self._transport()
        raw = transport.get_extra_info("socket")
        # No time to linger: the peer gets RST instead of an orderly end.
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        await self._gone()

    async def _break_off(self, status: int, headers: dict[str, str], body: bytes, fault: Fault) -> None:
        headers = {**headers, "Content-Length": str(len(body))}
        lines = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        transport = self._transport()
        transport.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body[: fault.bytes])
        if fault.action == "reset_during":
            await self._reset()
            return
        transport.close()
        await self._gone()

    async def _gone(self) -> None:
        # Until uvicorn has seen the end of the connection: else it would answer 500 for an application that said nothing.
        while True:
            message: Message = await self.receive()
            if message["type"] == "http.disconnect":
                return


def _damaged(body: bytes) -> bytes:
    """Change the byte in the middle."""
    middle = len(body) // 2
    return body[:middle] + bytes(255 - byte for byte in body[middle : middle + 1]) + body[middle + 1 :]


def _module_scope(call: Call) -> str:
    try:
        module = orjson.loads(call.body)["query"]["module"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return "custom"
    name = str(module.get("api_name") if isinstance(module, dict) else module).lower()
    return name if name in routes.STANDARD_MODULES else "custom"
