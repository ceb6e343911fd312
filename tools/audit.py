"""Look for known vulnerabilities in what the constraint files install, by pip-audit; say so where no source can be reached."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

# Asked in turn until one answers. The first is that of the package index, the second https://osv.dev.
SOURCES = ("pypi", "osv")
UNREACHABLE, VULNERABLE = 3, 1
_PROBE = "requests==2.19.0"  # has advisories since 2018


class SourceError(Exception):
    """Raised when an advisory source does not answer, or not as one."""


def audit(requirements: Path, source: str) -> tuple[int, str]:
    """Run pip-audit over pinned requirements.

    :return: its exit status, and what it has printed.
    """
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--requirement",
        str(requirements),
        "--vulnerability-service",
        source,
    ]
    command += ["--no-deps", "--disable-pip", "--progress-spinner", "off", "--desc", "off", "--timeout", "30"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def reachable_source(folder: Path) -> str:
    """Find a source that knows an old vulnerability: a mirror of an index answers too, but without advisories.

    :raises SourceError: with what each has said.
    """
    probe = folder / "probe.txt"
    probe.write_text(_PROBE + "\n")
    said = []
    for source in SOURCES:
        status, printed = audit(probe, source)
        if status == VULNERABLE and ("CVE-" in printed or "PYSEC-" in printed or "GHSA-" in printed):
            return source
        last = printed.strip().splitlines()[-1:] or ["nothing"]
        said.append(f"  {source}: {last[0][:300]}")
    raise SourceError("\n".join(said))


def main() -> int:
    """Audit all files given.

    :return: 0 if nothing is known against them, 1 if something is, 3 if no source could be asked.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("requirements", nargs="+", type=Path)
    parser.add_argument("--scratch", type=Path, required=True, help="folder for temporary files")
    given = parser.parse_args()
    try:
        source = reachable_source(given.scratch)
    except SourceError as error:
        print(f"NOT AUDITED: no advisory source can be reached from here, so nothing is known.\n{error}")
        return UNREACHABLE
    worst = 0
    for path in given.requirements:
        status, printed = audit(path, source)
        print(f"=== {path} ({source})\n{printed.strip()}")
        worst = max(worst, status)
    return worst


if __name__ == "__main__":
    sys.exit(main())
