from __future__ import annotations

import io

import pytest

from airflow_provider_zohocrm.client.bulk_write import write_job_body
from airflow_provider_zohocrm.client.hosts import DATA_CENTERS, trusted_download_url
from airflow_provider_zohocrm.client.jobs import write_job_failure, write_job_state, written_count
from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoBulkWriteError,
    ZohoConfigurationError,
    ZohoNotFoundError,
    ZohoPermissionError,
    ZohoResponseError,
    ZohoScopeError,
    ZohoServerError,
    ZohoUntrustedHostError,
    ZohoValidationError,
)

CONTENT = "https://content.zohoapis.com"
DOWNLOAD = "https://download-accl.zoho.com"
PATH = "/v2/crm/65398227/bulk-write/77/77.zip"
UPLOADED = {
    "status": "success",
    "code": "FILE_UPLOAD_SUCCESS",
    "message": "file uploaded.",
    "details": {"file_id": "555", "created_time": "2025-01-01T00:00:00-07:00"},
}
CREATED = {
    "status": "success",
    "code": "SUCCESS",
    "message": "success",
    "details": {"id": "77", "created_by": {}},
}
TOKEN = "Zoho-oauthtoken 1000.atoken-1"


def job(status="COMPLETED", url=DOWNLOAD + PATH, **more):
    return {
        "id": "77",
        "status": status,
        "operation": "insert",
        "resource": [],
        "result": {"download_url": url},
    } | more


# --- upload ------------------------------------------------------------------------------------------------------


def test_the_zip_goes_to_the_upload_host_as_a_form(zoho):
    file, bodies = io.BytesIO(b"PK the zip"), []
    file.seek(5)

    def keep(request, context):
        bodies.append(b"".join(request.body))
        return UPLOADED

    zoho.mocker.post(f"{CONTENT}/crm/v8/upload", json=keep)
    assert zoho.client().upload_bulk_write_file(file, "65398227") == "555"
    (call,) = zoho.mocker.request_history[-1:]
    assert (call.headers["feature"], call.headers["X-CRM-ORG"]) == ("bulk-write", "65398227")
    assert call.headers["Authorization"] == TOKEN
    boundary = call.headers["Content-Type"].partition("boundary=")[2].encode()
    assert int(call.headers["Content-Length"]) == len(bodies[0])
    head, _, rest = bodies[0].partition(b"\r\n\r\n")
    assert b'name="file"; filename="upload.zip"' in head
    assert rest == b"PK the zip\r\n--" + boundary + b"--\r\n"


def test_an_upload_on_the_wire_is_repeated_from_its_start(wire, clock):
    wire.script = ["reset", (503, b"<html>", {}), (200, UPLOADED, {})]
    assert wire.client().upload_bulk_write_file(io.BytesIO(b"x" * 100_000), "1") == "555"
    sizes = {len(one.body) for one in wire.calls}
    assert len(wire.calls) == 3
    assert len(sizes) == 1
    assert all(one.body.count(b"x") >= 100_000 for one in wire.calls)
    assert wire.calls[0].headers["Content-Length"] == str(len(wire.calls[0].body))


def test_a_path_is_uploaded(wire, tmp_path):
    wire.script = [(200, UPLOADED, {})]
    path = tmp_path / "x.zip"
    path.write_bytes(b"PK")
    assert wire.client().upload_bulk_write_file(path, "1") == "555"


def test_the_other_envelope_of_uploads_is_told(zoho):
    body = {
        "ERROR_MESSAGE": "Bad Request",
        "ERROR_CODE": 400,
        "x-error": "check if headers [feature, X-CRM-ORG] are present and valid",
        "http_status": "400",
    }
    zoho.answer("POST", "/crm/v8/upload", (400, body, {}), host=CONTENT)
    with pytest.raises(ZohoAPIError, match=r"headers \[feature, X-CRM-ORG\]"):
        zoho.client().upload_bulk_write_file(io.BytesIO(b""), "1")


def test_scopes_of_both_calls_are_named(zoho):
    refusal = (401, {"code": "OAUTH_SCOPE_MISMATCH", "message": "Unauthorized", "status": "error"}, {})
    zoho.answer("POST", "/crm/v8/upload", refusal, host=CONTENT)
    zoho.answer("POST", "/crm/bulk/v8/write", refusal)
    with pytest.raises(ZohoScopeError, match=r"ZohoFiles\.files\.ALL"):
        zoho.client().upload_bulk_write_file(io.BytesIO(b""), "1")
    with pytest.raises(ZohoScopeError, match=r"ZohoCRM\.bulk\.CREATE"):
        zoho.client().create_bulk_write_job("Leads", "insert", "555", fields=["Last_Name"])


@pytest.mark.parametrize("data_center", DATA_CENTERS)
def test_each_data_center_has_the_upload_host_of_the_reference_or_says_so(make_credentials, data_center):
    credentials = make_credentials(data_center=data_center)
    host = DATA_CENTERS[data_center].upload
    if host:
        assert credentials.upload_base("") == f"https://{host}"
    else:
        with pytest.raises(ZohoConfigurationError, match="Upload URL"):
            credentials.upload_base("")
        given = make_credentials(data_center=data_center, upload_url="https://content.zohoapis.uk")
        assert given.upload_base("") == "https://content.zohoapis.uk"


def test_the_api_domain_tells_the_upload_host_better_than_the_connection(make_credentials):
    assert make_credentials().upload_base("https://www.zohoapis.com.au") == "https://content.zohoapis.com.au"
    local = make_credentials(accounts_url="http://127.0.0.1:1")
    assert local.upload_base("http://127.0.0.1:2") == "http://127.0.0.1:2"


# --- create and look ---------------------------------------------------------------------------------------------


def test_the_body_of_a_job():
    body = write_job_body("Leads", "upsert", "555", fields=["Last_Name", "Email"], find_by="Email")
    assert body == {
        "operation": "upsert",
        "character_encoding": "UTF-8",
        "resource": [
            {
                "type": "data",
                "module": {"api_name": "Leads"},
                "file_id": "555",
                "ignore_empty": True,
                "field_mappings": [{"api_name": "Last_Name", "index": 0}, {"api_name": "Email", "index": 1}],
                "find_by": "Email",
            }
        ],
    }


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"operation": "delete"}, "delete"),
        ({"operation": "update"}, "find_by"),
        ({"find_by": "id"}, "insert finds nothing"),
        ({"operation": "update", "find_by": "Email"}, "among the columns"),
        ({"module": "no module"}, "no module"),
        ({"fields": ["a b"]}, "a b"),
        ({"fields": [f"f{number}" for number in range(201)]}, "201"),
        ({"callback": "nowhere"}, "callback"),
    ],
)
def test_what_zoho_would_refuse_is_not_sent(options, word):
    given = {"module": "Leads", "operation": "insert", "fields": ["Last_Name"], **options}
    with pytest.raises(ZohoValidationError, match=word):
        write_job_body(given.pop("module"), given.pop("operation"), "1", **given)


def test_a_job_costs_500_credits_and_is_repeated_only_if_that_does_no_harm(zoho, clock):
    failure = (500, {"code": "INTERNAL_ERROR", "message": "x", "status": "error"}, {})
    zoho.answer("POST", "/crm/bulk/v8/write", CREATED, failure, failure, CREATED)
    client = zoho.client()
    assert client.create_bulk_write_job("Leads", "insert", "555", fields=["Last_Name"])["id"] == "77"
    assert client.usage.credits == 500
    with pytest.raises(ZohoServerError):
        client.create_bulk_write_job("Leads", "insert", "555", fields=["Last_Name"])
    assert (
        client.create_bulk_write_job("Leads", "insert", "555", fields=["Last_Name"], repeatable=True)["id"]
        == "77"
    )


@pytest.mark.parametrize(
    "answer", [{"status": "success"}, {"data": []}, {"status": "success", "details": []}]
)
def test_an_answer_that_names_no_job_is_an_error(zoho, answer):
    zoho.answer("POST", "/crm/bulk/v8/write", answer)
    with pytest.raises(ZohoResponseError):
        zoho.client().create_bulk_write_job("Leads", "insert", "555", fields=["Last_Name"])


def test_an_error_inside_of_200_is_an_error(zoho):
    zoho.answer(
        "POST", "/crm/bulk/v8/write", {"status": "error", "code": "INVALID_FIELD", "message": "no such"}
    )
    with pytest.raises(ZohoAPIError, match="INVALID_FIELD"):
        zoho.client().create_bulk_write_job("Leads", "insert", "555", fields=["Last_Name"])


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("ADDED", "running"),
        ("INPROGRESS", "running"),
        ("IN PROGRESS", "running"),
        ("QUEUED", "running"),
        ("anything", "running"),
        ("COMPLETED", "completed"),
        ("completed", "completed"),
        ("FAILED", "failed"),
        ("FAILURE", "failed"),
    ],
)
def test_states(status, state):
    assert write_job_state(job(status)) == state


def test_a_skipped_job_has_completed_if_it_has_a_result():
    assert write_job_state(job("SKIPPED")) == "completed"
    assert write_job_state(job("SKIPPED", result=None)) == "failed"


def test_why_a_job_failed_and_what_it_has_written():
    counters = {"added_count": 2, "updated_count": 1, "skipped_count": 5, "total_count": 8}
    failed = job("FAILED", resource=[{"code": "INTERNAL_ERROR", "message": "oops", "file": counters}])
    assert write_job_failure(failed) == "INTERNAL_ERROR oops"
    assert written_count(failed) == 3
    assert write_job_failure(job("FAILED")) == "Zoho gave no reason"
    assert written_count(job("FAILED")) is None


@pytest.mark.parametrize("status", [400, 404])
def test_an_unknown_job_is_not_found(zoho, status):
    body = {"code": "RESOURCE_NOT_FOUND", "details": {"resource": "77"}, "message": "x", "status": "error"}
    zoho.answer("GET", "/crm/bulk/v8/write/77", (status, body, {}))
    with pytest.raises(ZohoNotFoundError):
        zoho.client().get_bulk_write_job("77")


# --- download ----------------------------------------------------------------------------------------------------


def test_the_result_is_fetched_from_zohos_download_host_with_the_token(zoho):
    zoho.answer("GET", "/crm/bulk/v8/write/77", job())
    zoho.answer("GET", PATH, b"PK", host=DOWNLOAD)
    target = io.BytesIO()
    assert zoho.client().download_bulk_write_result("77", target) == 2
    assert target.getvalue() == b"PK"
    assert zoho.calls[-1].headers["Authorization"] == TOKEN


@pytest.mark.parametrize(
    "url",
    [
        "https://download.zoho.com",
        "https://download-accl.zoho.eu",
        "https://download.zoho.com.au",
        "https://download.zohocloud.ca",
        "https://content.zohoapis.com",
        "https://www.zohoapis.in",
    ],
)
def test_hosts_of_zoho_may_see_the_token(url):
    assert trusted_download_url(f"{url}{PATH}?a=b", ()) == (url, f"{PATH}?a=b")


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/x",
        "https://download.zoho.com.evil.example/x",
        "https://downloadzoho.com/x",
        "https://evilzoho.com/x",
        "https://sites.zoho.com/x",
        "https://download.zoho.com@evil.example/x",
        "https://evil.example@download.zoho.com/x",
        "https://evil.example\\@download.zoho.com/x",
        "https://download.zoho.com:8443/x",
        "http://download.zoho.com/x",
        "http://127.0.0.1:9/x",
        "http://localhost/x",
        "//download.zoho.com/x",
        "https://[::1",
        "ftp://download.zoho.com/x",
        "",
    ],
)
def test_other_hosts_may_not(zoho, url):
    with pytest.raises(ZohoUntrustedHostError):
        trusted_download_url(url, ("https://www.zohoapis.com", "https://content.zohoapis.com"))
    if url and not url.startswith("/"):
        client = zoho.client()
        with pytest.raises(ZohoUntrustedHostError):
            client.download_bulk_write_result(job(url=url), io.BytesIO())
        assert zoho.calls == []


def test_loopback_is_followed_only_by_a_connection_on_loopback_and_to_the_same_address(wire):
    wire.script = [(200, b"PK", {})]
    client = wire.client()
    assert client.download_bulk_write_result(job(url=wire.url + PATH), io.BytesIO()) == 2
    with pytest.raises(ZohoUntrustedHostError):
        client.download_bulk_write_result(job(url=f"http://127.0.0.1:1{PATH}"), io.BytesIO())


def test_a_redirect_of_the_download_is_not_followed(zoho):
    zoho.answer("GET", PATH, (302, b"", {"Location": "https://evil.example/x"}), host=DOWNLOAD)
    with pytest.raises(ZohoUntrustedHostError):
        zoho.client().download_bulk_write_result(job(), io.BytesIO())
    assert {one.host for one in zoho.calls} == {"download-accl.zoho.com"}


def test_a_stale_link_and_a_job_without_a_result(zoho):
    zoho.answer("GET", PATH, (403, {"x-info": "Link not valid", "info": "Forbidden"}, {}), host=DOWNLOAD)
    with pytest.raises(ZohoPermissionError, match="Link not valid"):
        zoho.client().download_bulk_write_result(job(), io.BytesIO())
    with pytest.raises(ZohoBulkWriteError, match="no result"):
        zoho.client().download_bulk_write_result(job("INPROGRESS", result=None), io.BytesIO())
