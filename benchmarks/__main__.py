"""``python -m benchmarks``."""

from __future__ import annotations

import argparse
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

from benchmarks import report
from benchmarks.cases import CASES
from benchmarks.runner import run_case

_NAMES = [case.name for case in CASES]


def main() -> int:
    """Run cases; results are written after each, so that an interrupted run has brought something.

    :return: exit code: 1 where a case failed. A missed target is a result like another.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Ours and its peers, measured.")
    parser.add_argument("--cases", default=",".join(_NAMES), help=f"some of {', '.join(_NAMES)}")
    parser.add_argument("--runs", type=int, default=5, help="runs of each contestant (default 5)")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results.md"), help="the Markdown file")
    given = parser.parse_args()
    names = given.cases.split(",")
    unknown = set(names) - set(_NAMES)
    if unknown or given.runs < 1:
        parser.error(f"no such case: {', '.join(sorted(unknown))}" if unknown else "--runs is at least 1")
    date = datetime.now(timezone.utc).date().isoformat()
    command = " ".join(["python -m benchmarks", *sys.argv[1:]])
    outcomes = []
    for case in CASES:
        if case.name in names:
            start = time.monotonic()
            print(f"{case.name}:", flush=True)
            outcomes.append(run_case(case, given.runs))
            print(f"  {time.monotonic() - start:.0f} s", flush=True)
            report.write(outcomes, given.out, date=date, command=command)
    return int(any(outcome.failure for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
