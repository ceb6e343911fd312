"""Faults by schedule: what goes wrong, for which requests, and when (sheet §10.1 rows 22, 25 and 29)."""

from __future__ import annotations

import re
import threading
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_zohocrm.simulator.clock import Clock

ACTIONS = {
    "status": "answer with `status`, `body` and `headers`; the request is not processed",
    "reset_before": "reset the connection; the request is not processed",
    "reset_after": "process the request (a write is stored), then reset the connection without an answer",
    "reset_during": "process, announce the full length, send `bytes` bytes of the body and reset the connection",
    "reset_idle": "process, send the whole answer, and reset the connection that the client believes to be kept",
    "truncate": "process, announce the full length, send `bytes` bytes of the body and close",
    "slow": "process, and send the body in `chunks` parts over `seconds` seconds",
    "damage": "process, and change a byte in the middle of the body",
    "expire": "make every access token invalid, then process the request, which answers 401 INVALID_TOKEN",
    "delay": "process, and answer after `seconds` seconds",
    "redirect": "answer 302 to `location`; the request is not processed",
    "html": "answer `status` (502, 503) with an HTML page",
    "meanwhile": "process, and before the answer is sent let somebody else make the calls in `calls`",
    "too_many": "answer 429; `form` is plain, retry_after_header, rate_limit_exceeded or retry_after_details",
}

_BAD_GATEWAY = b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"
_UNAVAILABLE = b"<!DOCTYPE html><html><head><title>Service Unavailable</title></head><body><h1>We are under maintenance</h1></body></html>"

_PLAIN = {
    "code": "TOO_MANY_REQUESTS",
    "details": {},
    "message": "too many requests. please try again after some time",
    "status": "error",
}


@dataclass
class Fault:
    """One fault and its schedule. It is spent after ``count`` requests, or ``seconds`` after the first it met."""

    action: str
    method: str = ""
    """Verb it is for, empty for any."""
    path: str = ""
    """Regular expression searched in path and query."""
    count: int | None = 1
    """How many requests it meets; ``None`` for any number."""
    window: float | None = None
    """Seconds by the simulator's clock during which it holds, from its first request on."""
    after: int = 0
    """Matching requests it lets pass first."""
    status: int = 500
    body: Any = None
    """An object for JSON, or text."""
    headers: dict[str, str] = field(default_factory=dict)
    bytes: int = 20
    seconds: float = 0.2
    chunks: int = 5
    location: str = ""
    form: str = "plain"
    retry_after: int = 1
    calls: list[dict[str, Any]] = field(default_factory=list)
    """``method``, ``path`` (query included) and ``json`` of each; without token, credits and limits."""
    answers: list[int] = field(default_factory=list)
    """Status of each of the ``calls`` that were made."""
    met: int = 0
    """Requests it has met so far."""
    skipped: int = 0
    until: float | None = None

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise ValueError(f"unknown action {self.action!r}; known: {', '.join(ACTIONS)}")
        re.compile(self.path)
        if any(set(call) - {"method", "path", "json"} or "path" not in call for call in self.calls):
            raise ValueError("a call has method, path and json")

    def matches(self, method: str, target: str) -> bool:
        """Tell whether a request is of the kind this fault is for.

        :param method: verb.
        :param target: path with query.
        """
        return (not self.method or self.method.upper() == method) and re.search(self.path, target) is not None

    def over(self, now: float) -> bool:
        """Tell whether the fault is spent.

        :param now: the simulator's time.
        """
        if self.until is not None and now >= self.until:
            return True
        return self.count is not None and self.met >= self.count

    def answer(self) -> tuple[int, Any, dict[str, str]]:
        """Return status, body and headers of an answer made up by the fault."""
        if self.action == "redirect":
            return 302, None, {"Location": self.location, **self.headers}
        if self.action == "html":
            page = _BAD_GATEWAY if self.status == 502 else _UNAVAILABLE
            return self.status, page, {"Content-Type": "text/html;charset=UTF-8", **self.headers}
        if self.action == "too_many":
            return self._too_many()
        body = self.body
        if body is None:
            body = {
                "code": "INTERNAL_ERROR",
                "message": "Internal Server Error",
                "status": "error",
                "details": {},
            }
        return self.status, body.encode() if isinstance(body, str) else body, dict(self.headers)

    def _too_many(self) -> tuple[int, Any, dict[str, str]]:
        """Return one of the four forms of the sheet §6.3."""
        if self.form == "retry_after_header":
            return 429, _PLAIN, {"Retry-After": str(self.retry_after), **self.headers}
        if self.form == "rate_limit_exceeded":
            body = {
                **_PLAIN,
                "code": "RATE_LIMIT_EXCEEDED",
                "message": "Too many requests. Please try again later.",
            }
            return 429, body, dict(self.headers)
        if self.form == "retry_after_details":
            details = {"trace_id": "5f0c6c1e", "retry_after": self.retry_after, "limit": 100, "window": 60}
            message = "Rate limit exceeded. Please retry after the specified time."
            return 429, {**_PLAIN, "message": message, "details": details}, dict(self.headers)
        return 429, _PLAIN, dict(self.headers)


class Faults:
    """The faults that are planned."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._lock = threading.Lock()
        self._planned: list[Fault] = []

    def add(self, action: str, **schedule: Any) -> Fault:
        """Plan a fault.

        :param action: one of ``ACTIONS``.
        :param schedule: fields of ``Fault``. A ``window`` without a ``count`` holds for any number of requests.
        """
        if "window" in schedule and "count" not in schedule:
            schedule["count"] = None
        fault = Fault(action, **schedule)
        with self._lock:
            self._planned.append(fault)
        return fault

    def take(self, method: str, target: str) -> Fault | None:
        """Find the fault a request meets, and count it.

        :param method: verb.
        :param target: path with query.
        """
        now = self.clock.now()
        with self._lock:
            for fault in self._planned:
                if fault.over(now) or not fault.matches(method, target):
                    continue
                if fault.skipped < fault.after:
                    fault.skipped += 1
                    continue
                if fault.met == 0 and fault.window is not None:
                    fault.until = now + fault.window
                fault.met += 1
                return fault
        return None

    def clear(self) -> None:
        """Drop every fault."""
        with self._lock:
            self._planned.clear()

    def as_list(self) -> list[dict[str, Any]]:
        """Return the planned faults with how often each was met."""
        with self._lock:
            return [asdict(fault) for fault in self._planned]
