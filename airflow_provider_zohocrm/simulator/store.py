"""The data: narrow rows in SQLite; values of seeded records are computed when they are read."""

# Names of tables and columns come from modules.py, never from a request; every value is bound.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import orjson

from airflow_provider_zohocrm.simulator.modules import (
    CURRENT_USER,
    ID_STEP,
    MAX_SEEDED,
    ORG_PREFIX,
    SEED_EPOCH,
    SUBFORM_SIZES,
    SUBFORM_STEP,
    USERS,
    Field,
    FieldFactory,
    Module,
    Row,
    build_modules,
    subform_rows,
    written_rows,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from airflow_provider_zohocrm.simulator.clock import Clock

COLUMNS = "id, seq, created, modified, view, link1, link2, body"

# Seeded behind the ordinary records of a module: none of them shows in an ordinary list.
RECYCLED = 8
PURGED = 4
CONVERTED = 5
UNAPPROVED = 3
HIDDEN = RECYCLED + PURGED + CONVERTED + UNAPPROVED

ORDINARY, CONVERTED_VIEW, UNAPPROVED_VIEW = 0, 1, 2
# Parents so many from the first have members in link tables.
LINKED_PARENTS = 60

BATCH = 1_000

FIRST_NEW_ID = (ORG_PREFIX * 1_000 + 800) * 1_000_000_000
NEW_ID_STEP = 1_003

# Module, field, value in lower case, id: a row of the table of keys.
_Key = tuple[str, str, str, int]

SORT_COLUMNS = {"id": "id", "Created_Time": "created", "Modified_Time": "modified"}
"""Fields the database itself can order and compare."""


@dataclass(frozen=True)
class Selection:
    """Which rows of a module, in which order."""

    module: Module
    where: str = "view = 0"
    params: tuple[Any, ...] = ()
    order: str = "id"
    """Column: id, created or modified; the id breaks ties."""
    descending: bool = True
    matches: Callable[[Row], bool] | None = None
    """What SQL cannot express."""
    low: int | None = None
    """No id below it fits; only rows of subforms are found by it."""
    high: int | None = None
    """No id above it fits."""


class Store:
    """All records of the organisation."""

    def __init__(self, clock: Clock, *, seed_number: int = 1, path: str | None = None) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.seed_number = seed_number
        self.version = 0
        """Grows with every write; what is cached about the data holds for one version."""
        self._seeded_version = -1
        self.writes: list[dict[str, Any]] = []
        self._names: dict[tuple[str, int], str | None] = {}
        self._counts: dict[Any, int] = {}
        self._sorted: dict[Any, list[int]] = {}
        self._kept = path is not None
        self._db = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL" if path else "PRAGMA journal_mode = OFF")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.execute("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT)")
        stored = self._meta("seed_number")
        if stored is not None:
            self.seed_number = int(stored)
        self.modules = build_modules(FieldFactory(self.seed_number, clock, self.display_name))
        self.subforms = {
            name: rows for module in self.modules.values() for name, rows in module.subforms.items()
        }
        self._set_meta("seed_number", self.seed_number)
        self._create()
        self.seeded: dict[str, int] = orjson.loads(self._meta("seeded") or b"{}")
        self.loaded: set[str] = set(orjson.loads(self._meta("loaded") or b"[]"))
        """Modules that were filled from a file."""
        self._next_id = int(self._meta("next_id") or 0)

    # --- schema and seed ---------------------------------------------------------------------------------------

    def _create(self) -> None:
        # For subforms they hold the rows of written records; those of seeded ones are computed.
        for module in (*self.modules.values(), *self.subforms.values()):
            self._db.execute(
                f"CREATE TABLE IF NOT EXISTS {module.table} (id INTEGER PRIMARY KEY, seq INTEGER NOT NULL, "
                "created INTEGER NOT NULL, modified INTEGER NOT NULL, view INTEGER NOT NULL, "
                "link1 INTEGER, link2 INTEGER, body BLOB)"
            )
            # The recycle bin has the same columns, so that live rows are read without a condition on every one.
            self._db.execute(
                f"CREATE TABLE IF NOT EXISTS {module.table}_bin AS SELECT * FROM {module.table} WHERE 0"
            )
            for number, _ in enumerate(module.links, 1):
                self._db.execute(
                    f"CREATE INDEX IF NOT EXISTS {module.table}_link{number} ON {module.table} (link{number}) "
                    f"WHERE link{number} IS NOT NULL"
                )
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS deleted (module TEXT, id INTEGER, type TEXT, deleted_time INTEGER, "
            "deleted_by TEXT, created_by TEXT, display_name TEXT, PRIMARY KEY (module, id)) WITHOUT ROWID"
        )
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS members (module TEXT, list TEXT, parent INTEGER, child INTEGER, "
            "PRIMARY KEY (module, list, parent, child)) WITHOUT ROWID"
        )
        # Values of written records by which they are found: the seeded ones are found by computation.
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS keys (module TEXT, field TEXT, value TEXT, id INTEGER, "
            "PRIMARY KEY (module, field, value, id)) WITHOUT ROWID"
        )
        self._db.execute("CREATE TABLE IF NOT EXISTS places (place INTEGER PRIMARY KEY)")
        self._db.executemany("INSERT OR IGNORE INTO places VALUES (?)", ((n,) for n in range(SUBFORM_SIZES)))

    def _meta(self, name: str) -> str | None:
        found = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if found is None else str(found[0])

    def _set_meta(self, name: str, value: Any) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, str(value)))

    def seed(self, counts: dict[str, int]) -> None:
        """Fill modules afresh; those whose lookups point at them are filled again with their old number.

        :param counts: ordinary records by module.
        """
        for name, count in counts.items():
            if name not in self.modules:
                raise ValueError(f"unknown module {name!r}; known: {', '.join(self.modules)}")
            if not 0 <= count <= MAX_SEEDED:
                raise ValueError(f"{name}: between 0 and {MAX_SEEDED} records")
        with self.lock:
            wanted = dict(counts)
            for name, module in self.modules.items():
                again = name in self.seeded and name not in self.loaded
                if again and any(target in wanted for target in module.links):
                    wanted.setdefault(name, self.seeded[name])
            self._db.execute("BEGIN")
            for name, module in self.modules.items():
                if name in wanted:
                    self.seeded[name] = wanted[name]
                    self._fill(module, wanted[name])
            self._fill_members()
            self._set_meta("seeded", orjson.dumps(self.seeded).decode())
            self._set_loaded(self.loaded - set(wanted))
            self._db.execute("COMMIT")
            self._changed()
            self._seeded_version = self.version

    def seed_defaults(self) -> None:
        """Fill the modules that were never filled with a small number of records."""
        self.seed(
            {name: module.default_seed for name, module in self.modules.items() if name not in self.seeded}
        )

    def _set_loaded(self, names: set[str]) -> None:
        self.loaded = names
        self._set_meta("loaded", orjson.dumps(sorted(names)).decode())

    def load(self, module: Module, records: Iterable[dict[str, Any]]) -> None:
        """Add records as they are, to a module that was filled with none; they count as the seed.

        :param module: the module.
        :param records: see ``data.Reader.records``.
        """
        with self.lock:
            self._db.execute("BEGIN")
            try:
                for record in records:
                    content = dict(record)
                    given = [content.pop(name, None) for name in ("id", "Created_Time", "Modified_Time")]
                    self.save(module, None, content, *given)
                self._set_loaded(self.loaded | {module.api_name})
                self._seeded_version = self.version
            finally:
                # Without a journal there is no way back; a file that was read in part is not noted as loaded.
                self._db.execute("COMMIT")

    def reset(self) -> bool:
        """Throw away every write and fill all modules again with the numbers last asked for.

        :returns: whether there was anything to throw away; modules that were loaded are then empty.
        """
        self.writes.clear()
        if self.version == self._seeded_version:
            return False
        self.seed(dict(self.seeded))
        return True

    def _link_expression(self, target: str, place: int) -> str:
        parent = self.modules[target]
        if self.seeded.get(target) == 0:
            return "NULL"
        live = max(self.seeded.get(target, parent.default_seed), 1)
        ordinary = f"(i * {place * 6 + 1} + {place}) % {live}"
        # Some point at a parent in the recycle bin: its related records can still be read (SEED-4).
        recycled = f"{live} + (i / 12) % {RECYCLED}"
        return (
            f"CASE WHEN i % 12 = 11 THEN {parent.first_id} + {ID_STEP} * ({recycled}) "
            f"WHEN i % 11 = 10 THEN NULL ELSE {parent.first_id} + {ID_STEP} * ({ordinary}) END"
        )

    def _fill(self, module: Module, count: int) -> None:
        table = module.table
        for statement in (
            f"DELETE FROM {table}",
            f"DELETE FROM {table}_bin",
            f"DROP INDEX IF EXISTS {table}_modified",
        ):
            self._db.execute(statement)
        self._db.execute(f"DROP INDEX IF EXISTS {table}_created")
        self._db.execute("DELETE FROM deleted WHERE module = ?", (module.api_name,))
        self._db.execute("DELETE FROM keys WHERE module = ?", (module.api_name,))
        for subform in module.subforms.values():
            self._db.execute(f"DELETE FROM {subform.table}")
        if count == 0:
            return
        links = [self._link_expression(target, place) for place, target in enumerate(module.links, 1)]
        links += ["NULL"] * (2 - len(links))
        created = f"{SEED_EPOCH} + 61 * i"
        # Four of ten rows look touched by one mass update: hundreds share a second, more than a page holds.
        modified = (
            f"CASE WHEN i % 10 < 4 THEN {SEED_EPOCH + 3_456_000} + 61000 * (i / 1000) "
            f"WHEN i % 3 = 0 THEN {created} ELSE {created} + (i * 7919) % 2592000 END"
        )
        view = "0"
        if module.hidden_views:
            first = count + RECYCLED + PURGED
            view = f"CASE WHEN i < {first} THEN 0 WHEN i < {first + CONVERTED} THEN 1 ELSE 2 END"
        last = count + RECYCLED + PURGED + (CONVERTED + UNAPPROVED if module.hidden_views else 0)
        self._db.execute(
            f"INSERT INTO {table} WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c WHERE i < {last - 1}) "
            f"SELECT {module.first_id} + {ID_STEP} * i, i, {created}, {modified}, {view}, {links[0]}, {links[1]}, NULL FROM c"
        )
        for place in range(RECYCLED + PURGED):
            self._bury(
                module,
                module.first_id + ID_STEP * (count + place),
                permanently=place >= RECYCLED,
                seeded=True,
            )

    def _fill_members(self) -> None:
        self._db.execute("DELETE FROM members")
        for name, module in self.modules.items():
            for related in module.related:
                children = self.seeded.get(related.module, 0)
                parents = self.seeded.get(name, 0)
                if related.lookup or not children or not parents:
                    continue
                child_first = self.modules[related.module].first_id
                # The first parents, and those in the recycle bin behind the last.
                places = [*range(min(parents, LINKED_PARENTS)), *range(parents, parents + RECYCLED)]
                self._db.executemany(
                    "INSERT OR IGNORE INTO members VALUES (?, ?, ?, ?)",
                    (
                        (name, related.api_name, module.first_id + ID_STEP * place, child_first + ID_STEP * ((place * 3 + n) % children))
                        for place in places
                        for n in range(1 + place % 4)
                    ),
                )  # fmt: skip

    # --- reading -----------------------------------------------------------------------------------------------

    def module(self, api_name: str) -> Module | None:
        """Find a module; the name in the address is not sensitive to case.

        :param api_name: for example ``Leads``.
        """
        found = self.modules.get(api_name)
        if found is None:
            low = api_name.lower()
            found = next((m for m in self.modules.values() if m.api_name.lower() == low), None)
        return found

    def subform(self, api_name: str) -> Module | None:
        """Find the module of the rows of a subform.

        :param api_name: for example ``Positions``, in any case.
        """
        low = api_name.lower()
        return next((m for m in self.subforms.values() if m.api_name.lower() == low), None)

    def _ensure_order(self, module: Module, column: str) -> None:
        if column != "id":
            # Made at its first use: seeding a million rows should not pay for orders nobody asks for.
            self._db.execute(
                f"CREATE INDEX IF NOT EXISTS {module.table}_{column} ON {module.table} ({column}, id, view)"
            )

    def rows(
        self,
        selection: Selection,
        *,
        after: tuple[int, ...] | None = None,
        offset: int = 0,
        limit: int | None = None,
    ) -> list[Row]:
        """Read rows by keyset.

        :param selection: which rows, in which order.
        :param after: key (see ``key_of``) behind which to begin.
        :param offset: matching rows to skip from there.
        :param limit: how many at most, all if absent.
        """
        if selection.matches is None:
            return self._fetch(selection, after, offset, limit)
        found: list[Row] = []
        for row in self.scan(selection, after=after):
            if offset:
                offset -= 1
                continue
            found.append(row)
            if limit is not None and len(found) >= limit:
                break
        return found

    def _fetch(
        self, selection: Selection, after: tuple[int, ...] | None, offset: int, limit: int | None
    ) -> list[Row]:
        module, column = selection.module, selection.order
        if module.parent is not None:
            return self._fetch_subform(selection, after, offset, limit)
        way, sign = ("DESC", "<") if selection.descending else ("ASC", ">")
        where, params = selection.where, list(selection.params)
        order = f"id {way}" if column == "id" else f"{column} {way}, id {way}"
        if after is not None:
            key = "id" if column == "id" else f"({column}, id)"
            where = f"({where}) AND {key} {sign} ({', '.join('?' * len(after))})"
            params += after
        with self.lock:
            self._ensure_order(module, column)
            cursor = self._db.execute(
                f"SELECT {COLUMNS} FROM {module.table} WHERE {where} ORDER BY {order} LIMIT ? OFFSET ?",
                (*params, -1 if limit is None else limit, offset),
            )
            return list(map(Row._make, cursor.fetchall()))

    def _fetch_subform(
        self, selection: Selection, after: tuple[int, ...] | None, offset: int, limit: int | None
    ) -> list[Row]:
        """Read rows of a subform: computed ones and written ones, each in order, become one list."""
        column = selection.order
        way, sign = ("DESC", "<") if selection.descending else ("ASC", ">")
        where, params = selection.where, [*selection.params]
        low, high = selection.low, selection.high
        seek, sought = "1", []
        if after is not None:
            key = "id" if column == "id" else f"({column}, id)"
            where = f"({where}) AND {key} {sign} ({', '.join('?' * len(after))})"
            params += after
            if column != "id":
                seek, sought = f"p.{column} {sign}= ?", [after[0]]
            elif selection.descending:
                high = after[0] if high is None else min(high, after[0])
            else:
                low = after[0] if low is None else max(low, after[0])
        source, bounds = self._computed(selection.module, low, high, seek)
        order = "link1 {0}, place {0}" if column == "id" else f"{column} {{0}}, link1 {{0}}, place {{0}}"
        most = -1 if limit is None else offset + limit
        with self.lock:
            self._ensure_order(cast("Module", selection.module.parent), column)
            computed = self._db.execute(
                f"SELECT {COLUMNS} FROM ({source}) WHERE {where} ORDER BY {order.format(way)} LIMIT ?",
                (*bounds, *sought, *params, most),
            ).fetchall()
            order = f"id {way}" if column == "id" else f"{column} {way}, id {way}"
            written = self._db.execute(
                f"SELECT {COLUMNS} FROM {selection.module.table} WHERE {where} ORDER BY {order} LIMIT ?",
                (*params, most),
            ).fetchall()
        place = {"id": 0, "created": 2, "modified": 3}[column]
        both = merge(computed, written, key=lambda row: (row[place], row[0]), reverse=selection.descending)
        return list(map(Row._make, islice(both, offset, None if limit is None else offset + limit)))

    @staticmethod
    def _computed(
        module: Module, low: int | None, high: int | None, seek: str = "1"
    ) -> tuple[str, list[int]]:
        """Return the SQL that computes the rows of a subform in the records nobody has written.

        :param module: the module of the rows.
        :param low: id below which no row is wanted.
        :param high: id above which no row is wanted.
        :param seek: a condition on the records.
        :returns: SQL and parameters, those of ``seek`` to be added.
        """
        parent = cast("Module", module.parent)
        bounds: list[int] = []
        for sign, row_id in ((">=", low), ("<=", high)):
            if row_id is not None:
                seek = f"p.id {sign} ? AND {seek}"
                place = min(max(row_id - module.first_id, -SUBFORM_STEP) // SUBFORM_STEP, 2 * MAX_SEEDED)
                bounds.insert(0, parent.first_id + ID_STEP * place)
        # CROSS JOIN keeps the order of the tables, so that the rows come in the order of their ids without sorting.
        sql = (
            f"SELECT {module.first_id} + p.seq * {SUBFORM_STEP} + n.place AS id, p.seq * {SUBFORM_STEP} + n.place AS seq, "
            "p.created AS created, p.modified AS modified, p.view AS view, p.id AS link1, NULL AS link2, NULL AS body, "
            f"n.place AS place FROM {parent.table} p CROSS JOIN places n "
            f"WHERE {seek} AND n.place < p.seq % {SUBFORM_SIZES} AND p.body IS NULL"
        )
        return sql, bounds

    def scan(self, selection: Selection, *, after: tuple[int, ...] | None = None) -> Iterator[Row]:
        """Read matching rows one by one without holding them all.

        :param selection: which rows, in which order.
        :param after: key behind which to begin.
        """
        key = after
        plain = Selection(
            selection.module, selection.where, selection.params, selection.order, selection.descending,
            None, selection.low, selection.high,
        )  # fmt: skip
        size = BATCH
        while True:
            batch = self._fetch(plain, key, 0, size)
            if selection.matches is None:
                yield from batch
            else:
                yield from filter(selection.matches, batch)
            if len(batch) < size:
                return
            key = self.key_of(selection, batch[-1])

    @staticmethod
    def key_of(selection: Selection, row: Row) -> tuple[int, ...]:
        """Return the position of a row in the order of a selection.

        :param selection: gives the order.
        :param row: a row of it.
        """
        if selection.order == "id":
            return (row.id,)
        return (row.created if selection.order == "created" else row.modified, row.id)

    def count(self, selection: Selection) -> int:
        """Count the rows of a selection.

        :param selection: which rows.
        """
        if selection.matches is not None:
            return sum(1 for _ in self.scan(selection))
        key = (self.version, selection.module.api_name, selection.where, selection.params)
        found = self._counts.get(key)
        if found is None:
            with self.lock:
                found = self._count(selection, selection.module.table, ())
                if selection.module.parent is not None:
                    source, bounds = self._computed(selection.module, selection.low, selection.high)
                    found += self._count(selection, f"({source})", bounds)
            self._counts[key] = found
        return found

    def _count(self, selection: Selection, source: str, params: Sequence[int]) -> int:
        sql = f"SELECT count(*) FROM {source} WHERE {selection.where}"
        return int(self._db.execute(sql, (*params, *selection.params)).fetchone()[0])

    def sorted_ids(self, selection: Selection, by: Field) -> list[int]:
        """Return the ids of a selection in the order of any field (v2 allows that).

        :param selection: which rows; its order breaks ties.
        :param by: the field.
        """
        key = (self.version, selection, by.api_name)
        found = self._sorted.get(key)
        if found is None:
            keyed = [(sort_key(self.value(row, by)), row.id) for row in self.scan(selection)]
            keyed.sort(key=lambda pair: pair[0], reverse=selection.descending)
            found = [pair[1] for pair in keyed]
            self._sorted = {key: found}
        return found

    def by_ids(self, module: Module, ids: Sequence[int], *, bin_too: bool = False) -> dict[int, Row]:
        """Read rows by id.

        :param module: the module.
        :param ids: ids, any number.
        :param bin_too: look into the recycle bin as well.
        """
        found = {} if module.parent is None else self._computed_by_ids(module, ids)
        tables = [module.table, f"{module.table}_bin"] if bin_too else [module.table]
        with self.lock:
            for table in tables:
                for start in range(0, len(ids), 500):
                    part = ids[start : start + 500]
                    sql = f"SELECT {COLUMNS} FROM {table} WHERE id IN ({','.join('?' * len(part))})"
                    found.update((row[0], Row._make(row)) for row in self._db.execute(sql, part))
        return found

    def _computed_by_ids(self, module: Module, ids: Sequence[int]) -> dict[int, Row]:
        parent, step = cast("Module", module.parent), SUBFORM_STEP
        wanted = {one for one in ids if module.first_id <= one < module.first_id + MAX_SEEDED * 2 * step}
        above = {parent.first_id + ID_STEP * ((one - module.first_id) // step) for one in wanted}
        rows = [row for row in self.by_ids(parent, [*above]).values() if row.body is None]
        return {one.id: one for row in rows for one in subform_rows(module, row) if one.id in wanted}

    def row(self, module: Module, record_id: int, *, bin_too: bool = False) -> Row | None:
        """Read one row.

        :param module: the module.
        :param record_id: id.
        :param bin_too: look into the recycle bin as well.
        """
        if bin_too or module.parent is not None:
            return self.by_ids(module, [record_id], bin_too=bin_too).get(record_id)
        with self.lock:
            sql = f"SELECT {COLUMNS} FROM {module.table} WHERE id = ?"
            found = self._db.execute(sql, (record_id,)).fetchone()
            return None if found is None else Row._make(found)

    def in_bin(self, module: Module, record_id: int) -> bool:
        """Tell whether a record lies in the recycle bin.

        :param module: the module.
        :param record_id: id.
        """
        sql = "SELECT 1 FROM deleted WHERE module = ? AND id = ? AND type = 'recycle'"
        with self.lock:
            return self._db.execute(sql, (module.api_name, record_id)).fetchone() is not None

    @staticmethod
    def value(row: Row, spec: Field) -> Any:
        """Return the value of one field.

        :param row: the record.
        :param spec: the field.
        """
        if row[7] is None or spec.system:
            return spec.make(row)
        return orjson.loads(row[7]).get(spec.api_name)

    @staticmethod
    def record(row: Row, specs: Iterable[Field]) -> dict[str, Any]:
        """Return a record as an object.

        :param row: the record.
        :param specs: the fields wanted.
        """
        if row[7] is None:
            return {spec.api_name: spec.make(row) for spec in specs}
        stored = orjson.loads(row[7])
        return {
            spec.api_name: spec.make(row) if spec.system else stored.get(spec.api_name) for spec in specs
        }  # fmt: skip

    @classmethod
    def columns(cls, rows: Sequence[Row], specs: Sequence[Field]) -> list[list[Any]]:
        """Return values of many records field by field, which is several times faster than record by record.

        :param rows: the records.
        :param specs: the fields wanted.
        :returns: for every field the values of all records.
        """
        places = [row[1] for row in rows]
        written = [(n, orjson.loads(row[7])) for n, row in enumerate(rows) if row[7] is not None]
        columns: list[list[Any]] = []
        for spec in specs:
            if spec.pool is None:
                column = [spec.make(row) for row in rows]
            else:
                pool, factor, offset = spec.pool
                size = len(pool)
                column = [pool[(place * factor + offset) % size] for place in places]
            if not spec.system:
                for n, body in written:
                    column[n] = body.get(spec.api_name)
            columns.append(column)
        return columns

    @classmethod
    def records(cls, rows: Sequence[Row], specs: Sequence[Field]) -> list[dict[str, Any]]:
        """Return many records as objects.

        :param rows: the records.
        :param specs: the fields wanted, at least one.
        """
        names = [spec.api_name for spec in specs]
        return [dict(zip(names, values)) for values in zip(*cls.columns(rows, specs))]  # noqa: B905 - same lengths, hot

    def display_name(self, module_name: str, record_id: int) -> str | None:
        """Return what a lookup shows of its target.

        :param module_name: module of the target.
        :param record_id: its id.
        """
        key = (module_name, record_id)
        if key not in self._names:
            if len(self._names) > 100_000:
                self._names.clear()
            module = self.modules[module_name]
            row = self.row(module, record_id, bin_too=True)
            name = None if row is None else self.value(row, module.fields[module.display])
            self._names[key] = None if name is None else str(name)
        return self._names[key]

    def deleted(
        self, module: Module, kind: str, since: float | None, offset: int, limit: int
    ) -> list[dict[str, Any]]:
        """List deleted records, the last first.

        :param module: the module.
        :param kind: all, recycle or permanent.
        :param since: only those deleted at this time or later.
        :param offset: records to skip.
        :param limit: how many at most.
        """
        where, params = "module = ?", [module.api_name]
        if kind != "all":
            where, params = f"{where} AND type = ?", [*params, kind]
        if since is not None:
            where, params = f"{where} AND deleted_time >= ?", [*params, str(int(since))]
        sql = (
            f"SELECT id, type, deleted_time, deleted_by, created_by, display_name FROM deleted WHERE {where}"
        )
        with self.lock:
            rows = self._db.execute(
                f"{sql} ORDER BY deleted_time DESC, id LIMIT ? OFFSET ?", (*params, limit, offset)
            )
            return [
                {
                    "deleted_by": orjson.loads(by) if by else None,
                    "id": str(record_id),
                    "display_name": name,
                    "type": type_,
                    "created_by": orjson.loads(created) if created else None,
                    "deleted_time": self.clock.iso(when),
                }
                for record_id, type_, when, by, created, name in rows
            ]

    # --- writing -----------------------------------------------------------------------------------------------

    def find(self, module: Module, spec: Field, value: Any) -> int | None:
        """Find a live record by the value of a field (text without regard to case).

        :param module: the module.
        :param spec: the field.
        :param value: the value.
        :returns: the lowest id that matches.
        """
        text = str(value).lower()
        with self.lock:
            sql = "SELECT min(id) FROM keys WHERE module = ? AND field = ? AND value = ?"
            written = self._db.execute(sql, (module.api_name, spec.api_name, text)).fetchone()[0]
            seq = spec.find(text) if spec.find else None
            if seq is None or seq >= MAX_SEEDED:
                return None if written is None else int(written)
            row = self.row(module, module.first_id + ID_STEP * seq)
            if row is not None and row.body is None and str(spec.make(row)).lower() == text:
                return row.id if written is None else min(row.id, int(written))
            return None if written is None else int(written)

    def new_id(self) -> int:
        """Return an id never used before; it sorts behind every seeded one."""
        self._next_id += 1
        if self._kept:
            self._set_meta("next_id", self._next_id)
        return FIRST_NEW_ID + self._next_id * NEW_ID_STEP

    def _keep_free(self, record_id: int) -> None:
        """Never give out an id that came with a file: it may be from an earlier run of the simulator."""
        place = (record_id - FIRST_NEW_ID) // NEW_ID_STEP
        if place > self._next_id and record_id < FIRST_NEW_ID + 1_000_000_000_000:
            self._next_id = place

    def transaction(self) -> threading.RLock:
        """Return the lock that makes several steps one."""
        return self.lock

    def save(
        self,
        module: Module,
        row: Row | None,
        values: dict[str, Any],
        new_id: int | None = None,
        created: int | None = None,
        modified: int | None = None,
    ) -> Row:
        """Store a new record or the changes of one.

        :param module: the module.
        :param row: the record as it was, ``None`` for a new one.
        :param values: new values, lookups as ``{"id": …}``.
        :param new_id: id of a new record, one never used if absent.
        :param created: when a new record was made, now if absent.
        :param modified: when it was changed last, now if absent.
        :returns: the record as it is now.
        """
        now = int(self.clock.now())
        modified = now if modified is None else modified
        user = CURRENT_USER.short()
        with self.lock:
            if row is None:
                record_id, seq, view = new_id or self.new_id(), 0, ORDINARY
                self._keep_free(record_id)
                created = now if created is None else created
                content: dict[str, Any] = {**module.blank, "Owner": user, "Created_By": user}
                keys: set[_Key] = set()
                links: list[int | None] = [None, None]
            else:
                record_id, seq, created, view = row.id, row.seq, row.created, row.view
                content = _content(module, row)
                keys = set() if row.body is None else _keys(module, record_id, content)
                links = [row.link1, row.link2]
            content["Modified_By"] = user
            for name, value in values.items():
                if name in module.subforms:
                    given = self._subform(value, content.get(name, ()))
                    content[name] = _bare(module.subforms[name], given)
                elif place := module.fields[name].link:
                    links[place - 1] = None if value is None else int(value["id"])
                else:
                    content[name] = value
            if "Full_Name" in module.fields:
                content["Full_Name"] = (
                    f"{content.get('First_Name') or ''} {content.get('Last_Name') or ''}".strip()
                )
            saved = Row(record_id, seq, created, modified, view, links[0], links[1], orjson.dumps(content))
            self._db.execute(f"INSERT OR REPLACE INTO {module.table} VALUES (?,?,?,?,?,?,?,?)", saved)
            for name, subform in module.subforms.items():
                if row is not None and row.body is not None:
                    self._db.execute(f"DELETE FROM {subform.table} WHERE link1 = ?", (record_id,))
                rows = written_rows(saved, content.get(name, ()))
                self._db.executemany(f"INSERT OR REPLACE INTO {subform.table} VALUES (?,?,?,?,?,?,?,?)", rows)
            self._index(keys, _keys(module, record_id, content))
            self._changed()
            return saved

    def _subform(self, given: Any, known: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the rows a subform has after a write: those given; one with the id of a known row changes that."""
        before = {one["id"]: one for one in known}
        rows = []
        for one in given or ():
            row_id = str(one.get("id") or self.new_id())
            self._keep_free(int(row_id))
            rows.append({**before.get(row_id, {}), **one, "id": row_id})
        return rows

    def _index(self, before: set[_Key], after: set[_Key]) -> None:
        """Let a record be found by its values of now."""
        self._db.executemany(
            "DELETE FROM keys WHERE module = ? AND field = ? AND value = ? AND id = ?", before - after
        )
        self._db.executemany("INSERT OR IGNORE INTO keys VALUES (?, ?, ?, ?)", after - before)

    def delete(self, module: Module, record_id: int, *, permanently: bool = False) -> bool:
        """Move a record to the recycle bin, or out of the organisation.

        :param module: the module.
        :param record_id: id.
        :param permanently: not to be brought back.
        :returns: whether there was such a record.
        """
        with self.lock:
            if self.row(module, record_id) is None:
                return False
            self._bury(module, record_id, permanently=permanently)
            self._changed()
            return True

    def _bury(self, module: Module, record_id: int, *, permanently: bool, seeded: bool = False) -> None:
        when = int(self.clock.now())
        if seeded:
            place = (record_id - module.first_id) // ID_STEP
            # Those still in the bin were deleted last: a list begins with records whose relations can be read.
            when = SEED_EPOCH + 61 * place + (4_000_000 if permanently else 5_000_000)
        name = self.display_name(module.api_name, record_id)
        by = creator = None
        if not permanently:
            by = creator = orjson.dumps(
                (USERS[record_id % len(USERS)] if seeded else CURRENT_USER).shortest()
            ).decode()
            self._db.execute(
                f"INSERT INTO {module.table}_bin SELECT * FROM {module.table} WHERE id = ?", (record_id,)
            )
        row = None if seeded else self.row(module, record_id)
        if row is not None and row.body is not None:
            self._index(_keys(module, record_id, orjson.loads(row.body)), set())
        self._db.execute(f"DELETE FROM {module.table} WHERE id = ?", (record_id,))
        for subform in module.subforms.values():
            self._db.execute(f"DELETE FROM {subform.table} WHERE link1 = ?", (record_id,))
        self._db.execute(
            "INSERT OR REPLACE INTO deleted VALUES (?, ?, ?, ?, ?, ?, ?)",
            (module.api_name, record_id, "permanent" if permanently else "recycle", when, by, creator, None if permanently else name),
        )  # fmt: skip

    def _changed(self) -> None:
        self.version += 1
        self._names.clear()
        self._counts.clear()
        self._sorted.clear()

    def close(self) -> None:
        """Close the database."""
        with self.lock:
            self._db.close()


def _keys(module: Module, record_id: int, content: dict[str, Any]) -> set[_Key]:
    """Return the values by which a written record is found."""
    found = ((name, content.get(name)) for name in module.keys)
    return {
        (module.api_name, name, str(value).lower(), record_id)
        for name, value in found
        if value not in (None, "")
    }


def _content(module: Module, row: Row) -> dict[str, Any]:
    """Return the values of a record as its body has them, computed where nobody has written it."""
    if row.body is not None:
        stored: dict[str, Any] = orjson.loads(row.body)
        return stored
    content: dict[str, Any] = {spec.api_name: spec.make(row) for spec in module.stored}
    for name, subform in module.subforms.items():
        content[name] = [
            {"id": str(one.id), **{spec.api_name: spec.make(one) for spec in subform.stored}}
            for one in subform_rows(subform, row)
        ]
    return content


def _bare(subform: Module, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows of a subform as they are kept: without what the store knows anyway."""
    system = {spec.api_name for spec in subform.fields.values() if spec.system} - {"id"}
    return [{name: value for name, value in one.items() if name not in system} for one in rows]


def sort_key(value: Any) -> tuple[int, Any]:
    """Make values of one field comparable: empty ones first, objects by their name.

    :param value: any value of a record.
    """
    if value is None or value == "":
        return (0, "")
    if isinstance(value, dict):
        value = value.get("name") or ""
    if isinstance(value, list):
        value = ";".join(map(str, value))
    if isinstance(value, (bool, int, float)):
        return (1, value)
    return (2, str(value).lower())
