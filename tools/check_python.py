"""Say in one line whether this Python can run the given Airflow, before pip says it in a hundred."""

from __future__ import annotations

import sys

OLDEST = (3, 10)
# The newest Python for which the Airflow release was published; releases not listed take any that the package takes.
NEWEST = {"2.11.2": (3, 12), "3.0.6": (3, 12)}


def complaint(airflow: str, python: tuple[int, int]) -> str | None:
    """Return why the Airflow release does not run on the Python release, or None."""
    running = f"This is Python {python[0]}.{python[1]} ({sys.executable})."
    if python < OLDEST:
        return f"{running} The package needs {OLDEST[0]}.{OLDEST[1]} or newer: make PYTHON=python3.12 ..."
    newest = NEWEST.get(airflow, python)
    if python > newest:
        return (
            f"{running} Airflow {airflow} ends at Python {newest[0]}.{newest[1]}: "
            f"make COMPAT_PYTHON=python{newest[0]}.{newest[1]} ..."
        )
    return None


if __name__ == "__main__":
    sys.exit(complaint(sys.argv[1], sys.version_info[:2]))
