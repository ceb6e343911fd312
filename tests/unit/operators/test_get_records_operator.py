from __future__ import annotations

import csv
import gzip
import json
from datetime import datetime, timedelta, timezone

import pytest
from support.running import context, render
from support.zoho import fields, page, refusal

from airflow_provider_zohocrm.exceptions import ZohoServerError, ZohoValidationError
from airflow_provider_zohocrm.operators.records import ZohoGetRecordsOperator

LEADS = [
    {"id": "4150868000000376008", "Last_Name": 'Bo"yle,\nSam', "Modified_Time": "2026-01-05T01:00:00+05:30"},
    {"id": "4150868000000376009", "Last_Name": "Ünal 株", "Modified_Time": "2026-01-04T23:00:00+00:00"},
    {"id": "4150868000000376010", "Last_Name": None, "Modified_Time": "2026-01-04T18:30:00-05:00"},
]
FIELDS = ["Last_Name", "Modified_Time"]
DESCRIBED = fields("Last_Name", Modified_Time=("datetime", "string"))


def run(**options):
    return ZohoGetRecordsOperator(**{"task_id": "t", "module": "Leads", **options}).execute(context())


@pytest.fixture
def leads(zoho):
    zoho.on("GET", "/crm/v8/Leads", page(LEADS[:2], more="t2"), page(LEADS[2:]))
    return zoho


def test_without_a_path_the_records_are_returned(leads):
    assert run(fields=FIELDS) == LEADS


def test_jsonl_holds_the_records_as_they_are(leads, tmp_path):
    path = tmp_path / "deep" / "leads.jsonl"
    result = run(fields=FIELDS, output_path=str(path))
    assert [json.loads(line) for line in path.read_text().splitlines()] == LEADS
    assert result == {
        "path": str(path),
        "records": 3,
        "bytes": path.stat().st_size,
        "module": "Leads",
        "fields": FIELDS,
        "max_modified_time": "2026-01-04T23:30:00+00:00",
        "strategy": "records",
        "files": [{"path": str(path), "records": 3, "bytes": path.stat().st_size}],
        "subforms": {},
        "manifest": str(tmp_path / "deep" / "_manifest.json"),
        "calls": 2,
        "credits": 2,
    }


def test_jsonl_gz_is_packed(leads, tmp_path):
    path = tmp_path / "leads.jsonl.gz"
    result = run(fields=FIELDS, output_path=str(path))
    assert [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()] == LEADS
    assert result["bytes"] == path.stat().st_size


def test_csv_has_the_id_and_the_fields_in_the_order_given(leads, tmp_path):
    path = tmp_path / "leads.csv"
    result = run(fields="Modified_Time,Last_Name", output_path=str(path))
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["id", "Modified_Time", "Last_Name"]
    assert [row["Last_Name"] for row in rows] == ['Bo"yle,\nSam', "Ünal 株", ""]
    assert [row["id"] for row in rows] == [lead["id"] for lead in LEADS]
    assert result["fields"] == ["Modified_Time", "Last_Name"]


def test_parquet_has_the_id_and_the_fields(leads, tmp_path):
    import pyarrow.parquet

    path = tmp_path / "leads.parquet"
    leads.on("GET", "/crm/v8/settings/fields", DESCRIBED)
    run(fields=FIELDS, output_path=str(path))
    table = pyarrow.parquet.read_table(path)
    assert table.column_names == ["id", *FIELDS]
    assert table.to_pylist() == [
        {**lead, "Modified_Time": datetime.fromisoformat(lead["Modified_Time"])} for lead in LEADS
    ]
    assert str(table.schema.field("Modified_Time").type) == "timestamp[us, tz=UTC]"


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_without_fields_their_names_come_from_the_metadata_in_one_call(zoho, tmp_path, suffix):
    described = fields("Last_Name", "Modified_Time", Items=("subform", "jsonarray"))
    zoho.on("GET", "/crm/v8/settings/fields", described)
    zoho.on("GET", "/crm/v8/Leads", page(LEADS))
    result = run(output_path=str(tmp_path / f"x.{suffix}"))
    assert result["fields"] == FIELDS
    assert zoho.asked == ["GET /crm/v8/settings/fields", "GET /crm/v8/Leads"]


def test_v2_reads_all_fields_without_metadata(zoho, tmp_path):
    zoho.on("GET", "/crm/v2/Leads", page(LEADS, more=False))
    result = run(output_path=str(tmp_path / "x.jsonl"), api_version="v2")
    assert (result["records"], result["fields"]) == (3, None)
    assert zoho.asked == ["GET /crm/v2/Leads"]


def test_modified_time_that_is_not_read_gives_no_watermark(zoho, tmp_path):
    zoho.on("GET", "/crm/v8/Leads", page([{"id": "1", "Last_Name": "a"}]))
    assert run(fields="Last_Name", output_path=str(tmp_path / "x.jsonl"))["max_modified_time"] is None


def test_the_watermark_is_taken_as_modified_since_of_the_next_run(leads, tmp_path):
    newest = run(fields=FIELDS, output_path=str(tmp_path / "x.jsonl"))["max_modified_time"]
    leads.on("GET", "/crm/v8/Leads", {"status_code": 304, "text": ""})
    made = ZohoGetRecordsOperator(
        task_id="t",
        module="Leads",
        fields=FIELDS,
        modified_since="{{ newest }}",
        output_path=str(tmp_path / "y.jsonl"),
    )
    result = render(made, newest=newest).execute(context())
    assert leads.calls[-1].headers["If-Modified-Since"] == newest
    assert (result["records"], result["max_modified_time"]) == (0, None)


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_nothing_found_is_an_empty_file(zoho, tmp_path, status, suffix):
    from airflow_provider_zohocrm.storage import read_records

    path = tmp_path / f"x.{suffix}"
    zoho.on("GET", "/crm/v8/settings/fields", DESCRIBED)
    zoho.on("GET", "/crm/v8/Leads", {"status_code": status, "text": ""})
    result = run(fields=FIELDS, output_path=str(path), modified_since="2026-01-01T00:00:00Z")
    assert result["records"] == 0
    assert result["bytes"] == path.stat().st_size
    assert list(read_records(str(path))) == []


@pytest.mark.parametrize("status", [204, 304])
def test_nothing_found_is_an_empty_list(zoho, status):
    zoho.on("GET", "/crm/v8/Leads", {"status_code": status, "text": ""})
    assert run(fields=FIELDS) == []


def test_as_many_records_as_xcom_may_hold_are_returned(leads):
    assert len(run(fields=FIELDS, max_xcom_records=3)) == 3


def test_more_records_than_xcom_may_hold_are_an_error_that_names_the_way_out(leads):
    with pytest.raises(ZohoValidationError, match="output_path") as refused:
        run(fields=FIELDS, max_xcom_records="2")
    assert "more than 2 records" in str(refused.value)


def test_no_page_is_read_beyond_what_xcom_may_hold(leads):
    with pytest.raises(ZohoValidationError):
        run(fields=FIELDS, max_xcom_records=1)
    assert len(leads.calls) == 1


def test_a_file_takes_more_than_xcom_may_hold(leads, tmp_path):
    assert run(fields=FIELDS, max_xcom_records=1, output_path=str(tmp_path / "x.jsonl"))["records"] == 3


def test_a_failure_on_the_way_leaves_no_file_and_keeps_the_old_one(zoho, tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text("of yesterday\n")
    zoho.on("GET", "/crm/v8/Leads", page(LEADS[:2], more="t2"), {"status_code": 500, "text": ""})
    with pytest.raises(ZohoServerError):
        run(fields=FIELDS, output_path=str(path))
    assert path.read_text() == "of yesterday\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "failure",
    [
        {"status_code": 500, "text": ""},
        {"status_code": 429, "json": {"code": "TOO_MANY_REQUESTS"}},
        {"text": '{"data": [{"id": "41508'},
    ],
    ids=["500", "429", "truncated"],
)
def test_a_page_that_failed_is_repeated_not_skipped(zoho, failure):
    zoho.on("GET", "/crm/v8/Leads", page(LEADS[:2], more="t2"), failure, failure, page(LEADS[2:]))
    assert run(fields=FIELDS) == LEADS
    assert [one.params.get("page_token") for one in zoho.calls] == [None, "t2", "t2", "t2"]


# --- one record --------------------------------------------------------------------------------------------------

WHOLE = {**LEADS[0], "Items": [{"id": "9", "Quantity": 2, "Product_Name": 'a "b"'}]}


def test_one_record_comes_with_its_subforms(zoho):
    zoho.on("GET", "/crm/v8/Leads/4150868000000376008", {"data": [WHOLE]})
    assert run(record_id="4150868000000376008") == [WHOLE]
    assert zoho.calls[0].params == {}


def test_one_record_goes_to_jsonl_with_its_subforms(zoho, tmp_path):
    path = tmp_path / "x.jsonl"
    zoho.on("GET", "/crm/v8/Leads/1", {"data": [WHOLE]})
    zoho.on("GET", "/crm/v8/settings/fields", fields(*FIELDS, Items=("subform", "jsonarray")))
    assert run(record_id=1, output_path=str(path))["records"] == 1
    assert json.loads(path.read_text()) == WHOLE


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_one_record_goes_to_a_table_with_its_subforms(zoho, tmp_path, suffix):
    from airflow_provider_zohocrm.storage import read_records

    path = str(tmp_path / f"x.{suffix}")
    zoho.on("GET", "/crm/v8/Leads/1", {"data": [WHOLE]})
    zoho.on("GET", "/crm/v8/settings/fields", fields(*FIELDS, Items=("subform", "jsonarray")))
    result = run(record_id="1", output_path=path)
    (row,) = read_records(path)
    assert json.loads(row["Items"]) == WHOLE["Items"]
    assert "Items" in result["fields"]


def test_one_record_has_a_manifest_where_one_is_asked_for(zoho, tmp_path):
    path, manifest = tmp_path / "x.jsonl", tmp_path / "x.json"
    zoho.on("GET", "/crm/v8/Leads/1", {"data": [WHOLE]}, {"data": [WHOLE]})
    assert "manifest" not in run(record_id="1", output_path=str(path))
    assert list(tmp_path.iterdir()) == [path]
    assert run(record_id="1", output_path=str(path), manifest_path=str(manifest))["manifest"] == str(manifest)
    told = json.loads(manifest.read_text())
    assert told["files"][0]["path"] == str(path)
    assert (told["rows"], told["credits"], told["query"]["record_id"]) == (1, 1, "1")


def test_one_record_with_chosen_fields(zoho):
    zoho.on("GET", "/crm/v8/Leads/1", {"data": [LEADS[0]]})
    run(record_id="1", fields=FIELDS)
    assert zoho.calls[0].params == {"fields": "Last_Name,Modified_Time"}


def test_a_record_that_is_not_there_is_an_empty_result(zoho):
    zoho.on("GET", "/crm/v8/Leads/1", {"status_code": 204, "text": ""})
    assert run(record_id="1") == []


# --- parameters --------------------------------------------------------------------------------------------------


def test_all_parameters_reach_zoho(zoho):
    zoho.on("GET", "/crm/v8/Deals", page([]))
    run(
        module="Deals",
        fields=["Deal_Name"],
        sort_by="Modified_Time",
        sort_order="asc",
        converted="both",
        approved=False,
        territory_id=77,
        include_child=True,
        modified_since=datetime(2026, 1, 31, 4, 0, 0, 999, tzinfo=timezone(timedelta(hours=2))),
        page_size=50,
        max_records=40,
    )
    assert zoho.calls[0].params == {
        "fields": "Deal_Name",
        "sort_by": "Modified_Time",
        "sort_order": "asc",
        "converted": "both",
        "approved": "false",
        "territory_id": "77",
        "include_child": "true",
        "per_page": "40",
    }
    assert zoho.calls[0].headers["If-Modified-Since"] == "2026-01-31T04:00:00+02:00"


def test_cvid_and_ids_reach_zoho(zoho):
    zoho.on("GET", "/crm/v8/Leads", page([]))
    run(fields="id", cvid="4150868000000087501")
    run(fields="id", ids=["1", 2])
    assert zoho.calls[0].params["cvid"] == "4150868000000087501"
    assert zoho.calls[1].params["ids"] == "1,2"


def test_texts_that_templates_render_are_understood(zoho):
    zoho.on("GET", "/crm/v8/Deals", page([{"id": "1"}, {"id": "2"}], more="t2"), page([{"id": "3"}]))
    made = ZohoGetRecordsOperator(
        task_id="t",
        module="{{ module }}",
        fields="{{ ','.join(['Deal_Name', 'Stage']) }}",
        converted="{{ False }}",
        include_child="{{ True }}",
        territory_id="{{ 77 }}",
        cvid="{{ none }}",
        sort_by="{{ none }}",
        record_id="{{ none }}",
        ids="{{ '' }}",
        modified_since="{{ none }}",
        page_size="{{ 100 + 50 }}",
        max_records="{{ 2 }}",
        output_path="{{ none }}",
        max_xcom_records="{{ 10 }}",
        api_version="{{ none }}",
    )
    assert render(made, module="Deals").execute(context()) == [{"id": "1"}, {"id": "2"}]
    assert zoho.calls[0].params == {
        "fields": "Deal_Name,Stage",
        "converted": "false",
        "include_child": "true",
        "territory_id": "77",
        "per_page": "2",
    }
    assert "If-Modified-Since" not in zoho.calls[0].headers


def test_a_first_run_without_interval_reads_everything(zoho):
    zoho.on("GET", "/crm/v8/Leads", page(LEADS))
    made = ZohoGetRecordsOperator(
        task_id="t", module="Leads", fields=FIELDS, modified_since="{{ prev_data_interval_end_success }}"
    )
    assert render(made, prev_data_interval_end_success=None).execute(context()) == LEADS


def test_a_module_zoho_does_not_know_is_named(zoho):
    zoho.on("GET", "/crm/v8/Potentials", refusal(400, "INVALID_MODULE", resource_path_index=0))
    with pytest.raises(Exception, match=r"Potentials.*INVALID_MODULE.*API name"):
        run(module="Potentials", fields=FIELDS)
