"""Insert records from XCom or from files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.operators.loading import LoadOperator, features

if TYPE_CHECKING:
    from collections.abc import Sequence


class ZohoInsertOperator(LoadOperator):
    """Insert records.

    Zoho knows no idempotency key. When an answer is lost, records with a value in a unique field are looked up, and
    inserted again if they are not there; the others are rejected as ``UNKNOWN_OUTCOME``, with what to check. A retry of
    the task goes on from the checkpoint; before Airflow 3.3 there is none, and it fails instead of inserting twice.

    .. seealso:: :class:`~airflow_provider_zohocrm.operators.loading.LoadOperator` for what is returned and for the other
        parameters, :meth:`~airflow_provider_zohocrm.client.writing.WritingApi.insert_records` for more of these.

    :param module: API name, e.g. ``Leads``.
    :param trigger: what to run, e.g. ``["workflow"]``. None runs all, an empty list none.
    :param apply_feature_execution: e.g. ``["layout_rules"]``.
    :param external_id: API name of an external field that stands in for the record id.
    :param lar_id: id of an assignment rule.
    """

    writes = "insert"
    template_fields: Sequence[str] = (
        *LoadOperator.template_fields,
        "trigger",
        "apply_feature_execution",
        "external_id",
        "lar_id",
    )

    def __init__(
        self,
        *,
        module: str,
        trigger: Sequence[str] | str | None = None,
        apply_feature_execution: Sequence[str] | str | None = None,
        external_id: str | None = None,
        lar_id: str | int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(module=module, **kwargs)
        self.trigger = trigger
        self.apply_feature_execution = apply_feature_execution
        self.external_id = external_id
        self.lar_id = lar_id

    def _features(self) -> dict[str, Any]:
        return features(
            self,
            "trigger",
            "apply_feature_execution",
            "external_id",
            "lar_id",
        )
