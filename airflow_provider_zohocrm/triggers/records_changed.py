"""Starting a DAG when the records of a module have changed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm._compat import (
    BaseEventTrigger,
    SharedStreamProducer,
    TriggerEvent,
    read_asset_state,
    read_variable,
    sync_to_async,
    write_asset_state,
    write_variable,
)
from airflow_provider_zohocrm.client.calls import module_name, names
from airflow_provider_zohocrm.client.coql import checked_condition
from airflow_provider_zohocrm.exceptions import ZohoValidationError
from airflow_provider_zohocrm.triggers.outages import PASSING, RETRIES_PER_LOOK, imported_hooks, pause_after

if TYPE_CHECKING:
    from airflow_provider_zohocrm.client.changes import Changes, Snapshot, Watermark
    from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMAsyncHook

Save = Callable[[], Awaitable[None]]

# Seconds between two tries to read where the watcher was.
_RETRY_STATE = 10.0
# Seconds in which the triggerer has stored an event that it was given, where it does not tell (before Airflow 3.3).
_STORED = 5.0
_GROWTH = 1.5
KINDS = ("created", "changed", "deleted")
# Ids in an event; it says how many there are in all.
_SHOWN = 200


class Look:
    """What one look at a module has shown, for all watchers of it.

    :param snapshot: what Zoho said.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.saves: list[Save] = []
        """What the watchers keep once their events are stored."""

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
    2 more where deletions are watched; one at a condition a further one, but only after something has changed.
    How far a watcher has come is kept with its asset (Airflow 3.3), or in an Airflow Variable.

    :param module: API name, e.g. ``Leads``.
    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param on: ``created``, ``changed``, ``deleted``: what fires; None for all, but for deletions if there are criteria.
    :param criteria: what stands after ``where`` in COQL, e.g. ``Stage = 'Closed Won'``: records that do not meet it as
        they are now fire nothing. Needs the scope ``ZohoCRM.coql.READ``. What is deleted cannot be asked for it.
    :param poll_interval: seconds between two looks after a change; it grows by half each time there is none.
    :param max_poll_interval: the longest seconds between two looks.
    :param overlap: seconds that a record may come late, with a ``Modified_Time`` before that of others already seen.
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
            "deleted" in self.on,
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
        known = await self._load()
        async for look in shared_stream:
            found, known = await self._compared(look, known)
            if found:
                self.log.info(
                    "%s: %d created, %d changed, %d deleted",
                    self.module,
                    *(len(ids) for ids in (found.created, found.changed, found.deleted)),
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
        """Look at the module for ever, through all outages."""
        delay, last, since = self.poll_interval, None, None
        while True:
            pause, quiet = 0.0, True
            try:
                snapshot = await self._look(last, since)
            except PASSING as error:
                pause = pause_after(error)
                self.log.warning("Looking at %s failed, going on: %s", self.module, error)
            except Exception as error:  # noqa: BLE001  # a watcher that ended would start nothing any more, unseen
                self.log.error(
                    "Looking at %s failed, going on: %s: %s", self.module, type(error).__name__, error
                )
            else:
                quiet = (
                    last is not None and snapshot.records == last.records and snapshot.deleted == last.deleted
                )
                last, since = (
                    snapshot,
                    max((when for _, when in snapshot.deleted), default=snapshot.deleted_since),
                )
                yield Look(snapshot)
            delay = min(delay * _GROWTH, self.max_poll_interval) if quiet else self.poll_interval
            # Watchers that began together do not go on together.
            await asyncio.sleep(max(pause, delay * random.uniform(0.9, 1.0)))  # noqa: S311  # no secret

    async def _look(self, last: Snapshot | None, since: str | None) -> Snapshot:
        async with await self._hook() as hook:
            # Imported with the hook, beside the event loop.
            from airflow_provider_zohocrm.client.changes import Snapshot

            records, more = await hook.get_newest_records(self.module)
            snapshot = Snapshot(records, [], more=more)
            if "deleted" in self.on:
                # By Zoho's own clock; what was deleted before the first look is for those who had looked before.
                snapshot.deleted_since = snapshot.newest if last is None else since
                snapshot.deleted, more = await hook.get_newest_deletions(self.module, snapshot.deleted_since)
                snapshot.more |= more
        return snapshot

    async def _hook(self) -> ZohoCRMAsyncHook:
        hooks = await imported_hooks()
        hook: ZohoCRMAsyncHook = hooks.ZohoCRMAsyncHook(
            self.zohocrm_conn_id, api_version=self.api_version, retries=RETRIES_PER_LOOK
        )
        return hook

    # --- one watcher ------------------------------------------------------------------------------------------

    async def _compared(self, look: Look, known: Watermark | None) -> tuple[Changes, Watermark | None]:
        """Tell what a look shows that this watcher does not know yet, and what it knows from then on."""
        from airflow_provider_zohocrm.client.changes import NOTHING, compare, only

        try:
            snapshot = await self._whole(look.snapshot, known)
            found, after = compare(known, snapshot, overlap=self.overlap)
            found = only(found, self.on, await self._matching(found))
        except Exception as error:  # noqa: BLE001  # the next look shows it again
            self.log.warning(
                "Comparing %s failed, going on: %s: %s", self.module, type(error).__name__, error
            )
            return NOTHING, known
        if after != known:
            look.saves.append(partial(self._save, after))
        return found, after

    async def _whole(self, snapshot: Snapshot, known: Watermark | None) -> Snapshot:
        """Add what was deleted while nobody looked."""
        if known is None or "deleted" not in self.on or snapshot.deleted_since is None:
            return snapshot
        since = known["deleted"]
        if since is not None and since >= snapshot.deleted_since:
            return snapshot
        async with await self._hook() as hook:
            deleted, more = await hook.get_newest_deletions(self.module, since)
        return replace(snapshot, deleted=deleted, deleted_since=since, more=snapshot.more or more)

    async def _matching(self, found: Changes) -> set[str] | None:
        """Name the records that meet the criteria among those modified since; None for all."""
        if self.criteria is None or found.modified_since is None:
            return None
        async with await self._hook() as hook:
            return await hook.get_matching_ids(self.module, self.criteria, found.modified_since)

    def _event(self, found: Changes, known: Watermark | None) -> dict[str, Any]:
        return {
            "module": self.module,
            "created": found.created[:_SHOWN],
            "changed": found.changed[:_SHOWN],
            "deleted": found.deleted[:_SHOWN],
            "more": found.more,
            "modified_since": found.modified_since,
            "watermark": known and known["modified"],
        }

    # --- how far it has come ----------------------------------------------------------------------------------

    @property
    def _key(self) -> str:
        what = json.dumps([self.zohocrm_conn_id, self.module, sorted(self.on), self.criteria])
        return f"zohocrm_watermark_{hashlib.sha256(what.encode()).hexdigest()[:16]}"

    async def _load(self) -> Watermark | None:
        """Read how far it had come, for as long as it takes: without that, changes would go unseen."""
        while True:
            try:
                return await self._read()
            except Exception as error:  # noqa: BLE001, PERF203  # whatever the store has; it waits anyway
                self.log.warning("The watermark of %s cannot be read (%s)", self.module, type(error).__name__)
                await asyncio.sleep(_RETRY_STATE)

    async def _read(self) -> Watermark | None:
        text = await self._kept(read_asset_state, read_variable)
        return json.loads(text) if text else None

    async def _save(self, known: Watermark) -> None:
        text = json.dumps(known)
        await self._kept(
            partial(write_asset_state, value=text),
            partial(write_variable, value=text, description=f"How far changes of {self.module} are known."),
        )

    async def _kept(self, by_asset: Callable[..., Awaitable[Any]], by_variable: Callable[..., Any]) -> Any:
        store = getattr(self, "asset_state_store", None)
        if store is not None:
            try:
                return await by_asset(store, self._key)
            except ValueError:
                # One trigger watches for several assets, and Airflow does not say which.
                self.log.debug("The watermark of %s is kept in a Variable", self.module)
        return await sync_to_async(by_variable, self._key)


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
