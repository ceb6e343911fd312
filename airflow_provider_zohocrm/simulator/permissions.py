"""Modules that the profile of the user has no right to (sheet §7, §10.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_zohocrm.simulator.errors import ApiError

if TYPE_CHECKING:
    from airflow_provider_zohocrm.simulator.modules import Module
    from airflow_provider_zohocrm.simulator.options import Options

_RIGHTS = {"POST": "Create", "PUT": "Edit", "DELETE": "Delete"}


def check(options: Options, module: Module | None, method: str = "GET", *, status: int = 403) -> None:
    """Refuse a module of the option ``forbidden_modules``.

    :param options: the switches.
    :param module: the module of the call, ``None`` where it has none.
    :param method: verb, from which the missing right follows.
    :param status: 403; 400 on settings/fields (SEEN).
    :raises ApiError: NO_PERMISSION.
    """
    forbidden = {name.strip().lower() for name in options.forbidden_modules.split(",")}
    if module is not None and module.parent is not None:
        module = module.parent
    if module is not None and module.api_name.lower() in forbidden:
        right = f"Crm_Implied_{_RIGHTS.get(method, 'View')}_{module.api_name}"
        raise ApiError(status, "NO_PERMISSION", "Permission denied", {"permissions": [right]})
