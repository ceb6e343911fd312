"""Every version of a record once: by intervals in any order, and by a watermark, over all ways of reading."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from datetime import datetime, timedelta, timezone
from types import SimpleNamespace

import pytest
from support.assets import AssetState, events_of_outlets, run_context
from support.running import run_to_end
from support.simulated import asked

from airflow_provider_zohocrm import ZohoGetRecordsOperator
from airflow_provider_zohocrm._compat import asset
from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook
from airflow_provider_zohocrm.operators import watermark
from airflow_provider_zohocrm.storage import read_records

WAYS = ("records", "coql", "bulk")
FIELDS = ["Last_Name", "Company", "Modified_Time"]
END = datetime(2023, 2, 11, tzinfo=timezone.utc)  # the seeded records were modified before it


@pytest.fixture
def crm(simulated, monkeypatch):
    """A CRM whose clock stands on the day after its records were modified, and a worker with the same clock."""

    def start(count=600, **options):
        simulator = simulated({"Leads": count}, **options)
        clock = simulator.state.clock
        clock.shift = (END + timedelta(hours=6)).timestamp() - time.time()

        def now():
            return datetime.fromtimestamp(int(clock.now()), timezone.utc)

        monkeypatch.setattr(watermark, "now", now)
        variables = {}
        monkeypatch.setattr(watermark, "read_variable", variables.get)
        monkeypatch.setattr(watermark, "write_variable", lambda key, text, _: variables.update({key: text}))
        return simulator

    return start


def version(row):
    return str(row["id"]), datetime.fromisoformat(str(row["Modified_Time"]).replace("Z", "+00:00"))


def versions_of(path):
    return [version(row) for row in read_records(str(path))]


def held(simulator):
    return {version(record) for record in simulator.table("Leads")}


def change(simulator, ids, at=None, **values):
    store = simulator.state.store
    module = store.modules["Leads"]
    for record_id in ids:
        store.save(module, store.row(module, int(record_id)), values, modified=at and int(at.timestamp()))


def ids_of(simulator):
    return [record["id"] for record in simulator.table("Leads")]


class TestBackfill:
    @pytest.mark.parametrize("strategy", ["records", "coql"])
    def test_thirty_days_in_random_order_with_concurrent_writes_hold_each_version_once(
        self, crm, tmp_path, strategy
    ):
        simulator = crm(1500)
        days = [(END - timedelta(days=30 - n), END - timedelta(days=29 - n)) for n in range(30)]
        change(simulator, ids_of(simulator)[:700:10], at=days[3][0], Company="on a border")
        in_days = {one for one in held(simulator) if one[1] >= days[0][0]}
        random.Random(7).shuffle(days)

        def read(since, before):
            path = tmp_path / f"{since:%m%d}.jsonl"
            ZohoGetRecordsOperator(
                task_id="t",
                module="Leads",
                fields=FIELDS,
                strategy=strategy,
                modified_since=since.isoformat(),
                modified_before=before.isoformat(),
                output_path=str(path),
                manifest_path=str(tmp_path / "manifests" / f"{since:%m%d}.json"),
            ).execute(run_context())
            return versions_of(path)

        over, changed = threading.Event(), 0

        def write():
            nonlocal changed
            chosen = random.Random(8)
            ids = ids_of(simulator)
            while not over.is_set():
                change(simulator, chosen.sample(ids, 3), Company=f"changed {changed}")
                changed += 3
                simulator.advance(1)
                over.wait(0.01)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            read_versions = [one for since, before in days for one in read(since, before)]
        finally:
            over.set()
            writer.join()
        assert changed > 30
        # The day on which it was written is over: its own interval.
        simulator.advance(24 * 60 * 60)
        last = read(END, END + timedelta(days=1))
        counts = Counter(read_versions + last)
        assert set(counts.values()) == {1}
        final = {one for one in held(simulator) if one[1] >= END - timedelta(days=30)}
        assert final <= set(counts)
        # What else there is, was true before it was changed.
        assert set(counts) - final <= in_days
        assert set(last) == {one for one in final if one[1] >= END}

    @pytest.mark.parametrize(("ahead", "waited"), [(0, 6), (-2, 4), (5, 6), (-60, 0), (3600, 0)])
    def test_the_end_of_a_window_is_waited_for(self, crm, tmp_path, monkeypatch, caplog, ahead, waited):
        simulator, slept, found = crm(5), [], []
        id_ = ids_of(simulator)[0]
        end = watermark.now() + timedelta(seconds=ahead)

        def sleep(pause):
            # Others go on to write, and their clock is not ours.
            change(simulator, [id_], at=end - timedelta(seconds=1), Company="at the last second")
            slept.append(pause)
            simulator.advance(pause)

        monkeypatch.setattr(watermark, "sleep", sleep)
        path = tmp_path / "leads.jsonl"
        ZohoGetRecordsOperator(
            task_id="t", module="Leads", fields=FIELDS, modified_before=end.isoformat(), output_path=str(path)
        ).execute(run_context())
        found = [row["Company"] for row in read_records(str(path)) if row["id"] == id_]
        assert sum(slept) == waited
        assert (found == ["at the last second"]) is bool(waited)
        assert ("in the future" in caplog.text) is (ahead == 3600)


class TestWatermark:
    def read(self, tmp_path, name, state, strategy="records", suffix="jsonl", more_context=(), **options):
        path = tmp_path / f"{name}.{suffix}"
        context = {**run_context(name, state), **dict(more_context)}

        def make():
            given = {
                "module": "Leads",
                "fields": FIELDS,
                "strategy": strategy,
                "watermark": "asset",
                "output_path": str(path),
                "poll_interval": 0,
                **options,
            }
            made = ZohoGetRecordsOperator(task_id="t", **given)
            # One for all runs, as a path with a template would have.
            made.output_path, made._path_template = str(path), f"{tmp_path}/{{{{ run_id }}}}.{suffix}"
            return made

        result, _ = run_to_end(make, context)
        return result, versions_of(path), context

    @pytest.mark.parametrize(("strategy", "suffix"), [*((way, "jsonl") for way in WAYS), ("bulk", "parquet")])
    def test_each_version_comes_once_though_runs_overlap(self, crm, tmp_path, strategy, suffix):
        simulator, state = crm(), AssetState()
        first, everything, _ = self.read(tmp_path, "r1", state, strategy, suffix)
        assert set(everything) == held(simulator)
        assert first["records"] == len(everything) == 600
        newest = max(when for _, when in everything)
        in_overlap = [id_ for id_, when in everything if when >= newest - timedelta(seconds=300)]
        assert len(in_overlap) > 20

        nothing, none, _ = self.read(tmp_path, "r2", state, strategy, suffix)
        assert (nothing["records"], none) == (0, [])

        # One is changed now, and one became visible late.
        changed, late = in_overlap[0], in_overlap[1]
        change(simulator, [changed], Company="changed")
        change(simulator, [late], at=newest - timedelta(seconds=299), Company="late")
        simulator.advance(60)
        result, found, _ = self.read(tmp_path, "r3", state, strategy, suffix)
        assert sorted(id_ for id_, _ in found) == sorted([changed, late])
        assert result["records"] == 2
        _, found, _ = self.read(tmp_path, "r4", state, strategy, suffix)
        assert found == []

    def test_what_is_changed_this_second_is_left_to_the_next_run(self, crm, tmp_path):
        simulator, state = crm(10), AssetState()
        self.read(tmp_path, "r1", state)
        id_ = ids_of(simulator)[0]
        change(simulator, [id_], Company="first")
        assert self.read(tmp_path, "r2", state)[1] == []
        change(simulator, [id_], Company="second, perhaps within the same second")
        simulator.advance(10)
        _, found, _ = self.read(tmp_path, "r3", state)
        assert found == [one for one in held(simulator) if one[0] == id_]

    @pytest.mark.parametrize(
        "name",
        [
            "triggering_asset_events",
            "triggering_dataset_events",
            pytest.param("dag_run", id="no events of an alias, as in Airflow 3.0"),
        ],
    )
    @pytest.mark.parametrize(("ago", "waited"), [(0, 6), (4, 2), (30, 0), (-3600, 6)])
    def test_what_started_the_run_is_read_by_it(self, crm, tmp_path, monkeypatch, name, ago, waited):
        simulator, state = crm(10), AssetState()
        self.read(tmp_path, "r1", state)
        id_ = ids_of(simulator)[0]
        change(simulator, [id_], Company="what another task has written")
        simulator.advance(max(ago, 0))
        slept = []

        def sleep(pause):
            slept.append(pause)
            simulator.advance(pause)

        monkeypatch.setattr(watermark, "sleep", sleep)
        events = [
            SimpleNamespace(timestamp=watermark.now() - timedelta(seconds=at)) for at in (ago + 60, ago)
        ]
        started_by = {name: {"zohocrm://leads": events}}
        if name == "dag_run":
            run = SimpleNamespace(run_type="asset_triggered", start_date=events[-1].timestamp)
            started_by = {"triggering_asset_events": {}, "dag_run": run}
        _, found, _ = self.read(tmp_path, "r2", state, more_context=started_by)
        assert sum(slept) == waited
        assert [one[0] for one in found] == [id_]

    def test_moves_only_when_the_files_are_there(self, crm, tmp_path):
        crm(50)
        state = AssetState()
        (tmp_path / "_manifest.json").mkdir()
        with pytest.raises(Exception, match="_manifest"):
            self.read(tmp_path, "r1", state)
        assert state == {}
        (tmp_path / "_manifest.json").rmdir()
        assert len(self.read(tmp_path, "r1", state)[1]) == 50
        assert state != {}

    def test_a_retry_or_a_cleared_run_reads_again_what_it_has_read(self, crm, tmp_path):
        simulator, state = crm(300), AssetState()
        self.read(tmp_path, "r1", state)
        change(simulator, ids_of(simulator)[:5], Company="changed")
        simulator.advance(60)
        _, found, _ = self.read(tmp_path, "r2", state)
        assert len(found) == 5
        _, again, _ = self.read(tmp_path, "r2", state)
        assert sorted(again) == sorted(found)
        assert self.read(tmp_path, "r3", state)[1] == []

    def test_the_first_run_begins_where_it_is_told(self, crm, tmp_path):
        simulator, state = crm(), AssetState()
        since = datetime(2023, 2, 10, tzinfo=timezone.utc)
        _, found, _ = self.read(tmp_path, "r1", state, modified_since=since.isoformat())
        assert set(found) == {one for one in held(simulator) if one[1] >= since}
        assert 0 < len(found) < 600
        assert self.read(tmp_path, "r2", state, modified_since=since.isoformat())[1] == []

    def test_waits_deferred_and_keeps_its_window_meanwhile(self, crm, tmp_path, monkeypatch):
        simulator, state = crm(job_polls=2), AssetState()
        now, asked_at = watermark.now, []

        def a_minute_later():
            simulator.advance(60)
            asked_at.append(now())
            return asked_at[-1]

        monkeypatch.setattr(watermark, "now", a_minute_later)
        _, found, _ = self.read(tmp_path, "r1", state, "bulk", deferrable=True, max_poll_interval=0)
        assert len(found) == 600
        assert len(asked_at) > 1
        query = json.loads((tmp_path / "_manifest.json").read_text())["query"]
        assert query["modified_before"] == (asked_at[0] - timedelta(seconds=5)).isoformat()
        change(simulator, ids_of(simulator)[:3], Company="changed")
        simulator.advance(60)
        _, found, _ = self.read(tmp_path, "r2", state, "bulk", deferrable=True, max_poll_interval=0)
        assert len(found) == 3
        assert self.read(tmp_path, "r3", state, "bulk", deferrable=True, max_poll_interval=0)[1] == []

    def test_is_in_the_event_of_the_asset(self, crm, tmp_path):
        crm(20)
        result, _, context = self.read(tmp_path, "r1", AssetState())
        (event,) = events_of_outlets(context)
        assert event.extra["watermark"] == result["max_modified_time"]
        assert event.extra["rows"] == 20


class TestDeleted:
    def read(self, path, **options):
        given = {"module": "Leads", "fields": FIELDS, "include_deleted": True, **options}
        return ZohoGetRecordsOperator(task_id="t", output_path=str(path), **given).execute(run_context())

    def expected(self, simulator, kind="all", since=None, before=None):
        found = simulator.state.store.deleted(
            simulator.state.store.modules["Leads"], kind, since and since.timestamp(), 0, 10**6
        )
        return {
            (one["id"], one["type"])
            for one in found
            if before is None or datetime.fromisoformat(one["deleted_time"]) < before
        }

    @pytest.mark.parametrize("suffix", ["jsonl", "csv.gz", "parquet"])
    def test_tombstones_are_beside_the_records(self, crm, tmp_path, suffix):
        simulator = crm(1000)
        store = simulator.state.store
        for id_ in ids_of(simulator)[:230]:  # more than a page
            store.delete(store.modules["Leads"], int(id_))
        result = self.read(tmp_path / f"leads.{suffix}")
        rows = list(read_records(str(tmp_path / f"leads_deleted.{suffix}")))
        assert result["deleted"]["path"] == str(tmp_path / f"leads_deleted.{suffix}")
        assert len(rows) == result["deleted"]["records"] > 200
        assert {tuple(row) for row in rows} == {("id", "deleted_time", "type")}
        assert {(row["id"], row["type"]) for row in rows} == self.expected(simulator)
        manifest = json.loads((tmp_path / "_manifest.json").read_text())
        assert manifest["deleted"]["rows"] == len(rows)
        assert len(manifest["deleted"]["sha256"]) == 64

    @pytest.mark.parametrize("kind", ["recycle", "permanent"])
    def test_some_only(self, crm, tmp_path, kind):
        simulator = crm(1000)
        self.read(tmp_path / "leads.jsonl", include_deleted=kind)
        rows = list(read_records(str(tmp_path / "leads_deleted.jsonl")))
        assert {(row["id"], row["type"]) for row in rows} == self.expected(simulator, kind) != set()

    @pytest.mark.parametrize("strategy", WAYS)
    def test_of_the_same_window_as_the_records(self, crm, tmp_path, strategy):
        simulator = crm(1000)
        times = sorted(
            one["deleted_time"]
            for one in simulator.state.store.deleted(
                simulator.state.store.modules["Leads"], "all", None, 0, 10**6
            )
        )
        since, before = (datetime.fromisoformat(times[len(times) * n // 3]) for n in (1, 2))
        self.read(
            tmp_path / "leads.jsonl",
            strategy=strategy,
            poll_interval=0,
            modified_since=since.isoformat(),
            modified_before=before.isoformat(),
        )
        rows = list(read_records(str(tmp_path / "leads_deleted.jsonl")))
        assert (
            {(row["id"], row["type"]) for row in rows}
            == self.expected(simulator, since=since, before=before)
            != set()
        )
        assert {since <= datetime.fromisoformat(row["deleted_time"]) < before for row in rows} == {True}

    @pytest.mark.parametrize("strategy", WAYS)
    def test_by_watermark_each_tombstone_comes_once_though_no_record_is_modified(
        self, crm, tmp_path, strategy
    ):
        simulator, state, found = crm(30), AssetState(), []
        for number in range(4):
            path = tmp_path / f"r{number}.jsonl"
            ZohoGetRecordsOperator(
                task_id="t",
                module="Leads",
                fields=FIELDS,
                strategy=strategy,
                watermark="asset",
                include_deleted=True,
                overlap=5,
                poll_interval=0,
                output_path=str(path),
                outlets=[asset("file:///lake/leads")],
            ).execute(run_context(f"r{number}", state))
            found.append([row["id"] for row in read_records(str(tmp_path / f"r{number}_deleted.jsonl"))])
            if number == 0:
                gone = ids_of(simulator)[:3]
                list(ZohoCRMHook().delete_records("Leads", gone))
            simulator.advance(3600)
        assert sorted(found[1]) == sorted(gone)
        assert not set(gone) & set(found[0])
        assert found[2:] == [[], []]

    def test_nothing_deleted_is_an_empty_file(self, crm, tmp_path):
        crm(10)
        soon = (END + timedelta(days=90)).isoformat()
        result = self.read(tmp_path / "leads.jsonl", modified_since=soon)
        assert result["deleted"]["records"] == 0
        assert (tmp_path / "leads_deleted.jsonl").read_bytes() == b""

    def test_is_not_asked_for_unless_wanted(self, crm, tmp_path):
        simulator = crm(10)
        result = self.read(tmp_path / "leads.jsonl", include_deleted="False")
        assert "deleted" not in result
        assert asked(simulator, "/deleted") == []

    def test_in_a_function(self, crm, tmp_path):
        crm(10)
        result = ZohoCRMHook().extract("Leads", str(tmp_path / "leads.jsonl"), include_deleted="recycle")
        assert {row["type"] for row in read_records(result["deleted"]["path"])} == {"recycle"}
