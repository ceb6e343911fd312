from __future__ import annotations

import csv
import io
import json
import time
from datetime import timedelta

import pytest
from support.running import TaskDeferred, context, render, run_to_end
from support.zoho import SECRETS, fields, job, job_added, refusal, zipped

from airflow_provider_zohocrm.client import job_run
from airflow_provider_zohocrm.exceptions import (
    ZohoBulkReadError,
    ZohoBulkReadTimeoutError,
    ZohoCRMError,
    ZohoNotFoundError,
    ZohoUntrustedHostError,
    ZohoValidationError,
)
from airflow_provider_zohocrm.extraction import bulk
from airflow_provider_zohocrm.operators import bulk_read as operator_module
from airflow_provider_zohocrm.operators.bulk_read import ZohoBulkReadOperator
from airflow_provider_zohocrm.operators.checkpoint import Checkpoint
from airflow_provider_zohocrm.storage import read_records

READ = "/crm/bulk/v8/read"
ROWS = [["4150868000000376008", 'Bo"yle,\nSam'], ["4150868000000376009", "Ünal 株"]]
both_ways = pytest.mark.parametrize("deferrable", [False, True], ids=["in the worker", "deferred"])


def csv_text(rows, header=("Id", "Last_Name")):
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    return text.getvalue()


def script_job(zoho, job_id, *states, rows=ROWS, more=False, count=None, content=None):
    """Script one job: its states, then COMPLETED, then its zip."""
    done = job(job_id, "COMPLETED", count=len(rows) if count is None else count, more=more)
    zoho.on("GET", f"{READ}/{job_id}", *[job(job_id, state) for state in states], done)
    answers = [{"content": one} for one in content or [zipped(f"{job_id}.csv", csv_text(rows))]]
    zoho.on("GET", f"{READ}/{job_id}/result", *answers)


class Clock:
    """Time that passes only while the export sleeps."""

    def __init__(self):
        self.now = 1_800_000_000.0
        self.sleeps = []

    def time(self):
        return self.now

    def sleep(self, seconds):
        self.sleeps.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(bulk, "time", clock)
    monkeypatch.setattr(job_run, "time", clock)
    return clock


@pytest.fixture
def options(tmp_path):
    return {
        "task_id": "t",
        "module": "Leads",
        "fields": ["Last_Name"],
        "output_path": str(tmp_path / "leads.csv"),
        "poll_interval": 0.01,
        "max_poll_interval": 0.01,
    }


def run(options, given=None, **more):
    return run_to_end(lambda: ZohoBulkReadOperator(**{**options, **more}), given)


@both_ways
def test_a_job_is_submitted_awaited_downloaded_and_unpacked(zoho, options, deferrable):
    zoho.on("POST", READ, job_added("71"))
    script_job(zoho, "71", "ADDED", "QUEUED", "IN PROGRESS")
    result, deferrals = run(options, deferrable=deferrable)
    path = options["output_path"]
    assert [(row["Id"], row["Last_Name"]) for row in read_records(path)] == [tuple(row) for row in ROWS]
    assert result["records"] == 2
    assert result["module"] == "Leads"
    (file,) = result["files"]
    assert file["bytes"] > 0
    assert {**file, "bytes": 0} == {"path": path, "records": 2, "bytes": 0, "job_id": "71", "page": 1}
    assert len(deferrals) == deferrable


def test_the_deferral_carries_what_is_needed_and_nothing_secret(zoho, options):
    zoho.on("POST", READ, job_added("71"))
    script_job(zoho, "71", "ADDED")
    before = time.time()
    _, (deferral,) = run(options, deferrable=True, timeout=500, api_version="v8")
    assert deferral.path == "airflow_provider_zohocrm.triggers.bulk_read.BulkReadJobTrigger"
    assert deferral.method == "execute_complete"
    assert deferral.trigger["job_id"] == "71"
    assert deferral.trigger["zohocrm_conn_id"] == "zohocrm_default"
    assert deferral.trigger["end_time"] == pytest.approx(before + 500, abs=30)
    assert "secret" not in json.dumps([deferral.trigger, deferral.kwargs])
    # The trigger's own deadline comes first, so that the task can say what happened.
    assert deferral.timeout > timedelta(seconds=500)


def test_with_its_defaults_the_trigger_looks_first_after_ten_seconds(zoho, options):
    zoho.on("POST", READ, job_added("71"))
    script_job(zoho, "71", "ADDED")
    options = {key: value for key, value in options.items() if "interval" not in key}
    with pytest.raises(TaskDeferred) as deferred:
        ZohoBulkReadOperator(**options, deferrable=True).execute(context())
    kwargs = deferred.value.trigger.serialize()[1]
    assert (kwargs["poll_interval"], kwargs["max_poll_interval"]) == (10, 60)


def test_a_job_that_is_done_at_the_first_look_is_not_deferred(zoho, options):
    zoho.on("POST", READ, job_added("71"))
    script_job(zoho, "71")
    result, deferrals = run(options, deferrable=True)
    assert (result["records"], deferrals) == (2, [])


@both_ways
def test_the_job_id_is_in_xcom_before_the_wait(zoho, options, deferrable):
    given = context()
    seen = []

    def status(_request, _context):
        seen.append(given["ti"].xcoms.get("job_id"))
        return job("71", "COMPLETED", count=2)

    zoho.on("POST", READ, job_added("71"))
    script_job(zoho, "71")
    zoho.on_callback("GET", f"{READ}/71", status)
    run(options, given, deferrable=deferrable)
    assert seen[0] == "71"
    assert isinstance(given["ti"].xcoms["job_id"], str)


@both_ways
def test_several_pages_are_several_jobs_and_files(zoho, options, deferrable):
    rows = [[[str(page), f"row {page}"]] for page in (1, 2, 3)]
    zoho.on("POST", READ, job_added("71"), job_added("72"), job_added("73"))
    script_job(zoho, "71", "ADDED", rows=rows[0], more="t2")
    script_job(zoho, "72", "ADDED", rows=rows[1], more="t3")
    script_job(zoho, "73", "ADDED", rows=rows[2])
    given = context()
    result, deferrals = run(options, given, deferrable=deferrable)
    first = options["output_path"]
    assert [file["path"] for file in result["files"]] == [
        first,
        first.replace(".csv", "-0002.csv"),
        first.replace(".csv", "-0003.csv"),
    ]
    assert [(file["job_id"], file["page"], file["records"]) for file in result["files"]] == [
        ("71", 1, 1),
        ("72", 2, 1),
        ("73", 3, 1),
    ]
    assert [next(iter(read_records(file["path"])))["Id"] for file in result["files"]] == ["1", "2", "3"]
    assert result["records"] == 3
    assert [value for key, value in given["ti"].pushed if key == "job_id"] == ["71", "72", "73"]
    assert len(deferrals) == 3 * deferrable
    bodies = [one.json for one in zoho.calls if one.method == "POST"]
    assert bodies == [
        {"query": {"module": {"api_name": "Leads"}, "fields": ["Last_Name"], "page": 1}},
        {"query": {"page_token": "t2"}},
        {"query": {"page_token": "t3"}},
    ]


def test_the_next_job_is_submitted_before_the_result_of_the_one_before_is_downloaded(zoho, options):
    zoho.on("POST", READ, job_added("71"), job_added("72"))
    script_job(zoho, "71", more="t2")
    script_job(zoho, "72")
    run(options)
    asked = zoho.asked
    assert (
        asked.index(f"GET {READ}/71/result") > [n for n, one in enumerate(asked) if one == f"POST {READ}"][1]
    )


@pytest.mark.parametrize("version", ["v2", "v2.1", "v5"])
def test_older_versions_go_on_by_page_number(zoho, options, version):
    read = f"/crm/bulk/{version}/read"
    zoho.on("POST", read, job_added("71"), job_added("72"))
    for job_id, more in (("71", True), ("72", False)):
        done = job(job_id, "COMPLETED", count=2)
        done["data"][0]["result"] |= {"more_records": more, "download_url": f"{read}/{job_id}/result"}
        zoho.on("GET", f"{read}/{job_id}", done)
        zoho.on("GET", f"{read}/{job_id}/result", {"content": zipped(f"{job_id}.csv", csv_text(ROWS))})
    result, _ = run(options, api_version=version)
    assert result["records"] == 4
    module = "Leads" if version == "v2" else {"api_name": "Leads"}
    bodies = [one.json["query"] for one in zoho.calls if one.method == "POST"]
    assert bodies == [{"module": module, "fields": ["Last_Name"], "page": page} for page in (1, 2)]


def test_max_pages_ends_the_export_and_tells_that_there_is_more(zoho, options):
    zoho.on("POST", READ, job_added("71"), job_added("72"))
    script_job(zoho, "71", more="t2")
    script_job(zoho, "72", more="t3")
    result, _ = run(options, max_pages="2")
    assert (len(result["files"]), result["more_records"]) == (2, True)
    assert [one.method for one in zoho.calls].count("POST") == 2


@both_ways
@pytest.mark.parametrize("state", ["FAILURE", "FAILED"])
def test_a_failed_job_raises_with_zohos_reason(zoho, options, deferrable, state):
    zoho.on("POST", READ, job_added("71"))
    failed = job(
        "71", state, error_message={"code": "SOME_CODE", "message": "it broke", "details": "because"}
    )
    zoho.on("GET", f"{READ}/71", job("71", "IN PROGRESS"), failed)
    with pytest.raises(ZohoBulkReadError, match=r"71.*SOME_CODE.*it broke.*because"):
        run(options, deferrable=deferrable)


@both_ways
def test_states_nobody_documented_and_early_results_are_waited_out(zoho, options, deferrable):
    zoho.on("POST", READ, job_added("71"))
    script_job(zoho, "71")
    early = job("71", "PARKED", count=99, download_url=f"{READ}/71/result")
    zoho.on("GET", f"{READ}/71", early, job("71", "WAITING FOR GODOT"), job("71", "COMPLETED", count=2))
    assert run(options, deferrable=deferrable)[0]["records"] == 2


@both_ways
def test_a_job_that_does_not_end_in_time_fails_the_task_with_the_way_out(zoho, options, deferrable):
    zoho.on("POST", READ, job_added("71"))
    zoho.on("GET", f"{READ}/71", job("71", "IN PROGRESS"))
    with pytest.raises(ZohoBulkReadTimeoutError, match=r"71.*Raise timeout"):
        run(options, deferrable=deferrable, timeout=0.05)


def test_the_wait_in_the_worker_is_spaced(zoho, options, clock):
    zoho.on("POST", READ, job_added("71"))
    script_job(zoho, "71", *["IN PROGRESS"] * 9)
    run(options, poll_interval=10, max_poll_interval=60)
    assert clock.sleeps[0] == 10
    assert min(clock.sleeps) >= 10
    assert 40 < clock.sleeps[-1] <= 60
    assert zoho.asked.count(f"GET {READ}/71") == 10


def test_without_waiting_only_the_job_is_submitted(zoho, options):
    zoho.on("POST", READ, job_added("71"))
    given = context()
    result, deferrals = run(
        options,
        given,
        wait_for_completion=False,
        output_path=None,
        callback="https://example.com/x",
        deferrable=True,
    )
    assert (result["job_id"], result["files"], result["records"]) == ("71", [], 0)
    assert given["ti"].xcoms["job_id"] == "71"
    assert deferrals == []
    assert zoho.asked == [f"POST {READ}"]
    assert zoho.calls[0].json["callback"] == {"url": "https://example.com/x", "method": "post"}


def test_query_options_reach_zoho_in_the_shape_of_the_version(zoho, options):
    criteria = {
        "group_operator": "and",
        "group": [
            {"api_name": "Owner.last_name", "comparator": "in", "value": ["Boyle"]},
            {"api_name": "Created_Time", "comparator": "between", "value": ["2026-01-01T00:00:00Z"] * 2},
        ],
    }
    zoho.on("POST", READ, job_added("71"))
    zoho.on("POST", "/crm/bulk/v2/read", job_added("71"))
    for version in ("v8", "v2"):
        run(options, criteria=criteria, cvid=77, wait_for_completion=False, api_version=version)
    v8, v2 = (one.json["query"] for one in zoho.calls)
    assert v8["criteria"]["group"][0] == {
        "field": {"api_name": "Owner.last_name"},
        "comparator": "in",
        "value": ["Boyle"],
    }
    assert v2["criteria"]["group"][0] == {
        "api_name": "Owner.last_name",
        "comparator": "in",
        "value": ["Boyle"],
    }
    assert v8["cvid"] == v2["cvid"] == "77"


def test_texts_that_templates_render_are_understood(zoho, options):
    zoho.on("POST", READ, job_added("71"))
    script_job(zoho, "71", more="t2")
    task = ZohoBulkReadOperator(
        **{
            **options,
            "fields": "{{ 'Last_Name,Email' }}",
            "criteria": "{{ {'api_name': 'Owner', 'comparator': 'equal', 'value': '7'} | tojson }}",
            "cvid": "{{ none }}",
            "callback": "{{ none }}",
            "file_type": "{{ none }}",
            "max_pages": "{{ 1 }}",
            "api_version": "{{ none }}",
        }
    )
    result = render(task).execute(context())
    assert (result["records"], result["more_records"]) == (2, True)
    assert zoho.calls[0].json == {
        "query": {
            "module": {"api_name": "Leads"},
            "fields": ["Last_Name", "Email"],
            "criteria": {"field": {"api_name": "Owner"}, "comparator": "equal", "value": "7"},
            "page": 1,
        }
    }


# --- results -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "jsonl", "jsonl.gz", "parquet"])
def test_the_suffix_decides_the_format(zoho, options, tmp_path, suffix):
    zoho.on("GET", "/crm/v8/settings/fields", fields("Last_Name"))
    zoho.on("POST", READ, job_added("71"))
    script_job(zoho, "71")
    path = str(tmp_path / f"x.{suffix}")
    result, _ = run(options, output_path=path)
    assert result["records"] == 2
    # The bytes of a CSV stay as they are; in other formats the id has one name.
    id_ = "Id" if "csv" in suffix else "id"
    assert [(row[id_], row["Last_Name"]) for row in read_records(path)] == [tuple(row) for row in ROWS]
    assert ("GET /crm/v8/settings/fields" in zoho.asked) is ("csv" not in suffix)


def test_ics_is_passed_through(zoho, options, tmp_path):
    text = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:Café\\, 2\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    zoho.on("POST", READ, job_added("71"))
    script_job(zoho, "71", count=1, content=[zipped("71.ics", text)])
    path = tmp_path / "events.ics"
    result, _ = run(options, module="Events", fields=None, file_type="ics", output_path=str(path))
    assert path.read_bytes().decode() == text
    assert result["records"] == 1
    assert zoho.calls[0].json == {"query": {"module": {"api_name": "Events"}, "page": 1}, "file_type": "ics"}


@pytest.mark.parametrize("name", ["id", "Id"])
def test_no_records_are_a_file_with_a_header_only(zoho, options, name):
    zoho.on("POST", READ, job_added("71"))
    script_job(zoho, "71", count=0, content=[zipped("71.csv", f"{name},Last_Name\n")])
    result, _ = run(options)
    assert (result["records"], len(result["files"])) == (0, 1)
    assert list(read_records(result["files"][0]["path"])) == []


@pytest.mark.parametrize("damage", ["no zip", "truncated", "flipped", "html"])
def test_a_damaged_result_is_downloaded_again(zoho, options, damage):
    good = zipped("71.csv", csv_text(ROWS * 50))
    flipped = bytearray(good)
    flipped[60] ^= 0xFF
    bad = {
        "no zip": b"",
        "truncated": good[: len(good) // 2],
        "flipped": bytes(flipped),
        "html": b"<html>sorry</html>",
    }[damage]
    zoho.on("POST", READ, job_added("71"))
    script_job(zoho, "71", rows=ROWS * 50, content=[bad, good])
    result, _ = run(options)
    assert result["records"] == 100
    assert zoho.asked.count(f"GET {READ}/71/result") == 2


def test_a_result_that_stays_damaged_fails_without_a_file(zoho, options, tmp_path):
    zoho.on("POST", READ, job_added("71"))
    script_job(zoho, "71", content=[b"PK damaged"])
    with pytest.raises(ZohoBulkReadError, match="71"):
        run(options)
    assert list(tmp_path.iterdir()) == []
    assert zoho.asked.count(f"GET {READ}/71/result") == 3


@pytest.mark.parametrize("count", [1, 3])
def test_a_count_that_does_not_match_fails(zoho, options, tmp_path, count):
    zoho.on("POST", READ, job_added("71"))
    script_job(zoho, "71", count=count)
    with pytest.raises(ZohoBulkReadError, match=rf"counts {count} records.*holds 2"):
        run(options)


def test_a_file_whose_count_does_not_match_does_not_appear_under_its_final_name(zoho, options, tmp_path):
    """Promise 1 of the design: a file appears under its final name only when it is whole."""
    zoho.on("POST", READ, job_added("71"))
    script_job(zoho, "71", count=3)
    with pytest.raises(ZohoBulkReadError):
        run(options)
    assert list(tmp_path.iterdir()) == []


def test_a_result_that_is_gone_says_so(zoho, options):
    zoho.on("POST", READ, job_added("71"))
    script_job(zoho, "71")
    zoho.on("GET", f"{READ}/71/result", refusal(404, "RESOURCE_NOT_FOUND"))
    with pytest.raises(ZohoNotFoundError, match="one day"):
        run(options)


@pytest.mark.parametrize("url", ["https://evil.example.com/x", "//evil.example.com/x", "/oauth/v2/token"])
def test_a_result_on_another_host_is_not_fetched(zoho, options, url):
    zoho.on("POST", READ, job_added("71"))
    done = job("71", "COMPLETED", count=2)
    done["data"][0]["result"]["download_url"] = url
    zoho.on("GET", f"{READ}/71", done)
    with pytest.raises(ZohoUntrustedHostError):
        run(options)
    assert zoho.asked == [f"POST {READ}", f"GET {READ}/71"]


@pytest.mark.parametrize(
    "failure", [{"status_code": 500, "text": ""}, {"status_code": 429, "json": {}}, {"text": '{"data": [{"i'}]
)
def test_passing_failures_at_every_step_change_nothing(zoho, options, failure):
    zoho.on("POST", READ, {"status_code": 429, "json": {}}, job_added("71"))
    script_job(zoho, "71")
    zoho.on("GET", f"{READ}/71", failure, job("71", "IN PROGRESS"), failure, job("71", "COMPLETED", count=2))
    download = {"content": b""} if "text" in failure and "status_code" not in failure else failure
    zoho.on("GET", f"{READ}/71/result", download, {"content": zipped("71.csv", csv_text(ROWS))})
    assert run(options)[0]["records"] == 2


def test_a_download_that_is_throttled_waits_until_the_minute_is_over(zoho, options, no_waiting):
    zoho.on("POST", READ, job_added("71"))
    script_job(zoho, "71")
    zoho.on(
        "GET",
        f"{READ}/71/result",
        {"status_code": 429, "json": {"code": "TOO_MANY_REQUESTS"}},
        {"content": zipped("71.csv", csv_text(ROWS))},
    )
    run(options)
    assert no_waiting == [60.0]


# --- resumption --------------------------------------------------------------------------------------------------


PROGRESS = {"job_id": "71", "page": 1, "submitted_at": 1_800_000_000.0, "files": []}


@pytest.mark.parametrize(
    "event",
    [None, {}, "success", [], {"status": "unknown"}, {"status": None, "job_id": "71"}, {"job_id": "71"}],
)
def test_an_event_that_says_nothing_known_is_an_error(zoho, options, event):
    with pytest.raises(ZohoCRMError):
        ZohoBulkReadOperator(**options).execute_complete(context(), event=event, progress=dict(PROGRESS))
    assert zoho.calls == []


def test_an_error_event_is_raised_with_its_message(zoho, options):
    event = {"status": "error", "job_id": "71", "message": "ZohoNotFoundError: gone"}
    with pytest.raises(ZohoBulkReadError, match="gone"):
        ZohoBulkReadOperator(**options).execute_complete(context(), event=event, progress=dict(PROGRESS))


def test_on_kill_only_tells_that_the_job_goes_on(zoho, options):
    ZohoBulkReadOperator(**options).on_kill()
    assert zoho.mocker.request_history == []


def test_a_task_deferred_by_version_0_1_0_goes_on(zoho, options):
    script_job(zoho, "72")
    first = {"path": options["output_path"], "records": 5, "bytes": 9, "job_id": "71", "page": 1}
    old = {"job_id": "72", "page": 2, "submitted_at": time.time(), "files": [first]}
    event = {"status": "success", "job_id": "72", "state": "COMPLETED", "count": 2, "more_records": False}
    result = ZohoBulkReadOperator(**options).execute_complete(context(), event=event, progress=old)
    assert result["files"][0] == first
    assert result["files"][1]["path"].endswith("leads-0002.csv")
    assert (result["records"], len(zoho.calls)) == (7, 2)


def test_an_error_event_about_a_job_has_its_page_exported_by_another(zoho, options):
    """A trigger cannot tell what to keep of a job that Zoho does not know any more; the operator can."""
    zoho.on("POST", READ, job_added("72"))
    zoho.on("GET", f"{READ}/71", refusal(404, "RESOURCE_NOT_FOUND"))
    script_job(zoho, "72")
    event = {"status": "error", "job_id": "71", "message": "gone", "jobs": {"71": "NOT FOUND"}}
    result = ZohoBulkReadOperator(**options).execute_complete(
        context(), event=event, progress={**PROGRESS, "submitted_at": time.time()}
    )
    assert [file["job_id"] for file in result["files"]] == ["72"]


# --- several jobs in flight --------------------------------------------------------------------------------------


@both_ways
def test_counted_pages_are_submitted_ahead_and_one_deferral_waits_for_all(
    zoho, options, deferrable, monkeypatch
):
    monkeypatch.setitem(operator_module.RECORDS_PER_JOB, "csv", 2)
    zoho.on("GET", "/crm/v8/Leads/actions/count", {"count": 5})
    zoho.on("POST", READ, job_added("71"), job_added("72"), job_added("73"))
    script_job(zoho, "71", "ADDED", more=True)
    script_job(zoho, "72", more=True)
    script_job(zoho, "73")
    given = context()
    result, deferrals = run(options, given, deferrable=deferrable, max_jobs_in_flight="3")
    assert [file["job_id"] for file in result["files"]] == ["71", "72", "73"]
    assert [one.json["query"]["page"] for one in zoho.calls if one.method == "POST"] == [1, 2, 3]
    assert given["ti"].xcoms["job_id"] == "73"
    if deferrable:
        (deferral,) = deferrals
        assert deferral.trigger["job_id"] == ["71", "72", "73"]
        assert deferral.events[0]["jobs"] == {"71": "COMPLETED", "72": "COMPLETED", "73": "COMPLETED"}


@pytest.mark.parametrize(
    "answer", [refusal(401, "OAUTH_SCOPE_MISMATCH"), refusal(400, "INVALID_MODULE")], ids=["scope", "module"]
)
def test_what_cannot_be_counted_is_exported_job_after_job(zoho, options, answer, caplog):
    zoho.on("GET", "/crm/v8/Leads/actions/count", answer)
    zoho.on("POST", READ, job_added("71"))
    script_job(zoho, "71")
    assert run(options, max_jobs_in_flight=3)[0]["records"] == 2


def test_nothing_is_counted_that_cannot_be_used(zoho, options):
    zoho.on("POST", READ, job_added("71"))
    script_job(zoho, "71")
    criteria = {"api_name": "City", "comparator": "contains", "value": "10 %"}
    run(options, max_jobs_in_flight=3, criteria=criteria)
    criteria = {"api_name": "Owner", "comparator": "equal", "value": "7"}
    run(options, max_jobs_in_flight=3, criteria=criteria, cvid="1")
    run(options, criteria=criteria)
    run(options)
    assert not [one for one in zoho.asked if "count" in one or "coql" in one]


def test_criteria_that_coql_refuses_are_exported_job_after_job(zoho, options):
    zoho.on("POST", "/crm/v8/coql", refusal(400, "INVALID_QUERY"))
    zoho.on("POST", READ, job_added("71"))
    script_job(zoho, "71")
    criteria = {"api_name": "Score", "comparator": "equal", "value": "7"}
    assert run(options, max_jobs_in_flight=3, criteria=criteria)[0]["records"] == 2
    assert zoho.asked.count("POST /crm/v8/coql") == 1


def test_no_jobs_in_flight_is_refused_before_any_request(zoho, options):
    with pytest.raises(ZohoValidationError, match="max_jobs_in_flight"):
        run(options, max_jobs_in_flight=0)
    assert zoho.calls == []


# --- checkpoint --------------------------------------------------------------------------------------------------


class Store:
    """Airflow's task state store, which takes and gives JSON."""

    def __init__(self):
        self.kept = {}
        self.log = []

    def get(self, key, default=None):
        return json.loads(self.kept[key]) if key in self.kept else default

    def set(self, key, value):
        self.kept[key] = json.dumps(value, allow_nan=False)
        self.log.append(self.kept[key])

    def delete(self, key):
        self.kept.pop(key, None)


class KilledError(BaseException):
    pass


@pytest.fixture
def killed(zoho, options, monkeypatch):
    """A task whose worker died while the second page was being written, and what that left."""
    store = Store()
    zoho.on("POST", READ, job_added("71"), job_added("72"), job_added("73"))
    for job_id, more in (("71", "t2"), ("72", False), ("73", False)):
        script_job(zoho, job_id, more=more)
    write = ZohoBulkReadOperator._write

    def dying(self, progress, stream, first, expected):
        if first == 2:
            raise KilledError
        return write(self, progress, stream, first, expected)

    with monkeypatch.context() as patch:
        patch.setattr(ZohoBulkReadOperator, "_write", dying)
        with pytest.raises(KilledError):
            ZohoBulkReadOperator(**options).execute(try_of(store, 1))
    return store


def try_of(store, number, max_tries=2):
    given = context(task_state_store=store)
    given["ti"].try_number, given["ti"].max_tries = number, max_tries
    return given


def jobs_created(zoho):
    return zoho.asked.count(f"POST {READ}")


def test_a_retry_goes_on_and_success_leaves_no_checkpoint(zoho, options, killed, caplog):
    caplog.set_level("INFO")
    given = try_of(killed, 2)
    result = ZohoBulkReadOperator(**options).execute(given)
    assert [file["job_id"] for file in result["files"]] == ["71", "72"]
    assert (result["records"], jobs_created(zoho)) == (4, 2)
    assert zoho.asked.count(f"GET {READ}/71/result") == 1
    assert given["ti"].xcoms["job_id"] == "72"
    assert "Re-attached to bulk read job 72 of page 2, submitted by try 1" in caplog.text
    assert killed.kept == {}


def test_clear_runs_it_again(zoho, options, killed):
    """Airflow sets another ``max_tries`` when a task is cleared."""
    zoho.on("POST", READ, job_added("73"))
    result = ZohoBulkReadOperator(**options).execute(try_of(killed, 2, max_tries=3))
    assert [file["job_id"] for file in result["files"]] == ["73"]


@pytest.mark.parametrize(
    "change",
    [{"fields": ["Email"]}, {"max_pages": 9}, {"cvid": 7}, {"output_path": "other"}, {"durable": "false"}],
    ids=str,
)
def test_a_task_that_was_changed_runs_it_again(zoho, options, killed, change, tmp_path):
    zoho.on("POST", READ, job_added("73"))
    if "output_path" in change:
        change = {"output_path": str(tmp_path / "other.csv")}
    result = ZohoBulkReadOperator(**{**options, **change}).execute(try_of(killed, 2))
    assert [file["job_id"] for file in result["files"]] == ["73"]


def test_another_organisation_runs_it_again(zoho, options, killed, connection):
    zoho.on("POST", READ, job_added("73"))
    connection(login="1000.OTHER")
    result = ZohoBulkReadOperator(**options).execute(try_of(killed, 2))
    assert [file["job_id"] for file in result["files"]] == ["73"]


def test_a_file_that_is_gone_is_exported_again(zoho, options, killed, tmp_path):
    zoho.on("POST", READ, job_added("73"))
    (tmp_path / "leads.csv").unlink()
    result = ZohoBulkReadOperator(**options).execute(try_of(killed, 2))
    assert [(file["page"], file["job_id"]) for file in result["files"]] == [(1, "73"), (2, "72")]
    assert [file["path"] for file in result["files"]] == [
        str(tmp_path / "leads.csv"),
        str(tmp_path / "leads-0002.csv"),
    ]


def test_nothing_secret_is_kept(options, killed):
    assert killed.log
    assert not [secret for secret in SECRETS for text in killed.log if secret in text]


def test_a_resumed_task_that_is_killed_is_gone_on_with_by_its_retry(zoho, options, monkeypatch):
    store = Store()
    zoho.on("POST", READ, job_added("71"), job_added("72"))
    script_job(zoho, "71", "ADDED", more="t2")
    script_job(zoho, "72")
    with pytest.raises(TaskDeferred) as deferred:
        ZohoBulkReadOperator(**options, deferrable=True).execute(try_of(store, 1))
    progress = json.loads(json.dumps(deferred.value.kwargs["progress"]))
    event = {"status": "success", "job_id": "71", "jobs": {"71": "COMPLETED"}}

    def dying(*_):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(ZohoBulkReadOperator, "_write", dying)
        made = ZohoBulkReadOperator(**options, deferrable=True)
        with pytest.raises(KilledError):
            made.execute_complete(try_of(store, 1), event=event, progress=progress)
    result = ZohoBulkReadOperator(**options, deferrable=True).execute(try_of(store, 2))
    assert [file["job_id"] for file in result["files"]] == ["71", "72"]
    assert jobs_created(zoho) == 2


def test_a_failed_job_is_not_kept(zoho, options):
    store = Store()
    zoho.on("POST", READ, job_added("71"))
    zoho.on("GET", f"{READ}/71", job("71", "FAILURE"))
    with pytest.raises(ZohoBulkReadError):
        ZohoBulkReadOperator(**options).execute(try_of(store, 1))
    assert store.kept.keys() == {"zoho_api_usage"}


def test_a_store_that_fails_changes_nothing(zoho, options, caplog):
    class Broken:
        def fail(self, *_):
            raise RuntimeError("no API server")

        get = set = delete = fail

    zoho.on("POST", READ, job_added("71"))
    script_job(zoho, "71")
    result = ZohoBulkReadOperator(**options).execute(try_of(Broken(), 1))
    assert result["records"] == 2


def test_many_files_are_kept_packed():
    store = Store()
    value = {"files": [{"path": f"s3://lake/leads-{n:04d}.parquet", "records": n} for n in range(5_000)]}
    kept = Checkpoint(try_of(store, 1), "key", "print")
    kept.save(value)
    assert len(store.kept["key"]) < 64_000 < len(json.dumps(value))
    assert Checkpoint(try_of(store, 2), "key", "print").load() == value


def test_a_job_that_was_only_to_be_submitted_is_not_submitted_twice(zoho, options, monkeypatch):
    store = Store()
    zoho.on("POST", READ, job_added("71"), job_added("72"))
    with monkeypatch.context() as patch:

        def dying(*_):
            raise KilledError

        patch.setattr(store, "delete", dying)
        with pytest.raises(KilledError):
            ZohoBulkReadOperator(**options, wait_for_completion=False).execute(try_of(store, 1))
    result = ZohoBulkReadOperator(**options, wait_for_completion=False).execute(try_of(store, 2))
    assert (result["job_id"], jobs_created(zoho)) == ("71", 1)
