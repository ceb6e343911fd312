"""From a module to files: every way of reading gives the same rows."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import logging
from datetime import date, datetime, timezone
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.simulated import asked, by_id, truth

from airflow_provider_zohocrm import ZohoGetRecordsOperator
from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoCreditLimitError,
    ZohoTypeError,
    ZohoValidationError,
)
from airflow_provider_zohocrm.extraction import plan
from airflow_provider_zohocrm.extraction.extract import Extraction
from airflow_provider_zohocrm.extraction.request import ExtractRequest
from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook
from airflow_provider_zohocrm.storage import read_records

WAYS = ("records", "coql", "bulk")
FIELDS = [
    "Last_Name",
    "Email",
    "No_of_Employees",
    "Annual_Revenue",
    "Score",
    "Customer_Number",
    "Email_Opt_Out",
    "Birthday",
    "Next_Call",
    "Modified_Time",
    "Languages",
    "Owner",
    "Partner",
    "Tag",
]


def extract(path, module="Leads", **options):
    options.setdefault("poll_interval", 0)
    return ZohoCRMHook().extract(module, str(path), **options)


def typed(record):
    """What a row of the typed files must hold, worked out from the simulator's own record."""
    row = dict(record)
    for name in ("Modified_Time", "Next_Call"):
        if row[name] is not None:
            row[name] = datetime.fromisoformat(row[name]).astimezone(timezone.utc)
    row["Birthday"] = row["Birthday"] and date.fromisoformat(row["Birthday"])
    for name in ("Annual_Revenue", "Score"):
        row[name] = None if row[name] is None else Decimal(str(row[name]))
    row["Customer_Number"] = None if row["Customer_Number"] is None else int(row["Customer_Number"])
    # Bulk read joins by ";", which may be in the name of a tag.
    row["Tag"] = [part.strip() for tag in row["Tag"] or () for part in tag["name"].split(";")]
    row["Languages"] = row["Languages"] or []
    for name in ("Owner", "Partner"):
        row[name] = None if row[name] is None else row[name]["id"]
    for name in ("Last_Name", "Email"):
        row[name] = row[name] or None
    return row


def normal(row):
    """A row that was read back, without what only some ways of reading know."""
    row = dict(row)
    row.pop("_type_errors", None)
    for name in ("Owner", "Partner"):
        row[name] = None if row[name] is None else row[name]["id"]
    row["Tag"] = [part.strip() for tag in row["Tag"] or () for part in tag.split(";")]
    row["Languages"] = row["Languages"] or []
    for name in ("Last_Name", "Email"):
        row[name] = row[name] or None
    return row


def from_json(row):
    for name in ("Modified_Time", "Next_Call"):
        row[name] = row[name] and datetime.fromisoformat(row[name])
    row["Birthday"] = row["Birthday"] and date.fromisoformat(row["Birthday"])
    return row


def read(path):
    path = Path(path)
    if path.suffix == ".parquet":
        return [normal(row) for row in pq.read_table(path).to_pylist()]
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as file:
        return [normal(from_json(json.loads(line, parse_float=Decimal))) for line in file]


def expected(simulator):
    return {key: typed(record) for key, record in truth(simulator, "Leads", FIELDS).items()}


@pytest.mark.parametrize(
    ("strategy", "suffix"),
    [
        ("records", "parquet"),
        *(
            (strategy, suffix)
            for strategy in ("coql", "bulk", "auto")
            for suffix in ("parquet", "jsonl", "jsonl.gz")
        ),
    ],
)
def test_every_way_gives_the_same_typed_rows(simulated, tmp_path, strategy, suffix):
    simulator = simulated({"Leads": 2_345})
    result = extract(tmp_path / f"leads.{suffix}", fields=FIELDS, strategy=strategy)
    assert by_id(read(result["path"])) == expected(simulator)
    assert result["records"] == 2_345
    newest = max(row["Modified_Time"] for row in expected(simulator).values())
    assert datetime.fromisoformat(result["max_modified_time"]) == newest


def test_lists_into_json_are_zohos_own_records(simulated, tmp_path):
    simulator = simulated({"Leads": 450})
    extract(tmp_path / "leads.jsonl", fields=FIELDS, strategy="records")
    rows = [json.loads(line) for line in (tmp_path / "leads.jsonl").read_text().splitlines()]
    assert by_id(rows) == truth(simulator, "Leads", FIELDS)


def test_the_columns_of_parquet_have_the_types_of_the_fields(simulated, tmp_path):
    simulated({"Leads": 30})
    for strategy in WAYS:
        extract(tmp_path / f"{strategy}.parquet", fields=FIELDS, strategy=strategy)
    schemas = [pq.read_schema(tmp_path / f"{strategy}.parquet") for strategy in WAYS]
    assert schemas[0] == schemas[1] == schemas[2]
    kinds = {field.name: field.type for field in schemas[0]}
    assert kinds["id"] == pa.string()
    assert kinds["No_of_Employees"] == pa.int64()
    assert pa.types.is_decimal(kinds["Annual_Revenue"])
    assert kinds["Email_Opt_Out"] == pa.bool_()
    assert kinds["Birthday"] == pa.date32()
    assert kinds["Modified_Time"] == pa.timestamp("us", "UTC")
    assert kinds["Languages"] == pa.list_(pa.string())
    assert {field.name for field in kinds["Partner"]} == {"id", "name"}


@pytest.mark.parametrize("strategy", WAYS)
def test_windows_that_touch_get_every_record_once(simulated, tmp_path, strategy):
    simulator = simulated({"Leads": 700})
    times = sorted(datetime.fromisoformat(row["Modified_Time"]) for row in truth(simulator, "Leads").values())
    edges = ["2000-01-01", *(times[n].isoformat() for n in (100, 101, 350, 600)), "2100-01-01"]
    rows = []
    for since, before in pairwise(edges):
        result = extract(
            tmp_path / "part.parquet",
            fields=FIELDS,
            strategy=strategy,
            modified_since=since,
            modified_before=before,
        )
        rows += read(result["path"])
    assert by_id(rows) == expected(simulator)


def test_the_choice_is_told_with_what_each_way_would_cost(simulated, tmp_path, caplog):
    simulator = simulated({"Leads": 3_000})
    with caplog.at_level(logging.INFO):
        result = extract(tmp_path / "leads.jsonl", fields=FIELDS)
    assert result["strategy"] == "coql"
    (line,) = [one for one in caplog.messages if "estimated" in one]
    assert "3,000 records of Leads by coql" in line
    assert "records 15 calls, 15 credits" in line
    assert "bulk 5 calls, 54 credits" in line
    assert result["credits"] == simulator.counters["credits"]
    assert result["calls"] == len(asked(simulator, "/crm/"))


@pytest.mark.parametrize(
    ("options", "strategy"),
    [
        ({"fields": ["Last_Name", "$approved"]}, "records"),
        ({"fields": ["Last_Name"], "sort_by": "Created_Time"}, "records"),
        ({"fields": ["Last_Name", "Owner.last_name"]}, "coql"),
    ],
)
def test_what_must_come_back_decides(simulated, tmp_path, options, strategy):
    simulated({"Leads": 1_500})
    result = extract(tmp_path / "leads.jsonl", **options)
    assert (result["strategy"], result["records"]) == (strategy, 1_500)


def test_without_the_scope_for_coql_another_way_is_taken(simulated, tmp_path):
    simulator = simulated({"Leads": 1_500})
    simulator.configure(scopes="ZohoCRM.modules.ALL,ZohoCRM.settings.ALL,ZohoCRM.bulk.ALL")
    result = extract(tmp_path / "leads.parquet", fields=FIELDS)
    assert result["strategy"] == "records"
    assert by_id(read(result["path"])) == expected(simulator)


def test_where_zoho_refuses_a_bulk_read_another_way_is_taken(simulated, tmp_path):
    simulator = simulated({"Leads": 1_300}, bulk_page_size=200_000)
    simulator.configure(
        scopes="ZohoCRM.modules.ALL,ZohoCRM.settings.ALL,ZohoCRM.coql.READ,ZohoSearch.securesearch.READ"
    )
    with pytest.raises(ZohoAPIError, match=r"ZohoCRM\.bulk"):
        extract(tmp_path / "leads.parquet", fields=FIELDS, strategy="bulk")
    assert not list(tmp_path.iterdir())


def test_where_zoho_refuses_a_query_another_way_is_taken(simulated, tmp_path, caplog):
    simulator = simulated({"Leads": 3_000})
    # The count is answered, the walk is not.
    refusal = {"code": "INVALID_QUERY", "message": "no", "details": {}, "status": "error"}
    simulator.add_fault("status", path="/coql", after=1, status=400, body=refusal)
    with caplog.at_level(logging.INFO):
        result = extract(tmp_path / "leads.parquet", fields=FIELDS)
    assert result["strategy"] == "records"
    assert by_id(read(result["path"])) == expected(simulator)
    assert "coql not: Zoho refuses it (INVALID_QUERY)" in caplog.text


def test_max_credits_holds_while_jobs_are_waited_for(simulated, tmp_path):
    simulator = simulated({"Leads": 700}, bulk_page_size=100)
    with pytest.raises(ZohoCreditLimitError, match="max_credits leaves 18"):
        extract(tmp_path / "leads.jsonl", fields=FIELDS, strategy="bulk", max_credits=180)
    assert simulator.counters["credits"] <= 180


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"strategy": "fastest"}, "strategy is 'fastest'"),
        ({"on_type_error": "ignore"}, "on_type_error is 'ignore'"),
        ({"max_credits": 0}, "max_credits is 0"),
        ({"max_records_per_file": -1}, "max_records_per_file is -1"),
        ({"modified_since": "2026-02-01", "modified_before": "2026-01-01"}, "is after"),
        ({"modified_before": "soon"}, "modified_before is 'soon'"),
        ({"fields": ["a b"]}, "no API name"),
    ],
)
def test_bad_parameters_fail_before_the_first_request(simulated, tmp_path, options, text):
    simulator = simulated({"Leads": 3})
    with pytest.raises(ZohoValidationError, match=text):
        extract(tmp_path / "leads.jsonl", **options)
    assert asked(simulator) == []


@pytest.mark.parametrize("strategy", ["auto", "coql", "bulk", "records"])
def test_a_misspelt_field_fails_before_anything_is_read(simulated, tmp_path, strategy):
    simulator = simulated({"Leads": 300})
    path = tmp_path / "leads.parquet"
    with pytest.raises(ZohoValidationError, match=r"'Emial' \(like .*Email.*\); 'Nonesuch'\. .*profile"):
        extract(
            path, strategy=strategy, fields=["Last_Name", "Emial", "Nonesuch", "Owner.email", "$approved"]
        )
    with pytest.raises(ZohoValidationError, match=r"fields holds Positions.*subforms="):
        extract(path, strategy=strategy, fields=["Last_Name", "Positions"])
    assert set(asked(simulator, "/crm/")) == {"GET /crm/v8/settings/fields"}
    assert not list(tmp_path.iterdir())


def test_without_metadata_the_names_of_fields_cost_no_call(simulated, tmp_path):
    simulator = simulated({"Leads": 150})
    extract(tmp_path / "leads.jsonl", strategy="records", fields=["Last_Name"])
    assert set(asked(simulator, "/crm/")) == {"GET /crm/v8/Leads"}


@pytest.mark.parametrize(
    ("strategy", "options", "text"),
    [
        ("coql", {"sort_by": "Created_Time"}, "COQL does not know sort_by"),
        ("coql", {"fields": ["$approved"]}, r"COQL does not know \$approved"),
        ("bulk", {"max_records": 5}, "bulk read does not know max_records"),
        ("bulk", {"ids": ["1"]}, "bulk read does not know ids"),
    ],
)
def test_a_way_that_cannot_give_what_is_asked_for_says_so(simulated, tmp_path, strategy, options, text):
    simulated({"Leads": 30})
    with pytest.raises(ZohoValidationError, match=text):
        extract(tmp_path / "leads.jsonl", strategy=strategy, **options)
    assert not list(tmp_path.iterdir())


def test_max_credits_chooses_and_stops(simulated, tmp_path):
    simulator = simulated({"Leads": 30_000})
    with pytest.raises(ZohoCreditLimitError, match="Nothing was read"):
        extract(tmp_path / "leads.jsonl", fields=FIELDS, max_credits=40)
    assert simulator.counters["credits"] <= 2
    with pytest.raises(ZohoCreditLimitError, match="max_credits leaves 0"):
        extract(tmp_path / "leads.jsonl", fields=FIELDS, strategy="records", max_credits=10)
    assert simulator.counters["credits"] <= 2 + 10
    assert not list(tmp_path.iterdir())
    hook = ZohoCRMHook()
    with pytest.raises(ZohoCreditLimitError):
        hook.extract("Leads", str(tmp_path / "leads.jsonl"), strategy="records", max_credits=5)
    assert len(list(hook.get_records("Leads", "Last_Name", max_records=2_000))) == 2_000


@pytest.mark.parametrize("strategy", WAYS)
def test_files_end_after_so_many_records_and_the_manifest_lists_them(simulated, tmp_path, strategy):
    simulator = simulated({"Leads": 2_345})
    result = extract(tmp_path / "leads.parquet", fields=FIELDS, strategy=strategy, max_records_per_file=1_000)
    assert [file["records"] for file in result["files"]] == [1_000, 1_000, 345]
    assert [Path(file["path"]).name for file in result["files"]] == [
        "leads.parquet",
        "leads-0002.parquet",
        "leads-0003.parquet",
    ]
    rows = [row for file in result["files"] for row in read(file["path"])]
    assert by_id(rows) == expected(simulator)
    manifest = json.loads(Path(result["manifest"]).read_text())
    assert manifest["rows"] == 2_345
    assert [file["rows"] for file in manifest["files"]] == [1_000, 1_000, 345]
    assert manifest["query"]["fields"] == FIELDS
    assert manifest["watermark"] == result["max_modified_time"]
    assert bool(manifest["job_ids"]) is (strategy == "bulk")
    for file in manifest["files"]:
        data = Path(file["path"]).read_bytes()
        assert len(data) == file["bytes"]
        assert hashlib.sha256(data).hexdigest() == file["sha256"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "_manifest.json",
        "leads-0002.parquet",
        "leads-0003.parquet",
        "leads.parquet",
    ]


@pytest.mark.parametrize("strategy", WAYS)
@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_a_value_that_does_not_fit_its_type_fails_or_is_set_aside(simulated, tmp_path, strategy, suffix):
    if (strategy, suffix) == ("records", "jsonl"):
        strategy = "auto"
    simulator = simulated({"Leads": 250})
    fields = simulator.state.store.modules["Leads"].fields
    fields["City"] = dataclasses.replace(fields["City"], data_type="integer", json_type="integer")
    path = tmp_path / f"leads.{suffix}"
    with pytest.raises(ZohoTypeError, match=r"City of record \d{19} is no integer: '"):
        extract(path, fields=["City"], strategy=strategy)
    assert not list(tmp_path.iterdir())
    result = extract(path, fields=["City"], strategy=strategy, on_type_error="string")
    rows = pq.read_table(path).to_pylist() if suffix == "parquet" else list(read_records(str(path)))
    assert result["records"] == 250
    for row in rows:
        aside = row["_type_errors"]
        aside = json.loads(aside) if isinstance(aside, str) else aside
        city = truth(simulator, "Leads", ["City"])[row["id"]]["City"]
        assert row["City"] is None
        assert (aside or {}).get("City") == (city or None)


@pytest.mark.parametrize("strategy", WAYS)
@pytest.mark.parametrize("suffix", ["parquet", "jsonl.gz"])
def test_no_double_fails_for_the_number_of_its_digits(simulated, tmp_path, strategy, suffix):
    simulator = simulated({"Leads": 0})
    doubles = [1 / 300, 0.0012100000000000001, -5e-324]
    store = simulator.state.store
    records = ({"Last_Name": str(n), "Annual_Revenue": double} for n, double in enumerate(doubles))
    store.load(store.modules["Leads"], records)
    result = extract(tmp_path / f"leads.{suffix}", fields=["Annual_Revenue"], strategy=strategy)
    if suffix == "parquet":
        rows = pq.read_table(result["path"]).to_pylist()
    else:
        rows = list(read_records(result["path"]))
    assert [round(float(row["Annual_Revenue"]), 18) for row in sorted(rows, key=lambda row: row["id"])] == [
        round(double, 18) for double in doubles
    ]


def test_a_list_that_cannot_be_read_to_its_end_is_refused_before_it_is_begun(
    simulated, tmp_path, monkeypatch
):
    simulator = simulated({"Leads": 1_900}, page_token_limit=1_000)
    monkeypatch.setattr(plan, "_LISTED", 1_000)
    fields = ["Last_Name", "$approved"]
    with pytest.raises(ZohoValidationError, match="records not: lists end at 1,000 records;"):
        extract(tmp_path / "leads.jsonl", fields=fields, max_records=1_500)
    assert asked(simulator, "Leads$") == []
    assert extract(tmp_path / "all.jsonl", fields=fields)["records"] == 1_900


@pytest.mark.parametrize(
    ("strategy", "fields", "path"),
    [
        ("records", ["Last_Name"], "v8/Leads"),
        ("auto", ["Last_Name", "$approved"], "v8/Leads"),
        ("coql", ["Last_Name"], "/coql"),
    ],
)
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_run_that_nobody_goes_on_with_leaves_nothing(simulated, tmp_path, strategy, fields, path, suffix):
    simulator = simulated({"Leads": 6_900})
    refusal = {"code": "INVALID_DATA", "message": "no", "details": {}, "status": "error"}
    simulator.add_fault("status", path=path, after=2, count=None, status=400, body=refusal)
    with pytest.raises(ZohoAPIError, match="INVALID_DATA"):
        extract(tmp_path / f"leads.{suffix}", strategy=strategy, max_records_per_file=100, fields=fields)
    assert len(asked(simulator, path)) > 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("strategy", ["records", "coql"])
@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_a_text_that_was_cut_within_an_emoji_is_written(simulated, tmp_path, strategy, suffix):
    simulator = simulated({"Leads": 1})
    body = r'{"data":[{"id":"1","City":"x\ud83d","Country":"\ud83d\ude00"}],"info":{"more_records":false,"count":1}}'
    path = {"records": "v8/Leads", "coql": "/coql"}[strategy]
    # COQL is asked for the count first.
    after = 1 if strategy == "coql" else 0
    answer = {"status": 200, "body": body, "headers": {"Content-Type": "application/json"}}
    simulator.add_fault("status", path=path, after=after, count=None, **answer)
    result = extract(tmp_path / f"leads.{suffix}", strategy=strategy, fields=["City", "Country"])
    found = list(read_records(result["path"]))
    assert [(row["City"], row["Country"]) for row in found] == [("x\ufffd", "\U0001f600")]


@pytest.mark.parametrize("strategy", WAYS)
def test_files_of_a_longer_run_before_are_told_and_kept(simulated, tmp_path, caplog, strategy):
    simulated({"Leads": 650})
    options = {"fields": ["Last_Name"], "strategy": strategy}
    extract(tmp_path / "leads.csv", max_records_per_file=100, **options)
    extract(tmp_path / "other.csv", max_records_per_file=400, **options)
    extract(tmp_path / "other.csv", max_records_per_file=400, **options)
    assert "earlier run" not in caplog.text
    files = sorted(tmp_path.iterdir())
    extract(tmp_path / "leads.csv", max_records_per_file=400, **options)
    (warning,) = [one for one in caplog.messages if "earlier run" in one]
    assert warning.startswith("5 files of an earlier run")
    assert [f"leads-000{n}.csv" in warning for n in range(1, 8)] == [False, False, *[True] * 5]
    assert sorted(tmp_path.iterdir()) == files


class Killed(BaseException):
    """The worker is gone."""


def test_a_walk_by_coql_goes_on_after_the_last_finished_file(simulated, tmp_path):
    simulator = simulated({"Leads": 20_500})
    request = ExtractRequest.of(
        "Leads",
        str(tmp_path / "leads.jsonl"),
        fields=FIELDS,
        strategy="coql",
        max_records_per_file=3_000,
    )
    kept, tries = None, 0
    while True:
        tries += 1

        def save(state):
            nonlocal kept
            kept = json.loads(json.dumps(state))
            raise Killed

        extraction = Extraction(ZohoCRMHook(), request, kept, save)
        if kept is not None:
            extraction.resume(lambda path: Path(path).exists())
        try:
            result = extraction.run()
        except Killed:
            continue
        break
    assert tries == 8
    assert result["records"] == 20_500
    rows = [row for file in result["files"] for row in read(file["path"])]
    assert by_id(rows) == expected(simulator)
    assert len(result["files"]) == 7


def test_a_finished_file_that_is_gone_is_read_again(simulated, tmp_path):
    simulator = simulated({"Leads": 5_000})
    request = ExtractRequest.of(
        "Leads", str(tmp_path / "leads.jsonl"), fields=FIELDS, strategy="coql", max_records_per_file=2_000
    )
    states = []
    Extraction(ZohoCRMHook(), request, None, lambda state: states.append(json.dumps(state))).run()
    (tmp_path / "leads.jsonl").unlink()
    extraction = Extraction(ZohoCRMHook(), request, json.loads(states[1]))
    extraction.resume(lambda path: Path(path).exists())
    result = extraction.run()
    rows = [row for file in result["files"] for row in read(file["path"])]
    assert by_id(rows) == expected(simulator)


def test_the_operator_does_the_same(simulated, tmp_path):
    simulator = simulated({"Leads": 3_000})
    path = tmp_path / "leads.parquet"
    operator = ZohoGetRecordsOperator(
        task_id="pull", module="Leads", fields=FIELDS, strategy="auto", output_path=str(path)
    )
    result = operator.execute({})
    assert by_id(read(path)) == expected(simulator)
    assert json.loads(json.dumps(result)) == result


def rows_of_subforms(simulator, module, name, ids=None):
    return {
        row["id"]: (record["id"], row["Product_Name"], row["Quantity"])
        for record in simulator.table(module)
        if ids is None or record["id"] in ids
        for row in record[name] or ()
    }


@pytest.mark.parametrize("strategy", [*WAYS, "auto"])
@pytest.mark.parametrize("wanted", ["all", ["Positions"]])
def test_rows_of_subforms_come_in_a_file_of_their_own(simulated, tmp_path, strategy, wanted):
    simulator = simulated({"Leads": 640})
    result = extract(tmp_path / "leads.jsonl", fields=FIELDS, strategy=strategy, subforms=wanted)
    assert result["records"] == 640
    file = result["subforms"]["Positions"]
    assert file["path"] == str(tmp_path / "leads_Positions.jsonl")
    rows = by_id(read_records(file["path"]))
    assert {
        key: (row["Parent_Id"]["id"], row["Product_Name"], row["Quantity"]) for key, row in rows.items()
    } == rows_of_subforms(simulator, "Leads", "Positions")
    assert file["records"] == len(rows) > 0
    assert "Positions" in json.loads(Path(result["manifest"]).read_text())["subforms"]


@pytest.mark.parametrize("strategy", WAYS)
def test_of_a_window_come_the_rows_of_its_records_only(simulated, tmp_path, strategy):
    simulator = simulated({"Leads": 640})
    times = sorted(row["Modified_Time"] for row in truth(simulator, "Leads", ["Modified_Time"]).values())
    result = extract(
        tmp_path / "leads.parquet",
        fields=["Last_Name"],
        strategy=strategy,
        subforms=["Positions"],
        modified_since=times[100],
        modified_before=times[300],
    )
    ids = {row["id"] for row in pq.read_table(result["path"]).to_pylist()}
    assert 0 < len(ids) < 640
    rows = by_id(pq.read_table(result["subforms"]["Positions"]["path"]).to_pylist())
    assert {
        key: (row["Parent_Id"]["id"], row["Product_Name"], row["Quantity"]) for key, row in rows.items()
    } == rows_of_subforms(simulator, "Leads", "Positions", ids)


def test_a_subform_that_is_none_is_told_with_those_there_are(simulated, tmp_path):
    simulator = simulated({"Leads": 3})
    with pytest.raises(ZohoValidationError, match=r"Items.*Positions"):
        extract(tmp_path / "leads.jsonl", subforms=["Items"])
    assert asked(simulator, "Leads$") == []
    assert not list(tmp_path.iterdir())
