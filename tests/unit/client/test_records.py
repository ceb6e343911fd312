from __future__ import annotations

from datetime import datetime, timedelta, timezone
from itertools import islice
from urllib.parse import parse_qsl, urlsplit

import pytest

from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoNotFoundError,
    ZohoPaginationLimitError,
    ZohoResponseError,
    ZohoValidationError,
)

OLD, NEW = ["v2", "v2.1"], ["v3", "v4", "v5", "v6", "v7", "v8"]
BASE = 1306462000000000000
LIMIT = (
    400,
    {
        "code": "DISCRETE_PAGINATION_LIMIT_EXCEEDED",
        "details": {"limit": 2000},
        "message": "You can only get the first 2000 records without using page_token param",
        "status": "error",
    },
    {},
)


def rows(start, count, **values):
    return [{"id": str(BASE + number), **values} for number in range(start, start + count)]


def page(records, more=False, token=None, number=1):
    info = {"per_page": 200, "count": len(records), "page": number, "more_records": more}
    return {"data": records, "info": info | ({"next_page_token": token} if token or not more else {})}


def ids(records):
    return [record["id"] for record in records]


def wanted(call):
    return call.query["ids"].split(",")


# Pages


@pytest.mark.parametrize("version", NEW)
def test_from_v3_on_pages_follow_each_other_by_token_from_the_first_on(zoho, version):
    zoho.answer(
        "GET",
        f"/crm/{version}/Leads",
        page(rows(0, 200), True, "t1"),
        page(rows(200, 200), True, "t2"),
        page(rows(400, 5)),
    )
    found = list(
        zoho.client(version).get_records("Leads", ["Last_Name", "Email"], sort_by="id", sort_order="asc")
    )
    assert ids(found) == ids(rows(0, 405))
    same = {"fields": "Last_Name,Email", "sort_by": "id", "sort_order": "asc", "per_page": "200"}
    assert [call.query for call in zoho.calls] == [
        same,
        same | {"page_token": "t1"},
        same | {"page_token": "t2"},
    ]


@pytest.mark.parametrize("version", OLD)
def test_before_v3_pages_follow_each_other_by_number(zoho, version):
    zoho.answer("GET", f"/crm/{version}/Leads", page(rows(0, 200), True), page(rows(200, 5)))
    found = list(zoho.client(version).get_records("Leads"))
    assert ids(found) == ids(rows(0, 205))
    assert [call.query for call in zoho.calls] == [
        {"per_page": "200", "page": "1"},
        {"per_page": "200", "page": "2"},
    ]


def test_a_new_version_without_token_goes_on_by_number(zoho):
    zoho.answer("GET", "/crm/v8/Leads", page(rows(0, 200), True), page(rows(200, 1)))
    assert len(list(zoho.client().get_records("Leads", "id"))) == 201
    assert [(call.query.get("page"), call.query.get("page_token")) for call in zoho.calls] == [
        (None, None),
        ("2", None),
    ]


@pytest.mark.parametrize("status", [204, 304])
def test_nothing_found_and_nothing_changed_are_empty(zoho, status):
    zoho.answer("GET", "/crm/v8/Leads", (status, None, {}))
    assert list(zoho.client().get_records("Leads", "id", modified_since="2026-01-31T00:00:00Z")) == []


def test_a_walk_that_empties_on_the_way_ends(zoho):
    zoho.answer("GET", "/crm/v8/Leads", page(rows(0, 200), True, "t"), None)
    assert len(list(zoho.client().get_records("Leads", "id"))) == 200


def test_a_walk_that_would_never_end_is_an_error(zoho):
    zoho.answer("GET", "/crm/v8/Leads", page([], True), page([], True))
    with pytest.raises(ZohoResponseError, match="more records"):
        list(zoho.client().get_records("Leads", "id"))
    assert len(zoho.calls) == 1


def test_past_100000_the_error_names_bulk_read_and_what_was_read_is_kept(zoho):
    limit = {"code": "PAGINATION_LIMIT_EXCEEDED", "details": {"param_name": "page_token"}, "message": "m"}
    zoho.answer("GET", "/crm/v8/Leads", page(rows(0, 200), True, "t1"), (400, limit, {}))
    records = zoho.client().get_records("Leads", "id")
    assert len(list(islice(records, 200))) == 200
    with pytest.raises(ZohoPaginationLimitError, match="ZohoBulkReadOperator"):
        next(records)


def test_a_page_that_fails_for_a_moment_is_repeated_not_skipped(zoho):
    zoho.answer(
        "GET",
        "/crm/v8/Leads",
        page(rows(0, 200), True, "t1"),
        (500, {}, {}),
        (200, b'{"data":[{"id', {}),
        page(rows(200, 10)),
    )
    assert ids(zoho.client().get_records("Leads", "id")) == ids(rows(0, 210))
    assert [call.query.get("page_token") for call in zoho.calls] == [None, "t1", "t1", "t1"]


def test_pages_are_asked_for_only_when_their_records_are(zoho):
    zoho.answer("GET", "/crm/v8/Leads", page(rows(0, 200), True, "t1"), page(rows(200, 200), True, "t2"))
    records = zoho.client().get_records("Leads", "id")
    assert zoho.requests == []
    assert len(list(islice(records, 200))) == 200
    assert len(zoho.calls) == 1
    next(records)
    assert len(zoho.calls) == 2


@pytest.mark.parametrize(
    ("wanted_records", "per_page", "calls"), [(1, "1", 1), (199, "199", 1), (200, "200", 1), (201, "200", 2)]
)
def test_max_records_ends_the_walk_without_a_call_too_many(zoho, wanted_records, per_page, calls):
    size = int(per_page)
    zoho.answer("GET", "/crm/v8/Leads", page(rows(0, size), True, "t1"), page(rows(size, size), True, "t2"))
    assert len(list(zoho.client().get_records("Leads", "id", max_records=wanted_records))) == wanted_records
    assert [call.query["per_page"] for call in zoho.calls] == [per_page] * calls


# Parameters on the wire


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"converted": True}, {"converted": "true"}),
        ({"converted": False}, {"converted": "false"}),
        ({"converted": "both", "approved": "BOTH"}, {"converted": "both", "approved": "both"}),
        ({"cvid": BASE}, {"cvid": str(BASE)}),
        (
            {"sort_by": "Modified_Time", "sort_order": "desc"},
            {"sort_by": "Modified_Time", "sort_order": "desc"},
        ),
        ({"page_size": 7}, {"per_page": "7"}),
        ({}, {}),
    ],
)
def test_parameters_are_sent_as_documented_and_no_others(zoho, given, sent):
    zoho.answer("GET", "/crm/v8/Leads", None)
    list(zoho.client().get_records("Leads", "id", **given))
    assert zoho.calls[0].query == {"fields": "id", "per_page": "200"} | sent


@pytest.mark.parametrize("module", ["Deals", "Contacts", "Accounts"])
def test_territory_parameters(zoho, module):
    zoho.answer("GET", f"/crm/v8/{module}", None)
    list(zoho.client().get_records(module, "id", territory_id="42", include_child=True))
    assert zoho.calls[0].query == {
        "fields": "id",
        "per_page": "200",
        "territory_id": "42",
        "include_child": "true",
    }


@pytest.mark.parametrize(
    ("moment", "sent"),
    [
        ("2019-07-25T15:26:49+05:30", "2019-07-25T15:26:49+05:30"),
        ("2019-07-25T15:26:49.123456Z", "2019-07-25T15:26:49+00:00"),
        (
            datetime(2019, 7, 25, 15, 26, 49, 999, tzinfo=timezone(timedelta(hours=-3))),
            "2019-07-25T15:26:49-03:00",
        ),
    ],
)
def test_modified_since_goes_on_every_page_in_zohos_form(zoho, moment, sent):
    zoho.answer("GET", "/crm/v8/Leads", page(rows(0, 200), True, "t1"), page(rows(200, 1)))
    list(zoho.client().get_records("Leads", "id", modified_since=moment))
    assert [call.headers["If-Modified-Since"] for call in zoho.calls] == [sent, sent]


def test_without_modified_since_there_is_no_header(zoho):
    zoho.answer("GET", "/crm/v8/Leads", None)
    list(zoho.client().get_records("Leads", "id"))
    assert "If-Modified-Since" not in zoho.calls[0].headers


def test_old_versions_sort_by_any_field(zoho):
    zoho.answer("GET", "/crm/v2/Leads", None)
    list(zoho.client("v2").get_records("Leads", "id", sort_by="Last_Name", cvid="5"))
    assert zoho.calls[0].query["sort_by"] == "Last_Name"


# Validation


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("Leads/deleted", {}),
        ("Activities", {}),
        ("Leads", {"fields": "a b"}),
        ("Leads", {"fields": []}),
        ("Leads", {"sort_by": "Last_Name"}),
        ("Leads", {"sort_order": "up"}),
        ("Leads", {"sort_by": "id", "cvid": "1"}),
        ("Leads", {"cvid": "my view"}),
        ("Leads", {"converted": "maybe"}),
        ("Leads", {"approved": 1}),
        ("Leads", {"territory_id": "1"}),
        ("Leads", {"include_child": False}),
        ("Leads", {"ids": []}),
        ("Leads", {"ids": "1,x"}),
        ("Leads", {"ids": [1.0]}),
        ("Leads", {"modified_since": "yesterday"}),
        ("Leads", {"modified_since": 5}),
        ("Leads", {"page_size": 0}),
        ("Leads", {"page_size": 201}),
        ("Leads", {"page_size": "200"}),
        ("Leads", {"page_size": True}),
        ("Leads", {"page_size": "200", "max_records": 5}),
        ("Leads", {"page_size": 201, "max_records": 5}),
        ("Leads", {"max_records": 0}),
        ("Leads", {"max_records": -1}),
        ("Leads", {"max_records": 1.5}),
    ],
)
def test_what_cannot_be_right_fails_at_the_call_and_sends_nothing(zoho, module, options):
    client = zoho.client()
    with pytest.raises(ZohoValidationError):
        client.get_records(module, **{"fields": "id"} | options)
    assert zoho.requests == []


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.search_records("Leads"),
        lambda client: client.search_records("Leads", email="a@b", word="c"),
        lambda client: client.search_records("Leads", word="c", page_size=500),
        lambda client: client.search_records("Leads", word="c", max_records=0),
        lambda client: client.search_records("Leads", word="c", converted="x"),
        lambda client: client.search_records("Leads", word="c", fields=[f"F{n}" for n in range(51)]),
        lambda client: client.search_records("a/b", word="c"),
        lambda client: client.get_deleted_records("Leads", "gone"),
        lambda client: client.get_deleted_records("a/b"),
        lambda client: client.get_deleted_records("Leads", modified_since="x"),
        lambda client: client.get_related_records("Leads", "1", "Notes"),
        lambda client: client.get_related_records("Leads", "x", "Notes", "id"),
        lambda client: client.get_related_records("Leads", "1", "Notes/1", "id"),
        lambda client: client.get_related_records("Leads", "1", "Notes", [f"F{n}" for n in range(51)]),
        lambda client: client.get_deleted_record_related_records("Leads", "1", "Notes", None),
        lambda client: client.get_deleted_record_related_records("Leads", "x", "Notes", "id"),
        lambda client: client.get_record("Leads", "../1"),
        lambda client: client.get_record("Leads", "1", "a b"),
        lambda client: client.count_records("Leads", cvid="1", word="x"),
        lambda client: client.count_records("a/b"),
        lambda client: client.get_fields("a&b"),
    ],
)
def test_every_reading_call_checks_before_it_sends(zoho, call):
    with pytest.raises(ZohoValidationError):
        call(zoho.client())
    assert zoho.requests == []


@pytest.mark.parametrize("version", OLD + NEW[:-1])
def test_related_records_of_a_deleted_record_are_of_v8(zoho, version):
    with pytest.raises(ZohoValidationError, match="v8"):
        zoho.client(version).get_deleted_record_related_records("Leads", "1", "Notes", "id")
    assert zoho.requests == []


# Ids


@pytest.mark.parametrize("version", ["v8", "v2"])
def test_ids_are_read_100_at_a_time(zoho, version):
    zoho.answer("GET", f"/crm/{version}/Leads", page(rows(0, 100)), page(rows(100, 100)), page(rows(200, 50)))
    given = ids(rows(0, 250))
    found = list(zoho.client(version).get_records("Leads", "Email", ids=[*given, given[0]]))
    assert ids(found) == given
    assert [wanted(call) for call in zoho.calls] == [given[:100], given[100:200], given[200:]]
    assert {call.query["fields"] for call in zoho.calls} == {"Email"}


def test_ids_may_come_as_text_or_numbers(zoho):
    zoho.answer("GET", "/crm/v8/Leads", page(rows(0, 2)))
    list(zoho.client().get_records("Leads", "id", ids=f"{BASE}, {BASE + 1}"))
    zoho.answer("GET", "/crm/v8/Leads", page(rows(0, 2)))
    list(zoho.client().get_records("Leads", "id", ids=[BASE, BASE + 1]))
    assert [wanted(call) for call in zoho.calls] == [ids(rows(0, 2))] * 2


@pytest.mark.parametrize("code", ["LIMIT_EXCEEDED", "INVALID_DATA", "PATTERN_NOT_MATCHED"])
def test_where_zoho_takes_fewer_ids_they_go_50_at_a_time(zoho, code):
    refusal = (400, {"code": code, "details": {"param_name": "ids", "limit": 50}, "message": "m"}, {})
    zoho.answer("GET", "/crm/v8/Leads", refusal, page(rows(0, 50)), page(rows(50, 50)))
    assert ids(zoho.client().get_records("Leads", "id", ids=ids(rows(0, 100)))) == ids(rows(0, 100))
    assert [len(wanted(call)) for call in zoho.calls] == [100, 50, 50]


def test_another_refusal_of_a_read_by_id_is_an_error(zoho):
    zoho.answer(
        "GET", "/crm/v8/Leads", (400, {"code": "INVALID_DATA", "details": {"param_name": "fields"}}, {})
    )
    with pytest.raises(ZohoAPIError, match="fields"):
        list(zoho.client().get_records("Leads", "Nonsense", ids=ids(rows(0, 100))))


def test_ids_that_are_gone_are_left_out(zoho):
    zoho.answer("GET", "/crm/v8/Leads", None)
    assert list(zoho.client().get_records("Leads", "id", ids=["1"])) == []


@pytest.mark.parametrize(
    "options",
    [
        {"cvid": "5"},
        {"territory_id": "5"},
        {"sort_by": "id"},
        {"sort_by": "Modified_Time", "sort_order": "asc"},
    ],
)
def test_no_parameter_given_together_with_ids_is_dropped_in_silence(zoho, options):
    zoho.answer("GET", "/crm/v8/Deals", page(rows(0, 1)))
    try:
        list(zoho.client().get_records("Deals", "id", ids=[str(BASE)], **options))
    except ZohoValidationError:
        assert zoho.calls == []
    else:
        assert options.items() <= zoho.calls[0].query.items()


# All fields, and more than 50


def metadata(names, **types):
    return {"fields": [{"api_name": name, "data_type": types.get(name, "text")} for name in names]}


@pytest.mark.parametrize("version", NEW)
def test_no_fields_means_all_that_a_list_can_hold(zoho, version):
    zoho.answer(
        "GET",
        f"/crm/{version}/settings/fields",
        metadata(["id", "Last_Name", "Items"], Items="subform"),
    )
    zoho.answer("GET", f"/crm/{version}/Leads", page(rows(0, 1)))
    list(zoho.client(version).get_records("Leads"))
    settings, listing = zoho.calls
    assert settings.query == {"module": "Leads", "type": "all"}
    assert listing.query == {"fields": "id,Last_Name", "per_page": "200"}


def test_fields_are_looked_up_lazily_and_once(zoho):
    zoho.answer("GET", "/crm/v8/settings/fields", metadata(["id"]))
    zoho.answer("GET", "/crm/v8/Leads", page(rows(0, 200), True, "t"), page(rows(200, 1)))
    records = zoho.client().get_records("Leads")
    assert zoho.requests == []
    assert len(list(records)) == 201
    assert [call.path for call in zoho.calls].count("/crm/v8/settings/fields") == 1


WIDE = ["Modified_Time", *[f"F{number}" for number in range(120)]]
THEN, NOW = "2026-01-31T04:05:06+00:00", "2026-01-31T04:05:07+00:00"


def narrow(call, number, moment=THEN):
    return {"id": str(BASE + number)} | {
        name: moment if name == "Modified_Time" else f"{name}-{number}" for name in call if name != "id"
    }


def serve_wide(zoho, count=150, gone=(), changed=()):
    """A module of ``count`` records; some change or go after the first group of fields was read."""

    def listing(request, context):
        asked_for = dict(parse_qsl(urlsplit(request.url).query))
        names = asked_for["fields"].split(",")
        assert len(names) == len(set(names)) <= 50
        if "ids" not in asked_for:
            return page([narrow(names, number) for number in range(count)])
        asked = [int(one) - BASE for one in asked_for["ids"].split(",")]
        assert len(asked) <= 100
        # In another order than asked for.
        return page(
            [
                narrow(names, number, NOW if number in changed else THEN)
                for number in reversed(asked)
                if number not in gone
            ]
        )

    zoho.mocker.get("https://www.zohoapis.com/crm/v8/Leads", json=listing)
    for number in changed:
        record = narrow(WIDE, number, NOW) | {"Subform": [], "$approved": True}
        zoho.answer("GET", f"/crm/v8/Leads/{BASE + number}", page([record]))
    for number in gone:
        zoho.answer("GET", f"/crm/v8/Leads/{BASE + number}", None)


def test_more_than_50_fields_are_read_in_groups_and_joined_by_id(zoho):
    serve_wide(zoho)
    found = list(zoho.client().get_records("Leads", WIDE))
    assert found == [narrow(["id", *WIDE], number) for number in range(150)]
    # One list, and for each of the two further groups 100 ids and the other 50.
    assert len(zoho.calls) == 1 + 2 * 2


def test_a_record_changed_between_two_groups_is_read_again_whole(zoho):
    serve_wide(zoho, 3, changed=[1])
    found = list(zoho.client().get_records("Leads", WIDE))
    expected = [narrow(["id", *WIDE], number, NOW if number == 1 else THEN) for number in range(3)]
    assert found == expected


def test_a_record_deleted_between_two_groups_is_left_out_and_never_half(zoho):
    serve_wide(zoho, 3, gone=[0, 2])
    assert list(zoho.client().get_records("Leads", WIDE)) == [narrow(["id", *WIDE], 1)]


def test_wide_records_by_id(zoho):
    serve_wide(zoho, 3)
    found = list(zoho.client().get_records("Leads", WIDE, ids=ids(rows(0, 2))))
    assert sorted(found, key=lambda one: one["id"]) == [narrow(["id", *WIDE], number) for number in range(2)]


def test_exactly_50_fields_are_one_call(zoho):
    names = [f"F{number}" for number in range(50)]
    zoho.answer("GET", "/crm/v8/Leads", page(rows(0, 1)))
    list(zoho.client().get_records("Leads", names))
    assert zoho.calls[0].query["fields"] == ",".join(names)


def test_old_versions_take_any_number_of_fields_at_once(zoho):
    zoho.answer("GET", "/crm/v2/Leads", page(rows(0, 1)))
    list(zoho.client("v2").get_records("Leads", WIDE))
    assert zoho.calls[0].query["fields"].split(",") == WIDE


# v2 past 2,000 records


def legacy(zoho, version, total, pages_allowed=10):
    allowed = [page(rows(number * 200, 200), True, number=number + 1) for number in range(pages_allowed)]
    zoho.answer("GET", f"/crm/{version}/Leads", *allowed, LIMIT, *by_id(total, 2000))


def by_id(total, start):
    return [page(rows(at, min(100, total - at))) for at in range(start, total, 100)]


def keyset(total, size=200):
    found = [{"data": rows(at, min(size, total - at)), "info": {}} for at in range(0, total, size)]
    return found if total % size else [*found, None]


@pytest.mark.parametrize("version", OLD)
@pytest.mark.parametrize("total", [2001, 2350, 2400])
def test_past_2000_records_v2_goes_on_by_coql(zoho, version, total):
    legacy(zoho, version, total)
    zoho.answer("POST", f"/crm/{version}/coql", *keyset(total))
    found = ids(zoho.client(version).get_records("Leads", ["Email"], converted="both"))
    assert len(found) == len(set(found)) == total
    assert set(found) == set(ids(rows(0, total)))
    queries = [call.json["select_query"] for call in zoho.calls if call.path.endswith("/coql")]
    assert queries[0] == "select id from Leads where id > '0' order by id asc limit 200"
    assert queries[1] == f"select id from Leads where id > '{BASE + 199}' order by id asc limit 200"
    for call in zoho.calls:
        if "ids" in call.query:
            assert (call.query["fields"], call.query["converted"]) == ("Email", "both")


def test_the_coql_walk_keeps_modified_since(zoho):
    legacy(zoho, "v2", 2001)
    zoho.answer("POST", "/crm/v2/coql", *keyset(2001))
    list(zoho.client("v2").get_records("Leads", modified_since="2026-01-31T00:00:00Z"))
    queries = [call.json["select_query"] for call in zoho.calls if call.path.endswith("/coql")]
    assert all("and Modified_Time >= '2026-01-31T00:00:00+00:00'" in query for query in queries)


def test_where_zoho_does_not_limit_v2_no_coql_is_needed(zoho):
    pages_ = [page(rows(number * 200, 200), number < 14) for number in range(15)]
    zoho.answer("GET", "/crm/v2/Leads", *pages_)
    assert ids(zoho.client("v2").get_records("Leads")) == ids(rows(0, 3000))


@pytest.mark.parametrize(
    ("module", "options"),
    [("Leads", {"sort_by": "Last_Name"}), ("Leads", {"cvid": "1"}), ("Leads", {"sort_order": "asc"})],
)
def test_what_coql_cannot_say_ends_with_the_ways_out(zoho, module, options):
    legacy(zoho, "v2", 2000)
    records = zoho.client("v2").get_records(module, **options)
    assert len(list(islice(records, 2000))) == 2000
    with pytest.raises(ZohoPaginationLimitError) as caught:
        next(records)
    for part in ("DISCRETE_PAGINATION_LIMIT_EXCEEDED", "api_version", "ZohoBulkReadOperator", *options):
        assert part in str(caught.value)
    assert not [call for call in zoho.calls if call.path.endswith("/coql")]


@pytest.mark.parametrize(
    "refusal",
    [
        (401, {"code": "OAUTH_SCOPE_MISMATCH", "message": "Unauthorized"}, {}),
        (403, {"code": "NO_PERMISSION", "message": "Permission denied"}, {}),
        (400, {"code": "INVALID_MODULE", "message": "the given module is not supported in api"}, {}),
    ],
)
def test_where_coql_is_not_allowed_the_error_says_so_and_how_to_go_on(zoho, refusal):
    legacy(zoho, "v2", 2000)
    zoho.answer("POST", "/crm/v2/coql", refusal)
    records = zoho.client("v2").get_records("Leads")
    assert len(list(islice(records, 2000))) == 2000
    with pytest.raises(ZohoPaginationLimitError) as caught:
        next(records)
    for part in (refusal[1]["code"], "api_version", "ZohoBulkReadOperator"):
        assert part in str(caught.value)
    assert caught.value.code == "DISCRETE_PAGINATION_LIMIT_EXCEEDED"


def test_records_that_move_to_the_next_page_of_v2_come_once(zoho):
    zoho.answer("GET", "/crm/v2/Leads", page(rows(0, 200), True), page([*rows(198, 2), *rows(200, 3)]))
    assert ids(zoho.client("v2").get_records("Leads")) == ids(rows(0, 203))


# One record, search, deleted, related, count, metadata


def test_one_record_with_its_subforms(zoho):
    record = rows(0, 1)[0] | {"Items": [{"id": "1"}]}
    zoho.answer("GET", f"/crm/v8/Leads/{BASE}", {"data": [record]})
    assert zoho.client().get_record("Leads", BASE) == record
    assert zoho.calls[0].query == {}


def test_an_unknown_record_is_none(zoho):
    zoho.answer("GET", "/crm/v8/Leads/1", None)
    assert zoho.client().get_record("Leads", "1", "Email") is None
    assert zoho.calls[0].query == {"fields": "Email"}


@pytest.mark.parametrize(
    ("term", "value"),
    [("criteria", "((Last_Name:equals:O'Neil & Sons)and(City:starts_with:San+))"), ("email", "a+b@c.io"),
     ("phone", "+49 30"), ("word", "ü%&=")],
)  # fmt: skip
def test_a_search_reaches_zoho_unchanged_and_goes_by_number(zoho, term, value):
    zoho.answer("GET", "/crm/v8/Leads/search", page(rows(0, 200), True, "t"), page(rows(200, 1)))
    found = list(zoho.client().search_records("Leads", **{term: value}, fields="id,Email", converted=True))
    assert len(found) == 201
    same = {term: value, "fields": "id,Email", "converted": "true", "per_page": "200"}
    assert [call.query for call in zoho.calls] == [same | {"page": "1"}, same | {"page": "2"}]


def test_a_search_past_2000_records_names_the_way_out(zoho):
    zoho.answer("GET", "/crm/v8/Leads/search", (400, {"code": "LIMIT_REACHED", "message": "m"}, {}))
    with pytest.raises(ZohoPaginationLimitError, match="COQL"):
        list(zoho.client().search_records("Leads", word="x"))


@pytest.mark.parametrize("kind", ["all", "recycle", "permanent"])
def test_deleted_records(zoho, kind):
    items = [
        {
            "id": "1",
            "display_name": "Patricia",
            "type": "recycle",
            "deleted_by": {"id": "9"},
            "created_by": {"id": "9"},
        },
        {"id": "2", "display_name": None, "type": "permanent", "deleted_by": None, "created_by": None},
    ]
    zoho.answer("GET", "/crm/v8/Leads/deleted", page(items[:1], True), page(items[1:]))
    found = list(zoho.client().get_deleted_records("Leads", kind, "2026-01-31T00:00:00Z"))
    assert found == items
    assert [call.query for call in zoho.calls] == [
        {"type": kind, "per_page": "200", "page": str(number)} for number in (1, 2)
    ]
    assert {call.headers["If-Modified-Since"] for call in zoho.calls} == {"2026-01-31T00:00:00+00:00"}


def test_no_deleted_records(zoho):
    zoho.answer("GET", "/crm/v8/Leads/deleted", None)
    assert list(zoho.client().get_deleted_records("Leads")) == []
    assert zoho.calls[0].query["type"] == "all"


def test_related_records(zoho):
    zoho.answer("GET", "/crm/v8/Accounts/1/Contacts", page(rows(0, 200), True, "t"), page(rows(200, 1)))
    assert len(list(zoho.client().get_related_records("Accounts", "1", "Contacts", "id,Email"))) == 201
    same = {"fields": "id,Email", "per_page": "200"}
    assert [call.query for call in zoho.calls] == [same, same | {"page_token": "t"}]


def test_related_records_of_v2_need_no_fields(zoho):
    zoho.answer("GET", "/crm/v2/Accounts/1/Contacts", page(rows(0, 1)))
    assert len(list(zoho.client("v2").get_related_records("Accounts", "1", "Contacts"))) == 1
    assert zoho.calls[0].query == {"per_page": "200", "page": "1"}


def test_related_records_of_a_deleted_record(zoho):
    info = {"per_page": 200, "count": 1, "page": 1, "more_records": False, "next_page_token": None}
    item = {"id": "5", "Email": "a@b", "$member_info": {"id": "6"}}
    zoho.answer("GET", "/crm/v8/Campaigns/deleted/1/Leads", {"data": [item], "info": info})
    assert list(zoho.client().get_deleted_record_related_records("Campaigns", "1", "Leads", "Email")) == [
        item
    ]
    assert zoho.calls[0].query["fields"] == "Email"


@pytest.mark.parametrize("index", [1, 2])
def test_a_wrong_relation_shows_what_zoho_says(zoho, index):
    body = {
        "code": "INVALID_DATA",
        "details": {"resource_path_index": index},
        "message": "seems to be invalid",
    }
    zoho.answer("GET", "/crm/v8/Accounts/1/Nothing", (400, body, {}))
    with pytest.raises(ZohoAPIError, match="seems to be invalid"):
        list(zoho.client().get_related_records("Accounts", "1", "Nothing", "id"))


@pytest.mark.parametrize(
    ("answer", "count"), [({"count": 42}, 42), ({"count": "42"}, 42), ({"count": 0}, 0), (None, 0)]
)
def test_the_count_is_a_number_however_zoho_types_it(zoho, answer, count):
    zoho.answer("GET", "/crm/v8/Leads/actions/count", answer)
    assert zoho.client().count_records("Leads", criteria="(City:equals:X)") == count
    assert zoho.calls[0].query == {"criteria": "(City:equals:X)"}


@pytest.mark.parametrize("answer", [{"count": "many"}, {"count": None}, {"count": []}])
def test_a_count_that_is_none_is_an_error(zoho, answer):
    zoho.answer("GET", "/crm/v8/Leads/actions/count", answer)
    with pytest.raises(ZohoResponseError):
        zoho.client().count_records("Leads", cvid="5")


def test_metadata(zoho):
    zoho.answer("GET", "/crm/v8/settings/modules", {"modules": [{"api_name": "Leads"}]})
    zoho.answer("GET", "/crm/v8/settings/fields", metadata(["id"]))
    zoho.answer("GET", "/crm/v8/org", {"org": [{"company_name": "Zylker", "zgid": "1"}]})
    client = zoho.client()
    assert client.get_modules() == [{"api_name": "Leads"}]
    assert client.get_fields("Leads") == metadata(["id"])["fields"]
    assert client.get_organization()["company_name"] == "Zylker"


@pytest.mark.parametrize("answer", [{}, {"org": []}, {"org": None}, None])
def test_an_answer_without_organisation_is_an_error(zoho, answer):
    zoho.answer("GET", "/crm/v8/org", answer)
    with pytest.raises(ZohoResponseError):
        zoho.client().get_organization()


def test_metadata_of_another_shape_is_an_error(zoho):
    zoho.answer("GET", "/crm/v8/settings/fields", {"fields": None})
    with pytest.raises(ZohoResponseError, match="fields"):
        zoho.client().get_fields("Leads")


def test_an_unknown_module_is_not_found(zoho):
    body = {
        "code": "INVALID_MODULE",
        "details": {"resource_path_index": 0},
        "message": "the module name given",
    }
    zoho.answer("GET", "/crm/v8/Potentials", (400, body, {}))
    with pytest.raises(ZohoNotFoundError, match="Deals, not Potentials"):
        list(zoho.client().get_records("Potentials", "id"))


def test_ids_are_named_as_zoho_names_them(zoho):
    zoho.answer("GET", "/crm/v8/Accounts/5/Contacts", None)
    zoho.answer("GET", "/crm/v8/Accounts/deleted/5/Contacts", None)
    zoho.answer("GET", "/crm/v8/Accounts/5", None)
    client = zoho.client()
    assert not list(
        client.get_related_records("Accounts", record_id="5", related_list="Contacts", fields="id")
    )
    more = {"deleted_record_id": "5", "related_list": "Contacts", "fields": "id"}
    assert not list(client.get_deleted_record_related_records("Accounts", **more))
    assert client.get_record("Accounts", record_id="5") is None
