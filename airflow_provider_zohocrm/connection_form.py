"""The connection form: one description for every Airflow version that draws it."""

from __future__ import annotations

from typing import Any

CONNECTION_TYPE = "zohocrm"
HOOK_NAME = "Zoho CRM"
HOOK_CLASS = "airflow_provider_zohocrm.hooks.zohocrm.ZohoCRMHook"

_TEXT = ["string", "null"]


def _field(label: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": _TEXT, **schema}}


# JSON Schema, as Airflow 3.2 and newer read it from the provider info.
CONN_FIELDS: dict[str, dict[str, Any]] = {
    "refresh_token": _field(
        "Refresh token",
        "API console > your client > Generate code, then exchange the code: 1000.… "
        "Needed for grant type refresh_token.",
        format="password",
    ),
    "data_center": _field(
        "Data centre",
        "Where the organisation lives: the ending of its crm.zoho.… address, and of the API console's.",
        enum=["us", "eu", "in", "au", "jp", "cn", "ca", "sa", "uk", "ae", "sg"],
        default="us",
    ),
    "environment": _field(
        "Environment",
        "A sandbox or developer organisation has a client and refresh token of its own.",
        enum=["production", "sandbox", "developer"],
        default="production",
    ),
    "api_version": _field(
        "API version",
        "v8 unless you depend on the answers of an older one.",
        enum=["v2", "v2.1", "v3", "v4", "v5", "v6", "v7", "v8"],
        default="v8",
    ),
    "grant_type": _field(
        "Grant type",
        "client_credentials needs Organisation and Scope instead of the refresh token.",
        enum=["refresh_token", "client_credentials"],
        default="refresh_token",
    ),
    "soid": _field(
        "Organisation (soid)",
        "For client_credentials: ZohoCRM.<organisation id>; Setup > Developer Hub > APIs > org id.",
    ),
    "scope": _field(
        "Scope",
        "For client_credentials: e.g. ZohoCRM.modules.ALL,ZohoCRM.bulk.READ,ZohoCRM.settings.ALL,ZohoCRM.org.READ",
    ),
    "organization": _field(
        "Organisation ID",
        "Names the organisation in links, assets and lineage: what stands after /crm/ in the address of its pages, e.g. "
        "org20012345, or the name of a sandbox.",
    ),
    "api_url": _field("API URL", "Only to override the data centre's, e.g. https://www.zohoapis.eu"),
    "accounts_url": _field(
        "Accounts URL", "Only to override the data centre's, e.g. https://accounts.zoho.eu"
    ),
    "upload_url": _field(
        "Upload URL", "Only to override the data centre's, e.g. https://content.zohoapis.eu"
    ),
    "min_credits_remaining": _field(
        "API credits to leave",
        "Tasks stop before the organisation has fewer API credits left than this, so that its users can go on working.",
        type=["integer", "null"],
        minimum=0,
    ),
    "verify": _field(
        "CA bundle",
        "Only for a proxy or gateway with a CA of its own: path of its certificates (PEM) on all workers and triggerers. "
        "Certificates are always verified.",
    ),
    # Not "token_store": a name that holds "token" makes Airflow take the value for a secret, hide the choice in the
    # form and mask words like "memory" in all logs.
    # No default: what is left empty follows Airflow's configuration. Suggestions and no choices: a dotted path is fine.
    "auth_store": _field(
        "Token store",
        "How tasks share one access token (Zoho mints 10 in 10 minutes): variable (an Airflow Variable), file (on this "
        "host), memory (of one process), or the dotted path of a class of yours. Empty: what [zohocrm] token_store in "
        "Airflow's configuration says, else variable.",
        examples=["variable", "file", "memory"],
    ),
}

HIDDEN_FIELDS = ["host", "schema", "port"]
RELABELING = {"login": "Client ID", "password": "Client secret"}
PLACEHOLDERS = {
    "login": "1000.… from Zoho's API console, tab Client Secret",
    "password": "beside the client ID in Zoho's API console",
}
