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
    from airflow_provider_zohocrm.notifications.zohocrm import ZohoCRMTaskNotifier
    from airflow_provider_zohocrm.operators.bulk_read import ZohoBulkReadOperator
    from airflow_provider_zohocrm.operators.bulk_write import ZohoBulkWriteOperator
    from airflow_provider_zohocrm.operators.count import ZohoCountOperator
    from airflow_provider_zohocrm.operators.delete import ZohoDeleteOperator
    from airflow_provider_zohocrm.operators.deleted import ZohoGetDeletedRecordsOperator
    from airflow_provider_zohocrm.operators.insert import ZohoInsertOperator
    from airflow_provider_zohocrm.operators.query import ZohoQueryOperator
    from airflow_provider_zohocrm.operators.records import ZohoGetRecordsOperator
    from airflow_provider_zohocrm.operators.related import ZohoGetRelatedRecordsOperator
    from airflow_provider_zohocrm.operators.update import ZohoUpdateOperator
    from airflow_provider_zohocrm.operators.upsert import ZohoUpsertOperator
    from airflow_provider_zohocrm.retry_policy import ZohoRetryPolicy, fail_at_once, retry_decision
    from airflow_provider_zohocrm.sensors.api_credits import ZohoApiCreditsSensor
    from airflow_provider_zohocrm.sensors.bulk_read import ZohoBulkReadJobSensor
    from airflow_provider_zohocrm.sensors.record import ZohoRecordSensor
    from airflow_provider_zohocrm.triggers.api_credits import ApiCreditsTrigger
    from airflow_provider_zohocrm.triggers.bulk_read import BulkReadJobTrigger
    from airflow_provider_zohocrm.triggers.bulk_write import BulkWriteJobTrigger
    from airflow_provider_zohocrm.triggers.record import RecordTrigger
    from airflow_provider_zohocrm.triggers.records_changed import ZohoRecordsChangedTrigger

_PUBLIC = {
    "ApiCreditsTrigger": "airflow_provider_zohocrm.triggers.api_credits",
    "BulkReadJobTrigger": "airflow_provider_zohocrm.triggers.bulk_read",
    "BulkWriteJobTrigger": "airflow_provider_zohocrm.triggers.bulk_write",
    "RecordTrigger": "airflow_provider_zohocrm.triggers.record",
    "ZohoApiCreditsSensor": "airflow_provider_zohocrm.sensors.api_credits",
    "ZohoBulkReadJobSensor": "airflow_provider_zohocrm.sensors.bulk_read",
    "ZohoBulkReadOperator": "airflow_provider_zohocrm.operators.bulk_read",
    "ZohoBulkWriteOperator": "airflow_provider_zohocrm.operators.bulk_write",
    "ZohoCRMAsyncHook": "airflow_provider_zohocrm.hooks.zohocrm",
    "ZohoCRMError": "airflow_provider_zohocrm.exceptions",
    "ZohoCRMHook": "airflow_provider_zohocrm.hooks.zohocrm",
    "ZohoCRMTaskNotifier": "airflow_provider_zohocrm.notifications.zohocrm",
    "ZohoCountOperator": "airflow_provider_zohocrm.operators.count",
    "ZohoDeleteOperator": "airflow_provider_zohocrm.operators.delete",
    "ZohoGetDeletedRecordsOperator": "airflow_provider_zohocrm.operators.deleted",
    "ZohoGetRecordsOperator": "airflow_provider_zohocrm.operators.records",
    "ZohoGetRelatedRecordsOperator": "airflow_provider_zohocrm.operators.related",
    "ZohoInsertOperator": "airflow_provider_zohocrm.operators.insert",
    "ZohoRetryPolicy": "airflow_provider_zohocrm.retry_policy",
    "ZohoRecordsChangedTrigger": "airflow_provider_zohocrm.triggers.records_changed",
    "ZohoQueryOperator": "airflow_provider_zohocrm.operators.query",
    "ZohoRecordSensor": "airflow_provider_zohocrm.sensors.record",
    "ZohoUpdateOperator": "airflow_provider_zohocrm.operators.update",
    "ZohoUpsertOperator": "airflow_provider_zohocrm.operators.upsert",
    "fail_at_once": "airflow_provider_zohocrm.retry_policy",
    "retry_decision": "airflow_provider_zohocrm.retry_policy",
}

__all__ = [
    "ApiCreditsTrigger",
    "BulkReadJobTrigger",
    "BulkWriteJobTrigger",
    "RecordTrigger",
    "ZohoApiCreditsSensor",
    "ZohoBulkReadJobSensor",
    "ZohoBulkReadOperator",
    "ZohoBulkWriteOperator",
    "ZohoCRMAsyncHook",
    "ZohoCRMError",
    "ZohoCRMHook",
    "ZohoCRMTaskNotifier",
    "ZohoCountOperator",
    "ZohoDeleteOperator",
    "ZohoGetDeletedRecordsOperator",
    "ZohoGetRecordsOperator",
    "ZohoGetRelatedRecordsOperator",
    "ZohoInsertOperator",
    "ZohoQueryOperator",
    "ZohoRecordSensor",
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
