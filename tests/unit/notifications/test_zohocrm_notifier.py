"""The notifier: what it creates, and that it never fails whoever calls it."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from support.simulated import asked

from airflow_provider_zohocrm import ZohoCRMTaskNotifier
from airflow_provider_zohocrm.simulator.server import Simulator

try:
    from airflow.sdk import DAG
except ImportError:
    from airflow.models.dag import DAG

DAG_OF_RUN = DAG("morning_load", start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), schedule=None)


@pytest.fixture
def simulator(connection):
    with Simulator({"Leads": 2, "Accounts": 1, "Tasks": 0, "Notes": 0}) as running:
        extra = {"refresh_token": running.refresh_token, "accounts_url": running.url}
        connection(login=running.client_id, password=running.client_secret, extra=extra)
        yield running


def run_context(**more):
    return {
        "dag": DAG_OF_RUN,
        "dag_run": SimpleNamespace(state="failed"),
        "run_id": "manual__1",
        "reason": "task_failure",
        **more,
    }


def created(simulator, module):
    return [dict(record) for record in simulator.table(module)]


def logged(caplog):
    """What the notifier has logged; Airflow's own templater has its say, too."""
    errors = [one for one in caplog.records if one.levelno >= logging.ERROR]
    return [
        one.getMessage() for one in errors if one.name.startswith("airflow_provider_zohocrm.notifications")
    ]


def by_call(notifier, context):
    notifier(context)


def by_await(notifier, context):
    notifier.context = context

    async def run():
        await notifier

    asyncio.run(run())


both_ways = pytest.mark.parametrize("notify", [by_call, by_await])


@both_ways
def test_a_failed_run_becomes_a_task(simulator, notify):
    lead = next(simulator.table("Leads"))["id"]
    before = datetime.now(timezone.utc).date()
    notifier = ZohoCRMTaskNotifier(
        subject="{{ dag.dag_id }} {{ run_id }}",
        due_in_days="{{ 2 }}",
        related_id=lead,
        related_module="Leads",
        fields={"Send_Notification_Email": True},
    )
    notify(notifier, run_context())
    (task,) = created(simulator, "Tasks")
    assert task["Subject"] == "morning_load manual__1"
    assert "task_failure" in task["Description"]
    assert task["Priority"] == "High"
    assert task["What_Id"]["id"] == lead
    assert task["Send_Notification_Email"] is True
    assert task["Due_Date"] in {(before + timedelta(days=days)).isoformat() for days in (2, 3)}


def test_the_default_names_dag_state_run_and_reason(simulator):
    ZohoCRMTaskNotifier()(run_context(ti=SimpleNamespace(task_id="export")))
    (task,) = created(simulator, "Tasks")
    assert task["Subject"] == "Airflow: morning_load failed"
    assert task["Description"] == "Run: manual__1\nTask: export\nReason: task_failure"


@both_ways
def test_it_may_be_a_note_on_a_record(simulator, notify):
    lead = next(simulator.table("Leads"))["id"]
    options = {"creates": "note", "related_id": lead, "related_module": "Leads"}
    notify(ZohoCRMTaskNotifier(subject="s" * 300, description="{{ run_id }}", **options), run_context())
    (note,) = created(simulator, "Notes")
    assert note["Parent_Id"]["id"] == lead
    assert note["Note_Content"] == "manual__1"
    assert (len(note["Note_Title"]), note["Note_Title"][-1]) == (120, "…")


@both_ways
@pytest.mark.parametrize(
    "options",
    [
        {"creates": "poem"},
        {"creates": "note"},
        {"related_id": "1"},
        {"related_id": "x", "related_module": "Leads"},
        {"owner_id": "x"},
        {"due_in_days": "soon"},
        {"fields": "{"},
        {"subject": "{{ nothing.of.this.name }}"},
        {"zohocrm_conn_id": "no_such_conn"},
    ],
    ids=str,
)
def test_what_cannot_be_right_is_logged_and_not_raised(simulator, caplog, notify, options):
    notify(ZohoCRMTaskNotifier(**options), run_context())
    assert len(logged(caplog)) == 1
    assert asked(simulator, "/crm/") == []


@both_ways
def test_a_refusal_or_an_outage_is_logged_and_not_raised(simulator, caplog, no_waiting, notify):
    notify(ZohoCRMTaskNotifier(fields={"Due_Date": "no date"}), run_context())
    assert "INVALID_DATA" in logged(caplog)[0]
    simulator.add_fault("html", status=503, path="/Tasks", count=None)
    notify(ZohoCRMTaskNotifier(), run_context())
    assert "503" in logged(caplog)[1]
    assert created(simulator, "Tasks") == []
    # An insert is not repeated, as Zoho may have made it.
    assert len(asked(simulator, "/Tasks")) == 2


def test_the_event_loop_is_not_blocked(simulator):
    simulator.add_fault("delay", path="/Tasks", seconds=0.3)

    async def run():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        notifier = ZohoCRMTaskNotifier()
        notifier.context = run_context()
        await notifier
        ticking.cancel()
        return ticks

    assert asyncio.run(run()) > 5
    assert len(created(simulator, "Tasks")) == 1
