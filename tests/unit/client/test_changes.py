"""What follows from what was read of a module: what is new, and what is known then."""

from __future__ import annotations

from airflow_provider_zohocrm.client.changes import (
    Settling,
    Snapshot,
    compare,
    deletions_since,
    no_watermark,
    only,
    records_since,
    settle,
)

OVERLAP = 60


def at(seconds):
    return f"2026-11-22T10:{seconds // 60:02}:{seconds % 60:02}+00:00"


def record(id_, modified, created=0):
    return str(id_), at(created), at(modified)


def known_after(*records, deleted=None, **more):
    return compare(None, Snapshot([*records], deleted, **more), overlap=OVERLAP)[1]


def test_the_first_look_finds_nothing_and_knows_all_within_the_overlap():
    found, known = compare(
        None, Snapshot([record(1, 100), record(2, 200), record(3, 250)], []), overlap=OVERLAP
    )
    assert not found
    assert known["modified"] == known["deleted"] == at(250)
    assert known["seen"] == {"2": at(200), "3": at(250)}


def test_what_was_deleted_before_the_first_look_is_known():
    known = known_after(record(1, 250), deleted=[("9", at(200))])
    found, _ = compare(known, Snapshot([record(1, 250)], [("9", at(200)), ("8", at(210))]), overlap=OVERLAP)
    assert found.deleted == ["8"]


def test_one_that_was_restored_and_deleted_again_is_new():
    known = known_after(record(1, 250), deleted=[("9", at(250))])
    assert compare(known, Snapshot([], [("9", at(255))]), overlap=OVERLAP)[0].deleted == ["9"]


def test_deletions_that_were_not_read_leave_what_is_known_of_them():
    known = known_after(record(1, 250), deleted=[("9", at(240))])
    found, after = compare(known, Snapshot([record(2, 260, 260)]), overlap=OVERLAP)
    assert (found.created, found.deleted) == (["2"], [])
    assert (after["deleted"], after["gone"]) == (known["deleted"], known["gone"])


def test_what_comes_late_is_found_until_all_is_settled():
    known = known_after(record(1, 250))
    late = Snapshot([record(1, 250), record(2, 240, 240)])
    assert compare(known, late, overlap=OVERLAP)[0].created == ["2"]
    settled = settle(known, OVERLAP, records=True, deletions=False)
    assert records_since(settled, OVERLAP) == at(251)
    assert not settled["seen"]
    assert not compare(settled, late, overlap=OVERLAP)[0]


def test_a_record_that_was_there_when_all_was_settled_is_changed_and_not_created():
    settled = settle(known_after(record(1, 250, 250)), OVERLAP, records=True, deletions=False)
    found, after = compare(settled, Snapshot([record(1, 255, 250), record(2, 256, 256)]), overlap=OVERLAP)
    assert (found.created, found.changed) == (["2"], ["1"])
    # What was settled stays so, though it lies within the overlap before the newest record.
    assert records_since(after, OVERLAP) == at(251)


def test_what_was_too_much_to_be_read_is_told_once():
    known = known_after(record(1, 250), deleted=[])
    snapshot = Snapshot([record(1, 290)], [("9", at(290))], more=True, more_deleted=True)
    found, after = compare(known, snapshot, overlap=OVERLAP)
    assert only(found, ["created"])
    assert not compare(after, snapshot, overlap=OVERLAP)[0]
    snapshot.records.append(record(2, 289, 289))
    # One that was not read before, or comes late.
    assert compare(after, snapshot, overlap=OVERLAP)[0].created == ["2"]
    snapshot.records.append(record(3, 291))
    assert compare(after, snapshot, overlap=OVERLAP)[0].more


def test_what_was_too_much_to_be_read_at_the_first_look_was_there_before():
    known = known_after(record(1, 250), deleted=[("9", at(250))], more=True, more_deleted=True)
    assert records_since(known, OVERLAP) == deletions_since(known, OVERLAP) == at(251)
    late = Snapshot([record(1, 250), record(2, 240, 240)], [("9", at(250)), ("8", at(240))])
    assert not compare(known, late, overlap=OVERLAP)[0]


def test_in_an_empty_module_everything_is_new():
    known = known_after(deleted=[])
    assert known == no_watermark()
    assert records_since(known, OVERLAP) == deletions_since(known, OVERLAP) == ""
    found, _ = compare(known, Snapshot([record(1, 5, 5)], [("2", at(9))]), overlap=OVERLAP)
    assert (found.created, found.deleted) == (["1"], ["2"])


def test_all_is_settled_when_the_overlap_has_passed_since_the_newest_record_was_first_seen():
    settling = Settling(OVERLAP)
    assert not settling.is_over(None, 0, 1)
    assert not settling.is_over(at(1), 1000, 1002)
    assert not settling.is_over(at(1), 1062, 1063)
    assert settling.is_over(at(1), 1064, 1065)
    assert not settling.is_over(at(2), 2000, 2001)
    assert not settling.is_over(None, 9000, 9001)
