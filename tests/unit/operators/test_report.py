"""One URI for the files of all runs, and what an event carries."""

from __future__ import annotations

from pathlib import Path

import pytest

from airflow_provider_zohocrm.assets.files import parsed_uri, uri_of_files
from airflow_provider_zohocrm.operators.report import Report, schema_of


@pytest.mark.parametrize(
    ("template", "path", "uri"),
    [
        (
            "s3://my_aws@lake/zoho/leads/{{ ds }}/part.parquet",
            "s3://my_aws@lake/zoho/leads/d/part.parquet",
            "s3://lake/zoho/leads",
        ),
        ("s3://lake/leads/part_{{ ds }}.jsonl", "s3://lake/leads/part_d.jsonl", "s3://lake/leads"),
        ("s3://lake/leads.parquet", "s3://lake/leads.parquet", "s3://lake/leads.parquet"),
        ("s3://{{ bucket }}/leads.parquet", "s3://lake/leads.parquet", "s3://lake/leads.parquet"),
        ("{{ var.value.lake }}/leads.jsonl", "/lake/leads.jsonl", "file:///lake/leads.jsonl"),
        ("/lake/zoho/{{ ds }}.jsonl", "/lake/zoho/d.jsonl", "file:///lake/zoho"),
        ("/{{ ds }}.jsonl", "/d.jsonl", "file:///d.jsonl"),
        ("file:///lake/{% if x %}a{% endif %}.csv", "file:///lake/a.csv", "file:///lake"),
        (object(), "/lake/leads.jsonl", "file:///lake/leads.jsonl"),
        ("leads.jsonl", "leads.jsonl", Path("leads.jsonl").absolute().as_uri()),
    ],
)
def test_files_of_all_runs_have_one_uri(template, path, uri):
    assert uri_of_files(path, template) == uri
    assert parsed_uri(template) in (None, uri)


@pytest.mark.parametrize(
    "template", ["{{ var.value.lake }}/leads.jsonl", "s3://{{ bucket }}/x.csv", "/{{ ds }}.csv", object()]
)
def test_a_path_that_begins_with_a_template_is_known_in_a_run_only(template):
    assert parsed_uri(template) is None


def test_an_event_carries_numbers_and_texts():
    report = Report(
        "zohocrm://h/o/Leads",
        writes=False,
        files_uri="file:///lake",
        rows=0,
        bytes=5,
        files=tuple(f"/lake/{n}.csv" for n in range(150)),
        job_ids=("1", "2"),
    )
    extra = report.extra
    assert {type(value) for value in extra.values()} <= {int, str}
    assert extra["rows"] == 0
    assert extra["job_id"] == "1,2"
    assert len(extra["files"].splitlines()) == 100
    assert extra["file_count"] == 150
    assert "watermark" not in extra


def test_the_schema_is_what_the_run_has_read():
    fields = [{"api_name": "Email", "data_type": "email"}, {"api_name": "Score", "data_type": "integer"}]
    assert schema_of([["Email", "string", 0]], ["x"], fields) == (("Email", "string"),)
    assert schema_of(None, ["Score", "Unknown"], fields) == (("Score", "integer"), ("Unknown", None))
    assert schema_of(None, None, fields) == (("Email", "email"), ("Score", "integer"))
    assert schema_of(None) == ()
