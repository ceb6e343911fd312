"""What an operator tells Airflow of its data: assets, their events, lineage, and links."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm._compat import asset_event, is_unknown_alias, made_of_mapped
from airflow_provider_zohocrm.operators.links import PAGES, ZohoModuleLink, ZohoRecordLink

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_zohocrm._compat import Context
    from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook
    from airflow_provider_zohocrm.operators.report import Report

log = logging.getLogger(__name__)


class LineageMixin:
    """Assets, lineage and links, for operators.

    In :meth:`declare` an operator says what it is about, in :meth:`show_pages` where that can be seen, and in
    :meth:`tell` what its run did.
    """

    operator_extra_links = (ZohoModuleLink(), ZohoRecordLink())
    report: Report | None = None
    """What the run did, once that is known; after a deferral it is set again by what runs then."""

    def declare(self, given: Mapping[str, Any], *, reads: Any = None, writes: Any = None) -> None:
        """Add what is read to the inlets and what is written to the outlets, unless the DAG's author gave some.

        :param given: the arguments that BaseOperator got.
        :param reads: an asset or an alias; None for nothing.
        :param writes: likewise.
        """
        operator: Any = self
        # To a copy of a mapped operator Airflow gives empty lists, whatever its author did.
        silent = made_of_mapped(self)
        if reads is not None and not operator.inlets and (silent or given.get("inlets") is None):
            operator.inlets = [reads]
        if writes is not None and not operator.outlets and (silent or given.get("outlets") is None):
            operator.outlets = [writes]

    def show_pages(self, context: Context, hook: ZohoCRMHook, module: str, record_id: Any = None) -> None:
        """Have the links lead to the module, and to a record."""
        from airflow_provider_zohocrm.client.web import module_page

        ti = context.get("ti")
        if ti is None:
            return
        credentials = hook.transport.credentials
        pages = {"module": module_page(credentials, module)}
        if record_id is not None:
            pages["record"] = module_page(credentials, module, str(record_id))
        try:
            ti.xcom_push(key=PAGES, value=pages)
        except Exception as error:  # noqa: BLE001  # whatever the API server has: a task is not for its links
            log.warning("XCom %s was not pushed: %s", PAGES, error)

    def tell(self, context: Context, report: Report) -> None:
        """Tell what the run did: the events of the outlets carry it, and so does the lineage."""
        self.report = report
        operator: Any = self
        for outlet in operator.outlets or ():
            # Of what a mapped task writes Airflow 2 knows only if some other DAG names it; else nobody waits for it.
            if not (made_of_mapped(self) and is_unknown_alias(outlet)):
                asset_event(context, outlet, report.written_uri, report.extra)

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:  # noqa: ARG002  # as Airflow calls it
        """Describe the run as OpenLineage: datasets, schema, statistics, job. Makes no call.

        :return: an ``OperatorLineage``, or None where the run did not get as far.
        """
        from airflow_provider_zohocrm.operators.openlineage import operator_lineage

        return None if self.report is None else operator_lineage(self.report)
