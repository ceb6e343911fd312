"""Modules, fields and the organisation."""

from __future__ import annotations

from typing import Any

from airflow_provider_zohocrm.client.api import ApiBase
from airflow_provider_zohocrm.client.calls import Call, module_name
from airflow_provider_zohocrm.exceptions import ZohoResponseError

# Not in list answers (reference sheet §2.1), so they cannot be asked for there.
_NOT_IN_LISTS = {"subform"}


class MetadataApi(ApiBase):
    """Operations on metadata (reference sheet §2.8)."""

    def get_modules(self) -> list[dict[str, Any]]:
        """Read all modules.

        :return: Zoho's module objects, with ``api_name``, ``id`` and what may be done with each.
        :raises ZohoScopeError: without the scope ``ZohoCRM.settings.modules.READ``.
        """
        return self._settings("modules", {})

    def get_fields(self, module: str) -> list[dict[str, Any]]:
        """Read the fields of a module.

        :param module: API name, e.g. ``Leads``.
        :return: Zoho's field objects, with ``api_name``, ``data_type``, ``json_type``, ``length`` and more.
        :raises ZohoScopeError: without the scope ``ZohoCRM.settings.fields.READ``.
        """
        fields = self._settings("fields", {"module": module_name(module), "type": "all"})
        self._fields_read()[module] = fields
        return fields

    def known_fields(self, module: str) -> list[dict[str, Any]] | None:
        """Return what :meth:`get_fields` read of a module last, or None if it was not asked; makes no call."""
        return self._fields_read().get(module_name(module))

    def _fields_read(self) -> dict[str, list[dict[str, Any]]]:
        # Hooks and clients come to their attributes by different ways.
        read: dict[str, list[dict[str, Any]]] = self.__dict__.setdefault("_fields_by_module", {})
        return read

    def get_organization(self) -> dict[str, Any]:
        """Read the organisation the token belongs to.

        :return: Zoho's organisation object, with ``company_name``, ``zgid`` and ``license_details``.
        :raises ZohoScopeError: without the scope ``ZohoCRM.org.READ``.
        """
        call = Call("GET", self.path("org"))
        answer = self.send(call) or {}
        found = answer.get("org")
        if not isinstance(found, list) or not found:
            raise ZohoResponseError(f"{call}: the answer names no organisation")
        organization: dict[str, Any] = found[0]
        return organization

    def get_credits_remaining(self) -> int | None:
        """Ask how many API credits the organisation has left; costs one itself (reference sheet §6.3).

        :return: the number, or None: Zoho tells it only once half of the credits of 24 hours are used.
        :raises ZohoScopeError: without the scope ``ZohoCRM.org.READ``.
        """
        self.usage.remaining = None
        self.send(Call("GET", self.path("org")))
        return self.usage.remaining

    def list_fields(self, module: str) -> list[str]:
        """Name every field of a module that a list of records can hold.

        :param module: API name, e.g. ``Leads``.
        :return: API names in Zoho's order.
        """
        return listed(self.get_fields(module))

    def all_fields(self, module: str) -> list[str]:
        """Name every field that a single record can hold, subforms among them.

        :param module: API name, e.g. ``Leads``.
        :return: API names in Zoho's order.
        """
        return [field["api_name"] for field in self.get_fields(module)]

    def _settings(self, what: str, params: dict[str, str]) -> list[dict[str, Any]]:
        call = Call("GET", self.path("settings", what), params)
        answer = self.send(call) or {what: []}
        found = answer.get(what)
        if not isinstance(found, list):
            raise ZohoResponseError(f"{call}: the answer holds no list of {what}")
        return found


def listed(fields: list[dict[str, Any]]) -> list[str]:
    """Name the fields that a list of records can hold, out of all of a module's."""
    return [field["api_name"] for field in fields if field.get("data_type") not in _NOT_IN_LISTS]
