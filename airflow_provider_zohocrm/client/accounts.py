"""The accounts server, as one meets it once: which data centre knows a client, and a grant code for a refresh token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import requests

from airflow_provider_zohocrm.client import jsontext
from airflow_provider_zohocrm.client.answers import printable
from airflow_provider_zohocrm.client.hosts import DATA_CENTERS
from airflow_provider_zohocrm.client.oauth import TOKEN_CALL
from airflow_provider_zohocrm.client.session import ZohoSession
from airflow_provider_zohocrm.exceptions import (
    ZohoAuthenticationError,
    ZohoConfigurationError,
    ZohoTokenThrottledError,
    ZohoTransportError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_TIMEOUT = (5.0, 30.0)
# No document of Zoho's names these (reference sheet §1.1): nothing is sent there unless somebody asks for it.
_UNDOCUMENTED = ("ae", "sg")
# Reference sheet §1.4, for a code instead of a refresh token.
_REMEDIES = {
    "invalid_code": "The code was used before, has expired (after 3 minutes, unless another time was chosen), or belongs to "
    "another client or data centre. Generate a new one.",
    "invalid_client": "The client ID is unknown at this data centre; the code was not used up. Check the ID, and the "
    "ending of the API console's address.",
    "invalid_client_secret": "The client secret is wrong for this data centre. Copy it again from the API console, and "
    "generate a new code.",
    "invalid_redirect_uri": "The code of a server-based client needs the redirect URI it was made with; a self client needs "
    "none.",
}
_UNUSED = "unused"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a grant code gives. Its ``repr`` does not show the token.

    :param refresh_token: does not expire.
    :param scope: the scopes, as Zoho writes them; empty where it does not tell.
    """

    refresh_token: str = field(repr=False)
    scope: str = ""


class AccountsServer:
    """Asks one accounts server.

    :param url: its address, which must have been checked.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def knows(self, client_id: str) -> bool | None:
        """Tell whether a client belongs to this data centre; it sees neither the client's secret nor a code.

        :return: None if that cannot be told.
        """
        form = {"client_id": client_id, "client_secret": _UNUSED, "code": _UNUSED}
        try:
            error = str(self._ask(form)[1].get("error", "")).lower()
        except ZohoTransportError:
            return None
        # The client is looked at first, its secret and the code after it.
        return {"invalid_client": False, "invalid_client_secret": True, "invalid_code": True}.get(error)

    def exchange(self, client_id: str, client_secret: str, code: str, redirect_uri: str = "") -> Grant:
        """Exchange a grant code, which works once, for a refresh token (reference sheet §1.3). It is not repeated.

        :param redirect_uri: the one the code was made with; a self client has none.
        :raises ZohoTokenThrottledError: if Zoho makes no more for now.
        :raises ZohoAuthenticationError: if Zoho gives none for any other reason.
        :raises ZohoTransportError: if no whole answer came.
        """
        form = {"client_id": client_id, "client_secret": client_secret, "code": code}
        status, answer = self._ask(form | ({"redirect_uri": redirect_uri} if redirect_uri else {}))
        token = answer.get("refresh_token")
        if status < 300 and isinstance(token, str) and token:
            return Grant(token, printable(str(answer.get("scope") or "")))
        raise self._refusal(status, answer)

    def _refusal(self, status: int, answer: dict[str, Any]) -> ZohoAuthenticationError:
        where = f"{TOKEN_CALL} at {self.url}"
        if answer.get("access_token"):
            return ZohoAuthenticationError(
                f"{where} gave an access token, but no refresh token. Make the code with access_type=offline, or with a "
                "self client.",
                status=status,
            )
        code = printable(str(answer.get("error") or ""))[:100]
        key = code.lower().replace(" ", "_")
        kind = ZohoTokenThrottledError if key == "access_denied" else ZohoAuthenticationError
        remedy = _REMEDIES.get(key, "Check client ID, client secret, code and data centre.")
        said = code or "nothing that is known"
        return kind(
            f"{where} gave no refresh token: Zoho answered {status} {said}. {remedy}",
            status=status,
            code=code,
        )

    def _ask(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        try:
            with (
                ZohoSession(_TIMEOUT) as session,
                session.post(
                    self.url + TOKEN_CALL.path, data={"grant_type": "authorization_code", **form}
                ) as response,
            ):
                status, body = response.status_code, response.content
        except requests.RequestException as error:
            raise ZohoTransportError(
                f"{TOKEN_CALL} at {self.url}: no whole answer ({type(error).__name__}). Check that this machine can reach "
                "it. If the code was sent, it may be used up: generate a new one."
            ) from error
        try:
            answer = jsontext.loads(body)
        except ValueError:
            answer = None
        return status, answer if isinstance(answer, dict) else {}


def find_data_center(knows: Callable[[str], bool | None]) -> str:
    """Find the data centre of a client.

    :param knows: tells of an address of an accounts server whether the client belongs there.
    :return: its name, e.g. ``eu``.
    :raises ZohoConfigurationError: if it is not the only one.
    """
    documented = [name for name in DATA_CENTERS if name not in _UNDOCUMENTED]
    found = [name for name in documented if knows(f"https://{DATA_CENTERS[name].accounts}")]
    if len(found) != 1:
        raise ZohoConfigurationError(
            f"{'More than one data centre knows' if found else 'No data centre knows'} this client ID"
            f"{': ' + ', '.join(found) if found else ''}. Name the one you use (the ending of the API console's address): "
            f"--data-center {'|'.join(DATA_CENTERS)}. The code was not used up."
        )
    return found[0]
