"""Where a run begins, and what it leaves out: kept from run to run."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest
from support.assets import AssetState, run_context

from airflow_provider_zohocrm import ZohoGetRecordsOperator
from airflow_provider_zohocrm._compat import asset
from airflow_provider_zohocrm.exceptions import ZohoValidationError
from airflow_provider_zohocrm.extraction.border import Border
from airflow_provider_zohocrm.operators import watermark
from airflow_provider_zohocrm.operators.watermark import StoredWatermark

NOON = "2026-01-01T12:00:00+00:00"
LATER = "2026-01-01T13:00:00+00:00"
LATEST = "2026-01-01T14:00:00+00:00"


@pytest.fixture
def variables(monkeypatch):
    kept = {}
    monkeypatch.setattr(watermark, "read_variable", kept.get)
    monkeypatch.setattr(watermark, "write_variable", lambda key, value, _: kept.__setitem__(key, value))
    return kept


def stored(context, outlets=(), uri="file:///lake/leads", conn_id="zoho"):
    return StoredWatermark(context, outlets, uri, "Leads", conn_id)


def passed(name, newest, border="", **more):
    """Let a run read and move."""
    mark = stored(run_context(name), **more)
    began = mark.begin()
    mark.move(newest, border, began)
    return {name: began[name] for name in ("watermark", "border")}


class TestStored:
    def test_the_next_run_begins_where_the_last_one_ended(self, variables):
        assert passed("r1", NOON, "b1") == {"watermark": None, "border": None}
        assert passed("r2", LATER, "b2") == {"watermark": NOON, "border": "b1"}
        assert passed("r3", LATEST, "b3") == {"watermark": LATER, "border": "b2"}

    def test_a_run_without_records_moves_nothing(self, variables):
        passed("r1", NOON, "b1")
        passed("r2", None, "empty")
        assert passed("r3", LATER) == {"watermark": NOON, "border": "b1"}

    def test_tombstones_go_on_where_they_ended_also_without_records(self, variables):
        first = stored(run_context("r1"))
        first.move(NOON, "b1", first.begin(), NOON)
        second = stored(run_context("r2"))
        began = second.begin()
        assert began == {"watermark": NOON, "border": "b1", "deleted": NOON}
        second.move(None, "none", began, LATER)
        assert stored(run_context("r3")).begin() == {"watermark": NOON, "border": "b1", "deleted": LATER}
        # A retry, or a cleared run, has its own again.
        assert stored(run_context("r2")).begin()["deleted"] == NOON

    def test_what_came_late_does_not_move_it_back_and_is_not_told_again(self, variables):
        passed("r1", LATER, "b1")
        passed("r2", NOON, "with the late one")
        assert passed("r3", LATEST) == {"watermark": LATER, "border": "with the late one"}

    def test_a_retry_after_the_move_begins_where_the_try_before_did(self, variables):
        passed("r1", NOON, "b1")
        passed("r2", LATER, "b2")
        assert passed("r2", LATEST, "b2 again") == {"watermark": NOON, "border": "b1"}
        assert passed("r3", LATEST) == {"watermark": LATEST, "border": "b2 again"}

    def test_an_older_run_that_is_cleared_begins_where_it_began_and_moves_nothing_back(self, variables):
        passed("r1", NOON, "b1")
        passed("r2", LATER, "b2")
        passed("r3", LATEST, "b3")
        assert passed("r2", LATER, "other") == {"watermark": NOON, "border": None}
        assert passed("r4", LATEST) == {"watermark": LATEST, "border": "b3"}

    def test_only_the_last_runs_are_kept(self, variables):
        for number in range(40):
            passed(f"r{number}", NOON, "b")
        (text,) = variables.values()
        assert [one["run"][2] for one in json.loads(text)["runs"]] == [
            f"r{number}" for number in range(10, 40)
        ]

    def test_targets_connections_and_modules_are_apart(self, variables):
        passed("r1", NOON)
        assert passed("r2", NOON, uri="file:///lake/other")["watermark"] is None
        assert passed("r2", NOON, conn_id="zoho_eu")["watermark"] is None
        assert len(variables) == 3

    def test_the_state_of_an_asset_is_used_where_there_is_one(self, variables):
        leads, state = asset("file:///lake/leads"), AssetState()
        mark = stored(run_context("r1", state), [leads])
        mark.move(NOON, "b1", mark.begin())
        assert variables == {}
        assert state["zohocrm_watermark/zoho/Leads"]["watermark"] == NOON
        assert stored(run_context("r2", state), [leads]).begin() == {
            "watermark": NOON,
            "border": "b1",
            "deleted": None,
        }

    def test_what_a_variable_holds_is_taken_over_into_the_state_of_the_asset(self, variables):
        leads, state = asset("file:///lake/leads"), AssetState()
        passed("r1", NOON, "b1", outlets=[leads])
        mark = stored(run_context("r2", state), [leads])
        assert mark.begin() == {"watermark": NOON, "border": "b1", "deleted": None}
        mark.move(LATER, "b2", mark.begin())
        assert state["zohocrm_watermark/zoho/Leads"]["watermark"] == LATER

    def test_a_mapped_task_has_a_variable(self, variables):
        leads = asset("file:///lake/leads")
        mark = stored(run_context("r1", AssetState(), map_index=2), [leads])
        mark.move(NOON, "", mark.begin())
        assert len(variables) == 1


class TestBorder:
    ID = 5725767000000524157

    def test_leaves_out_what_was_delivered_with_the_same_time(self):
        first = Border(300)
        assert first.take([str(self.ID), str(self.ID + 1)], ["2026-01-01T17:30:00+05:30", NOON]) == [
            True,
            True,
        ]
        second = Border(300, first.packed)
        ids = [str(self.ID), str(self.ID + 1), str(self.ID + 2)]
        assert second.take(ids, ["2026-01-01T12:00:00Z", "2026-01-01T12:00:01+00:00", NOON]) == [
            False,
            True,
            True,
        ]

    def test_keeps_what_lies_within_the_overlap_of_the_newest(self):
        border = Border(60)
        border.take(["1", "2", "3"], [NOON, "2026-01-01T12:59:00+00:00", LATER])
        assert Border(60, border.packed).take(
            ["1", "2", "3"], [NOON, "2026-01-01T12:59:00+00:00", LATER]
        ) == [
            True,
            False,
            False,
        ]

    def test_an_empty_run_keeps_what_the_one_before_has_delivered(self):
        border = Border(60)
        border.take(["1"], [NOON])
        assert Border(60, Border(60, border.packed).packed).take(["1"], [NOON]) == [False]

    def test_a_retry_goes_on_with_what_was_taken(self):
        border = Border(60)
        border.take(["1"], [NOON])
        again = Border(60)
        again.restore(border.taken)
        again.take(["2"], [NOON])
        assert Border(60, again.packed).take(["1", "2"], [NOON, NOON]) == [False, False]

    def test_is_small_enough_for_every_database_and_says_when_it_is_full(self, caplog):
        border = Border(300)
        count = 30_000
        times = [
            datetime.fromtimestamp(1_767_268_800 + n % 300, timezone.utc).isoformat() for n in range(count)
        ]
        border.take([str(self.ID + 977 * n * n % 10_000_019) for n in range(count)], times)
        assert len(border.packed) < 45_000
        assert "More than 5000 records were modified within the overlap" in caplog.text


class TestParameters:
    def make(self, tmp_path, **options):
        options = {
            "module": "Leads",
            "output_path": str(tmp_path / "leads.jsonl"),
            "watermark": "asset",
            **options,
        }
        return ZohoGetRecordsOperator(task_id="t", **options)

    @pytest.mark.parametrize(
        ("options", "word"),
        [
            ({"watermark": "variable"}, "must be 'asset'"),
            ({"max_records": 5}, "max_records"),
            ({"ids": ["1"]}, "ids"),
            ({"fields": ["Last_Name"]}, "Modified_Time"),
            ({"overlap": "-1"}, "overlap"),
            ({"output_path": None}, "output_path"),
            ({"record_id": "1"}, "watermark"),
        ],
    )
    def test_what_does_not_fit_fails_before_any_request(self, variables, zoho, tmp_path, options, word):
        with pytest.raises(ZohoValidationError, match=word):
            self.make(tmp_path, **options).execute(run_context())
        assert zoho.mocker.request_history == []
        assert list(tmp_path.iterdir()) == []
