"""The only file that knows which Airflow is installed: names that moved, and what only newer releases have."""

from __future__ import annotations

import logging
from importlib import import_module
from inspect import signature
from typing import TYPE_CHECKING, Any

from airflow.configuration import conf

if TYPE_CHECKING:  # checkers see the newest Airflow only
    from collections.abc import Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime, timedelta

    from airflow.sdk import (
        Asset,
        AssetAlias,
        BaseHook,
        BaseNotifier,
        BaseOperator,
        BaseOperatorLink,
        BaseSensorOperator,
        Connection,
        Context,
        ObjectStoragePath,
        PokeReturnValue,
        RetryPolicy,
    )
    from airflow.triggers.base import BaseEventTrigger, BaseTrigger, TriggerEvent
    from airflow.triggers.shared_stream import SharedStreamProducer

__all__ = [
    "Asset",
    "AssetAlias",
    "BaseEventTrigger",
    "BaseHook",
    "BaseNotifier",
    "BaseOperator",
    "BaseOperatorLink",
    "BaseSensorOperator",
    "BaseTrigger",
    "Connection",
    "Context",
    "PokeReturnValue",
    "RetryPolicy",
    "SharedStreamProducer",
    "TriggerEvent",
    "airflow_asks_retry_policies",
    "airflow_retry_decision",
    "asset",
    "asset_alias",
    "asset_event",
    "asset_state_store",
    "asset_state_stores",
    "async_connection",
    "async_mask_secret",
    "configured",
    "count_metric",
    "default_deferrable",
    "fail_exception",
    "fernet",
    "is_asset",
    "is_unknown_alias",
    "lineage_class",
    "made_of_mapped",
    "mask_secret",
    "newest_asset_event",
    "object_storage_path",
    "read_asset_state",
    "read_variable",
    "read_xcom",
    "sensor_timeout",
    "server_connection",
    "server_session",
    "skip_exception",
    "sync_to_async",
    "task_state_store",
    "write_asset_state",
    "write_variable",
]

log = logging.getLogger(__name__)

# Where classes are, in Airflow 3 and 2. All are imported when they are asked for: DAG files are parsed all day, and
# the triggerer imports triggers in its event loop.
_CLASSES = {
    "BaseHook": ("airflow.sdk", "airflow.hooks.base"),  # 3.1
    "BaseNotifier": ("airflow.sdk", "airflow.notifications.basenotifier"),
    "BaseOperator": ("airflow.sdk", "airflow.models"),
    "BaseOperatorLink": ("airflow.sdk", "airflow.models"),
    "BaseSensorOperator": ("airflow.sdk", "airflow.sensors.base"),
    "BaseTrigger": ("airflow.triggers.base", "airflow.triggers.base"),
    "Connection": ("airflow.sdk", "airflow.models"),
    "Context": ("airflow.sdk", "airflow.utils.context"),
    "ObjectStoragePath": ("airflow.sdk", "airflow.io.path"),
    "PokeReturnValue": ("airflow.sdk", "airflow.sensors.base"),
    "TriggerEvent": ("airflow.triggers.base", "airflow.triggers.base"),
    "Variable": ("airflow.sdk", "airflow.models"),
}


def __getattr__(name: str) -> Any:
    """Import a class of Airflow when it is asked for."""
    found = globals()[name] = _airflow(name)
    return found


def _airflow(name: str) -> Any:
    if name in _CLASSES:
        return _moved(name, *_CLASSES[name])
    if name == "RetryPolicy":  # 3.3
        return getattr(_sdk(), name, object)
    if name == "BaseEventTrigger":  # 3.0; before that there are no watchers
        base = import_module("airflow.triggers.base")
        return getattr(base, name, base.BaseTrigger)
    if name == "SharedStreamProducer":  # 3.3
        try:
            return import_module("airflow.triggers.shared_stream").SharedStreamProducer
        except ImportError:
            return object
    if name in ("Asset", "AssetAlias"):
        return _asset_classes()[name == "AssetAlias"]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _moved(name: str, home: str, older: str) -> Any:
    try:
        return getattr(import_module(home), name)
    except (ImportError, AttributeError):
        return getattr(import_module(older), name)


def _sdk() -> Any:
    """Return ``airflow.sdk`` (3.0 and newer), or None."""
    try:
        return import_module("airflow.sdk")
    except ImportError:
        return None


def default_deferrable() -> bool:
    """Tell whether operators wait in the triggerer unless told otherwise (``[operators] default_deferrable``)."""
    return bool(conf.getboolean("operators", "default_deferrable", fallback=False))


def configured(option: str) -> str:
    """Return an option of the section ``[zohocrm]`` of Airflow's configuration; empty if it is not set."""
    return str(conf.get("zohocrm", option, fallback="") or "").strip()


def fernet() -> Any:
    """Return what Airflow encrypts with (``encrypt``, ``decrypt``); without a Fernet key it leaves bytes as they are."""
    from airflow.models.crypto import get_fernet

    return get_fernet()


def mask_secret(secret: str) -> None:
    """Have Airflow replace a secret by ``***`` in all logs of this task; an empty one is ignored."""
    if secret:
        _moved("mask_secret", "airflow.sdk.log", "airflow.utils.log.secrets_masker")(secret)


async def async_mask_secret(secret: str) -> None:
    """Do what :func:`mask_secret` does, from the event loop of the triggerer."""
    try:
        from airflow.sdk.log import amask_secret  # 3.3
    except ImportError:
        await sync_to_async(mask_secret, secret)
    else:
        if secret:
            await amask_secret(secret)


def airflow_asks_retry_policies() -> bool:
    """Tell whether Airflow knows ``retry_policy`` itself (3.3 and newer)."""
    return hasattr(_sdk(), "RetryPolicy")


def airflow_retry_decision(action: str, delay: timedelta | None, reason: str | None) -> Any:
    """Make the ``RetryDecision`` that Airflow's retry policies return (3.3 and newer).

    :param action: ``fail``, ``retry`` or ``default``.
    """
    sdk = import_module("airflow.sdk")
    return sdk.RetryDecision(sdk.RetryAction(action), delay, reason)


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


def fail_exception(message: str) -> Exception:
    """Make what fails a task without further tries when it is raised."""
    return _exception("AirflowFailException", message)


def count_metric(name: str, count: int, tags: Mapping[str, str]) -> None:
    """Add to a counter of Airflow's metrics; that there are none, or that they cannot be sent, is no failure."""
    try:
        try:
            stats: Any = import_module("airflow.sdk.observability.stats")  # 3.2
        except ImportError:
            stats = import_module("airflow.stats").Stats
        stats.incr(name, count=count, tags=dict(tags))
    except Exception as error:  # noqa: BLE001  # whatever sends them: a task is not for its metrics
        log.debug("Metric %s was not sent: %s", name, error)


def sensor_timeout(message: str) -> Exception:
    """Make what a sensor raises whose condition did not come true in time."""
    return _exception("AirflowSensorTimeout", message)


def object_storage_path(uri: str) -> ObjectStoragePath:
    """Make a path on object storage; its import is slow, and nothing that only parses or polls needs it."""
    path: ObjectStoragePath = _airflow("ObjectStoragePath")(uri)
    return path


def task_state_store(context: Context) -> Any:
    """Return what keeps JSON values of a task instance over its tries (``get, set, delete``), or None before 3.3."""
    return context.get("task_state_store")


def asset_state_stores(accessors: Any) -> list[Any]:
    """Return what keeps JSON values for each asset of a trigger (3.3); none before that.

    :param accessors: what Airflow gave the trigger; by itself it serves one asset only, and does not tell which there are.
    """
    if accessors is None:
        return []
    each = [getattr(accessors, name, {}) for name in ("_by_name", "_by_uri")]
    return [store for stores in each for store in stores.values()] or [accessors]


async def read_asset_state(store: Any, key: str) -> Any:
    """Read a JSON value that Airflow keeps for an asset (3.3), or None."""
    if hasattr(store, "aget"):  # 3.3.2
        return await store.aget(key)
    return await sync_to_async(store.get, key)


async def write_asset_state(store: Any, key: str, value: Any) -> None:
    """Have Airflow keep a JSON value for an asset (3.3)."""
    if hasattr(store, "aset"):  # 3.3.2
        await store.aset(key, value)
    else:
        await sync_to_async(store.set, key, value)


def read_xcom(ti_key: Any, key: str) -> Any:
    """Read what a task instance has pushed, in the worker (3.0 and newer) or the web server (2.11); None if nothing."""
    xcom = _moved("XCom", "airflow.sdk.execution_time.xcom", "airflow.models.xcom")
    return xcom.get_value(ti_key=ti_key, key=key)


def asset(uri: str, extra: dict[str, Any] | None = None) -> Asset:
    """Make an asset, which Airflow 2 calls a dataset; its name is its URI."""
    made: Asset = _asset_classes()[0](uri=uri, extra=extra)
    return made


def asset_alias(name: str) -> AssetAlias:
    """Make an alias, whose assets become known when its task runs."""
    made: AssetAlias = _asset_classes()[1](name)
    return made


def is_asset(value: Any) -> bool:
    """Tell whether an inlet or outlet is an asset, and no alias or reference."""
    return isinstance(value, _asset_classes()[0])


def is_unknown_alias(outlet: Any) -> bool:
    """Tell whether an outlet is an alias that Airflow 2 has read from no DAG; an event of it would fail the task.

    It reads those of a mapped task only where they were given to ``partial``. Later versions make an alias when they are told of it.
    """
    alias_class = _asset_classes()[1]
    if not isinstance(outlet, alias_class) or alias_class.__name__ != "DatasetAlias":
        return False
    model = import_module("airflow.models.dataset").DatasetAliasModel
    with import_module("airflow.utils.session").create_session() as session:
        return session.query(model.name).filter_by(name=outlet.name).first() is None


def asset_event(context: Context, outlet: Any, uri: str | None, extra: Mapping[str, Any]) -> None:
    """Have the event of an outlet carry an extra.

    :param context: the task's context.
    :param outlet: one of the task's: an asset, an alias, or a reference to an asset; anything else is left alone.
    :param uri: the asset that has changed, for an alias.
    :param extra: texts and numbers only: up to 3.0 the event of an alias takes no list or dict.
    """
    events: Any = context.get("outlet_events")
    if events is None:
        return
    if isinstance(outlet, _asset_classes()[1]):
        if uri is not None:
            events[outlet].add(asset(uri), extra=dict(extra))
    elif is_asset(outlet) or type(outlet).__name__ in ("AssetNameRef", "AssetUriRef"):
        events[outlet].extra = {**events[outlet].extra, **extra}


def newest_asset_event(context: Context) -> datetime | None:
    """Tell when the newest of the asset events was that started this run, or None if none did.

    Airflow 3.0 does not tell those of an alias; they were before the run began.
    """
    events: Any = context.get("triggering_asset_events") or context.get("triggering_dataset_events") or {}
    times = [event.timestamp for of_one in events.values() for event in of_one]
    run: Any = context.get("dag_run")
    if not times and getattr(run, "run_type", None) in ("asset_triggered", "dataset_triggered"):
        times.append(run.start_date)
    return max(times, default=None)


def made_of_mapped(operator: Any) -> bool:
    """Tell whether an operator is one copy of a mapped one, made when it runs."""
    return bool(getattr(operator, "_BaseOperator__from_mapped", False))


def lineage_class() -> Any:
    """Import what Airflow's OpenLineage provider takes from operators; it is there where it asks."""
    return import_module("airflow.providers.openlineage.extractors").OperatorLineage


def asset_state_store(context: Context, outlet: Any) -> Any:
    """Return what keeps JSON values of an asset over runs (``get, set, delete``), or None before 3.3.

    Airflow knows of a mapped task's assets only if they were given to ``partial``: its outlets have no such place here.
    """
    stores: Any = context.get("asset_state_store")
    if (
        stores is None
        or not is_asset(outlet)
        or getattr(context.get("ti"), "map_index", -1) not in (None, -1)
    ):
        return None
    return stores[outlet]


def read_variable(key: str) -> str | None:
    """Read an Airflow Variable, or None if there is none."""
    get = _airflow("Variable").get
    # Airflow 2 names the parameter for a missing one differently.
    value = get(key, **{"default" if "default" in signature(get).parameters else "default_var": None})
    return None if value is None else str(value)


def write_variable(key: str, value: str, description: str) -> None:
    """Write an Airflow Variable, which Airflow encrypts with its Fernet key."""
    _airflow("Variable").set(key, value, description=description)


def server_connection() -> Any:
    """Return the class of connections of Airflow's servers and commands, which a task must not use."""
    return import_module("airflow.models").Connection


def server_session() -> AbstractContextManager[Any]:
    """Open a session of Airflow's database, which is committed at the end; for commands only."""
    session: AbstractContextManager[Any] = import_module("airflow.utils.session").create_session()
    return session


def _asset_classes() -> tuple[Any, Any]:
    """Import what only operators with files or records need."""
    sdk = _sdk()
    if sdk is not None:
        return sdk.Asset, sdk.AssetAlias
    datasets = import_module("airflow.datasets")
    return datasets.Dataset, datasets.DatasetAlias


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
    hook: type[BaseHook] = _airflow("BaseHook")
    if hasattr(_airflow("Connection"), "aextra_dejson"):
        connection = await hook.aget_connection(conn_id)
        return connection, await connection.aextra_dejson()

    def fetch() -> tuple[Connection, dict[str, Any]]:
        connection = hook.get_connection(conn_id)
        return connection, connection.extra_dejson

    result: tuple[Connection, dict[str, Any]] = await sync_to_async(fetch)
    return result
