"""Rows of subforms from the simulator into typed files, through the hook."""

from __future__ import annotations

from datetime import date, datetime, timezone
from decimal import Decimal

import pyarrow.parquet as pq
import pytest

from airflow_provider_zohocrm.extraction.subforms import subform_columns, subform_fields, subform_rows
from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook
from airflow_provider_zohocrm.storage import open_record_writer

SEED = {"Leads": 5_000, "Quotes": 90}


def write(folder, module, suffix, subforms="all", **options):
    """Write one file per subform; return paths by name of the subform."""
    hook = ZohoCRMHook()
    fields = subform_fields(hook.get_fields(module), subforms)
    columns = {one.name: subform_columns(hook, one) for one in fields}
    paths = {one.name: folder / f"{module}_{one.name}{suffix}" for one in fields}
    for one in fields:
        with open_record_writer(str(paths[one.name]), columns[one.name]) as writer:
            for _, rows in subform_rows(hook, module, [one], columns, **options):
                writer.write(rows)
    return paths


def typed(simulator, module, subform):
    """What a row of a typed file must hold, worked out from the simulator's own records, by id."""
    return {
        row["id"]: row
        | {
            "Parent_Id": {"id": record["id"], "name": None},
            "Created_Time": datetime.fromisoformat(row["Created_Time"]).astimezone(timezone.utc),
            "Modified_Time": datetime.fromisoformat(row["Modified_Time"]).astimezone(timezone.utc),
            "Price": None if row["Price"] is None else Decimal(str(row["Price"])),
            "Due_On": row["Due_On"] and date.fromisoformat(row["Due_On"]),
        }
        for record in simulator.table(module)
        for row in record[subform]
    }


@pytest.mark.parametrize(("module", "subform"), [("Leads", "Positions"), ("Quotes", "Quoted_Items")])
@pytest.mark.parametrize("readable", [True, False])
def test_rows_reach_a_typed_file_in_either_way(simulated, tmp_path, module, subform, readable):
    simulator = simulated(SEED | ({} if readable else {"Leads": 60}))
    written = simulator.record(module, next(simulator.table(module))["id"])
    items = [
        {"Product_Name": 'a;b,"c"\nd', "Quantity": 3, "Price": 0.1, "Due_On": "2024-02-29"},
        {"Quantity": 0},
    ]
    ZohoCRMHook().update_records(module, [{"id": written["id"], subform: items}])
    hook = ZohoCRMHook()
    columns = {subform: subform_columns(hook, subform_fields(hook.get_fields(module), "all")[0])}
    # What the fields are is told still, when COQL is refused.
    simulator.options.subform_modules = readable
    fields = subform_fields(hook.get_fields(module), [subform])
    path = tmp_path / "rows.parquet"
    with open_record_writer(str(path), columns[subform]) as writer:
        for name, rows in subform_rows(hook, module, fields, columns):
            assert name == subform
            writer.write(rows)
    found = pq.read_table(path).to_pylist()
    assert {row["id"]: row for row in found} == typed(simulator, module, subform)
    assert len(found) == len(typed(simulator, module, subform))


def test_columns_without_metadata_still_make_a_file(simulated, tmp_path):
    simulator = simulated({"Leads": 30}, subform_modules=False)
    [path] = write(tmp_path, "Leads", ".parquet").values()
    table = pq.read_table(path)
    assert table.column_names == ["id", "Parent_Id", "Row"]
    assert set(table["id"].to_pylist()) == {
        row["id"] for one in simulator.table("Leads") for row in one["Positions"]
    }


def test_a_walk_over_all_rows_costs_three_credits_for_2000(simulated, tmp_path):
    simulator = simulated(SEED)
    [path] = write(tmp_path, "Leads", ".jsonl", ["Positions"]).values()
    assert len(path.read_text().splitlines()) == 4_999
    spent = simulator.counters
    assert spent["calls_by_operation"] == {"token": 1, "fields": 2, "coql": 3}
    assert spent["credits"] == 2 + 3 * 3
