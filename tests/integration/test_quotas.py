"""Concurrency and credits against the simulator: a process slows down, and a task stops early without losing anything."""

from __future__ import annotations

import asyncio
import threading
from datetime import datetime, timedelta, timezone

import pytest
from support.running import TaskInstance, run_to_end
from support.simulated import asked, statuses

from airflow_provider_zohocrm import (
    ZohoBulkReadOperator,
    ZohoCRMHook,
    ZohoGetRecordsOperator,
    ZohoUpsertOperator,
)
from airflow_provider_zohocrm.client.retry import RetryPolicy
from airflow_provider_zohocrm.exceptions import ZohoLowCreditsError, ZohoRateLimitError
from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMAsyncHook
from airflow_provider_zohocrm.storage import read_records


class Store:
    """Airflow's task state store."""

    def __init__(self):
        self.kept = {}

    def get(self, key, default=None):
        return self.kept.get(key, default)

    def set(self, key, value):
        self.kept[key] = value

    def delete(self, key):
        self.kept.pop(key, None)


def try_of(store, number):
    ti = TaskInstance()
    ti.try_number, ti.max_tries = number, 3
    return {"ti": ti, "task_state_store": store}


def lasting(simulator, used):
    """Leave as many credits that Zoho tells of the rest."""
    limits = simulator.state.limits
    limits.charge(used)
    return limits.options.credits - limits.used()


def credits_come_back(simulator):
    simulator.options.credits = 1_000_000


def extraction(path, **options):
    return ZohoGetRecordsOperator(
        task_id="t",
        module="Leads",
        fields=["Last_Name"],
        strategy="coql",
        output_path=str(path),
        max_records_per_file=2000,
        **options,
    )


def test_clients_of_one_process_slow_down_together_instead_of_failing(simulated, monkeypatch):
    simulator = simulated({"Leads": 1}, latency=0.15, concurrency_limit=2)
    monkeypatch.setattr(RetryPolicy, "wait", lambda *_: 0.1)
    failed = []

    def read():
        hook = ZohoCRMHook(retries=50)
        try:
            for _ in range(5):
                hook.get_organization()
        except Exception as error:  # noqa: BLE001  # told below
            failed.append(error)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert 429 in statuses(simulator, "org")
    limit = ZohoCRMHook().transport.limiter.limit
    assert limit < 8

    async def look():
        async with ZohoCRMAsyncHook() as hook:
            return hook._client.transport.limiter.limit

    assert asyncio.run(look()) == limit


def test_an_extraction_stops_when_credits_are_low_and_goes_on_later(simulated, tmp_path):
    simulator = simulated({"Leads": 9000}, credits=1000)
    left = lasting(simulator, 600)
    store = Store()
    options = {"min_credits_remaining": left - 8}
    with pytest.raises(ZohoLowCreditsError) as stopped:
        extraction(tmp_path / "leads.jsonl", **options).execute(try_of(store, 1))
    assert stopped.value.wanted == left - 8
    assert simulator.state.limits.used() <= 608
    written = sorted(path.name for path in tmp_path.glob("leads*.jsonl"))
    assert written
    calls = len(asked(simulator, "coql"))

    credits_come_back(simulator)
    given = try_of(store, 2)
    result = extraction(tmp_path / "leads.jsonl", **options).execute(given)
    ids = [row["id"] for file in result["files"] for row in read_records(file["path"])]
    assert len(ids) == len(set(ids)) == 9000
    # The count and all but the page that broke off are paid for once.
    assert len(asked(simulator, "coql")) <= 1 + 9000 // 2000 + 3
    assert len(asked(simulator, "coql")) > calls
    assert given["ti"].xcoms["api_usage"]["credits"] == simulator.counters["credits"] - 600


def test_a_load_stops_when_credits_are_low_with_all_results_and_goes_on_later(simulated, tmp_path):
    simulator = simulated({"Leads": 1}, credits=1000)
    left = lasting(simulator, 600)
    store = Store()
    people = [
        {"Last_Name": f"Quota {n}", "Company": "Quota", "Email": f"quota.{n}@example.com"}
        for n in range(1000)
    ]

    def load(number):
        given = try_of(store, number)
        options = {"results_path": str(tmp_path / "results.jsonl"), "max_concurrency": 1, "validate": False}
        made = ZohoUpsertOperator(
            task_id="t", module="Leads", records=people, min_credits_remaining=left - 35, **options
        )
        return made.execute(given), given

    with pytest.raises(ZohoLowCreditsError):
        load(1)
    stored = sum(str(row["Email"]).startswith("quota.") for row in simulator.table("Leads"))
    assert stored == 300
    written = [row for path in tmp_path.glob("results*.jsonl") for row in read_records(str(path))]
    assert len(written) == 300

    credits_come_back(simulator)
    result, given = load(2)
    assert (result["inserted"], result["updated"], result["rejected"]) == (1000, 0, 0)
    assert given["ti"].xcoms["api_usage"]["credits"] == result["credits"] == 100


def test_a_bulk_read_starts_no_job_when_credits_are_low_and_keeps_what_it_has(simulated, tmp_path):
    simulator = simulated({"Leads": 50}, credits=1000, bulk_page_size=20)
    left = lasting(simulator, 600)
    store = Store()

    def export(number):
        return ZohoBulkReadOperator(
            task_id="t",
            module="Leads",
            fields=["Last_Name"],
            output_path=str(tmp_path / "leads.csv"),
            poll_interval=0,
            max_poll_interval=0.05,
            deferrable=False,
            min_credits_remaining=left - 70,
        ).execute(try_of(store, number))

    with pytest.raises(ZohoLowCreditsError, match="costs 50 API credits"):
        export(1)
    credits_come_back(simulator)
    assert export(2)["records"] == 50
    assert len(asked(simulator, "POST /crm/bulk/.*/read")) == 3


def test_the_hook_stops_too(simulated, connection, tmp_path):
    simulator = simulated({"Leads": 500}, credits=1000)
    left = lasting(simulator, 600)
    hook = ZohoCRMHook(min_credits_remaining=left - 1)
    with pytest.raises(ZohoLowCreditsError):
        hook.extract("Leads", str(tmp_path / "x.jsonl"), fields=["Last_Name"], strategy="records")
    assert not (tmp_path / "x.jsonl").exists()
    with pytest.raises(ZohoLowCreditsError):
        hook.load("upsert", "Leads", [{"Last_Name": "Late"}])
    assert not any(row["Last_Name"] == "Late" for row in simulator.table("Leads"))
    assert hook.usage.remaining >= left - 2


def test_credits_that_are_gone_end_with_the_time_they_may_be_back(simulated):
    simulated({"Leads": 1}, credits=1)
    hook = ZohoCRMHook(retries=0)
    hook.get_organization()
    with pytest.raises(ZohoRateLimitError, match="some may be back at") as refused:
        hook.get_organization()
    assert refused.value.retry_at - datetime.now(timezone.utc) > timedelta(minutes=59)


def test_what_a_task_counts_is_what_zoho_counts(simulated, tmp_path):
    simulator = simulated({"Leads": 50}, bulk_page_size=20)
    given = {"ti": TaskInstance()}
    result, deferrals = run_to_end(
        lambda: ZohoBulkReadOperator(
            task_id="t",
            module="Leads",
            fields=["Last_Name"],
            output_path=str(tmp_path / "leads.parquet"),
            poll_interval=0.05,
            max_poll_interval=0.05,
            deferrable=True,
        ),
        given,
    )
    assert deferrals
    assert result["records"] == 50
    used, counted = given["ti"].xcoms["api_usage"], simulator.counters
    assert used["credits"] == counted["credits"]
    assert used["calls"] + used["tokens_minted"] == counted["calls"]
    assert used["tokens_minted"] == 1
