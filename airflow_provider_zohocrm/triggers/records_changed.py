"""Starting a DAG when the records of a module have changed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm._compat import (
    BaseEventTrigger,
    SharedStreamProducer,
    TriggerEvent,
    asset_state_stores,
    read_asset_state,
    read_variable,
    sync_to_async,
    write_asset_state,
    write_variable,
)
from airflow_provider_zohocrm.client.calls import module_name, names
from airflow_provider_zohocrm.client.coql import checked_condition
from airflow_provider_zohocrm.exceptions import ZohoLowCreditsError, ZohoValidationError
from airflow_provider_zohocrm.triggers.outages import PASSING, RETRIES_PER_LOOK, imported_hooks, pause_after

if TYPE_CHECKING:
    from airflow_provider_zohocrm.client.changes import Changes, Deletion, Row, Snapshot, Watermark
    from airflow_provider_zohocrm.client.usage import Usage
    from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMAsyncHook

Save = Callable[[], Awaitable[None]]

# Seconds between two tries to read or keep where the watcher was.
_RETRY_STATE = 10.0
_TRIES_STATE = 5
# Seconds in which the triggerer has stored an event that it was given, where it does not tell (before Airflow 3.3).
_STORED = 5.0
# Seconds that Zoho may ask to wait within a look: Airflow ends a watcher that takes 300 s for one.
_LONGEST_WAIT = 60.0
_GROWTH = 1.5
KINDS = ("created", "changed", "deleted")
# Ids in an event; it says how many there are in all.
_SHOWN = 200
# Seconds without a call when API credits are to be left for others: only a call tells that there are more again.
_LOW_CREDITS = 900.0
# Seconds between two lines of the log that tell what was used.
_TELL_USAGE = 3600.0


class Look:
    """What one look at a module has shown, for all watchers of it. What they need beyond is read once for all.

    :param reader: makes the calls.
    :param begun: when it began, in seconds of the monotonic clock.
    """

    def __init__(self, reader: ZohoRecordsChangedTrigger, begun: float) -> None:
        self.begun = begun
        self.saves: list[Save] = []
        """What the watchers keep once their events are stored."""
        self.low: ZohoLowCreditsError | None = None
        """Why it has not read all: API credits are to be left for others."""
        self.hook = reader.hook
        """Makes a hook whose calls are counted with those of the look."""
        self._module = reader.module
        self.newest: list[Row] = []
        """The 200 records modified last."""
        self._more = False
        self._read: dict[tuple[str, str], tuple[list[Any], bool]] = {}
        self._reading = asyncio.Lock()
        self.asked: str | None = None
        """From when the watchers wanted to know what was deleted."""

    async def begin(self, before: Look | None) -> None:
        """Read what a look always shows: the newest records, and what was deleted, if the watchers asked for it before."""
        async with await self.hook() as hook:
            self.newest, self._more = await hook.get_newest_records(self._module)
        if before is not None and before.asked is not None:
            await self._deletions(before.asked)

    def is_like(self, before: Look) -> bool:
        """Tell whether there is nothing new since the look before."""
        return self.newest == before.newest and self._gone() <= before._gone()

    async def records(self, since: str) -> tuple[list[Row], bool]:
        """Read all records that were modified at or after a moment, and maybe others.

        :return: the records, and whether there were too many to read them all.
        """
        if not self._more or any(modified < since for _, _, modified in self.newest):
            return self.newest, False
        rows, more = await self._once("get_changed_records", since)
        return list({row[0]: row for row in (*self.newest, *rows)}.values()), more

    async def deletions(self, since: str) -> tuple[list[Deletion], bool] | None:
        """Read what was deleted at or after a moment.

        :return: as :meth:`records` does; None if API credits are to be left for others.
        """
        self.asked = since if self.asked is None else min(self.asked, since)
        return await self._deletions(since)

    async def _deletions(self, since: str) -> tuple[list[Deletion], bool] | None:
        try:
            return await self._once("get_deletions", since)
        except ZohoLowCreditsError as error:
            # What it has read so far can be told.
            self.low = error
            return None

    async def _once(self, name: str, since: str) -> tuple[list[Any], bool]:
        async with self._reading:
            for (what, earlier), (rows, more) in self._read.items():
                if what == name and (earlier == since or (earlier < since and not more)):
                    return rows, more
            async with await self.hook() as hook:
                found: tuple[list[Any], bool] = await getattr(hook, name)(self._module, since)
            self._read[name, since] = found
            return found

    def _gone(self) -> set[Deletion]:
        return {row for (what, _), (rows, _) in self._read.items() if what == "get_deletions" for row in rows}

    async def save(self) -> None:
        """Let all watchers keep how far they have come."""
        for save in self.saves:
            await save()


class ZohoRecordsChangedTrigger(BaseEventTrigger):
    """Fire whenever records of a module were created, changed or deleted; for an ``AssetWatcher`` (Airflow 3.0).

    Watching begins with the first look; what is there by then fires nothing. The event is ``{"module",
    "created", "changed", "deleted", "more", "modified_since", "watermark"}``, where the three are lists of at most 200
    ids, ``more`` tells that there may be others, ``modified_since`` is the oldest ``Modified_Time`` among the records
    and ``watermark`` the newest one of the module: ``modified_since`` may be given to ``ZohoGetRecordsOperator``.

    Triggers with the same connection, module and intervals look together (Airflow 3.3). A look costs 1 API credit, and
    2 more where deletions are watched; one at a condition a further one, but only after something has changed. More than
    200 changes or deletions between two looks cost 1 or 2 more for each 200. Below ``min_credits_remaining`` of the
    connection there is a look in 15 minutes at most, for 1 credit.
    How far a watcher has come is kept with its asset (Airflow 3.3), or in an Airflow Variable.

    :param module: API name, e.g. ``Leads``.
    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param on: ``created``, ``changed``, ``deleted``: what fires; None for all, but for deletions if there are criteria.
    :param criteria: what stands after ``where`` in COQL, e.g. ``Stage = 'Closed Won'``: records that do not meet it as
        they are now fire nothing. Needs the scope ``ZohoCRM.coql.READ``. What is deleted cannot be asked for it.
    :param poll_interval: seconds between two looks after a change; it grows by half each time there is none.
    :param max_poll_interval: the longest seconds between two looks.
    :param overlap: seconds that a record or a deletion may come late, with a time before that of others already seen.
    :param api_version: ``v2`` … ``v8``, in place of the connection's.
    :raises ZohoValidationError: if a parameter is wrong.
    """

    def __init__(
        self,
        module: str,
        zohocrm_conn_id: str = "zohocrm_default",
        on: str | Sequence[str] | None = None,
        criteria: str | None = None,
        poll_interval: float = 60.0,
        max_poll_interval: float = 300.0,
        overlap: float = 60.0,
        api_version: str | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # Airflow's
        self.module = module_name(module)
        self.zohocrm_conn_id = zohocrm_conn_id
        self.criteria = criteria and checked_condition(criteria)
        self.on = names(on, "on") or [kind for kind in KINDS if kind != "deleted" or not criteria]
        wrong = [kind for kind in self.on if kind not in KINDS]
        if wrong:
            raise ZohoValidationError(f"on holds {wrong[0]!r}; it must be some of {', '.join(KINDS)}")
        if criteria and "deleted" in self.on:
            raise ZohoValidationError(
                "criteria cannot be asked of what is deleted; watch deletions with a trigger of their own"
            )
        if not 0 < poll_interval <= max_poll_interval or overlap < 0:
            raise ZohoValidationError(
                "poll_interval must be above 0 and at most max_poll_interval, and overlap at least 0"
            )
        self.poll_interval = poll_interval
        self.max_poll_interval = max_poll_interval
        self.overlap = overlap
        self.api_version = api_version
        self._usage: Usage | None = None
        self._told: Mapping[str, Any] = {}
        self._tell_at = 0.0

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Describe the trigger in plain JSON."""
        return (
            f"{type(self).__module__}.{type(self).__qualname__}",
            {
                "module": self.module,
                "zohocrm_conn_id": self.zohocrm_conn_id,
                "on": self.on,
                "criteria": self.criteria,
                "poll_interval": self.poll_interval,
                "max_poll_interval": self.max_poll_interval,
                "overlap": self.overlap,
                "api_version": self.api_version,
            },
        )

    # --- one poll for all watchers of a module (Airflow 3.3) --------------------------------------------------

    def shared_stream_key(self) -> Hashable | None:
        """Name what the watchers that look together have in common."""
        return (
            type(self).__qualname__,
            self.zohocrm_conn_id,
            self.module,
            self.poll_interval,
            self.max_poll_interval,
            self.api_version,
        )

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """Make what looks at the module, and is told when the events are stored."""
        return _Producer(cls(**kwargs))

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Any]) -> AsyncIterator[TriggerEvent]:
        """Turn what the common looks have shown into the events of this watcher."""
        # What else is imported here comes with the hooks, beside the event loop.
        await imported_hooks()
        known = await self._load()
        compared = self._comparing()
        async for look in shared_stream:
            found, known = await compared(look, known)
            if found:
                self.log.info(
                    "%s: %d created, %d changed, %d deleted%s",
                    self.module,
                    *(len(ids) for ids in (found.created, found.changed, found.deleted)),
                    ", and others that were too many to be read" if found.more else "",
                )
                yield TriggerEvent(self._event(found, known))  # type: ignore[no-untyped-call]  # Airflow's

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look alone, where Airflow has no shared streams."""

        async def stored() -> AsyncIterator[Look]:
            async for look in self.looks():
                yield look
                if look.saves:
                    await asyncio.sleep(_STORED)
                    await look.save()

        async for event in self.filter_shared_stream(stored()):
            yield event

    async def looks(self) -> AsyncIterator[Look]:
        """Look at the module for ever, through all outages, and seldom while API credits are to be left for others."""
        delay, last, warned, low = self.poll_interval, None, False, None
        while True:
            pause, quiet, rested, low = 0.0, True, low is not None, None
            look = Look(self, time.monotonic())
            try:
                await look.begin(last)
            except ZohoLowCreditsError as error:
                low = error
            except PASSING as error:
                pause = pause_after(error)
                self.log.warning("Looking at %s failed, going on: %s", self.module, error)
            except Exception as error:  # noqa: BLE001  # a watcher that ended would start nothing any more, unseen
                self.log.error(
                    "Looking at %s failed, going on: %s: %s", self.module, type(error).__name__, error
                )
            else:
                quiet, last = last is not None and look.is_like(last), look
                yield look
                low = look.low
            if low is not None:
                pause = max(self.max_poll_interval, _LOW_CREDITS)
                if not warned:
                    self.log.warning("Looking at %s every %.0f s for now: %s", self.module, pause, low)
            # The first look after a pause is sent whatever is left, and tells nothing.
            warned = low is not None or (warned and rested)
            await self._tell_usage()
            delay = min(delay * _GROWTH, self.max_poll_interval) if quiet else self.poll_interval
            # Watchers that began together do not go on together.
            await asyncio.sleep(max(pause, delay * random.uniform(0.9, 1.0)))  # noqa: S311  # no secret
            if low is not None and self._usage is not None:
                # What was told does not hold any more; the next answer tells again.
                self._usage.remaining = None

    async def _tell_usage(self) -> None:
        """Add what the looks have used to Airflow's metrics, and log it now and then."""
        if self._usage is None:
            return
        counts: Mapping[str, Any] = self._usage.counts
        new = {name: (counts[name] or 0) - (self._told.get(name) or 0) for name in counts}
        self._told = counts
        # What sends metrics may block.
        await asyncio.to_thread(_send_metrics, new, {"conn_id": self.zohocrm_conn_id, "module": self.module})
        if time.monotonic() >= self._tell_at:
            self._tell_at = time.monotonic() + _TELL_USAGE
            used = ", ".join(f"{name} {value}" for name, value in counts.items())
            self.log.info("Zoho CRM, watching %s so far: %s", self.module, used)

    async def hook(self) -> ZohoCRMAsyncHook:
        """Make a hook for calls that are counted with those of all looks before."""
        hooks = await imported_hooks()
        hook: ZohoCRMAsyncHook = hooks.ZohoCRMAsyncHook(
            self.zohocrm_conn_id,
            api_version=self.api_version,
            retries=RETRIES_PER_LOOK,
            longest_wait=_LONGEST_WAIT,
            usage=self._usage,
        )
        # What an answer told of the credits left holds for the next look.
        self._usage = hook.usage
        return hook

    # --- one watcher ------------------------------------------------------------------------------------------

    def _comparing(self) -> Callable[[Look, Watermark | None], Awaitable[tuple[Changes, Watermark | None]]]:
        """Make what tells of looks, one after another, what this watcher does not know yet, and what it knows then."""
        from airflow_provider_zohocrm.client.changes import NOTHING, Settling, compare, only, settle

        records, deletions = Settling(self.overlap), Settling(self.overlap)

        async def compared(look: Look, known: Watermark | None) -> tuple[Changes, Watermark | None]:
            try:
                snapshot = await self._snapshot(look, known)
                if known is None and snapshot.deleted is None and "deleted" in self.on:
                    return NOTHING, known
                found, after = compare(known, snapshot, overlap=self.overlap)
                found = only(found, self.on)
                found = only(found, self.on, await self._matching(look, found))
            except ZohoLowCreditsError as error:
                look.low = error
                return NOTHING, known
            except Exception as error:  # noqa: BLE001  # the next look shows it again
                self.log.warning(
                    "Comparing %s failed, going on: %s: %s", self.module, type(error).__name__, error
                )
                return NOTHING, known
            now = time.monotonic()
            after = settle(
                after,
                self.overlap,
                records=records.is_over(after["modified"], look.begun, now),
                deletions=snapshot.deleted is not None
                and deletions.is_over(after["deleted"], look.begun, now),
            )
            if after != known:
                look.saves.append(partial(self._save, after))
            return found, after

        return compared

    async def _snapshot(self, look: Look, known: Watermark | None) -> Snapshot:
        """Read what may be new to this watcher."""
        from airflow_provider_zohocrm.client.changes import Snapshot, before, deletions_since, records_since

        if known is None:
            newest = max((modified for _, _, modified in look.newest), default=None)
            since = gone_since = before(newest, self.overlap)
        else:
            since, gone_since = records_since(known, self.overlap), deletions_since(known, self.overlap)
        snapshot = Snapshot(look.newest)
        if {"created", "changed"} & {*self.on}:
            snapshot.records, snapshot.more = await look.records(since)
        if "deleted" in self.on:
            gone = await look.deletions(gone_since)
            if gone is not None:
                snapshot.deleted, snapshot.more_deleted = gone
        return snapshot

    async def _matching(self, look: Look, found: Changes) -> set[str] | None:
        """Name the records that meet the criteria among those modified since; None for all."""
        if self.criteria is None or found.modified_since is None or not (found.created or found.changed):
            return None
        async with await look.hook() as hook:
            ids, more = await hook.get_matching_ids(self.module, self.criteria, found.modified_since)
        # Whether the others meet them cannot be told: better an event too many than one lost.
        return None if more else ids

    def _event(self, found: Changes, known: Watermark | None) -> dict[str, Any]:
        return {
            "module": self.module,
            "created": found.created[:_SHOWN],
            "changed": found.changed[:_SHOWN],
            "deleted": found.deleted[:_SHOWN],
            "more": found.more
            or any(len(ids) > _SHOWN for ids in (found.created, found.changed, found.deleted)),
            "modified_since": found.modified_since,
            "watermark": known and known["modified"],
        }

    # --- how far it has come ----------------------------------------------------------------------------------

    @property
    def _key(self) -> str:
        """Name what is known to all watchers of an asset that watch for the same."""
        return _hashed([self.zohocrm_conn_id, self.module, sorted(self.on), self.criteria])

    @property
    def _variable(self) -> str:
        """Name what is known to this watcher alone: another one, which looks more often, has fired for other assets."""
        return _hashed(self.serialize()[1])

    async def _load(self) -> Watermark | None:
        """Read how far it had come, for as long as it takes: without that, changes would go unseen."""
        while True:
            try:
                return await self._read()
            except Exception as error:  # noqa: BLE001, PERF203  # whatever the store has; it waits anyway
                self.log.warning("The watermark of %s cannot be read (%s)", self.module, type(error).__name__)
                await asyncio.sleep(_RETRY_STATE)

    async def _read(self) -> Watermark | None:
        from airflow_provider_zohocrm.client.changes import no_watermark

        stores = self._stores()
        if stores:
            texts = [await read_asset_state(store, self._key) for store in stores]
        else:
            texts = [await sync_to_async(read_variable, self._variable)]
        kept: list[Watermark] = [{**no_watermark(), **json.loads(text)} for text in texts if text]
        # Where an asset has come less far than the others, it has not been told yet.
        return min(kept, key=lambda known: (known["modified"] or "", known["deleted"] or ""), default=None)

    async def _save(self, known: Watermark) -> None:
        """Keep how far it has come. Where that fails for long, the next change has another go."""
        for left in reversed(range(_TRIES_STATE)):
            try:
                return await self._write(json.dumps(known))
            except Exception as error:  # noqa: BLE001, PERF203  # as for reading; and Airflow would end the watcher
                self.log.warning("The watermark of %s cannot be kept (%s)", self.module, type(error).__name__)
                if left:
                    await asyncio.sleep(_RETRY_STATE)
        return None

    async def _write(self, text: str) -> None:
        stores = self._stores()
        for store in stores:
            await write_asset_state(store, self._key, text)
        if not stores:
            about = f"How far changes of {self.module} are known."
            await sync_to_async(partial(write_variable, self._variable, value=text, description=about))

    def _stores(self) -> list[Any]:
        """Return where Airflow keeps what is known, one place for each asset of this watcher; none before 3.3."""
        return asset_state_stores(getattr(self, "asset_state_store", None))


class _Producer(SharedStreamProducer):
    """Looks for all watchers of a module, and has them keep how far they came once their events are stored.

    :param trigger: one of the watchers.
    """

    def __init__(self, trigger: ZohoRecordsChangedTrigger) -> None:
        self._trigger = trigger

    async def open_stream(self) -> AsyncIterator[tuple[Look, Look]]:
        """Look for ever."""
        async for look in self._trigger.looks():
            yield look, look

    async def advance(self, batch: Sequence[Any]) -> None:
        """Keep how far the watchers came with looks whose events are stored.

        One that is not leaves the watcher where it was; Airflow starts it again from there.
        """
        for item in batch:
            if item.outcome.failed == 0:
                await item.broker_payload.save()


def _hashed(what: Any) -> str:
    text = json.dumps(what, sort_keys=True)
    return f"zohocrm_watermark_{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _send_metrics(counts: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    from airflow_provider_zohocrm.operators.usage import send_metrics

    send_metrics(counts, tags)
