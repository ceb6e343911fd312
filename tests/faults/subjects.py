"""The operators under test: how each is run, and the proof that nothing is lost or there twice, value by value."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from support.running import context, run_to_end
from support.simulated import by_id, truth

from airflow_provider_zohocrm.loading.outcome import UNKNOWN
from airflow_provider_zohocrm.operators.bulk_read import ZohoBulkReadOperator
from airflow_provider_zohocrm.operators.bulk_write import ZohoBulkWriteOperator
from airflow_provider_zohocrm.operators.delete import ZohoDeleteOperator
from airflow_provider_zohocrm.operators.insert import ZohoInsertOperator
from airflow_provider_zohocrm.operators.records import ZohoGetRecordsOperator
from airflow_provider_zohocrm.operators.update import ZohoUpdateOperator
from airflow_provider_zohocrm.operators.upsert import ZohoUpsertOperator
from airflow_provider_zohocrm.storage import read_records
from faults import rows, waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_zohocrm.simulator.server import Simulator

SEED = {"Leads": 450}
FIELDS = ["Last_Name", "Email", "Company", "City"]
PAGE = 180
"""Records of a bulk read job: three pages."""
ROWS = 45
KNOWN = 20
"""Rows of an upsert that Zoho has already."""
BAD = 7
"""The row that Zoho refuses."""
KEYLESS = range(ROWS - 4, ROWS)
"""Rows of an insert without a value in a unique field."""


class Store:
    """Airflow's task state store."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return self.kept.get(key, default)

    def set(self, key: str, value: Any) -> None:
        self.kept[key] = value

    def delete(self, key: str) -> None:
        self.kept.pop(key, None)


@dataclass(frozen=True)
class Subject:
    """An operator in one way of running it.

    :param make: builds the operator; it is given the folder of its files, and further parameters.
    :param main: the request on which a fault that lasts falls.
    :param check: proves that the result is whole.
    :param rows: the operation of :meth:`World.rows` whose rows it writes; empty if it writes none.
    :param begin: what happens to the simulator before the first try, or is planned; returns further parameters.
    :param once: whether the main request is sent once only, so that the fault begins with the first one, not the second.
    """

    make: Callable[..., Any]
    main: str
    check: Callable[..., None]
    rows: str = ""
    begin: Callable[[Simulator], dict[str, Any]] | None = None
    once: bool = False

    def run(self, folder: str, store: Store, try_number: int = 1, **more: Any) -> Any:
        """Run one try of the task to its end, through deferrals and triggers."""
        given = context(task_state_store=store)
        given["ti"].try_number, given["ti"].max_tries = try_number, 3
        result, _ = run_to_end(lambda: self.make(folder, **more), given)
        return result


class World:
    """The simulated CRM before and after."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator

    @cached_property
    def before(self) -> dict[str, dict[str, Any]]:
        """All Leads as they are seeded."""
        return truth(self.simulator, "Leads")

    def after(self) -> dict[str, dict[str, Any]]:
        return truth(self.simulator, "Leads")

    def rows(self, operation: str) -> list[dict[str, Any]]:
        """The rows that are loaded; what a row changes carries its number."""
        leads = [one for one in self.before.values() if one["Email"]]
        made = []
        for number in range(ROWS):
            key = {"External_Key": f"key {number}"} if number not in KEYLESS else {}
            new = {"Last_Name": f"row {number}", "Company": "Zylker", **key}
            lead = leads[5 * number]
            if operation in ("upsert", "bulk_write"):
                old = number < KNOWN
                email = lead["Email"] if old else f"row.{number}@example.com"
                name = lead["Last_Name"] if old else f"row {number}"
                made.append({"Last_Name": name, "Email": email, "Company": f"row {number}"})
            else:
                changed = {"id": lead["id"], "Company": f"row {number}"}
                made.append({"insert": new, "update": changed, "delete": {"id": lead["id"]}}[operation])
        made[BAD] |= {"id": "none"} if operation == "delete" else {"Last_Name": "x" * 300}
        return made


# --- reading ------------------------------------------------------------------------------------------------------


def read(operator: Any, subject_fields: dict[str, Any], folder: str, **more: Any) -> Any:
    options = {
        "task_id": "t",
        "module": "Leads",
        "fields": FIELDS,
        "output_path": f"{folder}/leads.jsonl",
        "poll_interval": 0.01,
        "max_poll_interval": 0.01,
        **subject_fields,
    }
    return operator(**{**options, **more})


def check_read(world: World, result: dict[str, Any], operation: str, *, doubtful: bool) -> None:
    rows = [row for file in result["files"] for row in read_records(file["path"])]
    found = by_id({name: value or None for name, value in row.items()} for row in rows)
    assert found == truth(world.simulator, "Leads", FIELDS)
    assert result["records"] == len(rows) == SEED["Leads"]
    assert world.after() == world.before


# --- writing ------------------------------------------------------------------------------------------------------


def write(operator: Any, options: dict[str, Any], folder: str, **more: Any) -> Any:
    given = {
        "task_id": "t",
        "module": "Leads",
        "results_path": f"{folder}/results.jsonl",
        "rejects_path": f"{folder}/rejects.jsonl",
        "on_reject": "continue",
        "validate": False,
        **options,
    }
    if "deferrable" not in options:
        given["max_concurrency"] = 1 if operator is ZohoInsertOperator else 2
        more.pop("timeout", None)
    return operator(**{**given, **more})


def check_written(world: World, result: dict[str, Any], operation: str, *, doubtful: bool) -> None:
    """Compare what the task says of each row with what the CRM has.

    :param doubtful: whether there may be rows of which the task says that nobody knows.
    """
    done = [row for path in result["results_paths"] for row in read_records(path)]
    refused = {row["index"]: row["code"] for path in result["rejects_paths"] for row in read_records(path)}
    assert sorted([*(row["index"] for row in done), *refused]) == list(range(ROWS))
    unknown = {index for index, code in refused.items() if code == UNKNOWN}
    assert doubtful or not unknown
    assert BAD in refused
    assert set(refused) - unknown == ({BAD} - unknown)
    assert result["total"] == ROWS
    assert (result["rejected"], result["unknown"]) == (len(refused), len(unknown))
    check_table(world, {row["index"]: row["id"] for row in done}, unknown, operation)


def check_table(world: World, done: dict[int, str], unknown: set[int], operation: str) -> None:
    rows, before, after = world.rows(operation), world.before, world.after()
    touched = set()
    for number, row in enumerate(rows):
        hits = [id_ for id_ in after if _has(after[id_], number, operation)]
        if operation == "delete":
            hits = [] if number == BAD or row["id"] in after else [row["id"]]
        if number in done:
            assert len(hits) == 1, f"row {number} is there {len(hits)} times"
            assert done[number] == hits[0]
        elif number in unknown:
            assert len(hits) <= 1, f"row {number} is there {len(hits)} times"
        else:
            assert not hits, f"row {number} was refused, and is there"
        touched |= set(hits)
        for id_ in hits:
            if operation != "delete":
                assert {name: after[id_][name] for name in row} == {**row, **_same_id(row, id_)}
    untouched = after.keys() - touched
    assert {id_: after[id_] for id_ in untouched} == {id_: before[id_] for id_ in before.keys() - touched}


def _same_id(row: dict[str, Any], id_: str) -> dict[str, Any]:
    return {"id": id_} if "id" in row else {}


def _has(record: dict[str, Any], number: int, operation: str) -> bool:
    return bool(record["Last_Name" if operation == "insert" else "Company"] == f"row {number}")


JOBS = {"poll_interval": 0.01, "max_poll_interval": 0.01, "deferrable": False}
WAITING = {**JOBS, "deferrable": True}
UPSERT = {"operation": "upsert", "find_by": "Email"}


def _reading(main: str, operator: Any, **options: Any) -> Subject:
    return Subject(partial(read, operator, options), main, check_read)


def _writing(main: str, rows: str, operator: Any, **options: Any) -> Subject:
    return Subject(partial(write, operator, options), main, check_written, rows)


def _rows(main: str, make: Callable[..., Any], check: Callable[..., None], **options: Any) -> Subject:
    def check_rows(world: World, result: Any, operation: str, *, doubtful: bool) -> None:
        check(world.simulator, result)

    return Subject(make, main, check_rows, **options)


def _sensor(name: str, *, deferrable: bool) -> Subject:
    kind, options, main, begin, check = waiting.SENSORS[name]
    make = partial(waiting.sensor, kind, {**options, "deferrable": deferrable})
    return _rows(main, make, check, begin=begin)


def _check_notified(world: World, result: str, operation: str, *, doubtful: bool) -> None:
    waiting.check_notified(world.simulator, result, doubtful=doubtful)


_BULK_READ, _BULK_WRITE = "/crm/bulk/v8/read", "/crm/bulk/v8/write"
_RESULT = r"GET /crm/bulk/v8/read/\d+/result"
_WRITE_RESULT = r"GET /v2/crm/\d+/bulk-write/\d+/\d+\.zip"
SUBJECTS: dict[str, Subject] = {
    "get_records records": _reading("GET /crm/v8/Leads", ZohoGetRecordsOperator, strategy="records"),
    "get_records coql": _reading("POST /crm/v8/coql", ZohoGetRecordsOperator, strategy="coql"),
    "get_records bulk": _reading(_RESULT, ZohoGetRecordsOperator, strategy="bulk", deferrable=False),
    "bulk_read": _reading(_RESULT, ZohoBulkReadOperator, deferrable=False),
    "bulk_read deferred": _reading(rf"GET {_BULK_READ}/\d+", ZohoBulkReadOperator, deferrable=True),
    "upsert": _writing(
        "POST /crm/v8/Leads/upsert", "upsert", ZohoUpsertOperator, duplicate_check_fields="Email"
    ),
    "insert": _writing("POST /crm/v8/Leads", "insert", ZohoInsertOperator),
    "update": _writing("PUT /crm/v8/Leads", "update", ZohoUpdateOperator),
    "delete": _writing("DELETE /crm/v8/Leads", "delete", ZohoDeleteOperator),
    "bulk_write": _writing(_WRITE_RESULT, "bulk_write", ZohoBulkWriteOperator, **JOBS, **UPSERT),
    "bulk_write deferred": _writing(
        rf"GET {_BULK_WRITE}/\d+", "bulk_write", ZohoBulkWriteOperator, **WAITING, **UPSERT
    ),
    "bulk_write insert": _writing(
        f"POST {_BULK_WRITE}", "insert", ZohoBulkWriteOperator, **JOBS, operation="insert"
    ),
    "query": _rows(
        "POST /crm/v8/coql", partial(rows.query, order=""), partial(rows.check_query, ordered=False)
    ),
    "query ordered": _rows(
        "POST /crm/v8/coql",
        partial(rows.query, order=" order by Last_Name asc"),
        partial(rows.check_query, ordered=True),
    ),
    "get_deleted": _rows("GET /crm/v8/Leads/deleted", rows.deleted, rows.check_deleted, begin=rows.bury),
    "get_related": _rows(
        r"GET /crm/v8/Accounts/\d+/Contacts", rows.related, rows.check_related, begin=rows.parents
    ),
    "count": _rows("GET /crm/v8/Leads/actions/count", rows.count, rows.check_count, once=True),
    "record sensor": _sensor("record sensor", deferrable=False),
    "record sensor deferred": _sensor("record sensor", deferrable=True),
    "job sensor": _sensor("job sensor", deferrable=False),
    "job sensor deferred": _sensor("job sensor", deferrable=True),
    "credits sensor": _sensor("credits sensor", deferrable=False),
    "credits sensor deferred": _sensor("credits sensor", deferrable=True),
    "notifier": Subject(waiting.Notifying, "POST /crm/v8/Tasks", _check_notified, once=True),
}
