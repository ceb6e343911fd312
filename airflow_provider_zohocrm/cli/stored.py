"""Connections in Airflow's own places, seen from a command: database, environment and secrets backends."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from airflow_provider_zohocrm.connection_form import CONNECTION_TYPE
from airflow_provider_zohocrm.exceptions import ZohoConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

ConnectionFields = dict[str, Any]
"""``login``, ``password`` and ``extra``, a dict of texts."""


def as_json(fields: ConnectionFields) -> str:
    """Write a connection as Airflow reads it from ``AIRFLOW_CONN_…`` and ``--conn-json``."""
    return json.dumps({"conn_type": CONNECTION_TYPE, **fields})


def as_uri(fields: ConnectionFields) -> str:
    """Write a connection as Airflow's URI."""
    login, password = quote(fields["login"], safe=""), quote(fields["password"], safe="")
    return f"{CONNECTION_TYPE}://{login}:{password}@/?{urlencode(fields['extra'])}"


def exists(conn_id: str) -> bool:
    """Tell whether the database holds a connection.

    :raises ZohoConfigurationError: if the database cannot be reached.
    """
    with _session() as session:
        return _find(session, conn_id) is not None


def save(conn_id: str, fields: ConnectionFields, description: str) -> None:
    """Write a connection to the database; one that is there is replaced.

    :raises ZohoConfigurationError: if the database cannot be reached.
    """
    from airflow_provider_zohocrm._compat import server_connection

    with _session() as session:
        connection = _find(session, conn_id)
        if connection is None:
            connection = server_connection()(conn_id=conn_id)
            session.add(connection)
        connection.conn_type = CONNECTION_TYPE
        connection.description = description
        connection.login = fields["login"]
        connection.set_password(fields["password"])
        connection.set_extra(json.dumps(fields["extra"]))


def load(conn_id: str) -> tuple[str | None, str | None, dict[str, Any]]:
    """Read a connection from wherever Airflow keeps it.

    :return: login, password and extra.
    :raises ZohoConfigurationError: if there is none.
    """
    try:
        # What Airflow logs on the way is no result. The lookup for tasks would ask the task's supervisor.
        with redirect_stdout(sys.stderr):
            from airflow_provider_zohocrm._compat import server_connection

            found = server_connection().get_connection_from_secrets(conn_id)
    except Exception as error:  # noqa: BLE001  # whatever a secrets backend has
        raise ZohoConfigurationError(
            f"Airflow gives no connection {conn_id!r} here ({type(error).__name__}). Make one: "
            f"python -m airflow_provider_zohocrm connect --conn-id {conn_id}"
        ) from None
    return found.login, found.password, found.extra_dejson


def _find(session: Any, conn_id: str) -> Any:
    from sqlalchemy import select

    from airflow_provider_zohocrm._compat import server_connection

    kind = server_connection()
    return session.scalar(select(kind).where(kind.conn_id == conn_id))


@contextmanager
def _session() -> Iterator[Any]:
    """Open a session; an error's own text may quote what was to be written, and with it the secrets."""
    from sqlalchemy.exc import SQLAlchemyError

    from airflow_provider_zohocrm._compat import server_session

    try:
        with server_session() as session:
            yield session
    except SQLAlchemyError as error:
        raise ZohoConfigurationError(
            f"Airflow's database cannot be used from here ({type(error).__name__}). Run this where the scheduler or the API "
            "server runs, or let the connection be printed: --print json"
        ) from None
