"""Record files on local and object storage, read and written as streams.

Nothing here imports Airflow or pyarrow until a path needs it.
"""

from __future__ import annotations

from airflow_provider_zohocrm.storage.columns import Column
from airflow_provider_zohocrm.storage.exports import write_csv_export, write_raw_export
from airflow_provider_zohocrm.storage.formats import FileFormat, file_format, numbered_path
from airflow_provider_zohocrm.storage.locations import file_exists
from airflow_provider_zohocrm.storage.manifest import manifest_path, write_manifest
from airflow_provider_zohocrm.storage.parts import RecordParts
from airflow_provider_zohocrm.storage.readers import read_records
from airflow_provider_zohocrm.storage.targets import FileInfo
from airflow_provider_zohocrm.storage.writers import RecordWriter, open_record_writer

__all__ = [
    "Column",
    "FileFormat",
    "FileInfo",
    "RecordParts",
    "RecordWriter",
    "file_exists",
    "file_format",
    "manifest_path",
    "numbered_path",
    "open_record_writer",
    "read_records",
    "write_csv_export",
    "write_manifest",
    "write_raw_export",
]
