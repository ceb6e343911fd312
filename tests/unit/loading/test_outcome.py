from __future__ import annotations

import json

import pytest

from airflow_provider_zohocrm.loading.outcome import UNKNOWN, Outcome
from airflow_provider_zohocrm.loading.values import Rejection
from airflow_provider_zohocrm.storage import read_records

WHY = Rejection("INVALID_DATA", "invalid data", {"api_name": "Email"}, "$.Email")


@pytest.fixture
def paths(tmp_path):
    return str(tmp_path / "results.jsonl"), str(tmp_path / "rejects.jsonl")


def names(tmp_path):
    return sorted(path.name for path in tmp_path.iterdir())


def test_results_and_rejects_are_files_and_counts(paths):
    with Outcome(*paths) as outcome:
        outcome.accepted(0, "11", "insert")
        outcome.accepted(2, "12", "update", "Email")
        outcome.accepted(3, "13", "delete")
        outcome.rejected(1, {"Email": "x"}, WHY)
        outcome.rejected(4, {"Email": "y"}, WHY._replace(code=UNKNOWN))
    assert list(read_records(paths[0])) == [
        {"index": 0, "id": "11", "action": "insert", "duplicate_field": None},
        {"index": 2, "id": "12", "action": "update", "duplicate_field": "Email"},
        {"index": 3, "id": "13", "action": "delete", "duplicate_field": None},
    ]
    assert next(iter(read_records(paths[1]))) == {"index": 1, **WHY._asdict(), "record": {"Email": "x"}}
    assert outcome.summary == {
        "total": 5,
        "inserted": 1,
        "updated": 1,
        "deleted": 1,
        "rejected": 2,
        "unknown": 1,
        "results_path": paths[0],
        "results_paths": [paths[0]],
        "rejects_path": paths[1],
        "rejects_paths": [paths[1]],
    }
    assert outcome.first.startswith("record 1: INVALID_DATA")


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
def test_typed_files_hold_nested_values_as_json(tmp_path, suffix):
    path = str(tmp_path / f"rejects.{suffix}")
    with Outcome(None, path) as outcome:
        outcome.rejected(1, {"Email": "x", "Tags": ["a"]}, WHY)
    (row,) = read_records(path)
    assert int(row["index"]) == 1
    assert json.loads(row["record"]) == {"Email": "x", "Tags": ["a"]}
    assert json.loads(row["details"]) == {"api_name": "Email"}


def test_each_publication_is_a_part_and_nothing_is_published_for_nothing(paths, tmp_path):
    with Outcome(*paths) as outcome:
        outcome.accepted(0, "1", "insert")
        outcome.publish()
        outcome.accepted(1, "2", "insert")
        outcome.publish()
        outcome.publish()
        outcome.rejected(2, {}, WHY)
    assert names(tmp_path) == ["rejects.jsonl", "results-0002.jsonl", "results.jsonl"]
    assert outcome.summary["results_paths"] == [paths[0], paths[0].replace(".jsonl", "-0002.jsonl")]


def test_what_is_not_published_vanishes_and_the_next_try_goes_on_after_what_is(paths, tmp_path):
    kept = []

    def killed():
        with Outcome(*paths) as outcome:
            outcome.accepted(0, "1", "insert")
            outcome.rejected(1, {}, WHY)
            outcome.publish()
            kept.append((json.loads(json.dumps(outcome.state)), outcome.shown))
            outcome.accepted(2, "2", "insert")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed()
    ((state, shown),) = kept
    assert names(tmp_path) == ["rejects.jsonl", "results.jsonl"]
    with Outcome(*paths, state) as again:
        again.accepted(2, "2", "update")
    assert (again.summary["total"], again.summary["inserted"], again.summary["updated"]) == (3, 1, 1)
    assert again.shown == shown
    assert [row["index"] for path in again.summary["results_paths"] for row in read_records(path)] == [0, 2]
    assert again.summary["rejects_paths"] == [paths[1]]


def test_a_part_that_nobody_knows_of_is_replaced(paths, tmp_path):
    """The worker died after a part was published, and before that was kept."""
    with Outcome(*paths) as outcome:
        outcome.accepted(0, "1", "insert")
        outcome.publish()
        state = outcome.state
        outcome.accepted(1, "2", "insert")
    assert "results-0002.jsonl" in names(tmp_path)
    with Outcome(*paths, state) as again:
        again.rejected(1, {}, WHY)
    assert [row["index"] for path in again.summary["results_paths"] for row in read_records(path)] == [0]
    assert [row["index"] for path in tmp_path.glob("results*.jsonl") for row in read_records(str(path))] == [
        0
    ]


def test_an_empty_file_of_a_try_that_failed_is_replaced(paths):
    with Outcome(*paths) as outcome:
        outcome.publish(last=True)
    with Outcome(*paths, outcome.state) as again:
        again.rejected(0, {}, WHY)
    assert again.summary["rejects_paths"] == [paths[1]]
    assert [row["index"] for row in read_records(paths[1])] == [0]


def test_files_that_are_gone_are_named(paths):
    with Outcome(*paths) as outcome:
        outcome.accepted(0, "1", "insert")
        outcome.rejected(1, {}, WHY)
    assert Outcome.lost(outcome.state) == []
    assert Outcome.lost(outcome.state, lambda path: path != paths[1]) == [paths[1]]


def test_only_the_first_rejects_are_shown():
    with Outcome(None, None) as outcome:
        for index in range(150):
            outcome.rejected(index, {"a": 1}, WHY)
    assert len(outcome.shown) == 100
    assert "record" not in outcome.shown[0]
    assert outcome.summary["rejected"] == 150


def test_rows_stand_in_the_order_of_the_input_though_answers_come_in_another(paths):
    indexes = [*range(100, 200), *range(100), *range(1_300, 1_400), *range(200, 1_300)]
    with Outcome(*paths) as outcome:
        for index in indexes:
            outcome.accepted(index, str(index), "insert")
        for index in (9, 3, 7):
            outcome.rejected(2_000 + index, {}, WHY)
    assert [row["index"] for row in read_records(paths[0])] == sorted(indexes)
    assert [row["index"] for row in read_records(paths[1])] == [2_003, 2_007, 2_009]
    assert [reject["index"] for reject in outcome.shown] == [2_003, 2_007, 2_009]
