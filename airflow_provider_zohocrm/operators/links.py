"""Links from a task to the web pages of Zoho CRM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm._compat import BaseOperatorLink, read_xcom

if TYPE_CHECKING:
    from airflow_provider_zohocrm._compat import BaseOperator

PAGES = "zohocrm_pages"
"""XCom with the addresses: ``{"module": ..., "record": ...}``.

Airflow 2 makes links in the web server, which knows of the task no more than its XComs; later ones make them in the
worker each time it lets go of the task.
"""


class ZohoModuleLink(BaseOperatorLink):
    """The list view of the module, in the Zoho CRM of the connection's data centre."""

    @property
    def name(self) -> str:
        """What stands on the button."""
        return "Zoho CRM module"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:  # noqa: ARG002  # as Airflow calls it
        """Return the address, empty where the task did not get as far."""
        return _page(ti_key, "module")


class ZohoRecordLink(BaseOperatorLink):
    """The record, where a task is about one."""

    @property
    def name(self) -> str:
        """What stands on the button."""
        return "Zoho CRM record"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:  # noqa: ARG002  # as Airflow calls it
        """Return the address, empty where there is not one record."""
        return _page(ti_key, "record")


def _page(ti_key: Any, which: str) -> str:
    pages = read_xcom(ti_key, PAGES)
    return str(pages.get(which) or "") if isinstance(pages, dict) else ""
