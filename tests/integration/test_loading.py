"""Loads over the wire, with faults and kills: nothing is lost, nothing is there twice, and the order per key holds."""

from __future__ import annotations

import json
import random
import tempfile
import threading
import time
from collections import Counter
from datetime import timedelta
from functools import reduce
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st
from support.simulated import asked, statuses

from airflow_provider_zohocrm.client.client import ZohoCRMClient
from airflow_provider_zohocrm.client.credentials import ZohoCredentials
from airflow_provider_zohocrm.client.retry import RetryPolicy
from airflow_provider_zohocrm.client.tokens import MemoryTokenStore
from airflow_provider_zohocrm.client.transport import Transport
from airflow_provider_zohocrm.exceptions import (
    ZohoCreditLimitError,
    ZohoScopeError,
    ZohoServerError,
    ZohoStorageError,
    ZohoValidationError,
)
from airflow_provider_zohocrm.loading import load as load_module
from airflow_provider_zohocrm.loading.inputs import Inputs
from airflow_provider_zohocrm.loading.load import Load
from airflow_provider_zohocrm.loading.request import LoadRequest
from airflow_provider_zohocrm.storage import open_record_writer, read_records

FIELDS = ("Last_Name", "Company", "Email", "External_Key", "Phone", "City", "Description")


class KilledError(BaseException):
    """What happens to a process that gets SIGKILL: nothing is tidied up."""


class Killable(Transport):
    """Dies at a call that writes, before it is sent or when it was answered; then nothing is sent any more."""

    dies_at: int | None = None
    after_answer = False
    writes = 0
    dead = False

    def _exchange(self, call):
        if self.dead:
            raise KilledError
        if call.method != "GET" and not call.path.endswith("coql"):
            self.writes += 1
            if self.writes == self.dies_at:
                if self.after_answer:
                    super()._exchange(call)
                self.dead = True
                raise KilledError
        return super()._exchange(call)


def client_of(simulator):
    given = simulator.connection
    credentials = ZohoCredentials.from_fields(given["login"], given["password"], given["extra"], name="test")
    return ZohoCRMClient(Killable(credentials, store=MemoryTokenStore()))


@pytest.fixture
def quick(monkeypatch, no_waiting):
    """Small batches, records sent again at once."""
    monkeypatch.setattr(load_module, "RECORDS_PER_WRITE", 7)
    monkeypatch.setattr(load_module, "DELAYS", (0.01, 0.01, 0.01, 0.01))
    return monkeypatch


def wait_for_senders():
    for thread in threading.enumerate():
        if thread.name == "zohocrm-sender":
            thread.join(10)


def table(simulator, module="Leads"):
    """What the module holds, without what Zoho adds."""
    rows = [tuple(one.get(name) for name in FIELDS) for one in simulator.table(module)]
    return sorted(rows, key=repr)


def as_files(chance, records, folder):
    """Write records to JSONL, in one file or in a folder of several, some of them packed."""
    folder.mkdir()
    cuts = sorted(chance.sample(range(len(records)), chance.randint(0, 3)))
    for number, (first, last) in enumerate(zip([0, *cuts], [*cuts, None], strict=True)):
        with open_record_writer(str(folder / f"part-{number}.jsonl{chance.choice(['', '.gz'])}")) as writer:
            writer.write(records[first:last])
    return str(folder)


def run_with_kills(simulator, request, records, kills, input_path=None):
    """Run a load, and again from its last state as long as it is killed."""
    states = [None]
    tries = 0
    while True:
        tries += 1
        api = client_of(simulator)
        if kills:
            api.transport.dies_at, api.transport.after_answer = kills.pop()
        load = Load(
            api,
            request,
            Inputs.of_records(records) if input_path is None else Inputs.of_path(input_path),
            states[-1],
            lambda state: states.append(json.loads(json.dumps(state))),
        )
        try:
            summary = load.run()
        except KilledError:
            wait_for_senders()
            continue
        return SimpleNamespace(
            summary=summary,
            tries=tries,
            results={row["index"]: row for path in summary["results_paths"] for row in read_records(path)},
            rejects={row["index"]: row for path in summary["rejects_paths"] for row in read_records(path)},
            rows=sum(
                1 for path in summary["results_paths"] + summary["rejects_paths"] for _ in read_records(path)
            ),
        )


def check_that_nothing_is_lost(done, records, folder):
    """Each record is in exactly one of results and rejects, and the counts say the same."""
    assert sorted([*done.results, *done.rejects]) == list(range(len(records)))
    assert done.rows == len(records)
    summary = done.summary
    assert summary["total"] == len(records)
    assert summary["rejected"] == len(done.rejects)
    assert summary["inserted"] + summary["updated"] + summary["deleted"] == len(done.results)
    listed = {*summary["results_paths"], *summary["rejects_paths"]}
    assert {str(path) for path in folder.iterdir() if not path.name.startswith(".")} == listed


FAULTS = [
    {"action": "too_many"},
    {"action": "too_many", "form": "retry_after_header"},
    {"action": "reset_before"},
    {"action": "reset_after"},
    {"action": "html", "status": 502},
    {"action": "status", "status": 500},
    {"action": "truncate"},
]


def plan_faults(simulator, chance, path):
    for _ in range(chance.randint(0, 6)):
        simulator.add_fault(path=path, after=chance.randint(0, 15), **chance.choice(FAULTS))


def some_kills(chance):
    return [
        (chance.choice([1, 2, 3, 5, 8, 13, 18]), chance.random() < 0.5) for _ in range(chance.randint(0, 4))
    ]


def upserts(chance, ids):
    """Build records that share few keys. All of a person name one key, some the other one, too: without a common key
    nobody can know that two records are of one person.
    """
    records = []
    for number in range(chance.randint(60, 160)):
        person = chance.randint(0, 40)
        email, key = f"p{person}@example.com", f"KEY-{person}"
        record = {"Description": f"row {number}"}
        if chance.random() < 0.15:
            record["id"] = chance.choice(ids)
        else:
            record["Last_Name"] = f"name {chance.randint(0, 3)}"
            both = chance.random() < 0.3
            if both or person % 2:
                record["Email"] = email.upper() if chance.random() < 0.2 else email
            if both or not person % 2:
                record["External_Key"] = key.lower() if chance.random() < 0.2 else key
        record |= {name: f"{name} {number}" for name in ("City", "Company") if chance.random() < 0.5}
        if chance.random() < 0.05:
            record["City"] = "x" * 300
        records.append(record)
    return records


PROPERTY = {
    "deadline": None,
    "derandomize": True,
    "suppress_health_check": list(HealthCheck),
    "database": None,
}


@settings(max_examples=20, **PROPERTY)
@given(chance=st.randoms(use_true_random=False))
def test_after_faults_and_kills_upserts_leave_what_one_by_one_leaves(simulated, quick, tmp_path, chance):
    with pytest.MonkeyPatch.context() as patch:
        check_upserts(simulated, patch, Path(tempfile.mkdtemp(dir=tmp_path)), chance)


@pytest.mark.parametrize("operation", ["insert", "update", "upsert", "delete"])
@settings(max_examples=3, phases=[Phase.generate], **PROPERTY)
@given(chance=st.randoms(use_true_random=False))
def test_after_faults_and_kills_files_leave_what_one_by_one_leaves(
    simulated, quick, tmp_path, operation, chance
):
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    (folder / "out").mkdir()
    check = {"upsert": check_upserts, "insert": check_inserts}.get(operation, check_changes)
    more = {} if check is not check_changes else {"operation": operation}
    with pytest.MonkeyPatch.context() as patch:
        check(simulated, patch, folder / "out", chance, files=folder / "in", **more)


def check_upserts(simulated, quick, tmp_path, chance, files=None):
    quick.setattr(load_module, "CHECKPOINT", chance.choice([0.0, 0.01, 30.0]))
    simulator, plain = simulated({"Leads": 10}), simulated({"Leads": 10}, conn_id="plain")
    ids = sorted(row["id"] for row in simulator.table("Leads"))
    records = upserts(chance, ids)
    for each in (simulator, plain):
        each.state.locked.add(ids[0])
    slow = client_of(plain)
    for record in records:
        slow.upsert_records("Leads", [record], duplicate_check_fields="Email")
    plan_faults(simulator, chance, "/Leads/upsert")
    request = LoadRequest.of(
        "upsert",
        "Leads",
        duplicate_check_fields="Email",
        validate=chance.random() < 0.8,
        max_concurrency=chance.randint(1, 6),
        results_path=str(tmp_path / "results.jsonl"),
        rejects_path=str(tmp_path / "rejects.jsonl"),
    )
    if not request.validate:
        # Without the fields nobody knows that External_Key is unique.
        quick.setattr(Load, "_checked_fields", lambda *_: ["id", "Email", "External_Key"])
    input_path = None if files is None else as_files(chance, records, files)
    done = run_with_kills(simulator, request, records, some_kills(chance), input_path)
    check_that_nothing_is_lost(done, records, tmp_path)
    assert table(simulator) == table(plain)
    assert all(done.rejects[index]["record"] for index in done.rejects)


def inserts(chance):
    records = []
    for number in range(chance.randint(40, 120)):
        record = {"Last_Name": f"new {number}", "Company": "Zylker", "Description": f"row {number}"}
        if chance.random() < 0.8:
            record["External_Key"] = f"NEW-{chance.randint(0, 70)}"
        if chance.random() < 0.05:
            record["City"] = "x" * 300
        records.append(record)
    return records


@pytest.mark.parametrize("seed", range(16))
def test_after_faults_and_kills_nothing_is_inserted_twice(simulated, quick, tmp_path, seed):
    check_inserts(simulated, quick, tmp_path, random.Random(1000 + seed))


def check_inserts(simulated, quick, tmp_path, chance, files=None):
    quick.setattr(load_module, "CHECKPOINT", chance.choice([0.0, 30.0]))
    quick.setattr(load_module, "KEPT_RECORDS", chance.choice([10, 5000]))
    # A try that is killed soon has not come to all the rows that the one before had sent.
    quick.setattr(load_module, "_LOOK_AHEAD", chance.choice([1, 20]))
    simulator, plain = simulated({"Leads": 3}), simulated({"Leads": 3}, conn_id="plain")
    records = inserts(chance)
    slow = client_of(plain)
    for record in records:
        slow.insert_records("Leads", [record])
    plan_faults(simulator, chance, "/Leads$")
    request = LoadRequest.of(
        "insert",
        "Leads",
        max_concurrency=chance.randint(1, 6),
        results_path=str(tmp_path / "results.jsonl"),
        rejects_path=str(tmp_path / "rejects.jsonl"),
    )
    input_path = None if files is None else as_files(chance, records, files)
    done = run_with_kills(simulator, request, records, some_kills(chance), input_path)
    check_that_nothing_is_lost(done, records, tmp_path)
    unknown = {index for index, row in done.rejects.items() if row["code"] == "UNKNOWN_OUTCOME"}
    assert done.summary["unknown"] == len(unknown)
    assert not [index for index in unknown if "External_Key" in records[index]]
    # All that can be looked up is there as after one by one; what cannot is there once at most.
    doubtful = {records[index]["Description"] for index in unknown}
    stored = Counter(row["Description"] for row in simulator.table("Leads"))
    expected = Counter(row["Description"] for row in plain.table("Leads"))
    assert all(stored[text] <= 1 for text in doubtful)
    assert {text: count for text, count in stored.items() if text not in doubtful} == {
        text: count for text, count in expected.items() if text not in doubtful
    }
    by_description = {row["Description"]: row["id"] for row in simulator.table("Leads")}
    assert all(
        by_description[records[index]["Description"]] == row["id"] for index, row in done.results.items()
    )


@pytest.mark.parametrize("operation", ["update", "delete"])
@pytest.mark.parametrize("seed", range(6))
def test_after_faults_and_kills_updates_and_deletes_leave_what_one_by_one_leaves(
    simulated, quick, tmp_path, operation, seed
):
    check_changes(simulated, quick, tmp_path, random.Random(2000 + seed), operation=operation)


def check_changes(simulated, quick, tmp_path, chance, *, operation, files=None):
    quick.setattr(load_module, "CHECKPOINT", chance.choice([0.0, 30.0]))
    simulator, plain = simulated({"Leads": 60}), simulated({"Leads": 60}, conn_id="plain")
    ids = [*sorted(row["id"] for row in simulator.table("Leads")), "3652397001999999999"]
    for each in (simulator, plain):
        each.state.locked.add(ids[0])
    records = [
        {"id": chance.choice(ids), "City": f"city {number}", chance.choice(["Phone", "Company"]): str(number)}
        for number in range(120 if files is None else 50)
    ]
    slow = client_of(plain)
    for record in records:
        if operation == "update":
            slow.update_records("Leads", [record])
        else:
            slow.delete_records("Leads", [record["id"]])
    plan_faults(simulator, chance, "/Leads")
    request = LoadRequest.of(
        operation,
        "Leads",
        results_path=str(tmp_path / "results.csv"),
        rejects_path=str(tmp_path / "rejects.jsonl"),
    )
    input_path = None if files is None else as_files(chance, records, files)
    done = run_with_kills(simulator, request, records, some_kills(chance), input_path)
    done.results = {int(index): row for index, row in done.results.items()}
    check_that_nothing_is_lost(done, records, tmp_path)
    assert table(simulator) == table(plain)
    unknown_id = [n for n, record in enumerate(records) if record["id"] == ids[-1]]
    if operation == "update":
        assert set(unknown_id) <= set(done.rejects)


# --- what stops a load, and what does not ------------------------------------------------------------------------


def people(count, start=0, **more):
    return [
        {"Last_Name": f"n{n}", "Company": "Zylker", "Email": f"n{n}@example.com", **more}
        for n in range(start, start + count)
    ]


def load(simulator, operation, records, *, state=None, save=None, **options):
    request = LoadRequest.of(operation, "Leads", **options)
    return Load(client_of(simulator), request, Inputs.of_records(records), state, save)


def emails(simulator):
    return Counter(row["Email"] for row in simulator.table("Leads"))


def bodies(simulator, pattern="upsert"):
    return [json.loads(one["body"]) for one in simulator.requests if one["path"].endswith(pattern)]


def test_batches_are_under_way_side_by_side_and_no_more_than_allowed(simulated):
    simulator = simulated({"Leads": 1}, latency=0.2)
    load(simulator, "upsert", people(600), max_concurrency=3).run()
    assert simulator.counters["peak_concurrency"] == 3


def test_the_next_batches_are_made_while_zoho_works_on_those_before(simulated, quick):
    simulator = simulated({"Leads": 1})
    done = load(simulator, "upsert", people(100), max_concurrency=3)
    write, ready = done._api.write, []

    def slow(call, count):
        patience = 1000
        while done._scheduler.ready < 3 * 7 and patience and not ready:
            threading.Event().wait(0.01)
            patience -= 1
        ready.append(done._scheduler.ready)
        return write(call, count)

    done._api.write = slow
    assert done.run()["inserted"] == 100
    assert ready[0] >= 3 * 7


def test_two_batches_with_a_common_key_are_never_under_way_together(simulated):
    simulator = simulated({"Leads": 1}, latency=0.05)
    records = [{**one, "City": str(n)} for n in range(4) for one in people(150)]
    load(simulator, "upsert", records, max_concurrency=5).run()
    assert {row["City"] for row in simulator.table("Leads") if row["Email"] in emails_of(records)} == {"3"}
    assert all(len({one["Email"] for one in body["data"]}) == len(body["data"]) for body in bodies(simulator))


def emails_of(records):
    return {record["Email"] for record in records}


def test_too_many_calls_are_refused_and_the_load_slows_down_instead_of_failing(simulated):
    simulator = simulated({"Leads": 1}, latency=0.02, concurrency_limit=2)
    done = load(simulator, "upsert", people(1000), max_concurrency=8)
    done._api.transport.policy = RetryPolicy(base=0.05, cap=0.2)
    assert done.run()["inserted"] == 1000
    assert 429 in statuses(simulator, "upsert")
    assert done._at_once < 8


def test_only_the_records_that_are_locked_are_sent_again(simulated, quick):
    simulator = simulated({"Leads": 10})
    ids = sorted(row["id"] for row in simulator.table("Leads"))
    simulator.state.locked.add(ids[2])
    records = [{"id": each, "City": "x"} for each in ids[:5]]
    done = load(simulator, "update", records)
    assert done.run()["updated"] == 4
    sent = [[one["id"] for one in body["data"]] for body in bodies(simulator, "/Leads")]
    assert sent == [ids[:5], *[[ids[2]]] * len(load_module.DELAYS)]
    assert done.outcome.shown[0]["code"] == "RECORD_LOCKED"


def test_a_record_that_is_unlocked_in_time_is_written(simulated, quick):
    simulator = simulated({"Leads": 10})
    ids = sorted(row["id"] for row in simulator.table("Leads"))
    simulator.state.locked.add(ids[0])
    api = client_of(simulator)
    plain_write = api.write

    def write(call, count):
        results = plain_write(call, count)
        simulator.state.locked.clear()
        return results

    api.write = write
    request = LoadRequest.of("update", "Leads", validate=False)
    assert Load(api, request, Inputs.of_records([{"id": ids[0], "City": "now"}])).run()["updated"] == 1
    assert [row["City"] for row in simulator.table("Leads") if row["id"] == ids[0]] == ["now"]


def test_a_record_that_zoho_fails_at_is_found_and_the_others_are_written(simulated, quick):
    """Zoho answers 500 to each call that holds one record; the outage is not taken for one of all records."""
    simulator = simulated({"Leads": 1})
    api = client_of(simulator)
    exchange = api.transport._exchange

    def failing(call):
        if call.json and any(record["Email"] == "n9@example.com" for record in call.json["data"]):
            raise ZohoServerError("failed", status=500, code="INTERNAL_ERROR")
        return exchange(call)

    api.transport._exchange = failing
    done = Load(api, LoadRequest.of("upsert", "Leads"), Inputs.of_records(people(30)))
    summary = done.run()
    assert (summary["inserted"], summary["rejected"]) == (29, 1)
    assert (done.outcome.shown[0]["index"], done.outcome.shown[0]["code"]) == (9, "INTERNAL_ERROR")


def test_a_record_that_zoho_fails_at_is_told_by_calls_that_are_answered_after_it(simulated, quick):
    """The calls without it are still under way when the last one with it has failed."""
    simulator = simulated({"Leads": 1})
    api = client_of(simulator)
    exchange = api.transport._exchange
    failed = threading.Event()

    def failing(call):
        sent = [record["Email"] for record in (call.json or {}).get("data", ())]
        if "n9@example.com" in sent:
            if len(sent) == 1:
                failed.set()
            raise ZohoServerError("failed", status=500, code="INTERNAL_ERROR")
        if sent:
            assert failed.wait(30)
            time.sleep(0.2)
        return exchange(call)

    api.transport._exchange = failing
    request = LoadRequest.of("upsert", "Leads", max_concurrency=10)
    summary = Load(api, request, Inputs.of_records(people(30))).run()
    assert (summary["inserted"], summary["rejected"]) == (29, 1)


@pytest.mark.parametrize("stored", [False, True], ids=["not stored", "stored"])
def test_an_insert_that_zoho_fails_at_is_found_and_nothing_is_stored_twice(simulated, quick, stored):
    """Zoho answers 500 to each call that holds one record, and may have stored those of the call."""
    simulator = simulated({"Leads": 1})
    api = client_of(simulator)
    exchange = api.transport._exchange

    def failing(call):
        if call.json and any(one.get("Email") == "n9@example.com" for one in call.json.get("data", ())):
            if stored:
                exchange(call)
            raise ZohoServerError("failed", status=500, code="INTERNAL_ERROR")
        return exchange(call)

    api.transport._exchange = failing
    records = [{**one, "External_Key": f"K{n}"} for n, one in enumerate(people(30))]
    done = Load(api, LoadRequest.of("insert", "Leads"), Inputs.of_records(records))
    summary = done.run()
    assert (summary["inserted"], summary["rejected"]) == ((30, 0) if stored else (29, 1))
    assert [(one["index"], one["code"]) for one in done.outcome.shown] == (
        [] if stored else [(9, "INTERNAL_ERROR")]
    )
    written = emails(simulator)
    assert [written[one["Email"]] for one in records] == [int(stored or n != 9) for n in range(30)]


def test_a_delete_that_zoho_fails_at_is_found_and_the_others_are_deleted(simulated, quick):
    simulator = simulated({"Leads": 20})
    ids = sorted(row["id"] for row in simulator.table("Leads"))
    simulator.add_fault("status", status=500, method="DELETE", path=ids[3], count=None)
    summary = load(simulator, "delete", [{"id": each} for each in ids]).run()
    assert (summary["deleted"], summary["rejected"]) == (19, 1)
    assert [row["id"] for row in simulator.table("Leads")] == [ids[3]]


def test_an_outage_stops_inserts_and_rejects_none_of_them(simulated, quick):
    simulator = simulated({"Leads": 1})
    simulator.add_fault("status", status=500, method="POST", path="/Leads$", count=None)
    records = [{**one, "External_Key": f"K{n}"} for n, one in enumerate(people(10))]
    done = load(simulator, "insert", records)
    with pytest.raises(ZohoServerError, match=r"rows? \d"):
        done.run()
    assert done.summary["total"] == 0


def test_an_outage_stops_the_load_and_rejects_nothing(simulated, quick):
    simulator = simulated({"Leads": 1})
    simulator.add_fault("html", status=503, path="/upsert", count=None)
    done = load(simulator, "upsert", people(10))
    with pytest.raises(ZohoServerError, match=r"rows? \d"):
        done.run()
    assert done.summary["total"] == 0


def test_a_refused_call_stops_the_load_tells_its_rows_and_keeps_what_was_written(simulated, quick, tmp_path):
    simulator = simulated({"Leads": 1})
    body = {
        "code": "OAUTH_SCOPE_MISMATCH",
        "details": {},
        "message": "invalid oauth scope",
        "status": "error",
    }
    simulator.add_fault("status", status=401, body=body, path="/upsert", after=2, count=None)
    path = str(tmp_path / "results.jsonl")
    done = load(simulator, "upsert", people(70), max_concurrency=1, results_path=path)
    with pytest.raises(ZohoScopeError, match="rows 14 to 20"):
        done.run()
    assert [row["index"] for row in read_records(path)] == list(range(14))
    assert len(asked(simulator, "upsert")) == 3


def test_a_row_that_cannot_be_read_stops_the_load_after_the_rows_before_it(simulated, quick, tmp_path):
    simulator = simulated({"Leads": 1})
    source = tmp_path / "in.jsonl"
    source.write_text("".join(json.dumps(one) + "\n" for one in people(20)) + "{broken\n")
    request = LoadRequest.of("upsert", "Leads")
    with pytest.raises(ZohoStorageError, match="21"):
        Load(client_of(simulator), request, Inputs.of_path(str(source))).run()
    written = emails(simulator)
    assert all(written[f"n{n}@example.com"] == 1 for n in range(14))


def test_max_credits_ends_the_load_before_the_call_that_would_pass_it(simulated, quick):
    simulator = simulated({"Leads": 1})
    before = simulator.counters["credits"]
    done = load(simulator, "upsert", people(70), max_credits=6, max_concurrency=1)
    with pytest.raises(ZohoCreditLimitError):
        done.run()
    assert done.summary["credits"] == simulator.counters["credits"] - before == 6
    assert done.summary["inserted"] == 35


def test_the_counts_and_credits_of_two_tries_add_up(simulated, quick):
    simulator = simulated({"Leads": 1})
    states = []
    with pytest.raises(ZohoCreditLimitError):
        load(simulator, "upsert", people(70), max_credits=6, max_concurrency=1, save=states.append).run()
    kept = json.loads(json.dumps(states[-1]))
    summary = load(simulator, "upsert", people(70), state=kept, save=states.append).run()
    assert (summary["total"], summary["inserted"], summary["updated"]) == (70, 70, 0)
    assert summary["credits"] == simulator.counters["credits"]


def test_a_try_that_ends_before_it_has_read_as_far_as_the_one_before_forgets_nothing(
    simulated, quick, tmp_path
):
    quick.setattr(load_module, "CHECKPOINT", 0.0)
    quick.setattr(load_module, "DELAYS", (60.0,))
    simulator = simulated({"Leads": 70})
    ids = sorted(row["id"] for row in simulator.table("Leads"))
    simulator.state.locked.update(ids[:14])
    records = [{"id": each, "City": "x"} for each in ids]
    request = LoadRequest.of(
        "update", "Leads", max_concurrency=1, validate=False, results_path=str(tmp_path / "r.jsonl")
    )
    state = None
    for dies_at, unlocked in ((8, []), (2, ids[:1]), (None, ids)):
        api = client_of(simulator)
        api.transport.dies_at = dies_at
        simulator.state.locked.difference_update(unlocked)
        states = []
        run = Load(api, request, Inputs.of_records(records), state, states.append)
        try:
            summary = run.run()
        except KilledError:
            wait_for_senders()
        state = json.loads(json.dumps(states[-1]))
    indexes = [row["index"] for path in summary["results_paths"] for row in read_records(path)]
    assert sorted(indexes) == list(range(70))
    assert summary["updated"] == 70


def rows_with_a_subform(folder):
    records = people(6)
    records[3]["Positions"] = [{"Quantity": 1}]
    return Inputs.of_records(records), {"method": "GET", "path": "fields.*Positions"}


def rows_of_texts(folder):
    path = folder / "in.csv"
    path.write_text("Last_Name,Company\n" + "".join(f"n{n},Zylker\n" for n in range(6)))
    return Inputs.of_path(str(path)), {"method": "GET", "path": "settings/fields"}


@pytest.mark.parametrize("rows", [rows_with_a_subform, rows_of_texts])
@pytest.mark.parametrize("operation", ["insert", "upsert"])
def test_a_row_at_which_the_load_has_failed_is_read_by_the_next_try(
    simulated, quick, tmp_path, operation, rows
):
    simulator = simulated({"Leads": 1})
    inputs, fields = rows(tmp_path)
    validate = rows is not rows_of_texts
    request = LoadRequest.of(operation, "Leads", validate=validate, results_path=str(tmp_path / "r.jsonl"))
    simulator.add_fault("status", status=503, count=None, **fields)
    states = []
    with pytest.raises(ZohoServerError):
        Load(client_of(simulator), request, inputs, save=states.append).run()
    simulator.clear_faults()
    kept = json.loads(json.dumps(states[-1]))
    summary = Load(client_of(simulator), request, inputs, kept).run()
    assert (summary["total"], summary["inserted"]) == (6, 6)
    indexes = [row["index"] for path in summary["results_paths"] for row in read_records(path)]
    assert sorted(indexes) == list(range(6))


def test_a_row_that_no_try_can_prepare_fails_each_of_them(simulated, quick):
    simulator = simulated({"Leads": 1})
    records = [{"Last_Name": f"n{n}", "Company": "Zylker", "mail": f"n{n}@example.com"} for n in range(6)]
    records[3]["Email"] = "other@example.com"
    state = None
    for _ in range(2):
        states = []
        with pytest.raises(ZohoValidationError, match="both for the field 'Email'"):
            load(
                simulator, "upsert", records, mapping={"mail": "Email"}, state=state, save=states.append
            ).run()
        state = json.loads(json.dumps(states[-1]))


def test_changed_input_is_upserted_from_the_beginning_but_not_inserted_again(simulated, quick):
    simulator = simulated({"Leads": 1})
    for operation in ("upsert", "insert"):
        states = []
        with pytest.raises(ZohoCreditLimitError):
            load(simulator, operation, people(70), max_credits=3, max_concurrency=1, save=states.append).run()
        if operation == "upsert":
            assert (
                load(simulator, operation, people(71), state=states[-1], save=states.append).run()["total"]
                == 71
            )
        else:
            with pytest.raises(ZohoValidationError, match="has inserted 14 records"):
                load(simulator, operation, people(71), state=states[-1], save=states.append)


def test_an_insert_that_was_stored_without_an_answer_is_found(simulated, quick):
    simulator = simulated({"Leads": 1})
    simulator.add_fault("reset_after", method="POST", path="/Leads$")
    records = [{**one, "External_Key": f"K'{n}"} for n, one in enumerate(people(5))]
    done = load(simulator, "insert", records)
    assert (done.run()["inserted"], done.summary["unknown"]) == (5, 0)
    assert [emails(simulator)[one["Email"]] for one in records] == [1] * 5
    assert len(asked(simulator, "POST /crm/v8/Leads$")) == 1


def test_an_insert_that_was_not_stored_is_sent_again_where_a_unique_field_makes_it_safe(simulated, quick):
    simulator = simulated({"Leads": 1})
    simulator.add_fault("reset_before", method="POST", path="/Leads$")
    records = [{**one, "External_Key": f"K{n}"} for n, one in enumerate(people(5))]
    assert load(simulator, "insert", records).run()["inserted"] == 5
    assert [emails(simulator)[one["Email"]] for one in records] == [1] * 5


def test_a_record_that_was_there_before_is_not_taken_for_the_insert_without_an_answer(simulated, quick):
    simulator = simulated({"Leads": 1})
    client_of(simulator).insert_records(
        "Leads", [{**people(1)[0], "External_Key": "K", "Last_Name": "older"}]
    )
    simulator.add_fault("reset_before", method="POST", path="/Leads$")
    done = load(simulator, "insert", [{**people(1)[0], "External_Key": "K"}])
    assert done.run()["rejected"] == 1
    assert done.outcome.shown[0]["code"] == "DUPLICATE_DATA"


def test_an_insert_that_cannot_be_looked_up_is_unknown_and_not_repeated(simulated, quick):
    simulator = simulated({"Leads": 1})
    simulator.add_fault("reset_after", method="POST", path="/Leads$")
    done = load(simulator, "insert", people(3))
    summary = done.run()
    assert (summary["rejected"], summary["unknown"]) == (3, 3)
    assert "was lost" in done.outcome.shown[0]["message"]
    assert [emails(simulator)[one["Email"]] for one in people(3)] == [1] * 3


def test_inserts_are_unknown_where_zoho_refuses_the_look_up(simulated, quick):
    simulator = simulated({"Leads": 1})
    simulator.add_fault("reset_after", method="POST", path="/Leads$")
    body = {
        "code": "OAUTH_SCOPE_MISMATCH",
        "details": {},
        "message": "invalid oauth scope",
        "status": "error",
    }
    simulator.add_fault("status", status=401, body=body, path="coql", count=None)
    done = load(simulator, "insert", [{**people(1)[0], "External_Key": "K"}])
    assert done.run()["unknown"] == 1
    assert "OAUTH_SCOPE_MISMATCH" in done.outcome.shown[0]["message"]


def test_a_record_deleted_without_an_answer_counts_as_deleted(simulated, quick):
    simulator = simulated({"Leads": 5})
    ids = sorted(row["id"] for row in simulator.table("Leads"))
    simulator.add_fault("reset_after", method="DELETE")
    summary = load(simulator, "delete", [{"id": each} for each in ids]).run()
    assert (summary["deleted"], summary["rejected"]) == (5, 0)
    assert statuses(simulator, "DELETE")[-1] == 400


def test_a_record_deleted_by_an_external_id_without_an_answer_counts_as_deleted(simulated, quick, tmp_path):
    simulator = simulated({"Leads": 5})
    keys = [row["External_Key"] for row in simulator.table("Leads")]
    simulator.add_fault("reset_after", method="DELETE")
    records = [{"External_Key": key} for key in keys]
    options = {"external_id": "External_Key", "results_path": str(tmp_path / "r.jsonl")}
    summary = load(simulator, "delete", records, **options).run()
    assert (summary["deleted"], summary["rejected"]) == (5, 0)
    assert sorted(row["index"] for row in read_records(summary["results_path"])) == list(range(5))


def test_bad_records_are_told_in_zohos_words_before_they_cost_anything(simulated, quick):
    simulator = simulated({"Leads": 1})
    good, bad = people(1), [{**people(1)[0], "Email": "no address"}, {"Company": "no name"}]
    for validate in (True, False):
        done = load(simulator, "upsert", [*bad, *good], validate=validate)
        done.run()
        assert [(one["index"], one["code"], one["json_path"]) for one in done.outcome.shown] == [
            (0, "INVALID_DATA", "$.Email"),
            (1, "MANDATORY_NOT_FOUND", "$.Last_Name"),
        ]
    assert [len(body["data"]) for body in bodies(simulator)] == [1, 3]


ODD = {
    "bytes": b"\xff",
    "duration": timedelta(days=1),
    "large": 2**64,
    "set": {1},
    "keys": {1: {2: b"x"}},
    "deep": reduce(lambda inner, _: [inner], range(300), []),
    "surrogate": "a\ud800",
}


@pytest.mark.parametrize("kept", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("operation", ["upsert", "insert", "update"])
def test_records_without_a_form_in_json_are_rejects_and_the_others_are_written(
    simulated, quick, tmp_path, kept, operation
):
    simulator = simulated({"Leads": 20})
    ids = sorted(row["id"] for row in simulator.table("Leads"))
    good = people(20) if operation != "update" else [{"id": each, "City": "Bonn"} for each in ids]
    bad = [{**good[-1], "No_of_Employees": value} for value in ODD.values() if not isinstance(value, str)]
    bad += [{**good[-1], "City": "a\ud800"}, {**good[-1], "Tag": [{"name": b"x"}]}]
    states = []
    for _ in range(2):
        done = load(
            simulator,
            operation,
            [*good[:10], *bad, *good[10:]],
            state=states[-1] if states else None,
            save=lambda state: states.append(json.loads(json.dumps(state))),
            rejects_path=str(tmp_path / f"rejects.{kept}"),
        )
        summary = done.run()
        assert (summary["total"], summary["rejected"]) == (20 + len(bad), len(bad))
    rejects = [row for path in summary["rejects_paths"] for row in read_records(path)]
    assert [int(row["index"]) for row in rejects] == list(range(10, 10 + len(bad)))
    assert {row["code"] for row in rejects} == {"INVALID_DATA"}
    assert [row["json_path"] for row in rejects][-2:] == ["$.City", "$.Tag"]
    json.dumps(done.outcome.shown).encode()
    assert (
        sum(1 for row in simulator.table("Leads") if row["City"] == "Bonn" or row["Email"] in emails_of(good))
        >= 20
    )


def test_numbers_of_files_are_sent_with_all_their_digits(simulated, quick, tmp_path):
    simulator = simulated({"Leads": 1})
    (row,) = people(1)
    rows = '[{"Product_Name":"Pen","Price":1234567890123.123456789}]'
    path = tmp_path / "in.jsonl"
    path.write_text(f'{json.dumps(row)[:-1]},"Annual_Revenue":9876543210987.123456789,"Positions":{rows}}}\n')
    request = LoadRequest.of("upsert", "Leads")
    Load(client_of(simulator), request, Inputs.of_path(str(path))).run()
    (body,) = [one["body"] for one in simulator.requests if one["path"].endswith("upsert")]
    assert "9876543210987.123456789" in str(body)
    assert "1234567890123.123456789" in str(body)


def test_half_a_surrogate_pair_in_a_file_is_a_reject(simulated, quick, tmp_path):
    simulator = simulated({"Leads": 1})
    path = tmp_path / "in.jsonl"
    rows = [{**one, "City": "\ud800"} if number == 3 else one for number, one in enumerate(people(9))]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = Load(client_of(simulator), LoadRequest.of("upsert", "Leads"), Inputs.of_path(str(path)))
    assert (done.run()["inserted"], [one["index"] for one in done.outcome.shown]) == (8, [3])


def test_what_nobody_checks_is_rejected_where_it_cannot_be_sent(simulated, quick):
    simulator = simulated({"Leads": 1})
    bad = [{**people(1)[0], "City": [value]} for name, value in ODD.items() if name != "set"]
    done = load(simulator, "upsert", [*bad, *people(20)], validate=False)
    summary = done.run()
    assert (summary["inserted"], summary["rejected"]) == (20, len(bad))
    assert {(one["code"], one["json_path"]) for one in done.outcome.shown} <= {
        ("INVALID_DATA", "$.City"),
    }


def test_ids_that_cannot_be_sent_are_rejected(simulated, quick):
    simulator = simulated({"Leads": 3})
    records = [{"External_Key": row["External_Key"]} for row in simulator.table("Leads")]
    done = load(simulator, "delete", [{"External_Key": "\ud800"}, *records], external_id="External_Key")
    summary = done.run()
    assert (summary["deleted"], summary["rejected"]) == (3, 1)
    assert done.outcome.shown[0]["index"] == 0


def test_a_key_that_comes_hundreds_of_times_is_held_in_a_small_window(simulated, quick):
    simulator = simulated({"Leads": 1})
    seen = []

    def rows():
        for number in range(600):
            seen.append(number)
            yield {**people(1)[0], "City": str(number)} if number < 550 else people(1, number)[0]

    done = load(simulator, "upsert", [])
    records = rows()
    done._inputs.rows = lambda *_, **__: (
        (number, (0, number + 1), record, False) for number, record in enumerate(records)
    )
    write = done._api.write
    ahead = []

    def watched(call, count):
        ahead.append(len(seen) - done.outcome.total)
        return write(call, count)

    done._api.write = watched
    assert done.run()["total"] == 600
    assert max(ahead) <= 7 * (load_module._LOOK_AHEAD + 5) + 1
    cities = [row["City"] for row in simulator.table("Leads") if row["Email"] == "n0@example.com"]
    assert cities == ["549"]


def positions(simulator, email):
    """Read the rows of a Lead's subform."""
    (lead,) = [row for row in simulator.table("Leads") if row["Email"] == email]
    return client_of(simulator).get_record("Leads", lead["id"])["Positions"]


def test_rows_of_subforms_are_converted_and_checked_by_their_own_fields(simulated, quick):
    simulator = simulated({"Leads": 1})
    good, bad = people(2)
    good["Positions"] = json.dumps(
        [{"Product_Name": "Pen", "Quantity": "3", "Price": "1.50", "Due_On": "2024-05-06 00:00:00"}]
    )
    bad["Positions"] = [{"Product_Name": "Pen"}, {"Price": "cheap"}]
    done = load(simulator, "upsert", [good, bad, *people(30, 2)])
    summary = done.run()
    assert (summary["inserted"], summary["rejected"]) == (31, 1)
    (row,) = positions(simulator, good["Email"])
    wanted = {"Product_Name": "Pen", "Quantity": 3, "Price": 1.5, "Due_On": "2024-05-06"}
    assert {name: row[name] for name in wanted} == wanted
    (reject,) = done.outcome.shown
    assert (reject["index"], reject["code"], reject["json_path"]) == (
        1,
        "INVALID_DATA",
        "$.Positions[1].Price",
    )
    assert len(asked(simulator, "settings/fields")) == 2


def test_fields_of_subforms_are_not_read_where_there_are_no_rows(simulated, quick):
    simulator = simulated({"Leads": 1})
    load(simulator, "upsert", [{**one, "Positions": None} for one in people(3)]).run()
    assert len(asked(simulator, "settings/fields")) == 1


def test_rows_of_a_subform_are_sent_as_they_are_where_zoho_does_not_tell_its_fields(simulated, quick):
    simulator = simulated({"Leads": 1}, subform_modules=False)
    (record,) = people(1)
    record["Positions"] = [{"Product_Name": "Pen", "Quantity": 3}]
    assert load(simulator, "upsert", [record]).run()["inserted"] == 1
    assert positions(simulator, record["Email"])[0]["Quantity"] == 3
