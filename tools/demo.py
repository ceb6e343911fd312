"""Run the example DAGs on a real Airflow against a simulated Zoho CRM, and compare what they wrote with what the CRM holds."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.files import read_csv, read_jsonl, read_parquet, write_jsonl
from tools.processes import DeadlineError, ProcessEndedError, end_like_ctrl_c_on_sigterm
from tools.real_airflow import AirflowAnswerError, RealAirflow, RunFailedError
from tools.simulated_zoho import SimulatedZoho

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROOT = Path(__file__).parents[1]
SEEDS = {"Leads": 5000, "Accounts": 300, "Contacts": 900}
CHANGED = 37
NEW, KNOWN = 150, 50
CONNECTION = "zohocrm_default"

Record = dict[str, Any]


class DifferenceError(Exception):
    """Raised when a file does not hold what the CRM holds."""


@dataclass(frozen=True)
class Produced:
    """A line of the closing table."""

    what: str
    records: int
    path: Path


class Demo:
    """The steps, in the order in which they are run.

    :param zoho: the simulated CRM, running.
    :param airflow: a real Airflow with the example DAGs, running.
    :param output: the folder to which the DAGs write.
    """

    def __init__(self, zoho: SimulatedZoho, airflow: RealAirflow, output: Path) -> None:
        self.zoho = zoho
        self.airflow = airflow
        self.output = output
        self.produced: list[Produced] = []

    def run(self) -> None:
        """Run all steps; the first that goes wrong raises."""
        self.connect()
        self.pull_everything()
        self.pull_changes()
        self.export_in_bulk()
        self.upsert()
        self.follow_a_deleted_record()

    def connect(self) -> None:
        """Enter the connection, and make sure that its secrets are not shown again."""
        say(f"Connection {CONNECTION}")
        fields = self.zoho.connection()
        self.airflow.create_connection(CONNECTION, "zohocrm", **fields)
        shown = self.airflow.connection(CONNECTION)
        expect(
            "password and refresh token as the API shows them",
            [shown["password"], shown["extra"]["refresh_token"]],
            ["***", "***"],
        )
        works, message = self.airflow.test_connection(CONNECTION, "zohocrm", **fields)
        progress(message)
        expect("the connection works", works, True)

    def pull_everything(self) -> None:
        """Pull all records: the first run has none before it."""
        say(f"Pull all {SEEDS['Leads']} leads")
        written = self._pull("leads, first run")
        expect("number of leads pulled", len(written), SEEDS["Leads"])

    def pull_changes(self) -> None:
        """Change some records in the CRM, and pull again."""
        say(f"Change {CHANGED} leads in the CRM, pull what changed")
        changed = {
            record["id"]
            for record in list(self.zoho.records("Leads").values())[:: SEEDS["Leads"] // CHANGED][:CHANGED]
        }
        self.zoho.update("Leads", [{"id": id_, "Company": f"Renamed Ltd. {id_}"} for id_ in changed])
        written = self._pull("leads, second run")
        expect("ids of the leads pulled", {record["id"] for record in written}, changed)
        expect(
            "their companies",
            {record["Company"] for record in written},
            {f"Renamed Ltd. {id_}" for id_ in changed},
        )

    def export_in_bulk(self) -> None:
        """Export the module twice at the same time, with no worker held meanwhile."""
        say("Bulk export of all leads to CSV and Parquet, in deferrable mode")
        run = self._run("example_zohocrm_bulk_read", deferred={"export_leads_csv", "export_leads_parquet"})
        held = self.zoho.records("Leads")
        for suffix, read in (("csv", read_csv), ("parquet", read_parquet)):
            result = self.airflow.xcom("example_zohocrm_bulk_read", run, f"export_leads_{suffix}")
            (file,) = result["files"]
            rows = read(Path(file["path"]))
            compare_texts(f"bulk export to {suffix}", rows, held)
            self._note(f"leads, bulk export ({suffix})", rows, file["path"])

    def upsert(self) -> None:
        """Write a file with new, known and bad records back to the CRM."""
        say(f"Upsert {NEW} new and {KNOWN} known leads, and 2 bad ones")
        known = [record for record in self.zoho.records("Leads").values() if record["Email"]][:KNOWN]
        good = [
            *(
                {"Email": f"new.{n}@example.com", "Last_Name": f"Nový {n}", "Company": 'Fresh "quoted", Inc.'}
                for n in range(NEW)
            ),
            *(
                {"Email": lead["Email"], "Last_Name": lead["Last_Name"], "Company": "Known & Sons"}
                for lead in known
            ),
        ]
        bad = [
            {"Email": "no.name@example.com", "Company": "Without a last name"},
            {"Email": "not an address", "Last_Name": "Wrong", "Company": "With a bad address"},
        ]
        source = self.output / "leads_to_upsert.jsonl"
        write_jsonl(source, [good[0], bad[0], *good[1:], bad[1]])
        run = self._run("example_zohocrm_upsert", {"input_path": str(source)})
        counts = self.airflow.xcom("example_zohocrm_upsert", run, "upsert_leads")
        progress(self.airflow.xcom("example_zohocrm_upsert", run, "report"))
        expect(
            "counts of the upsert",
            {key: counts[key] for key in ("total", "inserted", "updated", "rejected")},
            {"total": NEW + KNOWN + 2, "inserted": NEW, "updated": KNOWN, "rejected": 2},
        )
        held = {record["Email"]: record for record in self.zoho.records("Leads").values()}
        for record in good:
            expect(
                f"lead {record['Email']} in the CRM",
                {key: held[record["Email"]][key] for key in record},
                record,
            )
        rejects = read_jsonl(Path(counts["rejects_path"]))
        expect("the rejected records", [reject["record"] for reject in rejects], bad)
        for reject in rejects:
            progress(
                f"rejected record {reject['index']}: {reject['code']}, {reject['message']} {reject['details']}"
            )
        self._note("leads, upserted", good, source)
        self._note("leads, rejected with reasons", rejects, counts["rejects_path"])

    def follow_a_deleted_record(self) -> None:
        """Delete an account in the CRM, and read the contacts that belonged to it."""
        say("Delete an account in the CRM, read its contacts from the recycle bin")
        contacts = list(self.zoho.records("Contacts").values())
        account = next(contact["Account_Name"] for contact in contacts if contact["Account_Name"])
        belonging = {
            contact["id"]: contact
            for contact in contacts
            if contact["Account_Name"] and contact["Account_Name"]["id"] == account["id"]
        }
        before = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() - 2))
        self.zoho.delete("Accounts", account["id"])
        run = self._run("example_zohocrm_deleted_related", {"deleted_since": before})
        result = self.airflow.xcom("example_zohocrm_deleted_related", run, "contacts_of_deleted_accounts")
        rows = read_jsonl(Path(result["path"]))
        expect("the deleted account", {row["account"] for row in rows}, {account["id"]})
        found = {row["contact"]["id"]: row["contact"] for row in rows}
        expect("its contacts", set(found), set(belonging))
        for id_, contact in found.items():
            expect(f"e-mail address of contact {id_}", contact["Email"], belonging[id_]["Email"])
        self._note("contacts of a deleted account", rows, result["path"])

    def _pull(self, what: str) -> list[Record]:
        run = self._run("example_zohocrm_get_records")
        result = self.airflow.xcom("example_zohocrm_get_records", run, "pull_leads")
        written = read_jsonl(Path(result["path"]))
        held = self.zoho.records("Leads")
        for record in written:
            expect(f"lead {record['id']}", record, {key: held[record["id"]][key] for key in record})
        expect("number of different ids", len({record["id"] for record in written}), len(written))
        self._note(what, written, result["path"])
        return written

    def _run(
        self, dag_id: str, conf: Mapping[str, Any] | None = None, *, deferred: Iterable[str] = ()
    ) -> str:
        run_id = self.airflow.trigger(dag_id, conf)
        shown: dict[str, str] = {}
        was_deferred: set[str] = set()

        def show(states: Mapping[str, str]) -> None:
            for task, state in states.items():
                if shown.get(task, "none") != state:
                    progress(f"{task}: {state}")
                if state == "deferred":
                    was_deferred.add(task)
            shown.update(states)

        self.airflow.wait_for_run(dag_id, run_id, seen=show)
        expect(f"tasks of {dag_id} that were deferred", was_deferred, set(deferred))
        return run_id

    def _note(self, what: str, rows: Iterable[object], path: str | Path) -> None:
        self.produced.append(Produced(what, len(list(rows)), Path(path)))


def expect(what: str, found: object, wanted: object) -> None:
    """Compare.

    :raises DifferenceError: when the two are not equal.
    """
    if found != wanted:
        raise DifferenceError(f"{what}:\n  found  {shortened(found)}\n  wanted {shortened(wanted)}")


def compare_texts(what: str, rows: Iterable[Mapping[str, Any]], held: Mapping[str, Record]) -> None:
    """Compare the texts of a bulk export with the records of the CRM, where a null and an empty text look the same.

    :raises DifferenceError: when they are not equal.
    """
    # CSV is as Zoho wrote it, with its own name for the id.
    by_id = {str(row.get("Id") or row["id"]): row for row in rows}
    expect(f"{what}: ids", sorted(by_id), sorted(held))
    for id_, row in by_id.items():
        record = held[id_]
        names = [
            name for name in row if name in ("Last_Name", "First_Name", "Email", "Company", "Lead_Status")
        ]
        expect(f"{what}: names of columns", len(names), 5)
        expect(f"{what}: lead {id_}", {n: row[n] or "" for n in names}, {n: record[n] or "" for n in names})


def shortened(value: object) -> str:
    """Return a value as text, with its middle left out where it is long."""
    text = repr(value)
    return text if len(text) < 1500 else f"{text[:1000]} … {text[-400:]}"


STARTED = time.monotonic()


def say(text: str) -> None:
    """Print the beginning of a step."""
    print(f"\n[{time.monotonic() - STARTED:4.0f} s] {text}", flush=True)


def progress(text: str) -> None:
    """Print what happens within a step."""
    print(f"[{time.monotonic() - STARTED:4.0f} s]   {text}", flush=True)


def table(rows: Iterable[Produced]) -> str:
    """Return the closing table."""
    cells = [
        ("What", "Records", "Where"),
        *((row.what, f"{row.records:,}", shown_path(row.path)) for row in rows),
    ]
    first, second = (max(len(cell[column]) for cell in cells) for column in (0, 1))
    lines = [f"  {what:<{first}}  {records:>{second}}  {where}" for what, records, where in cells]
    return "\n".join([lines[0], "  " + "-" * (max(map(len, lines)) - 2), *lines[1:]])


def shown_path(path: Path) -> str:
    """Return a path as short as it can be typed here."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def fresh_folder(path: Path) -> Path:
    """Make an empty folder in place of what an earlier demo wrote."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave Airflow and the CRM running until Ctrl-C")
    return parser.parse_args()


def main() -> int:
    """Run the demo.

    :return: 0 if every run succeeded and every file holds what it should.
    """
    keep = parse_arguments().keep
    end_like_ctrl_c_on_sigterm()
    output = fresh_folder(ROOT / "demo_output")
    zoho = SimulatedZoho(SEEDS, log=output / "simulator.log", options={"job_seconds": 8})
    airflow = RealAirflow(
        output / "airflow", ROOT / "example_dags", environment={"ZOHOCRM_EXAMPLES_OUTPUT": str(output)}
    )
    try:
        say("Start the simulated Zoho CRM and Airflow (half a minute)")
        with zoho, airflow:
            airflow.wait_for_dags(["example_zohocrm_get_records"])
            progress(f"Zoho CRM {zoho.url}, Airflow {airflow.url}")
            demo = Demo(zoho, airflow, output)
            demo.run()
            say("Every run succeeded, and every file holds what the CRM holds:\n")
            print(table(demo.produced))
            print(f"\n  Logs of Airflow: {shown_path(airflow.home / 'logs')}")
            print(f"  Airflow: {airflow.url}  user {airflow.username}  password {airflow.password}")
            if keep:
                print("  Running until Ctrl-C.", flush=True)
                wait_for_ctrl_c()
            else:
                print("  Ended now; `make demo KEEP=1` leaves it running.", flush=True)
    except KeyboardInterrupt:
        print("\nEnded.")
        return 0 if keep else 130
    except (DifferenceError, DeadlineError, ProcessEndedError, RunFailedError, AirflowAnswerError) as error:
        print(f"\nThe last lines of Airflow:\n{airflow.tail()}", file=sys.stderr)
        print(f"\nThe last lines of the simulated CRM:\n{zoho.tail()}", file=sys.stderr)
        print(f"\nFAILED: {error}", file=sys.stderr)
        return 1
    return 0


def wait_for_ctrl_c() -> None:
    """Wait; Ctrl-C raises KeyboardInterrupt."""
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
