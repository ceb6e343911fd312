"""COQL, deleted and related records and counts, from the simulator into files and XCom."""

from __future__ import annotations

import csv
import json
from datetime import datetime, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.running import context, render, run_to_end, through_json
from support.simulated import asked, by_id, truth

from airflow_provider_zohocrm import (
    ZohoCountOperator,
    ZohoGetDeletedRecordsOperator,
    ZohoGetRelatedRecordsOperator,
    ZohoQueryOperator,
)
from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoCreditLimitError,
    ZohoPaginationLimitError,
    ZohoValidationError,
)
from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook

ALL = "select Last_Name, Annual_Revenue, Modified_Time from Leads where id is not null"


def run(operator, **options):
    return run_to_end(lambda: operator(task_id="t", **options))[0]


def lines(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def table(path):
    with Path(path).open(newline="") as file:
        return list(csv.DictReader(file))


# --- COQL ----------------------------------------------------------------------------------------------------------


def test_a_query_is_read_past_what_an_offset_reaches(simulated, tmp_path):
    simulator = simulated({"Leads": 700})
    result = run(
        ZohoQueryOperator, query=ALL + ";", output_path=str(tmp_path / "leads.jsonl"), api_version="v2"
    )
    wanted = truth(simulator, "Leads", ["Last_Name", "Annual_Revenue", "Modified_Time"])
    assert by_id(lines(tmp_path / "leads.jsonl")) == wanted
    assert (result["records"], result["module"], result["strategy"]) == (700, "Leads", "coql")
    assert (result["calls"], result["credits"]) == (4, 4)
    sent = [
        json.loads(one["body"])["select_query"] for one in simulator.requests if one["path"].endswith("/coql")
    ]
    assert len(sent) == 4
    assert [" and id > " in query for query in sent] == [False, True, True, True]
    assert not [query for query in sent if "offset" in query or "," in query.partition(" limit ")[2]]


def test_the_result_has_the_shape_of_get_records(simulated, tmp_path):
    simulated({"Leads": 30})
    path = str(tmp_path / "leads.csv.gz")
    result = run(ZohoQueryOperator, query=ALL, output_path=path, max_records_per_file=20)
    newest = result.pop("max_modified_time")
    assert newest == max(row["Modified_Time"] for row in ZohoCRMHook().extract("Leads", str(tmp_path / "x.jsonl"), strategy="coql") and lines(tmp_path / "x.jsonl"))  # fmt: skip
    assert {name: result[name] for name in ("path", "records", "module", "fields", "strategy")} == {
        "path": path,
        "records": 30,
        "module": "Leads",
        "fields": ["id", "Last_Name", "Annual_Revenue", "Modified_Time"],
        "strategy": "coql",
    }
    assert [Path(file["path"]).name for file in result["files"]] == ["leads.csv.gz", "leads-0002.csv.gz"]
    assert [file["records"] for file in result["files"]] == [20, 10]
    assert result["bytes"] == sum(Path(file["path"]).stat().st_size for file in result["files"])


def test_parquet_has_the_types_of_the_fields(simulated, tmp_path):
    simulator = simulated({"Leads": 20})
    query = "select Last_Name, Annual_Revenue, Email_Opt_Out, Owner, Modified_Time as Changed, Partner.Account_Name from Leads where id is not null"
    run(ZohoQueryOperator, query=query, output_path=str(tmp_path / "leads.parquet"))
    found = pq.read_table(tmp_path / "leads.parquet")
    kinds = {field.name: field.type for field in found.schema}
    assert list(kinds) == ["id", "Last_Name", "Annual_Revenue", "Email_Opt_Out", "Owner", "Changed", "Partner.Account_Name"]  # fmt: skip
    assert pa.types.is_decimal(kinds["Annual_Revenue"])
    assert pa.types.is_boolean(kinds["Email_Opt_Out"])
    assert pa.types.is_struct(kinds["Owner"])
    # What an alias hides has no metadata of its own.
    assert pa.types.is_string(kinds["Changed"]) or pa.types.is_large_string(kinds["Changed"])
    assert sorted(found["id"].to_pylist()) == sorted(truth(simulator, "Leads"))


def test_groups_keep_their_columns(simulated, tmp_path):
    simulator = simulated({"Leads": 90})
    query = "select Lead_Status, count(id) as how_many from Leads where id is not null group by Lead_Status"
    result = run(ZohoQueryOperator, query=query, output_path=str(tmp_path / "status.csv"))
    rows = table(tmp_path / "status.csv")
    assert result["fields"] == ["Lead_Status", "how_many"] == list(rows[0])
    assert sum(int(row["how_many"]) for row in rows) == 90 == len(truth(simulator, "Leads"))
    assert result["max_modified_time"] is None


def test_an_empty_answer_is_an_empty_file_with_its_header(simulated, tmp_path):
    simulated({"Leads": 3})
    query = "select Last_Name, Email from Leads where Last_Name = 'nobody'"
    result = run(ZohoQueryOperator, query=query, output_path=str(tmp_path / "none.csv"))
    assert result["records"] == 0
    assert (tmp_path / "none.csv").read_bytes() == b"id,Last_Name,Email\r\n"
    assert run(ZohoQueryOperator, query=query) == []


def test_few_rows_go_to_xcom_and_many_do_not(simulated):
    simulator = simulated({"Leads": 12})
    query = "select Last_Name from Leads where id is not null"
    assert by_id(run(ZohoQueryOperator, query=query)) == truth(simulator, "Leads", ["Last_Name"])
    assert len(run(ZohoQueryOperator, query=f"{query} limit 5")) == 5
    with pytest.raises(ZohoValidationError, match="output_path"):
        run(ZohoQueryOperator, query=query, max_xcom_records="11")


def test_an_order_of_its_own_is_read_by_offset_and_ends_where_zoho_ends_it(simulated, monkeypatch, tmp_path):
    simulator = simulated({"Leads": 500})
    query = "select Last_Name from Leads where id is not null order by Last_Name"
    rows = run(ZohoQueryOperator, query=query, api_version="v2")
    assert by_id(rows) == truth(simulator, "Leads", ["Last_Name"])
    from airflow_provider_zohocrm.simulator import coql

    monkeypatch.setattr(coql, "_limits", lambda _: (200, 400))
    with pytest.raises(ZohoPaginationLimitError, match="order by"):
        run(ZohoQueryOperator, query=query, api_version="v2", output_path=str(tmp_path / "x.jsonl"))
    assert list(tmp_path.iterdir()) == []
    # By id there is no such end, in either direction.
    for order in ("", " order by id desc"):
        query = f"select Last_Name from Leads where id is not null{order}"
        ids = [row["id"] for row in run(ZohoQueryOperator, query=query, api_version="v2")]
        assert ids == sorted(truth(simulator, "Leads"), key=int, reverse=bool(order))


def test_an_or_in_the_query_does_not_reach_past_the_keyset(simulated):
    simulator = simulated({"Leads": 500})
    query = "select Last_Name from Leads where Annual_Revenue > 1 or Annual_Revenue <= 1 or Annual_Revenue is null"
    rows = run(ZohoQueryOperator, query=query, api_version="v2")
    assert by_id(rows) == truth(simulator, "Leads", ["Last_Name"])


def test_a_query_comes_from_a_file(simulated, tmp_path):
    simulated({"Leads": 8})
    (tmp_path / "some.coql").write_text(
        "select Last_Name from Leads where id is not null limit {{ params.most }}"
    )
    try:
        from airflow.sdk import DAG
    except ImportError:
        from airflow.models.dag import DAG
    with DAG("files", schedule=None, template_searchpath=str(tmp_path)) as dag:
        operator = ZohoQueryOperator(task_id="t", query="some.coql")
    operator.dag = dag
    operator.resolve_template_files()
    render(operator, params={"most": 3})
    assert len(through_json(operator.execute(context()))) == 3


def test_credits_are_bounded(simulated, tmp_path):
    simulator = simulated({"Leads": 500})
    path = str(tmp_path / "x.jsonl")
    with pytest.raises(ZohoCreditLimitError):
        run(ZohoQueryOperator, query=ALL, output_path=path, api_version="v2", max_credits=2)
    assert len(asked(simulator, "coql")) == 2
    assert list(tmp_path.iterdir()) == []


# --- deleted -------------------------------------------------------------------------------------------------------


def test_deleted_records_by_type_and_time(simulated, tmp_path):
    simulator = simulated({"Leads": 450})
    hook = ZohoCRMHook()
    before = {row["id"] for row in hook.get_deleted_records("Leads")}
    gone = sorted(truth(simulator, "Leads"))
    simulator.advance(3600)
    hook.delete_records("Leads", gone[:100])
    between = datetime.fromtimestamp(simulator.advance(3600), timezone.utc)
    hook.delete_records("Leads", gone[100:410])
    path = str(tmp_path / "gone.jsonl")
    result = run(ZohoGetDeletedRecordsOperator, module="Leads", output_path=path)
    rows = by_id(lines(path))
    assert set(rows) == {*before, *gone[:410]}
    assert (result["records"], result["strategy"], result["credits"]) == (len(before) + 410, "deleted", 6)
    # The deletions took four calls, which may lie on both sides of a second.
    last = max(datetime.fromisoformat(row["deleted_time"]) for row in rows.values())
    assert datetime.fromisoformat(result["max_modified_time"]) == last
    later = run(
        ZohoGetDeletedRecordsOperator, module="Leads", deleted_since=between.isoformat(timespec="seconds")
    )
    assert {row["id"] for row in later} == set(gone[100:410])
    permanent = run(ZohoGetDeletedRecordsOperator, module="Leads", type="permanent", deleted_since="")
    assert {row["type"] for row in permanent} == {"permanent"}
    assert {row["id"] for row in permanent} <= before
    soon = "2099-01-01T00:00:00+00:00"
    assert run(ZohoGetDeletedRecordsOperator, module="Leads", deleted_since=soon) == []


def test_deleted_records_have_types_in_parquet(simulated, tmp_path):
    simulator = simulated({"Leads": 3})
    ZohoCRMHook().delete_records("Leads", list(truth(simulator, "Leads")))
    path = tmp_path / "gone.parquet"
    run(ZohoGetDeletedRecordsOperator, module="Leads", output_path=str(path))
    found = pq.read_table(path)
    assert pa.types.is_timestamp(found.schema.field("deleted_time").type)
    rows = found.to_pylist()
    assert {row["type"] for row in rows} == {"recycle", "permanent"}
    assert {row["deleted_by"] is None for row in rows if row["type"] == "permanent"} == {True}
    assert None not in {row["deleted_by"]["name"] for row in rows if row["type"] == "recycle"}


# --- related -------------------------------------------------------------------------------------------------------


def related(simulator, accounts):
    found = {}
    for contact in simulator.table("Contacts"):
        if contact["Account_Name"] and contact["Account_Name"]["id"] in accounts:
            found[contact["id"]] = {
                "Parent_Id": contact["Account_Name"]["id"],
                "id": contact["id"],
                "Last_Name": contact["Last_Name"],
            }
    return found


CONTACTS = {"module": "Accounts", "related_list": "Contacts", "fields": "Last_Name"}


def test_the_records_of_many_parents_go_into_one_file(simulated, tmp_path):
    simulator = simulated({"Accounts": 6, "Contacts": 300})
    accounts = list(truth(simulator, "Accounts"))
    result = run(
        ZohoGetRelatedRecordsOperator,
        record_ids=accounts,
        output_path=str(tmp_path / "contacts.csv"),
        **CONTACTS,
    )
    rows = table(tmp_path / "contacts.csv")
    assert by_id(rows) == related(simulator, accounts)
    assert len(rows) == result["records"] > 200
    assert (result["module"], result["missing"]) == ("Accounts/Contacts", [])
    assert result["fields"] == ["Parent_Id", "id", "Last_Name"]


def test_a_field_that_is_called_like_the_parent_does_not_hide_it(simulated):
    simulator = simulated({"Leads": 3, "Notes": 40})
    leads = list(truth(simulator, "Leads"))
    rows = run(
        ZohoGetRelatedRecordsOperator,
        module="Leads",
        related_list="Notes",
        record_ids=leads,
        fields="Note_Title,Parent_Id",
    )
    parents = {note["id"]: (note["Parent_Id"] or {}).get("id") for note in simulator.table("Notes")}
    assert {row["id"]: row["Parent_Id"] for row in rows} == {
        note: parent for note, parent in parents.items() if parent in leads
    }
    assert rows


@pytest.mark.parametrize("form", ["one", "text", "json", "number", "record", "records"])
def test_ids_come_in_many_forms(simulated, form):
    simulator = simulated({"Accounts": 2, "Contacts": 30})
    one, other = truth(simulator, "Accounts")
    forms = {
        "one": one,
        "text": f" {one}, {other}",
        "json": json.dumps([one, other]),
        "number": int(one),
        "record": {"id": one},
        "records": [{"id": one, "display_name": "x"}, {"id": other}],
    }
    rows = run(ZohoGetRelatedRecordsOperator, record_ids=forms[form], **CONTACTS)
    wanted = [one] if form in ("one", "number", "record") else [one, other]
    assert by_id(rows) == related(simulator, wanted)


def test_the_records_of_deleted_parents(simulated):
    simulator = simulated({"Accounts": 3, "Contacts": 60})
    accounts = list(truth(simulator, "Accounts"))
    ZohoCRMHook().delete_records("Accounts", accounts[:2])
    deleted = run(ZohoGetDeletedRecordsOperator, module="Accounts", type="recycle")
    rows = run(ZohoGetRelatedRecordsOperator, record_ids=deleted, deleted="true", **CONTACTS)
    assert {*accounts[:2]} <= {row["Parent_Id"] for row in rows}
    assert by_id(rows) == related(simulator, {row["id"] for row in deleted})
    with pytest.raises(ZohoValidationError, match="v8"):
        run(ZohoGetRelatedRecordsOperator, record_ids=deleted, deleted=True, api_version="v7", **CONTACTS)


@pytest.mark.parametrize("deleted", [False, True])
def test_a_parent_that_is_gone_fails_the_task_or_is_told(simulated, tmp_path, deleted):
    simulator = simulated({"Accounts": 3, "Contacts": 60})
    accounts = list(truth(simulator, "Accounts"))
    wanted = related(simulator, accounts[:1])
    if deleted:
        ZohoCRMHook().delete_records("Accounts", accounts[:1])
    options = {"record_ids": [accounts[0], "123"], "deleted": deleted, **CONTACTS}
    with pytest.raises(ZohoAPIError, match="INVALID_DATA"):
        run(ZohoGetRelatedRecordsOperator, **options)
    path = str(tmp_path / "contacts.jsonl")
    result = run(ZohoGetRelatedRecordsOperator, on_missing="skip", output_path=path, **options)
    assert result["missing"] == ["123"]
    assert by_id(lines(path)) == wanted
    # A list that does not exist is no missing parent.
    with pytest.raises(ZohoAPIError, match="relation name"):
        run(ZohoGetRelatedRecordsOperator, on_missing="skip", **{**options, "related_list": "Nothings"})


def test_no_parents_are_no_rows(simulated):
    simulator = simulated({"Accounts": 1})
    assert run(ZohoGetRelatedRecordsOperator, record_ids=[], **CONTACTS) == []
    assert asked(simulator) == []


# --- count ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["int", "str"])
def test_records_are_counted(simulated, kind):
    simulator = simulated({"Leads": 260}, count_as=kind)
    assert run(ZohoCountOperator, module="Leads", criteria="") == 260
    status = next(simulator.table("Leads"))["Lead_Status"]
    some = run(ZohoCountOperator, module="Leads", criteria=f"(Lead_Status:equals:{status})")
    assert some == sum(one["Lead_Status"] == status for one in simulator.table("Leads"))
    assert asked(simulator, "/crm/") == ["GET /crm/v8/Leads/actions/count"] * 2
