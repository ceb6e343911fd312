"""ZohoUpsertOperator(operation=…): calls with records, or bulk write, whichever is cheaper."""

from __future__ import annotations

import logging

import pytest
from support.running import run_to_end
from support.simulated import asked, truth

from airflow_provider_zohocrm.exceptions import ZohoCreditLimitError, ZohoValidationError
from airflow_provider_zohocrm.operators.upsert import ZohoUpsertOperator

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
