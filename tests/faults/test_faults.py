"""Every operator under every kind of fault: what is declared in tools/faults.py happens, and nothing is lost or doubled."""

from __future__ import annotations

import logging
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_zohocrm import exceptions
from airflow_provider_zohocrm._compat import sensor_timeout
from airflow_provider_zohocrm.client import bulk_read
from airflow_provider_zohocrm.client.tokens import PROCESS_TOKENS
from faults.kinds import KINDS, Scene
from faults.subjects import SUBJECTS, Store
from tools.faults import FAULTS, OPERATORS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_provider_zohocrm.simulator.server import Simulator
    from faults.subjects import World
    from tools.faults import Outcome

TIMEOUT = type(sensor_timeout(""))
# Seconds that a job may take whose fault does not pass.
SOON = 0.3


def cells(course: str) -> list[Any]:
    return [
        pytest.param(kind, name, outcome, id=f"{kind}-{name}".replace(" ", "_"))
        for kind, fault in FAULTS.items()
        for name, outcome in getattr(fault, course).items()
    ]


def forget() -> None:
    """Be another process."""
    PROCESS_TOKENS._tokens.clear()
    bulk_read._windows.clear()


@pytest.fixture(scope="session")
def steps() -> dict[str, Counter[str]]:
    return {}


@pytest.fixture
def cell(
    world: World,
    simulator: Simulator,
    tmp_path: Path,
    steps: dict[str, Counter[str]],
    caplog: pytest.LogCaptureFixture,
) -> Any:
    """Make the run of one operator under one fault."""

    def make(name: str) -> Cell:
        if name not in steps:
            undisturbed = Cell(world, name, Counter(), tmp_path / "undisturbed")
            undisturbed.check(undisturbed.run(), doubtful=False)
            steps[name] = Counter(
                re.sub(r"\d{6,}", r"\\d+", re.escape(f"{one['method']} {one['path']}").replace("\\ ", " "))
                for one in simulator.requests
                if "/crm/" in one["path"]
            )
            forget()
            address = simulator.options.api_domain
            simulator.reset()
            simulator.options.api_domain = address
        return Cell(world, name, steps[name], tmp_path / "files")

    return make


class Cell:
    """The tries of one task."""

    def __init__(self, world: World, name: str, steps: Counter[str], folder: Path) -> None:
        folder.mkdir()
        self.world = world
        self.subject = SUBJECTS[name]
        self.local = folder
        self.scene = Scene(world.simulator, steps, self.subject.main, str(folder), once=self.subject.once)
        self.store = Store()
        self.begun: dict[str, Any] = {}

    def begin(self) -> None:
        """Let happen what the task needs, or waits for."""
        if self.subject.begin is not None:
            self.begun = self.subject.begin(self.world.simulator)

    def run(self, try_number: int = 1, **more: Any) -> Any:
        if try_number == 1:
            self.begin()
        if self.subject.rows:
            more["records"] = self.world.rows(self.subject.rows)
        return self.subject.run(self.scene.folder, self.store, try_number, **self.begun, **more)

    def check(self, result: Any, *, doubtful: bool) -> None:
        self.subject.check(self.world, result, self.subject.rows, doubtful=doubtful)
        self.check_files()

    def check_files(self, result: dict[str, Any] | None = None) -> None:
        """Prove that there is no file that is not whole."""
        assert not [one.name for one in self.local.iterdir() if one.name.startswith(".")]
        assert self.scene.store is None or not [one for one in self.scene.store.store if ".part" in one]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """What was logged; triggers log by Airflow's own way, which Airflow 3 prints."""
    caplog.set_level(logging.INFO)

    def text() -> str:
        printed = capsys.readouterr()
        return f"{caplog.text}{printed.out}{printed.err}"

    return text


def check_log(outcome: Outcome, text: str) -> None:
    assert re.search(outcome.log, text), f"nothing like {outcome.log!r} in the log"


@pytest.mark.parametrize(("kind", "name", "outcome"), cells("passes"))
def test_a_fault_that_passes(
    kind: str, name: str, outcome: Outcome, cell: Any, log: Callable[[], str]
) -> None:
    task = cell(name)
    bring = KINDS[kind].passes
    assert bring is not None
    try:
        bring(task.scene)
        result = task.run()
    finally:
        task.scene.over()
    # Where the rows of a job are given up, its result is not asked for.
    assert task.scene.met(everywhere=not outcome.doubtful), "the task has not met the fault"
    task.check(result, doubtful=outcome.doubtful)
    check_log(outcome, log())


@pytest.mark.parametrize(("kind", "name", "outcome"), cells("lasts"))
def test_a_fault_that_lasts(
    kind: str, name: str, outcome: Outcome, cell: Any, log: Callable[[], str]
) -> None:
    task = cell(name)
    bring = KINDS[kind].lasts
    assert bring is not None
    # Only for those that wait in vain: on a busy machine nothing ends so soon.
    patience = {"timeout": SOON} if "Timeout" in outcome.error else {}
    try:
        bring(task.scene)
        if outcome.error:
            with pytest.raises((exceptions.ZohoCRMError, TIMEOUT)) as caught:
                task.run(**patience)
            assert type(caught.value).__name__ == outcome.error, str(caught.value)
        else:
            result = task.run(**patience)
    finally:
        task.scene.over()
    assert task.scene.met(), "the task has not met the fault"
    task.check_files()
    check_log(outcome, log())
    if outcome.error:
        forget()
        if outcome.final:
            task.begin()
        result = task.run(2)
    task.check(result, doubtful=outcome.doubtful)


def test_every_kind_that_is_declared_can_be_brought_about() -> None:
    assert list(KINDS) == list(FAULTS)
    assert list(SUBJECTS) == list(OPERATORS)
    for kind, fault in FAULTS.items():
        assert (KINDS[kind].passes is None, KINDS[kind].lasts is None) == (not fault.passes, not fault.lasts)
