"""Where the sources disagree or are silent, the simulator has a switch; the client must not notice which way it stands."""

from __future__ import annotations

import csv
import io
import itertools
import zipfile
from dataclasses import fields as options_of

import pytest
from support.simulated import by_id, cell, truth

from airflow_provider_zohocrm.client.jobs import job_state
from airflow_provider_zohocrm.exceptions import ZohoNotFoundError, ZohoTokenThrottledError
from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook
from airflow_provider_zohocrm.simulator.options import Options

READINGS = {
    "gzip": [True, False],
    "strict_prefix": [False, True],
    "invalid_token_message": ["invalid oauth token", "Invalid OAuth token"],
    "v2_page_limit": [True, False],
    "missing_page1_token": [False, True],
    "page_overlap": [0, 7],
    "ids_limit": [100, 50],
    "count_as": ["int", "str"],
    "required_param_style": ["new", "old"],
    "search_criteria_limit": [10, 15],
    "too_many_records_code": ["INVALID_DATA", "LIMIT_EXCEEDED"],
    "v2_mixed_status": [202, 200, 207],
    "upsert_insert_status": [200, 201],
    "multi_errors": [False, True],
    "bulk_page_limit": [500, 50],
    "queued_state": [True, False],
    "early_result": [False, True],
    "job_unknown_state": ["", "PREPARING"],
    "id_header": ["Id", "id"],
    "csv_multiselect": [";", ","],
    "csv_boolean": ["true", "TRUE", "1"],
    "empty_result": ["header", "blank"],
    "result_content_type": ["application/zip", "application/x-download"],
    "utc_offset": ["+05:30", "-08:00"],
    "coql_fields": [50, 500],
    "coql_in_values": [100, 50],
    "subform_modules": [True, False],
}
# Switches that are limits, faults or sizes, not readings; those below them have a test of their own, here or elsewhere.
NOT_READINGS = {
    "api_domain", "body_limit", "bulk_page_size", "bulk_write_rows", "callbacks", "concurrency_limit", "credits",
    "discrete_limit", "downloads_per_minute", "enforce_credits", "forbidden_modules", "ics_page_size", "job_failure",
    "job_polls", "job_seconds", "job_stuck", "latency", "live_tokens", "mint_limit",
    "page_token_life", "page_token_limit", "result_defect", "result_life", "scopes", "sub_concurrency_limit",
    "token_life", "upload_limit", "write_limit", "write_result_life",
    "token_throttle_status", "unknown_result_status",
    # Of bulk write, which the client does not speak.
    "bulk_write_running", "unknown_write_job_status",
}  # fmt: skip
SEED = {"Leads": 450, "Accounts": 20, "Contacts": 60}
COLUMNS = ["Last_Name", "Email", "Company"]


def test_no_switch_is_forgotten():
    assert {option.name for option in options_of(Options)} == READINGS.keys() | NOT_READINGS


@pytest.mark.parametrize("version", ["v8", "v2"])
@pytest.mark.parametrize(
    ("option", "value"), [(option, value) for option, values in READINGS.items() for value in values]
)
def test_every_call_gives_the_same_under_every_reading(simulated, option, value, version):
    # The third page of 450 records lies past what page numbers reach.
    simulator = simulated(SEED, discrete_limit=400, **{option: value})
    hook = ZohoCRMHook(api_version=version)
    leads = truth(simulator, "Leads", COLUMNS)
    some = list(leads)[:130]

    assert by_id(only(hook.get_records("Leads", COLUMNS))) == leads
    assert by_id(only(hook.get_records("Leads", COLUMNS, ids=some))) == {key: leads[key] for key in some}
    simulator.kill_tokens()
    assert next(only([hook.get_record("Leads", some[0])])) == leads[some[0]]
    assert hook.count_records("Leads") == len(leads)
    name = leads[some[0]]["Email"] or leads[some[1]]["Email"]
    assert name in {record["Email"] for record in hook.search_records("Leads", email=name, fields=COLUMNS)}
    assert {
        row["id"] for row in hook.query("select Last_Name from Leads where id is not null")
    } == leads.keys()
    assert not list(hook.get_records("Leads", COLUMNS, modified_since="2099-01-01"))
    account = next(iter(truth(simulator, "Accounts", [])))
    related = list(hook.get_related_records("Accounts", account, "Contacts", ["Last_Name"]))
    assert {contact["id"] for contact in related} == contacts_of(simulator, account)
    assert {deleted["type"] for deleted in hook.get_deleted_records("Leads")} == {"recycle", "permanent"}

    export(hook, leads)
    write(hook, simulator, some)


def export(hook, leads):
    """Export everything, and then nothing."""
    for criteria, expected in (
        (None, leads),
        ({"api_name": "Last_Name", "comparator": "equal", "value": "nobody at all"}, {}),
    ):
        job = hook.create_bulk_read_job("Leads", fields=[*COLUMNS, "Email_Opt_Out"], criteria=criteria)
        for _ in range(9):
            job = hook.get_bulk_read_job(job["id"])
            if job_state(job) != "running":
                break
        target = io.BytesIO()
        hook.download_bulk_read_result(job, target)
        with zipfile.ZipFile(target) as archive:
            text = archive.read(f"{job['id']}.csv").decode()
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        found = {row.get("Id") or row["id"]: {name: row[name] for name in COLUMNS} for row in rows}
        assert found == {
            key: {name: cell(record[name]) for name in COLUMNS} for key, record in expected.items()
        }


def write(hook, simulator, some):
    """Upsert all new, mixed and all bad ones, then update, insert and delete."""
    new = [{"Last_Name": f"New {n}", "Company": "C", "Email": f"new{n}@example.com"} for n in range(3)]
    bad = {"Email": "no address", "Company": 5}
    assert [one["action"] for one in hook.upsert_records("Leads", new)] == ["insert"] * 3
    mixed = hook.upsert_records("Leads", [new[0], bad, {**new[1], "Company": "D"}])
    assert [one["status"] for one in mixed] == ["success", "error", "success"]
    assert [one["status"] for one in hook.upsert_records("Leads", [bad, bad])] == ["error", "error"]
    changed = mixed[2]["details"]["id"]
    assert simulator.record("Leads", changed)["Company"] == "D"
    assert hook.update_records("Leads", [{"id": changed, "Company": "E"}])[0]["status"] == "success"
    assert simulator.record("Leads", changed)["Company"] == "E"
    inserted = hook.insert_records("Leads", [{"Last_Name": "Inserted", "Company": "F"}, bad])
    assert [one["status"] for one in inserted] == ["success", "error"]
    assert [one["status"] for one in hook.delete_records("Leads", some[:2])] == ["success", "success"]
    assert not truth(simulator, "Leads", []).keys() & set(some[:2])


@pytest.mark.parametrize("status", [200, 400])
def test_a_throttled_token_is_told_under_either_status(simulated, no_waiting, status):
    simulator = simulated(SEED, mint_limit=0, token_throttle_status=status)
    with pytest.raises(ZohoTokenThrottledError, match="10 minutes"):
        ZohoCRMHook().count_records("Leads")
    assert simulator.counters["tokens_minted"] == 0


@pytest.mark.parametrize("status", [404, 400])
def test_a_result_that_is_gone_is_not_found_under_either_status(simulated, status):
    simulated(SEED, unknown_result_status=status)
    with pytest.raises(ZohoNotFoundError, match="RESOURCE_NOT_FOUND"):
        ZohoCRMHook().download_bulk_read_result("1234567890", io.BytesIO())


def only(records):
    """Keep the id and the columns that are compared."""
    names = ["id", *COLUMNS]
    return ({name: record[name] for name in names} for record in records)


def contacts_of(simulator, account):
    return {
        contact["id"]
        for contact in itertools.chain(simulator.table("Contacts"))
        if (contact["Account_Name"] or {}).get("id") == account
    }
