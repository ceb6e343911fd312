"""Operators that read a query, deleted or related records, or a number: how each is run, and the proof that all is there."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from support.simulated import by_id, truth

from airflow_provider_zohocrm.operators.count import ZohoCountOperator
from airflow_provider_zohocrm.operators.deleted import ZohoGetDeletedRecordsOperator
from airflow_provider_zohocrm.operators.query import ZohoQueryOperator
from airflow_provider_zohocrm.operators.related import ZohoGetRelatedRecordsOperator
from airflow_provider_zohocrm.storage import read_records

if TYPE_CHECKING:
    from airflow_provider_zohocrm.simulator.server import Simulator

REVENUE = 1
FIELDS = ["Last_Name", "Company", "City"]
# Three pages of the size the tests give COQL.
QUERY = f"select {', '.join(FIELDS)} from Leads where Annual_Revenue > {REVENUE}"
CITY = "Chennai"
BURIED = 290
"""Leads that are deleted before the task begins: two pages, with those in the recycle bin already."""
PARENTS = 3


# --- how each is run -------------------------------------------------------------------------------------------------


def query(folder: str, *, order: str, **more: Any) -> Any:
    path = f"{folder}/leads.jsonl"
    return ZohoQueryOperator(task_id="t", query=f"{QUERY}{order}", output_path=path, **more)


def deleted(folder: str, **more: Any) -> Any:
    path = f"{folder}/deleted.jsonl"
    return ZohoGetDeletedRecordsOperator(task_id="t", module="Leads", output_path=path, **more)


def related(folder: str, **more: Any) -> Any:
    return ZohoGetRelatedRecordsOperator(
        task_id="t",
        module="Accounts",
        related_list="Contacts",
        fields=["Last_Name"],
        output_path=f"{folder}/contacts.jsonl",
        **more,
    )


def count(folder: str, **more: Any) -> Any:
    return ZohoCountOperator(task_id="t", module="Leads", criteria=f"(City:equals:{CITY})", **more)


# --- what is there before --------------------------------------------------------------------------------------------


def bury(simulator: Simulator) -> dict[str, Any]:
    """Delete records."""
    leads = simulator.state.store.modules["Leads"]
    for record in list(simulator.table("Leads"))[:BURIED]:
        simulator.state.store.delete(leads, int(record["id"]))
    return {}


def parents(simulator: Simulator) -> dict[str, Any]:
    """Choose records that others are related to."""
    return {"record_ids": list(_related(simulator))}


def _related(simulator: Simulator) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for id_, contact in truth(simulator, "Contacts", ["Last_Name", "Account_Name"]).items():
        account = contact.pop("Account_Name")
        if account and simulator.record("Accounts", account["id"]):
            found.setdefault(account["id"], {})[id_] = contact
    most = sorted(found, key=lambda one: (-len(found[one]), one))[:PARENTS]
    return {one: found[one] for one in most}


# --- the proof -------------------------------------------------------------------------------------------------------


def check_query(simulator: Simulator, result: dict[str, Any], *, ordered: bool) -> None:
    rows = _rows(simulator, result)
    wanted = {
        id_: {name: lead[name] for name in ("id", *FIELDS)}
        for id_, lead in truth(simulator, "Leads", [*FIELDS, "Annual_Revenue"]).items()
        if (lead["Annual_Revenue"] or 0) > REVENUE
    }
    assert len(wanted) > 120, "that is not three pages"
    assert by_id(rows) == wanted
    if ordered:
        names = [row["Last_Name"].lower() for row in rows]
        assert names == sorted(names)


def check_deleted(simulator: Simulator, result: dict[str, Any]) -> None:
    rows = _rows(simulator, result)
    store = simulator.state.store
    assert len(rows) > BURIED
    assert rows == store.deleted(store.modules["Leads"], "all", None, 0, 1000)
    newest, first = result["max_modified_time"], rows[0]["deleted_time"]
    assert datetime.fromisoformat(newest) == datetime.fromisoformat(first)


def check_related(simulator: Simulator, result: dict[str, Any]) -> None:
    rows = _rows(simulator, result)
    wanted = _related(simulator)
    assert len(wanted) == PARENTS
    for parent, contacts in wanted.items():
        of_parent = [dict(row) for row in rows if row["Parent_Id"] == parent]
        assert len(contacts) > 1
        assert {row.pop("Parent_Id") for row in of_parent} == {parent}
        assert by_id(of_parent) == contacts
    assert len(rows) == sum(map(len, wanted.values()))
    assert result["missing"] == []


def check_count(simulator: Simulator, result: int) -> None:
    cities = [lead["City"] for lead in truth(simulator, "Leads", ["City"]).values()]
    assert 0 < result == cities.count(CITY)
    assert simulator.writes == []


def _rows(simulator: Simulator, result: dict[str, Any]) -> list[dict[str, Any]]:
    rows = [row for file in result["files"] for row in read_records(file["path"])]
    assert result["records"] == len(rows)
    assert simulator.writes == []
    return rows
