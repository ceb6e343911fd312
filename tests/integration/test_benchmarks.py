"""The benchmarks' own judge: a row that differs does not pass."""

from __future__ import annotations

import json

import pytest

from airflow_provider_zohocrm import ZohoUpsertOperator
from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook
from airflow_provider_zohocrm.storage import open_record_writer
from benchmarks.rows import Rows
from benchmarks.truth import Truth, WrongRowsError, check_loaded

KINDS = {
    "Last_Name": "text",
    "Modified_Time": "datetime",
    "Score": "double",
    "Languages": "multiselectpicklist",
    "Partner": "lookup",
    "Email_Opt_Out": "boolean",
}
LOADED_KINDS = {
    **KINDS,
    "Email": "email",
    "Company": "text",
    "Phone": "phone",
    "Description": "textarea",
    "Lead_Source": "picklist",
    "No_of_Employees": "integer",
    "Annual_Revenue": "currency",
    "Birthday": "date",
    "Next_Call": "datetime",
}


@pytest.fixture
def zoho(simulated):
    return simulated({"Leads": 50})


@pytest.fixture
def leads(zoho):
    return [{"id": one["id"]} | {name: one[name] for name in KINDS} for one in zoho.table("Leads")]


@pytest.fixture
def truth(zoho):
    return Truth(zoho.url, KINDS, exact=False)


@pytest.fixture
def exact(zoho):
    return Truth(zoho.url, KINDS, exact=True)


def written(folder, leads, name="leads.jsonl"):
    with open_record_writer(str(folder / name), ["id", *KINDS]) as writer:
        writer.write(leads)
    return folder


@pytest.mark.parametrize(
    "name",
    [
        *(f"leads.{one}{packed}" for one in ("jsonl", "csv") for packed in ("", ".gz", ".zst")),
        "leads.parquet",
    ],
)
def test_the_same_values_are_right_in_every_format(truth, leads, tmp_path, name):
    assert truth.compare(written(tmp_path, leads, name), None) == 50


def test_files_of_a_run_count_together_and_the_manifest_does_not(exact, leads, tmp_path):
    written(tmp_path, leads[:30])
    written(tmp_path, leads[30:], "leads-0002.jsonl")
    (tmp_path / "_manifest.json").write_text(json.dumps({"files": []}))
    assert exact.compare(tmp_path, None) == 50


@pytest.mark.parametrize(
    "change",
    [
        {"Last_Name": "Somebody"},
        {"Modified_Time": "2020-01-01T00:00:00+00:00"},
        {"Score": 0.25},
        {"Languages": ["Klingon"]},
        {"Partner": {"id": "1", "name": "Nobody"}},
        {"Email_Opt_Out": None},
    ],
)
def test_one_other_value_is_found(truth, leads, tmp_path, change):
    leads[7] |= change
    with pytest.raises(WrongRowsError, match="not what the simulator holds"):
        truth.compare(written(tmp_path, leads), None)


def test_only_the_exact_comparison_tells_a_null_from_an_empty_text(truth, exact, leads, tmp_path):
    lead = next(one for one in leads if one["Score"] is None)
    lead["Score"] = ""
    assert truth.compare(written(tmp_path, leads), None) == 50
    with pytest.raises(WrongRowsError, match=lead["id"]):
        exact.compare(tmp_path, None)


def test_a_row_there_twice_and_a_missing_row_are_found(truth, leads, tmp_path):
    with pytest.raises(WrongRowsError, match="twice"):
        truth.compare(written(tmp_path, [*leads, leads[3]]), None)
    with pytest.raises(WrongRowsError, match="49 rows"):
        truth.compare(written(tmp_path, leads[1:]), None)


class TestLoads:
    """A load of 400 rows, four of which are bad."""

    @pytest.fixture
    def rows(self):
        return Rows(400, [], bad=True)

    @pytest.fixture
    def loaded(self, simulated, rows, tmp_path):
        zoho = simulated({"Leads": 0})
        rows.write(tmp_path / "leads.jsonl")
        ZohoUpsertOperator(
            task_id="t",
            module="Leads",
            input_path=str(tmp_path / "leads.jsonl"),
            rejects_path=str(tmp_path / "rejects.jsonl"),
            max_reject_ratio=0.01,
        ).execute({})
        return zoho

    def check(self, zoho, rows, tmp_path):
        return check_loaded(zoho.url, rows, LOADED_KINDS, 0, tmp_path / "rejects.jsonl")

    def test_good_rows_are_held_and_bad_ones_rejected_for_their_reasons(self, loaded, rows, tmp_path):
        assert self.check(loaded, rows, tmp_path) == 400

    def test_a_bad_row_that_is_not_rejected_is_found(self, loaded, rows, tmp_path):
        rejects = tmp_path / "rejects.jsonl"
        rejects.write_text("".join(rejects.read_text().splitlines(keepends=True)[1:]))
        with pytest.raises(WrongRowsError, match="3 of 4 bad rows"):
            self.check(loaded, rows, tmp_path)

    def test_another_reason_is_found(self, loaded, rows, tmp_path):
        rejects = tmp_path / "rejects.jsonl"
        rejects.write_text(rejects.read_text().replace("$.Company", "$.Email"))
        with pytest.raises(WrongRowsError, match="row 299"):
            self.check(loaded, rows, tmp_path)

    def test_a_good_row_that_is_not_held_is_found(self, loaded, rows, tmp_path):
        hook = ZohoCRMHook()
        hook.delete_records("Leads", [next(one["id"] for one in loaded.table("Leads"))])
        with pytest.raises(WrongRowsError, match="1 of 400 rows"):
            self.check(loaded, rows, tmp_path)
