"""What a run did, in OpenLineage's words; imported only where Airflow's OpenLineage provider asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm._compat import lineage_class
from airflow_provider_zohocrm.assets.zohocrm import dataset_name

if TYPE_CHECKING:
    from airflow_provider_zohocrm.operators.report import Report


def operator_lineage(report: Report) -> Any:
    """Describe a run.

    Both sides have the schema; the one that was written has the number of rows, bytes and files. Bulk jobs are the run's
    external queries.

    :return: an ``OperatorLineage``.
    """
    from openlineage.client.event_v2 import InputDataset, OutputDataset
    from openlineage.client.facet_v2 import (
        external_query_run,
        output_statistics_output_dataset,
        schema_dataset,
    )

    facets: dict[str, Any] = {}
    if report.schema:
        fields = [
            schema_dataset.SchemaDatasetFacetFields(name=name, type=kind) for name, kind in report.schema
        ]
        facets["schema"] = schema_dataset.SchemaDatasetFacet(fields=fields)
    statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=report.rows, size=report.bytes, fileCount=len(report.files) or None
    )
    read, written = report.files_uri, report.module_uri
    if not report.writes:
        read, written = report.module_uri, report.files_uri or ""
    run_facets: dict[str, Any] = {}
    if report.job_ids:
        run_facets["externalQuery"] = external_query_run.ExternalQueryRunFacet(
            externalQueryId=",".join(report.job_ids), source=dataset_name(report.module_uri)[0]
        )
    inputs = [InputDataset(*dataset_name(read), facets=facets)] if read else []
    outputs = (
        [OutputDataset(*dataset_name(written), facets=facets, outputFacets={"outputStatistics": statistics})]
        if written
        else []
    )
    return lineage_class()(inputs=inputs, outputs=outputs, run_facets=run_facets)
