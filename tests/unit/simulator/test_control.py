from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
import requests

from airflow_provider_zohocrm.simulator.__main__ import is_loopback, main, parser
from airflow_provider_zohocrm.simulator.faults import ACTIONS
from airflow_provider_zohocrm.simulator.options import Options
from airflow_provider_zohocrm.simulator.server import Simulator
from simulator.wire import Zoho


def control(zoho: Zoho, method: str, path: str, body: Any = None) -> Any:
    answer = requests.request(method, f"{zoho.simulator.url}/__simulator__{path}", json=body, timeout=10)
    assert answer.status_code < 400, answer.text
    return answer.json()


def test_about(zoho: Zoho):
    about = control(zoho, "GET", "")
    assert about["refresh_token"] == zoho.simulator.refresh_token
    assert about["records"]["Leads"] == 450


def test_seed_and_table(zoho: Zoho):
    assert control(zoho, "POST", "/seed", {"Leads": 7})["seeded"]["Leads"] == 7
    lines = requests.get(f"{zoho.simulator.url}/__simulator__/table/Leads", timeout=10).text.splitlines()
    assert [json.loads(line) for line in lines] == list(zoho.simulator.table("Leads"))
    assert len(lines) == 7


def test_options_faults_clock(zoho: Zoho):
    assert control(zoho, "POST", "/options", {"discrete_limit": 20, "gzip": "off"})["gzip"] is False
    assert zoho.simulator.options.discrete_limit == 20
    fault = {
        "action": "status",
        "path": "/org",
        "count": 1,
        "status": 503,
        "body": {"code": "SERVICE_UNAVAILABLE"},
    }
    assert control(zoho, "POST", "/faults", fault)["status"] == 503
    assert zoho.get("/crm/v8/org").json() == {"code": "SERVICE_UNAVAILABLE"}
    assert control(zoho, "GET", "/faults")["faults"][0]["met"] == 1
    assert control(zoho, "DELETE", "/faults")["faults"] == []
    before = control(zoho, "GET", "/clock")["now"]
    assert control(zoho, "POST", "/clock", {"advance": 3600})["now"] >= before + 3600
    assert zoho.get("/crm/v8/org").status_code == 401


def test_requests_counters_writes_tokens(zoho: Zoho):
    zoho.post("/crm/v8/Campaigns", {"data": [{"Campaign_Name": "x"}], "trigger": []})
    assert control(zoho, "GET", "/requests")["requests"][-1]["path"] == "/crm/v8/Campaigns"
    assert control(zoho, "DELETE", "/requests")["requests"] == []
    counted = control(zoho, "GET", "/counters")
    assert (counted["calls_by_operation"]["insert"], counted["tokens_minted"]) == (1, 1)
    assert control(zoho, "GET", "/writes")["writes"][0]["trigger"] == []
    control(zoho, "DELETE", "/tokens")
    assert zoho.get("/crm/v8/org").status_code == 401


def test_reset(zoho: Zoho):
    zoho.post("/crm/v8/Leads", {"data": [{"Last_Name": "x", "Company": "x"}]})
    zoho.simulator.options.discrete_limit = 1
    control(zoho, "POST", "/reset")
    assert len(zoho.ids("Leads")) == 450
    assert zoho.simulator.options.discrete_limit == 2000
    assert control(zoho, "GET", "/counters")["calls"] == 0


def test_reset_keeps_the_options_of_the_start():
    with Simulator({"Leads": 3}, discrete_limit=20) as simulator:
        simulator.options.discrete_limit = 1
        simulator.reset()
        assert simulator.options.discrete_limit == 20


def test_wrong_control_requests_say_why(zoho: Zoho):
    for path, body in (
        ("/options", {"nothing": 1}),
        ("/seed", {"Nothing": 1}),
        ("/faults", {"action": "explode"}),
    ):
        answer = requests.post(f"{zoho.simulator.url}/__simulator__{path}", json=body, timeout=10)
        assert answer.status_code == 400
        assert "known:" in answer.json()["error"]


def test_state_file_keeps_the_data(tmp_path: Path):
    file = str(tmp_path / "state.sqlite")
    with Simulator({"Leads": 5}, state_file=file) as simulator:
        Zoho(simulator).post("/crm/v8/Leads", {"data": [{"Last_Name": "Kept", "Company": "x"}]})
        rows = list(simulator.table("Leads"))
    with Simulator({"Leads": 5}, state_file=file) as simulator:
        assert list(simulator.table("Leads")) == rows
        fresh = Zoho(simulator).post("/crm/v8/Leads", {"data": [{"Last_Name": "More", "Company": "x"}]})
        assert fresh.json()["data"][0]["details"]["id"] not in [row["id"] for row in rows]


def test_latency_and_peak_concurrency(zoho: Zoho):
    from concurrent.futures import ThreadPoolExecutor

    zoho.simulator.options.latency = 0.1
    with ThreadPoolExecutor(4) as pool:
        assert {answer.status_code for answer in pool.map(lambda _: zoho.get("/crm/v8/org"), range(4))} == {
            200
        }
    assert zoho.simulator.counters["peak_concurrency"] >= 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gzip", "maybe"),
        ("count_as", "float"),
        ("mint_limit", "x"),
        ("mint_limit", "-1"),
        ("utc_offset", "5"),
    ],
)
def test_options_are_checked(name: str, value: str):
    with pytest.raises(ValueError):
        Options().set(name, value)


def test_help_explains_every_option():
    text = parser().format_help()
    assert all(f"  {spec.name}=" in text for spec in fields(Options))


def test_the_page_has_every_option_action_and_argument():
    text = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text(encoding="utf-8")
    arguments = [
        string for action in parser()._actions for string in action.option_strings if string[:2] == "--"
    ]
    for name in [*(spec.name for spec in fields(Options)), *ACTIONS]:
        assert f"| `{name}` |" in text, name
    for name in set(arguments) - {"--help"}:
        assert f"| `{name}" in text, name


def test_command_line(tmp_path: Path):
    log = tmp_path / "requests.jsonl"
    command = [
        sys.executable, "-m", "airflow_provider_zohocrm.simulator", "--port", "0", "--seed", "Leads=5000", "--log", str(log),
        "--option", "discrete_limit=20",
    ]  # fmt: skip
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        taken = time.monotonic() - start
        assert line.startswith("Zoho CRM simulator on http://127.0.0.1:")
        url = line.split()[-1]
        about = requests.get(f"{url}/__simulator__/", timeout=10).json()
        assert about["records"]["Leads"] == 5000
        assert requests.get(f"{url}/__simulator__/options", timeout=10).json()["discrete_limit"] == 20
        given = {name: about[name] for name in ("client_id", "client_secret", "refresh_token")}
        requests.post(f"{url}/oauth/v2/token", data={"grant_type": "refresh_token", **given}, timeout=10)
        assert [process.stdout.readline().split()[-1] for _ in range(3)] == list(given.values())
    finally:
        process.terminate()
        process.wait(10)
    entry = json.loads(log.read_text())
    assert (entry["path"], entry["status"]) == ("/oauth/v2/token", 200)
    assert about["client_secret"] not in log.read_text()
    # 1.5 s on an idle machine; a busy one gets four times as much.
    assert taken < 6


def announced(*arguments: str) -> tuple[str, str]:
    """First line of a simulator's output, and its errors."""
    command = [sys.executable, "-m", "airflow_provider_zohocrm.simulator", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        if line:
            url = line.split()[-1]
            assert requests.get(f"{url}/__simulator__/", timeout=10).status_code == 200
            process.terminate()
        errors = process.stderr.read()
        process.wait(10)
    return line, errors


def test_command_line_with_data(tmp_path: Path):
    (tmp_path / "Leads.csv").write_text("Last_Name,Company\r\nx,y\r\n")
    assert announced("--data", str(tmp_path))[0].startswith("Zoho CRM simulator on http://127.0.0.1:")
    line, errors = announced("--data", str(tmp_path / "absent"))
    assert (line, errors.splitlines()[-1].endswith("absent does not exist")) == ("", True)


def test_listening_elsewhere_warns():
    line, errors = announced("--host", "0.0.0.0")
    assert line.startswith("Zoho CRM simulator on http://127.0.0.1:")
    assert "warning: listening on 0.0.0.0" in errors
    assert "warning" not in announced("--host", "localhost")[1]


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.0.0.2", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
    ],
)
def test_what_loopback_is(host: str, expected: bool):
    assert is_loopback(host) is expected


def test_console_script_is_declared():
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8")
    name, target = re.search(r'^(zohocrm-simulator) = "(.+)"$', text, re.MULTILINE).groups()
    assert (name, parser().prog) == ("zohocrm-simulator", name)
    assert resolve_name(target) is main


def test_help_explains_every_switch_of_the_command_line():
    for action in parser()._actions:
        assert action.help, action.dest


def test_root_of_the_package_is_free_of_starlette():
    code = "import sys, airflow_provider_zohocrm, airflow_provider_zohocrm.simulator as s; print('starlette' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "False\n"
    )


def test_nothing_of_the_client_is_imported():
    code = (
        "import sys, airflow_provider_zohocrm.simulator.server; "
        "print([m for m in sys.modules if m.startswith('airflow_provider_zohocrm.') and '.simulator' not in m])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


def test_somebody_else_writes_in_the_middle_of_a_walk(zoho: Zoho):
    ids = zoho.ids("Leads")
    calls = [
        {"method": "DELETE", "path": f"/crm/v8/Leads?ids={ids[250]}"},
        {"method": "PUT", "path": f"/crm/v8/Leads/{ids[300]}", "json": {"data": [{"Company": "Changed"}]}},
        {"method": "DELETE", "path": "/crm/v8/Nothing?ids=1"},
    ]
    control(zoho, "POST", "/faults", {"action": "meanwhile", "path": "/coql", "after": 1, "calls": calls})
    got: list[dict[str, Any]] = []
    while not got or len(got) % 100 == 0:
        last = got[-1]["id"] if got else "0"
        query = f"select Company from Leads where id > '{last}' order by id limit 100"
        got += zoho.post("/crm/v8/coql", {"select_query": query}).json()["data"]
        if len(got) == 200:
            assert zoho.simulator.record("Leads", ids[250]) is None
    assert [one["id"] for one in got] == [*ids[:250], *ids[251:]]
    assert got[299]["Company"] == "Changed"
    assert control(zoho, "GET", "/faults")["faults"][0]["answers"] == [200, 200, 400]
    assert zoho.simulator.counters["calls_by_operation"] == {"token": 1, "coql": 5}
    with pytest.raises(ValueError, match="method, path and json"):
        zoho.simulator.add_fault("meanwhile", calls=[{"url": "/crm/v8/Leads"}])
