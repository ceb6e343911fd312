"""Zoho fails in the middle of each operator, and nothing changes in what comes out."""

from __future__ import annotations

import json
import threading
import time
from itertools import pairwise
from typing import Any

import pytest
from support.connection import CONNECTION
from support.running import allow_execute_in_this_thread, context, run_to_end
from support.simulated import asked, by_id, truth

from airflow_provider_zohocrm.client.tokens import PROCESS_TOKENS
from airflow_provider_zohocrm.operators.bulk_read import ZohoBulkReadOperator
from airflow_provider_zohocrm.operators.records import ZohoGetRecordsOperator
from airflow_provider_zohocrm.operators.upsert import ZohoUpsertOperator
from airflow_provider_zohocrm.simulator.server import Simulator
from airflow_provider_zohocrm.storage import read_records

NAMES = ["Last_Name", "Company", "Customer_Number", "Description"]
SEED = {"Leads": 2_450, "Contacts": 400}
NEW = 600
STEPS = {
    "list": r"GET /crm/v8/Leads$",
    "upsert": r"POST /crm/v8/Contacts/upsert$",
    "create": r"POST /crm/bulk/v8/read$",
    "status": r"GET /crm/bulk/v8/read/\d+$",
    "result": r"GET /crm/bulk/v8/read/\d+/result$",
}


def get_records(simulator: Simulator, conn_id: str, folder: Any) -> Any:
    path = str(folder / "leads.jsonl")
    made = ZohoGetRecordsOperator(
        task_id="t", module="Leads", fields=NAMES, output_path=path, zohocrm_conn_id=conn_id
    )
    result = made.execute(context())
    said = {name: result[name] for name in ("records", "bytes", "module", "fields", "max_modified_time")}
    return said, by_id(read_records(path))


def upsert(simulator: Simulator, conn_id: str, folder: Any) -> Any:
    known = [one["Email"] for one in simulator.table("Contacts") if one["Email"]][:300]
    emails = [*known, *(f"new.{number}@example.com" for number in range(NEW))]
    records = [{"Last_Name": f"Upserted {n}", "Email": email} for n, email in enumerate(emails)]
    records[7] = {"Last_Name": "x" * 300, "Email": "too.long@example.com"}
    made = ZohoUpsertOperator(
        task_id="t",
        module="Contacts",
        records=records,
        duplicate_check_fields="Email",
        on_reject="continue",
        zohocrm_conn_id=conn_id,
    )
    result = made.execute(context())
    # Tries cost credits, too.
    counts = {name: result[name] for name in ("total", "inserted", "updated", "rejected", "unknown")}
    return counts, sorted(
        (row["Email"] or "", row["Last_Name"]) for row in truth(simulator, "Contacts").values()
    )


def bulk_read(simulator: Simulator, conn_id: str, folder: Any, *, deferrable: bool = False) -> Any:
    options = {
        "task_id": "t",
        "module": "Leads",
        "fields": NAMES,
        "output_path": str(folder / f"leads-{deferrable}.csv"),
        "deferrable": deferrable,
        "poll_interval": 0.05,
        "max_poll_interval": 0.05,
        "zohocrm_conn_id": conn_id,
    }
    result, _ = run_to_end(lambda: ZohoBulkReadOperator(**options))
    rows = [row for file in result["files"] for row in read_records(file["path"])]
    pages = [(file["page"], file["records"]) for file in result["files"]]
    return (pages, result["records"]), by_id({**row, "id": row.pop("Id")} for row in rows)


def bulk_read_deferred(simulator: Simulator, conn_id: str, folder: Any) -> Any:
    return bulk_read(simulator, conn_id, folder, deferrable=True)


TASKS = {one.__name__: one for one in (get_records, upsert, bulk_read, bulk_read_deferred)}


# --- twenty real seconds -----------------------------------------------------------------------------------------

SECONDS = 20.0
# The outage begins when each of the tasks has asked for something.
BEGUN = ("list", "upsert", "create")
OUTAGES = {
    "refused": None,
    "500": ("status", {"status": 500}),
    "429": ("too_many", {"form": "retry_after_header", "retry_after": 4}),
    "truncated": ("truncate", {"bytes": 25}),
}


def fail(simulator: Simulator, name: str) -> None:
    """Have Zoho fail for a while, once the tasks are on their way."""
    limit = time.monotonic() + 60
    while not all(asked(simulator, STEPS[one]) for one in BEGUN) and time.monotonic() < limit:
        threading.Event().wait(0.01)
    if OUTAGES[name]:
        action, options = OUTAGES[name]
        simulator.add_fault(action, path="/crm/", count=None, window=SECONDS, **options)
        return
    simulator.stop()
    threading.Event().wait(SECONDS)  # the outage itself
    simulator.start()


def run_all(name: str, folder: Any, outcomes: dict[tuple[str, str], Any]) -> None:
    """Run all tasks at once against a Zoho that fails in one way."""
    with Simulator(SEED, latency=0.25, bulk_page_size=1_000) as simulator:
        extra = {
            **CONNECTION["extra"],
            "refresh_token": simulator.refresh_token,
            "accounts_url": simulator.url,
        }
        fields = {"login": simulator.client_id, "password": simulator.client_secret}
        conn_id = f"zoho_{name}"
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(
                f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps({**CONNECTION, **fields, "extra": extra})
            )

            def run(kind: str) -> None:
                try:
                    allow_execute_in_this_thread()
                    outcomes[name, kind] = TASKS[kind](simulator, conn_id, folder)
                except BaseException as error:  # noqa: BLE001  # the tests show it
                    outcomes[name, kind] = error

            threads = [threading.Thread(target=run, args=(kind,), daemon=True) for kind in TASKS]
            if name in OUTAGES:
                threads.append(threading.Thread(target=fail, args=(simulator, name), daemon=True))
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(200)
        outcomes[name, "requests"] = simulator.requests


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Any]:
    """Run every task under every outage, all at the same time, so that twenty seconds pass once only."""
    PROCESS_TOKENS._tokens.clear()
    found: dict[tuple[str, str], Any] = {}
    threads = [
        threading.Thread(target=run_all, args=(name, tmp_path_factory.mktemp(name), found), daemon=True)
        for name in ["none", *OUTAGES]
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(240)
    return found


@pytest.mark.parametrize("kind", TASKS)
def test_without_an_outage_the_tasks_work(outcomes, kind):
    _, rows = outcomes["none", kind]
    assert len(rows) == {"upsert": SEED["Contacts"] + NEW}.get(kind, SEED["Leads"])


@pytest.mark.parametrize("kind", TASKS)
@pytest.mark.parametrize("outage", OUTAGES)
def test_twenty_seconds_without_zoho_change_nothing(outcomes, outage, kind):
    found, expected = outcomes[outage, kind], outcomes["none", kind]
    if isinstance(found, BaseException):
        raise found
    if (outage, kind) == ("truncated", "upsert"):
        # What was stored although its answer was lost is an update when it is sent again: no client can tell.
        sums = [
            {**one, "inserted": 0, "updated": one["inserted"] + one["updated"]}
            for one, _ in (found, expected)
        ]
        assert sums[0] == sums[1]
        assert found[1] == expected[1]
    else:
        assert found == expected


@pytest.mark.parametrize("outage", OUTAGES)
def test_the_outage_was_in_the_middle_of_every_task(outcomes, outage):
    """The proof that the test above tests something."""
    requests = [one for one in outcomes[outage, "requests"] if "/crm/" in one["path"]]
    for path in ("/crm/v8/Leads", "/crm/v8/Contacts/upsert", "/crm/bulk/v8/read"):
        mine = [one for one in requests if one["path"].startswith(path)]
        times = [one["time"] for one in mine]
        if outage == "refused":
            gap = max(later - earlier for earlier, later in pairwise(times))
            assert gap > SECONDS * 0.9, path
        else:
            met = [one["time"] for one in requests if one.get("fault")]
            assert times[0] < met[0] < times[-1], path
            assert times[-1] - times[0] > SECONDS * 0.9, path


# --- every step, every failure, without the waits ----------------------------------------------------------------

FAILURES = {
    "500": ("status", {"status": 500}),
    "503 html": ("html", {"status": 503}),
    "429": ("too_many", {}),
    "429 header": ("too_many", {"form": "retry_after_header"}),
    "429 details": ("too_many", {"form": "retry_after_details"}),
    "429 other code": ("too_many", {"form": "rate_limit_exceeded"}),
    "reset": ("reset_before", {}),
    "reset after": ("reset_after", {}),
    "truncated": ("truncate", {"bytes": 25}),
    "slow": ("slow", {"seconds": 0.2}),
}
KIND_OF = {
    "list": "get_records",
    "upsert": "upsert",
    "create": "bulk_read",
    "status": "bulk_read",
    "result": "bulk_read",
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Run every task once without any failure."""
    with pytest.MonkeyPatch.context() as patch, Simulator(SEED, bulk_page_size=1_000) as simulator:
        extra = {
            **CONNECTION["extra"],
            "refresh_token": simulator.refresh_token,
            "accounts_url": simulator.url,
        }
        fields = {"login": simulator.client_id, "password": simulator.client_secret}
        patch.setenv("AIRFLOW_CONN_UNDISTURBED", json.dumps({**CONNECTION, **fields, "extra": extra}))
        folder = tmp_path_factory.mktemp("undisturbed")
        found = {}
        for kind, task in TASKS.items():
            simulator.reset()
            PROCESS_TOKENS._tokens.clear()
            simulator.options.bulk_page_size = 1_000
            found[kind] = task(simulator, "undisturbed", folder)
        return found


def same(kind, found, expected, *, lost_answers):
    if kind == "upsert" and lost_answers:
        (ours, table), (theirs, wanted) = found, expected
        return table == wanted and all(ours[key] == theirs[key] for key in ("total", "rejected"))
    return found == expected


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("step", STEPS)
def test_a_step_that_fails_three_times_changes_nothing(
    simulated, undisturbed, tmp_path, no_waiting, step, failure
):
    simulator = simulated(SEED, bulk_page_size=1_000)
    action, options = FAILURES[failure]
    path = {"create": r"/bulk/v8/read$", "status": r"/read/\d+$"}.get(
        step, STEPS[step].split(" ")[1].rstrip("$")
    )
    fault = simulator.add_fault(
        action, method=STEPS[step].split(" ")[0], path=path, after=1, count=3, **options
    )
    kind = KIND_OF[step]
    found = TASKS[kind](simulator, "zohocrm_default", tmp_path)
    assert fault.met >= 1, "the failure was not met"
    assert same(kind, found, undisturbed[kind], lost_answers=action in ("reset_after", "truncate"))


@pytest.mark.parametrize("failure", ["500", "503 html", "reset", "truncated", "slow"])
def test_a_token_endpoint_that_fails_for_a_while_changes_nothing(
    simulated, undisturbed, tmp_path, no_waiting, failure
):
    simulator = simulated(SEED)
    action, options = FAILURES[failure]
    fault = simulator.add_fault(action, path="/oauth/v2/token", count=3, **options)
    assert get_records(simulator, "zohocrm_default", tmp_path) == undisturbed["get_records"]
    assert fault.met == (1 if failure == "slow" else 3)


@pytest.mark.parametrize("failure", ["500", "429", "reset", "truncated"])
def test_a_trigger_outlasts_more_failures_than_one_look_repeats(
    simulated, undisturbed, tmp_path, no_waiting, failure
):
    simulator = simulated(SEED, bulk_page_size=1_000)
    action, options = FAILURES[failure]
    # The first look is the worker's; its own retries and those of several looks of the trigger fail.
    fault = simulator.add_fault(action, path=r"/read/\d+$", after=1, count=9, **options)
    assert bulk_read_deferred(simulator, "zohocrm_default", tmp_path) == undisturbed["bulk_read_deferred"]
    assert fault.met == 9
