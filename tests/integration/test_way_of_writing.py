"""ZohoUpsertOperator(operation=…): calls with records, or bulk write, whichever is cheaper."""

from __future__ import annotations

import logging
import re

import pytest
from support.running import run_to_end
from support.simulated import asked, truth

from airflow_provider_zohocrm.exceptions import ZohoCreditLimitError, ZohoValidationError
from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook
from airflow_provider_zohocrm.loading import plan
from airflow_provider_zohocrm.operators.bulk_write import ZohoBulkWriteOperator
from airflow_provider_zohocrm.operators.upsert import ZohoUpsertOperator
from airflow_provider_zohocrm.storage import open_record_writer, read_records

WRITES = "(POST /crm/v8/Leads/upsert|POST /crm/v8/upload)"


def leads(count):
    return [
        {"Email": f"way.{n}@example.com", "Last_Name": f"Ünï {n}", "Company": f'Firm "{n}"'}
        for n in range(count)
    ]


def upsert(records, **options):
    options = {"poll_interval": 0, "max_poll_interval": 0, **options}
    return run_to_end(lambda: ZohoUpsertOperator(task_id="write", module="Leads", records=records, **options))


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize(
    ("operation", "count", "way"),
    [
        ("records", 120, "POST /crm/v8/Leads/upsert"),
        ("bulk", 120, "POST /crm/v8/upload"),
        ("auto", 120, "POST /crm/v8/Leads/upsert"),
    ],
)
def test_every_way_writes_the_same(simulated, operation, count, way, deferrable):
    simulator = simulated({"Leads": 5})
    result, deferrals = upsert(leads(count), operation=operation, deferrable=deferrable)
    assert (result["total"], result["inserted"], result["rejected"]) == (count, count, 0)
    assert bool(deferrals) is (deferrable and operation == "bulk")
    assert {one.split("?")[0] for one in asked(simulator, WRITES)} == {way}
    found = {
        row["Email"]: {name: row[name] for name in ("Email", "Last_Name", "Company")}
        for row in truth(simulator, "Leads", ["Email", "Last_Name", "Company"]).values()
    }
    assert [found[lead["Email"]] for lead in leads(count)] == leads(count)
    assert len(found) >= count


def test_many_records_go_by_bulk_write_and_the_log_tells_why(simulated, caplog):
    simulator = simulated({"Leads": 5})
    with caplog.at_level(logging.INFO):
        result, _ = upsert(leads(12_000), operation="auto")
    assert result["inserted"] == 12_000
    assert "Writing by bulk: records 120 calls, 1200 credits" in caplog.text
    assert not asked(simulator, "upsert")


@pytest.fixture
def cheap_jobs(monkeypatch):
    """Let bulk write pay from some dozen records on."""
    monkeypatch.setattr(plan, "CREDITS_PER_BULK_WRITE", 1)
    for name in ("_CALLS_PER_JOB", "_DEFERRAL", "_FIRST_LOOK"):
        monkeypatch.setattr(plan, name, 0)


NAMED = {"Last_Name": "New", "Company": "Firm"}


def by(*names, **more):
    """Make records out of those in the CRM, by fields of theirs."""
    return lambda rows: [{**NAMED, **{name: row[name] for name in names}, **more} for row in rows]


def some(first, others):
    return lambda rows: [*first(rows[:1]), *others(rows[1:])]


def fresh(**more):
    return lambda rows: [{**NAMED, "Email": f"fresh.{n}@example.com", **more} for n in range(len(rows))]


@pytest.mark.parametrize(
    ("made", "options", "why"),
    [
        (by("id", Email=None), {}, ""),
        (lambda rows: [{"id": row["id"], "City": "Bonn"} for row in rows], {}, ""),
        (by("id", "External_Key"), {}, ""),
        (by("External_Key"), {}, ""),
        (by("External_Key"), {"duplicate_check_fields": ["External_Key"]}, ""),
        (by("External_Key"), {"duplicate_check_fields": ["Email"]}, ""),
        (fresh(Languages=["English", "German"]), {}, ""),
        (fresh(Phone=None), {"ignore_empty": False}, ""),
        (fresh(No_of_Employees="many"), {}, "no row has a field to be found by"),
        (by("External_Key", "Email"), {}, "row 0 may be found by Email or by External_Key"),
        (some(by("Email"), by("External_Key")), {}, "row 1 is found by External_Key, others by Email"),
        (some(fresh(), by("id")), {}, "row 1 is found by id, others by Email"),
        (some(by(), by("id")), {}, "row 0 .*|only some rows have an id"),
        (by(), {}, "no row has a field to be found by"),
        (fresh(Positions=[{"Product_Name": "Pen"}]), {}, "row 0 has a Positions that bulk write cannot take"),
        (some(fresh(), by("Email", Languages=["a;b"])), {}, "row 1 has a Languages that bulk write cannot"),
        (by("Email", Languages=[]), {}, "row 0 empties Languages, which bulk write would leave alone"),
        (
            lambda rows: [{"Email": row["Email"], "City": "Bonn"} for row in rows],
            {},
            "row 0 has no Company",
        ),
        (fresh(City="a\0b"), {}, "row 0 has a NUL character in City"),
        (
            some(fresh(), by("Email", City=None)),
            {"ignore_empty": False},
            "row 1 has other fields than the first",
        ),
        (fresh(Nonsense=1), {"validate": False}, "row 0 has Nonsense, which bulk write does not know"),
        (fresh(City="Bonn"), {"validate": False}, ""),
        (
            fresh(Ledger_Number="007"),
            {"validate": False},
            "row 0 has a Ledger_Number that bulk write would convert",
        ),
        (
            some(fresh(), by("Email", Email_Opt_Out="true")),
            {"validate": False},
            "row 1 has a Email_Opt_Out that bulk write would",
        ),
    ],
)
def test_auto_leaves_and_reports_the_same_as_records(
    simulated, cheap_jobs, tmp_path, caplog, made, options, why
):
    left = []
    for operation in ("records", "auto"):
        simulator = simulated({"Leads": 50})
        rows = sorted(simulator.table("Leads"), key=lambda row: row["id"])
        paths = {"results_path": str(tmp_path / "a.jsonl"), "rejects_path": str(tmp_path / "b.jsonl")}
        caplog.clear()
        with caplog.at_level(logging.INFO):
            result, _ = upsert(
                made(rows), operation=operation, on_reject="continue", max_concurrency=1, **paths, **options
            )
        table = simulator.table("Leads")
        left.append(
            (
                sorted(repr([row.get(name) for name in FIELDS]) for row in table),
                {name: result[name] for name in ("total", "inserted", "updated", "rejected")},
                [(row["index"], row["action"]) for row in read_records(paths["results_path"])],
                [
                    (row["index"], row["code"], row["json_path"])
                    for row in read_records(paths["rejects_path"])
                ],
            )
        )
    assert left[0] == left[1]
    assert bool(asked(simulator, "POST /crm/v8/upload")) is (not why)
    assert bool(asked(simulator, "POST /crm/v8/Leads/upsert")) is (bool(why) and left[0][1]["rejected"] < 50)
    (line,) = [line for line in caplog.messages if line.startswith("Writing by")]
    assert re.search(rf"bulk not: ({why})" if why else "^Writing by bulk", line), line


FIELDS = (
    *("Last_Name", "Company", "Email", "External_Key", "Phone", "City", "Languages", "No_of_Employees"),
)


@pytest.mark.parametrize("name", ["in.csv", "in.jsonl", "in.jsonl.gz", "in.parquet"])
def test_rows_of_files_are_counted_to_choose(simulated, cheap_jobs, tmp_path, caplog, name):
    simulator = simulated({"Leads": 5})
    path = str(tmp_path / name)
    with open_record_writer(path, ["Email", "Last_Name", "Company"]) as writer:
        writer.write(leads(100))
    options = {"operation": "auto", "input_path": path, "max_concurrency": 1}
    assert upsert(None, **options)[0]["inserted"] == 100
    assert not asked(simulator, "POST /crm/v8/Leads/upsert")
    with caplog.at_level(logging.INFO):
        assert upsert(None, duplicate_check_fields=["Email", "External_Key"], **options)[0]["updated"] == 100
    assert asked(simulator, "POST /crm/v8/Leads/upsert")
    if name.endswith("parquet"):
        assert "Leads: 100 of 100 records done" in caplog.text


def test_the_number_of_rows_that_was_counted_tells_the_time_left(simulated, tmp_path, caplog):
    simulated({"Leads": 5})
    with open_record_writer(str(tmp_path / "in.csv"), ["Email", "Last_Name", "Company"]) as writer:
        writer.write(leads(120))
    with caplog.at_level(logging.INFO):
        upsert(None, operation="auto", input_path=str(tmp_path / "in.csv"))
    assert "Writing by records: records 2 calls" in caplog.text
    assert "Leads: 120 of 120 records done" in caplog.text
    assert "0 s left" in caplog.text


@pytest.mark.parametrize("operator", [ZohoUpsertOperator, ZohoBulkWriteOperator])
def test_nothing_is_written_where_the_input_is_read(simulated, tmp_path, operator):
    simulator = simulated({"Leads": 5})
    path = tmp_path / "in.jsonl"
    path.write_text('{"Email":"a@example.com"}\n')
    for input_path, output in ((path, path), (tmp_path, tmp_path / "out.jsonl")):
        for name in ("results_path", "rejects_path"):
            task = operator(task_id="t", module="Leads", input_path=str(input_path), **{name: str(output)})
            with pytest.raises(ZohoValidationError, match="another folder"):
                run_to_end(lambda task=task: task)
    assert not simulator.requests
    assert path.read_text()
    with pytest.raises(ZohoValidationError, match="another folder"):
        ZohoCRMHook().load("upsert", "Leads", input_path=str(path), rejects_path=str(path))


def test_a_choice_lasts_over_a_deferral(simulated, cheap_jobs):
    simulator = simulated({"Leads": 50})
    records = by("External_Key")(simulator.table("Leads"))
    result, deferrals = upsert(records, operation="auto", deferrable=True, max_concurrency=1)
    assert (result["updated"], result["inserted"], bool(deferrals)) == (50, 0, True)
    assert sum(1 for _ in simulator.table("Leads")) == 50


def test_bulk_write_does_not_insert_what_has_an_id(simulated, tmp_path):
    for find_by in (None, "Email"):
        simulator = simulated({"Leads": 5})
        records = [*by("id")(simulator.table("Leads")), *leads(1)]
        result, _ = run_to_end(
            lambda records=records, find_by=find_by: ZohoBulkWriteOperator(
                task_id="t",
                module="Leads",
                records=records,
                find_by=find_by,
                on_reject="continue",
                rejects_path=str(tmp_path / "rejects.jsonl"),
                poll_interval=0,
                max_poll_interval=0,
                deferrable=False,
            )
        )
        assert (result["inserted"], result["rejected"]) == (1, 5)
        assert sum(1 for _ in simulator.table("Leads")) == 6
        rejects = list(read_records(str(tmp_path / "rejects.jsonl")))
        assert {(row["code"], row["json_path"]) for row in rejects} == {("INVALID_DATA", "$.id")}
        assert "to id, or map the column to None" in rejects[0]["message"]


def test_what_bulk_write_has_no_place_for_keeps_to_records(simulated):
    simulator = simulated({"Leads": 5})
    upsert(leads(3), operation="auto", trigger=[])
    assert asked(simulator, "upsert")
    with pytest.raises(ZohoValidationError, match="'bulk' does not know trigger, duplicate_check_fields"):
        upsert(leads(3), operation="bulk", trigger=[], duplicate_check_fields=["Email", "Phone"])


def test_too_few_credits_are_told_before_anything_is_written(simulated):
    simulator = simulated({"Leads": 5})
    with pytest.raises(ZohoCreditLimitError, match="Nothing was written"):
        upsert(leads(1_000), operation="auto", max_credits=50)
    assert not asked(simulator, WRITES)


def test_a_way_that_is_none(simulated):
    with pytest.raises(ZohoValidationError, match="operation is 'fastest'; it must be auto, records or bulk"):
        upsert(leads(3), operation="fastest")
