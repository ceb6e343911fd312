"""Where tokens are kept, so that callers with the same credentials share one."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from airflow_provider_zohocrm.client.oauth import Token

if TYPE_CHECKING:
    from collections.abc import Collection


class TokenStore(Protocol):
    """Keeps short texts by name, for all processes that are to share a token.

    Bring your own: a class that takes no arguments, whose dotted path is entered as token store. Two texts are kept for
    each set of credentials: the access token, which is a secret, and the claim of the task that is getting a new one.
    What is written must be seen by the next read of any process; a text that is lost costs a new token, nothing else.
    Names are made of letters, digits and underscores, and contain ``token``. Both methods may block and may raise
    whatever they like: a store that fails is replaced by the memory of the process. Triggers call them from a thread.
    """

    def read(self, name: str) -> str | None:
        """Return the text last written under a name, or None."""

    def write(self, name: str, text: str) -> None:
        """Keep a text of at most 2,000 characters under a name, in place of what was there."""


@runtime_checkable
class SwappingTokenStore(TokenStore, Protocol):
    """A token store that can compare and set; tasks then need not wait a moment to see whose claim stands."""

    def swap(self, name: str, old: str | None, new: str) -> bool:
        """Write a text if another one is still there (None: nothing), as one step; tell whether it was."""


class MemoryTokenStore:
    """Keeps texts for as long as the process lives."""

    def __init__(self) -> None:
        self._tokens: dict[str, str] = {}
        self._lock = threading.Lock()

    def read(self, name: str) -> str | None:
        """Return the text last written under a name."""
        return self._tokens.get(name)

    def write(self, name: str, text: str) -> None:
        """Keep a text under a name."""
        self._tokens[name] = text

    def swap(self, name: str, old: str | None, new: str) -> bool:
        """Write a text if another one is still there."""
        with self._lock:
            if self._tokens.get(name) != old:
                return False
            self._tokens[name] = new
            return True


PROCESS_TOKENS = MemoryTokenStore()
"""The store all clients of a process share."""

MOST_REFUSED = 2
"""Tokens that are replaced for one request before its refusal is believed."""

_locks: dict[str, threading.Lock] = {}
_locks_guard = threading.Lock()


def minting(key: str) -> threading.Lock:
    """Return the lock under which one thread of the process gets a token for all that wait for it."""
    with _locks_guard:
        return _locks.setdefault(key, threading.Lock())


def token_name(key: str) -> str:
    """Name the text that holds the token of a key; for "token" in its name Airflow masks the value of a Variable."""
    return f"zohocrm_token_{key}"


def claim_name(key: str) -> str:
    """Name the text that tells which task is getting a new token for a key."""
    return f"zohocrm_token_{key}_claim"


def usable(token: Token | None, refused: Collection[str], now: float, early: float = 1.0) -> Token | None:
    """Choose a token, if it may be used: it lasts long enough, and Zoho has not just refused it.

    :param refused: values of tokens a call failed with.
    :param now: Unix time.
    :param early: see :meth:`~airflow_provider_zohocrm.client.oauth.Token.is_usable`.
    """
    good = token is not None and token.value not in refused and token.is_usable(now, early)
    return token if good else None


def token_text(token: Token) -> str:
    """Write a token as it is stored."""
    return json.dumps(
        {
            "value": token.value,
            "api_domain": token.api_domain,
            "expires_at": token.expires_at,
            "life": token.life,
        }
    )


def token_of(text: str | None) -> Token | None:
    """Read a stored token; None if there is none, or none that could be sent."""
    fields = json_object(text)
    try:
        token = Token(
            str(fields["value"]),
            str(fields["api_domain"]),
            float(fields["expires_at"]),
            float(fields["life"]),
        )
    except (ValueError, TypeError, KeyError):
        return None
    return token if token.is_sendable else None


def json_object(text: str | None) -> dict[str, Any]:
    """Read a stored text; one that is damaged or missing is an empty object."""
    try:
        found = json.loads(text or "null")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
