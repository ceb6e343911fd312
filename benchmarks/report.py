"""``results.md`` and its plot."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.runner import CORES, PINNED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.cases import Target
    from benchmarks.runner import Outcome, Run

_COLUMNS = {
    "rows": "rows",
    "wall": "wall, s",
    "cpu": "CPU, s",
    "peak_mb": "peak memory, MB",
    "growth_mb": "growth, MB",
    "requests": "requests",
    "credits": "credits",
}
_PACKAGES = ("apache-airflow", "requests", "aiohttp", "orjson", "pyarrow", "zohocrmsdk8-0")
_HOW = """\
Every run is a process of its own{pinned}; the simulator is another one{simulator}. A case without rows pins nothing. The contestants of a case run in
turn. A figure is the median (lowest-highest) of the runs. Wall and CPU time (user + system, threads included) begin after
imports; Parquet's pyarrow counts as one. Growth is the peak of the resident memory above what it was before the work.
Requests and credits are the simulator's own count for the whole process. After each run, every value of every row is
compared with the simulator's table; contestants that write nothing do so in a further run, which is not measured.
After a load, the table must hold every value of every row that was sent.
A profile is of the main thread only."""


def write(outcomes: Sequence[Outcome], path: Path, *, date: str, command: str) -> None:
    """Write the results so far, and the plot beside them.

    :param path: the Markdown file; the plot has the same name with ``.svg``.
    :param date: when it was run.
    :param command: what was run.
    """
    how = _HOW.format(
        pinned=f", pinned to core {CORES[0]}" if PINNED else ", not pinned: this machine has one core",
        simulator=f" on core {CORES[1]}" if PINNED else "",
    )
    plot = path.with_suffix(".svg")
    parts = ["# Benchmarks", f"`{command}` on {date}", _machine(), how, _summary(outcomes)]
    if _plot(outcomes, plot):
        parts.append(f"![each figure as a share of its target]({plot.name})")
    parts += [_case(outcome) for outcome in outcomes]
    path.write_text("\n\n".join(parts) + "\n")


def _machine() -> str:
    models = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    ]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    found = [f"{os.cpu_count()} cores ({model})", platform.system(), f"Python {platform.python_version()}"]
    found += [f"{name} {version(name)}" for name in _PACKAGES]
    return ", ".join(found) + "."


def _summary(outcomes: Sequence[Outcome]) -> str:
    lines = ["| case | figure | measured | target | |", "|---|---|--:|--:|---|"]
    for outcome in outcomes:
        name = f"[{outcome.case.name}](#{outcome.case.name})"
        if outcome.failure:
            lines.append(f"| {name} | | | | FAILED |")
            continue
        for target in outcome.case.targets:
            limit = "" if target.limit is None else f"≤ {target.limit:.4g}"
            lines.append(
                f"| {name} | {target.text} | {outcome.value(target):.3g} | {limit} | {_verdict(outcome, target)} |"
            )
    return "\n".join(lines)


def _verdict(outcome: Outcome, target: Target) -> str:
    if target.limit is None:
        return "for information"
    return "**MISSED**" if target in outcome.missed() else "met"


def _case(outcome: Outcome) -> str:
    parts = [f"## {outcome.case.name}", outcome.case.text]
    if outcome.failure:
        return "\n\n".join([*parts, f"FAILED: {outcome.failure}"])
    first = next(iter(outcome.runs.values()))[0]
    columns = {key: text for key, text in _COLUMNS.items() if key in first}
    columns |= {key: key for key in first if key not in _COLUMNS}
    table = [
        f"| | runs | {' | '.join(columns.values())} |",
        f"|---|--:|{'--:|' * len(columns)}",
    ]
    for name, runs in outcome.runs.items():
        cells = " | ".join(_spread(runs, key) for key in columns)
        table.append(f"| {name} | {len(runs)} | {cells} |")
    parts.append("\n".join(table))
    if outcome.profile:
        parts.append(f"Profile of ours, by time spent:\n\n```\n{outcome.profile.strip()}\n```")
    return "\n\n".join(parts)


def _spread(runs: Sequence[Run], key: str) -> str:
    values = [run[key] for run in runs]
    low, middle, high = (_number(value) for value in (min(values), median(values), max(values)))
    return middle if low == high else f"{middle} ({low}-{high})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _plot(outcomes: Sequence[Outcome], path: Path) -> bool:
    """Draw each figure as a share of its target; nothing, where there is none."""
    bars = [
        (f"{outcome.case.name}: {target.text}", max(outcome.value(target) / target.limit, 0.01))
        for outcome in outcomes
        if not outcome.failure
        for target in outcome.case.targets
        if target.limit
    ]
    if not bars:
        return False
    from matplotlib.figure import Figure

    names, shares = zip(*reversed(bars), strict=True)
    figure = Figure(figsize=(9, 1 + 0.4 * len(bars)), layout="constrained")
    axes = figure.subplots()
    axes.barh(names, shares, color=["tab:red" if share > 1 else "tab:green" for share in shares])
    axes.bar_label(axes.containers[0], fmt="%.2f", padding=3)
    axes.axvline(1, color="black", linewidth=1)
    axes.set(xscale="log", xlabel="measured / target (1 is the target, less is better)")
    axes.margins(x=0.15)
    figure.savefig(path, metadata={"Date": None})
    return True
