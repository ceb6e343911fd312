"""Where tokens are kept, so that callers with the same credentials share one."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from airflow_provider_zohocrm.client.oauth import Token


class TokenStore(Protocol):
    """Keeps tokens by the key of their credentials. A store that loses one costs a new token, nothing else."""

    def load(self, key: str) -> Token | None:
        """Return the token last saved under a key, fresh or not, or None."""

    def save(self, key: str, token: Token) -> None:
        """Keep a token under a key."""


class MemoryTokenStore:
    """Keeps tokens for as long as the process lives."""

    def __init__(self) -> None:
        self._tokens: dict[str, Token] = {}

    def load(self, key: str) -> Token | None:
        """Return the token last saved under a key."""
        return self._tokens.get(key)

    def save(self, key: str, token: Token) -> None:
        """Keep a token under a key."""
        self._tokens[key] = token


PROCESS_TOKENS = MemoryTokenStore()
"""The store all clients of a process share."""

_locks: dict[str, threading.Lock] = {}
_locks_guard = threading.Lock()


def minting(key: str) -> threading.Lock:
    """Return the lock under which one thread of the process mints a token for all that wait for it."""
    with _locks_guard:
        return _locks.setdefault(key, threading.Lock())


def usable(token: Token | None, refused: str | None, now: float) -> Token | None:
    """Choose a stored token, if it may be used: fresh, and not the one Zoho has just refused.

    :param refused: value of the token a call failed with, or None.
    :param now: Unix time.
    """
    return token if token is not None and token.value != refused and token.is_usable(now) else None
