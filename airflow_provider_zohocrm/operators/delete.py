"""Delete records named in XCom or in files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.operators.loading import LoadOperator
from airflow_provider_zohocrm.operators.parameters import given, truth

if TYPE_CHECKING:
    from collections.abc import Sequence


class ZohoDeleteOperator(LoadOperator):
    """Move records to the recycle bin, by their ``id``.

    Of a record only its ``id`` is looked at. When an answer was lost, a record that is gone afterwards counts as deleted.

    .. seealso:: :class:`~airflow_provider_zohocrm.operators.loading.LoadOperator` for what is returned and for the other
        parameters, :meth:`~airflow_provider_zohocrm.client.writing.WritingApi.delete_records` for more of these.

    :param module: API name, e.g. ``Leads``.
    :param external_id: API name of an external field that stands in for the record id.
    :param wf_trigger: whether workflows run; None leaves it to Zoho.
    """

    writes = "delete"
    template_fields: Sequence[str] = (
        *LoadOperator.template_fields,
        "external_id",
        "wf_trigger",
    )

    def __init__(
        self,
        *,
        module: str,
        external_id: str | None = None,
        wf_trigger: bool | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(module=module, **kwargs)
        self.external_id = external_id
        self.wf_trigger = wf_trigger

    def _features(self) -> dict[str, Any]:
        return {
            "external_id": given(self.external_id),
            "wf_trigger": truth(self.wf_trigger, "wf_trigger"),
        }
