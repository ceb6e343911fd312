"""Which job comes next, and when to look: decisions without a clock of their own."""

from __future__ import annotations

import pytest

from airflow_provider_zohocrm.extraction.progress import (
    drop_lost,
    first_file_number,
    new_job,
    new_progress,
    next_page,
    note_completed,
    note_submitted,
    note_written,
    read_progress,
    seconds_to_look,
    token_for,
)

NOW = 1_800_000_000.0


def submitted(progress, *pages, at=NOW):
    jobs = [new_job(f"7{page}", page, at) for page in pages]
    for job in jobs:
        note_submitted(progress, job)
    return jobs


def looked(job, at):
    job["looks"] += 1
    job["looked_at"] = at


def written(page):
    return [{"path": f"f{page}", "records": 1, "bytes": 1, "job_id": f"7{page}", "page": page}]


def due(progress, max_pages=None, at_once=1):
    return next_page(progress, max_pages=max_pages, at_once=at_once)


def test_one_page_after_the_other_while_nothing_is_counted():
    progress = new_progress()
    assert due(progress, at_once=9) == 1
    (job,) = submitted(progress, 1)
    assert due(progress, at_once=9) is None
    note_completed(progress, job, {"more_records": True}, NOW)
    assert due(progress) == 2
    submitted(progress, 2)
    assert due(progress) is None


def test_counted_pages_are_submitted_ahead_and_what_comes_after_them_follows():
    progress = new_progress(counted=2)
    first, second = submitted(progress, 1, 2)
    assert due(progress, at_once=9) is None
    note_completed(progress, first, {"more_records": True}, NOW)
    assert due(progress, at_once=9) is None
    note_completed(progress, second, {"more_records": True}, NOW)
    assert due(progress, at_once=9) == 3


def test_a_missing_page_goes_before_everything_else_in_flight():
    progress = new_progress(counted=5)
    submitted(progress, 2, 3)
    assert due(progress, at_once=2) == 1


def test_pages_that_do_not_exist_are_dropped():
    progress = new_progress(counted=4)
    jobs = submitted(progress, 1, 2, 3, 4)
    assert note_completed(progress, jobs[1], {"more_records": False}, NOW) == ["73", "74"]
    assert [job["page"] for job in progress["jobs"]] == [1, 2]
    assert due(progress, at_once=9) is None


def test_a_page_that_is_read_again_does_not_take_later_ones_back():
    progress = new_progress()
    progress["finished"], progress["files"], progress["last_page"] = [1, 3], written(3), 3
    (job,) = submitted(progress, 2)
    note_completed(progress, job, {"more_records": False}, NOW)
    assert progress["last_page"] == 3
    note_written(progress, job, written(2))
    assert [file["page"] for file in progress["files"]] == [2, 3]
    assert first_file_number(progress, 3) == 2


def test_a_token_serves_its_page_for_a_day():
    progress = new_progress()
    (job,) = submitted(progress, 1)
    note_completed(progress, job, {"more_records": True, "next_page_token": "t2"}, NOW)
    assert token_for(progress, 2, NOW + 86_399) == "t2"
    assert token_for(progress, 2, NOW + 86_400) is None
    assert token_for(progress, 3, NOW) is None


def test_what_is_lost_is_dropped_and_named():
    progress = new_progress(counted=4)
    progress["finished"], progress["files"] = [1, 2], [*written(1), *written(2)]
    submitted(progress, 3, at=NOW - 86_400)
    submitted(progress, 4)
    lost = drop_lost(progress, NOW, {"f2"}.__contains__)
    assert len(lost) == 2
    assert (progress["finished"], [job["page"] for job in progress["jobs"]]) == ([2], [4])
    assert [due(progress, at_once=9)] == [1]


def test_a_progress_of_the_first_version_is_read():
    old = {"job_id": "73", "page": 3, "submitted_at": NOW, "files": [*written(1), *written(2)]}
    progress = read_progress(old)
    assert [(job["job_id"], job["page"]) for job in progress["jobs"]] == [("73", 3)]
    assert progress["finished"] == [1, 2]
    assert read_progress(dict(progress)) == progress


# --- when to look ------------------------------------------------------------------------------------------------


def pause(progress, now, first=10.0, longest=60.0):
    return seconds_to_look(progress, now, first, longest)


def test_looks_at_the_first_job_grow_apart():
    progress = new_progress()
    (job,) = submitted(progress, 1)
    now, waits = NOW, []
    for _ in range(7):
        waits.append(pause(progress, now))
        now += waits[-1]
        looked(job, now)
    assert waits == [10, 15, 22.5, 33.75, 50.625, 60, 60]


def test_a_job_that_was_submitted_long_ago_is_looked_at_at_once():
    progress = new_progress()
    submitted(progress, 1, at=NOW - 11)
    assert pause(progress, NOW) <= 0


def test_the_next_job_is_looked_at_when_it_should_have_ended():
    progress = new_progress(counted=3)
    first, second, _ = submitted(progress, 1, 2, 3)
    looked(first, NOW + 2.5)
    looked(first, NOW + 5)
    note_completed(progress, first, {"more_records": True}, NOW + 5)
    note_written(progress, first, written(1))
    assert pause(progress, NOW + 6) == pytest.approx(4)
    looked(second, NOW + 9)
    looked(second, NOW + 10)
    note_completed(progress, second, {"more_records": True}, NOW + 10)
    note_written(progress, second, written(2))
    assert pause(progress, NOW + 10) == pytest.approx(5)


def test_a_job_that_had_ended_by_the_first_look_has_the_next_one_looked_at_at_once():
    progress = new_progress(counted=3)
    first, second, _ = submitted(progress, 1, 2, 3)
    looked(first, NOW + 10)
    note_completed(progress, first, {"more_records": True}, NOW + 10)
    note_written(progress, first, written(1))
    assert pause(progress, NOW + 10.5) <= 0
    looked(second, NOW + 10.5)
    assert pause(progress, NOW + 10.5) == pytest.approx(9.5)


def test_a_long_download_does_not_make_the_next_job_seem_long():
    progress = new_progress()
    (first,) = submitted(progress, 1)
    for at in (4, 5):
        looked(first, NOW + at)
    note_completed(progress, first, {"more_records": True}, NOW + 5)
    (second,) = submitted(progress, 2, at=NOW + 5)
    note_written(progress, first, written(1))
    looked(second, NOW + 300)
    note_completed(progress, second, {"more_records": True}, NOW + 300)
    submitted(progress, 3, at=NOW + 300)
    note_written(progress, second, written(2))
    assert pause(progress, NOW + 300) <= 5


def test_an_overdue_job_is_not_looked_at_more_often_than_each_second():
    progress = new_progress(counted=2)
    first, second = submitted(progress, 1, 2)
    looked(first, NOW + 0.5)
    looked(first, NOW + 1)
    note_completed(progress, first, {"more_records": True}, NOW + 1)
    note_written(progress, first, written(1))
    now, waits = NOW + 2, []
    for _ in range(5):
        looked(second, now)
        waits.append(pause(progress, now))
        now += waits[-1]
    assert waits[0] == 1
    assert waits == sorted(waits)
    assert waits[-1] > 4


def test_an_end_that_is_far_away_is_not_waited_for_blindly():
    progress = new_progress(counted=2)
    first, _ = submitted(progress, 1, 2)
    looked(first, NOW + 900)
    looked(first, NOW + 1000)
    note_completed(progress, first, {"more_records": True}, NOW + 1000)
    note_written(progress, first, written(1))
    looked(progress["jobs"][0], NOW + 1001)
    assert pause(progress, NOW + 1001) == 60


def ended(seconds, jobs, ahead):
    """Play an export against a Zoho whose jobs take that long, one after another; return its end and its looks."""
    progress, now, looks = new_progress(counted=jobs if ahead else 0), NOW, 0
    ends = []
    while True:
        while (page := due(progress, at_once=jobs if ahead else 1)) is not None:
            submitted(progress, page, at=now)
            ends.append(max([now, *ends[-1:]]) + seconds)
        if not progress["jobs"]:
            return now - NOW, looks
        now += max(0.0, pause(progress, now))
        job, looks = progress["jobs"][0], looks + 1
        looked(job, now)
        if now >= ends[job["page"] - 1]:
            note_completed(progress, job, {"more_records": job["page"] < jobs}, now)
            while (page := due(progress, at_once=jobs if ahead else 1)) is not None:
                submitted(progress, page, at=now)
                ends.append(max([now, *ends[-1:]]) + seconds)
            now += 0.2
            note_written(progress, job, written(job["page"]))


@pytest.mark.parametrize("seconds", [3.5, 5, 5.1, 9.9, 10.1, 12, 40, 300])
def test_ten_jobs_in_flight_end_soon_after_zoho_has_ended_them_at_few_credits(seconds):
    end, looks = ended(seconds, 10, ahead=True)
    assert end <= 1.15 * 10 * seconds
    assert looks <= 10 * max(3, seconds / 60 + 4)


@pytest.mark.parametrize("seconds", [3.5, 5, 12, 40, 300])
def test_one_job_after_the_other_does_not_wait_much_longer_than_they_take(seconds):
    end, looks = ended(seconds, 10, ahead=False)
    assert end <= 1.5 * 10 * seconds
    assert looks <= 10 * (seconds / 60 + 4)
