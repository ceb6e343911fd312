"""What a task keeps from one try to the next, where Airflow has a place for that (3.3 and newer)."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import zlib
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm._compat import task_state_store
from airflow_provider_zohocrm.exceptions import ZohoStorageError
from airflow_provider_zohocrm.operators.usage import XCOM_KEY, current_account

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_zohocrm._compat import Context
    from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook

log = logging.getLogger(__name__)

# Airflow warns above 65,535 bytes; some room is for what it wraps around the value.
_LARGE = 64_000


class Checkpoint:
    """A plain JSON value under one key of Airflow's task state store; does nothing where there is no store.

    What the task has used of Zoho's quotas is kept beside it.

    Airflow keeps the store over retries and also over "Clear", which means "run again" to its users. A task that is
    cleared gets a new ``max_tries`` (``clear_task_instances`` sets it to the tries so far plus the retries), so a value
    that was kept under another one is not used.

    :param context: the task's context.
    :param key: the key.
    :param fingerprint: of everything that decides the result, see :func:`fingerprint`.
    :param enabled: False to do nothing.
    """

    def __init__(self, context: Context, key: str, fingerprint: str, *, enabled: bool = True) -> None:
        self._store = task_state_store(context) if enabled else None
        self._key = key
        self._fingerprint = fingerprint
        self._max_tries = getattr(context.get("ti"), "max_tries", None)

    @property
    def works(self) -> bool:
        """Whether there is a place to keep anything."""
        return self._store is not None

    def load(self, *, vital: bool = False) -> dict[str, Any] | None:
        """Return what an earlier try of this run of the task has kept, or None.

        :param vital: whether to begin again would do harm, so that it must be known that nothing was kept.
        :raises ZohoStorageError: if it is vital and cannot be read.
        """
        if self._store is None:
            return None
        try:
            kept = self._store.get(self._key)
        except Exception as error:  # whatever Airflow has: the task can run without
            if vital:
                raise ZohoStorageError(
                    "The checkpoint cannot be read, so what the try before has inserted is not known, and nothing is sent. "
                    f"A retry will see: {error}"
                ) from error
            log.warning("The checkpoint cannot be read, starting from the beginning: %s", error)
            return None
        if not isinstance(kept, dict):
            return None
        if kept.get("max_tries") != self._max_tries:
            log.info("The task was cleared: starting from the beginning")
        else:
            if (account := current_account.get()) is not None:
                account.resume(kept.get(XCOM_KEY))
            if kept.get("fingerprint") == self._fingerprint:
                value: dict[str, Any] = _unpacked(kept)
                return value
            log.info("The task was changed since its last try: starting from the beginning")
        self.delete()
        return None

    def save(self, value: Mapping[str, Any]) -> bool:
        """Keep a value for further tries.

        :return: False if there is a place for it, but it could not be kept.
        """
        if self._store is None:
            return True
        kept = {"fingerprint": self._fingerprint, "max_tries": self._max_tries, **_packed(value)}
        if (account := current_account.get()) is not None:
            kept[XCOM_KEY] = dict(account.total)
        try:
            self._store.set(self._key, kept)
        except Exception as error:  # noqa: BLE001  # as above
            log.warning(
                "The checkpoint cannot be kept; a further try will begin before this point: %s", error
            )
            return False
        return True

    def delete(self) -> None:
        """Forget the value."""
        if self._store is None:
            return
        try:
            self._store.delete(self._key)
        except Exception as error:  # noqa: BLE001  # as above
            log.warning("The checkpoint cannot be deleted: %s", error)


def fingerprint(**parts: Any) -> str:
    """Compute one text from everything that decides a result; equal parts give equal texts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def organisation(hook: ZohoCRMHook) -> list[str | None]:
    """Tell which organisation a hook speaks to, without a secret and without a call."""
    credentials = hook.transport.credentials
    return [credentials.client_id, credentials.data_center, credentials.environment, credentials.soid]


def _packed(value: Mapping[str, Any]) -> dict[str, Any]:
    """Render a value; readable as long as it is not large."""
    text = json.dumps(value, separators=(",", ":")).encode()
    if len(text) <= _LARGE:
        return {"value": dict(value)}
    return {"packed": base64.b85encode(zlib.compress(text, 9)).decode()}


def _unpacked(kept: Mapping[str, Any]) -> Any:
    if "packed" in kept:
        return json.loads(zlib.decompress(base64.b85decode(kept["packed"])))
    return kept["value"]
