from __future__ import annotations

import csv
import io
import zipfile
from typing import Any

import pytest

from simulator.wire import Zoho, flat

COLUMNS = "Parent_Id, Created_Time, Modified_Time, Product_Name, Quantity, Price, Due_On, id"
UNKNOWN = flat("INVALID_MODULE", "the given module is not supported in api")


def run(zoho: Zoho, query: str) -> Any:
    return zoho.post("/crm/v8/coql", {"select_query": query})


def rows_of(zoho: Zoho, where: str, more: str = "order by id limit 2000") -> list[dict[str, Any]]:
    answer = run(zoho, f"select {COLUMNS} from Positions where {where} {more}")
    assert answer.status_code in (200, 204), answer.text
    return answer.json()["data"] if answer.content else []


def single(zoho: Zoho, record_id: str) -> list[dict[str, Any]]:
    return zoho.get(f"/crm/v8/Leads/{record_id}").json()["data"][0]["Positions"]


def expected(zoho: Zoho) -> list[dict[str, Any]]:
    """The rows as the records show them, by id."""
    found = [row for lead in zoho.simulator.table("Leads") for row in lead["Positions"]]
    return sorted(found, key=lambda row: int(row["id"]))


def test_rows_are_those_of_the_single_records(zoho: Zoho):
    lead = next(one for one in zoho.simulator.table("Leads") if len(one["Positions"]) == 2)
    shown = single(zoho, lead["id"])
    assert [row["Parent_Id"] for row in shown] == [{"name": lead["Full_Name"], "id": lead["id"]}] * 2
    assert rows_of(zoho, f"Parent_Id = '{lead['id']}'") == shown
    assert len(expected(zoho)) == 450
    assert rows_of(zoho, "id is not null") == expected(zoho)
    assert list(zoho.simulator.table("Positions")) == expected(zoho)


@pytest.mark.parametrize(("sign", "way"), [(">", "asc"), ("<", "desc")])
def test_keyset_walk_both_ways(zoho: Zoho, sign: str, way: str):
    lead = zoho.ids("Leads")[7]
    zoho.put(f"/crm/v8/Leads/{lead}", {"data": [{"Positions": [{"Product_Name": "new", "Quantity": 7}]}]})
    got: list[dict[str, Any]] = []
    last = "0" if sign == ">" else "9" * 18 + "0"
    while page := rows_of(zoho, f"id {sign} '{last}'", f"order by id {way} limit 70"):
        got += page
        last = page[-1]["id"]
    assert got == (expected(zoho) if way == "asc" else expected(zoho)[::-1])
    assert len(got) == 450


@pytest.mark.parametrize("column", ["Modified_Time", "Created_Time"])
def test_pages_in_the_order_of_a_time(zoho: Zoho, column: str):
    got = []
    for offset in range(0, 450, 60):
        got += rows_of(zoho, "id is not null", f"order by {column} desc limit {offset}, 60")
    wanted = sorted(expected(zoho), key=lambda row: (row[column], int(row["id"])), reverse=True)
    assert [row["id"] for row in got] == [row["id"] for row in wanted]


CONDITIONS = [
    ("Parent_Id in ({0}, {1})", lambda row, ids: row["Parent_Id"]["id"] in ids[:2]),
    ("Parent_Id.id = {2}", lambda row, ids: row["Parent_Id"]["id"] == ids[2]),
    ("Quantity > 1", lambda row, _: row["Quantity"] > 1),
    ("Parent_Id.Modified_Time >= '2023-02-01T00:00:00+05:30'", lambda row, _: row["Modified_Time"] >= "2023-02-01T00:00:00+05:30"),
    ("Parent_Id.Company = 'Acme'", None),
]  # fmt: skip


@pytest.mark.parametrize(("where", "holds"), CONDITIONS, ids=[where for where, _ in CONDITIONS])
def test_conditions(zoho: Zoho, where: str, holds: Any):
    leads = [one for one in zoho.simulator.table("Leads") if one["Positions"]]
    ids = [one["id"] for one in leads]
    acme = {one["id"] for one in leads if one["Company"] == "Acme"}
    holds = holds or (lambda row, _: row["Parent_Id"]["id"] in acme)
    wanted = [row for row in expected(zoho) if holds(row, ids)]
    where = where.format(*(f"'{one}'" for one in ids[:3]))
    assert rows_of(zoho, where) == wanted
    assert 0 < len(wanted) < 450
    counted = run(zoho, f"select COUNT(id) from Positions where {where}").json()["data"]
    assert counted == [{"COUNT(id)": len(wanted)}]


def test_written_rows_show_and_go(zoho: Zoho):
    lead = next(one for one in zoho.simulator.table("Leads") if len(one["Positions"]) == 2)
    first = lead["Positions"][0]["id"]
    changed = {"Positions": [{"id": first, "Quantity": 70}, {"Product_Name": "new"}]}
    assert zoho.put(f"/crm/v8/Leads/{lead['id']}", {"data": [changed]}).status_code == 200
    rows = single(zoho, lead["id"])
    assert rows_of(zoho, f"Parent_Id = '{lead['id']}'") == rows
    assert [(row["Product_Name"], row["Quantity"]) for row in rows] == [
        ('Item 0, "boxed"', 70),
        ("new", None),
    ]
    assert rows[0]["id"] == first
    assert rows[0]["Modified_Time"] > lead["Modified_Time"]
    # Another change of the record leaves its rows alone.
    zoho.put(f"/crm/v8/Leads/{lead['id']}", {"data": [{"Company": "Zylker"}]})
    assert [row["id"] for row in single(zoho, lead["id"])] == [row["id"] for row in rows]
    zoho.put(f"/crm/v8/Leads/{lead['id']}", {"data": [{"Positions": [{"id": rows[1]["id"]}]}]})
    assert rows_of(zoho, f"Parent_Id = '{lead['id']}'") == single(zoho, lead["id"])
    assert [row["id"] for row in single(zoho, lead["id"])] == [rows[1]["id"]]
    zoho.delete("/crm/v8/Leads", {"ids": lead["id"]})
    assert rows_of(zoho, f"Parent_Id = '{lead['id']}'") == []
    assert len(rows_of(zoho, "id is not null")) == 448


def test_rows_of_new_records(zoho: Zoho):
    new = {"Last_Name": "x", "Company": "x", "Positions": [{"Product_Name": "a"}, {"Product_Name": "b"}]}
    details = zoho.post("/crm/v8/Leads", {"data": [new]}).json()["data"][0]["details"]
    rows = rows_of(zoho, f"Parent_Id = '{details['id']}'")
    assert [row["Product_Name"] for row in rows] == ["a", "b"]
    assert rows[0]["Parent_Id"] == {"name": "x", "id": details["id"]}
    assert rows == rows_of(zoho, "id is not null")[-2:]


def test_list_of_the_rows(zoho: Zoho):
    params = {"fields": "Parent_Id,Quantity", "per_page": "100", "sort_order": "asc"}
    body = zoho.get("/crm/v8/Positions", params).json()
    wanted = [{name: row[name] for name in ("Parent_Id", "Quantity", "id")} for row in expected(zoho)]
    assert body["data"] == wanted[:100]
    token = body["info"]["next_page_token"]
    assert zoho.get("/crm/v8/Positions", {**params, "page_token": token}).json()["data"] == wanted[100:200]
    some = [wanted[5], wanted[320]]
    ids = ",".join(one["id"] for one in some)
    assert zoho.get("/crm/v8/Positions", {**params, "ids": ids}).json()["data"] == some


def test_bulk_read(zoho: Zoho):
    lead = zoho.ids("Leads")[1]
    zoho.put(f"/crm/v8/Leads/{lead}", {"data": [{"Positions": [{"Quantity": 7}]}]})
    zoho.simulator.options.job_polls = 1
    query = {"module": {"api_name": "Positions"}, "fields": ["Parent_Id", "Quantity"]}
    made = zoho.post("/crm/bulk/v8/read", {"query": query}).json()["data"][0]["details"]["id"]
    assert zoho.get(f"/crm/bulk/v8/read/{made}").json()["data"][0]["result"]["count"] == 450
    packed = zipfile.ZipFile(io.BytesIO(zoho.get(f"/crm/bulk/v8/read/{made}/result").content))
    lines = list(csv.reader(io.StringIO(packed.read(f"{made}.csv").decode())))
    wanted = [[row["id"], row["Parent_Id"]["id"], str(row["Quantity"])] for row in expected(zoho)]
    assert lines == [["Id", "Parent_Id", "Quantity"], *wanted]


def test_metadata(zoho: Zoho):
    fields = zoho.get("/crm/v8/settings/fields", {"module": "Leads"}).json()["fields"]
    subform = next(one for one in fields if one["data_type"] == "subform")["subform"]
    modules = zoho.get("/crm/v8/settings/modules").json()["modules"]
    leads = next(one for one in modules if one["api_name"] == "Leads")
    rows = next(one for one in modules if one["id"] == subform["id"])
    assert (rows["api_name"], rows["generated_type"]) == (subform["module"], "subform")
    assert rows["parent_module"] == {"api_name": "Leads", "id": leads["id"]}
    described = zoho.get("/crm/v8/settings/fields", {"module": subform["module"]}).json()["fields"]
    assert {one["api_name"] for one in described} == set(COLUMNS.split(", "))
    parent = next(one for one in described if one["api_name"] == "Parent_Id")
    assert (parent["data_type"], parent["lookup"]["module"]["api_name"]) == ("lookup", "Leads")


def test_switched_off_it_is_no_module(zoho: Zoho):
    zoho.simulator.options.subform_modules = False
    assert run(zoho, "select id from Positions where id is not null").json() == UNKNOWN
    job = zoho.post("/crm/bulk/v8/read", {"query": {"module": {"api_name": "Positions"}}})
    assert job.json()["code"] == "MODULE_NOT_AVAILABLE"
    for path, params in (("settings/fields", {"module": "Positions"}), ("Positions", {"fields": "id"})):
        assert zoho.get(f"/crm/v8/{path}", params).json()["code"] == "INVALID_MODULE"
    modules = zoho.get("/crm/v8/settings/modules").json()["modules"]
    assert "subform" not in {one["generated_type"] for one in modules}


def test_rows_cannot_be_written_and_follow_the_rights_of_their_parent(zoho: Zoho):
    assert zoho.post("/crm/v8/Positions", {"data": [{"Quantity": 1}]}).json()["code"] == "INVALID_MODULE"
    zoho.simulator.options.forbidden_modules = "Leads"
    assert run(zoho, "select id from Positions where id is not null").status_code == 403


def test_rows_are_computed_and_not_stored(zoho: Zoho):
    zoho.simulator.seed({"Leads": 60_000})
    store = zoho.simulator.state.store
    assert store._db.execute("SELECT count(*) FROM r_positions").fetchone()[0] == 0
    middle = zoho.simulator.state.store.modules["Leads"].first_id + 3 * 30_001
    first = rows_of(zoho, f"Parent_Id = '{middle}'")[0]
    page = rows_of(zoho, f"id > '{first['id']}'")
    assert len(page) == 2_000
    assert page == sorted(page, key=lambda row: int(row["id"]))
    truth = zoho.simulator.record("Leads", page[-1]["Parent_Id"]["id"])
    assert truth is not None
    assert page[-1] in truth["Positions"]
