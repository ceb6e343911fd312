from __future__ import annotations

import json

import pytest

from airflow_provider_zohocrm.loading.bulk_progress import new_load, packed, read_load, unpacked
from airflow_provider_zohocrm.loading.bulk_results import Written, _said


@pytest.mark.parametrize(
    "rows", [set(), {0}, {7, 8}, {30_000}, set(range(3, 500, 7)), set(range(25_000))], ids=len
)
def test_marked_rows_come_back(rows):
    assert unpacked(packed(sorted(rows))) == rows


def test_many_marks_are_short():
    assert packed([]) == ""
    assert len(packed(range(0, 25_000, 100))) < 500
    assert len(packed(range(25_000))) < 100


def test_a_progress_comes_back_from_json():
    progress = new_load("f")
    assert read_load(json.loads(json.dumps(progress))) == progress


def test_lines_of_a_result():
    assert _said("ADDED", "12", "") == Written("12", "insert")
    assert _said("Updated", "12", "-") == Written("12", "update")
    skipped = _said("SKIPPED", "", "DUPLICATE_DATA:Email")
    assert (skipped.code, skipped.details, skipped.json_path) == (
        "DUPLICATE_DATA",
        {"api_name": "Email"},
        "$.Email",
    )
    odd = _said("UNPROCESSED", "", "something else")
    assert odd.code == "UNPROCESSED"
    assert "something else" in odd.message
