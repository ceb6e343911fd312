from __future__ import annotations

import json
from datetime import datetime, timezone
from decimal import Decimal

import pytest

from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoCRMError,
    ZohoNotFoundError,
    ZohoResponseError,
    ZohoServerError,
    ZohoTransportError,
    ZohoValidationError,
)

UPSERT = "/crm/v8/Leads/upsert"


def results(count, start=0, code="SUCCESS"):
    status = "success" if code == "SUCCESS" else "error"
    return [
        {"code": code, "status": status, "message": "m", "details": {"id": str(number), "api_name": "Email"}}
        for number in range(start, start + count)
    ]


def people(count, start=0):
    return [{"Last_Name": f"n{number}"} for number in range(start, start + count)]


# The body


@pytest.mark.parametrize(
    ("options", "beside"),
    [
        ({}, {}),
        ({"trigger": None}, {}),
        ({"trigger": []}, {"trigger": []}),
        ({"trigger": ["workflow", "approval"]}, {"trigger": ["workflow", "approval"]}),
        (
            {"trigger": ("blueprint", "pathfinder", "orchestration")},
            {"trigger": ["blueprint", "pathfinder", "orchestration"]},
        ),
        ({"duplicate_check_fields": ["Email", "Website"]}, {"duplicate_check_fields": ["Email", "Website"]}),
        ({"duplicate_check_fields": "Email, Website"}, {"duplicate_check_fields": ["Email", "Website"]}),
        (
            {"apply_feature_execution": ["layout_rules", {"name": "range_validation"}]},
            {"apply_feature_execution": [{"name": "layout_rules"}, {"name": "range_validation"}]},
        ),
        ({"skip_feature_execution": ["cadences"]}, {"skip_feature_execution": [{"name": "cadences"}]}),
        ({"lar_id": 3652397000002045001}, {"lar_id": "3652397000002045001"}),
    ],
)
def test_the_upsert_body_is_the_documented_one(zoho, options, beside):
    zoho.answer("POST", UPSERT, {"data": results(1)})
    zoho.client().upsert_records("Leads", people(1), **options)
    assert zoho.calls[0].json == {"data": people(1)} | beside
    assert zoho.calls[0].query == {}
    assert "X-EXTERNAL" not in zoho.calls[0].headers


def test_values_go_as_zoho_takes_them(zoho):
    record = {
        "Last_Name": 'Büro "x"\n=1+1',
        "When": datetime(2026, 1, 31, 4, 5, 6, 7, tzinfo=timezone.utc),
        "Amount": Decimal("10.10"),
        "Owner": {"id": "1306462000000888026"},
        "Tags": ["a"],
        "$append_values": {"Tags": True},
        "Gone": None,
    }
    zoho.answer("POST", UPSERT, {"data": results(1)})
    zoho.client().upsert_records("Leads", [record])
    sent = zoho.calls[0].json["data"][0]
    assert sent == record | {"When": "2026-01-31T04:05:06+00:00", "Amount": 10.1}
    assert b'"Amount":10.10' in zoho.calls[0].body


@pytest.mark.parametrize(
    ("operation", "method", "path"),
    [
        ("insert_records", "POST", "/crm/v8/Leads"),
        ("update_records", "PUT", "/crm/v8/Leads"),
        ("upsert_records", "POST", UPSERT),
    ],
)
def test_each_operation_goes_to_its_address_with_the_external_id_as_header(zoho, operation, method, path):
    zoho.answer(method, path, (201, {"data": results(1)}, {}))
    getattr(zoho.client(), operation)("Leads", people(1), external_id="Ext_Key", trigger=[])
    assert zoho.calls[0].headers["X-EXTERNAL"] == "Leads.Ext_Key"
    assert zoho.calls[0].json == {"data": people(1), "trigger": []}


@pytest.mark.parametrize(
    "options",
    [
        {"trigger": ["workflows"]},
        {"trigger": [None]},
        {"duplicate_check_fields": []},
        {"duplicate_check_fields": ["E mail"]},
        {"external_id": "a/b"},
        {"external_id": "a\r\nX: y"},
        {"lar_id": "x"},
    ],
)
def test_an_option_that_cannot_be_right_fails_before_any_request(zoho, options):
    with pytest.raises(ZohoValidationError):
        zoho.client().upsert_records("Leads", people(1), **options)
    assert zoho.requests == []


@pytest.mark.parametrize("module", ["Leads/upsert", "", "Le ads"])
@pytest.mark.parametrize(
    "operation", ["insert_records", "update_records", "upsert_records", "delete_records"]
)
def test_a_module_that_cannot_be_one_fails_before_any_request(zoho, operation, module):
    with pytest.raises(ZohoValidationError):
        getattr(zoho.client(), operation)(module, ["1"])
    assert zoho.requests == []


@pytest.mark.parametrize("wrong", ["text", 5, None, [], {}, ["Last_Name"]])
def test_a_record_that_is_none_is_named_by_its_place(zoho, wrong):
    with pytest.raises(ZohoValidationError, match="record 1 "):
        zoho.client().upsert_records("Leads", [{"Last_Name": "x"}, wrong])
    assert zoho.requests == []


def test_a_single_dict_is_not_taken_for_a_list_of_records(zoho):
    with pytest.raises(ZohoValidationError):
        zoho.client().upsert_records("Leads", {"Last_Name": "x"})
    assert zoho.requests == []


@pytest.mark.parametrize("value", [object(), b"bytes", 10**30, "\ud800"])
def test_a_value_that_cannot_be_sent_is_the_packages_own_error(zoho, value):
    with pytest.raises(ZohoValidationError):
        zoho.client().upsert_records("Leads", [{"Last_Name": value}])
    assert zoho.calls == []


def test_a_value_that_cannot_be_sent_does_not_lose_the_results_so_far(zoho):
    zoho.answer("POST", UPSERT, {"data": results(100)})
    with pytest.raises((ZohoValidationError, TypeError)) as caught:
        zoho.client().upsert_records("Leads", [*people(100), {"Last_Name": object()}])
    assert len(getattr(caught.value, "results", ())) == 100


# Batches and results


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (100, [100]), (101, [100, 1]), (250, [100, 100, 50])]
)
def test_records_go_in_batches_of_100_and_results_keep_their_order(zoho, count, sizes):
    starts = range(0, count, 100)
    zoho.answer(
        "POST", UPSERT, *[{"data": results(size, start)} for size, start in zip(sizes, starts, strict=True)]
    )
    found = zoho.client().upsert_records("Leads", (one for one in people(count)))
    assert [one["details"]["id"] for one in found] == [str(number) for number in range(count)]
    sent = [call.json["data"] for call in zoho.calls]
    assert [len(batch) for batch in sent] == sizes
    assert [record for batch in sent for record in batch] == people(count)


@pytest.mark.parametrize(
    ("version", "status"),
    [
        ("v8", 200),
        ("v8", 201),
        ("v8", 207),
        ("v8", 400),
        ("v8", 412),
        ("v2", 202),
        ("v2", 200),
        ("v2.1", 400),
    ],
)
def test_each_status_with_results_is_read_per_record(zoho, version, status):
    mixed = [*results(1), *results(1, 1, "INVALID_DATA"), *results(1, 2, "DUPLICATE_DATA")]
    zoho.answer("POST", f"/crm/{version}/Leads/upsert", (status, {"data": mixed}, {}))
    assert zoho.client(version).upsert_records("Leads", people(3)) == mixed


def test_all_batches_are_tried_though_all_records_of_one_are_rejected(zoho):
    zoho.answer(
        "POST",
        UPSERT,
        {"data": results(100)},
        (400, {"data": results(100, 100, "MANDATORY_NOT_FOUND")}, {}),
        {"data": results(5, 200)},
    )
    found = zoho.client().upsert_records("Leads", people(205))
    assert [one["status"] for one in found] == ["success"] * 100 + ["error"] * 100 + ["success"] * 5


@pytest.mark.parametrize("count", [0, 1, 3])
def test_another_number_of_results_is_an_error_and_not_a_guess(zoho, count):
    zoho.answer("POST", UPSERT, {"data": results(count)})
    with pytest.raises(ZohoResponseError, match="2 records"):
        zoho.client().upsert_records("Leads", people(2))


def test_an_empty_answer_to_a_write_is_an_error(zoho):
    zoho.answer("POST", UPSERT, None)
    with pytest.raises(ZohoCRMError):
        zoho.client().upsert_records("Leads", people(2))


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (
            (400, {"code": "INVALID_MODULE", "message": "m", "details": {}, "status": "error"}, {}),
            ZohoNotFoundError,
        ),
        (
            (400, {"code": "LIMIT_EXCEEDED", "message": "m", "details": {}, "status": "error"}, {}),
            ZohoAPIError,
        ),
        ((200, {"data": results(3)}, {}), ZohoResponseError),
    ],
)
def test_an_error_on_the_way_carries_the_results_so_far(zoho, answer, kind):
    zoho.answer("POST", UPSERT, {"data": results(100)}, {"data": results(100, 100)}, answer)
    with pytest.raises(kind) as caught:
        zoho.client().upsert_records("Leads", people(250))
    assert [one["details"]["id"] for one in caught.value.results] == [str(number) for number in range(200)]


def test_a_wrong_record_in_a_later_batch_carries_the_results_so_far(zoho):
    zoho.answer("POST", UPSERT, {"data": results(100)})
    with pytest.raises(ZohoValidationError, match="record 150") as caught:
        zoho.client().upsert_records("Leads", [*people(150), "wrong"])
    assert len(caught.value.results) == 100


def test_batches_are_sent_lazily(zoho):
    zoho.answer("POST", UPSERT, {"data": results(100)}, {"data": results(50, 100)})
    taken = []
    source = (taken.append(1) or one for one in people(150))
    batches = zoho.client().iter_write("upsert", "Leads", source)
    assert (taken, zoho.requests) == ([], [])
    assert len(next(batches)) == 100
    assert (len(taken), len(zoho.calls)) == (100, 1)
    assert [len(one) for one in batches] == [50]


# Repetition


@pytest.mark.parametrize(
    ("operation", "method", "path"),
    [("upsert_records", "POST", UPSERT), ("update_records", "PUT", "/crm/v8/Leads")],
)
@pytest.mark.parametrize(
    "failure", [(500, {}, {}), (503, b"<html>", {}), (200, b'{"data":[{', {}), (429, {}, {})]
)
def test_upserts_and_updates_are_repeated_with_the_same_body(zoho, operation, method, path, failure):
    zoho.answer(method, path, failure, {"data": results(1)})
    assert getattr(zoho.client(), operation)("Leads", people(1)) == results(1)
    assert len({call.body for call in zoho.calls}) == 1
    assert len(zoho.calls) == 2


@pytest.mark.parametrize("failure", [(500, {}, {}), (503, b"<html>", {}), (201, b'{"data":[{', {})])
def test_an_insert_is_not_repeated_when_zoho_may_have_stored_it(zoho, clock, failure):
    zoho.answer("POST", "/crm/v8/Leads", (201, {"data": results(100)}, {}), failure)
    with pytest.raises((ZohoServerError, ZohoTransportError)) as caught:
        zoho.client().insert_records("Leads", people(150))
    assert (len(zoho.calls), clock.slept) == (2, [])
    assert len(caught.value.results) == 100


def test_an_insert_is_repeated_when_asked_to(zoho):
    zoho.answer("POST", "/crm/v8/Leads", (500, {}, {}), (201, {"data": results(1)}, {}))
    assert zoho.client().insert_records("Leads", people(1), repeat=True) == results(1)


def test_an_insert_is_repeated_after_429(zoho):
    zoho.answer("POST", "/crm/v8/Leads", (429, {}, {"Retry-After": "1"}), (201, {"data": results(1)}, {}))
    assert zoho.client().insert_records("Leads", people(1)) == results(1)


# Delete


@pytest.mark.parametrize("given", ["1, 2", ["1", 2], ("1", "2"), range(1, 3)])
@pytest.mark.parametrize(
    ("wf_trigger", "beside"), [(None, {}), (True, {"wf_trigger": "true"}), (False, {"wf_trigger": "false"})]
)
def test_a_delete_names_the_ids_in_its_address(zoho, given, wf_trigger, beside):
    zoho.answer("DELETE", "/crm/v8/Leads", {"data": results(2)})
    assert zoho.client().delete_records("Leads", given, wf_trigger=wf_trigger) == results(2)
    assert zoho.calls[0].query == {"ids": "1,2"} | beside
    assert zoho.calls[0].body == b""


def test_deletes_go_in_batches_of_100_with_mixed_results(zoho):
    second = (207, {"data": [*results(49, 100), *results(1, 149, "INVALID_DATA")]}, {})
    zoho.answer("DELETE", "/crm/v8/Leads", {"data": results(100)}, second)
    found = zoho.client().delete_records("Leads", range(1, 151))
    assert [len(call.query["ids"].split(",")) for call in zoho.calls] == [100, 50]
    assert found[-1]["code"] == "INVALID_DATA"
    assert len(found) == 150


@pytest.mark.parametrize("wrong", ["", "1,,2", ["x"], [1.0], ["1&wf_trigger=false"]])
def test_a_wrong_id_deletes_nothing(zoho, wrong):
    with pytest.raises(ZohoValidationError):
        zoho.client().delete_records("Leads", wrong)
    assert zoho.requests == []


def test_deleting_nothing_sends_nothing(zoho):
    assert zoho.client().delete_records("Leads", []) == []
    assert zoho.requests == []


def test_a_locked_record_is_a_flat_refusal_that_says_so(zoho):
    body = {
        "code": "RECORD_LOCKED",
        "details": {"action": "record_locking", "id": "1"},
        "message": "is locked",
    }
    zoho.answer("DELETE", "/crm/v8/Leads", (400, body, {}))
    with pytest.raises(ZohoAPIError, match="is locked"):
        zoho.client().delete_records("Leads", ["1"])


def test_the_records_given_are_not_changed(zoho):
    given = people(2)
    before = json.dumps(given)
    zoho.answer("POST", UPSERT, {"data": results(2)})
    zoho.client().upsert_records("Leads", given, trigger=[])
    assert json.dumps(given) == before
