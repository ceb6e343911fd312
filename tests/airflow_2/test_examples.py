"""The example DAGs on a real Airflow 2.11, with its own scheduler and triggerer: those that there is a 2.11 for."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tools.files import read_csv, read_jsonl, read_parquet, write_jsonl
from tools.processes import wait_for
from tools.real_airflow_2 import RealAirflow2
from tools.simulated_zoho import SimulatedZoho

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

EXAMPLES = Path(__file__).parents[2] / "example_dags"
# Airflow 2 has no watchers of assets.
NEWER = "example_watch.py"
SEEDS = {"Leads": 400, "Accounts": 30, "Contacts": 90, "Deals": 40, "Products": 20, "Quotes": 25}
OPTIONS = {"job_seconds": 4}
NEW_LEADS = 60

READ = (
    "get_records",
    "bulk_read",
    "morning_load",
    "extract",
    "watermark",
    "by_day",
    "query",
    "deleted_related",
)
WRITTEN = ("upsert", "bulk_write", "assets_write", "notifier")


def for_airflow_2(text: str) -> str:
    """Change an example as the README tells its readers to."""
    changes = {
        "from airflow.sdk import ObjectStoragePath, dag": (
            "from airflow.io.path import ObjectStoragePath\nfrom airflow.sdk import dag"
        ),
        '@dag(schedule="@daily")': '@dag(schedule="@daily", start_date=datetime(2026, 1, 1), catchup=False)',
        "from __future__ import annotations": "from __future__ import annotations\nfrom datetime import datetime",
        "from airflow.sdk import": "from airflow.decorators import",
    }
    for newer, older in changes.items():
        text = text.replace(newer, older)
    return text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("airflow_2")


@pytest.fixture(scope="module")
def output(folder: Path) -> Path:
    path = folder / "output"
    path.mkdir()
    return path


@pytest.fixture(scope="module")
def zoho(folder: Path) -> Iterator[SimulatedZoho]:
    with SimulatedZoho(SEEDS, log=folder / "simulator.log", options=OPTIONS) as running:
        yield running


@pytest.fixture(scope="module")
def airflow(folder: Path, output: Path, zoho: SimulatedZoho) -> Iterator[RealAirflow2]:
    dags = folder / "dags"
    dags.mkdir()
    for path in EXAMPLES.iterdir():
        if path.is_file() and path.name != NEWER:
            (dags / path.name).write_text(for_airflow_2(path.read_text()))
    environment = {"ZOHOCRM_EXAMPLES_OUTPUT": str(output)}
    with RealAirflow2(folder / "home", dags, environment=environment) as running:
        connection = {"conn_type": "zohocrm", **zoho.connection()}
        running.command("connections", "add", "zohocrm_default", "--conn-json", json.dumps(connection))
        running.command("pools", "set", "zoho_crm", "4", "Calls to Zoho CRM", "--include-deferred")
        running.wait_for_dags(
            f"example_zohocrm_{name}" for name in (*READ, *WRITTEN, "sensors", "assets_read", "assets_use")
        )
        running.command("dags", "unpause", "--yes", "--treat-dag-id-as-regex", "example_zohocrm_.*")
        yield running


@pytest.fixture(scope="module")
def account(zoho: SimulatedZoho) -> dict[str, Any]:
    """An account that is deleted, and has contacts."""
    found: dict[str, Any] = next(
        each["Account_Name"] for each in zoho.records("Contacts").values() if each["Account_Name"]
    )
    zoho.delete("Accounts", found["id"])
    return found


@pytest.fixture(scope="module")
def reads(airflow: RealAirflow2, account: dict[str, Any]) -> dict[str, str]:
    """The runs of the DAGs that read, which have all succeeded."""
    return run_all(airflow, dict.fromkeys(READ, None))


@pytest.fixture(scope="module")
def writes(airflow: RealAirflow2, reads: dict[str, str], output: Path) -> dict[str, str]:
    """The runs of the DAGs that write; the one that is to fail has failed."""
    good = [
        {"Email": f"new.{n}@example.com", "Last_Name": f"Ünï {n}", "Company": "Zylker"}
        for n in range(NEW_LEADS)
    ]
    write_jsonl(output / "leads_to_upsert.jsonl", [*good, {"Email": "nobody@example.com"}])
    loaded = {
        "surname": [f"Bulk {n}" for n in range(NEW_LEADS)],
        "mail": [f"bulk.{n}@example.com" for n in range(NEW_LEADS)],
        "Company": ["Zylker"] * NEW_LEADS,
    }
    pq.write_table(pa.table(loaded), output / "leads_in.parquet")
    return run_all(airflow, dict.fromkeys(WRITTEN, None), {"notifier": "failed"})


def run_all(
    airflow: RealAirflow2, confs: dict[str, Any], ends: dict[str, str] | None = None
) -> dict[str, str]:
    runs = {name: airflow.trigger(f"example_zohocrm_{name}", conf) for name, conf in confs.items()}
    for name, run in runs.items():
        state = airflow.wait_for_run(f"example_zohocrm_{name}", run)
        states = airflow.task_states(f"example_zohocrm_{name}", run)
        assert state == (ends or {}).get(name, "success"), (name, states)
    return runs


def result_of(airflow: RealAirflow2, runs: dict[str, str], name: str, task: str) -> Any:
    return airflow.xcom(f"example_zohocrm_{name}", runs[name], task)


def ids_of(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(row.get("id") or row["Id"] for row in rows)


class TestReads:
    def test_all_records_in_every_way(
        self, airflow: RealAirflow2, zoho: SimulatedZoho, reads: dict[str, str], output: Path
    ) -> None:
        held = sorted(zoho.records("Leads"))
        assert len(held) == SEEDS["Leads"]
        changed = Path(result_of(airflow, reads, "get_records", "pull_leads")["path"])
        assert ids_of(read_jsonl(changed)) == held
        assert ids_of(read_csv(output / "leads_export.csv")) == held
        assert ids_of(read_parquet(output / "leads_export.parquet")) == held
        assert ids_of(read_jsonl(Path(result_of(airflow, reads, "watermark", "leads")["path"]))) == held
        assert result_of(airflow, reads, "extract", "leads") == len(held)

    def test_six_mapped_modules(self, zoho: SimulatedZoho, reads: dict[str, str], output: Path) -> None:
        for module in SEEDS:
            rows = read_parquet(output / "morning" / module / "part.parquet")
            assert ids_of(rows) == sorted(zoho.records(module))

    def test_jobs_are_waited_for_in_the_triggerer(self, airflow: RealAirflow2, reads: dict[str, str]) -> None:
        assert airflow.were_deferred("example_zohocrm_bulk_read") == {
            "export_leads_csv",
            "export_leads_parquet",
        }
        assert airflow.were_deferred("example_zohocrm_morning_load") == {"export"}

    def test_the_items_of_quotes(
        self, airflow: RealAirflow2, zoho: SimulatedZoho, reads: dict[str, str]
    ) -> None:
        quotes = zoho.records("Quotes")
        result = result_of(airflow, reads, "extract", "quotes_with_items")
        assert ids_of(read_parquet(Path(result["path"]))) == sorted(quotes)
        assert ids_of(read_parquet(Path(result["subforms"]["Quoted_Items"]["path"]))) == sorted(
            item["id"] for quote in quotes.values() for item in quote["Quoted_Items"] or ()
        )

    def test_a_day_is_one_interval(self, airflow: RealAirflow2, reads: dict[str, str]) -> None:
        by_day = result_of(airflow, reads, "by_day", "leads")
        window = json.loads(Path(by_day["manifest"]).read_text())["query"]
        since, before = (datetime.fromisoformat(window[f"modified_{end}"]) for end in ("since", "before"))
        assert before - since == timedelta(days=1)
        # Nothing was modified on the day before this one.
        assert by_day["records"] == by_day["deleted"]["records"] == 0

    def test_queries_counts_and_what_is_gone(
        self, airflow: RealAirflow2, zoho: SimulatedZoho, reads: dict[str, str], account: dict[str, Any]
    ) -> None:
        stages = read_csv(Path(result_of(airflow, reads, "query", "deals_by_stage")["path"]))
        assert sum(int(row["deals"] or 0) for row in stages) == SEEDS["Deals"]
        assert result_of(airflow, reads, "query", "leads") == SEEDS["Leads"]
        theirs = sorted(
            id_
            for id_, each in zoho.records("Contacts").items()
            if each["Account_Name"] and each["Account_Name"]["id"] == account["id"]
        )
        assert theirs, "the account that was deleted has contacts"
        found = read_jsonl(Path(result_of(airflow, reads, "query", "their_contacts")["path"]))
        assert sorted(row["id"] for row in found if row["Parent_Id"] == account["id"]) == theirs
        lines = read_jsonl(
            Path(result_of(airflow, reads, "deleted_related", "contacts_of_deleted_accounts")["path"])
        )
        assert sorted(line["contact"]["id"] for line in lines if line["account"] == account["id"]) == theirs


class TestSensors:
    def test_wait_for_credits_a_job_and_a_record(
        self, airflow: RealAirflow2, zoho: SimulatedZoho, reads: dict[str, str]
    ) -> None:
        lead, record = next(iter(zoho.records("Leads").items()))
        zoho.update("Leads", [{"id": lead, "Company": "Waited for Ltd."}])
        assert record["Company"] != "Waited for Ltd."
        runs = run_all(airflow, {"sensors": {"company": "Waited for Ltd."}})
        assert result_of(airflow, runs, "sensors", "job")["count"] == SEEDS["Leads"]
        assert result_of(airflow, runs, "sensors", "lead") == {"record_id": lead, "records": 1}
        assert "job" in airflow.were_deferred("example_zohocrm_sensors")


class TestWrites:
    def test_good_records_are_in_and_bad_ones_in_a_file(
        self, airflow: RealAirflow2, zoho: SimulatedZoho, writes: dict[str, str], output: Path
    ) -> None:
        assert result_of(airflow, writes, "upsert", "report") == f"{NEW_LEADS} new, 0 updated, 1 rejected"
        emails = [each["Email"] for each in zoho.records("Leads").values()]
        assert sum(str(email).startswith("new.") for email in emails) == NEW_LEADS
        assert [each["code"] for each in read_jsonl(output / "leads_rejected.jsonl")] == [
            "MANDATORY_NOT_FOUND"
        ]

    def test_bulk_write(
        self, airflow: RealAirflow2, zoho: SimulatedZoho, writes: dict[str, str], output: Path
    ) -> None:
        found = {each["Email"]: each["Last_Name"] for each in zoho.records("Leads").values()}
        assert {f"bulk.{n}@example.com": f"Bulk {n}" for n in range(NEW_LEADS)}.items() <= found.items()
        assert len(read_parquet(output / "leads_results.parquet")) == NEW_LEADS
        assert airflow.were_deferred("example_zohocrm_bulk_write") == {"load_leads"}

    def test_assets_start_dags(self, airflow: RealAirflow2, writes: dict[str, str]) -> None:
        """Other DAGs write leads, too: the last of the runs that were started has read what all have written."""

        def read() -> set[str]:
            runs = airflow.ended_runs("example_zohocrm_assets_use")
            assert set(runs.values()) <= {"success"}
            extras = [
                extra for run in runs for extra in airflow.xcom("example_zohocrm_assets_use", run, "use")
            ]
            files = {extra["files"]: read_jsonl(Path(extra["files"])) for extra in extras}
            assert {extra["files"]: extra["rows"] for extra in extras} == {
                path: len(files[path]) for path in files
            }
            return {row["Email"] for rows in files.values() for row in rows}

        wait_for("the runs that assets start", lambda: "p.boyle@example.com" in read(), timeout=120)

    def test_a_failed_run_is_a_task_in_the_crm(self, zoho: SimulatedZoho, writes: dict[str, str]) -> None:
        def told() -> list[dict[str, Any]]:
            tasks = zoho.records("Tasks").values()
            return [task for task in tasks if task["Subject"] == "Airflow: example_zohocrm_notifier failed"]

        # Airflow calls it some time after the run has ended.
        wait_for("the task in the CRM", told, timeout=60)
        (task,) = told()
        assert writes["notifier"] in task["Description"]
