"""What operators that read rows have in common: they go into files, or into XCom when they are few."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.assets.zohocrm import files_alias, module_alias
from airflow_provider_zohocrm.exceptions import ZohoValidationError
from airflow_provider_zohocrm.operators.base import ZohoOperator
from airflow_provider_zohocrm.operators.parameters import given, whole_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_provider_zohocrm._compat import Context
    from airflow_provider_zohocrm.client.records import Record
    from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook
    from airflow_provider_zohocrm.storage import Column


class RowsOperator(ZohoOperator):
    """Reads rows, page by page.

    With ``output_path`` they are streamed to files, and the task returns what ``ZohoGetRecordsOperator`` returns:
    ``{"path", "records", "bytes", "module", "fields", "max_modified_time", "strategy", "files", "subforms", "manifest",
    "calls", "credits"}``. Without it, the task returns the list of rows.

    :param output_path: local path or object storage URI; the format is told by the suffix: ``.jsonl``, ``.csv``, both
        also with ``.gz`` or ``.zst``, and ``.parquet``.
    :param max_records_per_file: begin another file after this many rows: ``leads-0002.jsonl``.
    :param manifest_path: where the manifest is written; None for ``_manifest.json`` in the folder of the output.
    :param max_credits: fail before more API credits than this are spent.
    :param max_xcom_records: without ``output_path``, fail if there are more rows than this.
    """

    output_fields: Sequence[str] = (
        "output_path",
        "max_records_per_file",
        "manifest_path",
        "max_credits",
        "max_xcom_records",
        "zohocrm_conn_id",
        "api_version",
    )
    """Names of the template fields that all of these operators have."""
    ui_color = "#e8f1fb"
    strategy = ""
    """What the result names as the way the rows were read."""
    watermark_field = "Modified_Time"

    def __init__(
        self,
        *,
        output_path: str | None = None,
        max_records_per_file: int | str | None = None,
        manifest_path: str | None = None,
        max_credits: int | str | None = None,
        max_xcom_records: int | str = 1000,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.output_path = output_path
        self.max_records_per_file = max_records_per_file
        self.manifest_path = manifest_path
        self.max_credits = max_credits
        self.max_xcom_records = max_xcom_records

    def _declare(self, given_: Mapping[str, Any]) -> None:
        """Say which module is read, and that files are written; to be called when all parameters are set.

        :param given_: the arguments that BaseOperator got.
        """
        self._path_template = self.output_path
        module = self._source()
        # That of a query in a file is known in the run only.
        if module:
            files = files_alias(module, self.zohocrm_conn_id) if self.output_path else None
            self.declare(given_, reads=module_alias(module, self.zohocrm_conn_id), writes=files)

    def execute(self, context: Context) -> Any:
        """Read the rows.

        :return: a description of the files, or the rows.
        """
        from airflow_provider_zohocrm.extraction.rows import RowFiles, write_rows

        path = given(self.output_path)
        if path is not None:
            per_file = whole_number(self.max_records_per_file, "max_records_per_file")
            files = RowFiles.of(path, per_file, given(self.manifest_path))
        most = whole_number(self.max_xcom_records, "max_xcom_records")
        bound = whole_number(self.max_credits, "max_credits")
        hook = self._hook()
        pages = self._pages(hook)
        if self._source():
            self.show_pages(context, hook, self._source())
        hook.usage.max_credits = bound
        if path is None:
            rows = into_xcom((row for page in pages for row in page), most, self._what())
            self.log.info(
                "Read %d rows of %s for %d API credits", len(rows), self._what(), hook.usage.credits
            )
            self._tell(context, hook, len(rows), None)
            return rows
        result = write_rows(
            hook,
            pages,
            files,
            module=self._what(),
            strategy=self.strategy,
            query=self._described(),
            columns=lambda first: self._columns(hook, first, typed=files.typed),
            watermark_field=self.watermark_field,
        )
        self._tell(context, hook, result["records"], result)
        return result

    def _tell(self, context: Context, hook: ZohoCRMHook, rows: int, result: Mapping[str, Any] | None) -> None:
        from airflow_provider_zohocrm.assets.files import uri_of_files
        from airflow_provider_zohocrm.operators.report import Report, schema_of, uri_of_module

        module = self._source()
        # Where nothing was asked of Zoho, its host would have to be asked for.
        if not module or not hook.usage.calls:
            return
        files = result or {}
        report = Report(
            uri_of_module(hook, module),
            writes=False,
            files_uri=None if result is None else uri_of_files(str(self.output_path), self._path_template),
            rows=rows,
            bytes=files.get("bytes"),
            files=tuple(file["path"] for file in files.get("files", ())),
            watermark=files.get("max_modified_time"),
            manifest=files.get("manifest"),
            schema=schema_of(None, files.get("fields") or (), hook.known_fields(module)),
        )
        self.tell(context, report)

    @abstractmethod
    def _pages(self, hook: ZohoCRMHook) -> Iterable[list[Record]]:
        """Read the rows; parameters that cannot be right fail at once, before the first request."""

    @abstractmethod
    def _columns(self, hook: ZohoCRMHook, first: list[Record], *, typed: bool) -> list[Column]:
        """Name the columns of a file, and type them where it is asked for, by the rows of the first page."""

    @abstractmethod
    def _described(self) -> dict[str, Any]:
        """Describe what was asked for as plain JSON."""

    @abstractmethod
    def _what(self) -> str:
        """Name what the rows are of."""

    def _source(self) -> str:
        """Name the module that is read; empty if it cannot be told."""
        return self._what()


def into_xcom(rows: Iterable[Record], most: int | None, what: str) -> list[Record]:
    """Collect rows for XCom.

    :param most: how many there may be.
    :param what: what they are, for the error text.
    :raises ZohoValidationError: if there are more.
    """
    taken: list[Record] = []
    for row in rows:
        if most is not None and len(taken) >= most:
            raise ZohoValidationError(
                f"{what} has more than {most} records, too many for XCom. Give output_path to write "
                "them to a file, narrow the query, or raise max_xcom_records."
            )
        taken.append(row)
    return taken
