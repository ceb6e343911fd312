"""OAuth: what is sent to the token endpoint, and how its answers read."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlencode

from airflow_provider_zohocrm.client import jsontext
from airflow_provider_zohocrm.client.answers import printable, retry_after
from airflow_provider_zohocrm.client.calls import Call
from airflow_provider_zohocrm.client.secret import Secret, SecretBytes
from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoAuthenticationError,
    ZohoServerError,
    ZohoTokenThrottledError,
    ZohoUntrustedHostError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_zohocrm.client.credentials import ZohoCredentials

TOKEN_CALL = Call("POST", "/oauth/v2/token")
FORM_HEADERS = {"Content-Type": "application/x-www-form-urlencoded"}

# What an HTTP header can carry.
_VALUE = re.compile(r"[!-~]+")
_OTHER_DATA_CENTER = (
    "Most often the data centre of the connection is not the one the client was created in "
    "(the address of its API console tells: api-console.zoho.com, .eu, .in …)."
)
# Reference sheet §1.4.
_REMEDIES = {
    "invalid_code": "The refresh token was revoked, is a grant code, or belongs to another data centre; make a new one.",
    "invalid_client": f"The client ID is unknown there. {_OTHER_DATA_CENTER}",
    "invalid_client_secret": f"The client secret is wrong; it may differ by data centre. {_OTHER_DATA_CENTER}",
    "invalid_redirect_uri": "The redirect URI is not the one registered for the client.",
    "invalid_scope": "The scope of the connection is misspelt or not allowed for the client.",
    "general_error": "A field is missing or malformed; fill in the connection again.",
    "missing_org_info": "Grant type client_credentials needs the organisation: fill in soid as ZohoCRM.<org id>.",
    "access_denied": "Zoho mints 10 tokens in 10 minutes; wait 10 minutes, and let tasks share one token "
    "(the token store of the connection).",
}


@dataclass(frozen=True, slots=True)
class Token:
    """An access token. Its ``repr`` does not show it.

    :param value: what the header carries.
    :param api_domain: the API host the answer named, or empty.
    :param expires_at: Unix time at which it dies.
    :param life: seconds it lived when it was new.
    :param new: it was minted while this process looked for one: if Zoho refuses it, another one helps no more.
    """

    value: str = field(repr=False)
    api_domain: str
    expires_at: float
    life: float
    new: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", Secret(self.value))

    @property
    def is_sendable(self) -> bool:
        """Tell whether a header can carry it."""
        return bool(_VALUE.fullmatch(self.value))

    def is_usable(self, now: float, early: float = 1.0) -> bool:
        """Tell whether it can be sent, and lasts long enough to start work with: 5 minutes, or a tenth of its life.

        :param now: Unix time.
        :param early: factor on those 5 minutes, by which tasks differ so that they do not all look for another one at once.
        """
        return self.is_sendable and self.expires_at - now > early * min(300.0, self.life / 10)


def token_form(credentials: ZohoCredentials) -> dict[str, str]:
    """Build the form of a token request; a form keeps secrets out of addresses, and so out of proxy logs."""
    form = {
        "grant_type": credentials.grant_type,
        "client_id": credentials.client_id,
        "client_secret": credentials.client_secret,
    }
    if credentials.grant_type == "refresh_token":
        return form | {"refresh_token": credentials.refresh_token}
    return form | {"scope": credentials.scope, "soid": credentials.soid}


def token_body(credentials: ZohoCredentials) -> SecretBytes:
    """Encode the form of a token request."""
    return SecretBytes(urlencode(token_form(credentials)).encode())


def read_token_answer(
    credentials: ZohoCredentials, status: int, headers: Mapping[str, str], body: bytes, now: float
) -> Token:
    """Read the answer of the token endpoint, where 200 is not success (reference sheet §1.4).

    :param now: Unix time of the answer.
    :raises ZohoTokenThrottledError: if Zoho mints no more for now.
    :raises ZohoServerError: if the endpoint is down.
    :raises ZohoAuthenticationError: if there is no ``access_token`` for any other reason, whatever the status.
    """
    answer = _parsed(body)
    if answer.token is not None and status < 300:
        return Token(answer.token, answer.api_domain, now + answer.life, answer.life, new=True)
    where = f"{TOKEN_CALL} at {credentials.accounts_url}"
    if 300 <= status < 400:
        raise ZohoUntrustedHostError(
            f"{where} was answered with a redirect ({status}), which is not followed."
        )
    if status >= 500 or status == 429:
        raise ZohoServerError(
            f"{where} failed: Zoho's accounts server answered {status}.",
            status=status,
            retry_after=retry_after(headers),
        )
    raise _refusal(where, status, answer, credentials)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What counts of an answer; the rest of it is in no variable when an error is raised."""

    token: Secret | None
    api_domain: str
    life: float
    error: Secret
    is_json: bool


def _parsed(body: bytes) -> _Answer:
    try:
        answer = jsontext.loads(bytes(body))
    except ValueError:
        answer = None
    fields: dict[str, Any] = answer if isinstance(answer, dict) else {}
    value = fields.get("access_token")
    token = Secret(value) if isinstance(value, str) and _VALUE.fullmatch(value) else None
    error = Secret(fields.get("error") or "")
    return _Answer(token, str(fields.get("api_domain") or ""), _life(fields), error, bool(fields))


def _refusal(where: str, status: int, answer: _Answer, credentials: ZohoCredentials) -> ZohoAPIError:
    code = _without(credentials, printable(answer.error))[:100]
    key = code.lower().replace(" ", "_")
    said = code or ("an answer without access_token" if answer.is_json else "no JSON")
    remedy = _REMEDIES.get(
        key, f"Check client ID, secret, refresh token and data centre. {_OTHER_DATA_CENTER}"
    )
    kind = ZohoTokenThrottledError if key == "access_denied" else ZohoAuthenticationError
    return kind(f"{where} gave no token: Zoho answered {status} {said}. {remedy}", status=status, code=code)


def _without(credentials: ZohoCredentials, text: str) -> str:
    """Mask the secrets of a request in what a server that echoes it says."""
    for secret in filter(None, (credentials.client_secret, credentials.refresh_token)):
        text = text.replace(secret, "***").replace(quote_plus(secret), "***")
    return text


def _life(fields: dict[str, Any]) -> float:
    """Read the seconds a token lives; beside ``expires_in_sec``, ``expires_in`` is milliseconds (§1.2)."""
    try:
        return float(fields.get("expires_in_sec") or fields.get("expires_in") or 3600)
    except (TypeError, ValueError, OverflowError):
        return 3600.0
