"""What every operator tells of the quotas it used, and how it stops when credits are low."""

from __future__ import annotations

import logging

import pytest
from support.running import TaskDeferred, context, events_of, rebuilt
from support.zoho import job, job_added, page, refusal

from airflow_provider_zohocrm import ZohoBulkReadOperator, ZohoCRMHook, ZohoGetRecordsOperator, _compat
from airflow_provider_zohocrm.exceptions import ZohoLowCreditsError, ZohoNotFoundError, ZohoValidationError
from airflow_provider_zohocrm.operators.base import ZohoOperator
from airflow_provider_zohocrm.operators.usage import current_account

LEADS = "/crm/v8/Leads"
READ = "/crm/bulk/v8/read"
SKIP = type(_compat.skip_exception(""))


def told(body, left):
    return {"json": body, "headers": {"X-API-CREDITS-REMAINING": str(left)}, "status_code": 200}


def records(*ids):
    return [{"id": str(each), "Last_Name": "x"} for each in ids]


@pytest.fixture
def metrics(monkeypatch):
    sent = []
    from airflow_provider_zohocrm.operators import usage

    monkeypatch.setattr(usage, "count_metric", lambda *metric: sent.append(metric))
    return sent


@pytest.fixture(autouse=True)
def no_account_is_left():
    yield
    assert current_account.get() is None


def lists(**options):
    return ZohoGetRecordsOperator(task_id="t", module="Leads", fields=["Last_Name"], **options)


def usage_of(given):
    used = given["ti"].xcoms["api_usage"]
    assert used.pop("seconds") >= 0
    return used


class Store:
    """Airflow's task state store."""

    def __init__(self):
        self.kept = {}

    def get(self, key, default=None):
        return self.kept.get(key, default)

    def set(self, key, value):
        self.kept[key] = value

    def delete(self, key):
        self.kept.pop(key, None)


def try_of(store, number, max_tries=2):
    given = context(task_state_store=store)
    given["ti"].try_number, given["ti"].max_tries = number, max_tries
    return given


# --- what is told --------------------------------------------------------------------------------------------------


def test_usage_goes_to_log_xcom_and_metrics(zoho, metrics, caplog):
    caplog.set_level(logging.INFO)
    zoho.on("GET", LEADS, refusal(429, "TOO_MANY_REQUESTS"), told(page(records(1)), 4321))
    given = context()
    lists().execute(given)
    assert usage_of(given) == {
        "calls": 2,
        "credits": 2,
        "credits_remaining": 4321,
        "rate_limited": 1,
        "tokens_minted": 1,
    }
    (line,) = [one for one in caplog.messages if one.startswith("Zoho CRM: ")]
    assert line.startswith(
        "Zoho CRM: calls 2, credits 2, credits_remaining 4321, rate_limited 1, tokens_minted 1, seconds 0."
    )
    tags = {"dag_id": lists().dag_id, "task_id": "t", "conn_id": "zohocrm_default"}
    assert metrics == [
        ("zohocrm.calls", 2, tags),
        ("zohocrm.credits", 2, tags),
        ("zohocrm.rate_limited", 1, tags),
        ("zohocrm.token_minted", 1, tags),
    ]


def test_usage_is_told_of_a_task_that_fails(zoho, metrics, caplog):
    caplog.set_level(logging.INFO)
    zoho.on("GET", LEADS, refusal(400, "INVALID_MODULE"))
    given = context()
    with pytest.raises(ZohoNotFoundError):
        lists().execute(given)
    assert usage_of(given)["calls"] == 1
    assert sum(one.startswith("Zoho CRM: calls 1, ") for one in caplog.messages) == 1
    assert metrics[0][:2] == ("zohocrm.calls", 1)


def test_an_xcom_that_cannot_be_pushed_hides_no_failure(zoho, caplog):
    zoho.on("GET", LEADS, refusal(400, "INVALID_MODULE"))
    given = context()

    def push(key, value):
        raise RuntimeError("the API server is gone")

    given["ti"].xcom_push = push
    with pytest.raises(ZohoNotFoundError):
        lists().execute(given)
    assert "XCom api_usage was not pushed: the API server is gone" in caplog.text


def test_metrics_that_cannot_be_sent_are_no_failure(zoho, monkeypatch):
    zoho.on("GET", LEADS, page(records(1)))
    plain = _compat.import_module
    monkeypatch.setattr(_compat, "import_module", lambda name: 1 / 0 if "stats" in name else plain(name))
    assert lists().execute(context()) == records(1)


def test_metrics_reach_airflows_own_counters(zoho, monkeypatch):
    sent = []

    class Backend:
        def incr(self, stat, count=1, rate=1, *, tags=None):
            sent.append((stat, count, tags["conn_id"]))

    try:
        from airflow.sdk.observability import stats
    except ImportError:
        from airflow.stats import Stats as stats  # a class that is used as a module
    monkeypatch.setattr(stats, "incr", Backend().incr)
    zoho.on("GET", LEADS, page(records(1)))
    lists().execute(context())
    assert sent == [
        (f"zohocrm.{name}", 1, "zohocrm_default") for name in ("calls", "credits", "token_minted")
    ]


def test_an_xcom_is_pushed_for_each_mapped_task_also_without_a_return_value(zoho):
    zoho.on("GET", LEADS, page(records(1)))
    mapped = ZohoGetRecordsOperator.partial(task_id="t", fields=["Last_Name"], do_xcom_push=False)
    made = mapped.expand(module=["Leads"]).unmap({"module": "Leads"})
    given = context()
    made.execute(given)
    assert usage_of(given)["calls"] == 1


def test_an_operator_of_ones_own_is_counted_once_with_all_its_hooks(zoho):
    class Twice(ZohoGetRecordsOperator):
        def execute(self, context):
            self._hook().get_record("Leads", "1")
            return super().execute(context)

    zoho.on("GET", f"{LEADS}/1", page(records(1)))
    zoho.on("GET", LEADS, page(records(1)))
    given = context()
    Twice(task_id="t", module="Leads", fields=["Last_Name"]).execute(given)
    assert usage_of(given)["calls"] == 2
    assert [key for key, _ in given["ti"].pushed].count("api_usage") == 1


def test_an_operator_that_inherits_execute_from_elsewhere_is_counted():
    class Foreign(_compat.BaseOperator):
        def execute(self, context):
            return current_account.get()

    class Mixed(ZohoOperator, Foreign):
        pass

    given = context()
    assert Mixed(task_id="t").execute(given) is not None
    assert usage_of(given)["calls"] == 0


# --- deferrals and tries -------------------------------------------------------------------------------------------


def deferred(operator, given):
    with pytest.raises(TaskDeferred) as found:
        operator.execute(given)
    return found.value


def bulk(tmp_path, **options):
    options = {"deferrable": True, "poll_interval": 0, **options}
    return ZohoBulkReadOperator(
        task_id="t", module="Leads", fields=["Last_Name"], output_path=str(tmp_path / "out.csv"), **options
    )


def test_usage_adds_up_over_a_deferral_with_the_looks_of_the_trigger(zoho, metrics, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    zoho.on("POST", READ, job_added("71"))
    zoho.on("GET", f"{READ}/71", job("71", "ADDED"), job("71", "ADDED"), job("71", "FAILURE"))
    given = context()
    found = deferred(bulk(tmp_path), given)
    assert "api_usage" not in given["ti"].xcoms
    assert not any(one.startswith("Zoho CRM:") for one in caplog.messages)
    assert sum(count for name, count, _ in metrics if name == "zohocrm.credits") == 51
    path, kwargs = found.trigger.serialize()
    (event,) = events_of(rebuilt(path, kwargs))
    assert event["api_usage"]["calls"] == 2
    with pytest.raises(Exception, match="Bulk read job 71 failed"):
        bulk(tmp_path).resume_execution(found.method_name, {**found.kwargs, "event": event}, given)
    used = usage_of(given)
    assert (used["calls"], used["credits"]) == (5, 54)
    # Each run adds what is new.
    assert sum(count for name, count, _ in metrics if name == "zohocrm.credits") == 54


def test_usage_adds_up_over_tries_where_there_is_a_store(zoho):
    store = Store()
    zoho.on("GET", LEADS, refusal(400, "INVALID_DATA"), page(records(1)))
    first = try_of(store, 1)
    with pytest.raises(Exception, match="INVALID_DATA"):
        lists().execute(first)
    second = try_of(store, 2)
    lists().execute(second)
    assert (usage_of(first)["calls"], usage_of(second)["calls"]) == (1, 2)
    assert store.kept == {}


def test_a_cleared_task_counts_anew(zoho):
    store = Store()
    zoho.on("GET", LEADS, refusal(400, "INVALID_DATA"), page(records(1)))
    with pytest.raises(Exception, match="INVALID_DATA"):
        lists().execute(try_of(store, 1))
    cleared = try_of(store, 2, max_tries=3)
    lists().execute(cleared)
    assert usage_of(cleared)["calls"] == 1


class KilledError(BaseException):
    pass


def test_what_a_killed_try_had_used_by_its_last_checkpoint_counts(zoho, tmp_path, monkeypatch):
    store = Store()
    zoho.on("POST", READ, job_added("71"))
    zoho.on("GET", f"{READ}/71", job("71", "FAILURE"))
    with monkeypatch.context() as patch:
        # A kill leaves no time to tell anything.
        patch.setattr(ZohoOperator, "_settle", lambda *_, **__: None)
        patch.setattr(ZohoCRMHook, "get_bulk_read_job", lambda *_: (_ for _ in ()).throw(KilledError))
        with pytest.raises(KilledError):
            bulk(tmp_path, deferrable=False).execute(try_of(store, 1))
    given = try_of(store, 2)
    with pytest.raises(Exception, match="Bulk read job 71 failed"):
        bulk(tmp_path, deferrable=False).execute(given)
    used = usage_of(given)
    assert (used["calls"], used["credits"]) == (2, 51)


def test_a_deferral_that_timed_out_is_told_too(zoho, tmp_path):
    store = Store()
    zoho.on("POST", READ, job_added("71"))
    zoho.on("GET", f"{READ}/71", job("71", "ADDED"))
    deferred(bulk(tmp_path), try_of(store, 1))
    given = try_of(store, 1)
    with pytest.raises(Exception, match="Trigger timeout"):
        bulk(tmp_path).resume_execution("__fail__", {"error": "Trigger timeout"}, given)
    assert usage_of(given)["credits"] == 51


# --- low credits ---------------------------------------------------------------------------------------------------


def low(zoho, left=400):
    zoho.on("GET", LEADS, told(page(records(1), more="two"), left), told(page(records(2)), left))


def test_a_task_stops_before_the_call_that_would_leave_too_few(zoho):
    low(zoho)
    given = context()
    with pytest.raises(ZohoLowCreditsError) as stopped:
        lists(min_credits_remaining="500").execute(given)
    assert (stopped.value.remaining, stopped.value.wanted) == (400, 500)
    assert len(zoho.calls) == 1
    assert usage_of(given)["credits_remaining"] == 400


def test_the_bound_of_the_connection_holds_unless_the_operator_has_its_own(zoho, connection):
    connection(extra={"min_credits_remaining": 500})
    low(zoho)
    with pytest.raises(ZohoLowCreditsError):
        lists().execute(context())
    low(zoho)
    assert len(lists(min_credits_remaining=0).execute(context())) == 2
    low(zoho)
    assert len(lists(min_credits_remaining=399).execute(context())) == 2


def test_the_task_is_skipped_where_that_is_asked_for(zoho):
    low(zoho)
    given = context()
    with pytest.raises(SKIP, match="min_credits_remaining keeps 500"):
        lists(min_credits_remaining=500, on_low_credits="skip").execute(given)
    assert usage_of(given)["calls"] == 1


def test_another_failure_is_not_skipped(zoho):
    zoho.on("GET", LEADS, refusal(400, "INVALID_MODULE"))
    with pytest.raises(ZohoNotFoundError):
        lists(min_credits_remaining=500, on_low_credits="skip").execute(context())


@pytest.mark.parametrize(
    "options", [{"min_credits_remaining": "many"}, {"min_credits_remaining": -1}, {"on_low_credits": "wait"}]
)
def test_bounds_that_cannot_be_right_fail_before_any_request(zoho, options):
    with pytest.raises(ZohoValidationError, match=next(iter(options))):
        lists(**options).execute(context())
    assert zoho.mocker.request_history == []


def test_the_trigger_looks_no_more_and_the_task_fails_or_is_skipped(zoho, tmp_path):
    zoho.on("POST", READ, job_added("71"))
    zoho.on("GET", f"{READ}/71", job("71", "ADDED"), told(job("71", "ADDED"), 400))
    found = deferred(bulk(tmp_path, min_credits_remaining=500), context())
    path, kwargs = found.trigger.serialize()
    assert kwargs["min_credits_remaining"] == 500
    (event,) = events_of(rebuilt(path, kwargs))
    assert (event["status"], event["credits_remaining"], event["api_usage"]["calls"]) == (
        "low_credits",
        400,
        1,
    )
    arguments = {**found.kwargs, "event": event}
    with pytest.raises(ZohoLowCreditsError, match="the organisation has 400 left") as stopped:
        bulk(tmp_path).resume_execution(found.method_name, arguments, context())
    assert (stopped.value.remaining, stopped.value.wanted) == (400, 500)
    with pytest.raises(SKIP):
        bulk(tmp_path, on_low_credits="skip").resume_execution(found.method_name, arguments, context())


def test_the_trigger_takes_the_bound_of_the_connection(zoho, connection, tmp_path):
    connection(extra={"min_credits_remaining": 500})
    zoho.on("POST", READ, job_added("71"))
    zoho.on("GET", f"{READ}/71", job("71", "ADDED"), told(job("71", "ADDED"), 400))
    found = deferred(bulk(tmp_path), context())
    (event,) = events_of(rebuilt(*found.trigger.serialize()))
    assert event["status"] == "low_credits"
