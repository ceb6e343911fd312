"""Example DAGs can be parsed by every Airflow; 2.11 has ``dag`` and ``task`` elsewhere, as the README tells."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "example_dags"


@pytest.mark.parametrize("name", ["example_notifier", "example_query", "example_sensors"])
def test_an_example_is_parsed(name):
    text = (FOLDER / f"{name}.py").read_text()
    if importlib.util.find_spec("airflow.sdk") is None:
        text = text.replace("from airflow.sdk import", "from airflow.decorators import")
    parsed = {"__name__": name}
    exec(compile(text, name, "exec"), parsed)
    assert callable(parsed[name.replace("example", "example_zohocrm")])
