from __future__ import annotations

import hashlib
import os
import warnings
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_zohocrm.exceptions import ZohoStorageError, ZohoValidationError
from airflow_provider_zohocrm.loading.inputs import InputRow, Inputs, Position
from airflow_provider_zohocrm.storage import open_record_writer, write_manifest

try:
    from airflow.sdk.io import attach
except ImportError:
    from airflow.io.store import attach

SUFFIXES = ["jsonl", "jsonl.gz", "jsonl.zst", "csv", "csv.gz", "parquet"]


def write(path, count, start=0):
    rows = [{"id": str(n), "Name": f"n{n}"} for n in range(start, start + count)]
    with open_record_writer(str(path), ["id", "Name"]) as writer:
        writer.write(rows)
    return writer.info


def ids(inputs, *args, **options):
    return [row.values["id"] for row in inputs.rows(*args, **options)]


@pytest.fixture
def mounted():
    """Object storage in memory, as a connection mounts it."""

    class Remote(MemoryFileSystem):
        cachable = False
        protocol = "memory"

        def __init__(self, **options):
            super().__init__(**options)
            self.store = {}
            self.pseudo_dirs = [""]

    fs = Remote()
    name = f"conn{id(fs)}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        attach("memory", name, fs=fs)
    return fs, f"memory://{name}@bucket"


@pytest.fixture(params=["local", "object"])
def root(request, tmp_path, mounted):
    return str(tmp_path) if request.param == "local" else mounted[1]


class TestRecords:
    def test_rows_are_numbered_and_know_where_the_next_one_is(self):
        inputs = Inputs.of_records([{"a": 1}, {"a": 2}])
        assert list(inputs.rows()) == [
            InputRow(0, Position(0, 1), {"a": 1}, False),
            InputRow(1, Position(0, 2), {"a": 2}, False),
        ]
        assert [row.index for row in inputs.rows(Position(0, 1))] == [1]
        assert inputs.count() == 2

    def test_none_are_fine(self):
        inputs = Inputs.of_records([])
        assert (list(inputs.rows()), inputs.count()) == ([], 0)
        assert inputs.fingerprint

    @pytest.mark.parametrize("records", ["text", {"a": 1}, 7, None, b"x"])
    def test_what_is_no_list_is_an_error(self, records):
        with pytest.raises(ZohoValidationError, match="records must be a list of dicts"):
            Inputs.of_records(records)

    def test_what_is_no_dict_is_an_error_that_names_its_index(self):
        with pytest.raises(ZohoValidationError, match="record 1 is 'x'"):
            Inputs.of_records([{}, "x"])
        with pytest.raises(ZohoValidationError, match="record 1 has a column whose name is no text"):
            Inputs.of_records([{"a": 1}, {1: "a"}])

    def test_the_fingerprint_is_that_of_the_values(self):
        one = Inputs.of_records([{"a": 1, "b": [Decimal("1.0"), None]}])
        assert one.fingerprint == Inputs.of_records([{"a": 1, "b": [Decimal("1.0"), None]}]).fingerprint
        assert one.fingerprint != Inputs.of_records([{"a": 1, "b": [Decimal("1.1"), None]}]).fingerprint
        assert one.fingerprint != Inputs.of_records([]).fingerprint

    def test_a_row_is_not_the_record_itself(self):
        records = [{"a": 1}]
        next(Inputs.of_records(records).rows()).values["a"] = 2
        assert records == [{"a": 1}]


class TestFiles:
    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_a_file_is_read_from_any_row(self, root, suffix):
        path = f"{root}/a.{suffix}"
        write(path, 30)
        inputs = Inputs.of_path(path)
        expected = [str(n) for n in range(30)]
        rows = list(inputs.rows())
        assert [row.values for row in rows] == [{"id": str(n), "Name": f"n{n}"} for n in range(30)]
        assert [row.index for row in rows] == list(range(30))
        assert {row.texts for row in rows} == {suffix.startswith("csv")}
        for row in rows:
            assert ids(inputs, row.position) == expected[row.index + 1 :]
            assert [one.index for one in inputs.rows(row.position)] == list(range(row.index + 1, 30))
        assert inputs.count() == (30 if suffix == "parquet" else None)

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_an_empty_file_has_no_rows(self, tmp_path, suffix):
        path = tmp_path / f"a.{suffix}"
        write(path, 0)
        assert list(Inputs.of_path(str(path)).rows()) == []

    def test_a_folder_is_read_in_the_order_of_its_parts(self, root):
        parts = [
            "leads.jsonl",
            "leads-0002.csv",
            "leads-0003.parquet",
            "leads-0010.jsonl.gz",
            "leads-10000.jsonl",
        ]
        for number, name in enumerate(parts):
            write(f"{root}/in/{name}", 3, 3 * number)
        write(f"{root}/in/_part.jsonl", 1, 90)
        write(f"{root}/in/.hidden.jsonl", 1, 91)
        write(f"{root}/in/deeper/x.jsonl", 1, 92)
        write_manifest(f"{root}/in/leads_manifest.json", {"files": []})
        inputs = Inputs.of_path(f"{root}/in")
        assert [file.path for file in inputs.files] == [f"{root}/in/{name}" for name in parts]
        assert ids(inputs) == [str(n) for n in range(15)]
        assert inputs.count() is None
        assert ids(Inputs.of_path(f"{root}/in/")) == ids(inputs)

    @pytest.mark.parametrize("index", [None, 1234])
    def test_rows_go_on_in_the_middle_of_any_file(self, root, index):
        for number, suffix in enumerate(SUFFIXES):
            write(f"{root}/in/part-{number}.{suffix}", 5, 5 * number)
        inputs = Inputs.of_path(f"{root}/in")
        rows = list(inputs.rows())
        assert [row.position for row in rows] == [
            (number, n) for number in range(len(SUFFIXES)) for n in range(1, 6)
        ]
        for row in rows:
            rest = list(inputs.rows(row.position, index=index))
            assert [one.values for one in rest] == [one.values for one in rows[row.index + 1 :]]
            first = row.index + 1 if index is None else index
            assert [one.index for one in rest] == list(range(first, first + len(rest)))

    def test_a_glob(self, root):
        for day in ("2024-01-01", "2024-01-02", "2024-02-01"):
            write(f"{root}/in/day={day}/a.jsonl", 1, int(day.replace("-", "")))
        assert ids(Inputs.of_path(f"{root}/in/day=2024-01-*/*.jsonl")) == ["20240101", "20240102"]
        assert ids(Inputs.of_path(f"{root}/in/**/*.jsonl")) == ["20240101", "20240102", "20240201"]
        assert ids(Inputs.of_path(f"{root}/in/day=2024-0[2]-01/?.jsonl")) == ["20240201"]

    def test_a_name_with_brackets_is_no_glob_if_it_is_a_file(self, root):
        write(f"{root}/a [1].jsonl", 2)
        assert ids(Inputs.of_path(f"{root}/a [1].jsonl")) == ["0", "1"]

    def test_a_relative_path_and_that_of_the_user(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        write("in/a.jsonl", 2)
        for path in ("in", "in/*", "in/a.jsonl", "~/in", "~/in/*.jsonl", f"file://{tmp_path}/in"):
            assert ids(Inputs.of_path(path)) == ["0", "1"]

    @pytest.mark.parametrize(
        "path", ["nothing.jsonl", "nothing", "nothing/*.jsonl", "nothing_manifest.json", "empty"]
    )
    def test_what_is_not_there_is_an_error(self, root, tmp_path, path):
        (tmp_path / "empty").mkdir()
        with pytest.raises((ZohoStorageError, ZohoValidationError), match=path.replace("*", r"\*")):
            Inputs.of_path(f"{root}/{path}")

    def test_a_format_that_is_not_known_is_an_error(self, tmp_path):
        (tmp_path / "a.xlsx").write_text("x")
        with pytest.raises(ZohoValidationError, match="xlsx"):
            Inputs.of_path(str(tmp_path / "a.xlsx"))

    def test_empty_cells_are_kept_for_those_who_empty_fields(self, tmp_path):
        path = tmp_path / "a.csv"
        path.write_text('id,Name\n1,\n2,"a"\n')
        assert [row.values for row in Inputs.of_path(str(path)).rows()] == [
            {"id": "1", "Name": ""},
            {"id": "2", "Name": "a"},
        ]

    @pytest.mark.parametrize(
        ("name", "content", "line"),
        [("a.jsonl", '{"id":"1"}\n\n{"id":\n', 3), ("a.csv", "id,Name\n1,a\n2,b,c\n", 3)],
    )
    def test_an_error_names_file_and_line(self, tmp_path, name, content, line):
        (tmp_path / name).write_text(content)
        rows = Inputs.of_path(str(tmp_path)).rows()
        next(rows)
        with pytest.raises(ZohoStorageError, match=rf"Line {line} of '.*{name}'"):
            list(rows)

    def test_blank_lines_are_no_rows(self, tmp_path):
        (tmp_path / "a.jsonl").write_text('\n{"id":"1"}\n\n\n{"id":"2"}\n')
        inputs = Inputs.of_path(str(tmp_path / "a.jsonl"))
        assert ids(inputs, Position(0, 1)) == ["2"]

    def test_row_groups_that_are_done_are_not_read(self, tmp_path):
        path = tmp_path / "a.parquet"
        pq.write_table(pa.table({"id": [str(n) for n in range(1000)]}), path, row_group_size=100)
        # What is read of a damaged group cannot be decoded.
        content = bytearray(path.read_bytes())
        chunk = pq.ParquetFile(path).metadata.row_group(3).column(0)
        start = chunk.dictionary_page_offset
        content[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
        path.write_bytes(content)
        inputs = Inputs.of_path(str(path))
        assert ids(inputs, Position(0, 450)) == [str(n) for n in range(450, 1000)]
        assert ids(inputs, Position(0, 400)) == [str(n) for n in range(400, 1000)]
        assert ids(inputs, Position(0, 1000)) == []
        with pytest.raises(ZohoStorageError, match=r"a\.parquet"):
            ids(inputs, Position(0, 399))

    def test_an_error_of_who_takes_the_rows_is_none_of_the_file(self, tmp_path):
        write(tmp_path / "a.parquet", 3)
        rows = Inputs.of_path(str(tmp_path / "a.parquet")).rows()
        next(rows)
        with pytest.raises(ValueError, match="mine"):
            rows.throw(ValueError("mine"))


class TestManifest:
    def manifest(self, root, *files):
        path = f"{root}/leads_manifest.json"
        listed = [
            {"rows" if name == "records" else name: each for name, each in file.items()} for file in files
        ]
        write_manifest(path, {"files": listed, "rows": sum(file["rows"] for file in listed)})
        return path

    def test_its_files_are_read_in_its_order(self, root):
        files = [
            write(f"{root}/{name}", 3, start)
            for name, start in (("b.jsonl", 0), ("c.csv", 3), ("a.parquet", 6))
        ]
        inputs = Inputs.of_path(self.manifest(root, *files))
        assert ids(inputs) == [str(n) for n in range(9)]
        assert inputs.count() == 9
        assert [row.index for row in inputs.rows(Position(2, 1))] == [7, 8]

    def test_without_files_there_are_no_rows(self, root):
        inputs = Inputs.of_path(self.manifest(root))
        assert (list(inputs.rows()), inputs.count()) == ([], 0)

    def test_a_file_that_is_gone_is_an_error(self, root):
        path = self.manifest(root, {"path": f"{root}/x.jsonl", "records": 1, "bytes": 1, "sha256": "0"})
        with pytest.raises(
            ZohoStorageError, match=r"x\.jsonl', which .*leads_manifest\.json' lists, is gone"
        ):
            Inputs.of_path(path)

    def test_a_file_of_another_size_is_an_error(self, root):
        info = write(f"{root}/x.jsonl", 3)
        path = self.manifest(root, info)
        write(f"{root}/x.jsonl", 2)
        with pytest.raises(ZohoStorageError, match=rf"x\.jsonl' has .* bytes, but {info['bytes']} when"):
            Inputs.of_path(path)

    @pytest.mark.parametrize(
        "content", ["", "{}", "[]", '{"files": [1]}', '{"files": [{"path": "x"}]}', "null"]
    )
    def test_other_json_is_an_error(self, tmp_path, content):
        path = tmp_path / "a.json"
        path.write_text(content)
        with pytest.raises(ZohoStorageError, match="no manifest"):
            Inputs.of_path(str(path))


class TestFingerprint:
    def test_it_changes_with_the_files(self, tmp_path):
        write(tmp_path / "a.jsonl", 3)
        write(tmp_path / "b.jsonl", 3)
        first = Inputs.of_path(str(tmp_path)).fingerprint
        assert Inputs.of_path(str(tmp_path)).fingerprint == first
        os.utime(tmp_path / "a.jsonl", ns=(1, 1))
        touched = Inputs.of_path(str(tmp_path)).fingerprint
        write(tmp_path / "c.jsonl", 3)
        more = Inputs.of_path(str(tmp_path)).fingerprint
        (tmp_path / "b.jsonl").unlink()
        assert len({first, touched, more, Inputs.of_path(str(tmp_path)).fingerprint}) == 4

    def test_that_of_object_storage_is_stable_until_a_file_is_written(self, mounted):
        _, root = mounted
        write(f"{root}/in/a.jsonl", 3)
        first = Inputs.of_path(f"{root}/in").fingerprint
        assert Inputs.of_path(f"{root}/in").fingerprint == first
        write(f"{root}/in/a.jsonl", 3)
        assert Inputs.of_path(f"{root}/in").fingerprint != first

    def test_that_of_a_manifest_changes_with_its_digests_and_with_its_files(self, tmp_path):
        info = write(tmp_path / "a.jsonl", 3)
        write_manifest(str(tmp_path / "a_manifest.json"), {"files": [info]})
        first = Inputs.of_path(str(tmp_path / "a_manifest.json")).fingerprint
        assert Inputs.of_path(str(tmp_path / "a_manifest.json")).fingerprint == first
        # Another content of the same size, which the manifest does not tell of.
        content = (tmp_path / "a.jsonl").read_bytes()
        (tmp_path / "a.jsonl").write_bytes(content[::-1])
        os.utime(tmp_path / "a.jsonl", ns=(1, 1))
        assert Inputs.of_path(str(tmp_path / "a_manifest.json")).fingerprint != first
        first = Inputs.of_path(str(tmp_path / "a_manifest.json")).fingerprint
        info = {**info, "sha256": hashlib.sha256(b"other").hexdigest()}
        write_manifest(str(tmp_path / "a_manifest.json"), {"files": [info]})
        assert Inputs.of_path(str(tmp_path / "a_manifest.json")).fingerprint != first


class TestCount:
    """How many rows there are."""

    ROWS = [{"a": 'x"y\n, ' * 3, "b": str(n)} for n in range(700)]  # noqa: RUF012  # not changed

    @pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.csv.zst", "a.jsonl", "a.jsonl.gz", "a.parquet"])
    def test_files_are_read_through_where_that_is_wanted(self, root, name):
        path = f"{root}/in/{name}"
        with open_record_writer(path, ["a", "b"]) as writer:
            writer.write(self.ROWS)
        inputs = Inputs.of_path(path)
        assert inputs.count() == (700 if name.endswith("parquet") else None)
        assert inputs.count(read=True) == 700
        assert inputs.count() == 700
        assert sum(1 for _ in inputs.rows()) == 700

    def test_of_several_files_all_count_and_empty_lines_do_not(self, tmp_path):
        (tmp_path / "a.csv").write_bytes(b"a,b\r\n1,2\r\n\r\n3,4")
        (tmp_path / "b.jsonl").write_bytes(b'{"a":1}\n \n\n{"a":2}')
        (tmp_path / "c.csv").write_bytes(b"a,b\n")
        inputs = Inputs.of_path(str(tmp_path))
        assert inputs.count(read=True) == sum(1 for _ in inputs.rows()) == 4

    def test_a_small_file_is_not_read_for_it(self, tmp_path):
        write(tmp_path / "a.jsonl", 3)
        assert Inputs.of_path(str(tmp_path / "a.jsonl")).count(read=True) is None

    def test_other_quotes_than_those_of_the_standard_are_not_counted(self, tmp_path):
        (tmp_path / "a.csv").write_text('a\n"' + "x\n" * 4_000)
        assert Inputs.of_path(str(tmp_path / "a.csv")).count(read=True) is None


class TestKeepApart:
    """No results where rows are read."""

    @pytest.mark.parametrize(
        ("given", "output", "refused"),
        [
            ("in/a.jsonl", "in/a.jsonl", True),
            ("in/a.jsonl", "in/b.jsonl", False),
            ("in/a-0002.jsonl", "in/a.jsonl", True),
            ("in", "in/results.jsonl", True),
            ("in", "in/results.csv.gz", True),
            ("in/", "in/results.jsonl", True),
            ("in", "in/_results.jsonl", False),
            ("in", "in/deeper/results.jsonl", False),
            ("in", "in2/results.jsonl", False),
            ("in/*.jsonl", "in/results.jsonl", True),
            ("in/*.jsonl", "in/results.parquet", False),
            ("in/a*.jsonl", "in/results.jsonl", False),
            ("in/a*-0002.jsonl", "in/all.jsonl", True),
            ("in/[a-c].jsonl", "in/b.jsonl", True),
            ("in/[!b].jsonl", "in/b.jsonl", False),
            ("in/?.jsonl", "in/bb.jsonl", False),
            ("**/a*.jsonl", "in/deeper/a1.jsonl", True),
            ("in/**/*.jsonl", "out/a1.jsonl", False),
            ("in_manifest.json", "in/a.jsonl", True),
            ("in_manifest.json", "in/results.jsonl", False),
        ],
    )
    def test_by_path(self, root, given, output, refused):
        info = write(f"{root}/in/a.jsonl", 3)
        write(f"{root}/in/a-0002.jsonl", 3)
        write_manifest(f"{root}/in_manifest.json", {"files": [info]})
        inputs = Inputs.of_path(f"{root}/{given}")
        for outputs in ((f"{root}/{output}", None), (None, f"{root}/{output}")):
            if refused:
                with pytest.raises(ZohoValidationError, match="would be written where the input is read"):
                    inputs.keep_apart(*outputs)
            else:
                assert inputs.keep_apart(*outputs) is inputs

    def test_however_a_path_is_written(self, tmp_path, monkeypatch):
        write(tmp_path / "a.jsonl", 3)
        (tmp_path / "link").symlink_to(tmp_path)
        monkeypatch.chdir(tmp_path)
        for given in ("a.jsonl", str(tmp_path / "a.jsonl"), "*.jsonl", ".", f"file://{tmp_path}"):
            for output in ("./a.jsonl", "link/a.jsonl", f"{tmp_path}/../{tmp_path.name}/a.jsonl"):
                with pytest.raises(ZohoValidationError, match="another folder"):
                    Inputs.of_path(given).keep_apart(output)
