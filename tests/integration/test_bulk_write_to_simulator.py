from __future__ import annotations

import json
from datetime import timedelta

import pytest
from support.running import TaskDeferred, context, run_to_end
from support.simulated import asked, truth

from airflow_provider_zohocrm.client import job_run
from airflow_provider_zohocrm.client.bulk_write import BulkWriteApi
from airflow_provider_zohocrm.exceptions import (
    ZohoBulkWriteError,
    ZohoBulkWriteTimeoutError,
    ZohoCreditLimitError,
    ZohoLowCreditsError,
    ZohoRejectedRecordsError,
    ZohoStorageError,
    ZohoUntrustedHostError,
    ZohoValidationError,
)
from airflow_provider_zohocrm.loading import bulk
from airflow_provider_zohocrm.loading.bulk import BulkLoad
from airflow_provider_zohocrm.loading.bulk_rows import BulkTarget
from airflow_provider_zohocrm.loading.outcome import _Parts
from airflow_provider_zohocrm.operators.bulk_write import ZohoBulkWriteOperator
from airflow_provider_zohocrm.operators.insert import ZohoInsertOperator
from airflow_provider_zohocrm.storage import open_record_writer, read_records

UPLOAD, CREATE = "POST /crm/v8/upload", "POST /crm/bulk/v8/write"
both_ways = pytest.mark.parametrize("deferrable", [False, True], ids=["in the worker", "deferred"])


class KilledError(BaseException):
    pass


class Store:
    """Airflow's task state store."""

    def __init__(self):
        self.kept = {}

    def get(self, key, default=None):
        return json.loads(self.kept[key]) if key in self.kept else default

    def set(self, key, value):
        self.kept[key] = json.dumps(value, allow_nan=False)

    def delete(self, key):
        self.kept.pop(key, None)


def try_of(store, number):
    given = context(task_state_store=store)
    given["ti"].try_number, given["ti"].max_tries = number, 2
    return given


@pytest.fixture
def rows_per_file(monkeypatch):
    """Let files hold fewer rows, or bytes, than Zoho's."""
    of = BulkTarget.of

    def limit(rows=100, **more):
        limited = lambda *args, **kwargs: of(*args, **kwargs)._replace(max_rows=rows, **more)  # noqa: E731
        monkeypatch.setattr(BulkTarget, "of", limited)

    return limit


def options_of(tmp_path, **more):
    return {
        "task_id": "t",
        "module": "Leads",
        "results_path": str(tmp_path / "results.jsonl"),
        "rejects_path": str(tmp_path / "rejects.jsonl"),
        "on_reject": "continue",
        "poll_interval": 0.01,
        "max_poll_interval": 0.01,
        "deferrable": False,
        **more,
    }


def run(tmp_path, given=None, **more):
    return run_to_end(lambda: ZohoBulkWriteOperator(**options_of(tmp_path, **more)), given)[0]


def outcome(result):
    """Read results and rejects by index; none may be there twice."""
    found = {}
    for kind in ("results", "rejects"):
        for path in result[f"{kind}_paths"]:
            for row in read_records(path):
                assert row["index"] not in found
                found[row["index"]] = row
    assert sorted(found) == list(range(result["total"]))
    return found


def leads(count, start=0):
    return [
        {
            "Last_Name": f'Bo"yle, {number} Ünal\n株',
            "Company": f"=1+{number}",
            "Email": f"bulk.{number}@example.com",
            "Languages": ["English", "German"] if number % 2 else None,
            "Email_Opt_Out": bool(number % 3),
        }
        for number in range(start, start + count)
    ]


def by_email(simulator):
    return {row["Email"]: row for row in simulator.table("Leads") if row["Email"]}


@both_ways
@pytest.mark.parametrize("at_once", [1, 3])
def test_several_files_equal_the_table(simulated, tmp_path, rows_per_file, deferrable, at_once):
    simulator = simulated({"Leads": 50})
    rows_per_file(100)
    before = truth(simulator, "Leads")
    known = [row["Email"] for row in before.values() if row["Email"]][:20]
    records = leads(330)
    for number, email in enumerate(known):
        records[number * 7]["Email"] = email
    records[5]["Last_Name"] = None
    records[210]["Last_Name"] = "x" * 300
    given = context()
    result = run(tmp_path, given, records=records, deferrable=deferrable, max_jobs_in_flight=at_once)
    assert (result["total"], result["inserted"], result["updated"], result["rejected"]) == (330, 308, 20, 2)
    assert given["ti"].xcoms["summary"] == result
    rows = outcome(result)
    stored = by_email(simulator)
    for index, record in enumerate(records):
        if index in (5, 210):
            assert rows[index]["code"] in ("MANDATORY_NOT_FOUND", "INVALID_DATA")
            assert rows[index]["record"] == record
            continue
        found = stored[record["Email"]]
        assert rows[index]["id"] == found["id"]
        assert rows[index]["action"] == ("update" if record["Email"] in known else "insert")
        assert rows[index]["duplicate_field"] == ("Email" if record["Email"] in known else None)
        for name in ("Last_Name", "Company", "Email_Opt_Out"):
            assert found[name] == record[name]
        if record["Languages"]:
            assert found["Languages"] == record["Languages"]
    assert len(asked(simulator, UPLOAD)) == len(asked(simulator, f"{CREATE}$")) == 4
    assert len(asked(simulator, "GET /crm/v8/org")) == 1
    assert result["credits"] >= 4 * 500


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_files_of_every_format_are_inserted(simulated, tmp_path, rows_per_file, suffix):
    simulator = simulated({"Leads": 3})
    rows_per_file(60)
    path = str(tmp_path / f"in.{suffix}")
    more = {
        "Annual_Revenue": 12.5,
        "Languages": "English;German" if suffix != "jsonl" else ["English", "German"],
    }
    records = [
        {"name" if key == "Last_Name" else key: value for key, value in one.items()} | more
        for one in leads(150)
    ]
    with open_record_writer(path, None if suffix == "jsonl" else list(records[0])) as writer:
        writer.write(records)
    result = run(tmp_path, input_path=path, operation="insert", mapping={"name": "Last_Name"})
    assert (result["inserted"], result["rejected"]) == (150, 0), outcome(result)
    stored = by_email(simulator)
    for record in records:
        found = stored[record["Email"]]
        assert (found["Last_Name"], found["Annual_Revenue"]) == (record["name"], 12.5)
        assert found["Languages"] == ["English", "German"]
        assert found["Email_Opt_Out"] is record["Email_Opt_Out"]


def test_an_update_by_id_leaves_empty_cells_alone_or_empties_them(simulated, tmp_path):
    simulator = simulated({"Leads": 20})
    before = truth(simulator, "Leads")
    ids = [key for key, row in before.items() if row["Company"] and row["Phone"]][:4]
    records = [{"id": ids[0], "Company": "New"}, {"id": ids[1], "Phone": "+1 555 0100", "Company": None}]
    result = run(tmp_path, records=records, operation="update")
    assert result["updated"] == 2
    assert simulator.record("Leads", ids[0])["Phone"] == before[ids[0]]["Phone"]
    assert simulator.record("Leads", ids[1])["Company"] == before[ids[1]]["Company"]
    records = [{"id": ids[2], "Phone": None}, {"id": ids[3], "Company": "Only"}, {"Phone": "1"}]
    result = run(tmp_path, records=records, operation="update", ignore_empty=False)
    assert (result["updated"], result["rejected"]) == (1, 2)
    assert simulator.record("Leads", ids[2])["Phone"] is None
    # A record without a field would have had it emptied.
    assert simulator.record("Leads", ids[3])["Phone"] == before[ids[3]]["Phone"]
    rows = outcome(result)
    assert "same fields" in rows[1]["message"]
    assert rows[2]["code"] == "MANDATORY_NOT_FOUND"


def test_what_zoho_skips_is_a_reject_with_its_code(simulated, tmp_path):
    simulator = simulated({"Leads": 20})
    ids = list(truth(simulator, "Leads"))
    simulator.lock(ids[1])
    records = [{"id": key, "Company": "New"} for key in (ids[0], ids[1], "1234567890123456", ids[2])]
    result = run(tmp_path, records=records, operation="update")
    rows = outcome(result)
    assert [rows[index].get("action") or rows[index]["code"] for index in range(4)] == [
        "update",
        "RECORD_LOCKED",
        "INVALID_DATA",
        "update",
    ]
    assert rows[2]["details"] == {"api_name": "id"}
    with pytest.raises(ZohoRejectedRecordsError, match="2 of 4"):
        run(tmp_path, records=records, operation="update", on_reject="fail")


def test_files_are_split_by_bytes_and_computed_fields_left_out(simulated, tmp_path, rows_per_file):
    simulator = simulated({"Leads": 3}, upload_limit=20_000)
    rows_per_file(25_000, max_bytes=20_000)
    records = [
        {**one, "Description": "ü" * 1_000, "Created_Time": "2020-01-01T00:00:00+00:00"} for one in leads(40)
    ]
    result = run(tmp_path, records=records, operation="insert")
    assert (result["inserted"], result["rejected"]) == (40, 0)
    assert len(asked(simulator, UPLOAD)) == 5
    assert {row["Description"] for row in by_email(simulator).values()} >= {"ü" * 1_000}


def test_rows_that_are_all_refused_cost_no_job(simulated, tmp_path, rows_per_file):
    simulator = simulated({"Leads": 3})
    rows_per_file(10)
    result = run(tmp_path, records=[{"Company": "no name"}] * 45, operation="insert")
    assert (result["total"], result["rejected"]) == (45, 45)
    outcome(result)
    assert not asked(simulator, UPLOAD)
    assert run(tmp_path, records=[], operation="insert")["total"] == 0


STEPS = {
    "upload": (BulkWriteApi, "upload_bulk_write_file"),
    "create": (BulkWriteApi, "create_bulk_write_job"),
    "look": (BulkWriteApi, "get_bulk_write_job"),
    "download": (BulkWriteApi, "download_bulk_write_result"),
    "settle": (BulkLoad, "_settle"),
    "save": (BulkLoad, "_save"),
}


class BrokenEvents:
    """Airflow's events of outlets, where one cannot be told."""

    def __getitem__(self, outlet):
        raise ValueError("no event today")


@pytest.mark.parametrize("operator", [ZohoInsertOperator, ZohoBulkWriteOperator])
def test_what_fails_after_the_records_are_written_does_not_write_them_again(simulated, tmp_path, operator):
    simulator, store = simulated({"Leads": 2}), Store()
    kinds = {"operation": "insert", "deferrable": False, "poll_interval": 0.01}
    more = kinds if operator is ZohoBulkWriteOperator else {}

    def load(number, **events):
        given = {**try_of(store, number), **events}
        made = operator(
            task_id="t", module="Leads", records=leads(3), results_path=str(tmp_path / "r.jsonl"), **more
        )
        return made.execute(given)

    with pytest.raises(ValueError, match="no event today"):
        load(1, outlet_events=BrokenEvents())
    assert load(2)["inserted"] == 3
    assert len(list(simulator.table("Leads"))) == 5


def test_a_job_is_looked_at_sooner_where_no_trigger_could_fire_too_early(simulated, tmp_path, monkeypatch):
    simulator, slept = simulated(job_seconds=5), []

    class Clock:
        @staticmethod
        def time():
            return simulator.state.clock.now()

        @staticmethod
        def sleep(seconds):
            slept.append(seconds)
            simulator.advance(seconds)

    monkeypatch.setattr(job_run, "time", Clock)
    monkeypatch.setattr(bulk, "time", Clock)
    given = {"records": leads(3), "operation": "insert", "poll_interval": None, "max_poll_interval": 60}
    assert run(tmp_path, **given)["inserted"] == 3
    assert slept[0] == pytest.approx(3, abs=1)
    # Then after a quarter of what it has taken, and a second at least; what the test itself takes counts.
    assert 1 <= len(slept[1:]) <= 3
    assert all(pause <= 1.6 for pause in slept[1:])
    operator = ZohoBulkWriteOperator(**options_of(tmp_path / "later", deferrable=True, **given))
    with pytest.raises(TaskDeferred) as deferred:
        operator.execute(context())
    assert deferred.value.trigger.poll_interval == 10


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("operation", ["upsert", "insert"])
def test_a_retry_of_a_killed_task_goes_on(
    simulated, tmp_path, rows_per_file, monkeypatch, operation, step, when, deferrable
):
    simulator = simulated({"Leads": 10})
    rows_per_file(40)
    given = {"records": leads(150), "operation": operation, "deferrable": deferrable}
    given["records"][61]["Last_Name"] = None
    owner, name = STEPS[step]
    real, calls = getattr(owner, name), []

    def dying(self, *args, **kwargs):
        calls.append(1)
        last = len(calls) == (5 if step == "save" else 2)
        if last and when == "before":
            raise KilledError
        answer = real(self, *args, **kwargs)
        if last:
            raise KilledError
        return answer

    store = Store()
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, dying)
        with pytest.raises(KilledError):
            run(tmp_path, try_of(store, 1), **given)
    result = run(tmp_path, try_of(store, 2), **given)
    rows = outcome(result)
    assert store.kept == {}
    lost = {index for index, row in rows.items() if row.get("code") == "UNKNOWN_OUTCOME"}
    stored = [row["Email"] for row in simulator.table("Leads") if str(row["Email"]).startswith("bulk.")]
    assert len(stored) == len(set(stored)), "records were inserted twice"
    wanted = {f"bulk.{number}@example.com" for number in range(150) if number != 61}
    assert wanted - set(stored) <= {f"bulk.{index}@example.com" for index in lost}
    jobs = len(asked(simulator, f"{CREATE}$"))
    if operation == "insert" and step in ("create", "save"):
        # Between the intent and the answer nobody knows: one file is said to be unknown, and not sent twice.
        assert len(lost) in (0, 40)
        assert jobs <= 4
    else:
        assert not lost
        again = step == "create" and when == "after"
        assert jobs == (5 if again else 4) or step == "save"


@pytest.mark.parametrize("operation", ["upsert", "insert"])
def test_a_job_of_an_insert_that_cannot_be_noted_is_not_created(
    simulated, tmp_path, rows_per_file, operation
):
    simulator = simulated({"Leads": 5})
    rows_per_file(20)
    store = Store()
    keep = store.set

    def away(key, value):
        if key == "zoho_bulk_write" and "creating" in json.dumps(value):
            raise RuntimeError("500 from the API server")
        keep(key, value)

    store.set = away
    given = {"records": leads(40), "operation": operation}
    if operation == "insert":
        with pytest.raises(ZohoStorageError, match="The checkpoint cannot be kept"):
            run(tmp_path, try_of(store, 1), **given)
        assert not asked(simulator, f"{CREATE}$")
        store.set = keep
    result = run(tmp_path, try_of(store, 2), **given)
    assert (result["inserted"], result["rejected"]) == (40, 0)
    assert len(asked(simulator, f"{CREATE}$")) == 2


def test_an_insert_whose_answer_was_lost_is_not_repeated(simulated, tmp_path, rows_per_file, no_waiting):
    simulator = simulated({"Leads": 5})
    rows_per_file(20)
    simulator.add_fault("reset_after", method="POST", path="/write$", after=1)
    result = run(tmp_path, records=leads(60), operation="insert")
    assert (result["inserted"], result["unknown"], result["rejected"]) == (40, 20, 20)
    rows = outcome(result)
    assert {index for index, row in rows.items() if row.get("code") == "UNKNOWN_OUTCOME"} == set(
        range(20, 40)
    )
    stored = [row["Email"] for row in simulator.table("Leads")]
    assert len(asked(simulator, f"{CREATE}$")) == 3
    assert max(map(stored.count, (f"bulk.{number}@example.com" for number in range(60)))) == 1


def test_an_upsert_whose_answer_was_lost_is_repeated_unless_a_row_has_no_key(
    simulated, tmp_path, rows_per_file, no_waiting
):
    simulator = simulated({"Leads": 5})
    rows_per_file(20)
    records = leads(40)
    del records[25]["Email"]
    simulator.add_fault("reset_after", method="POST", path="/write$", count=1)
    simulator.add_fault("reset_after", method="POST", path="/write$", after=1, count=1)
    result = run(tmp_path, records=records)
    assert (result["inserted"] + result["updated"], result["unknown"]) == (20, 20)
    assert len(asked(simulator, f"{CREATE}$")) == 3


@both_ways
def test_a_failed_job_is_written_by_another_one_on_the_next_try(
    simulated, tmp_path, rows_per_file, deferrable
):
    simulator = simulated({"Leads": 5}, job_failure="INTERNAL_ERROR")
    rows_per_file(20)
    store = Store()
    given = {"records": leads(50), "operation": "insert", "deferrable": deferrable}
    with pytest.raises(ZohoBulkWriteError, match="INTERNAL_ERROR"):
        run(tmp_path, try_of(store, 1), **given)
    simulator.configure(job_failure="")
    result = run(tmp_path, try_of(store, 2), **given)
    assert (result["inserted"], result["rejected"]) == (50, 0)
    assert len(outcome(result)) == 50


@both_ways
def test_a_job_that_does_not_end_fails_the_task_and_is_gone_on_with(simulated, tmp_path, deferrable):
    simulator = simulated({"Leads": 5}, job_stuck=True)
    store = Store()
    given = {"records": leads(10), "operation": "insert", "deferrable": deferrable}
    with pytest.raises(ZohoBulkWriteTimeoutError, match="did not end"):
        run(tmp_path, try_of(store, 1), timeout=0.2, **given)
    simulator.configure(job_stuck=False)
    assert run(tmp_path, try_of(store, 2), **given)["inserted"] == 10
    assert len(asked(simulator, f"{CREATE}$")) == 1


def test_an_input_that_has_changed_is_not_joined_with_the_results(simulated, tmp_path):
    simulated({"Leads": 5})
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in leads(10)))
    options = options_of(tmp_path, input_path=str(path), deferrable=True)
    with pytest.raises(TaskDeferred) as deferred:
        ZohoBulkWriteOperator(**options).execute(context())
    path.write_text("".join(json.dumps(one) + "\n" for one in leads(10, 5)))
    with pytest.raises(ZohoStorageError, match="has changed"):
        ZohoBulkWriteOperator(**options).resume_execution(
            "execute_complete", {**deferred.value.kwargs, "event": {"status": "success"}}, context()
        )


@pytest.mark.parametrize(
    "url",
    [
        "https://download.zoho.com.evil.example/x.zip",
        "http://download.zoho.com/x.zip",
        "https://evil.example/x",
    ],
)
def test_a_result_elsewhere_is_not_fetched(simulated, tmp_path, monkeypatch, url):
    simulator = simulated({"Leads": 5})
    monkeypatch.setattr(type(simulator.state.bulk_write), "_url", lambda *_: url)
    with pytest.raises(ZohoUntrustedHostError, match="token stays"):
        run(tmp_path, records=leads(5), operation="insert")


@pytest.mark.parametrize("action", ["reset_before", "reset_after", "html", "too_many", "truncate"])
@pytest.mark.parametrize("path", ["/upload", r"/write/\d+$", "/v2/crm/"])
def test_passing_failures_of_uploads_looks_and_downloads_are_outlasted(
    simulated, tmp_path, no_waiting, action, path
):
    simulator = simulated({"Leads": 5})
    more = {"status": 503} if action == "html" else {}
    simulator.add_fault(action, path=path, count=2, **more)
    result = run(tmp_path, records=leads(30), operation="insert")
    assert (result["inserted"], len(outcome(result))) == (30, 30)
    assert len(asked(simulator, f"{CREATE}$")) == 1


def test_a_bound_on_credits_holds_before_a_job_is_paid_for(simulated, tmp_path, rows_per_file):
    simulator = simulated({"Leads": 5})
    rows_per_file(10)
    store = Store()
    with pytest.raises(ZohoCreditLimitError):
        run(tmp_path, try_of(store, 1), records=leads(30), operation="insert", max_credits=800)
    assert len(asked(simulator, f"{CREATE}$")) == 1
    assert run(tmp_path, try_of(store, 2), records=leads(30), operation="insert")["inserted"] == 30
    assert len(asked(simulator, f"{CREATE}$")) == 3


@both_ways
@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.parametrize("bound", [{"max_credits": 600}, {"min_credits_remaining": 100}], ids=str)
def test_a_job_that_is_paid_for_has_its_outcome_written_though_the_next_may_not_be_submitted(
    simulated, tmp_path, rows_per_file, deferrable, bound, at_once
):
    simulator = simulated({"Leads": 5}, credits=1_000)
    rows_per_file(10)
    given = context()
    options = {"deferrable": deferrable, "max_jobs_in_flight": at_once, **bound}
    with pytest.raises((ZohoCreditLimitError, ZohoLowCreditsError)):
        run(tmp_path, given, records=leads(20), find_by="Email", **options)
    assert len(asked(simulator, f"{CREATE}$")) == 1
    summary = given["ti"].xcoms["summary"]
    assert (summary["total"], summary["inserted"]) == (10, 10)
    assert len(outcome(summary)) == 10


@both_ways
@pytest.mark.parametrize("operation", ["insert", "upsert"])
def test_a_failed_job_leaves_the_others_their_outcome_and_fails_the_task(
    simulated, tmp_path, rows_per_file, deferrable, operation
):
    simulator = simulated({"Leads": 5})
    rows_per_file(10)
    counts = {"added_count": 3, "updated_count": 0, "skipped_count": 7, "total_count": 10}
    failed = {"status": "FAILED", "id": "1", "resource": [{"file": {"status": "FAILED", **counts}}]}
    look = {"method": "GET", "path": r"/write/\d+$", "status": 200}
    simulator.add_fault("status", body=failed, **look)
    # The second job still runs, so that a deferrable task is deferred once more.
    simulator.add_fault("status", body={"status": "IN PROGRESS", "id": "2"}, **look)
    given = context()
    options = {"operation": operation, "find_by": "Email" if operation == "upsert" else None}
    with pytest.raises(ZohoBulkWriteError, match="failed"):
        run(tmp_path, given, records=leads(30), max_jobs_in_flight=3, deferrable=deferrable, **options)
    summary = given["ti"].xcoms["summary"]
    unknown = 10 if operation == "insert" else 0
    assert (summary["inserted"], summary["unknown"]) == (20, unknown)
    assert len(asked(simulator, f"{CREATE}$")) == 3


def test_rejects_that_cannot_be_published_are_not_published_twice(
    simulated, tmp_path, rows_per_file, monkeypatch
):
    simulated({"Leads": 5})
    rows_per_file(10)
    records = leads(90)
    for record in records[10:80]:
        record["Last_Name"] = "x" * 300
    publish, failures = _Parts.publish, iter([True])

    def fail_once(self, *, last):
        if self.path.endswith("rejects.jsonl") and not last and next(failures, False):
            raise ZohoStorageError("the bucket is away")
        return publish(self, last=last)

    monkeypatch.setattr(_Parts, "publish", fail_once)
    store = Store()
    with pytest.raises(ZohoStorageError, match="away"):
        run(tmp_path, try_of(store, 1), records=records, find_by="Email")
    result = run(tmp_path, try_of(store, 2), records=records, find_by="Email")
    assert (result["total"], result["inserted"], result["rejected"]) == (90, 20, 70)
    assert len(outcome(result)) == 90


GONE = {"code": "RESOURCE_NOT_FOUND", "details": {}, "message": "gone", "status": "error"}


@pytest.mark.parametrize("path", ["/v2/crm/", r"/write/\d+$"], ids=["result", "job"])
def test_the_last_row_of_a_key_is_the_last_to_be_written_also_where_a_result_is_gone(
    simulated, tmp_path, rows_per_file, path
):
    simulator = simulated({"Leads": 5})
    rows_per_file(3)
    records = leads(6)
    for number, record in enumerate(records):
        record["Email"] = f"same.{number % 3}@example.com"
    simulator.add_fault("status", method="GET", path=path, status=404, body=GONE)
    result = run(tmp_path, records=records, find_by="Email")
    assert sorted(outcome(result)) == list(range(6))
    stored = by_email(simulator)
    for record in records[3:]:
        assert stored[record["Email"]]["Company"] == record["Company"]


@pytest.mark.parametrize("keyless", [False, True])
def test_the_last_row_of_a_key_is_the_last_to_be_written_also_after_a_kill(
    simulated, tmp_path, rows_per_file, monkeypatch, keyless
):
    simulator = simulated({"Leads": 5})
    rows_per_file(3)
    records = leads(6)
    for number, record in enumerate(records):
        record["Email"] = f"same.{number % 3}@example.com"
    if keyless:
        # Its file must not be written twice.
        records[5]["Email"] = None
    store = Store()

    def die(*_):
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(BulkLoad, "_settle", die)
        with pytest.raises(KilledError):
            run(tmp_path, try_of(store, 1), records=records, find_by="Email")
    assert len(asked(simulator, f"{CREATE}$")) == 2
    simulator.add_fault("status", method="GET", path="/v2/crm/", status=404, body=GONE)
    result = run(tmp_path, try_of(store, 2), records=records, find_by="Email")
    assert (len(outcome(result)), result["unknown"]) == (6, 3 if keyless else 0)
    stored = by_email(simulator)
    for record in records[3:5]:
        assert stored[record["Email"]]["Company"] == record["Company"]


@pytest.mark.parametrize(
    "options",
    [
        {"bulk_write_running": "IN PROGRESS"},
        {"unknown_write_job_status": 404},
        {"gzip": False},
        {"queued_state": False},
    ],
    ids=lambda one: next(iter(one)),
)
def test_what_the_sources_disagree_on_changes_nothing(simulated, tmp_path, options):
    simulated({"Leads": 5}, **options)
    assert run(tmp_path, records=leads(20))["inserted"] == 20


@pytest.mark.parametrize("rows", [[{"Product_Name": "Pen"}], []], ids=["rows", "no rows"])
def test_records_with_a_subform_are_rejected_and_the_others_written(simulated, tmp_path, rows):
    simulated({"Leads": 1})
    records = leads(3)
    records[1]["Positions"] = rows
    found = outcome(run(tmp_path, records=records))
    assert [row.get("code") for _, row in sorted(found.items())] == [None, "INVALID_DATA", None]
    assert "ZohoUpsertOperator" in found[1]["message"]
    assert found[1]["json_path"] == "$.Positions"


def test_a_column_mapped_to_a_subform_is_refused_before_anything_is_paid_for(simulated, tmp_path):
    simulator = simulated({"Leads": 1})
    with pytest.raises(ZohoValidationError, match="subform"):
        run(tmp_path, records=[{"rows": []}], mapping={"rows": "Positions"})
    assert not asked(simulator, UPLOAD)


def test_records_without_a_form_in_json_are_rejects_and_the_others_are_written(simulated, tmp_path):
    simulator = simulated({"Leads": 5})
    odd = [b"\xff", timedelta(days=1), 2**64, {1}, {1: b"x"}, "a\ud800"]
    records = [*leads(3), *({**leads(1)[0], "City": value} for value in odd), *leads(3, 3)]
    result = run(tmp_path, records=records)
    assert (result["inserted"], result["rejected"]) == (6, 5)
    found = outcome(result)
    rejects = [found[index] for index in sorted(found) if "code" in found[index]]
    assert {row["code"] for row in rejects} == {"INVALID_DATA"}
    assert rejects[0]["record"]["City"] == "/w=="
    assert {lead["Email"] for lead in leads(6)} <= by_email(simulator).keys()
