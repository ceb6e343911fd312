"""The authenticated ``requests.Session``: pooled, with time-outs, redirects off, the token for Zoho's API host only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_zohocrm.client.oauth import Token
    from airflow_provider_zohocrm.client.timeouts import Timeout


class ZohoAuth(AuthBase):
    """Adds the token to requests that go to the API host, and to no other.

    :param token: returns the token to use.
    :param api_base: returns the API address of a token.
    """

    def __init__(self, token: Callable[[], Token], api_base: Callable[[Token], str]) -> None:
        self._token = token
        self._api_base = api_base

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Authorise one request."""
        token = self._token()
        if _origin(request.url or "") == _origin(self._api_base(token)):
            # The answer says "Bearer", yet this is the prefix Zoho documents (reference sheet §1.2, §1.6).
            request.headers["Authorization"] = f"Zoho-oauthtoken {token.value}"
        return request


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)


class ZohoSession(requests.Session):
    """A session that takes paths below the API address as well as whole addresses.

    :param timeout: seconds to connect and between two bytes, or a pair of both.
    :param api_base: returns the address that paths are below.
    """

    def __init__(self, timeout: Timeout, api_base: Callable[[], str] | None = None) -> None:
        super().__init__()
        self.timeout = timeout
        self.api_base = api_base

    def request(self, method: str, url: str, **kwargs: Any) -> requests.Response:  # type: ignore[override]  # passed on
        """Send a request; a redirect is returned, never followed."""
        kwargs.setdefault("timeout", self.timeout)
        kwargs["allow_redirects"] = False
        if self.api_base is not None and str(url).startswith("/"):
            url = self.api_base() + url
        return super().request(method, url, **kwargs)
