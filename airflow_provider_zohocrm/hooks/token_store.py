"""Token stores that processes share."""

from __future__ import annotations

import json
import logging
import os
import tempfile
from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_zohocrm._compat import read_variable, write_variable
from airflow_provider_zohocrm.client.oauth import Token
from airflow_provider_zohocrm.client.sealing import seal, unseal
from airflow_provider_zohocrm.client.tokens import PROCESS_TOKENS

if TYPE_CHECKING:
    from airflow_provider_zohocrm.client.credentials import ZohoCredentials
    from airflow_provider_zohocrm.client.tokens import TokenStore

log = logging.getLogger(__name__)


class SharedTokenStore(ABC):
    """Keeps tokens as text somewhere that other processes reach; in memory, with one warning, while it cannot."""

    where = ""
    _warned = False

    def load(self, key: str) -> Token | None:
        """Return the token last saved under a key."""
        try:
            text = self.read(key)
        except Exception as error:  # noqa: BLE001  # whatever the store has: a token can always be minted
            self._warn(error)
            text = None
        return _token(text) or PROCESS_TOKENS.load(key)

    def save(self, key: str, token: Token) -> None:
        """Keep a token under a key."""
        PROCESS_TOKENS.save(key, token)
        try:
            self.write(key, json.dumps(asdict(token)))
        except Exception as error:  # noqa: BLE001  # as above
            self._warn(error)

    @abstractmethod
    def read(self, key: str) -> str | None:
        """Read the text under a key."""

    @abstractmethod
    def write(self, key: str, text: str) -> None:
        """Write the text under a key."""

    @classmethod
    def _warn(cls, error: Exception) -> None:
        if not cls._warned:
            cls._warned = True
            # The error's text may quote the statement that failed, and with it the token.
            log.warning(
                "Zoho's access token cannot be shared through %s (%s); this process keeps its own. "
                "Zoho mints 10 tokens in 10 minutes for all processes together.",
                cls.where,
                type(error).__name__,
            )


class VariableTokenStore(SharedTokenStore):
    """Keeps tokens in Airflow Variables, which workers and triggerers reach alike.

    They are encrypted beforehand: Airflow 3 shows the value of a Variable that is written in the log of the scheduler at
    level DEBUG, and exports Variables in clear.

    :param credentials: whose secrets make the key.
    """

    where = "an Airflow Variable"

    def __init__(self, credentials: ZohoCredentials) -> None:
        self._credentials = credentials

    def read(self, key: str) -> str | None:
        """Read the Variable of a key."""
        text = read_variable(_name(key))
        return None if text is None else unseal(text, self._credentials)

    def write(self, key: str, text: str) -> None:
        """Write the Variable of a key."""
        sealed = seal(text, self._credentials)
        write_variable(_name(key), sealed, "Access token of Zoho CRM; made anew when it is missing.")


class FileTokenStore(SharedTokenStore):
    """Keeps tokens in files that only this user of this host can read."""

    where = "a file"

    def read(self, key: str) -> str | None:
        """Read the file of a key."""
        path = self._folder() / _name(key)
        return path.read_text() if path.exists() else None

    def write(self, key: str, text: str) -> None:
        """Write the file of a key, whole or not at all."""
        folder = self._folder()
        with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as file:  # made with mode 0600
            file.write(text)
        Path(file.name).replace(folder / _name(key))

    @staticmethod
    def _folder() -> Path:
        folder = Path(tempfile.gettempdir()) / f"airflow_provider_zohocrm-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
        if status.st_uid != os.getuid() or status.st_mode & 0o077:
            raise PermissionError(f"{folder} belongs to, or can be read by, somebody else")
        return folder


def token_store(credentials: ZohoCredentials) -> TokenStore:
    """Return the store that the connection names: ``variable``, ``file`` or ``memory``."""
    made = {"variable": lambda: VariableTokenStore(credentials), "file": FileTokenStore}
    return made.get(credentials.token_store, lambda: PROCESS_TOKENS)()


def _name(key: str) -> str:
    # Airflow masks the value of a Variable whose name holds "token".
    return f"zohocrm_token_{key}"


def _token(text: str | None) -> Token | None:
    try:
        fields = json.loads(text or "null")
        return Token(
            str(fields["value"]),
            str(fields["api_domain"]),
            float(fields["expires_at"]),
            float(fields["life"]),
        )
    except (ValueError, TypeError, KeyError):
        return None
