"""Runs a case: the simulator on one core, one contestant after the other on another, and what came out checked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import requests

from benchmarks.rows import Rows
from benchmarks.truth import Truth, WrongRowsError, check_loaded, known_emails
from tools.simulated_zoho import SimulatedZoho

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.cases import Case, Contestant, Target

ROOT = Path(__file__).parents[1]
CORES = sorted(os.sched_getaffinity(0))
PINNED = len(CORES) > 1
_NOT_PASSED_ON = {
    # Compiled once, as what is installed is.
    "PYTHONDONTWRITEBYTECODE",
    # A bundle of certificates that this machine asks for and others do not: only ours would read it, for plain HTTP too.
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
}

Run = dict[str, Any]


class FailedRunError(Exception):
    """A contestant ended with an error."""


@dataclass
class Outcome:
    """What a case has brought: the runs of each contestant, or why it failed; a profile where a target was missed."""

    case: Case
    runs: dict[str, list[Run]] = field(default_factory=dict)
    failure: str | None = None
    profile: str | None = None

    def value(self, target: Target) -> float:
        """Return the figure that is compared with the limit, of medians."""
        ours = self.median(target.ours, target.figure)
        if target.peer is None:
            return ours / target.scale
        peer = self.median(target.peer, target.figure)
        return ours - peer if target.how == "difference" else ours / peer

    def median(self, contestant: str, figure: str) -> float:
        """Return the median of a figure."""
        return median(run[figure] for run in self.runs[contestant])

    def missed(self) -> list[Target]:
        """Return the targets that were not met."""
        return [one for one in self.case.targets if one.limit is not None and self.value(one) > one.limit]


def run_case(case: Case, runs: int) -> Outcome:
    """Run a case.

    :param runs: how often each contestant runs.
    """
    outcome = Outcome(case)
    with tempfile.TemporaryDirectory(prefix="zohocrm-bench-") as folder:
        try:
            with _stage(case, Path(folder)) as stage:
                for contestant in case.contestants * runs:
                    taken = stage.run(contestant)
                    outcome.runs.setdefault(contestant.name, []).append(taken)
                    print(f"  {contestant.name}: {_brief(taken)}", flush=True)
                for contestant in case.contestants:
                    stage.check_silent(contestant)
                outcome.profile = stage.profile(outcome)
        except (FailedRunError, WrongRowsError) as error:
            outcome.failure = str(error)
            print(f"  FAILED: {error}", flush=True)
    return outcome


def _brief(run: Run) -> str:
    return ", ".join(f"{key} {value:.4g}" for key, value in run.items())


@contextmanager
def _stage(case: Case, folder: Path) -> Iterator[Stage]:
    if case.records is None:
        yield Stage(case, folder, None)
        return
    options = {"mint_limit": 10_000, **case.simulator}
    with _core(1):
        zoho = SimulatedZoho({"Leads": case.records}, log=folder / "simulator.log", options=options)
        zoho.__enter__()
    try:
        yield Stage(case, folder, zoho)
    finally:
        zoho.__exit__()


@contextmanager
def _core(number: int) -> Iterator[None]:
    """Start processes on one core only, where there are several."""
    if PINNED:
        os.sched_setaffinity(0, {CORES[number]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, CORES)


class Stage:
    """Where the contestants of a case run."""

    def __init__(self, case: Case, folder: Path, zoho: SimulatedZoho | None) -> None:
        self._case = case
        self._folder = folder
        self._output = folder / "output"
        self._zoho = zoho
        self._records = case.records
        self._kinds: dict[str, str] = {}
        self._truths: dict[tuple[int | None, bool], Truth] = {}
        self._loads: dict[str, Rows] = {}
        if zoho is not None:
            self._kinds = self._field_kinds()

    def run(self, contestant: Contestant, *, checking: bool = False, profile: Path | None = None) -> Run:
        """Run a contestant, check its rows, and return its figures.

        :param checking: have one that writes nothing write what is checked.
        :param profile: run under cProfile, and write that file.
        """
        shutil.rmtree(self._output, ignore_errors=True)
        self._output.mkdir()
        name = contestant.output or ("check.jsonl" if checking else None)
        limit = contestant.check_records if checking else None
        given: dict[str, Any] = {
            "options": contestant.options,
            "output": str(self._output / name) if name else None,
            "limit": limit,
            "folder": tempfile.mkdtemp(dir=self._folder),
            "profile": str(profile) if profile else None,
            "rejects": str(self._folder / "rejects.jsonl") if self._case.bad else None,
        }
        if self._zoho is not None:
            given |= self._prepared(contestant)
        taken = self._process(contestant.module, given)
        if self._zoho is not None:
            counted = self._control("GET", "counters")
            taken |= {"requests": counted["calls"], "credits": counted["credits"]}
            if contestant.input:
                assert self._records is not None
                sent = self._loads[given["input"]]
                rejects = Path(given["rejects"]) if given["rejects"] else None
                taken["rows"] = check_loaded(self._zoho.url, sent, self._kinds, self._records, rejects)
            elif name:
                taken["rows"] = self._truth(contestant.exact).compare(self._output, limit)
            elif taken["rows"] != self._records:
                raise WrongRowsError(f"{contestant.name} read {taken['rows']} rows of {self._records}")
        return taken

    def check_silent(self, contestant: Contestant) -> None:
        """Let a contestant that writes nothing run once more, and write what it reads."""
        if self._zoho is not None and contestant.output is None and contestant.input is None:
            self.run(contestant, checking=True)

    def profile(self, outcome: Outcome) -> str | None:
        """Profile ours where it was too slow."""
        slow = [one for one in outcome.missed() if one.figure in ("cpu", "wall", "import_ms")]
        if not slow:
            return None
        path = self._folder / "profile.txt"
        self.run(next(one for one in self._case.contestants if one.name == slow[0].ours), profile=path)
        return path.read_text()

    def _prepared(self, contestant: Contestant) -> dict[str, Any]:
        """Bring the simulator back to its start, with as many records as this contestant reads."""
        records = self._case.records if contestant.input else contestant.records or self._case.records
        if records != self._records:
            self._control("POST", "seed", {"Leads": records})
            self._records = records
        self._control("POST", "reset")
        loaded = self._input(contestant)
        if loaded is None:
            self._truth(contestant.exact)
        token = self._token()
        self._control("DELETE", "counters")
        assert self._zoho is not None
        given = {"url": self._zoho.url, "token": token, "fields": list(self._kinds), "kinds": self._kinds}
        return given | {"input": loaded}

    def _input(self, contestant: Contestant) -> str | None:
        """Write the file that a contestant loads, the same for all that load as many rows."""
        if contestant.input is None:
            return None
        count = contestant.records or self._case.loads
        path = self._folder / f"{count}-{contestant.input}"
        if str(path) not in self._loads:
            assert self._zoho is not None
            rows = Rows(count, known_emails(self._zoho.url), bad=self._case.bad)
            rows.write(path)
            self._loads[str(path)] = rows
        return str(path)

    def _process(self, module: str, given: dict[str, Any]) -> Run:
        environment = {
            **{name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON},
            "AIRFLOW_HOME": str(self._folder / "airflow"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "NO_PROXY": "127.0.0.1",
            "AIRFLOW_CONN_ZOHOCRM_DEFAULT": json.dumps(self._connection()),
            "BENCHMARK_ORDERS": json.dumps(given),
        }
        # A script without our simulator shares out the cores by itself.
        with _core(0) if self._zoho else nullcontext():
            done = subprocess.run(
                [sys.executable, "-m", f"benchmarks.{module}"],
                check=False,
                capture_output=True,
                text=True,
                env=environment,
                cwd=ROOT,
            )
        if done.returncode != 0:
            last = " ".join(done.stderr.strip().splitlines()[-3:])
            raise FailedRunError(f"{module} ended with {done.returncode}: {last}")
        result: Run = json.loads(done.stdout.splitlines()[-1])
        return result

    def _connection(self) -> dict[str, Any]:
        if self._zoho is None:
            return {}
        found = self._zoho.connection()
        return found | {"conn_type": "zohocrm", "extra": found["extra"] | {"token_store": "memory"}}

    def _truth(self, exact: bool) -> Truth:
        key = (self._records, exact)
        if key not in self._truths:
            assert self._zoho is not None
            self._truths[key] = Truth(self._zoho.url, self._kinds, exact=exact)
        return self._truths[key]

    def _field_kinds(self) -> dict[str, str]:
        assert self._zoho is not None
        answer = requests.get(
            f"{self._zoho.url}/crm/v8/settings/fields",
            params={"module": "Leads"},
            headers={"Authorization": f"Zoho-oauthtoken {self._token()}"},
            timeout=60,
        )
        kinds = {one["api_name"]: one["data_type"] for one in answer.json()["fields"]}
        listed = [name for name, kind in kinds.items() if kind != "subform"]
        return {name: kinds[name] for name in self._case.fields or listed if name != "id"}

    def _token(self) -> str:
        assert self._zoho is not None
        fields = self._zoho.connection()
        form = {
            "grant_type": "refresh_token",
            "client_id": fields["login"],
            "client_secret": fields["password"],
            "refresh_token": fields["extra"]["refresh_token"],
        }
        answer = requests.post(f"{self._zoho.url}/oauth/v2/token", data=form, timeout=60)
        token: str = answer.json()["access_token"]
        return token

    def _control(self, method: str, path: str, body: Any = None) -> Any:
        assert self._zoho is not None
        answer = requests.request(method, f"{self._zoho.url}/__simulator__/{path}", json=body, timeout=600)
        answer.raise_for_status()
        return answer.json()
