"""Run a COQL query into files, or into XCom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.client import coql
from airflow_provider_zohocrm.operators.rows import RowsOperator

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_provider_zohocrm.client.records import Record
    from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook
    from airflow_provider_zohocrm.storage import Column


class ZohoQueryOperator(RowsOperator):
    """Run a COQL query, over all its pages, into files, or into XCom when the rows are few.

    A query without a ``limit`` is read to its end, 2,000 rows a call (v2 and v2.1: 200). It is read in the order of its
    ids, each call beginning after the last id of the one before, so that it has no bound and changes meanwhile move no
    row from one page to another; with an ``order by`` of its own, groups or aggregates it is read by offset, which
    Zoho takes up to 100,000 rows (v2 and v2.1: 10,000). With a ``limit`` it is sent once, as it is.

    With ``output_path`` the task returns ``{"path", "records", "bytes", "module", "fields", "max_modified_time",
    "strategy", "files", "subforms", "manifest", "calls", "credits"}``, else the list of rows. JSONL holds Zoho's rows as
    they are, CSV the columns in the order of ``select``, and the columns of Parquet have the types of the module's
    fields, for which the metadata are read (a credit).

    :param query: the query, e.g. ``select Last_Name from Leads where Lead_Status = 'Lost Lead'``, or the name of a file
        that ends with ``.coql`` or ``.sql``, in the DAG's folder or ``template_searchpath``.
    :param output_path: local path or object storage URI; the format is told by the suffix: ``.jsonl``, ``.csv``, both
        also with ``.gz`` or ``.zst``, and ``.parquet``.
    :param max_records_per_file: begin another file after this many rows: ``leads-0002.jsonl``.
    :param manifest_path: where the manifest is written; None for ``_manifest.json`` in the folder of the output.
    :param max_credits: fail before more API credits than this are spent.
    :param max_xcom_records: without ``output_path``, fail if there are more rows than this.
    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param api_version: ``v2`` … ``v8``, in place of the connection's.
    """

    template_fields: Sequence[str] = ("query", *RowsOperator.output_fields)
    template_ext: Sequence[str] = (".coql", ".sql")
    template_fields_renderers = {"query": "sql"}  # noqa: RUF012  # as Airflow declares it
    strategy = "coql"

    def __init__(self, *, query: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.query = query
        self._declare(kwargs)

    def _pages(self, hook: ZohoCRMHook) -> Iterable[list[Record]]:
        return hook.query_pages(self.query)

    def _columns(self, hook: ZohoCRMHook, first: list[Record], *, typed: bool) -> list[Column]:
        from airflow_provider_zohocrm.extraction.schema import columns_of

        module, grouped = self._what(), coql.is_grouped(self.query)
        found = list(dict.fromkeys(name for row in first for name in row))
        # Zoho may write a function in other letters than the query.
        spelt = {name.lower(): name for name in found}
        asked = [spelt.get(name.lower(), name) for name in coql.columns(self.query)]
        names = dict.fromkeys([*asked, *found] if grouped else ["id", *asked, *found])
        fields = hook.get_fields(module) if typed and not grouped else []
        renamed = {name.lower() for name in coql.aliases(self.query)}
        return columns_of((one for one in fields if one["api_name"].lower() not in renamed), names)

    def _described(self) -> dict[str, Any]:
        return {"select_query": self.query.strip()}

    def _what(self) -> str:
        # When the DAG is parsed it may be anything that is rendered later.
        return coql.module_of(self.query.strip()) if isinstance(self.query, str) else ""
