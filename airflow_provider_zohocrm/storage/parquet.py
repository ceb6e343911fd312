"""Text rows as a Parquet file, in bounded memory."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_provider_zohocrm.exceptions import ZohoStorageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self

# How much is held as Python objects, which cost some 80 bytes a cell, before it becomes an Arrow batch.
_BATCH_CELLS = 100_000
_BATCH_CHARACTERS = 4 << 20
# What becomes one row group: large enough for a scan, small enough for a worker.
_GROUP_BYTES = 16 << 20


class ParquetRows:
    """Writes rows of texts to a Parquet file whose columns are all strings.

    A context manager: the file is complete when the block ends without an error.

    :param file: binary file to write to; it is left open.
    :param columns: names of the columns.
    :param path: the path as the user gave it, for errors.
    """

    def __init__(self, file: BinaryIO, columns: Sequence[str], path: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._pa = pa
        self._path = path
        self._schema = pa.schema([(column, pa.string()) for column in columns])
        self._writer = pq.ParquetWriter(file, self._schema)
        self._rows: list[Sequence[str | None]] = []
        self._batch_rows = max(1, _BATCH_CELLS // max(1, len(columns)))
        self._characters = 0
        self._batches: list[Any] = []
        self._bytes = 0

    def add(self, row: Sequence[str | None]) -> None:
        """Write one row.

        :param row: one text, or None for null, per column.
        :raises ZohoStorageError: when a text is not Unicode, in this row or one of the last before it.
        """
        self._rows.append(row)
        self._characters += sum([len(cell) for cell in row if cell])
        if len(self._rows) >= self._batch_rows or self._characters >= _BATCH_CHARACTERS:
            self._end_batch()
            if self._bytes >= _GROUP_BYTES:
                self._end_group()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if kind is None:
            self._end_batch()
            self._end_group()
            self._writer.close()
            return
        # Left open, it would write its footer whenever it is collected. The error that is on its way counts more
        # than one of a file that is thrown away.
        with suppress(Exception):
            self._writer.close()

    def _end_batch(self) -> None:
        if not self._rows:
            return
        pa = self._pa
        try:
            arrays = [pa.array(column, pa.string()) for column in zip(*self._rows, strict=True)]
        except UnicodeEncodeError as error:
            raise ZohoStorageError(
                f"Cannot write one of the last {len(self._rows)} records to {self._path!r}: {error}."
            ) from error
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        self._rows = []
        self._characters = 0
        self._batches.append(batch)
        self._bytes += batch.nbytes

    def _end_group(self) -> None:
        if self._batches:
            self._writer.write_table(self._pa.Table.from_batches(self._batches, self._schema))
            self._batches = []
            self._bytes = 0
