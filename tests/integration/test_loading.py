"""Loads over the wire, with faults and kills: nothing is lost, nothing is there twice, and the order per key holds."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from types import SimpleNamespace

import pytest
from support.simulated import asked, statuses

from airflow_provider_zohocrm.client.client import ZohoCRMClient
from airflow_provider_zohocrm.client.credentials import ZohoCredentials
from airflow_provider_zohocrm.client.tokens import MemoryTokenStore
from airflow_provider_zohocrm.client.transport import Transport
from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoCreditLimitError,
    ZohoScopeError,
    ZohoServerError,
    ZohoStorageError,
    ZohoTransportError,
    ZohoValidationError,
)
from airflow_provider_zohocrm.loading import load as load_module
from airflow_provider_zohocrm.loading.inputs import Inputs
from airflow_provider_zohocrm.loading.load import Load
from airflow_provider_zohocrm.loading.request import LoadRequest
from airflow_provider_zohocrm.storage import read_records

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


def run_with_kills(simulator, request, records, kills):
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
            Inputs.of_records(records),
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
    return [(chance.randint(1, 18), chance.random() < 0.5) for _ in range(chance.randint(0, 3))]


def upserts(chance, ids):
    """Build records that share few keys; who has one Email has one External_Key, but not each names both."""
    records = []
    for number in range(chance.randint(60, 160)):
        person = chance.randint(0, 40)
        email, key = f"p{person}@example.com", f"KEY-{person}"
        record = {"Description": f"row {number}"}
        kind = chance.random()
        if kind < 0.15:
            record["id"] = chance.choice(ids)
        else:
            record["Last_Name"] = f"name {chance.randint(0, 3)}"
            if kind < 0.75:
                record["Email"] = email.upper() if chance.random() < 0.2 else email
            if kind > 0.6:
                record["External_Key"] = key.lower() if chance.random() < 0.2 else key
        record |= {name: f"{name} {number}" for name in ("City", "Company") if chance.random() < 0.5}
        if chance.random() < 0.05:
            record["City"] = "x" * 300
        records.append(record)
    return records


@pytest.mark.parametrize("seed", range(16))
def test_after_faults_and_kills_upserts_leave_what_one_by_one_leaves(simulated, quick, tmp_path, seed):
    chance = random.Random(seed)
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
    done = run_with_kills(simulator, request, records, some_kills(chance))
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
    chance = random.Random(1000 + seed)
    quick.setattr(load_module, "CHECKPOINT", chance.choice([0.0, 30.0]))
    quick.setattr(load_module, "KEPT_RECORDS", chance.choice([10, 5000]))
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
    done = run_with_kills(simulator, request, records, some_kills(chance))
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
    chance = random.Random(2000 + seed)
    quick.setattr(load_module, "CHECKPOINT", chance.choice([0.0, 30.0]))
    simulator, plain = simulated({"Leads": 60}), simulated({"Leads": 60}, conn_id="plain")
    ids = [*sorted(row["id"] for row in simulator.table("Leads")), "3652397001999999999"]
    for each in (simulator, plain):
        each.state.locked.add(ids[0])
    records = [
        {"id": chance.choice(ids), "City": f"city {number}", chance.choice(["Phone", "Company"]): str(number)}
        for number in range(120)
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
    done = run_with_kills(simulator, request, records, some_kills(chance))
    done.results = {int(index): row for index, row in done.results.items()}
    check_that_nothing_is_lost(done, records, tmp_path)
    assert table(simulator) == table(plain)
    unknown_id = [n for n, record in enumerate(records) if record["id"] == ids[-1]]
    if operation == "update":
        assert set(unknown_id) <= set(done.rejects)
