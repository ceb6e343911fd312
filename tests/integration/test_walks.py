from __future__ import annotations

import json
import random
import re
import threading

import pytest
from support.simulated import asked, by_id, truth

from airflow_provider_zohocrm.exceptions import ZohoResponseError
from airflow_provider_zohocrm.extraction.walks import CoqlWalk, both_ends
from airflow_provider_zohocrm.extraction.window import Window
from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook

FIELDS = ["Last_Name", "Email", "Modified_Time", "Annual_Revenue", "Languages"]


def flat(pages):
    return [record for page in pages for record in page]


def everything(walk):
    return [
        record for page in both_ends(walk.pages(), walk.pages(descending=True)) for record in page.records
    ]


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("count", [0, 1, 2_000, 4_001])
def test_a_walk_by_coql_reads_every_record_once_in_order(simulated, count, descending):
    simulator = simulated({"Leads": count})
    rows = flat(CoqlWalk(ZohoCRMHook(), "Leads", FIELDS, Window()).pages(descending=descending))
    assert [int(row["id"]) for row in rows] == sorted((int(row["id"]) for row in rows), reverse=descending)
    assert by_id(rows) == truth(simulator, "Leads", FIELDS)
    assert len(asked(simulator, "coql")) == max(1, -(-count // 2_000))


@pytest.mark.parametrize("count", [0, 1, 1_999, 2_000, 2_001, 6_000, 12_345])
def test_from_both_ends_every_record_comes_once(simulated, count):
    simulator = simulated({"Leads": count})
    assert by_id(everything(CoqlWalk(ZohoCRMHook(), "Leads", FIELDS, Window()))) == truth(
        simulator, "Leads", FIELDS
    )
    pages = -(-count // 2_000)
    # A page more at each end may be on its way when the two meet.
    assert len(asked(simulator, "coql")) <= pages + 3


@pytest.mark.parametrize("overlap", [0, 7])
def test_lists_from_both_ends_too(simulated, overlap):
    simulator = simulated({"Leads": 2_345}, page_overlap=overlap)
    hook = ZohoCRMHook()
    ends = [hook.walk_by_id("Leads", ["id", *FIELDS], descending=down) for down in (False, True)]
    records = [record for page in both_ends(*ends) for record in page.records]
    assert by_id(records) == truth(simulator, "Leads", FIELDS)


def test_a_walk_goes_on_where_it_was_left(simulated):
    simulator = simulated({"Leads": 6_543})
    ids = sorted(truth(simulator, "Leads"), key=int)
    walk = CoqlWalk(ZohoCRMHook(), "Leads", FIELDS, Window())
    low, high = ids[1_000], ids[5_000]
    pages = both_ends(walk.pages(after=low), walk.pages(descending=True, after=high), after=low, before=high)
    assert sorted((r["id"] for page in pages for r in page.records), key=int) == ids[1_001:5_000]


@pytest.mark.parametrize("limit", [50, 500])
def test_more_fields_than_coql_takes_are_joined_by_id(simulated, limit):
    simulator = simulated({"Leads": 4_100}, coql_fields=limit)
    hook = ZohoCRMHook()
    names = [name for name in hook.list_fields("Leads") if name != "id"]
    wide = [*names, *(f"Owner.{part}" for part in ("first_name", "last_name", "email"))]
    wide += [
        f"Partner.{name}"
        for name in ("Phone", "Website", "Industry", "Rating", "Account_Name", "Created_Time")
    ]
    rows = by_id(flat(CoqlWalk(hook, "Leads", wide, Window()).pages()))
    assert {key: {name: row[name] for name in ("id", *names)} for key, row in rows.items()} == truth(
        simulator, "Leads", names
    )
    assert all(set(wide) <= set(row) for row in rows.values())
    # With 50, one refusal tells it, and each of the three pages takes two queries.
    assert len(asked(simulator, "coql")) == (3 if limit == 500 else 7)


def test_a_record_that_changes_between_two_groups_is_read_whole(simulated):
    simulator = simulated({"Leads": 300}, coql_fields=10)
    hook = ZohoCRMHook()
    names = [name for name in hook.list_fields("Leads") if name != "id"]
    changed = sorted(truth(simulator, "Leads"), key=int)[17]
    send, done = hook.transport.send, threading.Event()

    def interfering(call):
        if "coql" in call.path and done.is_set() is False and len(asked(simulator, "coql")) == 3:
            done.set()
            hook.update_records("Leads", [{"id": changed, "Last_Name": "Changed", "Company": "Changed too"}])
        return send(call)

    hook.transport.send = interfering
    rows = by_id(flat(CoqlWalk(hook, "Leads", names, Window()).pages()))
    assert done.is_set()
    assert (rows[changed]["Last_Name"], rows[changed]["Company"]) == ("Changed", "Changed too")
    assert {key: row["Modified_Time"] for key, row in rows.items()} == {
        key: row["Modified_Time"] for key, row in truth(simulator, "Leads").items()
    }


def test_a_window_is_kept_to_the_second_in_every_way_of_reading(simulated):
    simulator = simulated({"Leads": 1_500})
    times = sorted(row["Modified_Time"] for row in truth(simulator, "Leads", ["Modified_Time"]).values())
    since, before = times[300], times[900]
    expected = {
        key
        for key, row in truth(simulator, "Leads", ["Modified_Time"]).items()
        if since <= row["Modified_Time"] < before
    }
    assert 0 < len(expected) < 1_500
    window = Window.of(since, before)
    hook = ZohoCRMHook()
    listed = hook.get_records("Leads", "Last_Name", modified_since=since, modified_before=before)
    records = by_id(listed)
    assert set(records) == expected
    assert all(set(record) == {"id", "Last_Name"} for record in records.values())
    assert set(by_id(flat(CoqlWalk(hook, "Leads", ["Last_Name"], window).pages()))) == expected
    job = hook.create_bulk_read_job("Leads", fields=["Last_Name"], criteria=window.criteria())
    while (found := hook.get_bulk_read_job(job["id"]))["state"] != "COMPLETED":
        pass
    assert found["result"]["count"] == len(expected)


def test_random_ends_meet():
    chance = random.Random(7)
    for _ in range(200):
        ids = sorted(chance.sample(range(1, 500), chance.randrange(0, 60)))
        cut = chance.randrange(1, 9)
        pages = [[{"id": str(one)} for one in ids[n : n + cut]] for n in range(0, len(ids), cut)]
        size = chance.randrange(1, 9)
        turned = ids[::-1]
        back = [[{"id": str(one)} for one in turned[n : n + size]] for n in range(0, len(ids), size)]
        found = [int(r["id"]) for page in both_ends(iter(pages), iter(back)) for r in page.records]
        assert sorted(found) == ids


def test_an_order_that_zoho_does_not_keep_is_an_error_and_no_gap():
    pages = [[{"id": "3"}, {"id": "1"}]]
    with pytest.raises(ZohoResponseError, match="order of their ids"):
        list(both_ends(iter(pages), iter([[{"id": "9"}]])))


def test_queries_hold_what_was_checked_and_quoted(simulated):
    simulator = simulated({"Leads": 3})
    walk = CoqlWalk(ZohoCRMHook(), "Leads", ["Last_Name"], Window.of("2000-01-01", None))
    list(walk.pages())
    (body,) = [one["body"] for one in simulator.requests if one["path"].endswith("/coql")]
    assert re.fullmatch(
        r"select id, Last_Name from Leads where id is not null and Modified_Time >= "
        r"'2000-01-01T00:00:00\+00:00' order by id asc limit 2000",
        json.loads(body)["select_query"],
    )
