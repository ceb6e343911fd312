"""What all operators have: a connection, and the hook it gives."""

from __future__ import annotations

from typing import Any

from airflow_provider_zohocrm._compat import BaseOperator
from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook
from airflow_provider_zohocrm.operators.parameters import given


class ZohoOperator(BaseOperator):
    """Talks to Zoho CRM by way of a connection.

    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param api_version: ``v2`` … ``v8``, in place of the connection's.
    """

    def __init__(
        self,
        *,
        zohocrm_conn_id: str = ZohoCRMHook.default_conn_name,
        api_version: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.zohocrm_conn_id = zohocrm_conn_id
        self.api_version = api_version

    def _hook(self) -> ZohoCRMHook:
        return ZohoCRMHook(self.zohocrm_conn_id, api_version=given(self.api_version))
