"""Apache Airflow provider for Zoho CRM."""

# Airflow calls the provider info while its own configuration is being read, and imports this
# package to do so: nothing of Airflow may be imported here, so public names are loaded on first use.
from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from airflow_provider_zohocrm.exceptions import ZohoCRMError
    from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMAsyncHook, ZohoCRMHook
    from airflow_provider_zohocrm.operators.bulk_read import ZohoBulkReadOperator
    from airflow_provider_zohocrm.operators.bulk_write import ZohoBulkWriteOperator
    from airflow_provider_zohocrm.operators.delete import ZohoDeleteOperator
    from airflow_provider_zohocrm.operators.insert import ZohoInsertOperator
    from airflow_provider_zohocrm.operators.records import ZohoGetRecordsOperator
    from airflow_provider_zohocrm.operators.update import ZohoUpdateOperator
    from airflow_provider_zohocrm.operators.upsert import ZohoUpsertOperator
    from airflow_provider_zohocrm.retry_policy import ZohoRetryPolicy, fail_at_once, retry_decision
    from airflow_provider_zohocrm.triggers.bulk_read import BulkReadJobTrigger
    from airflow_provider_zohocrm.triggers.bulk_write import BulkWriteJobTrigger
    from airflow_provider_zohocrm.triggers.records_changed import ZohoRecordsChangedTrigger

_PUBLIC = {
    "BulkReadJobTrigger": "airflow_provider_zohocrm.triggers.bulk_read",
    "BulkWriteJobTrigger": "airflow_provider_zohocrm.triggers.bulk_write",
    "ZohoBulkReadOperator": "airflow_provider_zohocrm.operators.bulk_read",
    "ZohoBulkWriteOperator": "airflow_provider_zohocrm.operators.bulk_write",
    "ZohoCRMAsyncHook": "airflow_provider_zohocrm.hooks.zohocrm",
    "ZohoCRMError": "airflow_provider_zohocrm.exceptions",
    "ZohoCRMHook": "airflow_provider_zohocrm.hooks.zohocrm",
    "ZohoDeleteOperator": "airflow_provider_zohocrm.operators.delete",
    "ZohoGetRecordsOperator": "airflow_provider_zohocrm.operators.records",
    "ZohoInsertOperator": "airflow_provider_zohocrm.operators.insert",
    "ZohoRetryPolicy": "airflow_provider_zohocrm.retry_policy",
    "ZohoRecordsChangedTrigger": "airflow_provider_zohocrm.triggers.records_changed",
    "ZohoUpdateOperator": "airflow_provider_zohocrm.operators.update",
    "ZohoUpsertOperator": "airflow_provider_zohocrm.operators.upsert",
    "fail_at_once": "airflow_provider_zohocrm.retry_policy",
    "retry_decision": "airflow_provider_zohocrm.retry_policy",
}

__all__ = [
    "BulkReadJobTrigger",
    "BulkWriteJobTrigger",
    "ZohoBulkReadOperator",
    "ZohoBulkWriteOperator",
    "ZohoCRMAsyncHook",
    "ZohoCRMError",
    "ZohoCRMHook",
    "ZohoDeleteOperator",
    "ZohoGetRecordsOperator",
    "ZohoInsertOperator",
    "ZohoRecordsChangedTrigger",
    "ZohoRetryPolicy",
    "ZohoUpdateOperator",
    "ZohoUpsertOperator",
    "__version__",
    "fail_at_once",
    "retry_decision",
]


def __getattr__(name: str) -> Any:
    module = _PUBLIC.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return __all__
