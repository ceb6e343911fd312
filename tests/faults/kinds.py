"""How each kind of fault is brought about: for a while in every step of a task, or from the middle of it on for good."""

from __future__ import annotations

import errno
import io
import os
import re
import socket
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import pytest
import requests
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_zohocrm.client import aio
from airflow_provider_zohocrm.extraction import bulk as read_jobs
from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMAsyncHook, ZohoCRMHook
from airflow_provider_zohocrm.loading import bulk as write_jobs
from airflow_provider_zohocrm.notifications import zohocrm as zohocrm_notifier
from airflow_provider_zohocrm.storage.targets import StagedFile
from airflow_provider_zohocrm.triggers import condition as condition_triggers, jobs as job_triggers, outages

try:
    from airflow.sdk.io import attach
except ImportError:
    from airflow.io.store import attach

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_zohocrm.simulator.faults import Fault
    from airflow_provider_zohocrm.simulator.server import Simulator

TOKENS = r"/oauth/v2/token"
HOUR = 3600.0
# Less than the shortest answer has: a number of records.
FEW_BYTES = 5


class Scene:
    """One cell: what a fault needs to know to be brought about, and what is left to undo.

    :param simulator: Zoho.
    :param steps: the requests of the task, as ``METHOD path`` with digits for ids, with how often each is sent.
    :param main: the step on which a fault that lasts falls.
    :param folder: where the task's files go.
    :param once: whether the main step is taken once only.
    """

    def __init__(
        self, simulator: Simulator, steps: Mapping[str, int], main: str, folder: str, *, once: bool = False
    ) -> None:
        self.simulator = simulator
        self.steps = steps
        self.main = main
        self.once = once
        self.undo = ExitStack()
        self.patch = self.undo.enter_context(pytest.MonkeyPatch.context())
        self.folder = folder
        self.store: Store | None = None
        self.planned: list[Fault] = []
        self.resolver: Resolver | None = None

    def at_every_step(self, action: str, count: int, **options: Any) -> None:
        """Plan a fault for each step; where a step is taken several times, not for the first."""
        for step, times in self.steps.items():
            self._plan(step, action, count=count, after=1 if times > 1 else 0, **options)

    def at_main_step(self, action: str, count: int | None = None, **options: Any) -> None:
        """Plan a fault for the main step, from the second time on if there is one."""
        self._plan(self.main, action, count=count, after=0 if self.once else 1, **options)

    def at_token(self, action: str, count: int | None, **options: Any) -> None:
        """Let tokens die in the middle, and plan a fault for the call that asks for another."""
        self.at_main_step("expire", count=1)
        # The first token is given.
        self.planned.append(self.simulator.add_fault(action, path=TOKENS, after=1, count=count, **options))

    def met(self, *, everywhere: bool = True) -> bool:
        """Tell whether the task has come across the fault.

        :param everywhere: at all steps for which it was planned; else at one of them.
        """
        met = [fault.met > 0 for fault in self.planned]
        if self.resolver is not None:
            met.append(self.resolver.met > 0)
        return all(met) if everywhere else any(met)

    def over(self) -> None:
        """End the fault."""
        self.undo.close()
        self.simulator.clear_faults()
        name = self.simulator.options.api_domain
        self.simulator.options.update({**self.simulator.state._first_options, "api_domain": name})

    def _plan(self, step: str, action: str, **options: Any) -> None:
        method, _, path = step.partition(" ")
        fault = self.simulator.add_fault(action, method=method, path=rf"^{path}(\?|$)", **options)
        self.planned.append(fault)


# --- names and connections ------------------------------------------------------------------------------------------


class Resolver:
    """``getaddrinfo`` that fails, or leads to a port where nobody listens, once the main step was taken.

    :param count: how many look-ups fail; None for all.
    :param port: the port to lead to; None to fail.
    """

    def __init__(self, scene: Scene, count: int | None, port: int | None) -> None:
        self.scene = scene
        self.count = count
        self.port = port
        self.met = 0
        self.ask = socket.getaddrinfo
        pattern = re.compile(rf"{scene.main}$")
        self.is_main = lambda one: pattern.match(f"{one['method']} {one['path']}")

    def __call__(self, host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host not in ("localhost", b"localhost"):
            return self.ask(host, port, *args, **kwargs)
        begun = self.scene.once or any(map(self.is_main, self.scene.simulator.requests))
        if begun and (self.count is None or self.met < self.count):
            self.met += 1
            if self.port is None:
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
            port = self.port
        return self.ask("127.0.0.1", port, *args, **kwargs)


def by_name(scene: Scene, count: int | None, port: int | None) -> None:
    """Have Zoho reached by a name, by a new connection for every call."""
    headers = requests.sessions.default_headers
    scene.patch.setattr(requests.sessions, "default_headers", lambda: {**headers(), "Connection": "close"})
    scene.patch.setitem(aiohttp.TCPConnector.__init__.__kwdefaults__, "use_dns_cache", False)
    scene.resolver = Resolver(scene, count, port)
    scene.patch.setattr(socket, "getaddrinfo", scene.resolver)


def nobody(scene: Scene) -> int:
    """Hold a port on which nobody listens, until the fault is over."""
    held = scene.undo.enter_context(socket.socket())
    held.bind(("127.0.0.1", 0))
    return int(held.getsockname()[1])


def short_patience(scene: Scene) -> None:
    """Let the hooks wait for an answer only for moments."""
    for hook in (ZohoCRMHook, ZohoCRMAsyncHook):
        scene.patch.setitem(hook.__init__.__kwdefaults__, "timeout", 0.4)
    scene.patch.setattr(zohocrm_notifier, "_TIMEOUT", 0.4)


# --- clocks, disks ---------------------------------------------------------------------------------------------------


class Shifted:
    """The module ``time`` on a machine whose clock is wrong."""

    def __init__(self, module: Any, seconds: float) -> None:
        self._module = module
        self._seconds = seconds

    def time(self) -> float:
        return float(self._module.time() + self._seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)


def skew(scene: Scene, seconds: float) -> None:
    """Let Zoho's clock, and that of the triggerer, be wrong, and lose an answer."""
    scene.simulator.state.clock.shift = seconds
    for module in (job_triggers, condition_triggers, aio):
        scene.patch.setattr(module, "time", Shifted(module.time, seconds))
    scene.at_main_step("reset_after", count=2)


class Store(MemoryFileSystem):
    """Object storage that loses the connection in the middle of an upload."""

    cachable = False
    protocol = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.store: dict[str, Any] = {}
        self.pseudo_dirs = [""]
        self.broken = True

    def put_file(self, lpath: str, rpath: str, **kwargs: Any) -> None:
        content = Path(lpath).read_bytes()
        self.pipe_file(rpath, content[: len(content) // 2] if self.broken else content)
        if self.broken:
            raise ConnectionError("broken pipe")


def broken_store(scene: Scene) -> None:
    """Put the files of the task on object storage that takes no file."""
    scene.store = Store()
    name = f"faults{id(scene.store)}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        attach("memory", name, fs=scene.store)
    scene.folder = f"memory://{name}@bucket"
    scene.undo.callback(setattr, scene.store, "broken", False)


def full_disk(scene: Scene) -> None:
    """Give the files of the task a disk that takes no more; those of the simulated Zoho have another one."""
    begin = StagedFile.__init__

    def __init__(self: StagedFile, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        assert self._sink is not None
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, self._sink._raw.fileno())
        os.close(full)

    scene.patch.setattr(StagedFile, "__init__", __init__)


# --- the kinds -------------------------------------------------------------------------------------------------------


class FullFile(io.BytesIO):
    """A temporary file on a disk that takes no more."""

    def write(self, data: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)


def full_temporary_disk(scene: Scene) -> None:
    """Let temporary files, in which the results of jobs are collected, take nothing."""
    for module in (read_jobs, write_jobs):
        scene.patch.setattr(module, "tempfile", SimpleNamespace(TemporaryFile=FullFile))


GONE = {
    "code": "RESOURCE_NOT_FOUND",
    "details": {},
    "message": "the resource does not exist",
    "status": "error",
}
NO_SCOPE = {
    "code": "OAUTH_SCOPE_MISMATCH",
    "details": {},
    "message": "invalid oauth scope",
    "status": "error",
}
Bring = Callable[[Scene], None]


class Kind(NamedTuple):
    """How a fault is brought about.

    :param passes: for a while.
    :param lasts: until it is ended.
    """

    passes: Bring | None
    lasts: Bring | None


def at_server(action: str, **options: Any) -> Kind:
    """Let Zoho fail in one way: twice in every step, or from the second main step on."""
    return Kind(
        lambda scene: scene.at_every_step(action, 2, **options),
        lambda scene: scene.at_main_step(action, **options),
    )


def at_token_server(action: str, *, passes: bool = True, **options: Any) -> Kind:
    """Let the accounts server fail when another token is needed."""
    return Kind(
        (lambda scene: scene.at_token(action, 2, **options)) if passes else None,
        lambda scene: scene.at_token(action, None, **options),
    )


def by_option(**options: Any) -> Bring:
    """Switch the simulator."""
    return lambda scene: scene.simulator.options.update(options)


def _times_out(scene: Scene) -> None:
    short_patience(scene)
    scene.at_main_step("slow", seconds=3.0, chunks=3)


def _on_result(action: str, count: int | None, **options: Any) -> Bring:
    def bring(scene: Scene) -> None:
        (step,) = [one for one in scene.steps if one.endswith(("/result", ".zip"))]
        scene._plan(step, action, count=count, after=1, **options)

    return bring


def _throttled_once(scene: Scene) -> None:
    scene.patch.setattr(outages, "_THROTTLE_PAUSE", 0.05)
    scene.at_token("status", 1, **THROTTLED)


THROTTLED = {"status": 200, "body": {"error": "Access Denied", "status": "failure"}}
KINDS: dict[str, Kind] = {
    "dns": Kind(lambda scene: by_name(scene, 2, None), lambda scene: by_name(scene, None, None)),
    "refused": Kind(
        lambda scene: by_name(scene, 2, nobody(scene)), lambda scene: by_name(scene, None, nobody(scene))
    ),
    "reset before": at_server("reset_before"),
    "reset unanswered": at_server("reset_after"),
    "reset during": at_server("reset_during", bytes=FEW_BYTES),
    "reset after": at_server("reset_idle"),
    "slow body": Kind(lambda scene: scene.at_every_step("slow", 2, seconds=0.02, chunks=4), _times_out),
    "truncated": at_server("truncate", bytes=FEW_BYTES),
    "502": at_server("html", status=502),
    "503": at_server("html", status=503),
    "500": at_server("status", status=500),
    "429 plain": at_server("too_many"),
    "429 header": at_server("too_many", form="retry_after_header"),
    "429 other code": at_server("too_many", form="rate_limit_exceeded"),
    "429 details": at_server("too_many", form="retry_after_details"),
    "401 expired": Kind(
        lambda scene: scene.at_every_step("expire", 1), lambda scene: scene.at_main_step("expire")
    ),
    "401 scope": Kind(None, lambda scene: scene.at_main_step("status", status=401, body=NO_SCOPE)),
    "token error": at_token_server("status", passes=False, status=200, body={"error": "invalid_code"}),
    "token throttled": Kind(_throttled_once, lambda scene: scene.at_token("status", None, **THROTTLED)),
    "token down": at_token_server("status", status=500),
    "token reset": at_token_server("reset_before"),
    "job state": Kind(by_option(job_unknown_state="PAUSED"), None),
    "job failure": Kind(None, by_option(job_failure="INTERNAL_ERROR")),
    "job stuck": Kind(None, by_option(job_stuck=True)),
    "result gone": Kind(
        _on_result("status", 1, status=404, body=GONE), _on_result("status", None, status=404, body=GONE)
    ),
    "corrupt zip": Kind(_on_result("damage", 2), _on_result("damage", None)),
    "clock ahead": Kind(lambda scene: skew(scene, HOUR), None),
    "clock behind": Kind(lambda scene: skew(scene, -HOUR), None),
    "disk full": Kind(None, full_disk),
    "temporary disk full": Kind(None, full_temporary_disk),
    "object store": Kind(None, broken_store),
}
