"""The example DAGs on a real Airflow, over sockets, value by value. The tests share one Airflow and run in this order."""

from __future__ import annotations

import json
import re
import time
from datetime import datetime, timedelta, timezone
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_zohocrm.connection_form import CONN_FIELDS
from tools.files import read_csv, read_jsonl, read_parquet, write_jsonl
from tools.real_airflow import RunFailedError

if TYPE_CHECKING:
    from tools.real_airflow import RealAirflow
    from tools.simulated_zoho import SimulatedZoho

pytestmark = pytest.mark.e2e

LEAD_FIELDS = [
    "Last_Name",
    "First_Name",
    "Email",
    "Company",
    "Lead_Status",
    "Annual_Revenue",
    "Modified_Time",
]
PACKAGE = "airflow-provider-zohocrm"
EXPORTED_TEXTS = ["Last_Name", "First_Name", "Email", "Company", "Lead_Status"]
ACCESS_TOKEN = re.compile(rb"1000\.[0-9a-f]{32}\.[0-9a-f]{32}")


class TestPackage:
    def test_airflow_shows_all_that_it_brings(self, bare_airflow: RealAirflow) -> None:
        done = bare_airflow.command("providers", "get", PACKAGE, "--full", "--output", "json")
        assert done.returncode == 0, done.stderr
        (shown,) = json.loads(done.stdout[done.stdout.index("[") :])
        assert (shown["package-name"], shown["versions"]) == (PACKAGE, [version(PACKAGE)])
        for key, name in {
            "connection-types": "hooks.zohocrm.ZohoCRMHook",
            "operators": "operators.upsert",
            "sensors": "sensors.record",
            "triggers": "triggers.records_changed",
            "asset-uris": "assets.zohocrm.create_asset",
            "extra-links": "operators.links.ZohoRecordLink",
            "notifications": "notifications.zohocrm.ZohoCRMTaskNotifier",
            "cli": "cli.definition.get_zohocrm_cli_commands",
            "config": "token_store",
        }.items():
            assert name in str(shown[key]), key
        pages = bare_airflow.api("GET", "/providers", params={"limit": 100})["providers"]
        assert [one["version"] for one in pages if one["package_name"] == PACKAGE] == [version(PACKAGE)]


class TestConnection:
    def test_form_has_the_fields_of_the_package(self, bare_airflow: RealAirflow) -> None:
        (form,) = [
            each
            for each in bare_airflow.ui_api("/connections/hook_meta")
            if each["connection_type"] == "zohocrm"
        ]
        assert form["hook_name"] == "Zoho CRM"
        assert form["standard_fields"]["login"]["title"] == "Client ID"
        assert form["standard_fields"]["password"]["title"] == "Client secret"
        hidden = {
            name for name, field in form["standard_fields"].items() if field is not None and field["hidden"]
        }
        assert hidden == {"host", "port", "url_schema"}
        assert list(form["extra_fields"]) == list(CONN_FIELDS)
        assert list(CONN_FIELDS) == [
            "refresh_token",
            "data_center",
            "environment",
            "api_version",
            "grant_type",
            "soid",
            "scope",
            "organization",
            "api_url",
            "accounts_url",
            "upload_url",
            "min_credits_remaining",
            "verify",
            "auth_store",
        ]
        for name, field in form["extra_fields"].items():
            assert field["schema"]["title"] == CONN_FIELDS[name]["label"]
            assert field["description"] == CONN_FIELDS[name]["description"]
        assert form["extra_fields"]["refresh_token"]["schema"]["format"] == "password"
        assert form["extra_fields"]["data_center"]["value"] == "us"

    def test_secrets_come_back_masked(self, airflow: RealAirflow, connection_fields: dict[str, Any]) -> None:
        shown = airflow.connection("zohocrm_default")
        assert shown["login"] == connection_fields["login"]
        assert shown["password"] == "***"
        assert shown["extra"] == {**connection_fields["extra"], "refresh_token": "***"}

    def test_test_button_names_the_organisation(
        self, airflow: RealAirflow, connection_fields: dict[str, Any]
    ) -> None:
        works, message = airflow.test_connection("zohocrm_default", "zohocrm", **connection_fields)
        assert works, message
        assert message.startswith("Connected to ")

    def test_test_button_tells_what_is_wrong_without_the_secret(
        self, airflow: RealAirflow, connection_fields: dict[str, Any]
    ) -> None:
        wrong = {**connection_fields, "password": "not-the-client-secret"}
        works, message = airflow.test_connection("zohocrm_default", "zohocrm", **wrong)
        assert not works
        assert "invalid_client_secret" in message
        assert "not-the-client-secret" not in message


class TestGetRecords:
    DAG = "example_zohocrm_get_records"

    def test_first_run_pulls_every_record(self, airflow: RealAirflow, zoho: SimulatedZoho) -> None:
        run = airflow.run(self.DAG)
        result = airflow.xcom(self.DAG, run, "pull_leads")
        written = read_jsonl(Path(result["path"]))
        held = zoho.records("Leads")
        assert len(written) == 1200
        assert {record["id"]: record for record in written} == {
            id_: {"id": id_, **{name: record[name] for name in LEAD_FIELDS}} for id_, record in held.items()
        }
        assert result["records"] == 1200
        assert result["bytes"] == Path(result["path"]).stat().st_size
        assert result["module"] == "Leads"
        newest = max(datetime.fromisoformat(record["Modified_Time"]) for record in held.values())
        assert datetime.fromisoformat(result["max_modified_time"]) == newest

    def test_second_run_pulls_only_what_changed(self, airflow: RealAirflow, zoho: SimulatedZoho) -> None:
        changes = [{"id": id_, "Company": f"Changed {id_}"} for id_ in list(zoho.records("Leads"))[::100]]
        zoho.update("Leads", changes)
        run = airflow.run(self.DAG)
        written = read_jsonl(Path(airflow.xcom(self.DAG, run, "pull_leads")["path"]))
        assert {record["id"]: record["Company"] for record in written} == {
            change["id"]: change["Company"] for change in changes
        }
        assert len(written) == len(changes) == 12

    def test_a_given_time_goes_before_the_last_run(self, airflow: RealAirflow) -> None:
        soon = (datetime.now(tz=timezone.utc) + timedelta(hours=1)).isoformat()
        run = airflow.run(self.DAG, {"modified_since": soon})
        result = airflow.xcom(self.DAG, run, "pull_leads")
        assert result["records"] == 0
        assert read_jsonl(Path(result["path"])) == []


class TestBulkRead:
    DAG = "example_zohocrm_bulk_read"
    TASKS = ("export_leads_csv", "export_leads_parquet")
    READERS = (("export_leads_csv", read_csv), ("export_leads_parquet", read_parquet))

    @pytest.fixture(scope="class")
    @classmethod
    def seen(cls) -> dict[str, list[str]]:
        return {task: [] for task in cls.TASKS}

    @pytest.fixture(scope="class")
    @classmethod
    def run(cls, airflow: RealAirflow, seen: dict[str, list[str]]) -> str:
        def note(states: dict[str, str]) -> None:
            for task, state in states.items():
                if seen[task][-1:] != [state]:
                    seen[task].append(state)

        run = airflow.trigger(cls.DAG)
        airflow.wait_for_run(cls.DAG, run, seen=note)
        return run

    @pytest.mark.usefixtures("run")
    @pytest.mark.parametrize("task", TASKS)
    def test_waits_deferred(self, seen: dict[str, list[str]], task: str) -> None:
        assert "deferred" in seen[task]
        assert seen[task][-1] == "success"

    @pytest.mark.parametrize(("task", "read"), READERS)
    def test_file_holds_what_the_crm_holds(
        self, airflow: RealAirflow, zoho: SimulatedZoho, run: str, task: str, read: Any
    ) -> None:
        result = airflow.xcom(self.DAG, run, task)
        (file,) = result["files"]
        rows = read(Path(file["path"]))
        # A bulk export writes a null and an empty text alike.
        found = {
            row.get("Id") or row["id"]: {name: row[name] or "" for name in EXPORTED_TEXTS} for row in rows
        }
        wanted = {
            id_: {name: record[name] or "" for name in EXPORTED_TEXTS}
            for id_, record in zoho.records("Leads").items()
        }
        assert found == wanted
        assert len(rows) == result["records"] == file["records"] == 1200
        assert result["more_records"] is False
        assert file["job_id"] == airflow.xcom(self.DAG, run, task, "job_id")

    @pytest.mark.parametrize("task", TASKS)
    def test_usage_is_told_over_the_deferral(self, airflow: RealAirflow, run: str, task: str) -> None:
        usage = airflow.xcom(self.DAG, run, task, "api_usage")
        # A job costs 50 credits, each of the looks before, during and after the deferral one.
        assert usage["credits"] - usage["calls"] == 49
        assert usage["calls"] >= 5
        assert usage["rate_limited"] == 0

    @pytest.mark.usefixtures("run")
    def test_triggerer_was_not_blocked(self, airflow: RealAirflow) -> None:
        printed = (airflow.home / "standalone.log").read_text(errors="replace")
        assert "triggerer" in printed
        logs = [
            printed,
            *(path.read_text(errors="replace") for path in airflow.home.rglob("*.log.trigger.*")),
        ]
        assert len(logs) > len(self.TASKS), "each task has left a log of its trigger"
        assert not [line for log in logs for line in log.splitlines() if "thread was blocked" in line]


class TestMorningLoad:
    DAG = "example_zohocrm_morning_load"
    MODULES = ("Leads", "Accounts", "Contacts", "Deals", "Products", "Quotes")

    def test_six_mapped_tasks_wait_deferred_in_a_pool(
        self, airflow: RealAirflow, zoho: SimulatedZoho, output: Path
    ) -> None:
        airflow.create_pool("zoho_crm", 4, include_deferred=True)
        run = airflow.trigger(self.DAG)
        most: list[int] = []
        deferred: set[int] = set()

        def note(_: dict[str, str]) -> None:
            found = airflow.task_instances(self.DAG, run)
            most.append(sum(each["state"] in ("queued", "running", "deferred") for each in found))
            deferred.update(each["map_index"] for each in found if each["state"] == "deferred")

        airflow.wait_for_run(self.DAG, run, seen=note, timeout=300)
        assert deferred == set(range(6))
        assert max(most) <= 4
        for module in self.MODULES:
            held = zoho.records(module)
            path = output / "morning" / module / "part.parquet"
            assert sorted(row["id"] for row in read_parquet(path)) == sorted(held)
            assert json.loads((path.parent / "_manifest.json").read_text())["rows"] == len(held)


class TestExtract:
    DAG = "example_zohocrm_extract"

    def test_quotes_with_their_items_and_leads_in_a_function(
        self, airflow: RealAirflow, zoho: SimulatedZoho, output: Path
    ) -> None:
        run = airflow.run(self.DAG)
        quotes = zoho.records("Quotes")
        result = airflow.xcom(self.DAG, run, "quotes_with_items")
        assert sorted(row["id"] for row in read_parquet(Path(result["path"]))) == sorted(quotes)
        items = read_parquet(Path(result["subforms"]["Quoted_Items"]["path"]))
        assert sorted(row["id"] for row in items) == sorted(
            item["id"] for quote in quotes.values() for item in quote["Quoted_Items"] or ()
        )
        assert airflow.xcom(self.DAG, run, "leads") == len(zoho.records("Leads"))
        assert (output / "extract" / "leads" / "part.jsonl.gz").exists()


class TestUpsert:
    DAG = "example_zohocrm_upsert"

    def test_good_records_are_in_and_bad_ones_in_a_file(
        self, airflow: RealAirflow, zoho: SimulatedZoho, output: Path
    ) -> None:
        before = zoho.records("Leads")
        known = [record for record in before.values() if record["Email"]][:20]
        good = [
            *(
                {"Email": f"e2e.{n}@example.com", "Last_Name": f"Ünï {n}", "Company": f'Firm "{n}",\nLtd.'}
                for n in range(130)
            ),
            *(
                {"Email": lead["Email"], "Last_Name": lead["Last_Name"], "Company": "Renamed"}
                for lead in known
            ),
        ]
        bad = [
            {"Email": "e2e.noname@example.com", "Company": "No last name"},
            {"Email": "no address", "Last_Name": "Bad", "Company": "Bad address"},
        ]
        source = output / "e2e_leads.jsonl"
        write_jsonl(source, [*good[:7], bad[0], *good[7:], bad[1]])

        run = airflow.run(self.DAG, {"input_path": str(source)})

        counts = airflow.xcom(self.DAG, run, "upsert_leads")
        rejects_path = output / "leads_rejected.jsonl"
        wanted = {"total": 152, "inserted": 130, "updated": 20, "rejected": 2, "unknown": 0}
        assert {name: counts[name] for name in wanted} == wanted
        assert counts["rejects_path"] == str(rejects_path)
        assert airflow.xcom(self.DAG, run, "report") == "130 new, 20 updated, 2 rejected"
        after = zoho.records("Leads")
        assert len(after) == len(before) + 130
        by_email = {record["Email"]: record for record in after.values()}
        for record in good:
            assert {name: by_email[record["Email"]][name] for name in record} == record
        rejects = read_jsonl(rejects_path)
        assert [(each["index"], each["record"]) for each in rejects] == [(7, bad[0]), (151, bad[1])]
        assert [each["code"] for each in rejects] == ["MANDATORY_NOT_FOUND", "INVALID_DATA"]


class TestAssets:
    """A DAG that writes starts one that reads what changed, and that one starts the one that uses the files."""

    WRITE, READ, USE = (f"example_zohocrm_assets_{name}" for name in ("write", "read", "use"))

    @pytest.fixture(scope="class")
    @classmethod
    def runs(cls, airflow: RealAirflow) -> dict[str, str]:
        airflow.unpause(cls.READ)
        airflow.unpause(cls.USE)
        write = airflow.run(cls.WRITE, {"company": "Assets & Co."})
        return {
            cls.WRITE: write,
            cls.READ: airflow.wait_for_started_run(cls.READ),
            cls.USE: airflow.wait_for_started_run(cls.USE),
        }

    def test_the_event_tells_what_was_read(self, airflow: RealAirflow, runs: dict[str, str]) -> None:
        result = airflow.xcom(self.READ, runs[self.READ], "changed")
        (extra,) = airflow.xcom(self.USE, runs[self.USE], "use")
        rows = read_jsonl(Path(result["path"]))
        assert extra["rows"] == result["records"] == len(rows) > 1000
        # What started the run is in it, however short a time ago it was written.
        assert [row["Company"] for row in rows if row["Email"] == "p.boyle@example.com"] == ["Assets & Co."]
        assert extra["files"] == result["path"]
        assert extra["watermark"] == result["max_modified_time"]
        assert extra["manifest"] == result["manifest"]

    def test_the_module_is_an_asset(
        self, airflow: RealAirflow, zoho: SimulatedZoho, runs: dict[str, str]
    ) -> None:
        uri = f"zohocrm://{zoho.url.removeprefix('http://')}/zohocrm_default/Leads"
        found = airflow.api("GET", "/assets", params={"uri_pattern": uri, "only_active": "false"})["assets"]
        assert [each["uri"] for each in found] == [uri]
        events = airflow.api("GET", "/assets/events", params={"asset_id": found[0]["id"]})["asset_events"]
        (event,) = [each for each in events if each["source_dag_id"] == self.WRITE]
        assert event["extra"] == {"rows": 1, "inserted": 1, "updated": 0, "deleted": 0, "rejected": 0}

    def test_the_links_lead_into_the_crm(self, airflow: RealAirflow, runs: dict[str, str]) -> None:
        page = "https://crm.zoho.com/crm/tab/Leads"
        assert airflow.links(self.WRITE, runs[self.WRITE], "lead") == {
            "Zoho CRM module": page,
            "Zoho CRM record": None,
        }
        assert airflow.links(self.READ, runs[self.READ], "changed")["Zoho CRM module"] == page


class TestIncremental:
    def test_the_watermark_is_the_state_of_the_asset(
        self, airflow: RealAirflow, zoho: SimulatedZoho, output: Path
    ) -> None:
        dag = "example_zohocrm_watermark"
        first = airflow.xcom(dag, airflow.run(dag), "leads")
        changes = [{"id": id_, "Company": "Watermark"} for id_ in list(zoho.records("Leads"))[:3]]
        zoho.update("Leads", changes)
        changed_at = time.monotonic()
        by_day = airflow.xcom("example_zohocrm_by_day", airflow.run("example_zohocrm_by_day"), "leads")
        # What was changed in the last 5 seconds is left to the next run.
        time.sleep(max(0.0, changed_at + 7 - time.monotonic()))
        second = airflow.xcom(dag, airflow.run(dag), "leads")
        rows = read_jsonl(Path(second["path"]))
        assert {row["id"] for row in rows} >= {change["id"] for change in changes}
        before = {(row["id"], row["Modified_Time"]) for row in read_jsonl(Path(first["path"]))}
        assert {id_ for id_, _ in before} | {row["id"] for row in rows} == set(zoho.records("Leads"))
        assert not before & {(row["id"], row["Modified_Time"]) for row in rows}
        assert second["deleted"]["records"] == len(read_jsonl(Path(second["deleted"]["path"])))
        variables = airflow.api("GET", "/variables")["variables"]
        assert not [each for each in variables if "watermark" in each["key"]]
        # Nothing was modified on the day before this one.
        assert by_day["records"] == by_day["deleted"]["records"] == 0
        window = json.loads(Path(by_day["manifest"]).read_text())["query"]
        since, before_ = (datetime.fromisoformat(window[f"modified_{end}"]) for end in ("since", "before"))
        assert before_ - since == timedelta(days=1)


class TestDeletedRelated:
    DAG = "example_zohocrm_deleted_related"

    def test_contacts_of_a_deleted_account_are_found(self, airflow: RealAirflow, zoho: SimulatedZoho) -> None:
        contacts = zoho.records("Contacts")
        account = next(each["Account_Name"] for each in contacts.values() if each["Account_Name"])
        since = (datetime.now(tz=timezone.utc) - timedelta(seconds=2)).isoformat(timespec="seconds")
        zoho.delete("Accounts", account["id"])

        run = airflow.run(self.DAG, {"deleted_since": since})

        result = airflow.xcom(self.DAG, run, "contacts_of_deleted_accounts")
        rows = read_jsonl(Path(result["path"]))
        assert {(row["account"], row["account_name"]) for row in rows} == {(account["id"], account["name"])}
        assert {row["contact"]["id"]: row["contact"]["Email"] for row in rows} == {
            id_: each["Email"]
            for id_, each in contacts.items()
            if each["Account_Name"] and each["Account_Name"]["id"] == account["id"]
        }
        assert (result["accounts"], result["contacts"]) == (1, len(rows))


class TestQuery:
    DAG = "example_zohocrm_query"

    def test_queries_counts_and_what_is_gone(self, airflow: RealAirflow, zoho: SimulatedZoho) -> None:
        deals = zoho.records("Deals")
        run = airflow.run(self.DAG)
        stages = airflow.xcom(self.DAG, run, "deals_by_stage")
        assert sum(int(row["deals"]) for row in read_csv(Path(stages["path"]))) == len(deals)
        found = {
            row["id"]: row for row in read_parquet(Path(airflow.xcom(self.DAG, run, "open_deals")["path"]))
        }
        closed = ("Closed Won", "Closed Lost")
        assert set(found) == {id_ for id_, deal in deals.items() if deal["Stage"] not in closed}
        assert {id_: row["Deal_Name"] for id_, row in found.items()} == {
            id_: deals[id_]["Deal_Name"] for id_ in found
        }
        assert airflow.xcom(self.DAG, run, "leads") == len(zoho.records("Leads"))
        gone = [row["id"] for row in airflow.xcom(self.DAG, run, "deleted_accounts")]
        theirs = {
            (each["Account_Name"]["id"], id_)
            for id_, each in zoho.records("Contacts").items()
            if each["Account_Name"] and each["Account_Name"]["id"] in gone
        }
        result = airflow.xcom(self.DAG, run, "their_contacts")
        assert {(row["Parent_Id"], row["id"]) for row in read_jsonl(Path(result["path"]))} == theirs
        mapped = [
            one for one in airflow.task_instances(self.DAG, run) if one["task_id"] == "contacts_of_each"
        ]
        assert sorted(one["map_index"] for one in mapped) == list(range(len(gone)))


class TestSensors:
    DAG = "example_zohocrm_sensors"

    def test_wait_deferred_for_a_job_and_a_record(self, airflow: RealAirflow, zoho: SimulatedZoho) -> None:
        lead = next(iter(zoho.records("Leads")))
        deferred: list[bool] = []

        def note(states: dict[str, str]) -> None:
            if states.get("lead") == "deferred":
                deferred.append(True)
                zoho.update("Leads", [{"id": lead, "Company": "Waited for Ltd."}])

        run = airflow.trigger(self.DAG, {"company": "Waited for Ltd."})
        airflow.wait_for_run(self.DAG, run, seen=note)
        assert deferred, "nothing was there before"
        assert airflow.xcom(self.DAG, run, "job")["count"] == len(zoho.records("Leads"))
        assert airflow.xcom(self.DAG, run, "lead") == {"record_id": lead, "records": 1}


class TestNotifier:
    DAG = "example_zohocrm_notifier"

    def test_a_failed_run_is_a_task_in_the_crm(self, airflow: RealAirflow, zoho: SimulatedZoho) -> None:
        before = zoho.records("Tasks")
        run = airflow.trigger(self.DAG)
        with pytest.raises(RunFailedError):
            airflow.wait_for_run(self.DAG, run)
        limit = time.monotonic() + 120
        # The DAG processor calls it, some time after the run has ended.
        while len(after := zoho.records("Tasks")) == len(before) and time.monotonic() < limit:
            time.sleep(1)
        (task,) = [record for id_, record in after.items() if id_ not in before]
        assert task["Subject"] == f"Airflow: {self.DAG} failed"
        assert run in task["Description"]
        assert task["Priority"] == "High"


class TestCommands:
    def test_airflow_has_the_commands_and_they_find_the_connection(
        self, airflow: RealAirflow, zoho: SimulatedZoho, connection_fields: dict[str, Any]
    ) -> None:
        done = airflow.command("zohocrm", "check")
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("granted") == 6
        secrets = [connection_fields["password"], connection_fields["extra"]["refresh_token"]]
        assert not [secret for secret in secrets if secret in done.stdout + done.stderr]


class TestSecrets:
    """Last, when everything above has left its traces."""

    def test_are_in_no_log_no_xcom_and_not_in_the_database(
        self, airflow: RealAirflow, connection_fields: dict[str, Any]
    ) -> None:
        secrets = [connection_fields["password"], connection_fields["extra"]["refresh_token"]]
        files = [path for path in airflow.home.rglob("*") if path.is_file()]
        names = {path.name for path in files}
        assert {"airflow.db", "standalone.log"} <= names
        assert len([path for path in files if path.name.startswith("attempt=")]) >= 6, (
            "logs of the tasks above"
        )
        for path in files:
            content = path.read_bytes()
            for secret in secrets:
                assert secret.encode() not in content, path
            assert ACCESS_TOKEN.search(content) is None, path
