from __future__ import annotations

import json
import threading
from datetime import datetime, timedelta, timezone

import pytest
from support.running import context
from support.simulated import asked, by_id, statuses, truth

from airflow_provider_zohocrm.exceptions import (
    ZohoAuthenticationError,
    ZohoPaginationLimitError,
    ZohoScopeError,
)
from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook
from airflow_provider_zohocrm.operators.records import ZohoGetRecordsOperator
from airflow_provider_zohocrm.storage import read_records

MANY = 12_345
LISTS = r"GET /crm/v[\d.]+/Leads$"


def read(tmp_path, name="x.jsonl", **options):
    path = tmp_path / name
    made = ZohoGetRecordsOperator(**{"task_id": "t", "module": "Leads", "output_path": str(path), **options})
    result = made.execute(context())
    return result, read_records(str(path))


# --- all of a module ---------------------------------------------------------------------------------------------


def test_12345_leads_in_v8_are_62_list_calls_and_equal_the_table(simulated, tmp_path):
    simulator = simulated({"Leads": MANY})
    result, rows = read(tmp_path)
    assert by_id(rows) == truth(simulator, "Leads")
    assert result["records"] == MANY
    assert len(asked(simulator, LISTS)) <= 62
    assert len(asked(simulator, "GET /crm/")) <= 62 + 1
    newest = max(datetime.fromisoformat(one["Modified_Time"]) for one in simulator.table("Leads"))
    assert datetime.fromisoformat(result["max_modified_time"]) == newest


def test_12345_leads_in_v2_without_the_limit_are_62_list_calls(simulated, tmp_path):
    simulator = simulated({"Leads": MANY}, v2_page_limit=False)
    result, rows = read(tmp_path, api_version="v2")
    expected = truth(simulator, "Leads")
    found = by_id(rows)
    assert result["records"] == MANY
    assert found.keys() == expected.keys()
    assert not [key for key, record in expected.items() if {**found[key], **record} != found[key]]
    assert len(asked(simulator, LISTS)) <= 62


@pytest.mark.parametrize("version", ["v2", "v2.1"])
def test_12345_leads_in_v2_with_the_limit_go_on_by_coql(simulated, tmp_path, version):
    simulator = simulated({"Leads": MANY}, v2_page_limit=True)
    result, rows = read(tmp_path, api_version=version)
    expected = truth(simulator, "Leads")
    found = by_id(rows)
    assert result["records"] == MANY
    assert found.keys() == expected.keys()
    assert not [key for key, record in expected.items() if {**found[key], **record} != found[key]]
    assert 400 in statuses(simulator, LISTS), "the limit was not met"
    # Ten pages and the refused one, then ids at 200 a query, and the records at 100 a call.
    assert len(asked(simulator, "/crm/")) <= 11 + 62 + 104


def test_v2_with_the_limit_and_without_coql_names_the_way_out(simulated, tmp_path):
    scopes = "ZohoCRM.modules.ALL,ZohoCRM.settings.ALL"
    simulated({"Leads": 2_500}, v2_page_limit=True, scopes=scopes)
    with pytest.raises(ZohoPaginationLimitError, match=r"api_version v3.*COQL is not allowed"):
        read(tmp_path, api_version="v2")
    assert list(tmp_path.iterdir()) == []


def test_past_what_tokens_reach_the_error_names_bulk_read(simulated, tmp_path, no_waiting):
    simulated({"Leads": 1_000}, page_token_limit=600)
    with pytest.raises(ZohoPaginationLimitError, match="ZohoBulkReadOperator"):
        read(tmp_path, fields="Last_Name")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("version", ["v3", "v4", "v5", "v6", "v7"])
def test_every_version_between_reads_by_token(simulated, tmp_path, version):
    simulator = simulated({"Leads": 2_345})
    _, rows = read(tmp_path, api_version=version, fields="Last_Name,Email")
    assert by_id(rows) == truth(simulator, "Leads", ["Last_Name", "Email"])
    assert len(asked(simulator, LISTS)) == 12


def test_a_first_page_without_token_is_followed_by_number(simulated, tmp_path):
    simulator = simulated({"Leads": 450}, missing_page1_token=True)
    _, rows = read(tmp_path, fields="Last_Name")
    assert by_id(rows) == truth(simulator, "Leads", ["Last_Name"])


def test_more_than_50_fields_are_read_in_groups_and_joined(simulated, tmp_path):
    simulator = simulated({"Deals": 450})
    expected = truth(simulator, "Deals")
    assert len(next(iter(expected.values()))) > 50
    result, rows = read(tmp_path, module="Deals")
    assert by_id(rows) == expected
    assert len(result["fields"]) > 50


def test_csv_holds_the_same_values_as_jsonl(simulated, tmp_path):
    simulator = simulated({"Leads": 450})
    names = ["Last_Name", "Company", "Description", "Customer_Number", "Modified_Time"]
    expected = truth(simulator, "Leads", names)
    odd = json.dumps([one["Description"] for one in expected.values()], ensure_ascii=False)
    assert "\\n" in odd
    assert '\\"' in json.dumps([list(one.values()) for one in expected.values()], ensure_ascii=False)
    assert by_id(read(tmp_path, fields=names)[1]) == expected
    for suffix in ("csv", "csv.gz", "csv.zst"):
        rows = by_id(read(tmp_path, f"x.{suffix}", fields=names)[1])
        # An empty text and no text are the same in a CSV.
        texts, wanted = (
            {key: {name: row.get(name) or "" for name in ["id", *names]} for key, row in table.items()}
            for table in (rows, expected)
        )
        assert texts == wanted, suffix


def test_one_record_comes_with_its_subforms(simulated, tmp_path):
    simulator = simulated({"Leads": 30})
    whole = next(one for one in simulator.table("Leads") if one["Positions"])
    _, rows = read(tmp_path, record_id=whole["id"])
    (found,) = rows
    assert {**found, **whole} == found


def test_ids_and_order_and_end_are_kept(simulated):
    simulator = simulated({"Leads": 500})
    hook = ZohoCRMHook()
    every = sorted(truth(simulator, "Leads"))
    wanted = every[10:400:2]
    found = by_id(hook.get_records("Leads", "Last_Name", ids=wanted))
    assert found == {
        key: row for key, row in truth(simulator, "Leads", ["Last_Name"]).items() if key in wanted
    }
    first = [
        one["id"] for one in hook.get_records("Leads", "id", sort_by="id", sort_order="asc", max_records=250)
    ]
    assert first == every[:250]
    assert len(list(hook.get_records("Leads", "id", max_records=1))) == 1


# --- incremental -------------------------------------------------------------------------------------------------


def test_an_incremental_run_reads_what_changed_since_the_watermark(simulated, tmp_path):
    simulator = simulated({"Leads": 450})
    result, _ = read(tmp_path, fields="Last_Name,Modified_Time")
    keys = sorted(truth(simulator, "Leads"))[5:8]
    simulator.advance(60)
    ZohoCRMHook().update_records("Leads", [{"id": key, "Last_Name": f"changed {key}"} for key in keys])
    since = (datetime.fromisoformat(result["max_modified_time"]) + timedelta(seconds=1)).isoformat()
    _, rows = read(tmp_path, "y.jsonl", fields="Last_Name,Modified_Time", modified_since=since)
    assert {row["id"]: row["Last_Name"] for row in rows} == {key: f"changed {key}" for key in keys}


def test_the_watermark_is_inclusive_so_that_nothing_is_lost(simulated, tmp_path):
    simulator = simulated({"Leads": 450})
    result, _ = read(tmp_path, fields="Modified_Time")
    again, rows = read(
        tmp_path, "y.jsonl", fields="Modified_Time", modified_since=result["max_modified_time"]
    )
    newest = max(one["Modified_Time"] for one in simulator.table("Leads"))
    assert {row["id"] for row in rows} >= {
        one["id"] for one in simulator.table("Leads") if one["Modified_Time"] == newest
    }
    assert again["max_modified_time"] == result["max_modified_time"]


def test_nothing_changed_is_304_and_nothing_there_is_204(simulated, tmp_path):
    simulator = simulated({"Leads": 20, "Products": 0})
    future = datetime.now(timezone.utc) + timedelta(days=2)
    assert read(tmp_path, fields="Last_Name", modified_since=future)[0]["records"] == 0
    assert statuses(simulator, LISTS) == [304]
    assert read(tmp_path, "y.csv", module="Products", fields="Product_Name")[0]["records"] == 0
    assert statuses(simulator, "GET /crm/v8/Products$") == [204]
    hook = ZohoCRMHook()
    assert hook.get_record("Leads", "3652397001999999999") is None
    assert list(hook.query("select Last_Name from Leads where Last_Name = 'nobody has this name'")) == []


# --- deleted and related -----------------------------------------------------------------------------------------


def test_deleted_records_are_listed_by_type_and_time(simulated):
    simulator = simulated({"Leads": 30})
    hook = ZohoCRMHook()
    before = {one["id"] for one in hook.get_deleted_records("Leads")}
    keys = sorted(truth(simulator, "Leads"))[:3]
    simulator.advance(3600)
    since = datetime.fromtimestamp(simulator.advance(0), timezone.utc)
    hook.delete_records("Leads", keys)
    assert {one["id"] for one in hook.get_deleted_records("Leads")} == before | set(keys)
    found = {
        kind: {one["id"]: one["type"] for one in hook.get_deleted_records("Leads", kind)}
        for kind in ("recycle", "permanent")
    }
    assert set(found["recycle"].values()) == {"recycle"}
    assert set(found["permanent"].values()) == {"permanent"}
    assert found["recycle"].keys() | found["permanent"].keys() == before | set(keys)
    assert set(keys) <= found["recycle"].keys()
    assert {one["id"] for one in hook.get_deleted_records("Leads", modified_since=since)} == set(keys)


def related_of(simulator, account):
    return {
        one["id"]: {"id": one["id"], "Last_Name": one["Last_Name"], "Email": one["Email"]}
        for one in simulator.table("Contacts")
        if (one["Account_Name"] or {}).get("id") == account
    }


def test_related_records_and_those_of_a_deleted_record(simulated):
    simulator = simulated({"Accounts": 2, "Contacts": 700})
    hook = ZohoCRMHook()
    account = next(iter(truth(simulator, "Accounts")))
    expected = related_of(simulator, account)
    assert len(expected) > 200, "more than a page"
    found = by_id(hook.get_related_records("Accounts", account, "Contacts", ["Last_Name", "Email"]))
    assert {key: {**row, **expected[key]} for key, row in found.items()} == found
    assert found.keys() == expected.keys()
    hook.delete_records("Accounts", [account])
    after = hook.get_deleted_record_related_records("Accounts", account, "Contacts", ["Last_Name", "Email"])
    assert {one["id"]: one["Last_Name"] for one in after} == {
        key: row["Last_Name"] for key, row in expected.items()
    }


# --- the other reads ---------------------------------------------------------------------------------------------


def test_coql_reads_every_row_of_a_query(simulated):
    simulator = simulated({"Leads": 4_500})
    rows = ZohoCRMHook().query("select Last_Name, Email from Leads where id is not null")
    found = by_id(rows)
    expected = truth(simulator, "Leads", ["Last_Name", "Email"])
    assert found.keys() == expected.keys()
    assert {key: (row["Last_Name"], row["Email"]) for key, row in found.items()} == {
        key: (row["Last_Name"], row["Email"]) for key, row in expected.items()
    }
    assert len(asked(simulator, "POST /crm/v8/coql")) <= 4


@pytest.mark.parametrize("count_as", ["int", "str"])
def test_records_are_counted(simulated, count_as):
    simulated({"Leads": 345}, count_as=count_as)
    assert ZohoCRMHook().count_records("Leads") == 345


def test_search_finds_records(simulated):
    simulator = simulated({"Leads": 300})
    email = next(one["Email"] for one in simulator.table("Leads") if one["Email"])
    expected = {one["id"] for one in simulator.table("Leads") if one["Email"] == email}
    assert {one["id"] for one in ZohoCRMHook().search_records("Leads", email=email)} == expected


def test_metadata_and_connection_test(simulated):
    simulator = simulated()
    hook = ZohoCRMHook()
    assert {one["api_name"] for one in hook.get_modules()} >= set(simulator.state.store.modules)
    assert {one["api_name"] for one in hook.get_fields("Deals")} >= set(
        simulator.state.store.modules["Deals"].fields
    ) - {"id"}
    works, text = hook.test_connection()
    assert works, text
    assert hook.get_organization()["company_name"] in text


# --- tokens ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v2", "v8"])
def test_a_token_that_dies_on_the_way_is_replaced_and_no_record_is_lost(simulated, version):
    simulator = simulated({"Leads": 1_900})
    records = ZohoCRMHook(api_version=version).get_records("Leads", "Last_Name")
    found = [next(records) for _ in range(500)]
    simulator.kill_tokens()
    found += [next(records) for _ in range(700)]
    simulator.advance(4_000)
    found += records
    assert by_id(found).keys() == truth(simulator, "Leads").keys()
    assert simulator.counters["tokens_minted"] == 3
    assert statuses(simulator, LISTS).count(401) == 2


def test_tasks_on_one_worker_share_one_token(simulated):
    simulator = simulated({"Leads": 20})
    for _ in range(12):
        assert ZohoCRMHook().count_records("Leads") == 20
    assert simulator.counters["tokens_minted"] == 1


def test_threads_share_one_token(simulated):
    simulator = simulated({"Leads": 20})
    counts = []
    threads = [
        threading.Thread(target=lambda: counts.append(ZohoCRMHook().count_records("Leads"))) for _ in range(8)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert counts == [20] * 8
    assert simulator.counters["tokens_minted"] == 1


def test_wrong_credentials_and_missing_scopes_are_told_apart(simulated, connection):
    simulator = simulated({"Leads": 20}, scopes="ZohoCRM.modules.ALL")
    with pytest.raises(ZohoScopeError, match=r"ZohoCRM\.coql\.READ"):
        list(ZohoCRMHook().query("select id from Leads where id is not null"))
    connection("wrong", extra={"accounts_url": simulator.url})
    with pytest.raises(ZohoAuthenticationError):
        ZohoCRMHook("wrong").count_records("Leads")


def test_the_client_says_the_documented_prefix(simulated):
    simulator = simulated({"Leads": 20}, strict_prefix=True)
    ZohoCRMHook().count_records("Leads")
    assert set(simulator.counters["authorization_prefixes"]) == {"Zoho-oauthtoken"}
