"""The watcher over the wire: each change fires once, over restarts, outages and events that were not stored."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
from support.simulated import asked

from airflow_provider_zohocrm.client.client import ZohoCRMClient
from airflow_provider_zohocrm.client.credentials import ZohoCredentials
from airflow_provider_zohocrm.client.tokens import MemoryTokenStore
from airflow_provider_zohocrm.client.transport import Transport
from airflow_provider_zohocrm.exceptions import ZohoValidationError
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

        self.streams = SharedStreamManager(ack_timeout=0.5)
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


def test_the_watermark_is_kept_with_the_asset_where_airflow_has_a_place_for_it(crm):
    class Store(dict):
        async def aget(self, key):
            return self.get(key)

        async def aset(self, key, value):
            self[key] = value

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
