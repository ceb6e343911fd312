"""Files that modules start from."""

from __future__ import annotations

import csv
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from airflow_provider_zohocrm.simulator.server import Simulator
from simulator.wire import Zoho

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def lines(path: Path, *records: dict[str, object]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def test_directory_with_both_kinds(tmp_path: Path):
    account, contact = "3652397003000000001", "3652397002000000001"
    lines(
        tmp_path / "accounts.jsonl",
        {"id": account, "Account_Name": "Zylker \u00c4rzte", "Employees": 12, "$state": "x"},
    )
    with (tmp_path / "Contacts.csv").open("w", encoding="utf-8-sig", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(
            [
                "Id",
                "Last_Name",
                "Account_Name",
                "Email_Opt_Out",
                "Languages",
                "Created_Time",
                "Owner",
                "Tag",
                "Owner.name",
            ]
        )
        writer.writerow(
            [
                contact,
                "a\nb",
                account,
                "true",
                "English;Deutsch",
                "2020-01-02T03:04:05+05:30",
                "77",
                "x;y",
                "?",
            ]
        )
        writer.writerow(["", "No id", "", "false", "", "", "", "", ""])
    with Simulator({"Leads": 3}, data=tmp_path) as simulator:
        assert next(iter(simulator.table("Accounts")))["Employees"] == 12
        first, second = simulator.table("Contacts")
        assert (first["id"], first["Last_Name"], first["Languages"]) == (
            contact,
            "a\nb",
            ["English", "Deutsch"],
        )
        assert first["Account_Name"] == {"name": "Zylker \u00c4rzte", "id": account}
        assert (first["Email_Opt_Out"], first["Created_Time"]) == (True, "2020-01-02T03:04:05+05:30")
        assert (first["Owner"]["id"], [tag["name"] for tag in first["Tag"]]) == ("77", ["x", "y"])
        assert (second["Last_Name"], second["Account_Name"], len(second["id"])) == ("No id", None, 19)
        assert len(list(simulator.table("Leads"))) == 3
        # Deals, filled by computation, point at the accounts of the file or at none.
        assert {deal["Account_Name"] and deal["Account_Name"]["id"] for deal in simulator.table("Deals")} == {
            None
        }


def bare(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without the names over lookups: the accounts in the recycle bin are in no table."""
    return [{**row, "Partner": row["Partner"] and row["Partner"]["id"]} for row in rows]


def test_a_table_can_be_taken_over(tmp_path: Path):
    with Simulator({"Leads": 30, "Accounts": 5}) as simulator:
        zoho = Zoho(simulator)
        zoho.post("/crm/v8/Leads", {"data": [{"Last_Name": "New", "Company": "x"}]})
        rows = {name: list(simulator.table(name)) for name in ("Leads", "Accounts")}
    for name, records in rows.items():
        lines(tmp_path / f"{name}.jsonl", *records)
    with Simulator(data=tmp_path) as simulator:
        assert bare(simulator.table("Leads")) == bare(rows["Leads"])
        zoho = Zoho(simulator)
        added = zoho.post("/crm/v8/Leads", {"data": [{"Last_Name": "More", "Company": "x"}]}).json()["data"][
            0
        ]
        # An id from the file is not given out again.
        assert added["details"]["id"] not in {row["id"] for row in rows["Leads"]}
        assert zoho.get("/crm/v8/Leads", {"ids": rows["Leads"][3]["id"], "fields": "id"}).status_code == 200
        found = zoho.post("/crm/v8/Leads/upsert", {"data": [rows["Leads"][3]]}).json()["data"][0]
        assert found["details"]["id"] == rows["Leads"][3]["id"]
        simulator.reset()
        assert bare(simulator.table("Leads")) == bare(rows["Leads"])
        simulator.seed({"Accounts": 3})
        assert len(list(simulator.table("Leads"))) == 31
        simulator.seed({"Leads": 2})
        simulator.reset()
        assert len(list(simulator.table("Leads"))) == 2


def test_a_state_file_goes_before_the_data_it_was_filled_from(tmp_path: Path):
    state, file = str(tmp_path / "state.sqlite"), tmp_path / "Campaigns.jsonl"
    lines(file, {"Campaign_Name": "one"})
    with Simulator(data=file, state_file=state) as simulator:
        Zoho(simulator).post("/crm/v8/Campaigns", {"data": [{"Campaign_Name": "two"}]})
    with Simulator(data=file, state_file=state) as simulator:
        assert {record["Campaign_Name"] for record in simulator.table("Campaigns")} == {"one", "two"}
        simulator.reset()
        Zoho(simulator).post("/crm/v8/Campaigns", {"data": [{"Campaign_Name": "three"}]})
        simulator.reset()
        assert [record["Campaign_Name"] for record in simulator.table("Campaigns")] == ["one"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("Nothing.jsonl", "", "known: Accounts"),
        ("Leads.txt", "", "<module>.jsonl or <module>.csv"),
        ("Leads.jsonl", '{"Last_Name": "x"}\n\n{"Birthdate": 1}', "Leads.jsonl line 3: Leads has no field 'Birthdate'"),
        ("Leads.jsonl", '{"Email": "x"}', "line 1: Email is no email: 'x'"),
        ("Leads.jsonl", '{"id": "abc"}', "line 1: 'abc' is no id"),
        ("Leads.jsonl", '{"Created_Time": "today"}', "Created_Time is no date-time"),
        ("Leads.jsonl", '{"Owner": {}}', "Owner has no id"),
        ("Leads.jsonl", "[1]", "an object is expected"),
        ("Leads.jsonl", "{", "Leads.jsonl line 1"),
        ("Leads.csv", "Last_Name,No_of_Employees\r\nx,many\r\n", "Leads.csv line 2: No_of_Employees is no integer: 'many'"),
        ("Leads.csv", "Last_Name\r\nx,y\r\n", "Leads.csv line 2: more cells than the header has"),
    ],
)  # fmt: skip
def test_files_that_are_refused(tmp_path: Path, name: str, text: str, message: str):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(message)):
        Simulator(data=tmp_path / name)


def test_directories_that_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"no \.jsonl or \.csv"):
        Simulator(data=tmp_path)
    with pytest.raises(ValueError, match="does not exist"):
        Simulator(data=tmp_path / "absent")
    lines(tmp_path / "Leads.jsonl")
    (tmp_path / "leads.csv").write_text("Last_Name\r\n")
    with pytest.raises(ValueError, match="two files for Leads"):
        Simulator(data=tmp_path)
