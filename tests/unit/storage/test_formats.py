from __future__ import annotations

import subprocess
import sys

import pytest

from airflow_provider_zohocrm.exceptions import ZohoConfigurationError, ZohoValidationError
from airflow_provider_zohocrm.storage import file_format, formats, numbered_path, open_record_writer


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("leads.jsonl", ("jsonl", ".jsonl", "")),
        ("/data/leads.jsonl.gz", ("jsonl", ".jsonl.gz", "gzip")),
        ("file:///data/leads.CSV", ("csv", ".csv", "")),
        ("s3://conn@bucket/a.parquet/leads.2024.csv.gz", ("csv", ".csv.gz", "gzip")),
        ("gs://bucket/leads.parquet", ("parquet", ".parquet", "")),
        ("leads.CSV.ZST", ("csv", ".csv.zst", "zstd")),
        ("leads.jsonl.zst", ("jsonl", ".jsonl.zst", "zstd")),
    ],
)
def test_the_suffix_tells_the_format(path, expected):
    assert file_format(path) == expected


@pytest.mark.parametrize(
    "path", ["leads", "leads.json", "leads.gz", "leads.csv.zip", "leads.ics", "leads.csv/", ""]
)
def test_an_unknown_suffix_is_refused_with_those_that_work(path):
    with pytest.raises(
        ZohoValidationError,
        match=r"\.jsonl, \.jsonl\.gz, \.jsonl\.zst, \.csv, \.csv\.gz, \.csv\.zst, \.parquet",
    ):
        file_format(path)


def test_raw_formats_are_apart_from_those_of_records():
    assert file_format("events.ics", raw=True).name == "ics"
    assert file_format("events.zip", raw=True).name == "zip"
    with pytest.raises(ZohoValidationError, match=r"\.ics, \.zip"):
        file_format("events.csv", raw=True)


def test_a_relative_file_uri_is_refused():
    with pytest.raises(ZohoValidationError, match="not absolute"):
        file_format("file://data/leads.csv")


def test_parquet_without_pyarrow_names_the_extra(monkeypatch):
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    with pytest.raises(ZohoConfigurationError, match=r"pip install airflow-provider-zohocrm\[parquet\]"):
        file_format("leads.parquet")
    assert file_format("leads.csv").name == "csv"


@pytest.mark.parametrize("name", ["leads.csv.zst", "leads.jsonl.zst"])
def test_zstd_without_zstandard_names_the_extra_before_anything_is_written(monkeypatch, tmp_path, name):
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    with (
        pytest.raises(ZohoConfigurationError, match=r"pip install airflow-provider-zohocrm\[zstd\]"),
        open_record_writer(str(tmp_path / name), ["id"]),
    ):
        pytest.fail("opened")
    assert list(tmp_path.iterdir()) == []
    assert file_format("leads.csv.gz").name == "csv"


@pytest.mark.parametrize(
    ("path", "number", "expected"),
    [
        ("leads.csv", 1, "leads.csv"),
        ("leads.csv", 2, "leads-0002.csv"),
        ("leads.csv.gz", 2, "leads-0002.csv.gz"),
        ("/data/v1.2/leads.2024.csv", 13, "/data/v1.2/leads.2024-0013.csv"),
        ("s3://conn@bucket.csv/x.y/Leads.JSONL.GZ", 12345, "s3://conn@bucket.csv/x.y/Leads-12345.JSONL.GZ"),
        ("events.ics", 3, "events-0003.ics"),
    ],
)
def test_the_number_of_a_page_stands_before_the_whole_suffix(path, number, expected):
    assert numbered_path(path, number) == expected


def test_pages_of_an_unknown_format_or_below_one_are_refused():
    with pytest.raises(ZohoValidationError, match="must end with"):
        numbered_path("leads.txt", 1)
    with pytest.raises(ZohoValidationError, match="counted from 1"):
        numbered_path("leads.csv", 0)


def test_local_files_need_neither_airflow_nor_pyarrow(tmp_path):
    code = (
        "import sys\n"
        "from airflow_provider_zohocrm.storage import open_record_writer, read_records\n"
        f"with open_record_writer({str(tmp_path / 'a.csv')!r}, ['id']) as writer: writer.write([{{'id': '1'}}])\n"
        f"assert list(read_records({str(tmp_path / 'a.csv')!r})) == [{{'id': '1'}}]\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & {'airflow', 'pyarrow', 'fsspec', 'zstandard'}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
