"""The only file that knows which Airflow is installed: names that moved, and what only newer releases have."""

from __future__ import annotations

from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf

if TYPE_CHECKING:  # checkers see the newest Airflow only
    from contextlib import AbstractContextManager

    from airflow.sdk import (
        BaseHook,
        BaseNotifier,
        BaseOperator,
        BaseSensorOperator,
        Connection,
        Context,
        ObjectStoragePath,
        PokeReturnValue,
        Variable,
    )
    from airflow.sdk.log import mask_secret as _mask_secret
    from airflow.triggers.base import BaseTrigger, TriggerEvent
else:
    try:
        from airflow.sdk import BaseHook  # 3.1
    except ImportError:
        from airflow.hooks.base import BaseHook
    try:
        from airflow.sdk import BaseOperator, Connection, Context, Variable  # 3.0
        from airflow.sdk.log import mask_secret as _mask_secret
    except ImportError:
        from airflow.models import BaseOperator, Connection, Variable
        from airflow.utils.context import Context
        from airflow.utils.log.secrets_masker import mask_secret as _mask_secret

__all__ = [
    "BaseHook",
    "BaseNotifier",
    "BaseOperator",
    "BaseSensorOperator",
    "BaseTrigger",
    "Connection",
    "Context",
    "PokeReturnValue",
    "TriggerEvent",
    "async_connection",
    "async_mask_secret",
    "default_deferrable",
    "mask_secret",
    "object_storage_path",
    "read_variable",
    "sensor_timeout",
    "server_connection",
    "server_session",
    "skip_exception",
    "sync_to_async",
    "task_state_store",
    "write_variable",
]

# Airflow 2 names the parameter for a missing Variable differently.
_NO_VARIABLE: dict[str, Any] = {
    "default" if "default" in signature(Variable.get).parameters else "default_var": None
}


# Where names are that not every DAG file needs, in Airflow 3 and 2.
_LAZY = {
    "BaseNotifier": ("airflow.sdk", "airflow.notifications.basenotifier"),
    "BaseSensorOperator": ("airflow.sdk", "airflow.sensors.base"),
    "BaseTrigger": ("airflow.triggers.base", "airflow.triggers.base"),
    "PokeReturnValue": ("airflow.sdk", "airflow.sensors.base"),
    "TriggerEvent": ("airflow.triggers.base", "airflow.triggers.base"),
}


def __getattr__(name: str) -> Any:
    """Import what only triggers, sensors and notifiers need when they need it: DAG files are parsed all day."""
    if name in _LAZY:
        home, older = _LAZY[name]
        try:
            return getattr(import_module(home), name)
        except ImportError:
            return getattr(import_module(older), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def default_deferrable() -> bool:
    """Tell whether operators wait in the triggerer unless told otherwise (``[operators] default_deferrable``)."""
    return bool(conf.getboolean("operators", "default_deferrable", fallback=False))


def mask_secret(secret: str) -> None:
    """Have Airflow replace a secret by ``***`` in all logs of this task; an empty one is ignored."""
    if secret:
        _mask_secret(secret)


async def async_mask_secret(secret: str) -> None:
    """Do what :func:`mask_secret` does, from the event loop of the triggerer."""
    try:
        from airflow.sdk.log import amask_secret  # 3.3
    except ImportError:
        await sync_to_async(mask_secret, secret)
    else:
        if secret:
            await amask_secret(secret)


def _exception(name: str, message: str) -> Exception:
    try:
        module = import_module("airflow.sdk.exceptions")
        kind = getattr(module, name)  # 3.2
    except (ImportError, AttributeError):
        kind = getattr(import_module("airflow.exceptions"), name)
    error: Exception = kind(message)
    return error


def skip_exception(message: str) -> Exception:
    """Make what marks a task as skipped when it is raised."""
    return _exception("AirflowSkipException", message)


def sensor_timeout(message: str) -> Exception:
    """Make what a sensor raises whose condition did not come true in time."""
    return _exception("AirflowSensorTimeout", message)


def object_storage_path(uri: str) -> ObjectStoragePath:
    """Make a path on object storage; its import is slow, and nothing that only parses or polls needs it."""
    home = "airflow.sdk" if Connection.__module__.startswith("airflow.sdk") else "airflow.io.path"
    path: ObjectStoragePath = import_module(home).ObjectStoragePath(uri)
    return path


def task_state_store(context: Context) -> Any:
    """Return what keeps JSON values of a task instance over its tries (``get, set, delete``), or None before 3.3."""
    return context.get("task_state_store")


def read_variable(key: str) -> str | None:
    """Read an Airflow Variable, or None if there is none."""
    value = Variable.get(key, **_NO_VARIABLE)
    return None if value is None else str(value)


def write_variable(key: str, value: str, description: str) -> None:
    """Write an Airflow Variable, which Airflow encrypts with its Fernet key."""
    Variable.set(key, value, description=description)


def server_connection() -> Any:
    """Return the class of connections of Airflow's servers and commands, which a task must not use."""
    return import_module("airflow.models").Connection


def server_session() -> AbstractContextManager[Any]:
    """Open a session of Airflow's database, which is committed at the end; for commands only."""
    session: AbstractContextManager[Any] = import_module("airflow.utils.session").create_session()
    return session


async def sync_to_async(function: Any, /, *args: Any) -> Any:
    """Run a blocking Airflow call in the thread from which Airflow can get back to its event loop."""
    from asgiref.sync import sync_to_async as in_thread

    return await in_thread(function)(*args)


async def async_connection(conn_id: str) -> tuple[Connection, dict[str, Any]]:
    """Fetch a connection and its extra without blocking the event loop.

    Only releases with ``aextra_dejson`` (3.3.2) fetch and mask natively without the risk of a dead-lock; on all
    others both happen in one call in a thread.

    :param conn_id: the connection's id.
    :return: the connection and its decoded extra.
    """
    if hasattr(Connection, "aextra_dejson"):
        connection = await BaseHook.aget_connection(conn_id)
        return connection, await connection.aextra_dejson()

    def fetch() -> tuple[Connection, dict[str, Any]]:
        connection = BaseHook.get_connection(conn_id)
        return connection, connection.extra_dejson

    result: tuple[Connection, dict[str, Any]] = await sync_to_async(fetch)
    return result
