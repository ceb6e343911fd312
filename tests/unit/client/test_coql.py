from __future__ import annotations

import pytest

from airflow_provider_zohocrm.client.coql import checked_query, has_limit, literal, paged
from airflow_provider_zohocrm.exceptions import ZohoScopeError, ZohoValidationError

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
    assert [call.json for call in zoho.calls] == [
        {"select_query": f"{ALL} order by id asc limit {offset}, {size}"} for offset in (0, size, 2 * size)
    ]


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
