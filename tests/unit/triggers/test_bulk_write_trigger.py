from __future__ import annotations

import inspect
import json

import pytest
from support.running import events_of, rebuilt
from support.zoho import SECRETS, refusal

from airflow_provider_zohocrm.triggers.bulk_write import BulkWriteJobTrigger

WRITE = "/crm/bulk/v8/write"


def job(job_id, status, **more):
    return {"id": job_id, "status": status, "operation": "insert", "resource": [], **more}


def trigger(**options):
    return BulkWriteJobTrigger(
        **{
            "job_id": "77",
            "zohocrm_conn_id": "zohocrm_default",
            "poll_interval": 0.001,
            "max_poll_interval": 0.001,
            **options,
        }
    )


def test_serialize_is_plain_json_under_the_public_name_and_complete():
    path, kwargs = trigger(end_time=1.5, api_version="v7", job_id=["1", "2"]).serialize()
    assert path == "airflow_provider_zohocrm.triggers.bulk_write.BulkWriteJobTrigger"
    assert set(kwargs) == set(inspect.signature(BulkWriteJobTrigger.__init__).parameters) - {"self"}
    assert rebuilt(path, json.loads(json.dumps(kwargs))).serialize() == (path, kwargs)


@pytest.mark.parametrize("running", ["ADDED", "INPROGRESS", "IN PROGRESS", "MULLING IT OVER"])
def test_a_job_that_completes_fires_once_with_what_it_has_written(zoho, running):
    file = {"added_count": 2, "updated_count": 1}
    done = job("77", "COMPLETED", resource=[{"file": file}], result={"download_url": "https://x"})
    zoho.on("GET", f"{WRITE}/77", job("77", running), done)
    (event,) = events_of(trigger())
    assert event.pop("api_usage")["calls"] == 2
    assert event == {
        "status": "success",
        "job_id": "77",
        "state": "COMPLETED",
        "written": 3,
        "message": "Bulk write job 77 has completed",
        "jobs": {"77": "COMPLETED"},
    }


def test_a_job_that_fails_is_told_with_zohos_reason(zoho):
    zoho.on("GET", f"{WRITE}/77", job("77", "FAILED", resource=[{"code": "INTERNAL_ERROR"}]))
    (event,) = events_of(trigger())
    assert (event["status"], event["state"]) == ("error", "FAILED")
    assert event["message"] == "Bulk write job 77 failed: INTERNAL_ERROR"


@pytest.mark.parametrize("status", [400, 404])
def test_a_job_that_zoho_does_not_know_is_left_to_the_worker(zoho, status):
    zoho.on("GET", f"{WRITE}/77", refusal(status, "RESOURCE_NOT_FOUND"))
    (event,) = events_of(trigger())
    assert (event["status"], event["jobs"]) == ("error", {"77": "NOT FOUND"})


def test_the_later_ones_of_several_jobs_are_told_too(zoho):
    zoho.on("GET", f"{WRITE}/77", job("77", "COMPLETED"))
    zoho.on("GET", f"{WRITE}/78", job("78", "FAILED"))
    zoho.on("GET", f"{WRITE}/79", job("79", "ADDED"))
    (event,) = events_of(trigger(job_id=["77", "78", "79"]))
    assert event["jobs"] == {"77": "COMPLETED", "78": "FAILED"}


def test_the_deadline_fires_a_timeout(zoho):
    zoho.on("GET", f"{WRITE}/77", job("77", "INPROGRESS"))
    (event,) = events_of(trigger(end_time=1.0))
    assert (event["status"], event["job_id"], event["state"]) == ("timeout", "77", "INPROGRESS")


def test_no_secret_is_told(zoho, caplog):
    zoho.on("GET", f"{WRITE}/77", refusal(403, "NO_PERMISSION"))
    (event,) = events_of(trigger())
    assert event["status"] == "error"
    assert not [secret for secret in SECRETS if secret in json.dumps(event) + caplog.text]
