"""Addresses of Zoho CRM's web pages, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from airflow_provider_zohocrm.client.hosts import DATA_CENTERS, data_center_of

if TYPE_CHECKING:
    from airflow_provider_zohocrm.client.credentials import ZohoCredentials

# What the pages of a standard module are called where it is not its API name.
_TABS = {"Deals": "Potentials"}


def module_page(credentials: ZohoCredentials, module: str, record_id: str | None = None) -> str:
    """Name the page of a module's list view, or of one of its records.

    The host is the accounts host with ``crm`` in place of ``accounts``, or ``crmsandbox``; no page of Zoho's documents
    this, it is what its users' addresses look like. Without an organisation Zoho opens the user's default one.

    :param credentials: the connection.
    :param module: API name.
    :param record_id: id of a record.
    :return: e.g. ``https://crm.zoho.eu/crm/org20012345/tab/Leads/5725767000000524157``.
    """
    center = (
        data_center_of(urlsplit(credentials.api_url).hostname or "") or DATA_CENTERS[credentials.data_center]
    )
    host = "crmsandbox" if credentials.environment == "sandbox" else "crm"
    domain = center.accounts.removeprefix("accounts")
    parts = ["crm", credentials.organisation, "tab", _TABS.get(module, module), record_id]
    return f"https://{host}{domain}/" + "/".join(quote(part, safe="") for part in parts if part)
