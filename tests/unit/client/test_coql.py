from __future__ import annotations

import pytest

from airflow_provider_zohocrm.client.coql import (
    checked_query,
    columns,
    has_limit,
    keyset,
    literal,
    module_of,
    paged,
)
from airflow_provider_zohocrm.exceptions import ZohoPaginationLimitError, ZohoScopeError, ZohoValidationError

ALL = "select Last_Name from Leads where id is not null"


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "'a'"), ("O'Neil", "'O\\'Neil'"), ("a\\", "'a\\\\'"), ("' or 1=1", "'\\' or 1=1'"), ("", "''")],
)
def test_a_literal_cannot_end_early(value, text):
    assert literal(value) == text


@pytest.mark.parametrize("query", [ALL, f"  {ALL} ; ", ALL.upper(), ALL.replace(" ", "\n")])
def test_a_query_is_taken(query):
    assert checked_query(query) == query.strip().rstrip(";").rstrip()


@pytest.mark.parametrize(
    "query",
    ["", None, 5, "Leads", "selectx from Leads where a = 1", "select a from Leads", "delete from Leads where a = 1",
     "select 'where' from Leads"],
)  # fmt: skip
def test_what_is_no_query_is_refused(query):
    with pytest.raises(ZohoValidationError):
        checked_query(query)


@pytest.mark.parametrize(
    ("query", "own"),
    [
        (ALL, False),
        (f"{ALL} limit 10", True),
        (f"{ALL} LIMIT 0, 10", True),
        ("select a from Leads where b = 'no limit here'", False),
        ("select a from Leads where b = 'it\\'s limit' ", False),
        ("select Credit_Limit from Accounts where id is not null", False),
        ("select a from Leads where b = 'x' limit 5", True),
    ],
)
def test_a_limit_of_its_own_is_seen_outside_of_texts_only(query, own):
    assert has_limit(query) is own


@pytest.mark.parametrize(
    ("query", "order"),
    [
        (ALL, " order by id asc"),
        (f"{ALL} order by Last_Name", ""),
        (f"{ALL} ORDER  BY Last_Name", ""),
        ("select a from Leads where b = 'order by x'", " order by id asc"),
        ("select count(id) from Leads where id is not null", ""),
        ("select a, sum(b) from Leads where id is not null group by a", ""),
    ],
)
def test_pages_follow_an_order(query, order):
    assert paged(query, 2000, 200) == f"{query}{order} limit 2000, 200"


def pages(*sizes, more=True):
    last = len(sizes) - 1
    return [
        {
            "data": [{"id": f"{page}{row:04}"} for row in range(size)],
            "info": {"count": size, "more_records": more and page < last},
        }
        for page, size in enumerate(sizes)
    ]


@pytest.mark.parametrize(("version", "size"), [("v8", 2000), ("v3", 2000), ("v2.1", 200), ("v2", 200)])
def test_a_query_is_read_to_its_end(zoho, version, size):
    zoho.answer("POST", f"/crm/{version}/coql", *pages(size, size, 3))
    rows = list(zoho.client(version).query(ALL))
    assert len({row["id"] for row in rows}) == 2 * size + 3
    wanted = "select Last_Name from Leads where"
    last = [f"{page}{size - 1:04}" for page in (0, 1)]
    assert [call.json["select_query"] for call in zoho.calls] == [
        f"{wanted} id is not null order by id asc limit {size}",
        *(f"{wanted} (id is not null) and id > '{one}' order by id asc limit {size}" for one in last),
    ]


@pytest.mark.parametrize("order", ["Last_Name asc", "id asc, Last_Name asc"])
def test_a_query_with_an_order_of_its_own_is_read_by_offset(zoho, order):
    zoho.answer("POST", "/crm/v8/coql", *pages(2000, 2000, 3))
    assert len(list(zoho.client().query(f"{ALL} order by {order}"))) == 4003
    assert [call.json for call in zoho.calls] == [
        {"select_query": f"{ALL} order by {order} limit {offset}, 2000"} for offset in (0, 2000, 4000)
    ]


def test_rows_without_an_id_go_on_by_offset(zoho):
    answers = pages(2000, 2000, 3)
    for answer in answers:
        answer["data"] = [{"Last_Name": "x"}] * len(answer["data"])
    zoho.answer("POST", "/crm/v8/coql", *answers)
    assert len(list(zoho.client().query(ALL))) == 4003
    assert [call.json["select_query"].partition(" limit ")[2] for call in zoho.calls] == [
        "2000",
        "2000, 2000",
        "4000, 2000",
    ]


def test_a_later_page_that_is_refused_names_the_way_out(zoho):
    refusal = {"code": "INVALID_QUERY", "details": {"offset": "2000"}, "message": "m", "status": "error"}
    zoho.answer("POST", "/crm/v8/coql", *pages(2000, 1)[:1], (400, refusal, {}))
    with pytest.raises(ZohoPaginationLimitError, match="order by"):
        list(zoho.client().query(f"{ALL} order by Last_Name"))


@pytest.mark.parametrize(
    ("query", "second"),
    [
        ("select a from Leads where b = 1 or c = 2", "(b = 1 or c = 2) and id > '9' order by id asc"),
        ("select a from Leads where b = 1 ORDER BY Id", "(b = 1) and id > '9' order by id asc"),
        ("select a from Leads where b = 1 order by id desc", "(b = 1) and id < '9' order by id desc"),
        ("select a from Leads WHERE b = 'order by c'", "(b = 'order by c') and id > '9' order by id asc"),
        (
            "select a from Leads where b = 'it\\'s where id'",
            "(b = 'it\\'s where id') and id > '9' order by id asc",
        ),
    ],
)
def test_the_next_page_begins_after_the_last_id(query, second):
    head = query[: query.lower().index("where") + 5]
    assert keyset(query).page("9", 200) == f"{head} {second} limit 200"


@pytest.mark.parametrize(
    "query",
    [
        "select a from Leads where b = 1 order by a",
        "select a from Leads where b = 1 order by id, a",
        "select a from Leads where b = 1 group by a",
        "select count(id) from Leads where b = 1",
        "select Account.id as id from Leads where b = 1",
    ],
)
def test_a_query_that_has_no_order_by_id_has_no_keyset(query):
    assert keyset(query) is None


def test_a_query_tells_its_columns_and_module():
    query = "SELECT a, b.c as d,\n count( id ) , sum(e) AS f from Leads where x = 'y, z'"
    assert columns(query) == ["a", "d", "count( id )", "f"]
    assert module_of(query) == "Leads"
    assert (columns("select"), module_of("select")) == ([], "")


def test_a_query_with_its_own_limit_is_sent_once_as_it_is(zoho):
    zoho.answer("POST", "/crm/v8/coql", *pages(5, 5))
    assert len(list(zoho.client().query(f"{ALL} limit 5;"))) == 5
    assert [call.json for call in zoho.calls] == [{"select_query": f"{ALL} limit 5"}]


def test_a_query_without_rows_is_empty(zoho):
    zoho.answer("POST", "/crm/v8/coql", None)
    assert list(zoho.client().query(ALL)) == []


def test_a_query_is_lazy_but_checked_at_once(zoho):
    zoho.answer("POST", "/crm/v8/coql", *pages(2000, 2000))
    client = zoho.client()
    rows = client.query(ALL)
    assert zoho.requests == []
    next(rows)
    assert len(zoho.calls) == 1
    with pytest.raises(ZohoValidationError):
        client.query("select x")
    assert len(zoho.calls) == 1


def test_a_query_is_repeated_after_a_passing_failure_as_it_changes_nothing(zoho):
    zoho.answer("POST", "/crm/v8/coql", (500, {}, {}), *pages(1))
    assert len(list(zoho.client().query(ALL))) == 1


def test_the_missing_scope_is_named(zoho):
    zoho.answer(
        "POST", "/crm/v8/coql", (401, {"code": "OAUTH_SCOPE_MISMATCH", "message": "Unauthorized"}, {})
    )
    with pytest.raises(ZohoScopeError, match=r"ZohoCRM\.coql\.READ"):
        list(zoho.client().query(ALL))
