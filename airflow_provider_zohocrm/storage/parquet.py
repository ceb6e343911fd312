"""Records as a Parquet file, in bounded memory."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_provider_zohocrm.storage.arrays import ArrowRows
from airflow_provider_zohocrm.storage.values import record_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_zohocrm.storage.columns import Column
    from airflow_provider_zohocrm.storage.values import TypeErrors

# How much is held as Python objects, which cost some 80 bytes a cell, before it becomes an Arrow batch.
_BATCH_CELLS = 20_000
_BATCH_CHARACTERS = 1 << 20
# What becomes one row group: large enough for a scan, small enough for a worker.
_GROUP_BYTES = 4 << 20
# Each column collects its different values up to this size before it is written without a dictionary: ids and texts all
# differ, and pyarrow's own limit of 1 MiB would keep 20 MB for twenty columns.
_DICTIONARY_BYTES = 128 << 10


class ParquetRecords:
    """Writes records to a Parquet file.

    :param file: binary file to write to; it is left open.
    :param columns: the columns.
    :param path: the path as the user gave it, for errors.
    :param errors: what happens to values that do not fit.
    """

    def __init__(self, file: BinaryIO, columns: Sequence[Column], path: str, errors: TypeErrors) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._pa = pa
        self._names = [column.name for column in columns]
        self._arrow = ArrowRows(columns, errors, path)
        self._writer = pq.ParquetWriter(file, self._arrow.schema, dictionary_pagesize_limit=_DICTIONARY_BYTES)
        self._records: list[Mapping[str, Any]] = []
        self._batch_rows = max(1, _BATCH_CELLS // max(1, len(columns)))
        self._characters = 0
        self._batches: list[Any] = []
        self._bytes = 0

    def add(self, record: Mapping[str, Any]) -> None:
        """Write one record.

        :param record: values from Zoho's JSON by field name; a missing one is null.
        :raises ZohoStorageError: when a value cannot be written, in this record or one of the last before it.
        """
        self._records.append(record)
        self._characters += sum([len(value) for value in record.values() if type(value) is str])
        if len(self._records) >= self._batch_rows or self._characters >= _BATCH_CHARACTERS:
            self._end_batch()

    def add_texts(self, values: Sequence[Any], ids: Any, rows: int) -> None:
        """Write rows of CSV.

        :param values: per column an Arrow array of texts, with null for an empty cell, or None where all are null.
        :param ids: Arrow array of the ids of the records.
        :param rows: number of rows.
        :raises ZohoTypeError: when a value does not fit.
        """
        self._take(values, ids, rows)

    def end(self) -> None:
        """Complete the file."""
        self._end_batch()
        self._end_group()
        self._writer.close()

    def abandon(self) -> None:
        """Give the file up."""
        # Left open, it would write its footer whenever it is collected. The error that is on its way counts more
        # than one of a file that is thrown away.
        with suppress(Exception):
            self._writer.close()

    def _end_batch(self) -> None:
        records, self._records, self._characters = self._records, [], 0
        if records:
            values = [[record.get(name) for record in records] for name in self._names]
            self._take(values, [record_id(record) for record in records], len(records))

    def _take(self, values: Sequence[Any], ids: Sequence[Any], rows: int) -> None:
        batch = self._arrow.batch(values, ids, rows)
        self._batches.append(batch)
        self._bytes += batch.nbytes
        if self._bytes >= _GROUP_BYTES:
            self._end_group()

    def _end_group(self) -> None:
        if self._batches:
            # Arrow's allocator would keep what it needed for parsing while it encodes, and the other way round.
            pool = self._pa.default_memory_pool()
            pool.release_unused()
            self._writer.write_table(self._pa.Table.from_batches(self._batches, self._arrow.schema))
            self._batches = []
            self._bytes = 0
            pool.release_unused()
