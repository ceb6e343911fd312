from __future__ import annotations

import csv
import gzip
import json
from decimal import Decimal

import pytest
from support.running import context, render
from support.zoho import fields, refusal, written

from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoRejectedRecordsError,
    ZohoResponseError,
    ZohoValidationError,
)
from airflow_provider_zohocrm.operators.upsert import ZohoUpsertOperator
from airflow_provider_zohocrm.storage import read_records

UPSERT = "/crm/v8/Leads/upsert"


def people(count, start=0):
    return [{"Last_Name": f"Boyle {n}", "Email": f"{n}@example.com"} for n in range(start, start + count)]


def made(**options):
    """One call after the other, without the call for the fields, unless a test says otherwise."""
    fixed = {"task_id": "t", "module": "Leads", "validate": False, "max_concurrency": 1}
    return ZohoUpsertOperator(**{**fixed, **options})


def counted(**counts):
    """Build what a task returns."""
    path = counts.pop("rejects_path", None)
    return {
        "total": 0,
        "inserted": 0,
        "updated": 0,
        "deleted": 0,
        "rejected": 0,
        "unknown": 0,
        "results_path": None,
        "results_paths": [],
        "rejects_path": path,
        "rejects_paths": [] if path is None else [path],
        **counts,
    }


def run(task_context=None, **options):
    return made(**options).execute(context() if task_context is None else task_context)


def bodies(zoho):
    return [one.json for one in zoho.calls]


def test_inserted_and_updated_are_counted(zoho):
    zoho.on("POST", UPSERT, written("insert", "update", "update"))
    assert run(records=people(3)) == counted(total=3, inserted=1, updated=2, calls=1, credits=1)
    assert bodies(zoho) == [{"data": people(3)}]


def test_records_go_in_batches_of_100_in_their_order(zoho):
    zoho.on("POST", UPSERT, *[written(*["insert"] * size) for size in (100, 100, 50)])
    assert run(records=people(250))["total"] == 250
    assert [one for body in bodies(zoho) for one in body["data"]] == people(250)
    assert [len(body["data"]) for body in bodies(zoho)] == [100, 100, 50]


def test_no_records_are_no_calls(zoho, tmp_path):
    path = str(tmp_path / "rejects.jsonl")
    assert run(records=[], rejects_path=path) == counted(rejects_path=path, calls=0, credits=0)
    assert zoho.calls == []
    assert list(read_records(path)) == []


@pytest.mark.parametrize(
    ("trigger", "sent"),
    [
        (None, {}),
        ("{{ none }}", {}),
        ([], {"trigger": []}),
        ("[]", {"trigger": []}),
        (["workflow", "blueprint"], {"trigger": ["workflow", "blueprint"]}),
        ('["approval"]', {"trigger": ["approval"]}),
    ],
)
def test_trigger_none_leaves_the_key_out_and_an_empty_list_runs_none(zoho, trigger, sent):
    zoho.on("POST", UPSERT, written("insert"))
    render(made(records=people(1), trigger=trigger)).execute(context())
    assert bodies(zoho) == [{"data": people(1), **sent}]


def test_all_options_reach_zoho(zoho):
    zoho.on("POST", UPSERT, written("insert"))
    run(
        records=people(1),
        duplicate_check_fields=["Email", "Phone"],
        apply_feature_execution=["layout_rules"],
        skip_feature_execution=[{"name": "cadences"}],
        external_id="External_Key",
        lar_id=77,
    )
    assert bodies(zoho) == [
        {
            "data": people(1),
            "duplicate_check_fields": ["Email", "Phone"],
            "apply_feature_execution": [{"name": "layout_rules"}],
            "skip_feature_execution": [{"name": "cadences"}],
            "lar_id": "77",
        }
    ]
    assert zoho.calls[0].headers["X-EXTERNAL"] == "Leads.External_Key"


def test_texts_that_templates_render_are_understood(zoho):
    zoho.on("POST", UPSERT, written("insert", "update"))
    task = made(
        records="{{ rows | tojson }}",
        input_path="{{ none }}",
        duplicate_check_fields="{{ 'Email,Phone' }}",
        apply_feature_execution='["layout_rules"]',
        skip_feature_execution="{{ none }}",
        external_id="{{ '' }}",
        lar_id="{{ none }}",
        rejects_path="{{ none }}",
        on_reject="{{ 'continue' }}",
        max_reject_ratio="{{ 0.5 }}",
        api_version="{{ 'v8' }}",
    )
    render(task, rows=people(2)).execute(context())
    (body,) = bodies(zoho)
    assert body["data"] == people(2)
    assert body["duplicate_check_fields"] == ["Email", "Phone"]
    assert set(body) == {"data", "duplicate_check_fields", "apply_feature_execution"}


# --- input files -------------------------------------------------------------------------------------------------


def test_jsonl_keeps_the_types_of_its_values(zoho, tmp_path):
    rows = [
        {
            "Last_Name": "Zoë",
            "Score": 1.25,
            "Tags": ["a"],
            "Owner": {"id": "4150868000000225013"},
            "Phone": None,
        }
    ]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    zoho.on("POST", UPSERT, written("insert"))
    run(input_path=str(tmp_path / "x.jsonl"), ignore_empty=False)
    assert bodies(zoho) == [{"data": rows}]


def test_jsonl_gz_is_unpacked(zoho, tmp_path):
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(json.dumps(people(1)[0]).encode()))
    zoho.on("POST", UPSERT, written("insert"))
    run(input_path=str(tmp_path / "x.jsonl.gz"))
    assert bodies(zoho) == [{"data": people(1)}]


def test_texts_of_a_csv_become_the_types_of_the_fields_and_an_empty_cell_leaves_the_field_alone(
    zoho, tmp_path
):
    with (tmp_path / "x.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["Last_Name", "Employees", "Opt_Out", "Revenue", "Owner", "Languages", "Phone", "Number"]
        )
        writer.writerow(['Bo"yle,\nSam', "7", "true", "1234.50", "4150868000000225013", "de;fr", "", "0049"])
        writer.writerow(["株", "many", "", "", "", "", "123", ""])
    zoho.on(
        "GET",
        "/crm/v8/settings/fields",
        fields(
            "Last_Name",
            "Phone",
            "Number",
            Employees=("integer", "integer"),
            Opt_Out=("boolean", "boolean"),
            Revenue=("currency", "double"),
            Owner=("ownerlookup", "jsonobject"),
            Languages=("multiselectpicklist", "jsonarray"),
        ),
    )
    zoho.on("POST", UPSERT, written("insert", "insert"))
    run(input_path=str(tmp_path / "x.csv"))
    data = json.loads(zoho.calls[-1].text, parse_float=Decimal)["data"]
    assert data == [
        {
            "Last_Name": 'Bo"yle,\nSam',
            "Employees": 7,
            "Opt_Out": True,
            "Revenue": Decimal("1234.50"),
            "Owner": {"id": "4150868000000225013"},
            "Languages": ["de", "fr"],
            "Number": "0049",
        },
        # What does not fit is left for Zoho to reject with a reason.
        {"Last_Name": "株", "Employees": "many", "Phone": "123"},
    ]


def test_parquet_is_read(zoho, tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "x.parquet"
    parquet.write_table(pa.table({"Last_Name": ["a", "b"], "Score": [1.5, 2.5]}), path)
    zoho.on("POST", UPSERT, written("insert", "update"))
    assert run(input_path=str(path))["updated"] == 1
    assert bodies(zoho) == [{"data": [{"Last_Name": "a", "Score": 1.5}, {"Last_Name": "b", "Score": 2.5}]}]


def test_an_input_file_is_not_read_at_once(zoho, tmp_path):
    """A row that cannot be read stops the task at that row, after the batches before it."""
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in people(100)) + "{broken\n")
    zoho.on("POST", UPSERT, written(*["insert"] * 100))
    with pytest.raises(Exception, match=r"101|x\.jsonl"):
        run(input_path=str(path))
    assert len(zoho.calls) == 1


# --- rejects -----------------------------------------------------------------------------------------------------


def test_by_default_one_reject_fails_the_task_after_all_batches_were_tried(zoho, tmp_path):
    path = str(tmp_path / "rejects.jsonl")
    zoho.on(
        "POST",
        UPSERT,
        written("INVALID_DATA", *["insert"] * 99),
        written(*["update"] * 99, "MANDATORY_NOT_FOUND"),
        written("insert"),
    )
    given = context()
    with pytest.raises(ZohoRejectedRecordsError) as failed:
        run(given, records=people(201), rejects_path=path)
    assert "2 of 201" in str(failed.value)
    assert path in str(failed.value)
    assert len(zoho.calls) == 3
    rows = list(read_records(path))
    assert [(row["index"], row["code"], row["record"]) for row in rows] == [
        (0, "INVALID_DATA", people(1)[0]),
        (199, "MANDATORY_NOT_FOUND", people(1, 199)[0]),
    ]
    assert rows[0]["message"] == "invalid data"
    assert rows[0]["details"] == {"api_name": "Email", "json_path": "$.data[0].Email"}
    assert rows[0]["json_path"] == "$.Email"
    assert set(rows[0]) == {"index", "code", "message", "details", "json_path", "record"}
    summary = counted(total=201, inserted=100, updated=99, rejected=2, rejects_path=path, calls=3, credits=21)
    assert given["ti"].xcoms["summary"] == summary
    assert [one["index"] for one in given["ti"].xcoms["rejects"]] == [0, 199]


def test_on_reject_continue_goes_on(zoho):
    zoho.on("POST", UPSERT, written("insert", "INVALID_DATA"))
    result = run(records=people(2), on_reject="continue")
    assert result == counted(total=2, inserted=1, rejected=1, calls=1, credits=1)


def test_a_batch_of_which_nothing_was_taken_is_read_per_record_too(zoho):
    zoho.on("POST", UPSERT, written("INVALID_DATA", "DUPLICATE_DATA"))
    assert run(records=people(2), on_reject="continue")["rejected"] == 2


@pytest.mark.parametrize("status", [200, 201, 202, 207, 400])
def test_results_are_read_per_record_whatever_the_status(zoho, status):
    zoho.on("POST", UPSERT, {**written("insert", "INVALID_DATA"), "status_code": status})
    summary = run(records=people(2), on_reject="continue")
    assert (summary["inserted"], summary["rejected"]) == (1, 1)


@pytest.mark.parametrize(
    ("ratio", "rejected", "fails"),
    [(0.1, 1, False), ("0.1", 2, True), (0, 1, True), (1, 10, False), ("{{ 0.2 }}", 2, False)],
)
@pytest.mark.parametrize("on_reject", ["fail", "continue"])
def test_max_reject_ratio_decides_before_on_reject(zoho, ratio, rejected, fails, on_reject):
    zoho.on("POST", UPSERT, written(*["INVALID_DATA"] * rejected, *["insert"] * (10 - rejected)))
    task = render(made(records=people(10), max_reject_ratio=ratio, on_reject=on_reject))
    if fails:
        with pytest.raises(ZohoRejectedRecordsError, match=f"{rejected} of 10"):
            task.execute(context())
    else:
        assert task.execute(context())["rejected"] == rejected


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "csv", "parquet"])
def test_rejects_are_written_in_every_format(zoho, tmp_path, suffix):
    path = str(tmp_path / f"rejects.{suffix}")
    zoho.on("POST", UPSERT, written("insert", "INVALID_DATA"))
    run(records=people(2), on_reject="continue", rejects_path=path)
    (row,) = read_records(path)
    assert int(row["index"]) == 1
    record = row["record"]
    assert (json.loads(record) if isinstance(record, str) else record) == people(1, 1)[0]


def test_a_run_without_rejects_replaces_the_rejects_of_the_run_before(zoho, tmp_path):
    path = tmp_path / "rejects.jsonl"
    path.write_text('{"index": 0}\n')
    zoho.on("POST", UPSERT, written("insert"))
    run(records=people(1), rejects_path=str(path))
    assert path.read_text() == ""


def test_a_flat_error_in_the_third_batch_still_publishes_the_rejects_of_the_first_two(zoho, tmp_path):
    path = str(tmp_path / "rejects.jsonl")
    zoho.on(
        "POST",
        UPSERT,
        written("INVALID_DATA", *["insert"] * 99),
        written(*["insert"] * 98, "DUPLICATE_DATA", "insert"),
        refusal(400, "INVALID_MODULE"),
    )
    given = context()
    with pytest.raises(ZohoAPIError, match=r"INVALID_MODULE.*rows 200 to 299"):
        run(given, records=people(300), rejects_path=path)
    assert [row["index"] for row in read_records(path)] == [0, 198]
    assert given["ti"].xcoms["summary"] == counted(
        total=200, inserted=198, rejected=2, rejects_path=path, calls=3, credits=30
    )
    assert len(zoho.calls) == 3


def test_a_result_too_few_is_an_error_not_a_shift(zoho):
    zoho.on("POST", UPSERT, written("insert", "insert"))
    with pytest.raises(ZohoResponseError, match=r"3 records.*2 results"):
        run(records=people(3))


def test_a_record_that_is_none_is_named_by_its_place_in_the_input(zoho):
    with pytest.raises(ZohoValidationError, match="record 150"):
        run(records=[*people(150), "no dict", *people(10)])
    assert zoho.calls == []


def test_an_upsert_is_repeated_after_a_failure_that_may_pass(zoho):
    zoho.on(
        "POST",
        UPSERT,
        {"status_code": 500, "text": ""},
        {"status_code": 429, "json": {"code": "TOO_MANY_REQUESTS"}},
        {"text": '{"data": [{"co'},
        written("insert"),
    )
    assert run(records=people(1))["total"] == 1
    assert bodies(zoho) == [{"data": people(1)}] * 4


def test_ten_thousand_rejects_do_not_go_to_xcom(zoho):
    zoho.on("POST", UPSERT, written(*["INVALID_DATA"] * 100))
    given = context()
    run(given, records=people(300), on_reject="continue")
    assert len(given["ti"].xcoms["rejects"]) == 100
    assert not [one for one in given["ti"].xcoms["rejects"] if "record" in one]
