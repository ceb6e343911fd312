from __future__ import annotations

import contextlib
import io
import struct
import zipfile

import pytest

from airflow_provider_zohocrm.client import result_file
from airflow_provider_zohocrm.client.result_file import ZohoCorruptResultError, open_result
from airflow_provider_zohocrm.exceptions import ZohoBulkReadError

JOB = "554023000000568002"
ROWS = "Id,Last_Name\n" + "".join(f'1306462000000{number:06},"ü ""q"" \n{number}"\n' for number in range(200))
CSV = ROWS.encode()


def archive(members, method=zipfile.ZIP_DEFLATED):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as opened:
        for name, content in members:
            opened.writestr(name, content)
    return target.getvalue()


def read(raw, file_type="csv"):
    with open_result(io.BytesIO(raw), JOB, file_type) as stream:
        return stream.read()


GOOD = archive([(f"{JOB}.csv", CSV)])


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_one_file_is_read_byte_for_byte(method):
    assert read(archive([(f"{JOB}.csv", CSV)], method)) == CSV


def test_an_ics_result_is_read():
    assert read(archive([(f"{JOB}.ics", b"BEGIN:VCALENDAR")]), "ics") == b"BEGIN:VCALENDAR"


@pytest.mark.parametrize("content", [b"", b"Id,Last_Name\n"])
def test_a_result_without_rows_is_no_error(content):
    assert read(archive([(f"{JOB}.csv", content)])) == content


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([], "nothing"),
        ([("folder/", b"")], "folder/"),
        ([("readme.txt", b"x")], "readme.txt"),
        ([(f"{JOB}.ics", b"x")], f"{JOB}.ics"),
        ([("Leads.csv", CSV)], "Leads.csv"),
        ([(f"{JOB}.CSV", CSV)], f"{JOB}.CSV"),
        ([(f"folder/{JOB}.csv", CSV)], f"folder/{JOB}.csv"),
        ([("../../evil.csv", CSV)], "../../evil.csv"),
        ([("/etc/evil.csv", CSV)], "/etc/evil.csv"),
        ([(f"{JOB}.csv", CSV), ("b.txt", b"")], f"{JOB}.csv, b.txt"),
        ([("folder/", b""), (f"{JOB}.csv", CSV)], f"folder/, {JOB}.csv"),
        ([(f"{JOB}.csv", CSV), (f"{JOB}.csv", b"other")], f"{JOB}.csv, {JOB}.csv"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_anything_but_the_one_file_named_after_the_job_is_an_error_that_lists_it(
    members, said, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ZohoBulkReadError) as caught:
        read(archive(members))
    assert not isinstance(caught.value, ZohoCorruptResultError)
    assert said in str(caught.value)
    assert f"{JOB}.csv" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_unpack_without_bounds_are_refused(method):
    with pytest.raises(ZohoBulkReadError, match="not by deflate"):
        read(archive([(f"{JOB}.csv", CSV)], method))


def test_an_absurd_size_is_refused_before_anything_is_unpacked(monkeypatch):
    raw = archive([(f"{JOB}.csv", b"0" * 3_000_000)])
    monkeypatch.setattr(result_file, "_LARGE", 2_999_999)
    with pytest.raises(ZohoBulkReadError, match="to 3000000 bytes") as caught, no_unpacking(monkeypatch):
        read(raw)
    assert not isinstance(caught.value, ZohoCorruptResultError)
    monkeypatch.setattr(result_file, "_LARGE", 3_000_000)
    assert len(read(raw)) == 3_000_000


def test_a_large_file_that_packs_well_is_read(monkeypatch):
    monkeypatch.setattr(result_file, "_LARGE", 1_000)
    assert read(GOOD) == CSV


@contextlib.contextmanager
def no_unpacking(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(zipfile.ZipFile, "open", lambda *args: pytest.fail("unpacked"))
        yield


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_that_holds_more_than_it_declares_does_not_fill_the_disk(method):
    raw = bytearray(archive([(f"{JOB}.csv", b"0" * 5_000_000)], method))
    # The size unpacked, in the header of the member and in the directory.
    for at in (raw.index(b"PK\x03\x04") + 22, raw.index(b"PK\x01\x02") + 24):
        assert raw[at : at + 4] == struct.pack("<L", 5_000_000)
        raw[at : at + 4] = struct.pack("<L", 1_000)
    delivered = []

    def unpack():
        with open_result(io.BytesIO(bytes(raw)), JOB, "csv") as stream:
            delivered.extend(iter(lambda: stream.read(100), b""))

    with pytest.raises(ZohoCorruptResultError):
        unpack()
    assert sum(map(len, delivered)) <= 1_000


@pytest.mark.parametrize("raw", [b"", b"PK", b"<html>Gateway</html>", b'{"code":"X"}', CSV, b"\x00" * 5000])
def test_what_is_no_zip_is_damaged(raw):
    with pytest.raises(ZohoCorruptResultError, match=JOB):
        read(raw)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9, 0.99])
def test_a_truncated_zip_is_damaged(share):
    with pytest.raises(ZohoCorruptResultError):
        read(GOOD[: int(len(GOOD) * share)])


def test_a_wrong_checksum_is_damaged_at_the_latest_at_the_end():
    stored = archive([(f"{JOB}.csv", CSV)], zipfile.ZIP_STORED)
    at = stored.index(b"Last_Name")
    with pytest.raises(ZohoCorruptResultError, match=JOB):
        read(stored[:at] + b"X" + stored[at + 1 :])


def test_any_flipped_byte_is_harmless_or_the_packages_own_error():
    small = archive([(f"{JOB}.csv", b"Id,Last_Name\n1,x\n" * 5)])
    expected = read(small)
    foreign = []
    for position in range(len(small)):
        for mask in (0x01, 0x80, 0xFF):
            raw = bytearray(small)
            raw[position] ^= mask
            try:
                if read(bytes(raw)) != expected:
                    foreign.append((position, mask, "other content"))
            except ZohoBulkReadError:
                pass
            except Exception as error:  # noqa: BLE001  # any other class is the finding
                foreign.append((position, mask, f"{type(error).__name__}: {error}"))
    assert foreign == []


def test_an_error_of_the_reader_itself_is_not_called_damage():
    with pytest.raises(KeyError), open_result(io.BytesIO(GOOD), JOB, "csv"):
        raise KeyError("mine")


def test_the_archive_is_read_as_a_stream():
    big = archive([(f"{JOB}.csv", b"x" * 20_000_000)])
    with open_result(io.BytesIO(big), JOB, "csv") as stream:
        assert stream.read(10) == b"x" * 10
