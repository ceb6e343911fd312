"""Example DAGs that are for every Airflow can be read by this one; 2.11 has ``dag`` and ``task`` elsewhere, as the README tells."""

from __future__ import annotations

import runpy
from importlib.util import find_spec
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "example_dags"


@pytest.mark.parametrize("name", ["example_notifier", "example_query", "example_sensors"])
def test_an_example_is_parsed(name):
    text = (EXAMPLES / f"{name}.py").read_text()
    if find_spec("airflow.sdk") is None:
        text = text.replace("from airflow.sdk import", "from airflow.decorators import")
    parsed = {"__name__": name}
    exec(compile(text, name, "exec"), parsed)
    assert callable(parsed[name.replace("example", "example_zohocrm")])


@pytest.mark.parametrize("name", ["example_assets", "example_incremental"])
def test_is_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("airflow.datasets") is not None:
        # Airflow 2 looks the assets of an alias up when it reads a DAG.
        monkeypatch.setattr("airflow.datasets.expand_alias_to_datasets", lambda _: [])
    runpy.run_path(str(EXAMPLES / f"{name}.py"))
