from __future__ import annotations

import hashlib
import io
import json
import re

import pytest

from airflow_provider_zohocrm.exceptions import ZohoBulkReadError, ZohoStorageError, ZohoValidationError
from airflow_provider_zohocrm.storage import (
    Column,
    RecordParts,
    manifest_path,
    read_records,
    targets,
    write_csv_export,
    write_manifest,
)

SUFFIXES = ["jsonl", "csv.gz", "jsonl.zst", "parquet"]


def ids(files):
    return [[row["id"] for row in read_records(file["path"])] for file in files]


def records(first, last):
    return [{"id": str(number)} for number in range(first, last)]


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_records_are_spread_over_files_that_appear_when_they_are_full(tmp_path, suffix):
    told = []
    with RecordParts(str(tmp_path / f"a.{suffix}"), ["id"], max_records=3, on_file=told.append) as parts:
        parts.write(records(0, 2))
        assert told == []
        parts.write(records(2, 8))
        assert [info["path"] for info in told] == [str(tmp_path / f"a{n}.{suffix}") for n in ("", "-0002")]
        assert ids(told) == [["0", "1", "2"], ["3", "4", "5"]]
        assert parts.records == 8
    assert told == parts.files
    assert ids(parts.files) == [["0", "1", "2"], ["3", "4", "5"], ["6", "7"]]
    assert [info["records"] for info in parts.files] == [3, 3, 2]
    for info in parts.files:
        content = (tmp_path / info["path"]).read_bytes()
        assert (info["bytes"], info["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


def test_without_a_limit_there_is_one_file(tmp_path):
    with RecordParts(str(tmp_path / "a.jsonl"), None) as parts:
        parts.write(records(0, 5))
        parts.write(records(5, 9))
    assert [info["records"] for info in parts.files] == [9]


def test_a_last_file_that_is_just_full_is_the_last(tmp_path):
    with RecordParts(str(tmp_path / "a.jsonl"), None, max_records=2) as parts:
        parts.write(records(0, 4))
    assert names(tmp_path) == ["a-0002.jsonl", "a.jsonl"]


@pytest.mark.parametrize(("first", "files"), [(1, ["a.jsonl"]), (4, [])])
def test_no_records_make_one_empty_file_at_the_start_of_a_run(tmp_path, first, files):
    with RecordParts(str(tmp_path / "a.jsonl"), None, first=first) as parts:
        parts.write([])
    assert names(tmp_path) == files
    assert [info["records"] for info in parts.files] == [0] * len(files)


def test_numbers_go_on_where_a_run_stopped(tmp_path):
    with RecordParts(str(tmp_path / "a.jsonl"), None, max_records=1, first=4) as parts:
        parts.write(records(0, 2))
    assert names(tmp_path) == ["a-0004.jsonl", "a-0005.jsonl"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_files_appear_together_where_nobody_goes_on_after_them(tmp_path, suffix):
    (tmp_path / f"a.{suffix}").write_text("of the run before")
    parts = RecordParts(str(tmp_path / f"a.{suffix}"), ["id"], max_records=2)

    def run(error):
        with parts:
            parts.write(records(0, 5))
            assert (parts.records, parts.files) == (5, [])
            assert [name for name in names(tmp_path) if not name.endswith(".part")] == [f"a.{suffix}"]
            if error:
                raise error

    with pytest.raises(KeyboardInterrupt):
        run(KeyboardInterrupt())
    assert names(tmp_path) == [f"a.{suffix}"]
    assert (tmp_path / f"a.{suffix}").read_text() == "of the run before"
    parts = RecordParts(str(tmp_path / f"a.{suffix}"), ["id"], max_records=2)
    run(None)
    assert ids(parts.files) == [["0", "1"], ["2", "3"], ["4"]]
    assert names(tmp_path) == [f"a-0002.{suffix}", f"a-0003.{suffix}", f"a.{suffix}"]


def test_a_last_file_that_cannot_be_completed_keeps_all_back(tmp_path):
    columns = [Column("id", "integer")]
    parts = RecordParts(str(tmp_path / "a.parquet"), columns, max_records=2)

    def run():
        with parts:
            parts.write([{"id": 1}, {"id": 2}, {"id": "x"}])

    with pytest.raises(ZohoStorageError, match="no integer"):
        run()
    assert names(tmp_path) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_error_keeps_the_files_that_were_told(tmp_path, suffix):
    told = []
    parts = RecordParts(str(tmp_path / f"a.{suffix}"), ["id"], max_records=2, on_file=told.append)

    def run():
        with parts:
            parts.write(records(0, 3))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert names(tmp_path) == [f"a.{suffix}"]
    assert ids(parts.files) == [["0", "1"]]


def test_an_error_of_the_listener_passes_through(tmp_path):
    def refuse(info):
        raise RuntimeError("mine")

    with (
        pytest.raises(RuntimeError, match="mine"),
        RecordParts(str(tmp_path / "a.jsonl"), None, max_records=2, on_file=refuse) as parts,
    ):
        parts.write(records(0, 5))
    assert names(tmp_path) == ["a.jsonl"]


def test_values_set_aside_are_counted_over_all_files(tmp_path):
    columns = [Column("id", "integer")]
    with RecordParts(str(tmp_path / "a.csv"), columns, max_records=2, on_type_error="string") as parts:
        parts.write([{"id": "x"}, {"id": 1}, {"id": "y"}])
        assert parts.type_errors == 2
    assert parts.type_errors == 2
    assert [info["type_errors"] for info in parts.files] == [1, 1]


@pytest.mark.parametrize("options", [{"max_records": 0}, {"first": 0}])
def test_numbers_are_checked(tmp_path, options):
    with pytest.raises(ZohoValidationError):
        RecordParts(str(tmp_path / "a.csv"), ["id"], **options)


def test_a_place_that_cannot_be_written_to_is_told_at_once(tmp_path):
    (tmp_path / "a.csv").mkdir()
    with (
        pytest.raises(ZohoStorageError, match="choose another path"),
        RecordParts(str(tmp_path / "a.csv"), ["id"]),
    ):
        pytest.fail("began")


ROWS = [f'{number},"say ""{number}""\r\n, ok"' for number in range(1_000)]
EXPORT = "\r\n".join(["\ufeffId,Note", *ROWS, ""]).encode()


def export(path, content=EXPORT, **options):
    return write_csv_export(io.BytesIO(content), str(path), **options)


@pytest.mark.parametrize("size", [1, 333, 500, 999, 1_000, 1_001])
@pytest.mark.parametrize("suffix", ["csv", "csv.zst", "jsonl", "parquet"])
def test_an_export_is_split_into_numbered_files(tmp_path, size, suffix):
    if size == 1 and suffix != "csv":
        size = 7
    files = export(tmp_path / f"a.{suffix}", max_records=size, first=3, expected=1_000)
    counts = [size] * (1_000 // size) + [1_000 % size] * (1_000 % size > 0)
    assert [info["records"] for info in files] == counts
    assert files[0]["path"] == str(tmp_path / f"a-0003.{suffix}")
    found = [(row["Id"], row["Note"]) for info in files for row in read_records(info["path"])]
    assert found == [(str(number), f'say "{number}"\r\n, ok') for number in range(1_000)]


def test_split_csv_holds_the_bytes_of_the_rows_and_repeats_the_header(tmp_path):
    files = export(tmp_path / "a.csv", max_records=400)
    header = EXPORT[: EXPORT.index(b"\n") + 1]
    contents = [(tmp_path / info["path"]).read_bytes() for info in files]
    assert all(content.startswith(header) for content in contents)
    assert header + b"".join(content[len(header) :] for content in contents) == EXPORT


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_no_file_of_an_export_appears_before_all_are_counted(tmp_path, suffix):
    with pytest.raises(ZohoBulkReadError, match="counts 1001 records"):
        export(tmp_path / f"a.{suffix}", max_records=10, expected=1_001)
    assert names(tmp_path) == []
    with pytest.raises(ZohoBulkReadError, match=r"ends within quotes|unexpected end"):
        export(tmp_path / f"a.{suffix}", EXPORT[:-7], max_records=10)
    assert names(tmp_path) == []


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_many_parts_hold_no_files_open(tmp_path, suffix, monkeypatch):
    held = []
    real = targets.StagedFile.finish

    def finish(self):
        real(self)
        held.append(hasattr(self, "file"))

    monkeypatch.setattr(targets.StagedFile, "finish", finish)
    export(tmp_path / f"a.{suffix}", max_records=100)
    assert len(held) >= 10
    assert not any(held)


@pytest.mark.parametrize(
    ("output", "manifest"),
    [
        ("leads.csv.gz", "_manifest.json"),
        ("/data/v1.2/Leads.JSONL.ZST", "/data/v1.2/_manifest.json"),
        ("s3://conn@bucket/x/leads.parquet", "s3://conn@bucket/x/_manifest.json"),
        ("events.ics", "_manifest.json"),
    ],
)
def test_the_manifest_stands_beside_the_first_file(output, manifest):
    assert manifest_path(output) == manifest


def test_a_manifest_is_readable_json(tmp_path):
    path = tmp_path / "deep" / "a_manifest.json"
    content = {"files": [{"path": "\u00e9", "records": 1}], "watermark": None}
    info = write_manifest(str(path), content)
    assert json.loads(path.read_text(encoding="utf-8")) == content
    assert re.search(r'\n  "files"', path.read_text(encoding="utf-8"))
    assert info == {
        "path": str(path),
        "records": 0,
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def test_a_manifest_that_cannot_be_json_leaves_the_old_one(tmp_path):
    path = tmp_path / "a_manifest.json"
    path.write_text("old")
    with pytest.raises(ZohoStorageError, match=r"Cannot write .*a_manifest\.json"):
        write_manifest(str(path), {"a": {1}})
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a_manifest.json"]
