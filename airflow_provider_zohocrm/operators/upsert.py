"""Insert or update records from XCom or from files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.operators.loading import LoadOperator, features

if TYPE_CHECKING:
    from collections.abc import Sequence


class ZohoUpsertOperator(LoadOperator):
    """Insert records, or update those that Zoho finds by their duplicate-check fields.

    Running an upsert again is harmless for records with an ``id`` or a value in a field of the duplicate check.

    .. seealso:: :class:`~airflow_provider_zohocrm.operators.loading.LoadOperator` for what is returned and for the other
        parameters, :meth:`~airflow_provider_zohocrm.client.writing.WritingApi.upsert_records` for more of these.

    :param module: API name, e.g. ``Leads``.
    :param duplicate_check_fields: fields to look for, in this order; None for Zoho's own order.
    :param trigger: what to run, e.g. ``["workflow"]``. None runs all, an empty list none.
    :param apply_feature_execution: e.g. ``["layout_rules"]``.
    :param skip_feature_execution: e.g. ``["cadences"]``.
    :param external_id: API name of an external field that stands in for the record id.
    :param lar_id: id of an assignment rule.
    """

    operation = "upsert"
    template_fields: Sequence[str] = (
        *LoadOperator.template_fields,
        "duplicate_check_fields",
        "trigger",
        "apply_feature_execution",
        "skip_feature_execution",
        "external_id",
        "lar_id",
    )

    def __init__(
        self,
        *,
        module: str,
        duplicate_check_fields: str | Sequence[str] | None = None,
        trigger: Sequence[str] | str | None = None,
        apply_feature_execution: Sequence[str] | str | None = None,
        skip_feature_execution: Sequence[str] | str | None = None,
        external_id: str | None = None,
        lar_id: str | int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(module=module, **kwargs)
        self.duplicate_check_fields = duplicate_check_fields
        self.trigger = trigger
        self.apply_feature_execution = apply_feature_execution
        self.skip_feature_execution = skip_feature_execution
        self.external_id = external_id
        self.lar_id = lar_id

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
