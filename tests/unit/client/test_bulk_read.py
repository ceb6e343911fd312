from __future__ import annotations

import io

import pytest

from airflow_provider_zohocrm.client import bulk_read
from airflow_provider_zohocrm.client.bulk_read import job_body, job_result
from airflow_provider_zohocrm.client.jobs import job_failure, job_state
from airflow_provider_zohocrm.client.versions import VERSIONS
from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoBulkReadError,
    ZohoNotFoundError,
    ZohoResponseError,
    ZohoUntrustedHostError,
    ZohoValidationError,
)

JOB = "554023000000568002"
URL = f"/crm/bulk/v8/read/{JOB}/result"
V2, V8 = VERSIONS["v2"], VERSIONS["v8"]
CRITERION = {"api_name": "Owner", "comparator": "in", "value": ["1"]}
NEW_CRITERION = {"field": {"api_name": "Owner"}, "comparator": "in", "value": ["1"]}
ADDED = {
    "data": [
        {
            "status": "success",
            "code": "ADDED_SUCCESSFULLY",
            "message": "Added successfully.",
            "details": {
                "id": JOB,
                "operation": "read",
                "state": "ADDED",
                "created_time": "2019-05-09T14:01:24+05:30",
            },
        }
    ],
    "info": {},
}
RESULT = {"page": 1, "per_page": 200000, "count": 1588, "download_url": URL, "more_records": False}


def job(state="COMPLETED", **more):
    return {"id": JOB, "operation": "read", "state": state, "query": {"page": 1}, "file_type": "csv"} | more


# The body


def test_the_v2_body_names_modules_and_fields_by_text():
    body = job_body(
        V2, "Leads", fields=["Last_Name", "Owner.last_name"], criteria=CRITERION, cvid="5", page=2
    )
    assert body == {
        "query": {
            "module": "Leads",
            "cvid": "5",
            "fields": ["Last_Name", "Owner.last_name"],
            "criteria": CRITERION,
            "page": 2,
        }
    }


@pytest.mark.parametrize("name", [name for name in VERSIONS if name != "v2"])
def test_newer_bodies_name_modules_and_fields_by_object(name):
    body = job_body(VERSIONS[name], "Leads", fields="Last_Name", criteria=CRITERION)
    assert body == {
        "query": {
            "module": {"api_name": "Leads"},
            "fields": ["Last_Name"],
            "criteria": NEW_CRITERION,
            "page": 1,
        }
    }


@pytest.mark.parametrize("version", [V2, V8], ids=lambda one: one.name)
def test_no_fields_means_all_and_is_left_out(version):
    assert "fields" not in job_body(version, "Leads")["query"]


@pytest.mark.parametrize("name", ["v6", "v7", "v8"])
def test_a_page_token_is_the_only_key(name):
    body = job_body(
        VERSIONS[name], "Leads", fields=["id"], criteria=CRITERION, cvid="1", page=3, page_token="t"
    )
    assert body == {"query": {"page_token": "t"}}


@pytest.mark.parametrize("beside", [{"callback": "https://example.com/x"}, {"file_type": "ics"}])
def test_a_page_token_is_the_only_key_whatever_the_first_job_was_given(beside):
    module = "Events" if "file_type" in beside else "Leads"
    assert job_body(V8, module, page_token="t", **beside) == {"query": {"page_token": "t"}}


@pytest.mark.parametrize("name", ["v2", "v2.1", "v3", "v4", "v5"])
def test_a_page_token_before_v6_is_refused(name):
    with pytest.raises(ZohoValidationError, match="page_token"):
        job_body(VERSIONS[name], "Leads", page_token="t")


def test_ics_is_at_the_top_level_and_for_events():
    body = job_body(V8, "Events", file_type="ics", criteria=CRITERION)
    assert body == {
        "query": {"module": {"api_name": "Events"}, "criteria": NEW_CRITERION, "page": 1},
        "file_type": "ics",
    }


@pytest.mark.parametrize(
    ("callback", "sent"),
    [
        ("https://example.com/hook?x=1", {"url": "https://example.com/hook?x=1", "method": "post"}),
        (
            {"url": "http://127.0.0.1:1/x", "method": "POST"},
            {"url": "http://127.0.0.1:1/x", "method": "post"},
        ),
    ],
)
def test_a_callback_is_posted_to(callback, sent):
    assert job_body(V8, "Leads", callback=callback)["callback"] == sent


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("Leads/x", {}),
        ("Leads", {"file_type": "ics"}),
        ("Events", {"file_type": "ics", "fields": ["id"]}),
        ("Leads", {"file_type": "xlsx"}),
        ("Leads", {"file_type": "CSV"}),
        ("Leads", {"fields": []}),
        ("Leads", {"fields": ["a b"]}),
        ("Leads", {"fields": [f"F{number}" for number in range(201)]}),
        ("Leads", {"criteria": {"api_name": "A", "comparator": "like", "value": "x"}}),
        ("Leads", {"criteria": {"group_operator": "and", "group": [CRITERION] * 26}}),
        ("Leads", {"criteria": CRITERION | {"value": ["x"] * 201}}),
        ("Leads", {"criteria": [CRITERION]}),
        ("Leads", {"criteria": "Owner:in:1"}),
        ("Leads", {"cvid": "x"}),
        ("Leads", {"page": 0}),
        ("Leads", {"page": "1"}),
        ("Leads", {"page": True}),
        ("Leads", {"callback": "example.com"}),
        ("Leads", {"callback": "ftp://example.com/x"}),
        ("Leads", {"callback": {"url": "https://example.com", "method": "get"}}),
        ("Leads", {"callback": {"method": "post"}}),
        ("Leads", {"callback": "https://[x"}),
    ],
)
def test_a_job_that_zoho_would_refuse_costs_no_credits(zoho, module, options):
    with pytest.raises(ZohoValidationError):
        zoho.client().create_bulk_read_job(module, **options)
    assert zoho.requests == []


def test_200_fields_pass():
    assert (
        len(job_body(V8, "Leads", fields=[f"F{number}" for number in range(200)])["query"]["fields"]) == 200
    )


# Create and look


@pytest.mark.parametrize("version", VERSIONS)
def test_a_job_is_created_below_bulk_then_version_as_json(zoho, version):
    zoho.answer("POST", f"/crm/bulk/{version}/read", (201, ADDED, {}))
    assert zoho.client(version).create_bulk_read_job("Leads")["id"] == JOB
    assert zoho.calls[0].headers["Content-Type"] == "application/json"
    assert zoho.calls[0].json["query"]["page"] == 1


@pytest.mark.parametrize(
    "answer", [{"data": []}, {"data": [{}]}, {"data": [{"details": {}}]}, {}, {"info": {}}]
)
def test_an_answer_that_names_no_job_is_an_error(zoho, answer):
    zoho.answer("POST", "/crm/bulk/v8/read", (201, answer, {}))
    with pytest.raises(ZohoResponseError):
        zoho.client().create_bulk_read_job("Leads")


@pytest.mark.parametrize("wrap", [lambda body: body, lambda body: {"data": [body]}])
def test_a_refused_job_says_why_flat_or_wrapped(zoho, wrap):
    body = {
        "code": "FIELD_NOT_SUPPORTED",
        "details": {"api_name": "Address"},
        "message": "no",
        "status": "error",
    }
    zoho.answer("POST", "/crm/bulk/v8/read", (400, wrap(body), {}))
    with pytest.raises(ZohoAPIError, match="Address") as caught:
        zoho.client().create_bulk_read_job("Leads")
    assert (caught.value.code, caught.value.details) == ("FIELD_NOT_SUPPORTED", {"api_name": "Address"})


def test_a_create_is_repeated_after_a_passing_failure(zoho):
    zoho.answer("POST", "/crm/bulk/v8/read", (500, {}, {}), (201, ADDED, {}))
    assert zoho.client().create_bulk_read_job("Leads")["id"] == JOB


def test_a_job_is_read(zoho):
    zoho.answer("GET", f"/crm/bulk/v8/read/{JOB}", {"data": [job(result=RESULT)]})
    assert zoho.client().get_bulk_read_job(int(JOB)) == job(result=RESULT)


@pytest.mark.parametrize(
    "answer", [{"data": []}, {"data": [{"id": JOB}]}, {"data": ["x"]}, {"state": "ADDED"}, None]
)
def test_an_answer_without_job_is_an_error(zoho, answer):
    zoho.answer("GET", f"/crm/bulk/v8/read/{JOB}", answer)
    with pytest.raises(ZohoResponseError):
        zoho.client().get_bulk_read_job(JOB)


@pytest.mark.parametrize("status", [404, 400])
def test_an_unknown_job_is_not_found(zoho, status):
    body = {"code": "RESOURCE_NOT_FOUND", "details": {"resource": JOB}, "message": "The requested resource"}
    zoho.answer("GET", f"/crm/bulk/v8/read/{JOB}", (status, body, {}))
    with pytest.raises(ZohoNotFoundError, match="one day"):
        zoho.client().get_bulk_read_job(JOB)


@pytest.mark.parametrize("wrong", ["", "../1", "1/result", None, 1.0])
def test_a_job_id_cannot_change_the_path(zoho, wrong):
    with pytest.raises(ZohoValidationError):
        zoho.client().get_bulk_read_job(wrong)
    with pytest.raises(ZohoValidationError):
        zoho.client().download_bulk_read_result(wrong, io.BytesIO())
    assert zoho.requests == []


@pytest.mark.parametrize(
    ("state", "stands"),
    [
        ("ADDED", "running"),
        ("QUEUED", "running"),
        ("IN PROGRESS", "running"),
        ("INPROGRESS", "running"),
        ("PAUSED BY ADMIN", "running"),
        ("", "running"),
        ("COMPLETED", "completed"),
        ("Completed", "completed"),
        ("FAILURE", "failed"),
        ("FAILED", "failed"),
    ],
)
@pytest.mark.parametrize("more", [{}, {"result": RESULT}])
def test_the_state_decides_and_unknown_ones_are_running(state, stands, more):
    assert job_state(job(state, **more)) == stands


@pytest.mark.parametrize("state", ["ADDED", "QUEUED", "IN PROGRESS", "SOMETHING NEW"])
def test_an_early_result_is_none(state):
    with pytest.raises(ZohoBulkReadError, match=state):
        job_result(job(state, result=RESULT))


def test_the_result_of_a_completed_job():
    assert job_result(job(result=RESULT)) == RESULT
    assert job_result(job(result=RESULT | {"count": 0}))["count"] == 0


@pytest.mark.parametrize("result", [None, "x", []])
def test_a_completed_job_without_result_is_an_error(result):
    with pytest.raises(ZohoBulkReadError):
        job_result(job(result=result))


def test_a_failed_job_says_why():
    message = {
        "message": "not allowed",
        "details": "Address cannot be read",
        "status": "error",
        "code": "X_CODE",
    }
    failed = job("FAILURE", result={"error_message": message})
    for part in ("X_CODE", "not allowed", "Address cannot be read"):
        assert part in job_failure(failed)
    with pytest.raises(ZohoBulkReadError, match="X_CODE: not allowed") as caught:
        job_result(failed)
    assert JOB in str(caught.value)


@pytest.mark.parametrize(
    "result", [None, {}, "text", {"error_message": None}, {"error_message": "text"}, {"error_message": {}}]
)
def test_a_failed_job_without_reason_is_an_error_too(result):
    with pytest.raises(ZohoBulkReadError, match=f"{JOB} failed"):
        job_result(job("FAILURE", result=result))


# Download

ZIP = b"PK\x03\x04" + bytes(range(256)) * 5_000


@pytest.mark.parametrize(
    "given", [JOB, int(JOB), job(result=RESULT), job(result=RESULT | {"download_url": None})]
)
def test_a_result_is_downloaded_from_the_api_host(zoho, given, tmp_path):
    zoho.answer("GET", URL, (200, ZIP, {"Content-Type": "application/x-download"}))
    target = tmp_path / "result.zip"
    assert zoho.client().download_bulk_read_result(given, str(target)) == len(ZIP)
    assert target.read_bytes() == ZIP
    assert zoho.calls[0].headers["Authorization"].startswith("Zoho-oauthtoken ")


def test_the_address_in_the_job_is_used(zoho):
    other = "/crm/bulk/v2.1/read/5/result"
    zoho.answer("GET", other, (200, ZIP, {}))
    target = io.BytesIO(b"longer than nothing" * 1_000_000)
    assert zoho.client().download_bulk_read_result(
        job(result=RESULT | {"download_url": other}), target
    ) == len(ZIP)
    assert target.getvalue() == ZIP


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.io/crm/bulk/v8/read/1/result",
        "http://www.zohoapis.com/crm/bulk/v8/read/1/result",
        "//evil.io/crm/bulk/v8/read/1/result",
        "https:evil.io/crm/bulk",
        "@evil.io/crm/bulk/",
        ".evil.io/crm/bulk/",
        "\\\\evil.io/crm/bulk/",
        "/\\evil.io/crm/bulk/",
        "crm/bulk/v8/read/1/result",
        "/oauth/v2/token",
        "file:///etc/passwd",
    ],
)
def test_a_result_elsewhere_is_not_fetched(zoho, url):
    with pytest.raises(ZohoUntrustedHostError, match=JOB):
        zoho.client().download_bulk_read_result(job(result=RESULT | {"download_url": url}), io.BytesIO())
    assert zoho.calls == []


@pytest.mark.parametrize("state", ["QUEUED", "FAILURE"])
def test_a_job_without_result_is_not_downloaded(zoho, state):
    with pytest.raises(ZohoBulkReadError):
        zoho.client().download_bulk_read_result(job(state, result=RESULT), io.BytesIO())
    assert zoho.requests == []


def test_a_download_starts_again_after_it_broke_off(wire, truncated, tmp_path):
    wire.script = [truncated(ZIP * 3), truncated(ZIP), (200, ZIP, {})]
    target = tmp_path / "result.zip"
    assert wire.client().download_bulk_read_result(JOB, target) == len(ZIP)
    assert target.read_bytes() == ZIP


def test_more_than_ten_downloads_in_a_minute_wait_for_the_next(zoho, clock):
    zoho.answer("GET", URL, (429, {"code": "TOO_MANY_REQUESTS"}, {}), (200, ZIP, {}))
    zoho.client().download_bulk_read_result(JOB, io.BytesIO())
    assert clock.slept == [60.0]


# --- downloads in a minute ---------------------------------------------------------------------------------------


class Minute:
    """Time that passes only while something sleeps."""

    def __init__(self):
        self.now = 1_800_000_000.0
        self.sleeps = []

    def time(self):
        return self.now

    def sleep(self, seconds):
        self.sleeps.append(seconds)
        self.now += seconds


@pytest.fixture
def minute(monkeypatch):
    minute = Minute()
    monkeypatch.setattr(bulk_read, "time", minute)
    return minute


def test_the_eleventh_download_of_a_minute_waits_until_the_first_is_a_minute_old(minute):
    window = bulk_read.DownloadWindow()
    for _ in range(10):
        window.enter()
        minute.now += 2
    assert minute.sleeps == []
    window.enter()
    assert minute.sleeps == [41.0]
    window.enter()
    assert minute.sleeps == [41.0, 2.0]


def test_downloads_of_another_process_count(minute):
    window = bulk_read.DownloadWindow()
    window.remember([minute.now - 30] + [minute.now - 20 + n / 10 for n in range(9)] + [minute.now - 99])
    assert len(window.recent()) == 10
    window.enter()
    assert minute.sleeps == [31.0]
