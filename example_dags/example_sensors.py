"""Wait, without a worker: for API credits, for a bulk read job, and for a record."""

from __future__ import annotations

import os
import tempfile

from airflow.sdk import dag

from airflow_provider_zohocrm import (
    ZohoApiCreditsSensor,
    ZohoBulkReadJobSensor,
    ZohoBulkReadOperator,
    ZohoRecordSensor,
)

# Any folder or object storage that all workers reach, e.g. s3://lake/zoho
OUTPUT = os.environ.get("ZOHOCRM_EXAMPLES_OUTPUT", f"{tempfile.gettempdir()}/zohocrm")


@dag(
    schedule=None,
    params={"company": "Anybody"},
    default_args={"deferrable": True},
    tags=["zohocrm", "example"],
)
def example_zohocrm_sensors() -> None:
    """Begin when there are credits, and go on when there is something to go on with."""
    credits_left = ZohoApiCreditsSensor(task_id="credits", min_credits=1000, timeout=24 * 60 * 60)
    submit = ZohoBulkReadOperator(
        task_id="submit",
        module="Leads",
        fields=["Last_Name"],
        output_path=OUTPUT + "/sensors/leads.csv",
        wait_for_completion=False,
    )
    job = ZohoBulkReadJobSensor(task_id="job", job_id=submit.output["job_id"], poke_interval=10)
    lead = ZohoRecordSensor(
        task_id="lead",
        module="Leads",
        where="Company = '{{ params.company }}'",
        poke_interval=10,  # a minute or more in real use: each look costs a credit
        timeout=60 * 60,
        soft_fail=True,
    )
    credits_left >> submit
    job >> lead


example_zohocrm_sensors()
