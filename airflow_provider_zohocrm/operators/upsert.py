"""Insert or update records from XCom or from files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm._compat import default_deferrable
from airflow_provider_zohocrm.client.calls import names
from airflow_provider_zohocrm.client.polling import LONGEST_POLL
from airflow_provider_zohocrm.exceptions import ZohoPermissionError, ZohoScopeError, ZohoValidationError
from airflow_provider_zohocrm.operators.loading import LoadOperator, WritingOperator, features
from airflow_provider_zohocrm.operators.parameters import given

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from airflow_provider_zohocrm._compat import Context
    from airflow_provider_zohocrm.loading.inputs import Inputs
    from airflow_provider_zohocrm.loading.request import LoadRequest
    from airflow_provider_zohocrm.loading.survey import BulkWay
    from airflow_provider_zohocrm.operators.bulk_write import ZohoBulkWriteOperator

# What bulk write has no place for.
_RECORDS_ONLY = ("trigger", "apply_feature_execution", "skip_feature_execution", "external_id", "lar_id")
_WAITING = ("max_jobs_in_flight", "deferrable", "poll_interval", "max_poll_interval", "timeout")


class ZohoUpsertOperator(LoadOperator):
    """Insert records, or update those that Zoho finds by their duplicate-check fields.

    Running an upsert again is harmless for records with an ``id`` or a value in a field of the duplicate check.

    .. seealso:: :class:`~airflow_provider_zohocrm.operators.loading.LoadOperator` for what is returned and for the other
        parameters, :meth:`~airflow_provider_zohocrm.client.writing.WritingApi.upsert_records` for more of these.

    :param module: API name, e.g. ``Leads``.
    :param operation: ``records``: calls with 100 records, 10 credits each. ``bulk``: what
        :class:`~airflow_provider_zohocrm.operators.bulk_write.ZohoBulkWriteOperator` does, 500 credits for 25,000
        records. ``auto``: what is cheaper, by the number of records, and bulk write only if it leaves the same records;
        the log tells why.
    :param duplicate_check_fields: fields to look for, in this order; None for Zoho's own order.
    :param trigger: what to run, e.g. ``["workflow"]``. None runs all, an empty list none.
    :param apply_feature_execution: e.g. ``["layout_rules"]``.
    :param skip_feature_execution: e.g. ``["cadences"]``.
    :param external_id: API name of an external field that stands in for the record id.
    :param lar_id: id of an assignment rule.
    :param max_jobs_in_flight: how many bulk write jobs Zoho may have at once.
    :param deferrable: wait for bulk write jobs in the triggerer; the default is Airflow's ``[operators]
        default_deferrable``.
    :param poll_interval: seconds before the first look at a bulk write job, as in
        :class:`~airflow_provider_zohocrm.operators.bulk_write.ZohoBulkWriteOperator`.
    :param max_poll_interval: the longest seconds between two looks.
    :param timeout: seconds after which a bulk write job that has not ended fails the task.
    """

    writes = "upsert"
    template_fields: Sequence[str] = (
        *LoadOperator.template_fields,
        "operation",
        "duplicate_check_fields",
        "trigger",
        "apply_feature_execution",
        "skip_feature_execution",
        "external_id",
        "lar_id",
        "max_jobs_in_flight",
        "poll_interval",
        "max_poll_interval",
        "timeout",
    )

    def __init__(
        self,
        *,
        module: str,
        operation: str = "records",
        duplicate_check_fields: str | Sequence[str] | None = None,
        trigger: Sequence[str] | str | None = None,
        apply_feature_execution: Sequence[str] | str | None = None,
        skip_feature_execution: Sequence[str] | str | None = None,
        external_id: str | None = None,
        lar_id: str | int | None = None,
        max_jobs_in_flight: int | str = 1,
        deferrable: bool = default_deferrable(),
        poll_interval: float | str | None = None,
        max_poll_interval: float | str = LONGEST_POLL,
        timeout: float | str = 6 * 60 * 60,
        **kwargs: Any,
    ) -> None:
        super().__init__(module=module, **kwargs)
        self.operation = operation
        self.duplicate_check_fields = duplicate_check_fields
        self.trigger = trigger
        self.apply_feature_execution = apply_feature_execution
        self.skip_feature_execution = skip_feature_execution
        self.external_id = external_id
        self.lar_id = lar_id
        self.max_jobs_in_flight = max_jobs_in_flight
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.max_poll_interval = max_poll_interval
        self.timeout = timeout
        self._found_inputs: Inputs | None = None

    def execute(self, context: Context) -> dict[str, Any]:
        """Write the records, in the way that was asked for or is the cheapest.

        :return: counts and files.
        :raises ZohoRejectedRecordsError: if more records were rejected than allowed.
        """
        self._found_inputs = None
        bulk = self._way()
        if bulk is None:
            return self._load(context)
        return self._of_bulk_write(bulk, lambda writer: writer.write(context))

    def execute_complete(self, context: Context, event: Any, progress: Mapping[str, Any]) -> dict[str, Any]:
        """Go on when the trigger has fired.

        :param event: what the trigger sent.
        :param progress: how far the load by bulk write had come.
        :return: counts and files.
        """
        from airflow_provider_zohocrm.loading.survey import BulkWay

        asked = self._asked_bulk()
        bulk = BulkWay(progress["operation"], progress["find_by"]) if progress.get("operation") else asked
        return self._of_bulk_write(bulk, lambda writer: writer.execute_complete(context, event, progress))

    def _of_bulk_write(
        self, bulk: BulkWay, run: Callable[[ZohoBulkWriteOperator], dict[str, Any]]
    ) -> dict[str, Any]:
        writer = self._by_bulk_write(bulk)
        try:
            return run(writer)
        finally:
            self.report = writer.report

    def _way(self) -> BulkWay | None:
        """Choose bulk write, and how, or None for calls with records."""
        from airflow_provider_zohocrm.loading.plan import WAYS

        asked = given(self.operation) or "records"
        if asked not in ("auto", *WAYS):
            raise ZohoValidationError(f"operation is {asked!r}; it must be auto, {' or '.join(WAYS)}")
        options = self._options()
        only = [name for name in _RECORDS_ONLY if options[name] is not None]
        if len(names(options["duplicate_check_fields"], "duplicate_check_fields") or ()) > 1:
            only.append("duplicate_check_fields")
        if asked == "bulk" and only:
            raise ZohoValidationError(f"operation 'bulk' does not know {', '.join(only)}; leave them out")
        if asked == "auto":
            return self._cheapest_way(only)
        return self._asked_bulk() if asked == "bulk" else None

    def _inputs(self) -> Inputs:
        # What was counted to choose the way is of use on it, too.
        if self._found_inputs is None:
            self._found_inputs = super()._inputs()
        return self._found_inputs

    def _asked_bulk(self) -> BulkWay:
        from airflow_provider_zohocrm.loading.survey import BulkWay

        fields = names(given(self.duplicate_check_fields), "duplicate_check_fields")
        return BulkWay(self.writes, fields[0] if fields else None)

    def _cheapest_way(self, records_only: Sequence[str]) -> BulkWay | None:
        from airflow_provider_zohocrm.loading.plan import candidates, cheapest, choose

        request, inputs = self._request(), self._inputs()
        found = candidates(
            self.writes,
            inputs.count(read=not records_only),
            concurrency=request.max_concurrency,
            records_only=records_only,
        )
        best, bulk = cheapest(found, request.max_credits), None
        if best is not None and best.strategy == "bulk":
            # The rows are read for this only where it pays.
            way = self._same_by_bulk(inputs, request)
            if isinstance(way, str):
                found = [replace(one, obstacle=way) if one is best else one for one in found]
            else:
                bulk = way
        choose(found, request.max_credits)
        return bulk

    def _same_by_bulk(self, inputs: Inputs, request: LoadRequest) -> BulkWay | str:
        from airflow_provider_zohocrm.loading.survey import bulk_way

        try:
            fields = self._hook().get_fields(self.module)
        except (ZohoScopeError, ZohoPermissionError) as error:
            return f"the fields of {self.module} cannot be read: {error}"
        return bulk_way(inputs, request, fields)

    def _by_bulk_write(self, bulk: BulkWay) -> ZohoBulkWriteOperator:
        from airflow_provider_zohocrm.operators.bulk_write import ZohoBulkWriteOperator

        shared = (*WritingOperator.template_fields, *_WAITING)
        return ZohoBulkWriteOperator(
            task_id=self.task_id,
            operation=bulk.operation,
            find_by=bulk.find_by,
            inlets=self.inlets,
            outlets=self.outlets,
            **{name: getattr(self, name) for name in shared},
        )

    def _features(self) -> dict[str, Any]:
        return features(
            self,
            "duplicate_check_fields",
            "trigger",
            "apply_feature_execution",
            "skip_feature_execution",
            "external_id",
            "lar_id",
        )
