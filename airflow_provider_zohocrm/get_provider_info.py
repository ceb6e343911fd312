"""What Airflow reads about the package; a pure dict, because Airflow calls it while its configuration is being read."""

from __future__ import annotations

from typing import Any

from airflow_provider_zohocrm import __version__
from airflow_provider_zohocrm.connection_form import (
    CONN_FIELDS,
    CONNECTION_TYPE,
    HIDDEN_FIELDS,
    HOOK_CLASS,
    HOOK_NAME,
    PLACEHOLDERS,
    RELABELING,
)

_INTEGRATION = "Zoho CRM"
_ASSETS = "airflow_provider_zohocrm.assets.zohocrm"
_ASSET_URI = {
    "schemes": ["zohocrm"],
    "handler": f"{_ASSETS}.sanitize_uri",
    "factory": f"{_ASSETS}.create_asset",
    "to_openlineage_converter": f"{_ASSETS}.convert_asset_to_openlineage",
}

_CONFIG: dict[str, Any] = {
    "zohocrm": {
        "description": "Settings for all connections of type zohocrm.",
        "options": {
            "token_store": {
                "description": "How tasks share one access token, for connections that leave it open: an Airflow "
                "Variable (variable), a file on this host (file), the memory of one process (memory), or the dotted "
                "path of a class.\n",
                "version_added": "0.2.0",
                "type": "string",
                "example": "my_company.tokens.RedisTokenStore",
                "default": "variable",
            },
            "token_folder": {
                "description": "Folder of the token store file, which only its owner may be able to read. Empty: one "
                "below the temporary folder.\n",
                "version_added": "0.2.0",
                "type": "string",
                "example": "/opt/airflow/zohocrm-tokens",
                "default": "",
            },
        },
    },
}


def get_provider_info() -> dict[str, Any]:
    """Describe the provider to Airflow.

    :return: valid against ``provider_info.schema.json`` of Airflow 2.11 to 3.3.
    """
    return {
        "package-name": "airflow-provider-zohocrm",
        "name": "Zoho CRM",
        "description": "Pull, bulk-export and upsert records of `Zoho CRM <https://www.zoho.com/crm/>`__.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://www.zoho.com/crm/developer/docs/api/v8/",
                "tags": ["service"],
            }
        ],
        "hooks": [_modules("hooks.zohocrm")],
        "operators": [
            _modules(
                "operators.bulk_read",
                "operators.bulk_write",
                "operators.count",
                "operators.delete",
                "operators.deleted",
                "operators.insert",
                "operators.query",
                "operators.records",
                "operators.related",
                "operators.update",
                "operators.upsert",
            )
        ],
        "sensors": [_modules("sensors.api_credits", "sensors.bulk_read", "sensors.record")],
        "triggers": [
            _modules(
                "triggers.api_credits",
                "triggers.bulk_read",
                "triggers.bulk_write",
                "triggers.record",
                "triggers.records_changed",
            )
        ],
        "notifications": ["airflow_provider_zohocrm.notifications.zohocrm.ZohoCRMTaskNotifier"],
        # Airflow 3.3; older ones do not know the key, and ignore it.
        "cli": ["airflow_provider_zohocrm.cli.definition.get_zohocrm_cli_commands"],
        # Airflow 2 calls assets datasets.
        "asset-uris": [_ASSET_URI],
        "dataset-uris": [_ASSET_URI],
        "extra-links": [
            "airflow_provider_zohocrm.operators.links.ZohoModuleLink",
            "airflow_provider_zohocrm.operators.links.ZohoRecordLink",
        ],
        "connection-types": [
            {
                "connection-type": CONNECTION_TYPE,
                "hook-class-name": HOOK_CLASS,
                "hook-name": HOOK_NAME,
                "conn-fields": CONN_FIELDS,
                "ui-field-behaviour": {
                    "hidden-fields": HIDDEN_FIELDS,
                    "relabeling": RELABELING,
                    "placeholders": PLACEHOLDERS,
                },
            }
        ],
        "config": _CONFIG,
    }


def _modules(*names: str) -> dict[str, Any]:
    return {
        "integration-name": _INTEGRATION,
        "python-modules": [f"airflow_provider_zohocrm.{name}" for name in names],
    }
