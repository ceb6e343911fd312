from __future__ import annotations

import hashlib
import os
import resource
import stat
import subprocess
import sys
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_zohocrm.exceptions import ZohoStorageError
from airflow_provider_zohocrm.storage import open_record_writer, read_records

try:
    from airflow.sdk.io import attach
except ImportError:
    from airflow.io.store import attach

SUFFIXES = ["jsonl", "jsonl.gz", "jsonl.zst", "csv", "csv.gz", "parquet"]
RECORDS = [{"id": str(number), "Name": os.urandom(500).hex()} for number in range(1_500)]


def write(path, records=RECORDS, fail=None):
    with open_record_writer(str(path), ["id", "Name"]) as writer:
        writer.write(records)
        if fail:
            raise fail
    return writer.info


@pytest.fixture
def spool(tmp_path, monkeypatch):
    folder = tmp_path / "spool"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


class TestLocal:
    @pytest.mark.parametrize(
        "form", ["{}", "file://{}", "file://localhost{}", "file://conn@{}", "local://{}"]
    )
    def test_forms_of_a_path(self, tmp_path, form):
        path = form.format(tmp_path / "a b%20c" / "leads.jsonl")
        assert write(path)["path"] == path
        assert (tmp_path / "a b%20c" / "leads.jsonl").is_file()
        assert list(read_records(path)) == RECORDS

    def test_home_and_relative_paths(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        write("~/home.jsonl")
        write("here.jsonl")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["here.jsonl", "home.jsonl"]
        assert list(read_records("~/home.jsonl")) == RECORDS

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_nothing_is_there_before_the_end(self, tmp_path, suffix):
        path = tmp_path / f"a.{suffix}"
        with open_record_writer(str(path), ["id", "Name"]) as writer:
            writer.write(RECORDS)
            assert not path.exists()
            assert [each.parent for each in tmp_path.iterdir()] == [tmp_path]
        assert [each.name for each in tmp_path.iterdir()] == [path.name]

    @pytest.mark.parametrize("suffix", SUFFIXES)
    @pytest.mark.parametrize(
        "error", [ValueError("mine"), OSError("mine"), KeyboardInterrupt(), SystemExit(1)]
    )
    def test_an_error_keeps_what_was_there(self, tmp_path, suffix, error):
        path = tmp_path / f"a.{suffix}"
        path.write_bytes(b"of yesterday")
        with pytest.raises(type(error)) as caught:
            write(path, fail=error)
        assert caught.value is error
        assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == {path.name: b"of yesterday"}

    def test_an_error_of_the_records_passes_through(self, tmp_path):
        def records():
            yield RECORDS[0]
            raise ConnectionResetError("of the network")

        with pytest.raises(ConnectionResetError):
            write(tmp_path / "a.csv", records())
        assert list(tmp_path.iterdir()) == []

    def test_what_is_collected_after_an_error_does_not_complain(self, tmp_path):
        # Python tells of errors in finalizers from 3.13 on, and before in its development mode.
        code = (
            "import gc\n"
            "from airflow_provider_zohocrm.storage import open_record_writer\n"
            f"for suffix in {SUFFIXES}:\n"
            "    try:\n"
            f"        with open_record_writer({str(tmp_path)!r} + '/a.' + suffix, ['a']) as writer:\n"
            "            writer.write([{'a': 'x' * 10_000}])\n"
            "            raise InterruptedError\n"
            "    except InterruptedError:\n"
            "        writer = None\n"
            "        gc.collect()\n"
        )
        done = subprocess.run(
            [sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")

    def test_a_second_run_replaces_the_file(self, tmp_path):
        write(tmp_path / "a.jsonl")
        write(tmp_path / "a.jsonl", RECORDS[:2])
        assert list(read_records(str(tmp_path / "a.jsonl"))) == RECORDS[:2]

    def test_a_link_is_followed(self, tmp_path):
        (tmp_path / "link.jsonl").symlink_to(tmp_path / "real.jsonl")
        write(tmp_path / "link.jsonl")
        assert (tmp_path / "link.jsonl").is_symlink()
        assert list(read_records(str(tmp_path / "real.jsonl"))) == RECORDS

    def test_others_may_read_as_far_as_the_umask_says(self, tmp_path):
        before = os.umask(0o027)
        try:
            write(tmp_path / "a.jsonl")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / "a.jsonl").stat().st_mode) == 0o640

    def test_a_folder_in_the_way_is_told_before_the_first_record(self, tmp_path):
        (tmp_path / "a.csv").mkdir()
        (tmp_path / "file").write_bytes(b"")
        for path in (tmp_path / "a.csv", tmp_path / "file" / "a.csv"):
            with pytest.raises(ZohoStorageError, match="choose another path") as caught:
                write(path, iter_that_must_not_start())
            assert str(path) in str(caught.value)
            assert isinstance(caught.value.__cause__, OSError)

    def test_no_permission(self, tmp_path, monkeypatch):
        # The user of a container may be root, whom permissions do not stop.
        def refuse(path, *args):
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(ZohoStorageError, match=r"Cannot write '.*a\.csv'.* access"):
            write(tmp_path / "a.csv", iter_that_must_not_start())

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_a_full_disk(self, tmp_path, suffix):
        with (
            limited_files(200_000),
            pytest.raises(ZohoStorageError, match=rf"a\.{suffix}'.*Free space") as caught,
        ):
            write(tmp_path / f"a.{suffix}")
        assert isinstance(caught.value.__cause__, OSError)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_a_disk_that_is_full_at_the_last_bytes(self, tmp_path, suffix):
        # Small enough to stay in the buffers until the end.
        with limited_files(10), pytest.raises(ZohoStorageError, match="Free space"):
            write(tmp_path / f"a.{suffix}", RECORDS[:20])
        assert list(tmp_path.iterdir()) == []


def iter_that_must_not_start():
    pytest.fail("asked for records although the file cannot be written")
    yield


@contextmanager
def limited_files(size):
    """Refuse to let any file of this process grow beyond a size: the nearest to a full disk without one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class Remote(MemoryFileSystem):
    """Object storage in memory, apart from the one all tests share."""

    cachable = False
    protocol = "memory"

    def __init__(self, **options):
        super().__init__(**options)
        self.store = {}
        self.pseudo_dirs = [""]

    def names(self):
        return sorted(self.store)


class BreaksInUpload(Remote):
    """Takes the first bytes of an upload, then breaks, but commits what it has when the file is closed."""

    def put_file(self, lpath, rpath, **kwargs):
        with self.open(rpath, "wb") as file:
            file.write(Path(lpath).read_bytes()[:1000])
            raise ConnectionError("broken pipe")


class LosesBytes(Remote):
    def put_file(self, lpath, rpath, **kwargs):
        self.pipe_file(rpath, Path(lpath).read_bytes()[:-1])


class BreaksInRename(Remote):
    def cp_file(self, path1, path2, **kwargs):
        raise TimeoutError


class NoRenameOnto(Remote):
    """Renames itself, but not onto what is there, like SMB."""

    def mv(self, path1, path2, **kwargs):
        if self.exists(path2):
            raise FileExistsError(path2)
        self.store[path2] = self.store.pop(path1)


def whole(package, broken=False):
    """Make a file system that stands for one of a package whose uploads are all or nothing."""

    def put_file(self, lpath, rpath, **options):
        self.options = options
        if broken:
            raise ConnectionError("broken pipe")
        self.pipe_file(rpath, Path(lpath).read_bytes())

    def refuse(self, *args, **kwargs):
        raise AssertionError("needs rights and requests that a plain upload does not")

    body = {
        "put_file": put_file,
        "cp_file": refuse,
        "mv": refuse,
        "rm_file": refuse,
        "__module__": f"{package}.core",
    }
    return type("Store", (Remote,), body)


@pytest.fixture
def mounted(request):
    """Mount a file system as ``memory://<name>@``, as a connection would."""

    def mount(kind):
        fs = kind()
        name = f"conn{id(fs)}"
        mount.kept.append(fs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            attach("memory", name, fs=fs)
        return fs, f"memory://{name}@bucket"

    mount.kept = []
    return mount


class TestObjectStorage:
    @pytest.mark.parametrize("suffix", SUFFIXES)
    def test_a_file_is_there_when_it_is_whole(self, mounted, spool, suffix):
        fs, root = mounted(Remote)
        path = f"{root}/a [1]/leads.{suffix}"
        with open_record_writer(path, ["id", "Name"]) as writer:
            writer.write(RECORDS)
            assert fs.names() == []
            (temporary,) = spool.iterdir()
            assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
        assert fs.names() == [f"/bucket/a [1]/leads.{suffix}"]
        content = fs.cat_file(fs.names()[0])
        assert writer.info == {
            "path": path,
            "records": len(RECORDS),
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        assert list(spool.iterdir()) == []
        assert list(read_records(path)) == RECORDS

    @pytest.mark.parametrize("suffix", SUFFIXES)
    @pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
    def test_an_error_leaves_nothing_anywhere(self, mounted, spool, suffix, error):
        fs, root = mounted(Remote)
        with pytest.raises(type(error)):
            write(f"{root}/leads.{suffix}", fail=error)
        assert fs.names() == []
        assert list(spool.iterdir()) == []

    @pytest.mark.parametrize("kind", [BreaksInUpload, LosesBytes, BreaksInRename, whole("s3fs", broken=True)])
    def test_a_broken_upload_keeps_what_was_there(self, mounted, spool, kind):
        fs, root = mounted(kind)
        fs.pipe_file("/bucket/leads.jsonl", b"of yesterday")
        with pytest.raises(
            ZohoStorageError, match=r"Cannot upload to 'memory://.*leads\.jsonl'.*Nothing was changed"
        ) as caught:
            write(f"{root}/leads.jsonl")
        assert caught.value.__cause__ is not None
        assert fs.names() == ["/bucket/leads.jsonl"]
        assert fs.cat_file("/bucket/leads.jsonl") == b"of yesterday"
        assert list(spool.iterdir()) == []

    @pytest.mark.parametrize("kind", [Remote, NoRenameOnto, whole("adlfs")])
    def test_a_second_run_replaces_the_object(self, mounted, spool, kind):
        fs, root = mounted(kind)
        write(f"{root}/leads.jsonl")
        write(f"{root}/leads.jsonl", RECORDS[:2])
        assert fs.names() == ["/bucket/leads.jsonl"]
        assert list(read_records(f"{root}/leads.jsonl")) == RECORDS[:2]

    @pytest.mark.parametrize(
        ("package", "options"), [("s3fs", {}), ("gcsfs", {}), ("adlfs", {"overwrite": True})]
    )
    def test_all_or_nothing_stores_get_one_plain_upload(self, mounted, spool, package, options):
        fs, root = mounted(whole(package))
        write(f"{root}/leads.jsonl")
        assert fs.options == options
        assert fs.names() == ["/bucket/leads.jsonl"]

    def test_a_full_temporary_folder_names_tmpdir(self, mounted, spool):
        _, root = mounted(Remote)
        with limited_files(200_000), pytest.raises(ZohoStorageError, match="TMPDIR"):
            write(f"{root}/leads.jsonl")
        assert list(spool.iterdir()) == []

    def test_a_scheme_without_provider_is_told_before_the_first_record(self, spool):
        with pytest.raises(
            ZohoStorageError, match=r"nosuch://bucket/a\.csv.*provider of this storage installed"
        ):
            write("nosuch://bucket/a.csv", iter_that_must_not_start())
        with pytest.raises(ZohoStorageError, match="provider of this storage installed"):
            list(read_records("nosuch://bucket/a.csv"))

    def test_a_missing_object(self, mounted):
        _, root = mounted(Remote)
        with pytest.raises(ZohoStorageError, match=r"Cannot read 'memory://.*leads\.csv'") as caught:
            list(read_records(f"{root}/leads.csv"))
        assert isinstance(caught.value.__cause__, FileNotFoundError)
