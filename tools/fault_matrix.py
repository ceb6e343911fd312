"""Write docs/faults.md from the declarations that the tests are parametrised by: ``python -m tools.fault_matrix``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tools.faults import AIRFLOW_FAULTS, EXTRACTS_AND_LOADS, FAULTS, OPERATORS, SENSORS, Cells, Fault, Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

PATH = Path(__file__).parents[1] / "docs" / "faults.md"

NONE = "-"
HEAD = """# Faults

What becomes of a task when something fails on the way. Every line was tested over the wire against the [simulator](simulator.md): tables and files
are compared value by value, and nothing is lost or there twice. This page is made from the tests by `python -m tools.fault_matrix`.

*Passes*: the fault meets every kind of call of the task, twice. *Lasts*: it begins in the middle of the task and does not end; then the task is tried
again without it. What the words mean stands [below](#outcomes). *bulk* and *coql* are strategies of get_records (`auto` takes one of the three); *deferred* waits
in the triggerer, all others in the worker; *bulk_write* is an upsert unless the line says insert; *query* is read by id, *query ordered*, which has an `order by`
of its own, by offset. A dash: the operator cannot meet the fault, or it does not pass. What becomes of `ZohoRecordsChangedTrigger` stands in [watch](watch.md).

## Zoho, network and disks

"""
MIDDLE = """
## Airflow

Extracts and loads, on a real Airflow 3.3 with LocalExecutor and SQLite; all tasks have retries.

Airflow has a weakness of its own there: where the scheduler is so slow that it learns of a deferral only when the task has been resumed already, it
ends the try (`Executor … reported that the task instance … finished with state success, but …`), whose process goes on for a while beside the next
try. That one goes on from the checkpoint, which the former can no longer change, and what cannot be noted is not inserted; a job may be paid for
twice. A longer `poll_interval` avoids it.

"""
OUTCOMES = """
## Outcomes

| Outcome | What happens, and what becomes of the data | Log |
|---|---|---|
"""


def page() -> str:
    """Return the page."""
    return (
        HEAD
        + _table(FAULTS, OPERATORS)
        + MIDDLE
        + _table(AIRFLOW_FAULTS, EXTRACTS_AND_LOADS)
        + OUTCOMES
        + _outcomes()
    )


def _table(faults: dict[str, Fault], among: Sequence[str]) -> str:
    both = any(fault.passes for fault in faults.values())
    columns = ["Fault", "Operators", *(["Passes", "Lasts"] if both else ["Outcome"])]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for fault in faults.values():
        title = fault.title
        groups = _groups(fault, among)
        most = list(groups.values())[-1]
        for (passes, lasts), operators in groups.items():
            shown = [passes, lasts] if both else [lasts]
            named = "all" if len(groups) == 1 else "all others" if operators is most else _named(operators)
            lines.append(f"| {title} | {named} | {' | '.join(shown)} |")
            title = ""
    return "\n".join([*lines, ""])


def _groups(fault: Fault, among: Sequence[str]) -> dict[tuple[str, str], list[str]]:
    """Put operators with the same outcomes together; what most of them have comes last."""
    groups: dict[tuple[str, str], list[str]] = {}
    for operator in among:
        groups.setdefault((_word(fault.passes, operator), _word(fault.lasts, operator)), []).append(operator)
    most = max(groups.values(), key=len)
    return dict(sorted(groups.items(), key=lambda group: group[1] is most))


def _word(cells: Cells, operator: str) -> str:
    return cells[operator].name if operator in cells else NONE


def _named(operators: list[str]) -> str:
    if not set(SENSORS) <= set(operators):
        return ", ".join(operators)
    return ", ".join([*(one for one in operators if one not in SENSORS), "all sensors"])


def _outcomes() -> str:
    found: dict[str, Outcome] = {}
    for fault in (*FAULTS.values(), *AIRFLOW_FAULTS.values()):
        for outcome in (*fault.passes.values(), *fault.lasts.values()):
            # Whatever the class, a task that fails does so in one way.
            name = "a class of [errors](errors.md)" if outcome.name == f"`{outcome.error}`" else outcome.name
            name = "looked up, then a class" if name.startswith("looked up, then") else name
            found.setdefault(name, outcome)
    lines = [
        f"| {name} | {each.text} | {f'`{each.shown}`' if each.shown else ''} |"
        for name, each in found.items()
    ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    PATH.write_text(page(), encoding="utf-8")
