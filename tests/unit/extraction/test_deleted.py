"""Tombstones: which, and each once."""

from __future__ import annotations

import json

import pytest

from airflow_provider_zohocrm.exceptions import ZohoValidationError
from airflow_provider_zohocrm.extraction.deleted import kind_of, write_deleted
from airflow_provider_zohocrm.extraction.window import Window
from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook


def tombstone(number, when="2026-01-01T05:30:00+05:30", kind="recycle"):
    return {
        "id": str(number),
        "display_name": f"Lead {number}",
        "type": kind,
        "deleted_time": when,
        "deleted_by": None,
        "created_by": None,
    }


def page(rows, number, more):
    info = {"per_page": 200, "count": len(rows), "page": number, "more_records": more}
    return {"data": rows, "info": info}


def written(tmp_path, window=Window()):  # noqa: B008  # immutable
    info = write_deleted(ZohoCRMHook(), "Leads", "all", window, str(tmp_path / "leads.jsonl"))
    rows = [json.loads(line) for line in (tmp_path / "leads_deleted.jsonl").read_text().splitlines()]
    assert info["records"] == len(rows)
    return rows


def test_a_deletion_between_two_pages_shifts_them_and_doubles_nothing(zoho, tmp_path):
    first = [tombstone(n) for n in range(200)]
    zoho.on("GET", "/crm/v8/Leads/deleted", page(first, 1, True), page([first[-1], tombstone(200)], 2, False))
    assert [row["id"] for row in written(tmp_path)] == [str(n) for n in range(201)]


def test_both_ends_of_a_life_in_the_bin_are_told(zoho, tmp_path):
    rows = [tombstone(1, kind="permanent"), tombstone(1)]
    zoho.on("GET", "/crm/v8/Leads/deleted", page(rows, 1, False))
    assert [(row["id"], row["type"]) for row in written(tmp_path)] == [("1", "permanent"), ("1", "recycle")]


def test_the_window_is_that_of_the_records(zoho, tmp_path):
    window = Window.of("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
    rows = [tombstone(1, "2026-01-02T05:30:00+05:30"), tombstone(2, "2026-01-01T23:59:59Z"), tombstone(3)]
    zoho.on("GET", "/crm/v8/Leads/deleted", page(rows, 1, False))
    assert written(tmp_path, window) == [
        {"id": "2", "deleted_time": "2026-01-01T23:59:59Z", "type": "recycle"},
        {"id": "3", "deleted_time": "2026-01-01T05:30:00+05:30", "type": "recycle"},
    ]
    assert zoho.calls[0].headers["If-Modified-Since"] == "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, None),
        (False, None),
        ("False", None),
        (True, "all"),
        ("True", "all"),
        ("all", "all"),
        ("recycle", "recycle"),
        ("permanent", "permanent"),
    ],
)
def test_what_is_asked_for(value, kind):
    assert kind_of(value) == kind


def test_what_zoho_does_not_know_is_refused():
    with pytest.raises(ZohoValidationError, match="forever"):
        kind_of("forever")
