from __future__ import annotations

import csv
import json

import pytest
from support.running import context
from support.simulated import asked, statuses, truth

from airflow_provider_zohocrm.exceptions import ZohoRejectedRecordsError, ZohoServerError, ZohoTransportError
from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook
from airflow_provider_zohocrm.operators.upsert import ZohoUpsertOperator
from airflow_provider_zohocrm.storage import read_records

UPSERTS = "POST /crm/v8/Leads/upsert"
BAD = {3: ("Last_Name", "x" * 200), 120: ("Email", "no address"), 249: ("Last_Name", None)}


def run(given=None, **options):
    made = ZohoUpsertOperator(**{"task_id": "t", "module": "Leads", **options})
    return made.execute(context() if given is None else given)


def mixed(simulator, count=250):
    """Build records: every second one is known by its Email, three are bad."""
    known = [one["Email"] for one in simulator.table("Leads") if one["Email"]]
    records = []
    for number in range(count):
        email = known[number] if number % 2 else f"new.{number}@example.com"
        record = {"Last_Name": f'Bo"yle, {number} Ünal\n株', "Company": "Zylker", "Email": email}
        if number in BAD:
            name, value = BAD[number]
            record[name] = value
        records.append(record)
    return records


def test_250_records_with_bad_ones_are_upserted_and_the_bad_ones_written_out(simulated, tmp_path):
    simulator = simulated({"Leads": 400})
    records = mixed(simulator)
    path = str(tmp_path / "rejects.jsonl")
    before = truth(simulator, "Leads")
    result = run(
        records=records,
        duplicate_check_fields=["Email"],
        ignore_empty=False,
        rejects_path=path,
        on_reject="continue",
    )
    rejects = {row["index"]: row for row in read_records(path)}
    assert rejects.keys() == BAD.keys()
    assert all(row["record"] == records[index] and row["code"] for index, row in rejects.items())
    good = {record["Email"]: record for n, record in enumerate(records) if n not in BAD}
    updated = sum(1 for number in range(250) if number % 2 and number not in BAD)
    assert {name: result[name] for name in ("total", "inserted", "updated", "rejected", "unknown")} == {
        "total": 250,
        "inserted": len(good) - updated,
        "updated": updated,
        "rejected": 3,
        "unknown": 0,
    }
    after = truth(simulator, "Leads")
    assert len(after) == len(before) + result["inserted"]
    stored = {row["Email"]: row["Last_Name"] for row in after.values()}
    assert {email: stored[email] for email in good} == {
        email: one["Last_Name"] for email, one in good.items()
    }
    assert len(asked(simulator, UPSERTS)) == 3


def test_the_same_upsert_again_inserts_nothing(simulated):
    simulator = simulated({"Leads": 400})
    records = [one for n, one in enumerate(mixed(simulator)) if n not in BAD]
    first = run(records=records, duplicate_check_fields="Email")
    count = len(truth(simulator, "Leads"))
    again = run(records=records, duplicate_check_fields="Email")
    assert first["inserted"] > 0
    assert (again["inserted"], again["updated"]) == (0, len(records))
    assert len(truth(simulator, "Leads")) == count


def test_by_default_the_task_fails_after_all_batches(simulated):
    simulator = simulated({"Leads": 400})
    given = context()
    with pytest.raises(ZohoRejectedRecordsError, match="3 of 250"):
        run(given, records=mixed(simulator), duplicate_check_fields="Email", ignore_empty=False)
    assert len(asked(simulator, UPSERTS)) == 3
    assert given["ti"].xcoms["summary"]["rejected"] == 3


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_records_come_from_a_file(simulated, tmp_path, suffix):
    simulator = simulated({"Leads": 20})
    rows = [
        {
            "Last_Name": f'Bo"yle {n},\nÜ',
            "Company": "Zylker",
            "Email": f"f{n}@example.com",
            "Annual_Revenue": 1.5 * n,
        }
        for n in range(150)
    ]
    path = tmp_path / f"x.{suffix}"
    if suffix == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif suffix == "csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.Table.from_pylist(rows), path)
    assert run(input_path=str(path), duplicate_check_fields="Email")["inserted"] == 150
    stored = {one["Email"]: one for one in simulator.table("Leads")}
    for row in rows:
        found = stored[row["Email"]]
        assert (found["Last_Name"], float(found["Annual_Revenue"])) == (
            row["Last_Name"],
            row["Annual_Revenue"],
        )


@pytest.mark.parametrize(("trigger", "sent"), [(None, None), ([], []), (["workflow"], ["workflow"])])
def test_zoho_sees_which_triggers_to_run(simulated, trigger, sent):
    simulator = simulated({"Leads": 20})
    run(records=[{"Last_Name": "a", "Company": "b"}], trigger=trigger)
    body = json.loads(next(one["body"] for one in simulator.requests if one["path"].endswith("/upsert")))
    assert body.get("trigger") == sent
    assert ("trigger" in body) is (trigger is not None)


@pytest.mark.parametrize("version", ["v2", "v8"])
def test_insert_update_and_delete_change_the_data(simulated, version):
    simulator = simulated({"Leads": 20})
    hook = ZohoCRMHook(api_version=version)
    before = truth(simulator, "Leads").keys()
    new = [{"Last_Name": f"new {n}", "Company": "Zylker"} for n in range(150)]
    inserted = hook.insert_records("Leads", [*new, {"Company": "no name"}])
    assert [one["status"] for one in inserted] == ["success"] * 150 + ["error"]
    keys = [one["details"]["id"] for one in inserted[:150]]
    after = truth(simulator, "Leads")
    assert after.keys() == before | set(keys)
    assert [after[key]["Last_Name"] for key in keys] == [one["Last_Name"] for one in new]
    updated = hook.update_records("Leads", [{"id": key, "Last_Name": f"changed {key}"} for key in keys])
    assert {one["status"] for one in updated} == {"success"}
    assert {row["Last_Name"] for key, row in truth(simulator, "Leads").items() if key in keys} == {
        f"changed {key}" for key in keys
    }
    deleted = hook.delete_records("Leads", [*keys, "3652397001999999999"])
    assert [one["status"] for one in deleted] == ["success"] * 150 + ["error"]
    assert truth(simulator, "Leads").keys() == before


def test_results_keep_the_order_of_the_records(simulated):
    simulator = simulated({"Leads": 20})
    keys = sorted(truth(simulator, "Leads"))
    order = keys[::-1]
    results = ZohoCRMHook().update_records("Leads", [{"id": key, "Company": "x"} for key in order])
    assert [one["details"]["id"] for one in results] == order


def test_an_insert_whose_answer_was_lost_is_not_repeated(simulated, no_waiting):
    simulator = simulated({"Leads": 20})
    simulator.add_fault("reset_after", method="POST", path="/Leads$")
    with pytest.raises((ZohoTransportError, ZohoServerError)):
        ZohoCRMHook().insert_records("Leads", [{"Last_Name": "once", "Company": "x"}])
    assert [one["Last_Name"] for one in simulator.table("Leads")].count("once") == 1


def test_an_upsert_whose_answer_was_lost_is_repeated_and_stored_once(simulated, no_waiting):
    simulator = simulated({"Leads": 20})
    simulator.add_fault("reset_after", method="POST", path="/Leads/upsert")
    record = {"Last_Name": "once", "Company": "x", "Email": "once@example.com"}
    result = run(records=[record], duplicate_check_fields="Email")
    assert result["total"] == 1
    assert [one["Email"] for one in simulator.table("Leads")].count("once@example.com") == 1
    assert len(statuses(simulator, UPSERTS)) == 2


def test_a_token_that_dies_between_batches_is_replaced(simulated, tmp_path):
    simulator = simulated({"Leads": 20})
    records = [{"Last_Name": f"{n}", "Company": "x", "Email": f"t{n}@example.com"} for n in range(250)]

    def dying():
        for number, record in enumerate(records):
            if number == 150:
                simulator.kill_tokens()
            yield record

    results = ZohoCRMHook().upsert_records("Leads", dying(), duplicate_check_fields="Email")
    assert [one["action"] for one in results] == ["insert"] * 250
    assert simulator.counters["tokens_minted"] == 2
