"""Token stores that processes share, and which of them is used."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_provider_zohocrm._compat import configured, fernet, read_variable, write_variable
from airflow_provider_zohocrm.client.credentials import TOKEN_STORES, is_token_store
from airflow_provider_zohocrm.client.sealing import seal, unseal
from airflow_provider_zohocrm.client.tokens import PROCESS_TOKENS
from airflow_provider_zohocrm.exceptions import ZohoConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_zohocrm.client.credentials import ZohoCredentials
    from airflow_provider_zohocrm.client.tokens import TokenStore


class VariableTokenStore:
    """Keeps texts in Airflow Variables, which workers and triggerers reach alike.

    They are encrypted beforehand: Airflow 3 shows the value of a Variable that is written in the log of the scheduler at
    level DEBUG, and exports Variables in clear.

    :param credentials: whose secrets make the key.
    """

    def __init__(self, credentials: ZohoCredentials) -> None:
        self._credentials = credentials

    def read(self, name: str) -> str | None:
        """Return the text in the Variable of a name; None too if it was encrypted with other secrets."""
        text = read_variable(name)
        return None if text is None else unseal(text, self._credentials)

    def write(self, name: str, text: str) -> None:
        """Write the Variable of a name."""
        sealed = seal(text, self._credentials)
        write_variable(name, sealed, "Access token of Zoho CRM; made anew when it is missing.")


class FileTokenStore:
    """Keeps texts in files that only this user of this host can read, encrypted if Airflow has a Fernet key.

    :param folder: where; it is made if it is missing. By default what ``[zohocrm] token_folder`` says, else a folder
        of this user below the temporary one.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        named = folder or configured("token_folder")
        self._folder = (
            Path(named) if named else Path(tempfile.gettempdir(), f"airflow_provider_zohocrm-{os.getuid()}")
        )

    def read(self, name: str) -> str | None:
        """Return the text in the file of a name; None too if it was encrypted with a key that is gone."""
        from cryptography.fernet import InvalidToken

        try:
            content = (self._own_folder() / name).read_bytes()
        except FileNotFoundError:
            return None
        try:
            return bytes(fernet().decrypt(content)).decode()
        except (InvalidToken, UnicodeDecodeError):
            return None

    def write(self, name: str, text: str) -> None:
        """Write the file of a name, whole or not at all."""
        with self._locked(name) as folder:
            self._put(folder, name, text)

    def swap(self, name: str, old: str | None, new: str) -> bool:
        """Write the file of a name if it still holds another text."""
        with self._locked(name) as folder:
            if self.read(name) != old:
                return False
            self._put(folder, name, new)
            return True

    @staticmethod
    def _put(folder: Path, name: str, text: str) -> None:
        with tempfile.NamedTemporaryFile(dir=folder, delete=False) as file:  # made with mode 0600
            try:
                file.write(fernet().encrypt(text.encode()))
                file.flush()
                Path(file.name).replace(folder / name)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise

    @contextmanager
    def _locked(self, name: str) -> Iterator[Path]:
        import fcntl

        folder = self._own_folder()
        lock = os.open(folder / f"{name}.lock", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
        finally:
            os.close(lock)

    def _own_folder(self) -> Path:
        folder = self._folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
        if status.st_uid != os.getuid() or status.st_mode & 0o077:
            raise PermissionError(f"{folder} belongs to, or can be read by, somebody else")
        return folder


class UnavailableTokenStore:
    """Stands for a store that could not be opened, whose tokens the process then keeps to itself.

    :param reason: why.
    """

    def __init__(self, reason: Exception) -> None:
        self._reason = reason

    def read(self, name: str) -> str | None:  # noqa: ARG002  # as all stores
        """Say that there is no store."""
        raise self._reason

    def write(self, name: str, text: str) -> None:  # noqa: ARG002  # as all stores
        """Say that there is no store."""
        raise self._reason


def token_store(credentials: ZohoCredentials) -> TokenStore:
    """Return the store that a connection names, or else ``[zohocrm] token_store`` in Airflow's configuration.

    It may block: one of the user's own is imported and opened.

    :param credentials: those of the connection.
    :raises ZohoConfigurationError: if there is no such store.
    """
    chosen = credentials.token_store or configured("token_store") or "variable"
    if not is_token_store(chosen):
        raise ZohoConfigurationError(
            f"[zohocrm] token_store in Airflow's configuration is {chosen!r}; it must be one of "
            f"{', '.join(TOKEN_STORES)}, or the dotted path of a class"
        )
    if chosen == "variable":
        return VariableTokenStore(credentials)
    if chosen == "file":
        return FileTokenStore()
    if chosen == "memory":
        return PROCESS_TOKENS
    kind = _own_class(chosen)
    try:
        return _opened(kind)
    except Exception as error:  # noqa: BLE001  # whatever it has: a token can always be minted
        return UnavailableTokenStore(error)


@cache
def _opened(kind: type[TokenStore]) -> TokenStore:
    return kind()


def _own_class(path: str) -> type[TokenStore]:
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ZohoConfigurationError(
            f"Token store {path!r} cannot be imported ({error}). It must be the dotted path of a class that is "
            "installed, or in the plugins folder, wherever tasks and triggers run."
        ) from error
    # Whoever may edit connections names it: nothing but a token store is called.
    if not (isinstance(found, type) and callable(getattr(found, "read", None)) and hasattr(found, "write")):
        raise ZohoConfigurationError(
            f"Token store {path!r} is no class with the methods read(name) and write(name, text)"
        )
    kind: type[TokenStore] = found
    return kind
