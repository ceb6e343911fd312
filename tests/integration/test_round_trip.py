"""What the extraction wrote goes back unchanged."""

from __future__ import annotations

import re
from datetime import datetime, timezone

import pytest

from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook
from airflow_provider_zohocrm.loading.inputs import Inputs
from airflow_provider_zohocrm.loading.keys import duplicate_check
from airflow_provider_zohocrm.loading.values import Preparation

# What a write changes by itself.
MOVES = {"Modified_Time", "Modified_By"}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d")
MODULES = ("Leads", "Deals", "Accounts", "Machines")


def table(simulator, module):
    return {
        record["id"]: {name: shown(value) for name, value in record.items() if name not in MOVES}
        for record in simulator.table(module)
    }


def shown(value):
    if isinstance(value, list):
        return [shown(one) for one in value]
    if isinstance(value, dict):
        # Rows of subforms move with their record.
        return {name: one for name, one in value.items() if name not in MOVES}
    if isinstance(value, str) and MOMENT.fullmatch(value):
        # Typed files hold moments in UTC.
        return datetime.fromisoformat(value).astimezone(timezone.utc)
    return value


def differences(before, after):
    return [
        (id_, name, value, after[id_][name])
        for id_, record in before.items()
        for name, value in record.items()
        if after[id_][name] != value
    ]


def points_nowhere(simulator, record):
    """Tell whether a lookup of a seeded record leads to one that was deleted, which cannot be written."""
    targets = {
        "Partner": "Accounts",
        "Account_Name": "Accounts",
        "Customer": "Accounts",
        "Contact_Name": "Contacts",
    }
    return any(
        isinstance(record.get(name), dict) and simulator.record(module, record[name]["id"]) is None
        for name, module in targets.items()
    )


def sent_back(simulator, hook, module, path, **options):
    """Update all records of a file with what is in it."""
    fields = hook.get_fields(module)
    preparation = Preparation(fields, "upsert", checked=duplicate_check(module, fields, None), **options)
    records = [preparation.prepare(row.values, texts=row.texts) for row in Inputs.of_path(path).rows()]
    assert [one for one in records if not isinstance(one, dict)] == []
    writable = [record for record in records if not points_nowhere(simulator, record)]
    assert len(writable) > len(records) // 2
    results = hook.upsert_records(module, writable)
    assert [one for one in results if one["code"] != "SUCCESS"] == []
    assert {one["action"] for one in results} == {"update"}
    return records


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
@pytest.mark.parametrize("module", MODULES)
def test_records_that_were_extracted_go_back_unchanged(simulated, tmp_path, module, suffix):
    simulator = simulated(dict.fromkeys(MODULES, 60))
    hook = ZohoCRMHook()
    before = table(simulator, module)
    result = hook.extract(module, str(tmp_path / f"a.{suffix}"), strategy="records")
    sent = sent_back(simulator, hook, module, result["manifest"])
    # Nothing stays as it is because it was left out.
    fields = {one["api_name"] for one in hook.get_fields(module) if one["data_type"] != "subform"}
    for record in sent:
        there = {name for name, value in before[record["id"]].items() if value not in (None, "", [])}
        assert record.keys() >= there & fields
    assert len(sent) == len(before)
    assert differences(before, table(simulator, module)) == []


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_records_of_a_bulk_export_go_back_unchanged(simulated, tmp_path, suffix):
    simulator = simulated()
    hook = ZohoCRMHook()
    before = table(simulator, "Leads")
    path = str(tmp_path / f"a.{suffix}")
    hook.extract("Leads", path, strategy="bulk", poll_interval=0)
    # Bulk read joins tags by ";", which may be in their names (sheet §4.5).
    sent_back(simulator, hook, "Leads", path, mapping={"Tag": None})
    assert differences(before, table(simulator, "Leads")) == []


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
def test_empty_values_can_be_sent_back_as_null(simulated, tmp_path, suffix):
    simulator = simulated()
    hook = ZohoCRMHook()

    def without_empty_texts():
        return {
            id_: {name: None if value in ("", []) else value for name, value in record.items()}
            for id_, record in table(simulator, "Leads").items()
        }

    before = without_empty_texts()
    result = hook.extract("Leads", str(tmp_path / f"a.{suffix}"), strategy="records")
    sent_back(simulator, hook, "Leads", result["path"], ignore_empty=False)
    assert differences(before, without_empty_texts()) == []
