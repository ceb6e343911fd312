"""The base of all operations: something that sends calls, in a known API version."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_zohocrm.client.calls import Call
    from airflow_provider_zohocrm.client.transport import Transport
    from airflow_provider_zohocrm.client.usage import Usage
    from airflow_provider_zohocrm.client.versions import ApiVersion


class ApiBase(ABC):
    """What the groups of operations share."""

    @property
    @abstractmethod
    def transport(self) -> Transport:
        """What sends the calls."""

    @property
    def version(self) -> ApiVersion:
        """The API version in use."""
        return self.transport.credentials.version

    @property
    def usage(self) -> Usage:
        """What has been asked of Zoho so far: calls and API credits."""
        return self.transport.usage

    def path(self, *parts: str) -> str:
        """Build a path of the version in use, e.g. ``/crm/v8/Leads``."""
        return api_path(self.version, *parts)

    def send(self, call: Call) -> dict[str, Any] | None:
        """Send a call and read its answer."""
        return self.transport.send(call)


def api_path(version: ApiVersion, *parts: str) -> str:
    """Build a path of a version, e.g. ``/crm/v8/Leads``."""
    return "/".join(("/crm", version.name, *parts))


def query_params(values: Mapping[str, Any]) -> dict[str, str]:
    """Render query parameters, without those that are None."""
    return {key: _param(value) for key, value in values.items() if value is not None}


def _param(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return str(value)
