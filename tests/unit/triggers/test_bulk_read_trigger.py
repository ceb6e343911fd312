from __future__ import annotations

import asyncio
import inspect
import json
import logging
from types import SimpleNamespace

import pytest
from support.fresh import fresh_process
from support.running import events_of, rebuilt
from support.zoho import job

from airflow_provider_zohocrm._compat import BaseTrigger
from airflow_provider_zohocrm.client.usage import Usage
from airflow_provider_zohocrm.exceptions import (
    ZohoAuthenticationError,
    ZohoNotFoundError,
    ZohoRateLimitError,
    ZohoResponseError,
    ZohoServerError,
    ZohoTokenThrottledError,
    ZohoTransportError,
)
from airflow_provider_zohocrm.hooks import zohocrm
from airflow_provider_zohocrm.triggers import jobs
from airflow_provider_zohocrm.triggers.bulk_read import BulkReadJobTrigger

STATUSES = {"success", "error", "timeout"}


class Clock:
    """Time that passes only while something sleeps."""

    def __init__(self):
        self.now = 1_800_000_000.0
        self.sleeps = []

    async def sleep(self, seconds):
        self.sleeps.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(jobs, "time", SimpleNamespace(time=lambda: clock.now))
    monkeypatch.setattr(jobs, "asyncio", SimpleNamespace(sleep=clock.sleep, to_thread=asyncio.to_thread))
    return clock


@pytest.fixture
def answers(monkeypatch):
    """Script what a look at the job gives: a job, or an error; the last one is repeated."""
    script, made = [], []

    class Hook:
        def __init__(self, *args, **kwargs):
            made.append((args, kwargs))
            self.usage = Usage()

        async def __aenter__(self):
            return self

        async def __aexit__(self, *_):
            return None

        async def get_bulk_read_job(self, job_id):
            assert job_id == "77"
            one = script.pop(0) if len(script) > 1 else script[0]
            if isinstance(one, BaseException):
                raise one
            return one["data"][0]

    script_and_made = type("Answers", (list,), {})()
    monkeypatch.setattr(zohocrm, "ZohoCRMAsyncHook", Hook)

    def say(*items):
        script[:] = items
        return made

    script_and_made.say = say
    script_and_made.made = made
    script_and_made.left = script
    return script_and_made


def trigger(**options):
    return BulkReadJobTrigger(**{"job_id": "77", "zohocrm_conn_id": "zohocrm_default", **options})


def server_error(status=500):
    return ZohoServerError("Zoho failed", status=status)


def test_serialize_is_plain_json_under_the_public_name():
    made = trigger(
        poll_interval=12.5,
        max_poll_interval=40,
        end_time=1_800_000_000.25,
        api_version="v7",
        min_credits_remaining=500,
    )
    assert made.serialize() == (
        "airflow_provider_zohocrm.triggers.bulk_read.BulkReadJobTrigger",
        {
            "job_id": "77",
            "zohocrm_conn_id": "zohocrm_default",
            "poll_interval": 12.5,
            "max_poll_interval": 40,
            "end_time": 1_800_000_000.25,
            "api_version": "v7",
            "min_credits_remaining": 500,
        },
    )


@pytest.mark.parametrize("options", [{}, {"poll_interval": 12, "end_time": 1.5, "api_version": "v2"}])
def test_a_trigger_survives_serialisation_as_json(options):
    path, kwargs = trigger(**options).serialize()
    again = rebuilt(path, json.loads(json.dumps(kwargs)))
    assert isinstance(again, BaseTrigger)
    assert again.serialize() == (path, kwargs)


def test_every_parameter_is_serialised():
    parameters = set(inspect.signature(BulkReadJobTrigger.__init__).parameters) - {"self"}
    assert set(trigger().serialize()[1]) == parameters


def test_making_a_trigger_looks_nothing_up(monkeypatch):
    monkeypatch.setattr(zohocrm, "ZohoCRMAsyncHook", lambda *_, **__: pytest.fail("a hook was made"))
    trigger(zohocrm_conn_id="no_such_connection")


@pytest.mark.parametrize(
    ("job_answer", "expected"),
    [
        (
            job("77", "COMPLETED", count=5, more="t2"),
            {"status": "success", "state": "COMPLETED", "count": 5, "more_records": True},
        ),
        (
            job("77", "COMPLETED", count=0),
            {"status": "success", "state": "COMPLETED", "count": 0, "more_records": False},
        ),
        (
            job("77", "FAILURE", error_message={"code": "INTERNAL", "message": "broke", "details": "why"}),
            {"status": "error", "state": "FAILURE"},
        ),
        (job("77", "FAILED"), {"status": "error", "state": "FAILED"}),
    ],
)
def test_a_job_that_ends_gives_exactly_one_event(clock, answers, job_answer, expected):
    answers.say(job("77", "ADDED"), job("77", "QUEUED"), job("77", "IN PROGRESS"), job_answer)
    (event,) = events_of(trigger())
    assert event["job_id"] == "77"
    assert {key: event[key] for key in expected} == expected
    assert json.loads(json.dumps(event)) == event
    assert "77" in event["message"]


def test_a_failed_job_tells_zohos_reason(clock, answers):
    answers.say(
        job("77", "FAILURE", error_message={"code": "SOME_CODE", "message": "it broke", "details": "why"})
    )
    (event,) = events_of(trigger())
    assert not [word for word in ("SOME_CODE", "it broke", "why") if word not in event["message"]]


def test_states_nobody_documented_are_waited_out_and_logged(clock, answers, caplog):
    answers.say(job("77", "PAUSED"), job("77", "PAUSED"), job("77", "COMPLETED", count=1))
    caplog.set_level(logging.INFO)
    (event,) = events_of(trigger())
    assert event["status"] == "success"
    assert len(clock.sleeps) == 3


def test_a_result_shown_early_is_no_sign_of_the_end(clock, answers):
    early = job("77", "QUEUED", download_url="/crm/bulk/v8/read/77/result", count=9)
    answers.say(early, early, job("77", "COMPLETED", count=1))
    (event,) = events_of(trigger())
    assert event["count"] == 1


def test_the_first_look_is_after_ten_seconds_and_later_ones_are_a_minute_apart_at_most(clock, answers):
    answers.say(*[job("77", "IN PROGRESS")] * 12, job("77", "COMPLETED", count=1))
    events_of(trigger())
    assert clock.sleeps[0] >= 10
    assert min(clock.sleeps) >= 10
    assert max(clock.sleeps) <= 60
    assert clock.sleeps[-1] > 40
    assert len(set(clock.sleeps[-4:])) > 1, "without jitter all triggers ask at the same time"


def test_intervals_can_be_chosen(clock, answers):
    answers.say(*[job("77", "IN PROGRESS")] * 8, job("77", "COMPLETED", count=1))
    events_of(trigger(poll_interval=2, max_poll_interval=3))
    assert clock.sleeps[0] == 2
    assert max(clock.sleeps) <= 3


def test_the_deadline_is_wall_clock_and_the_job_is_looked_at_once_more(clock, answers):
    answers.say(job("77", "IN PROGRESS"))
    start = clock.now
    (event,) = events_of(trigger(end_time=start + 100))
    assert event["status"] == "timeout"
    assert event["state"] == "IN PROGRESS"
    assert clock.now == pytest.approx(start + 100, abs=1)


def test_a_job_that_ended_by_the_deadline_is_a_success(clock, answers):
    answers.say(job("77", "COMPLETED", count=1))
    (event,) = events_of(trigger(end_time=clock.now - 5))
    assert event["status"] == "success"


def test_a_deadline_that_is_over_gives_one_event_after_the_first_wait(clock, answers):
    answers.say(job("77", "IN PROGRESS"))
    (event,) = events_of(trigger(end_time=clock.now - 3600))
    assert event["status"] == "timeout"
    assert clock.sleeps == [10]


def test_a_trigger_that_resumes_elsewhere_keeps_its_deadline(clock, answers):
    answers.say(job("77", "IN PROGRESS"))
    start = clock.now
    path, kwargs = trigger(end_time=start + 50).serialize()
    clock.now += 30  # the triggerer was restarted
    events_of(rebuilt(path, kwargs))
    assert clock.now == pytest.approx(start + 50, abs=1)


@pytest.mark.parametrize(
    "failure",
    [
        server_error(),
        server_error(503),
        ZohoTransportError("reset"),
        ZohoRateLimitError("429", status=429),
        ZohoTokenThrottledError("Access Denied", status=200),
    ],
    ids=lambda one: type(one).__name__,
)
def test_failures_that_may_pass_are_outlasted(clock, answers, failure):
    answers.say(job("77", "ADDED"), *[failure] * 10, job("77", "COMPLETED", count=1))
    (event,) = events_of(trigger(end_time=clock.now + 1e6))
    assert event["status"] == "success"


def test_failures_that_last_end_at_the_deadline(clock, answers):
    answers.say(server_error())
    (event,) = events_of(trigger(end_time=clock.now + 300))
    assert event["status"] in STATUSES - {"success"}
    assert clock.sleeps[0] >= 10


def test_zohos_retry_after_is_kept(clock, answers):
    answers.say(ZohoRateLimitError("429", status=429, retry_after=200.0), job("77", "COMPLETED", count=1))
    events_of(trigger())
    assert clock.sleeps[1] >= 200


def test_no_token_is_asked_for_while_zoho_throttles_them(clock, answers):
    answers.say(ZohoTokenThrottledError("Access Denied", status=200), job("77", "COMPLETED", count=1))
    events_of(trigger())
    assert clock.sleeps[1] >= 600


@pytest.mark.parametrize(
    "failure",
    [
        ZohoNotFoundError("unknown job", status=404),
        ZohoAuthenticationError("invalid_code", status=200),
        ZohoResponseError("no job in it"),
        KeyError("a bug"),
    ],
    ids=lambda one: type(one).__name__,
)
def test_failures_that_last_for_ever_give_one_error_event_at_once(clock, answers, failure):
    answers.say(failure)
    (event,) = events_of(trigger())
    assert event["status"] == "error"
    assert type(failure).__name__ in event["message"]
    assert len(clock.sleeps) == 1


def test_a_missing_connection_gives_an_error_event(clock):
    (event,) = events_of(trigger(zohocrm_conn_id="no_such_conn"))
    assert event["status"] == "error"
    assert "no_such_conn" in event["message"]


def test_the_hook_is_made_once_with_the_connection_and_version_of_the_trigger(clock, answers):
    made = answers.say(job("77", "ADDED"), job("77", "ADDED"), job("77", "COMPLETED", count=1))
    events_of(trigger(zohocrm_conn_id="zoho_eu", api_version="v6"))
    ((args, kwargs),) = made
    assert args == ("zoho_eu",)
    assert kwargs["api_version"] == "v6"


def test_a_running_trigger_has_fired_nothing_and_can_be_cancelled(answers):
    answers.say(job("77", "IN PROGRESS"))

    async def run():
        task = asyncio.create_task(trigger(poll_interval=60).run().__anext__())
        await asyncio.sleep(0)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())


# --- several jobs ------------------------------------------------------------------------------------------------


@pytest.fixture
def several(monkeypatch):
    """Script the states of several jobs; the last one of each is repeated. The list names what was asked for."""
    asked = []

    def say(**states):
        class Hook:
            def __init__(self, *args, **kwargs):
                self.usage = Usage()

            async def __aenter__(self):
                return self

            async def __aexit__(self, *_):
                return None

            async def get_bulk_read_job(self, job_id):
                asked.append(job_id)
                script = states[f"j{job_id}"]
                one = script.pop(0) if len(script) > 1 else script[0]
                if isinstance(one, BaseException):
                    raise one
                return job(job_id, one, **({"count": 1} if one == "COMPLETED" else {}))["data"][0]

        monkeypatch.setattr(zohocrm, "ZohoCRMAsyncHook", Hook)
        return asked

    return say


def test_the_second_job_is_not_asked_for_while_the_first_is_running(clock, several):
    asked = several(
        j71=["ADDED", "IN PROGRESS", "COMPLETED"], j72=["COMPLETED"], j73=["IN PROGRESS"], j74=["ADDED"]
    )
    (event,) = events_of(trigger(job_id=["71", "72", "73", "74"]))
    assert asked == ["71", "71", "71", "72", "73"]
    assert (event["status"], event["job_id"], event["count"]) == ("success", "71", 1)
    assert event["jobs"] == {"71": "COMPLETED", "72": "COMPLETED"}


def test_a_failure_of_the_first_of_several_jobs_is_an_error_event_about_it(clock, several):
    several(j71=["FAILURE"], j72=["ADDED"])
    (event,) = events_of(trigger(job_id=["71", "72"]))
    assert (event["status"], event["job_id"], event["jobs"]) == ("error", "71", {"71": "FAILURE"})


def test_a_look_at_a_further_job_that_fails_does_not_keep_the_event(clock, several):
    several(j71=["COMPLETED"], j72=[server_error()])
    (event,) = events_of(trigger(job_id=["71", "72"]))
    assert (event["status"], event["jobs"]) == ("success", {"71": "COMPLETED"})


def test_a_job_that_zoho_does_not_know_is_named_for_the_worker(clock, several):
    several(j71=[ZohoNotFoundError("unknown job", status=404)], j72=["ADDED"])
    (event,) = events_of(trigger(job_id=["71", "72"]))
    assert (event["status"], event["jobs"]) == ("error", {"71": "NOT FOUND"})


def test_several_jobs_survive_serialisation():
    path, kwargs = trigger(job_id=["71", "72"]).serialize()
    assert kwargs["job_id"] == ["71", "72"]
    assert rebuilt(path, json.loads(json.dumps(kwargs))).serialize() == (path, kwargs)


def test_many_triggers_spread_their_first_looks_upward(answers, monkeypatch):
    """A lone trigger looks after exactly its interval; many that start together do not look together."""
    answers.say(job("77", "COMPLETED", count=1))
    sleeps = []

    async def run():
        all_sleep = asyncio.Event()

        async def sleep(seconds):
            sleeps.append(seconds)
            if len(sleeps) == 400:
                all_sleep.set()
            await all_sleep.wait()

        monkeypatch.setattr(jobs, "asyncio", SimpleNamespace(sleep=sleep, to_thread=asyncio.to_thread))

        async def one():
            return [event async for event in trigger().run()]

        await asyncio.gather(*(one() for _ in range(400)))

    asyncio.run(run())
    assert min(sleeps) >= 10
    assert 11 < max(sleeps) <= 12
    assert BulkReadJobTrigger._waiting == 0


def test_on_kill_only_logs(answers, zoho, monkeypatch):
    said = []
    monkeypatch.setattr(
        BulkReadJobTrigger, "log", type("Log", (), {"info": staticmethod(lambda *args: said.append(args))})
    )
    assert asyncio.run(trigger().on_kill()) is None
    assert len(said) == 1
    assert "77" in said[0]
    assert zoho.mocker.request_history == []
    assert answers.made == []


def test_a_triggerer_that_runs_its_first_trigger_is_not_blocked():
    seen = fresh_process()
    assert seen["events"] == ["timeout"]
    assert seen["longest_gap"] < 0.2, "Airflow logs that the triggerer's thread was blocked above 0.2 s"


def test_with_the_real_hook_one_connection_and_token_serve_all_looks(zoho):
    zoho.on("GET", "/crm/bulk/v8/read/77", *[job("77", "IN PROGRESS")] * 3, job("77", "COMPLETED", count=2))
    (event,) = events_of(trigger(poll_interval=0.01, max_poll_interval=0.01))
    assert event["status"] == "success"
    assert (zoho.mints, len(zoho.calls)) == (1, 4)
