"""The fixture in a pytest of its own, as in a project that has the package installed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

PLUGIN = "airflow_provider_zohocrm.pytest_plugin"

TESTS = """
import json, os, socket
import pytest, requests


def token(zoho):
    form = {
        "grant_type": "refresh_token", "client_id": zoho.client_id, "client_secret": zoho.client_secret,
        "refresh_token": zoho.refresh_token,
    }
    return requests.post(f"{zoho.url}/oauth/v2/token", data=form, timeout=10).json()["access_token"]


seen = []


@pytest.mark.parametrize("round", [1, 2])
def test_running_and_fresh_each_time(zohocrm_simulator, round):
    zohocrm_simulator.seed({"Leads": 7})
    zohocrm_simulator.add_fault("status", path="/Leads", status=503)
    header = {"Authorization": f"Zoho-oauthtoken {token(zohocrm_simulator)}"}
    url = f"{zohocrm_simulator.url}/crm/v8/Leads"
    statuses = [requests.get(url, {"fields": "id"}, headers=header, timeout=10).status_code for _ in range(2)]
    assert statuses == [503, 200]
    assert [one["path"] for one in zohocrm_simulator.requests] == ["/oauth/v2/token", "/crm/v8/Leads", "/crm/v8/Leads"]
    requests.post(url, json={"data": [{"Last_Name": "a", "Company": "b"}]}, headers=header, timeout=10)
    assert len(list(zohocrm_simulator.table("Leads"))) == 8
    seen.append(zohocrm_simulator)


def test_connection_of_the_environment(zohocrm_simulator):
    connection = json.loads(os.environ["AIRFLOW_CONN_ZOHOCRM_DEFAULT"])
    assert connection["extra"]["api_url"] == zohocrm_simulator.url
    assert connection["extra"]["token_store"] == "memory"
    assert "127.0.0.1" in os.environ["NO_PROXY"]


def test_everything_is_put_back():
    assert "AIRFLOW_CONN_ZOHOCRM_DEFAULT" not in os.environ
    assert os.environ["NO_PROXY"] == "intern.example"
    for zoho in seen:
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", zoho.port), timeout=5)
"""

HOOK = """
def test_hook_reads_through_the_connection(zohocrm_simulator):
    from airflow_provider_zohocrm import ZohoCRMHook

    zohocrm_simulator.seed({"Leads": 450})
    read = {record["id"] for record in ZohoCRMHook().get_records("Leads", ["Last_Name"])}
    assert read == {record["id"] for record in zohocrm_simulator.table("Leads")}
    assert zohocrm_simulator.counters["tokens_minted"] == 1
"""


def pytest_in(path: Path, text: str) -> subprocess.CompletedProcess[str]:
    (path / "test_it.py").write_text(text, encoding="utf-8")
    (path / "pytest.ini").write_text("[pytest]\n")
    # By name in place of the entry point, so that the test does not depend on when the package was installed.
    arguments = ["-q", "-p", "no:zohocrm", "-p", PLUGIN, "-p", "no:cacheprovider", str(path)]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *arguments], cwd=path, capture_output=True, text=True, check=False
    )


def test_entry_point_is_declared():
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    found = re.search(r"^\[project\.entry-points\.pytest11\]\nzohocrm = \"(.+)\"$", text, re.MULTILINE)
    assert found is not None
    assert found[1] == PLUGIN
    assert resolve_name(found[1]).zohocrm_simulator


def test_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("AIRFLOW_CONN_ZOHOCRM_DEFAULT", raising=False)
    monkeypatch.setenv("NO_PROXY", "intern.example")
    done = pytest_in(tmp_path, TESTS)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout


def test_fixture_with_the_hook(tmp_path: Path):
    done = pytest_in(tmp_path, HOOK)
    assert done.returncode == 0, done.stdout + done.stderr


def test_missing_extra_is_named(tmp_path: Path):
    hidden = "import sys\nsys.modules['uvicorn'] = None\n\n\ndef test_it(zohocrm_simulator):\n    pass\n"
    done = pytest_in(tmp_path, hidden)
    assert done.returncode == 1
    assert "install airflow-provider-zohocrm[simulator]" in done.stdout


def test_loading_it_imports_neither_airflow_nor_the_server():
    code = (
        f"import sys, {PLUGIN}; "
        "print([m for m in ('airflow', 'starlette', 'uvicorn', 'requests', 'orjson', 'sqlite3') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
