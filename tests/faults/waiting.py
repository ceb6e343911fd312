"""Sensors and the notifier: how each is run, and the proof that it saw, or did, what it should."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from support.running import dag_context
from support.simulated import asked

from airflow_provider_zohocrm.notifications.zohocrm import ZohoCRMTaskNotifier
from airflow_provider_zohocrm.sensors.api_credits import ZohoApiCreditsSensor
from airflow_provider_zohocrm.sensors.bulk_read import ZohoBulkReadJobSensor
from airflow_provider_zohocrm.sensors.record import ZohoRecordSensor
from airflow_provider_zohocrm.simulator import routes
from airflow_provider_zohocrm.simulator.calls import Call

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_zohocrm.simulator.server import Simulator

# Longer than a clock is wrong.
PATIENCE = 7200.0
# Of a sensor in the worker that waits in vain: by looks and not by time, so that it has looked on a slow machine, too.
LOOKS = 2
SUBJECT = "Airflow: morning_load failed"
COMPANY = "Zylker Waiting"
FEW, SPENT = 5, 3_000_000
"""API credits that are left at the first look, and those that are spent, so that Zoho tells what is left."""


# --- how each is run -------------------------------------------------------------------------------------------------


def sensor(kind: Any, options: dict[str, Any], folder: str, **more: Any) -> Any:
    given = {"task_id": "t", "poke_interval": 0.01, "timeout": PATIENCE, **options}
    vain = not given["deferrable"] and more.pop("timeout", None) is not None
    made = kind(**{**given, **more})
    return _with_few_looks(made) if vain else made


def _with_few_looks(made: Any) -> Any:
    look, looks = made.poke, []

    def poke(context: Any) -> Any:
        looks.append(1)
        if len(looks) == LOOKS:
            made.timeout = 0.0
        return look(context)

    made.poke = poke
    return made


class Notifying:
    """Something of which a notifier tells; whatever becomes of the notification, it goes on."""

    def __init__(self, folder: str) -> None:
        self.notifier = ZohoCRMTaskNotifier(subject=SUBJECT, description="Run 1")

    def execute(self, context: Any) -> str:
        """Notify."""
        self.notifier(dag_context(**context))
        return "went on"


# --- what happens while they wait --------------------------------------------------------------------------------------


def record_comes(simulator: Simulator) -> dict[str, Any]:
    """Let somebody create the record once the sensor has looked in vain."""
    record = {"Last_Name": "Long awaited", "Company": COMPANY}
    insert = {"method": "POST", "path": "/crm/v8/Leads", "json": {"data": [record]}}
    simulator.add_fault("meanwhile", path="/coql$", calls=[insert])
    return {}


def credits_come_back(simulator: Simulator) -> dict[str, Any]:
    """Let the sensor see few API credits once."""
    simulator.state.limits.charge(SPENT)
    headers = {"X-API-CREDITS-REMAINING": str(FEW)}
    simulator.add_fault("status", path="/org$", status=200, body={"org": []}, headers=headers)
    return {}


def job_runs(simulator: Simulator) -> dict[str, Any]:
    """Let another task submit a job."""
    body = orjson.dumps({"query": {"module": {"api_name": "Contacts"}, "fields": ["Last_Name"]}})
    call = Call("POST", "/crm/bulk/v8/read", {}, {"content-type": "application/json"}, body, simulator.url)
    route, call.version, found = routes.find(call.method, call.path)
    return {"job_id": route.handler(simulator.state, call, **found).body["data"][0]["details"]["id"]}


# --- the proof -------------------------------------------------------------------------------------------------------


def check_record(simulator: Simulator, result: dict[str, Any]) -> None:
    (write,) = simulator.writes
    (record_id,) = write["ids"]
    assert result == {"record_id": record_id, "records": 1}


def check_credits(simulator: Simulator, result: int) -> None:
    limits = simulator.state.limits
    assert result == simulator.options.credits - limits.used() > FEW
    assert simulator.writes == []


def check_job(simulator: Simulator, result: dict[str, Any]) -> None:
    (*_, last) = asked(simulator, "GET /crm/bulk/")
    contacts = sum(1 for _ in simulator.table("Contacts"))
    assert result == {"job_id": last.rpartition("/")[2], "count": contacts, "more_records": False}
    assert asked(simulator, "POST /crm/bulk/|/result") == []


def check_notified(simulator: Simulator, result: str, *, doubtful: bool) -> None:
    """Count the tasks in the CRM.

    :param doubtful: whether there may be none.
    """
    made = [one for one in simulator.table("Tasks") if one["Subject"] == SUBJECT]
    assert len(made) in ((0, 1) if doubtful else (1,))
    assert len(simulator.writes) == len(made)
    assert result == "went on"


SENSORS: dict[str, tuple[Any, dict[str, Any], str, Callable[..., Any], Callable[..., None]]] = {
    "record sensor": (
        ZohoRecordSensor,
        {"module": "Leads", "where": f"Company = '{COMPANY}'"},
        "POST /crm/v8/coql",
        record_comes,
        check_record,
    ),
    "job sensor": (ZohoBulkReadJobSensor, {}, r"GET /crm/bulk/v8/read/\d+", job_runs, check_job),
    "credits sensor": (
        ZohoApiCreditsSensor,
        {"min_credits": FEW + 1},
        "GET /crm/v8/org",
        credits_come_back,
        check_credits,
    ),
}
