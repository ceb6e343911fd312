"""The watcher over the wire: each change fires once, over restarts, outages and events that were not stored."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from importlib.util import find_spec
from itertools import islice
from types import SimpleNamespace

import pytest
from support.simulated import asked

from airflow_provider_zohocrm.client import client
from airflow_provider_zohocrm.client.client import ZohoCRMClient
from airflow_provider_zohocrm.client.credentials import ZohoCredentials
from airflow_provider_zohocrm.client.tokens import MemoryTokenStore
from airflow_provider_zohocrm.client.transport import Transport
from airflow_provider_zohocrm.exceptions import ZohoValidationError
from airflow_provider_zohocrm.operators import usage
from airflow_provider_zohocrm.triggers import records_changed
from airflow_provider_zohocrm.triggers.records_changed import ZohoRecordsChangedTrigger

SHARED = find_spec("airflow.triggers.shared_stream") is not None
QUICK = {"poll_interval": 0.05, "max_poll_interval": 0.1}


@pytest.fixture
def variables(monkeypatch):
    """The Variables of an Airflow."""
    kept = {}
    monkeypatch.setattr(records_changed, "read_variable", kept.get)
    monkeypatch.setattr(
        records_changed, "write_variable", lambda key, value, description: kept.__setitem__(key, value)
    )
    monkeypatch.setattr(records_changed, "_STORED", 0.0)
    return kept


class Alone:
    """A triggerer that runs each watcher by itself, and stores what it fires."""

    def __init__(self, *watchers):
        self.watchers = watchers
        self.events = [[] for _ in watchers]

    async def __aenter__(self):
        self.tasks = [asyncio.create_task(self.watch(number)) for number in range(len(self.watchers))]
        return self

    async def __aexit__(self, *_):
        for task in self.tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def watch(self, number):
        async for event in self.watchers[number].run():
            self.events[number].append(event.payload)

    async def fired(self, count, number=0):
        """Wait for so many events of a watcher, and a while longer for one too many."""
        await until(lambda: len(self.events[number]) >= count)
        await asyncio.sleep(0.3)
        assert len(self.events[number]) == count
        return self.events[number]


class Together(Alone):
    """A triggerer with shared streams, as Airflow 3.3 drives them."""

    stores = True
    """Whether events reach the metadata database."""

    async def __aenter__(self):
        from airflow.triggers.shared_stream import SharedStreamManager

        self.streams = SharedStreamManager(ack_timeout=60)
        return await super().__aenter__()

    async def __aexit__(self, *error):
        await super().__aexit__(*error)
        await self.streams.stop_all()

    async def watch(self, number):
        watcher = self.watchers[number]
        key = watcher.shared_stream_key()
        stream = self.streams.subscribe(trigger_id=number, trigger=watcher, key=key)
        async for event in watcher.filter_shared_stream(stream):
            self.events[number].append(event.payload)
            seq = self.streams.bind_pending_event(trigger_id=number, key=key)
            if self.stores:
                self.streams.confirm_persisted([seq])


TRIGGERERS = [Alone, Together] if SHARED else [Alone]


def client_of(simulator):
    given = simulator.connection
    credentials = ZohoCredentials.from_fields(given["login"], given["password"], given["extra"], name="test")
    return ZohoCRMClient(Transport(credentials, store=MemoryTokenStore()))


@pytest.fixture
def crm(simulated, variables):
    simulator = simulated({"Leads": 250})
    return SimpleNamespace(simulator=simulator, client=client_of(simulator), kept=variables)


async def insert(crm, name="new", **fields):
    record = {"Last_Name": name, "Company": "Zylker", **fields}
    (result,) = await asyncio.to_thread(crm.client.insert_records, "Leads", [record])
    return result["details"]["id"]


async def update(crm, record_id, **fields):
    # Zoho's times have no fractions: a change within the second of the one before is told by nothing.
    crm.simulator.advance(2)
    await asyncio.to_thread(crm.client.update_records, "Leads", [{"id": record_id, **fields}])


async def insert_many(crm, count, **fields):
    records = [{"Last_Name": f"n{number}", "Company": "Zylker", **fields} for number in range(count)]
    results = await asyncio.to_thread(lambda: list(crm.client.insert_records("Leads", records)))
    return [result["details"]["id"] for result in results]


async def update_many(crm, count):
    """Change records that are there, later than all else."""
    crm.simulator.advance(2)
    ids = [row["id"] for row in islice(crm.simulator.table("Leads"), count)]
    records = [{"id": id_, "City": "Bergen"} for id_ in ids]
    await asyncio.to_thread(lambda: list(crm.client.update_records("Leads", records)))
    return ids


async def delete_many(crm, ids):
    crm.simulator.advance(2)
    await asyncio.to_thread(lambda: list(crm.client.delete_records("Leads", ids)))


async def watched(triggerer, watcher, crm, events=0):
    """Let a watcher run until it has fired so often, and has kept that; the triggerer is restarted then."""
    before, looks = dict(crm.kept), len(asked(crm.simulator, "GET .*/Leads$"))
    async with triggerer(ZohoRecordsChangedTrigger("Leads", **watcher)) as running:
        # By the second look the first one is compared.
        await until(lambda: len(asked(crm.simulator, "GET .*/Leads$")) > looks + (not events))
        found = list(await running.fired(events))
        await until(lambda: crm.kept and (not events or crm.kept != before))
        return found


async def until(look):
    """Wait for something, however slow the machine."""
    for _ in range(3000):
        if look():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it has not come")


async def begun(crm, watchers=1):
    """Wait until the first look is kept."""
    await until(lambda: len(crm.kept) == watchers)


async def seen(crm, record_id):
    """Wait until a watcher knows of a record."""
    await until(lambda: any(record_id in kept for kept in crm.kept.values()))


@pytest.mark.parametrize("triggerer", TRIGGERERS)
def test_each_change_fires_once_and_says_what_it_was(crm, triggerer):
    async def scenario():
        async with triggerer(ZohoRecordsChangedTrigger("Leads", **QUICK)) as running:
            await begun(crm)
            first = await insert(crm)
            (event,) = await running.fired(1)
            assert (event["created"], event["changed"], event["deleted"]) == ([first], [], [])
            await update(crm, first, City="Oslo")
            event = (await running.fired(2))[1]
            assert (event["created"], event["changed"], event["deleted"]) == ([], [first], [])
            assert event["modified_since"] == event["watermark"]
            crm.simulator.advance(2)
            await asyncio.to_thread(crm.client.delete_records, "Leads", [first])
            event = (await running.fired(3))[2]
            assert (event["created"], event["changed"], event["deleted"]) == ([], [], [first])
            assert not event["more"]

    asyncio.run(scenario())


@pytest.mark.parametrize("triggerer", TRIGGERERS)
def test_what_happens_while_the_triggerer_is_away_fires_once_when_it_is_back(crm, triggerer):
    async def scenario():
        watcher = {"module": "Leads", **QUICK}
        async with triggerer(ZohoRecordsChangedTrigger(**watcher)) as running:
            await begun(crm)
            await insert(crm, "before")
            await running.fired(1)
        there = await insert(crm, "meanwhile")
        gone = next(crm.simulator.table("Leads"))["id"]
        await asyncio.to_thread(crm.client.delete_records, "Leads", [gone])
        # Newer than the deletion, so that the next looks begin after it.
        crm.simulator.advance(200)
        newest = await insert(crm, "last")
        async with triggerer(ZohoRecordsChangedTrigger(**watcher)) as running:
            (event,) = await running.fired(1)
        assert (sorted(event["created"]), event["deleted"]) == (sorted([there, newest]), [gone])
        async with triggerer(ZohoRecordsChangedTrigger(**watcher)) as running:
            await running.fired(0)

    asyncio.run(scenario())


@pytest.mark.parametrize("triggerer", TRIGGERERS)
def test_two_changes_within_a_second_and_one_that_comes_late_fire(crm, triggerer):
    async def scenario():
        async with triggerer(ZohoRecordsChangedTrigger("Leads", **QUICK)) as running:
            await begun(crm)
            found = set()
            for number in range(3):
                found.add(await insert(crm, f"quick {number}"))
                events = await running.fired(number + 1)
            assert {id_ for event in events for id_ in event["created"]} == found

    asyncio.run(scenario())


@pytest.mark.parametrize("triggerer", TRIGGERERS)
def test_only_what_meets_the_criteria_fires_and_is_asked_for_only_after_a_change(crm, triggerer):
    async def scenario():
        watcher = ZohoRecordsChangedTrigger("Leads", criteria="City = 'Oslo'", **QUICK)
        async with triggerer(watcher) as running:
            await begun(crm)
            await running.fired(0)
            assert not asked(crm.simulator, "coql")
            await seen(crm, await insert(crm, City="Bergen"))
            await running.fired(0)
            assert len(asked(crm.simulator, "coql")) == 1
            wanted = await insert(crm, City="Oslo")
            (event,) = await running.fired(1)
            assert event["created"] == [wanted]
        assert not asked(crm.simulator, "deleted")

    asyncio.run(scenario())


@pytest.mark.parametrize("triggerer", TRIGGERERS)
def test_the_kinds_that_are_not_asked_for_fire_nothing(crm, triggerer):
    async def scenario():
        async with triggerer(ZohoRecordsChangedTrigger("Leads", on="changed", **QUICK)) as running:
            await begun(crm)
            new = await insert(crm)
            await seen(crm, new)
            await running.fired(0)
            await update(crm, new, City="Oslo")
            assert (await running.fired(1))[0]["changed"] == [new]

    asyncio.run(scenario())


@pytest.mark.parametrize("triggerer", TRIGGERERS)
@pytest.mark.parametrize("action", ["reset_before", "html", "status"])
def test_an_outage_is_outlasted(crm, triggerer, action, no_waiting):
    async def scenario():
        async with triggerer(ZohoRecordsChangedTrigger("Leads", **QUICK)) as running:
            await begun(crm)
            fault = {"html": {"status": 503}, "status": {"status": 500}}.get(action, {})
            crm.simulator.add_fault(action, path="/Leads", method="GET", count=12, **fault)
            new = await insert(crm)
            assert (await running.fired(1))[0]["created"] == [new]

    asyncio.run(scenario())


@pytest.mark.parametrize("triggerer", TRIGGERERS)
def test_a_look_at_the_criteria_that_fails_is_made_again(crm, triggerer, no_waiting):
    async def scenario():
        watcher = ZohoRecordsChangedTrigger("Leads", criteria="City = 'Oslo'", **QUICK)
        async with triggerer(watcher) as running:
            await begun(crm)
            crm.simulator.add_fault("status", status=500, path="coql", count=7)
            new = await insert(crm, City="Oslo")
            assert (await running.fired(1))[0]["created"] == [new]

    asyncio.run(scenario())


if SHARED:

    def test_watchers_of_a_module_look_together(crm):
        async def scenario():
            patient = {"poll_interval": 60, "max_poll_interval": 60}
            watchers = [
                ZohoRecordsChangedTrigger("Leads", on="created", **patient),
                ZohoRecordsChangedTrigger("Leads", on="changed", **patient),
                ZohoRecordsChangedTrigger("Leads", criteria="City = 'Oslo'", **patient),
                ZohoRecordsChangedTrigger("Leads", on="deleted", **patient),
                ZohoRecordsChangedTrigger("Leads", on="deleted", overlap=1, **patient),
            ]
            async with Together(*watchers):
                await begun(crm, len(watchers))
            assert len(asked(crm.simulator, "GET .*/Leads$")) == 1

        asyncio.run(scenario())

    def test_an_event_that_was_not_stored_fires_again_after_a_restart(crm):
        async def scenario():
            watcher = {"module": "Leads", **QUICK}
            async with Together(ZohoRecordsChangedTrigger(**watcher)) as running:
                await begun(crm)
                running.stores = False
                new = await insert(crm)
                await running.fired(1)
            async with Together(ZohoRecordsChangedTrigger(**watcher)) as running:
                assert (await running.fired(1))[0]["created"] == [new]
            async with Together(ZohoRecordsChangedTrigger(**watcher)) as running:
                await running.fired(0)

        asyncio.run(scenario())


class Store(dict):
    """What Airflow keeps for an asset."""

    async def aget(self, key):
        return self.get(key)

    async def aset(self, key, value):
        self[key] = value


class Stores:
    """What Airflow gives a trigger for its assets."""

    def __init__(self, **stores):
        self._by_name = stores
        self._by_uri = {}


def test_the_watermark_is_kept_with_the_asset_where_airflow_has_a_place_for_it(crm):
    async def scenario():
        store = Store()
        watcher = ZohoRecordsChangedTrigger("Leads", **QUICK)
        watcher.asset_state_store = store
        async with Alone(watcher) as running:
            await until(lambda: store)
            await insert(crm)
            await running.fired(1)
        assert list(store) == [watcher._key]
        assert not crm.kept

    asyncio.run(scenario())


def test_a_watcher_keeps_its_watermark_when_assets_come_and_go(crm):
    """Watchers that are alike are one trigger, whatever assets they are for."""

    async def run(*stores, events):
        watcher = ZohoRecordsChangedTrigger("Leads", on="created", **QUICK)
        watcher.asset_state_store = Stores(**{str(number): store for number, store in enumerate(stores)})
        async with Alone(watcher) as running:
            found = await running.fired(events)
            await until(lambda: all(stores))
        return [id_ for event in found for id_ in event["created"]]

    async def scenario():
        first, second = Store(), Store()
        await run(first, events=0)
        new = await insert(crm, "before the second asset")
        assert await run(first, second, events=1) == [new]
        new = await insert(crm, "with both")
        assert await run(first, second, events=1) == [new]
        assert first == second
        new = await insert(crm, "after the first asset")
        assert await run(second, events=1) == [new]
        assert await run(second, events=0) == []
        assert not crm.kept

    asyncio.run(scenario())


if SHARED:

    def test_airflow_keeps_what_is_known_for_each_of_several_assets():
        from airflow.sdk import Asset
        from airflow.sdk.execution_time.context import AssetStateStoreAccessors

        from airflow_provider_zohocrm._compat import asset_state_stores

        found = asset_state_stores(AssetStateStoreAccessors(inlets=[Asset("one"), Asset("two")]))
        assert [repr(store) for store in found] == [
            "<AssetStateStoreAccessor name='one'>",
            "<AssetStateStoreAccessor name='two'>",
        ]
        assert all(hasattr(store, "aget") for store in found)


@pytest.mark.parametrize("triggerer", TRIGGERERS)
@pytest.mark.parametrize("other", [{"max_poll_interval": 0.2}, {"overlap": 30}, {"api_version": "v7"}])
def test_a_watcher_misses_nothing_that_another_one_has_fired(crm, triggerer, other):
    async def scenario():
        one = {"on": "created", **QUICK}
        await watched(triggerer, one, crm)
        await watched(triggerer, one | other, crm)
        assert len(crm.kept) == 2
        new = await insert(crm)
        for watcher in (one, one | other):
            (event,) = await watched(triggerer, watcher, crm, events=1)
            assert event["created"] == [new]

    asyncio.run(scenario())


@pytest.mark.parametrize("version", ["v2", "v8"])
@pytest.mark.parametrize("triggerer", TRIGGERERS)
@pytest.mark.parametrize("watcher", [{"on": "created"}, {"criteria": "Company = 'Target'"}])
def test_a_change_beneath_hundreds_of_newer_ones_fires(crm, triggerer, watcher, version):
    async def scenario():
        options = {"api_version": version, **watcher, **QUICK}
        await watched(triggerer, options, crm)
        wanted = await insert(crm, Company="Target")
        await update_many(crm, 220)
        (event,) = await watched(triggerer, options, crm, events=1)
        assert (event["created"], event["changed"], event["more"]) == ([wanted], [], False)
        await watched(triggerer, options, crm)

    asyncio.run(scenario())


@pytest.mark.parametrize("triggerer", TRIGGERERS)
def test_an_event_tells_that_there_were_more_deletions_than_it_shows(crm, triggerer):
    async def scenario():
        watcher = {"on": "deleted", **QUICK}
        await watched(triggerer, watcher, crm)
        await delete_many(crm, [row["id"] for row in islice(crm.simulator.table("Leads"), 240)])
        (event,) = await watched(triggerer, watcher, crm, events=1)
        assert (len(event["deleted"]), event["more"]) == (200, True)
        (kept,) = crm.kept.values()
        assert len(json.loads(kept)["gone"]) == 240
        await watched(triggerer, watcher, crm)

    asyncio.run(scenario())


@pytest.mark.parametrize("triggerer", TRIGGERERS)
@pytest.mark.parametrize(
    "watcher", [{"on": "created"}, {"criteria": "Company = 'Target'"}, {"on": "deleted"}]
)
def test_more_than_can_be_read_fires_once(crm, triggerer, watcher, monkeypatch):
    monkeypatch.setattr(client, "MOST_PAGES", 1)

    async def scenario():
        options = {**watcher, **QUICK}
        await watched(triggerer, options, crm)
        if watcher.get("on") == "deleted":
            await delete_many(crm, [row["id"] for row in islice(crm.simulator.table("Leads"), 240)])
        else:
            # The first and the last 200 are read, and what there is between them is not.
            await update_many(crm, 210)
            crm.simulator.advance(2)
            await insert(crm, Company="Target")
            crm.simulator.advance(2)
            await insert_many(crm, 210)
        (event,) = await watched(triggerer, options, crm, events=1)
        assert event["more"]
        await watched(triggerer, options, crm)

    asyncio.run(scenario())


def test_all_of_hundreds_that_meet_the_criteria_are_known(crm, monkeypatch):
    monkeypatch.setattr(records_changed, "_SHOWN", 1000)

    async def scenario():
        watcher = {"criteria": "City = 'Oslo'", **QUICK}
        await watched(Alone, watcher, crm)
        await insert_many(crm, 3)
        wanted = await insert_many(crm, 210, City="Oslo")
        (event,) = await watched(Alone, watcher, crm, events=1)
        assert sorted(event["created"]) == sorted(wanted)

    asyncio.run(scenario())


def test_where_too_many_meet_the_criteria_all_changes_fire(crm, monkeypatch):
    async def more(*_):
        return set(), True

    monkeypatch.setattr(client.AsyncZohoCRMClient, "get_matching_ids", more)

    async def scenario():
        watcher = {"criteria": "City = 'Oslo'", **QUICK}
        await watched(Alone, watcher, crm)
        new = await insert(crm)
        (event,) = await watched(Alone, watcher, crm, events=1)
        assert event["created"] == [new]

    asyncio.run(scenario())


@pytest.mark.parametrize("triggerer", TRIGGERERS)
def test_a_watermark_that_cannot_be_kept_for_a_while_ends_no_watcher(crm, triggerer, monkeypatch):
    monkeypatch.setattr(records_changed, "_RETRY_STATE", 0.01)
    failures = iter([OSError("no database")] * 4)

    def write(key, value, description):
        for failure in failures:
            raise failure
        crm.kept[key] = value

    monkeypatch.setattr(records_changed, "write_variable", write)

    async def scenario():
        await watched(triggerer, QUICK, crm)
        new = await insert(crm)
        (event,) = await watched(triggerer, QUICK, crm, events=1)
        assert event["created"] == [new]

    asyncio.run(scenario())


@pytest.mark.parametrize("triggerer", TRIGGERERS)
def test_what_was_there_before_the_first_look_never_fires(crm, triggerer):
    async def scenario():
        watcher = {"on": ["created", "changed"], **QUICK}
        ids = await insert_many(crm, 240)
        await watched(triggerer, watcher, crm)
        await delete_many(crm, ids[-10:])
        await watched(triggerer, watcher, crm)

    asyncio.run(scenario())


@pytest.mark.parametrize("triggerer", TRIGGERERS)
def test_a_deletion_that_comes_late_fires(crm, triggerer):
    async def scenario():
        async with triggerer(ZohoRecordsChangedTrigger("Leads", on="deleted", **QUICK)) as running:
            await begun(crm)
            first, late = [row["id"] for row in islice(crm.simulator.table("Leads"), 2)]
            crm.simulator.advance(30)
            await delete_many(crm, [first])
            await running.fired(1)
            await seen(crm, first)
            crm.simulator.state.clock.shift -= 10
            await delete_many(crm, [late])
            assert [event["deleted"] for event in await running.fired(2)] == [[first], [late]]

    asyncio.run(scenario())


@pytest.mark.parametrize("triggerer", TRIGGERERS)
def test_a_look_costs_one_call_again_when_nothing_can_come_late_any_more(crm, triggerer):
    async def scenario():
        watcher = ZohoRecordsChangedTrigger("Leads", on="created", overlap=0.1, **QUICK)
        async with triggerer(watcher) as running:
            await begun(crm)
            ids = await insert_many(crm, 240)
            await until(lambda: any(json.loads(kept)["settled"] for kept in crm.kept.values()))
            before = len(crm.simulator.requests)
            await until(lambda: len(crm.simulator.requests) > before + 6)
            orders = ["sort_order=asc" in one["query"] for one in crm.simulator.requests[before:]]
            assert sum(orders) <= 2, "the calls that were under way"
            new = await insert(crm)
            await until(lambda: any(new in event["created"] for event in running.events[0]))
            found = [id_ for event in running.events[0] for id_ in event["created"]]
        assert len(found) == len({*found})
        assert {*found} <= {*ids, new}

    asyncio.run(scenario())


@pytest.mark.parametrize("triggerer", TRIGGERERS)
@pytest.mark.parametrize("on", [None, "created"])
def test_credits_are_left_for_others(simulated, variables, connection, monkeypatch, triggerer, on):
    simulator = simulated({"Leads": 5}, credits=1000)
    extra = {"refresh_token": simulator.refresh_token, "accounts_url": simulator.url}
    connection(
        login=simulator.client_id,
        password=simulator.client_secret,
        extra={**extra, "min_credits_remaining": "900"},
    )
    crm = SimpleNamespace(simulator=simulator, client=client_of(simulator), kept=variables)

    async def spend():
        for _ in range(510):
            await asyncio.to_thread(crm.client.get_organization)

    async def scenario():
        await watched(triggerer, {"on": on, **QUICK}, crm)
        await spend()
        new = await insert(crm)
        gone = next(crm.simulator.table("Leads"))["id"]
        await delete_many(crm, [gone])
        before = len(asked(simulator))
        # A look is sent, and what it has read is told.
        (event,) = await watched(triggerer, {"on": on, **QUICK}, crm, events=1)
        assert (event["created"], event["deleted"]) == ([new], [])
        assert [one for one in asked(simulator)[before:] if "oauth" not in one] == ["GET /crm/v8/Leads"]
        monkeypatch.setattr(records_changed, "_LOW_CREDITS", 0.1)
        deletions = len(asked(simulator, "GET .*deleted"))
        async with triggerer(ZohoRecordsChangedTrigger("Leads", on=on, **QUICK)) as running:
            await running.fired(0)
            assert len(asked(simulator, "GET .*deleted")) == deletions
            # Credits come back after a day.
            simulator.advance(25 * 3600)
            later = await insert(crm)
            await until(lambda: len(running.events[0]) >= 1)
            await until(lambda: on or any(event["deleted"] for event in running.events[0]))
            await asyncio.sleep(0.3)
        created = [id_ for event in running.events[0] for id_ in event["created"]]
        deleted = [id_ for event in running.events[0] for id_ in event["deleted"]]
        assert (created, deleted) == ([later], [] if on else [gone])

    asyncio.run(scenario())


def test_what_the_looks_use_is_counted_in_airflows_metrics(crm, monkeypatch, caplog):
    counted = []
    monkeypatch.setattr(usage, "count_metric", lambda name, count, tags: counted.append((name, count, tags)))

    async def scenario():
        async with Alone(ZohoRecordsChangedTrigger("Leads", **QUICK)) as running:
            await begun(crm)
            await insert(crm)
            await running.fired(1)
            await until(lambda: sum(count for name, count, _ in counted if name == "zohocrm.calls") > 8)

    asyncio.run(scenario())
    used = {
        name: sum(count for one, count, _ in counted if one == name)
        for name in ("zohocrm.calls", "zohocrm.credits")
    }
    looks = len(asked(crm.simulator, "GET .*/Leads$"))
    assert looks - 2 <= used["zohocrm.calls"] - len(asked(crm.simulator, "deleted")) + 2 <= looks + 4
    assert used["zohocrm.credits"] > used["zohocrm.calls"]
    assert all(tags == {"conn_id": "zohocrm_default", "module": "Leads"} for _, _, tags in counted)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"module": "Leads/../users"}, "API name"),
        ({"on": "vanished"}, "vanished"),
        ({"criteria": "City = 'Oslo"}, "where"),
        ({"criteria": "City = 'Oslo') or (id is not null"}, "where"),
        ({"criteria": "City = 'Oslo' limit 1"}, "where"),
        ({"criteria": "City = 'Oslo'", "on": ["deleted"]}, "deletions"),
        ({"poll_interval": 0}, "poll_interval"),
        ({"poll_interval": 60, "max_poll_interval": 10}, "poll_interval"),
    ],
)
def test_wrong_parameters_fail_before_the_first_request(given, told):
    with pytest.raises(ZohoValidationError, match=told):
        ZohoRecordsChangedTrigger(**{"module": "Leads", **given})


def test_the_trigger_survives_serialisation():
    first = ZohoRecordsChangedTrigger("Leads", on="created,changed", criteria="City = 'limit where ('")
    path, kwargs = first.serialize()
    assert path == "airflow_provider_zohocrm.triggers.records_changed.ZohoRecordsChangedTrigger"
    assert ZohoRecordsChangedTrigger(**kwargs).serialize() == (path, kwargs)
