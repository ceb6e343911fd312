"""The result of a finished bulk read job to typed Parquet by pyarrow alone, the whole table in memory."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from benchmarks.contestants.measure import finished_result, orders, session, work
from benchmarks.contestants.zipfile_copy import unzipped

TYPES = {
    "integer": pa.int64(),
    # More digits than the metadata announces.
    "double": pa.float64(),
    "currency": pa.decimal128(38, 9),
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "datetime": pa.timestamp("s", "UTC"),
}

if __name__ == "__main__":
    given = orders()
    http = session(given)
    address = finished_result(given, http)
    types = {name: TYPES.get(kind, pa.string()) for name, kind in given["kinds"].items()} | {
        "Id": pa.string()
    }
    with work(given) as result, tempfile.TemporaryDirectory() as folder:
        unpacked = Path(folder) / "result.csv"
        unzipped(http, address, unpacked)
        table = pa.csv.read_csv(
            unpacked,
            parse_options=pa.csv.ParseOptions(newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(column_types=types, strings_can_be_null=True),
        )
        pa.parquet.write_table(table, given["output"])
        result["rows"] = table.num_rows
