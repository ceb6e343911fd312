"""The accounts server: access tokens, their limits and their errors (sheet §1.2 to §1.6)."""

from __future__ import annotations

import hashlib
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_zohocrm.simulator.clock import Clock
    from airflow_provider_zohocrm.simulator.options import Options

CLIENT_ID = "1000.SIMULATEDCLIENT"
CLIENT_SECRET = "simulated-client-secret"  # noqa: S105 - of a server that only exists on loopback
REFRESH_TOKEN = "1000.simulated.refresh"  # noqa: S105 - as above
ORGANIZATION = "ZohoCRM.65398227"

MINT_WINDOW = 600
CODE_LIFE = 180

# What each grant needs beside the client.
_GIVEN = {"refresh_token": ("refresh_token",), "authorization_code": ("code",), "client_credentials": ()}

THROTTLED = {
    "error_description": "You have made too many requests continuously. Please try again after some time.",
    "error": "Access Denied",
    "status": "failure",
}


@dataclass(frozen=True)
class Token:
    """An access token."""

    value: str
    grant: str
    """What it was minted from: the limits count per refresh token."""
    scopes: frozenset[str]
    expires: float


class TokenServer:
    """Mints tokens and knows which are alive."""

    def __init__(self, clock: Clock, options: Options, seed_number: int) -> None:
        self.clock = clock
        self.options = options
        self.client_id = CLIENT_ID
        self.client_secret = CLIENT_SECRET
        self.refresh_token = REFRESH_TOKEN
        self.minted = 0
        self.prefixes: dict[str, int] = {}
        """How often each prefix of the Authorization header was used."""
        self._seed = seed_number
        self._live: dict[str, Token] = {}
        self._mints: dict[str, deque[float]] = {}
        self._revoked = False
        self._made = 0
        self._codes: dict[str, float] = {}
        """Grant codes that were not used, with the time at which each expires."""

    def new_code(self) -> str:
        """Generate a grant code, as the API console does for a self client (sheet §1.3): it works once, for 3 minutes."""
        self._made += 1
        digest = hashlib.sha256(f"{self._seed}/code/{self._made}".encode()).hexdigest()
        code = f"1000.{digest[:32]}.{digest[32:]}"
        self._codes[code] = self.clock.now() + CODE_LIFE
        return code

    def answer(self, given: Mapping[str, str], own_url: str) -> tuple[int, dict[str, Any]]:
        """Answer ``POST /oauth/v2/token``.

        :param given: parameters from query and form.
        :param own_url: address of the simulator, the default ``api_domain``.
        :returns: status and body.
        """
        kind = given.get("grant_type", "")
        if kind not in _GIVEN:
            return 200, {"error": "general_error"}
        error = self._refusal(kind, given)
        if error is not None:
            return 200, {"error": error}
        if kind == "authorization_code" and self._codes.pop(given["code"], 0.0) <= self.clock.now():
            return 200, {"error": "invalid_code"}
        grant = f"client_credentials {self.client_id}" if kind == "client_credentials" else self.refresh_token
        if self._throttled(grant):
            return self.options.token_throttle_status, dict(THROTTLED)
        granted = {scope.strip() for scope in self.options.scopes.split(",") if scope.strip()}
        if kind == "client_credentials":
            asked = {
                scope.strip()
                for scope in given.get("scope", "").replace(" ", ",").split(",")
                if scope.strip()
            }
            granted = {scope for scope in asked if covers(granted, {scope})}
            if not granted:
                return 200, {"error": "invalid_scope"}
        token = self._mint(grant, frozenset(granted))
        refresh = {"refresh_token": self.refresh_token} if kind == "authorization_code" else {}
        return 200, {
            "access_token": token.value,
            **refresh,
            "scope": " ".join(sorted(token.scopes)),
            "api_domain": self.options.api_domain or own_url,
            "token_type": "Bearer",
            "expires_in": self.options.token_life,
        }

    def _refusal(self, kind: str, given: Mapping[str, str]) -> str | None:
        if any(not given.get(name) for name in ("client_id", "client_secret", *_GIVEN[kind])):
            return "general_error"
        if given["client_id"] != self.client_id:
            return "invalid_client"
        if given["client_secret"] != self.client_secret:
            return "invalid_client_secret"
        if kind == "refresh_token":
            return "invalid_code" if self._revoked or given["refresh_token"] != self.refresh_token else None
        if kind == "authorization_code":
            return None
        return None if given.get("soid", "").startswith("ZohoCRM.") else "missing_org_info"

    def _throttled(self, grant: str) -> bool:
        times = self._mints.setdefault(grant, deque())
        while times and times[0] <= self.clock.now() - MINT_WINDOW:
            times.popleft()
        if len(times) >= self.options.mint_limit:
            return True
        times.append(self.clock.now())
        return False

    def _mint(self, grant: str, scopes: frozenset[str]) -> Token:
        self.minted += 1
        digest = hashlib.sha256(f"{self._seed}/{self.minted}".encode()).hexdigest()
        token = Token(
            f"1000.{digest[:32]}.{digest[32:]}", grant, scopes, self.clock.now() + self.options.token_life
        )
        self._live = {value: old for value, old in self._live.items() if old.expires > self.clock.now()}
        same = [old for old in self._live.values() if old.grant == grant]
        # The sixteenth silently kills the oldest (sheet §1.5).
        for old in same[: max(0, len(same) + 1 - self.options.live_tokens)]:
            del self._live[old.value]
        self._live[token.value] = token
        return token

    def find(self, value: str) -> Token | None:
        """Find a token that is still alive.

        :param value: the access token.
        """
        token = self._live.get(value)
        return token if token is not None and token.expires > self.clock.now() else None

    def revoke(self, value: str) -> bool:
        """Revoke the refresh token and all it minted.

        :param value: the refresh token.
        """
        if value != self.refresh_token:
            return False
        self._revoked = True
        self._live.clear()
        return True

    def kill_all(self) -> None:
        """Invalidate every access token, as when somebody else minted fifteen."""
        self._live.clear()

    def reset(self) -> None:
        """Forget everything but the secrets."""
        self._live.clear()
        self._mints.clear()
        self.prefixes.clear()
        self.minted = 0
        self._revoked = False


def covers(granted: set[str] | frozenset[str], needed: set[str]) -> bool:
    """Tell whether one of the needed scopes is granted, by itself or by a wider one.

    :param granted: scopes of a token, for example ``ZohoCRM.modules.ALL``.
    :param needed: any of these is enough.
    """
    have = {scope.lower() for scope in granted}
    for scope in needed:
        parts = scope.lower().split(".")
        service, group, last = parts[0], parts[1], parts[-1]
        wider = {scope.lower(), f"{service}.{group}.all"}
        if len(parts) == 4:
            # modules.leads.READ lies in modules.leads.ALL and in modules.READ; WRITE holds create and update.
            wider |= {f"{service}.{group}.{parts[2]}.all", f"{service}.{group}.{last}"}
            if last in {"create", "update"}:
                wider |= {f"{service}.{group}.{parts[2]}.write", f"{service}.{group}.write"}
        if have & wider:
            return True
    return False
