"""Insert, update and delete; and what all operators that write do on a retry."""

from __future__ import annotations

import json

import pytest
from support.running import context
from support.zoho import fields, refusal, written

from airflow_provider_zohocrm import (
    ZohoBulkWriteOperator,
    ZohoCRMHook,
    ZohoDeleteOperator,
    ZohoInsertOperator,
    ZohoUpdateOperator,
    ZohoUpsertOperator,
)
from airflow_provider_zohocrm._compat import fail_exception
from airflow_provider_zohocrm.exceptions import ZohoAPIError, ZohoRejectedRecordsError, ZohoStorageError
from airflow_provider_zohocrm.storage import read_records

LEADS, UPSERT = "/crm/v8/Leads", "/crm/v8/Leads/upsert"


class Store:
    """Airflow's task state store: JSON values by key."""

    def __init__(self):
        self.kept = {}

    def get(self, key):
        return json.loads(self.kept[key]) if key in self.kept else None

    def set(self, key, value):
        self.kept[key] = json.dumps(value)

    def delete(self, key):
        self.kept.pop(key, None)


def try_of(store, number, max_tries=2):
    given = context(task_state_store=store)
    given["ti"].try_number, given["ti"].max_tries = number, max_tries
    return given


def run(operator, given=None, **options):
    fixed = {"task_id": "t", "module": "Leads", "validate": False, "max_concurrency": 1}
    return operator(**{**fixed, **options}).execute(context() if given is None else given)


def people(count):
    return [{"Last_Name": f"Boyle {n}", "Email": f"{n}@example.com"} for n in range(count)]


def results(*codes, status=None):
    data = [
        {
            "code": code,
            "status": "success" if code == "SUCCESS" else "error",
            "message": "m",
            "details": {"id": str(n)},
        }
        for n, code in enumerate(codes)
    ]
    return {"status_code": status or (200 if {*codes} == {"SUCCESS"} else 207), "json": {"data": data}}


def test_inserts_are_posted_with_their_options(zoho, tmp_path):
    path = str(tmp_path / "results.jsonl")
    zoho.on("POST", LEADS, results("SUCCESS", "SUCCESS", status=201))
    done = run(ZohoInsertOperator, records=people(2), trigger=[], lar_id=7, results_path=path)
    assert (done["total"], done["inserted"], done["credits"]) == (2, 2, 1)
    assert zoho.calls[0].json == {"data": people(2), "trigger": [], "lar_id": "7"}
    assert list(read_records(path)) == [
        {"index": n, "id": str(n), "action": "insert", "duplicate_field": None} for n in range(2)
    ]


def test_updates_are_put_with_their_options(zoho):
    records = [{"id": "1", "City": "a"}, {"id": "2", "City": "b"}]
    zoho.on("PUT", LEADS, results("SUCCESS", "INVALID_DATA"))
    done = run(ZohoUpdateOperator, records=records, skip_feature_execution="cadences", on_reject="continue")
    assert (done["updated"], done["rejected"]) == (1, 1)
    assert zoho.calls[0].json == {"data": records, "skip_feature_execution": [{"name": "cadences"}]}


def test_deletes_name_ids_only(zoho):
    zoho.on("DELETE", LEADS, results("SUCCESS", "SUCCESS"))
    records = [{"id": 11, "City": "a"}, {"id": "12"}]
    done = run(ZohoDeleteOperator, records=records, wf_trigger=False)
    assert (done["deleted"], done["total"]) == (2, 2)
    assert zoho.calls[0].params == {"ids": "11,12", "wf_trigger": "false"}
    assert zoho.calls[0].text is None


def test_a_delete_without_an_id_is_rejected_before_it_takes_others_along(zoho):
    zoho.on("DELETE", LEADS, results("SUCCESS"))
    with pytest.raises(ZohoRejectedRecordsError, match="1 of 2"):
        run(ZohoDeleteOperator, records=[{"id": "11"}, {"City": "x"}])
    assert zoho.calls[0].params == {"ids": "11"}


def test_two_updates_of_a_record_are_two_calls_in_their_order(zoho):
    zoho.on("PUT", LEADS, results("SUCCESS", "SUCCESS"), results("SUCCESS"))
    records = [{"id": "1", "City": "a"}, {"id": "1", "City": "b"}, {"id": "2", "City": "c"}]
    run(ZohoUpdateOperator, records=records)
    assert [one.json["data"] for one in zoho.calls] == [[records[0], records[2]], [records[1]]]


def test_columns_are_mapped_to_fields(zoho):
    zoho.on("POST", UPSERT, written("insert"))
    run(
        ZohoUpsertOperator,
        records=[{"name": "a", "note": "x"}],
        mapping='{"name": "Last_Name", "note": null}',
    )
    assert zoho.calls[0].json == {"data": [{"Last_Name": "a"}]}


@pytest.mark.parametrize(
    ("ignore", "sent"), [(True, {"Last_Name": "a"}), (False, {"Last_Name": "a", "City": None})]
)
def test_empty_values_leave_a_field_alone_or_empty_it(zoho, ignore, sent):
    zoho.on("POST", UPSERT, written("insert"))
    run(ZohoUpsertOperator, records=[{"Last_Name": "a", "City": None}], ignore_empty=ignore)
    assert zoho.calls[0].json == {"data": [sent]}


def test_the_fields_are_read_once_and_only_to_validate(zoho):
    zoho.on("GET", "/crm/v8/settings/fields", fields("Last_Name", "Email"))
    zoho.on("POST", UPSERT, written(*["insert"] * 100))
    run(ZohoUpsertOperator, records=people(300), validate=True)
    assert zoho.asked == ["GET /crm/v8/settings/fields", *[f"POST {UPSERT}"] * 3]


def test_a_retry_goes_on_after_what_is_done_and_success_leaves_no_checkpoint(zoho, tmp_path, caplog):
    caplog.set_level("INFO")
    store, options = (
        Store(),
        {
            "records": people(250),
            "results_path": str(tmp_path / "results.jsonl"),
            "rejects_path": str(tmp_path / "rejects.jsonl"),
            "on_reject": "continue",
        },
    )
    zoho.on(
        "POST",
        UPSERT,
        written("INVALID_DATA", *["insert"] * 99),
        refusal(403, "NO_PERMISSION"),
        written(*["insert"] * 100),
        written(*["update"] * 50),
    )
    with pytest.raises(ZohoAPIError, match="NO_PERMISSION"):
        run(ZohoUpsertOperator, try_of(store, 1), **options)
    assert store.kept
    done = run(ZohoUpsertOperator, try_of(store, 2), **options)
    assert (done["total"], done["inserted"], done["updated"], done["rejected"]) == (250, 199, 50, 1)
    assert (done["calls"], done["credits"]) == (4, 10 + 10 + 10 + 5)
    assert [one.json["data"][0]["Email"] for one in zoho.calls] == [
        f"{n}@example.com" for n in (0, 100, 100, 200)
    ]
    assert "Going on at row 100" in caplog.text
    assert store.kept == {}
    rows = [row["index"] for path in done["results_paths"] for row in read_records(path)]
    assert rows == list(range(1, 250))
    assert [row["index"] for path in done["rejects_paths"] for row in read_records(path)] == [0]


@pytest.mark.parametrize(
    "change", [{"max_tries": 3}, {"durable": "false"}, {"trigger": []}, {"ignore_empty": False}], ids=str
)
def test_a_task_that_was_cleared_or_changed_begins_again(zoho, tmp_path, change):
    store = Store()
    options = {"records": people(150), "results_path": str(tmp_path / "results.jsonl")}
    zoho.on("POST", UPSERT, written(*["insert"] * 100), refusal(403, "NO_PERMISSION"))
    with pytest.raises(ZohoAPIError):
        run(ZohoUpsertOperator, try_of(store, 1), **options)
    zoho.on("POST", UPSERT, written(*["update"] * 100), written(*["insert"] * 50))
    given = try_of(store, 2, change.get("max_tries", 2))
    options |= {name: value for name, value in change.items() if name != "max_tries"}
    done = run(ZohoUpsertOperator, given, **options)
    assert (done["inserted"], done["updated"]) == (50, 100)


def test_without_a_store_all_results_are_in_one_file(zoho, tmp_path):
    zoho.on("POST", UPSERT, written(*["insert"] * 100))
    done = run(ZohoUpsertOperator, records=people(300), results_path=str(tmp_path / "results.jsonl"))
    assert done["results_paths"] == [str(tmp_path / "results.jsonl")]


def test_the_hook_does_the_same_for_functions(zoho, tmp_path):
    (tmp_path / "x.jsonl").write_text(json.dumps(people(1)[0]) + "\n")
    zoho.on("POST", UPSERT, written("INVALID_DATA"))
    done = ZohoCRMHook().load("upsert", "Leads", input_path=str(tmp_path / "x.jsonl"), validate=False)
    assert (done["total"], done["rejected"]) == (1, 1)
    assert ZohoCRMHook().load("upsert", "Leads", people(1), validate=False)["rejected"] == 1


@pytest.mark.parametrize(
    ("operator", "more"), [(ZohoInsertOperator, {}), (ZohoBulkWriteOperator, {"operation": "insert"})]
)
def test_a_retry_of_an_insert_without_a_checkpoint_fails_for_good_before_it_sends_anything(
    zoho, operator, more
):
    options = {"task_id": "t", "module": "Leads", "records": people(2), "retries": 2, **more}
    with pytest.raises(type(fail_exception("")), match=r"inserted.*durable=False"):
        operator(**options).execute(try_of(None, 2))
    assert zoho.calls == []


@pytest.mark.parametrize(
    ("number", "max_tries", "durable"),
    [(1, 2, True), (4, 5, True), (2, 2, False)],
    ids=["first try", "first try after Clear", "wanted"],
)
def test_an_insert_without_a_checkpoint_begins_where_that_inserts_nothing_twice_or_is_wanted(
    zoho, number, max_tries, durable
):
    zoho.on("POST", LEADS, results("SUCCESS", "SUCCESS", status=201))
    given = try_of(None, number, max_tries)
    assert run(ZohoInsertOperator, given, records=people(2), retries=2, durable=durable)["inserted"] == 2


class AwayStore(Store):
    """A store that Airflow does not answer for, in some calls."""

    def __init__(self, method, after=0):
        super().__init__()
        self.method, self.left = method, after

    def _answer(self, method):
        if method == self.method:
            self.left -= 1
            if self.left < 0:
                raise RuntimeError("500 from the API server")

    def get(self, key):
        # The account of what was used is no concern of the load.
        if key != "zoho_api_usage":
            self._answer("get")
        return super().get(key)

    def set(self, key, value):
        if key != "zoho_api_usage":
            self._answer("set")
        super().set(key, value)


def test_an_insert_that_cannot_be_noted_is_not_sent(zoho, tmp_path):
    zoho.on("POST", LEADS, results(*["SUCCESS"] * 100, status=201))
    store, results_path = AwayStore("set", after=1), str(tmp_path / "results.jsonl")
    options = {"records": people(150), "results_path": results_path, "retries": 2}
    with pytest.raises(ZohoStorageError, match="The checkpoint cannot be kept"):
        run(ZohoInsertOperator, try_of(store, 1), **options)
    assert len(zoho.calls) == 1
    # What was sent before has its result.
    assert len(list(read_records(results_path))) == 100


@pytest.mark.parametrize(
    ("operator", "more"), [(ZohoInsertOperator, {}), (ZohoBulkWriteOperator, {"operation": "insert"})]
)
def test_a_retry_of_an_insert_whose_checkpoint_cannot_be_read_sends_nothing(zoho, operator, more):
    options = {"task_id": "t", "module": "Leads", "records": people(2), "retries": 2, **more}
    with pytest.raises(ZohoStorageError, match="The checkpoint cannot be read"):
        operator(**options).execute(try_of(AwayStore("get"), 2))
    assert zoho.calls == []


def test_an_upsert_goes_on_without_its_checkpoint(zoho):
    zoho.on("POST", UPSERT, written(*["insert"] * 100), written(*["insert"] * 50))
    assert run(ZohoUpsertOperator, try_of(AwayStore("set"), 1), records=people(150))["inserted"] == 150


def test_a_retry_of_an_upsert_without_a_checkpoint_begins_again(zoho):
    zoho.on("POST", UPSERT, results("SUCCESS", "SUCCESS"))
    assert run(ZohoUpsertOperator, try_of(None, 2), records=people(2), retries=2)["total"] == 2
