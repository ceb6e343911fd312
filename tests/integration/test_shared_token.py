"""Two hundred processes, one token: over a real Airflow metadata database, and over files."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.simulated import asked

from airflow_provider_zohocrm.client.oauth import Token
from airflow_provider_zohocrm.client.tokens import token_text
from tools.real_postgres import MissingProgramError, RealPostgres, _programs

ROOT = Path(__file__).parents[2]
PROCESSES = 200


def database():
    """PostgreSQL, as in production; SQLite, which every Airflow can use, where it or its driver is missing."""
    try:
        _programs()
    except MissingProgramError:
        return "sqlite"
    return "postgresql" if importlib.util.find_spec("psycopg2") else "sqlite"


@pytest.fixture(scope="module")
def metadata_database(tmp_path_factory):
    """Make Airflow's metadata database; returns the environment in which Airflow uses it."""
    folder = tmp_path_factory.mktemp("airflow")
    with ExitStack() as stack:
        if database() == "postgresql":
            url = stack.enter_context(RealPostgres(folder / "postgres.log")).url
        else:
            url = f"sqlite:///{folder}/airflow.db"
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests"), *sys.path]),
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url,
            # Not used here; its driver for PostgreSQL need not be installed.
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": "sqlite+aiosqlite://",
            # Each process has a connection of its own.
            "AIRFLOW__DATABASE__SQL_ALCHEMY_POOL_ENABLED": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        }
        run(environment, "airflow", "db", "migrate")
        yield environment


def run(environment, module, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done


@pytest.mark.parametrize("store", ["variable", "file"])
def test_200_tasks_that_start_within_a_second_mint_at_most_3_tokens_and_none_fails(
    metadata_database, simulated, tmp_path, store
):
    simulator = simulated()
    expired = Token("1000.it-was-once-alive", simulator.url, time.time() - 60, 3600)
    environment = {
        **metadata_database,
        "AIRFLOW__ZOHOCRM__TOKEN_STORE": store,
        "AIRFLOW__ZOHOCRM__TOKEN_FOLDER": str(tmp_path / "tokens"),
    }
    fields = json.loads(os.environ["AIRFLOW_CONN_ZOHOCRM_DEFAULT"])
    del fields["extra"]["auth_store"]
    environment["AIRFLOW_CONN_ZOHOCRM_DEFAULT"] = json.dumps(fields)
    done = run(environment, "support.task_processes", "zohocrm_default", str(PROCESSES), token_text(expired))
    results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"error"')]
    assert len(results) == PROCESSES
    assert [one["error"] for one in results if one["error"]] == []
    assert 1 <= len(asked(simulator, "POST /oauth/v2/token")) <= 3
    assert "cannot be shared" not in done.stderr + done.stdout
