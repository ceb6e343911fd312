from __future__ import annotations

from typing import Any

import pytest

from simulator.wire import Zoho, flat


def run(zoho: Zoho, query: str, version: str = "v8") -> Any:
    return zoho.post(f"/crm/{version}/coql", {"select_query": query})


def ids(zoho: Zoho, where: str) -> list[str]:
    answer = run(zoho, f"select id from Leads where {where} order by id asc limit 2000")
    return [] if answer.status_code == 204 else [record["id"] for record in answer.json()["data"]]


CONDITIONS = [
    ("Lead_Status = 'Contacted'", lambda r: r["Lead_Status"] == "Contacted"),
    ("Lead_Status != 'Contacted'", lambda r: r["Lead_Status"] != "Contacted"),
    ("No_of_Employees > 12", lambda r: (r["No_of_Employees"] or 0) > 12),
    ("No_of_Employees <= 1", lambda r: r["No_of_Employees"] is not None and r["No_of_Employees"] <= 1),
    ("Company in ('Acme', 'Zylker')", lambda r: r["Company"] in ("Acme", "Zylker")),
    ("Company not in ('Acme', 'Zylker')", lambda r: r["Company"] not in ("Acme", "Zylker")),
    ("Created_Time between '2023-01-01T06:00:00+05:30' and '2023-01-01T09:00:00+05:30'",
     lambda r: "2023-01-01T06:00:00+05:30" <= r["Created_Time"] <= "2023-01-01T09:00:00+05:30"),
    ("Company like 'Zyl%'", lambda r: r["Company"].startswith("Zyl")),
    ("Company like '%Sons'", lambda r: r["Company"].endswith("Sons")),
    ("Company like '%est%'", lambda r: "est" in r["Company"]),
    ("City is null", lambda r: not r["City"]),
    ("City is not null", lambda r: bool(r["City"])),
    ("Last_Name = 'O\\'Neill'", lambda r: r["Last_Name"] == "O'Neill"),
    ("not (Email_Opt_Out = true)", lambda r: not r["Email_Opt_Out"]),
    ("(Company = 'Acme' or Company = 'Zylker') and Email_Opt_Out = false",
     lambda r: r["Company"] in ("Acme", "Zylker") and not r["Email_Opt_Out"]),
    ("Created_Time > '2023-01-01T12:00:00+05:30' or Company = 'Acme'",
     lambda r: r["Created_Time"] > "2023-01-01T12:00:00+05:30" or r["Company"] == "Acme"),
    ("Company = 'Acme' and (Created_Time > '2023-01-01T12:00:00+05:30' or Created_Time < '2023-01-01T07:00:00+05:30')",
     lambda r: r["Company"] == "Acme"
     and (r["Created_Time"] > "2023-01-01T12:00:00+05:30" or r["Created_Time"] < "2023-01-01T07:00:00+05:30")),
    ("not Created_Time > '2023-01-01T12:00:00+05:30'", lambda r: r["Created_Time"] <= "2023-01-01T12:00:00+05:30"),
    ("Owner.last_name = 'Kumar'", lambda r: r["Owner"]["name"].endswith("Kumar")),
    ("Languages = 'Deutsch'", lambda r: "Deutsch" in r["Languages"]),
]  # fmt: skip


@pytest.mark.parametrize(("where", "holds"), CONDITIONS, ids=[where for where, _ in CONDITIONS])
def test_conditions(zoho: Zoho, where: str, holds: Any):
    wanted = [record["id"] for record in zoho.simulator.table("Leads") if holds(record)]
    assert ids(zoho, where) == wanted
    assert 0 < len(wanted) < 450


def test_answer(zoho: Zoho):
    answer = run(
        zoho,
        "select Last_Name, Partner.Account_Name, Owner from Leads where id is not null order by id limit 2",
    )
    truth = list(zoho.simulator.table("Leads"))[:2]
    assert answer.json() == {
        "data": [
            {
                "Last_Name": record["Last_Name"],
                "Partner.Account_Name": record["Partner"]["name"],
                "Owner": record["Owner"],
                "id": record["id"],
            }
            for record in truth
        ],
        "info": {"count": 2, "more_records": True},
    }
    empty = run(zoho, "select id from Leads where Last_Name = 'nobody'")
    assert (empty.status_code, empty.content) == (204, b"")


def test_keyset_walk(zoho: Zoho):
    got, last = [], "0"
    while True:
        body = run(zoho, f"select id from Leads where id > '{last}' order by id asc limit 100").json()
        got += [record["id"] for record in body["data"]]
        last = got[-1]
        if not body["info"]["more_records"]:
            break
    assert got == zoho.ids("Leads")


@pytest.mark.parametrize("form", ["limit {offset}, 100", "limit 100 offset {offset}"])
def test_offsets(zoho: Zoho, form: str):
    got = []
    for offset in range(0, 450, 100):
        limits = form.format(offset=offset)
        body = run(zoho, f"select id from Leads where id is not null order by id {limits}").json()
        got += [record["id"] for record in body["data"]]
    assert got == zoho.ids("Leads")


def test_order_by_other_fields(zoho: Zoho):
    body = run(
        zoho,
        "select Company, Email from Leads where Email is not null order by Company desc, Email asc limit 2000",
    )
    pairs = [(record["Company"], record["Email"]) for record in body.json()["data"]]
    wanted = sorted(pairs, key=lambda pair: pair[1])
    wanted.sort(key=lambda pair: pair[0].lower(), reverse=True)
    assert pairs == wanted


def test_default_limit_and_the_limits_of_versions(zoho: Zoho):
    assert run(zoho, "select id from Leads where id is not null").json()["info"] == {
        "count": 200,
        "more_records": True,
    }
    assert run(zoho, "select id from Leads where id is not null limit 2000").json()["info"]["count"] == 450
    for version, limit in (("v8", 2001), ("v2", 201), ("v2.1", 201)):
        answer = run(zoho, f"select id from Leads where id is not null limit {limit}", version)
        assert answer.status_code == 400
        assert answer.json() == flat(
            "INVALID_QUERY", "limit given seems to be invalid", {"limit": str(limit)}
        )


def test_aggregates_and_groups(zoho: Zoho):
    query = (
        "select Industry, count(id) as n, sum(Annual_Revenue), min(Score), max(Score), avg(No_of_Employees) "
        "from Leads where id is not null group by Industry order by Industry"
    )
    data = run(zoho, query).json()["data"]
    groups: dict[str | None, list[dict[str, Any]]] = {}
    for record in zoho.simulator.table("Leads"):
        groups.setdefault(record["Industry"], []).append(record)
    assert {one["Industry"] for one in data} == set(groups)
    for one in data:
        members = groups[one["Industry"]]
        scores = [m["Score"] for m in members if m["Score"] is not None]
        staff = [m["No_of_Employees"] for m in members if m["No_of_Employees"] is not None]
        assert one["n"] == len(members)
        assert one["SUM(Annual_Revenue)"] == pytest.approx(sum(m["Annual_Revenue"] or 0 for m in members))
        assert (one["MIN(Score)"], one["MAX(Score)"]) == (min(scores), max(scores))
        assert one["AVG(No_of_Employees)"] == pytest.approx(sum(staff) / len(staff))
    assert run(zoho, "select count(id) from Leads where id is not null").json()["data"] == [
        {"COUNT(id)": 450}
    ]


ERRORS = [
    ("select id from Leads", flat("SYNTAX_ERROR", "missing clause", {"clause": "where"})),
    ("select id, from Leads where id > 1", flat("SYNTAX_ERROR", "unexpected token", {"line": 1, "column": 12, "near": "from"})),
    ("select id from Leads where", flat("SYNTAX_ERROR", "error occured while parsing the query", {"near": "where"})),
    ("select id from Leads where id > 1 limit s", flat("INVALID_QUERY", "limit given seems to be invalid", {"limit": "s"})),
    ("select id from Nothing where id > 1", flat("INVALID_MODULE", "the given module is not supported in api")),
    ("select Nothing from Leads where id > 1", flat("INVALID_QUERY", "column given seems to be invalid", {"column_name": "Nothing"})),
    ("select City as a, State as a from Leads where id > 1", flat("DUPLICATE_ALIAS", "duplicate alias found", {"alias": "a"})),
    ("", flat("MANDATORY_NOT_FOUND", "mandatory key not found", {"api_name": "select_query"})),
]  # fmt: skip


@pytest.mark.parametrize(("query", "error"), ERRORS, ids=[str(n) for n in range(len(ERRORS))])
def test_errors(zoho: Zoho, query: str, error: dict[str, Any]):
    answer = run(zoho, query)
    assert (answer.status_code, answer.json()) == (400, error)


def test_limits_of_a_query(zoho: Zoho):
    many = ",".join(f"'{n}'" for n in range(101))
    assert run(zoho, f"select id from Leads where City in ({many})").json()["code"] == "LIMIT_EXCEEDED"
    columns = ",".join(["City"] * 51)
    assert run(zoho, f"select {columns} from Leads where id > 1").json()["code"] == "LIMIT_EXCEEDED"


def test_writes_show(zoho: Zoho):
    zoho.post("/crm/v8/Leads", {"data": [{"Last_Name": "Fresh", "Company": "Zylker"}]})
    assert len(ids(zoho, "Last_Name = 'Fresh'")) == 1


@pytest.mark.parametrize("limit", [50, 500])
def test_columns_of_a_select(zoho: Zoho, limit: int):
    zoho.simulator.options.coql_fields = limit
    names = ",".join(["City"] * limit)
    assert run(zoho, f"select {names} from Leads where id > 1").status_code == 200
    assert run(zoho, f"select {names},City from Leads where id > 1").json() == flat(
        "LIMIT_EXCEEDED", "select columns limit exceeded", {"limit": limit}
    )


def test_keyset_by_time_and_id(zoho: Zoho):
    got: list[tuple[str, str]] = []
    where = "id is not null"
    while True:
        query = (
            f"select id, Modified_Time from Leads where {where} order by Modified_Time asc, id asc limit 70"
        )
        body = run(zoho, query).json()
        got += [(record["Modified_Time"], record["id"]) for record in body["data"]]
        if not body["info"]["more_records"]:
            break
        time, last = got[-1]
        where = f"Modified_Time > '{time}' or (Modified_Time = '{time}' and id > '{last}')"
    assert got == sorted((one["Modified_Time"], one["id"]) for one in zoho.simulator.table("Leads"))


def test_counts_of_any_condition(zoho: Zoho):
    leads = list(zoho.simulator.table("Leads"))
    for where, wanted in (
        ("id is not null", 450),
        (f"id >= '{leads[200]['id']}' and Modified_Time is not null", 250),
        ("Company = 'Acme'", sum(one["Company"] == "Acme" for one in leads)),
        ("Company = 'nobody'", 0),
        (f"not (id > '{leads[9]['id']}')", 10),
        (f"id = '{leads[9]['id']}' or id = '{leads[10]['id']}'", 2),
    ):
        answer = run(zoho, f"select COUNT(id), count(*) as n from Leads where {where}").json()["data"]
        assert answer == [{"COUNT(id)": wanted, "n": wanted}]
