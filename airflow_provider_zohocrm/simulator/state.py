"""Everything the simulator knows, in one place for the handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.simulator.bulk_read import BulkRead
from airflow_provider_zohocrm.simulator.bulk_write import BulkWrite
from airflow_provider_zohocrm.simulator.clock import Clock
from airflow_provider_zohocrm.simulator.data import Reader
from airflow_provider_zohocrm.simulator.faults import Faults
from airflow_provider_zohocrm.simulator.journal import Journal
from airflow_provider_zohocrm.simulator.limits import Limits
from airflow_provider_zohocrm.simulator.modules import CURRENT_USER, ORG_PREFIX, Module, Row
from airflow_provider_zohocrm.simulator.options import Options
from airflow_provider_zohocrm.simulator.paging import Pager
from airflow_provider_zohocrm.simulator.store import Store
from airflow_provider_zohocrm.simulator.tokens import TokenServer
from airflow_provider_zohocrm.simulator.values import TAGS
from airflow_provider_zohocrm.simulator.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from airflow_provider_zohocrm.simulator.calls import Call


class State:
    """The organisation, its limits and its past."""

    def __init__(
        self,
        options: Options | None = None,
        *,
        seed_number: int = 1,
        path: str | None = None,
        log: str | None = None,
    ) -> None:
        self.options = options or Options()
        self._first_options = self.options.as_dict()
        self.clock = Clock(self.options.utc_offset)
        self.store = Store(self.clock, seed_number=seed_number, path=path)
        self.tokens = TokenServer(self.clock, self.options, seed_number)
        self.faults = Faults(self.clock)
        self.limits = Limits(self.clock, self.options)
        self.journal = Journal(log)
        self.pager = Pager(self.clock, self.options, self.store)
        self.callbacks: list[dict[str, Any]] = []
        """What was sent to the callbacks of jobs, and whether it arrived."""
        self.bulk = BulkRead(self.clock, self.options, self.store, self.callbacks)
        self.bulk_write = BulkWrite(self)
        self.watch = Watch(self)
        self.files: dict[str, Path] = {}
        """Files that modules were filled from, by API name."""
        self.locked: set[str] = set()
        """Ids of records that are locked (sheet §9)."""
        self.coql_keys: dict[tuple[Any, ...], tuple[int, ...]] = {}
        """Where the page of a query behind an offset begins."""
        self._tags = {name: str(ORG_PREFIX * 10**12 + 7_000 + n) for n, (_, name) in enumerate(TAGS)}
        self._mine: dict[str, Callable[[Row], bool]] = {}

    def readable(self, name: str) -> Module | None:
        """Find a module whose records can be read; those of subforms hold the rows of all records.

        :param name: API name, in any case.
        """
        found = self.store.module(name)
        return self.store.subform(name) if found is None and self.options.subform_modules else found

    def note(self, call: Call, **facts: Any) -> None:
        """Add what a handler knows to the journal and the counters.

        :param call: the request.
        :param facts: for example ``records``, how many were sent or stored.
        """
        call.record.update(facts)
        self.limits.records += facts.get("records", 0)

    def mine(self, module: Module) -> Callable[[Row], bool]:
        """Return the condition of the view "My …": the same object each time, so that it can be a key.

        :param module: the module.
        """
        found = self._mine.get(module.api_name)
        if found is None:
            owner, value = module.fields["Owner"], self.store.value

            def found(row: Row) -> bool:
                return bool(value(row, owner)["id"] == CURRENT_USER.id)

            self._mine[module.api_name] = found
        return found

    def tag(self, given: Any) -> dict[str, Any]:
        """Return a tag as a record shows it, new or known.

        :param given: its name, or an object with it.
        """
        name = str(given.get("name") if isinstance(given, dict) else given)
        tag_id = self._tags.setdefault(name, str(ORG_PREFIX * 10**12 + 7_100 + len(self._tags)))
        return {"name": name, "id": tag_id, "color_code": None}

    def load(self, name: str, file: Path) -> None:
        """Fill a module from a file, and again after each reset.

        :param name: API name of a module that has no records.
        :param file: see ``data.Reader``.
        """
        self.files[name] = file
        module = self.store.modules[name]
        self.store.load(module, Reader(module, self.tag).records(file))

    def apply_options(self) -> None:
        """Take over the options that other parts hold a copy of."""
        self.clock.set_offset(self.options.utc_offset)

    def reset(self) -> None:
        """Back to the seeded data and the options of the start, with nothing used and nothing planned."""
        self.options.update(self._first_options)
        self.apply_options()
        self.clock.shift = 0.0
        self.bulk.reset()
        self.bulk_write.reset()
        self.callbacks.clear()
        self.watch.reset()
        self.locked.clear()
        loaded = set(self.store.loaded)
        if self.store.reset():
            for name in self.files.keys() & loaded:
                self.load(name, self.files[name])
        self.tokens.reset()
        self.faults.clear()
        self.limits.reset()
        self.journal.clear()
        self.pager.reset()

    def close(self) -> None:
        """Release files and threads."""
        self.bulk.close()
        self.bulk_write.close()
        self.watch.close()
        self.store.close()
        self.journal.close()
