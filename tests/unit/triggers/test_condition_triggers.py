"""Triggers that wait for a condition: serialization, outages, the deadline, cancelling."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import pytest
from support.running import events_of, rebuilt, through_json
from support.zoho import refusal

from airflow_provider_zohocrm import ApiCreditsTrigger, RecordTrigger
from airflow_provider_zohocrm.client import aio
from airflow_provider_zohocrm.triggers import condition as condition_module

ROW = {"data": [{"id": "7"}], "info": {"more_records": False}}
NOTHING = {"status_code": 204}
DOWN = {"status_code": 503, "text": "<html>"}
QUERY = "select id from Leads where Company = 'x'"


def record_trigger(**options):
    options = {"query": QUERY, "poll_interval": 0.0, **options}
    return RecordTrigger("zohocrm_default", **options)


@pytest.mark.parametrize(
    ("trigger", "own"),
    [
        (
            RecordTrigger("zoho_eu", "Leads", "1", api_version="v7"),
            {"module": "Leads", "record_id": "1", "query": None, "min_records": 1, "api_version": "v7"},
        ),
        (
            RecordTrigger("zoho_eu", query=QUERY, min_records=3, end_time=5.0),
            {"module": None, "record_id": None, "query": QUERY, "min_records": 3, "end_time": 5.0},
        ),
        (ApiCreditsTrigger("zoho_eu", 50, max_poll_interval=600.0), {"min_credits": 50, "max_poll_interval": 600.0}),
    ],
)  # fmt: skip
def test_a_trigger_is_rebuilt_from_plain_json(trigger, own):
    path, kwargs = trigger.serialize()
    shared = {
        "zohocrm_conn_id": "zoho_eu",
        "poll_interval": 60.0,
        "max_poll_interval": 60.0,
        "end_time": None,
        "api_version": None,
        "min_credits_remaining": None,
    }
    assert through_json(kwargs) == {**shared, **own}
    assert path == f"{type(trigger).__module__}.{type(trigger).__name__}"
    assert rebuilt(path, kwargs).serialize() == (path, kwargs)


def test_it_fires_once_with_an_id_and_no_record(zoho):
    zoho.on("POST", "/crm/v8/coql", NOTHING, NOTHING, ROW)
    (event,) = events_of(record_trigger())
    assert event.pop("message")
    assert event.pop("api_usage")["calls"] == 3
    assert through_json(event) == {"status": "success", "record_id": "7", "records": 1}
    assert [call.json["select_query"] for call in zoho.calls] == [f"{QUERY} order by id asc limit 0, 1"] * 3


def test_outages_are_outlasted(zoho, no_waiting):
    zoho.on("POST", "/crm/v8/coql", *[DOWN] * 20, ROW)
    (event,) = events_of(record_trigger())
    assert event["status"] == "success"


def test_what_does_not_pass_is_told_at_once(zoho):
    zoho.on("POST", "/crm/v8/coql", refusal(401, "OAUTH_SCOPE_MISMATCH"))
    (event,) = events_of(record_trigger())
    assert event["status"] == "error"
    assert "ZohoCRM.coql.READ" in event["message"]
    assert len(zoho.calls) == 1


def test_a_condition_that_cannot_be_is_told_without_a_call(zoho):
    (event,) = events_of(record_trigger(query="select id from Leads"))
    assert event["status"] == "error"
    assert zoho.mocker.request_history == []


def test_the_deadline_ends_it_after_one_last_look(zoho):
    zoho.on("POST", "/crm/v8/coql", NOTHING)
    (event,) = events_of(record_trigger(end_time=time.time() - 1))
    assert event["status"] == "timeout"
    assert len(zoho.calls) == 1


def test_the_pause_zoho_asks_for_is_kept(zoho, no_waiting, monkeypatch):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    too_many = refusal(429, "TOO_MANY_REQUESTS", retry_after=400)
    zoho.on("POST", "/crm/v8/coql", too_many, ROW)
    monkeypatch.setattr(condition_module, "asyncio", SimpleNamespace(sleep=sleep))
    (event,) = events_of(record_trigger(poll_interval=60.0))
    assert event["status"] == "success"
    assert slept == [60.0, 400.0]


@pytest.mark.parametrize(("longest", "expected"), [(60.0, [60, 60, 60, 60]), (300.0, [60, 120, 240, 300])])
def test_the_pause_doubles_where_it_may(longest, expected):
    delays = record_trigger(poll_interval=60.0, max_poll_interval=longest)._delays()
    found = [next(delays) for _ in range(4)]
    for delay, least in zip(found, expected, strict=True):
        assert least <= delay <= least * 1.1 + 1e-9


def _users(shared):
    return sum(one.users for one in shared.values())


def test_triggers_share_a_session_and_a_cancelled_one_gives_it_back(zoho, monkeypatch):
    async def run():
        looked = asyncio.Event()
        original = RecordTrigger._condition

        def condition(trigger):
            looked.set()
            return original(trigger)

        monkeypatch.setattr(RecordTrigger, "_condition", condition)
        waiting = [
            asyncio.create_task(record_trigger(poll_interval=3600.0).run().__anext__()) for _ in range(5)
        ]
        await looked.wait()
        while not (shared := aio._shared.get(asyncio.get_running_loop(), {})) or _users(shared) < 5:  # noqa: ASYNC110  # nothing tells
            await asyncio.sleep(0)
        transports = len(shared)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return transports, len(shared)

    assert asyncio.run(asyncio.wait_for(run(), 30)) == (1, 0)


def test_credits_are_read_from_the_header(zoho):
    def org(left):
        headers = {} if left is None else {"X-API-CREDITS-REMAINING": str(left)}
        return {"json": {"org": [{"company_name": "x"}]}, "headers": headers}

    zoho.on("GET", "/crm/v8/org", org(10), org(49), org(50))
    (event,) = events_of(ApiCreditsTrigger("zohocrm_default", 50, poll_interval=0.0))
    assert (event["status"], event["credits_remaining"]) == ("success", 50)
    zoho.on("GET", "/crm/v8/org", org(None))
    (event,) = events_of(ApiCreditsTrigger("zohocrm_default", 50, poll_interval=0.0))
    assert (event["status"], event["credits_remaining"]) == ("success", None)
