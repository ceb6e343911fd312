"""Sensors in the worker and in the triggerer, over sockets."""

from __future__ import annotations

import time

import pytest
from support.running import TaskDeferred, context, events_of, run_to_end
from support.simulated import asked, truth

from airflow_provider_zohocrm import (
    RecordTrigger,
    ZohoApiCreditsSensor,
    ZohoBulkReadJobSensor,
    ZohoBulkReadOperator,
    ZohoRecordSensor,
    retry_decision,
)
from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoBulkReadError,
    ZohoCRMError,
    ZohoLowCreditsError,
    ZohoPermissionError,
    ZohoScopeError,
    ZohoValidationError,
)
from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook

try:
    from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException
except ImportError:
    from airflow.exceptions import AirflowSensorTimeout, AirflowSkipException

both_ways = pytest.mark.parametrize("deferrable", [False, True], ids=["poke", "deferred"])
WON = "Last_Name = 'Won'"


def make(sensor, deferrable, **options):
    options = {"poke_interval": 0.05, "timeout": 20, **options}
    return sensor(task_id="t", deferrable=deferrable, **options)


def run(sensor, deferrable, **options):
    return run_to_end(lambda: make(sensor, deferrable, **options), limit=60)


class Later:
    """Does something to the simulator once so many looks were answered."""

    def __init__(self, monkeypatch, simulator, pattern, after, action):
        from airflow_provider_zohocrm.client import conditions

        original = conditions.RecordsCondition.seen

        def seen(condition, *args):
            found = original(condition, *args)
            if len(asked(simulator, pattern)) == after:
                action()
            return found

        monkeypatch.setattr(conditions.RecordsCondition, "seen", seen)


@both_ways
def test_a_record_that_comes_is_seen(simulated, monkeypatch, deferrable):
    simulator = simulated({"Leads": 3})
    made = []
    Later(
        monkeypatch,
        simulator,
        "/coql",
        2,
        lambda: made.extend(
            ZohoCRMHook().insert_records("Leads", [{"Last_Name": "Won", "Company": "x"}]),
        ),
    )
    result, deferrals = run(ZohoRecordSensor, deferrable, module="Leads", where=WON)
    assert result == {"record_id": made[0]["details"]["id"], "records": 1}
    assert len(asked(simulator, "/coql")) == 3
    assert [one.method for one in deferrals] == (["execute_complete"] if deferrable else [])


@both_ways
def test_what_is_there_already_is_seen_at_once(simulated, deferrable):
    simulator = simulated({"Leads": 5})
    first = next(iter(truth(simulator, "Leads")))
    result, deferrals = run(ZohoRecordSensor, deferrable, module="Leads", record_id=first)
    assert (result, deferrals) == ({"record_id": first, "records": 1}, [])
    assert asked(simulator, "/crm/") == [f"GET /crm/v8/Leads/{first}"]


@both_ways
def test_a_query_must_return_enough_rows(simulated, monkeypatch, deferrable):
    simulator = simulated({"Leads": 3})
    Later(
        monkeypatch,
        simulator,
        "/coql",
        1,
        lambda: ZohoCRMHook().insert_records("Leads", [{"Last_Name": "x", "Company": "x"}] * 2),
    )
    query = "select Last_Name from Leads where id is not null"
    result, _ = run(ZohoRecordSensor, deferrable, query=query, min_records="5")
    assert result["records"] == 5


@both_ways
@pytest.mark.parametrize(
    ("options", "error"),
    [({}, AirflowSensorTimeout), ({"soft_fail": True}, AirflowSkipException), ({"never_fail": True}, AirflowSkipException)],
)  # fmt: skip
def test_what_does_not_come_in_time_fails_or_skips(simulated, deferrable, options, error):
    simulated({"Leads": 1})
    if "never_fail" in options and not deferrable:
        error = AirflowSensorTimeout  # Airflow's own choice
    with pytest.raises(error):
        run(ZohoRecordSensor, deferrable, module="Leads", where=WON, timeout=0.2, **options)


@both_ways
def test_an_outage_is_outlasted(simulated, no_waiting, deferrable):
    simulator = simulated({"Leads": 2})
    first = next(iter(truth(simulator, "Leads")))
    simulator.add_fault("html", status=503, path="/Leads/", count=15)
    result, _ = run(ZohoRecordSensor, deferrable, module="Leads", record_id=first)
    assert result["record_id"] == first


@both_ways
def test_a_question_zoho_does_not_understand_fails_at_once(simulated, deferrable):
    simulator = simulated({"Leads": 1})
    with pytest.raises(ZohoCRMError, match="INVALID_QUERY"):
        run(ZohoRecordSensor, deferrable, module="Leads", where="Nothing_Like_It = 1", soft_fail=True)
    assert len(asked(simulator, "/coql")) == 1


def test_an_error_of_the_trigger_reaches_the_task(simulated):
    simulated({"Leads": 1})
    sensor = make(ZohoRecordSensor, True, module="Leads", where=WON, soft_fail=True)
    with pytest.raises(ZohoCRMError, match="no scope"):
        sensor.execute_complete(context(), {"status": "error", "message": "no scope"})
    with pytest.raises(ZohoCRMError, match="unknown event"):
        sensor.execute_complete(context(), None)
    sensor.never_fail = True
    with pytest.raises(AirflowSkipException):
        sensor.execute_complete(context(), {"status": "error", "message": "no scope"})


@both_ways
@pytest.mark.parametrize(
    "options",
    [
        {"module": "Leads"},
        {"module": "Leads", "record_id": "1", "where": "a = 1"},
        {"where": "a = 1"},
        {"record_id": "1"},
        {"module": "Leads", "query": "select id from Leads where id is not null"},
        {"module": "Le ads", "where": "a = 1"},
        {"module": "Leads", "record_id": "x"},
        {"query": "select id from Leads"},
        {"module": "Leads", "where": "a = 1", "min_records": "0"},
        {"module": "Leads", "where": "a = 1", "min_records": 2001},
        {"module": "Leads", "record_id": "1", "min_records": 2},
    ],
)
def test_what_cannot_be_right_fails_before_any_request(simulated, deferrable, options):
    simulator = simulated()
    with pytest.raises(ZohoValidationError):
        run(ZohoRecordSensor, deferrable, **options)
    assert asked(simulator, "/crm/") == []


def test_a_look_is_polite_by_default():
    assert ZohoRecordSensor(task_id="t", module="Leads", record_id="1").poke_interval == 60
    assert ZohoBulkReadJobSensor(task_id="t", job_id="1").poke_interval == 60
    assert ZohoApiCreditsSensor(task_id="t", min_credits=1).poke_interval == 300


def test_a_deferral_carries_what_the_sensor_was_given(simulated):
    simulated({"Leads": 1})
    sensor = ZohoRecordSensor(
        task_id="t",
        module="Leads",
        where=WON,
        deferrable=True,
        timeout=7200,
        exponential_backoff=True,
        max_wait=600,
    )
    before = time.time()
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(context())
    path, kwargs = deferred.value.trigger.serialize()
    assert path == "airflow_provider_zohocrm.triggers.record.RecordTrigger"
    assert before + 7200 <= kwargs.pop("end_time") <= time.time() + 7200
    assert kwargs == {
        "module": None,
        "record_id": None,
        "query": f"select id from Leads where {WON}",
        "min_records": 1,
        "zohocrm_conn_id": "zohocrm_default",
        "poll_interval": 60,
        "max_poll_interval": 600,
        "api_version": None,
        "min_credits_remaining": None,
    }
    assert deferred.value.timeout.total_seconds() == 7200 + 180


# --- what the looks use --------------------------------------------------------------------------------------------


@both_ways
@pytest.mark.parametrize("of", ["operator", "connection"])
@pytest.mark.parametrize("kind", [ZohoRecordSensor, ZohoBulkReadJobSensor])
def test_the_credits_of_others_are_not_spent_on_looks(simulated, connection, tmp_path, deferrable, of, kind):
    simulator = simulated({"Leads": 1}, job_seconds=3600, credits=200)
    options = {"module": "Leads", "where": WON}
    if kind is ZohoBulkReadJobSensor:
        options = {"job_id": submitted(tmp_path)}
    if of == "operator":
        options["min_credits_remaining"] = 50
    else:
        extra = {"refresh_token": simulator.refresh_token, "accounts_url": simulator.url}
        extra["min_credits_remaining"] = 50
        connection(login=simulator.client_id, password=simulator.client_secret, extra=extra)
    simulator.state.limits.charge(200 - simulator.state.limits.used() - 53)
    with pytest.raises(ZohoLowCreditsError, match="min_credits_remaining keeps 50"):
        run(kind, deferrable, **options)
    assert simulator.state.limits.used() == 150
    simulator.state.limits.charge(-3)
    with pytest.raises(AirflowSkipException, match="min_credits_remaining keeps 50"):
        run(kind, deferrable, on_low_credits="skip", **options)


@pytest.mark.parametrize("fault", ["throttled", "slow"])
def test_the_deadline_ends_a_look_that_waits(simulated, monkeypatch, fault):
    from airflow_provider_zohocrm.triggers import outages

    monkeypatch.setattr(outages, "GRACE", 0.5)
    simulator = simulated({"Leads": 1})
    if fault == "throttled":
        simulator.configure(mint_limit=0)
    else:
        simulator.configure(latency=60)
    begun = time.monotonic()
    trigger = RecordTrigger("zohocrm_default", "Leads", "1", end_time=time.time() + 1, poll_interval=0.1)
    (event,) = events_of(trigger)
    assert event["status"] == "timeout"
    assert time.monotonic() - begun < 30


@both_ways
@pytest.mark.parametrize(
    ("code", "status", "kind", "action"),
    [
        ("OAUTH_SCOPE_MISMATCH", 401, ZohoScopeError, "fail"),
        ("NO_PERMISSION", 403, ZohoPermissionError, "fail"),
        ("INVALID_QUERY", 400, ZohoAPIError, "fail"),
    ],
)
def test_retry_policies_know_what_was_met_in_the_triggerer(
    simulated, monkeypatch, deferrable, code, status, kind, action
):
    simulator = simulated({"Leads": 3})

    def refuse():
        body = {"code": code, "details": {}, "message": "no", "status": "error"}
        simulator.add_fault("status", path="/coql", status=status, body=body, count=None)

    Later(monkeypatch, simulator, "/coql", 1, refuse)
    with pytest.raises(ZohoCRMError) as raised:
        run(ZohoRecordSensor, deferrable, module="Leads", where=WON)
    assert type(raised.value) is kind
    assert (raised.value.code, raised.value.status) == (code, status)
    assert retry_decision(raised.value).action == action


@pytest.mark.parametrize(
    "event",
    [{"status": "low_credits", "message": "few", "credits_remaining": 3, "min_credits_remaining": 9}, "odd"],
)
def test_never_fail_skips_whatever_the_trigger_says(simulated, event):
    simulated({"Leads": 1})
    sensor = make(ZohoRecordSensor, True, module="Leads", where=WON, never_fail=True)
    with pytest.raises(AirflowSkipException):
        sensor.execute_complete(context(), event)


@both_ways
def test_all_looks_are_counted(simulated, monkeypatch, deferrable):
    simulator = simulated({"Leads": 3})
    Later(
        monkeypatch,
        simulator,
        "/coql",
        3,
        lambda: ZohoCRMHook().insert_records("Leads", [{"Last_Name": "Won", "Company": "x"}]),
    )
    given = context()
    run_to_end(lambda: make(ZohoRecordSensor, deferrable, module="Leads", where=WON), given)
    assert given["ti"].xcoms["api_usage"]["calls"] == len(asked(simulator, "/coql")) == 4


# --- bulk read jobs ------------------------------------------------------------------------------------------------


def submitted(tmp_path):
    operator = ZohoBulkReadOperator(
        task_id="s", module="Leads", output_path=str(tmp_path / "x.csv"), wait_for_completion=False
    )
    return operator.execute(context())["job_id"]


@both_ways
def test_a_job_is_waited_for(simulated, tmp_path, deferrable):
    simulated({"Leads": 40})
    job_id = submitted(tmp_path)
    result, deferrals = run(ZohoBulkReadJobSensor, deferrable, job_id=job_id)
    assert result == {"job_id": job_id, "count": 40, "more_records": False}
    assert len(deferrals) == deferrable


@both_ways
@pytest.mark.parametrize("soft", [False, True])
def test_a_job_that_fails(simulated, tmp_path, deferrable, soft):
    simulator = simulated({"Leads": 4})
    simulator.configure(job_failure="INTERNAL_ERROR")
    job_id = submitted(tmp_path)
    kind = AirflowSkipException if soft else ZohoBulkReadError
    with pytest.raises(kind) as raised:
        run(ZohoBulkReadJobSensor, deferrable, job_id=job_id, soft_fail=soft)
    # Airflow's own sensor skips a task that was deferred with words of its own.
    assert "INTERNAL_ERROR" in f"{raised.value} {raised.value.__context__}"


@both_ways
def test_a_job_that_does_not_end(simulated, tmp_path, deferrable):
    simulated({"Leads": 4}, job_stuck=True)
    with pytest.raises(AirflowSensorTimeout):
        run(ZohoBulkReadJobSensor, deferrable, job_id=submitted(tmp_path), timeout=0.2)


# --- credits -------------------------------------------------------------------------------------------------------


@both_ways
def test_unspent_credits_are_enough(simulated, deferrable):
    simulator = simulated(credits=10_000)
    assert run(ZohoApiCreditsSensor, deferrable, min_credits=9_999)[0] is None
    assert asked(simulator, "/crm/") == ["GET /crm/v8/org"]


@both_ways
def test_credits_are_waited_for(simulated, monkeypatch, deferrable):
    simulator = simulated({"Leads": 1}, credits=100)
    simulator.state.limits.charge(80)
    from airflow_provider_zohocrm.client import conditions

    original, looks = conditions.CreditsCondition.seen, []

    def seen(condition, call, answer, usage):
        looks.append(usage.remaining)
        if len(looks) == 3:
            simulator.configure(credits=160)
        return original(condition, call, answer, usage)

    monkeypatch.setattr(conditions.CreditsCondition, "seen", seen)
    result, _ = run(ZohoApiCreditsSensor, deferrable, min_credits="60")
    assert looks == [19, 18, 17, 76]
    assert result == 76


@both_ways
def test_no_credits_at_all_is_not_enough_either(simulated, monkeypatch, no_waiting, deferrable):
    simulator = simulated({"Leads": 1}, credits=100)
    simulator.state.limits.charge(100)
    with pytest.raises(AirflowSensorTimeout):
        run(ZohoApiCreditsSensor, deferrable, min_credits=1, timeout=0.3)
    assert {one["status"] for one in simulator.requests if one["path"].endswith("/org")} == {429}
    # Nothing repeats a call that asks whether there are credits for calls.
    assert no_waiting == []
