"""``X-EXTERNAL``: the value of an external field instead of a record id, in the path and in the body (sheet §3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.simulator.errors import ApiError

if TYPE_CHECKING:
    from airflow_provider_zohocrm.simulator.calls import Call
    from airflow_provider_zohocrm.simulator.modules import Field, Module
    from airflow_provider_zohocrm.simulator.state import State

NOBODY = "1"
"""An id no record has."""


def field_of(call: Call, module: Module) -> Field | None:
    """Read the header.

    :param call: the request.
    :param module: the module of the path.
    :returns: the external field of this module; any unique custom text field can be one.
    :raises ApiError: where the field cannot be external.
    """
    for item in call.headers.get("x-external", "").split(","):
        name, _, field = item.strip().partition(".")
        if name != module.api_name:
            continue
        spec = module.fields.get(field)
        if spec is None or not spec.unique or spec.data_type != "text":
            details = {"header_name": "X-EXTERNAL"}
            raise ApiError(400, "INVALID_DATA", "the external field given seems to be invalid", details)
        return spec
    return None


def id_of(state: State, module: Module, spec: Field, value: Any) -> str:
    """Return the id of the record that has a value in its external field.

    :param state: the simulator.
    :param module: the module.
    :param spec: the field.
    :param value: what was given.
    """
    found = state.store.find(module, spec, value)
    return NOBODY if found is None else str(found)
