"""The engine against the simulator, over the wire: killed anywhere and gone on with, and whatever Zoho forgets."""

from __future__ import annotations

import csv
import io
import json
from contextlib import contextmanager

import pytest
from support.simulated import asked

from airflow_provider_zohocrm.client import bulk_read
from airflow_provider_zohocrm.client.client import ZohoCRMClient
from airflow_provider_zohocrm.client.credentials import ZohoCredentials
from airflow_provider_zohocrm.client.transport import Transport
from airflow_provider_zohocrm.exceptions import (
    ZohoBulkReadError,
    ZohoBulkReadTimeoutError,
    ZohoCorruptResultError,
    ZohoNotFoundError,
)
from airflow_provider_zohocrm.extraction.bulk import BulkExport
from airflow_provider_zohocrm.extraction.progress import read_progress
from airflow_provider_zohocrm.simulator.server import Simulator

ROWS, PAGES = 450, 5
CREATE = "POST /crm/bulk"


class KilledError(BaseException):
    """What a kill looks like from inside: nothing catches it."""


class World:
    """A simulated Zoho, a disk, and a store that survive the process."""

    def __init__(self, **options):
        options = {"bulk_page_size": 100, "job_polls": 1, "downloads_per_minute": 1_000_000, **options}
        self.simulator = Simulator({"Leads": ROWS}, **options)
        self.disk = {}
        self.saved = None
        self.steps = []
        self.kill_at = None

    def step(self, name):
        """Note what was just done, and die if it is time."""
        self.steps.append(name)
        if len(self.steps) - 1 == self.kill_at:
            raise KilledError

    def write(self, stream, first, expected):
        rows = list(csv.DictReader(io.TextIOWrapper(stream, "utf-8", newline="")))
        if len(rows) != expected:
            raise ZohoBulkReadError(f"{expected} records, and the result holds {len(rows)}")
        self.disk[f"f{first}"] = [row["Id"] for row in rows]
        self.step("write")
        return [{"path": f"f{first}", "records": len(rows), "bytes": 7}]

    def save(self, progress):
        self.step("before save")
        self.saved = json.dumps(progress, allow_nan=False)
        self.step("save")

    def client(self, version="v8"):
        extra = {
            "refresh_token": self.simulator.refresh_token,
            "accounts_url": self.simulator.url,
            "api_version": version,
        }
        credentials = ZohoCredentials.from_fields(
            self.simulator.client_id, self.simulator.client_secret, extra
        )
        client = ZohoCRMClient(Transport(credentials))
        for name in ("create_bulk_read_job", "get_bulk_read_job", "download_bulk_read_result"):
            setattr(client, name, self._stepping(name, getattr(client, name)))
        return client

    def _stepping(self, name, call):
        def stepping(*args, **kwargs):
            answer = call(*args, **kwargs)
            self.step(name)
            return answer

        return stepping

    def export(self, version="v8", **options):
        """Begin as a fresh process does, from what was saved."""
        query = {"module": "Leads", "fields": ["Last_Name"], "file_type": "csv"}
        progress = None if self.saved is None else read_progress(json.loads(self.saved))
        options = {"poll_interval": 0.001, "max_poll_interval": 0.002, **options}
        export = BulkExport(self.client(version), query, self.write, progress, save=self.save, **options)
        if progress is not None:
            export.resume(self.disk.__contains__)
        return export

    def run(self, kill_at=None, **options):
        self.steps, self.kill_at = [], kill_at
        export = self.export(**options)
        export.run(30)
        return export

    @property
    def jobs(self):
        """How many jobs were asked for."""
        return len(asked(self.simulator, CREATE))

    def check(self, export):
        """Every record is there once, in the files that the export names."""
        ids = [key for file in export.files for key in self.disk[file["path"]]]
        assert ids == sorted(row["id"] for row in self.simulator.table("Leads"))
        assert [file["page"] for file in export.files] == [1, 2, 3, 4, 5]
        assert len({file["path"] for file in export.files}) == PAGES
        assert not export.more_records


@pytest.fixture
def world(monkeypatch):
    # Each kill is a new process to itself, and all of them are within a minute.
    monkeypatch.setattr(bulk_read, "MAX_DOWNLOADS", 1_000_000)

    @contextmanager
    def make(**options):
        made = World(**options)
        with made.simulator:
            yield made

    return make


WAYS = {
    "page after page": {},
    "by page number": {"version": "v2"},
    "three ahead": {"pages": PAGES, "max_jobs_in_flight": 3},
    "all ahead": {"pages": PAGES, "max_jobs_in_flight": 10},
}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


def window(steps, kill_at):
    """Tell whether a job was created and not saved: the one moment that cannot be closed."""
    return steps[kill_at] == "create_bulk_read_job" or (
        steps[kill_at] == "before save" and steps[kill_at - 1] == "create_bulk_read_job"
    )


@every_way
def test_killed_after_any_step_the_next_try_goes_on_and_pays_for_no_job_twice(world, way):
    with world() as whole:
        whole.check(whole.run(**way))
        steps = list(whole.steps)
    assert {"create_bulk_read_job", "get_bulk_read_job", "download_bulk_read_result", "write", "save"} <= set(
        steps
    )
    with world() as one:
        for kill_at in range(len(steps)):
            one.saved, one.disk = None, {}
            before, fetched = one.jobs, len(asked(one.simulator, "/result"))
            with pytest.raises(KilledError):
                one.run(kill_at, **way)
            lost = window(one.steps, kill_at)
            unsaved = one.steps.count("download_bulk_read_result") - " ".join(one.steps).count(
                "write before save save"
            )
            one.check(one.run(**way))
            assert len(asked(one.simulator, "/result")) - fetched == PAGES + unsaved
            assert one.jobs - before == PAGES + lost, f"killed after {one.steps[kill_at]} ({kill_at})"


def test_two_kills_in_a_row_are_survived(world):
    with world() as one:
        for kill_at in (7, 5):
            with pytest.raises(KilledError):
                one.run(kill_at)
        one.check(one.run())


def test_the_next_job_is_created_before_a_page_is_downloaded(world):
    with world() as one:
        one.run()
        done = [step for step in one.steps if step in ("create_bulk_read_job", "download_bulk_read_result")]
    assert done == ["create_bulk_read_job"] + ["create_bulk_read_job", "download_bulk_read_result"] * 4 + [
        "download_bulk_read_result"
    ]


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_no_more_jobs_than_allowed_are_in_flight(world, at_once):
    with world(job_polls=2) as one:
        export = one.export(pages=PAGES, max_jobs_in_flight=at_once)
        seen = set()
        while not export.work(eager=True):
            seen.add(len(export.waiting_for))
        one.check(export)
    assert max(seen) == at_once


@pytest.mark.parametrize(("pages", "jobs"), [(3, PAGES), (7, 7)], ids=["too low", "too high"])
def test_a_count_that_is_wrong_changes_nothing_but_the_jobs(world, pages, jobs):
    with world() as one:
        one.check(one.run(pages=pages, max_jobs_in_flight=10))
        assert one.jobs == jobs


def test_where_page_numbers_end_tokens_go_on(world):
    with world(bulk_page_limit=2) as one:
        one.check(one.run(pages=PAGES, max_jobs_in_flight=10))
        assert one.jobs == PAGES + 1  # the one that was refused


def test_max_pages_ends_it(world):
    for way in ({}, {"pages": PAGES, "max_jobs_in_flight": 10}):
        with world() as one:
            export = one.run(max_pages=2, **way)
            assert ([file["page"] for file in export.files], export.more_records) == ([1, 2], True)
            assert one.jobs == 2


def killed_in_page_3(one, step="download_bulk_read_result", **way):
    """Run until the third download (or other step) is done."""
    one.steps, one.kill_at = [], None
    seen = []

    def stepping(name):
        seen.append(name)
        if seen.count(step) == 3 and name == step:
            raise KilledError

    one.step = stepping
    with pytest.raises(KilledError):
        one.export(**way).run(30)
    del one.step


def test_an_expired_token_is_replaced_by_the_page_number(world):
    with world() as one:
        fault = {"code": "EXPIRED_VALUE", "details": {}, "message": "Page token expired", "status": "error"}
        one.simulator.add_fault("status", method="POST", path="/read", after=2, status=400, body=fault)
        one.check(one.run())
        created = [each for each in one.simulator.requests if each["path"] == "/crm/bulk/v8/read"]
        queries = [json.loads(each["body"])["query"] for each in created]
    assert [("page_token" in query, query.get("page")) for query in queries] == [
        (False, 1),
        (True, None),
        (True, None),
        (False, 3),
        (True, None),
        (True, None),
    ]


def test_a_result_that_is_gone_is_made_again_and_other_pages_stay(world):
    for status in (404, 400):
        with world(unknown_result_status=status) as one:
            killed_in_page_3(one)
            for job in one.simulator.state.bulk.jobs.values():
                job.finished = 0.0 if job.finished else None
            downloads = len(asked(one.simulator, "/result"))
            one.check(one.run())
            assert one.jobs == PAGES + 1
            # Once in vain, then pages 3 to 5: the first two were not fetched again.
            assert len(asked(one.simulator, "/result")) - downloads == 4


def test_a_job_that_zoho_does_not_know_is_made_again(world):
    with world() as one:
        killed_in_page_3(one)
        one.simulator.state.bulk.reset()
        one.check(one.run())
        assert one.jobs == PAGES + 2  # of the pages 3 and 4, which were in flight


def test_a_job_older_than_a_day_is_made_again_without_being_asked_for(world):
    with world() as one:
        killed_in_page_3(one)
        kept = json.loads(one.saved)
        old = [job["job_id"] for job in kept["jobs"]]
        for job in kept["jobs"]:
            job["submitted_at"] -= 86_400
        kept["page_token"]["at"] -= 86_400
        one.saved = json.dumps(kept)
        before = len(one.simulator.requests)
        one.check(one.run())
        later = [each["path"] for each in one.simulator.requests[before:]]
    assert not [path for path in later for job_id in old if job_id in path]


def test_a_result_that_is_gone_at_once_is_an_error_in_the_end(world):
    with world(result_life=0) as one, pytest.raises(ZohoNotFoundError):
        one.run()
    assert one.jobs < PAGES


def test_a_page_whose_file_is_gone_is_exported_again_under_its_name(world):
    with world() as one:
        killed_in_page_3(one, "write")
        one.disk.pop("f1")
        one.check(one.run())
        assert one.jobs == PAGES + 1


def test_a_job_that_fails_keeps_the_pages_before_and_is_not_asked_for_again(world):
    with world() as one:
        created = []

        def step(name):
            # The third job begins when the second has ended, which is before it is created.
            created.extend([name] * (name == "create_bulk_read_job"))
            one.simulator.state.options.job_failure = "INTERNAL_ERROR" if len(created) == 2 else ""

        one.step = step
        with pytest.raises(ZohoBulkReadError, match="INTERNAL_ERROR"):
            one.export().run(30)
        del one.step
        kept = json.loads(one.saved)
        assert (kept["finished"], kept["jobs"]) == ([1, 2], [])
        one.check(one.run())
        assert one.jobs == PAGES + 1


@pytest.mark.parametrize("defect", ["truncated", "corrupt"])
def test_a_damaged_result_is_fetched_three_times_and_then_made_again_by_the_next_try(world, defect):
    with world(result_defect=defect) as one:
        with pytest.raises(ZohoCorruptResultError):
            one.run()
        assert len(asked(one.simulator, "/result")) == 3
        assert one.disk == {}
        one.simulator.state.options.result_defect = "none"
        # The job of the second page was damaged, too, as it was already made.
        with pytest.raises(ZohoCorruptResultError):
            one.run()
        one.check(one.run())
        assert one.jobs == PAGES + 2


def test_a_job_that_does_not_end_in_time_stays_for_the_next_try(world):
    with world(job_stuck=True) as one:
        with pytest.raises(ZohoBulkReadTimeoutError, match="Raise timeout"):
            one.export().run(0.05)
        one.simulator.state.options.job_stuck = False
        one.check(one.run())
        assert one.jobs == PAGES


def test_what_it_cost_is_counted_over_all_tries(world):
    with world() as one:
        killed_in_page_3(one)
        before = json.loads(one.saved)["credits"]
        export = one.run()
    # Three looks and two downloads; the third download was not saved any more.
    assert before == 4 * 50 + 3 + 2
    assert export.progress["credits"] == before + 50 + 3 + 3


def test_a_progress_of_version_0_1_0_goes_on(world):
    with world() as one:
        killed_in_page_3(one)
        kept = json.loads(one.saved)
        running = kept["jobs"][0]
        one.saved = json.dumps(
            {
                "job_id": running["job_id"],
                "page": running["page"],
                "submitted_at": running["submitted_at"],
                "files": kept["files"],
            }
        )
        one.check(one.run())
