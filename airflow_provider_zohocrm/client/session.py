"""The authenticated ``requests.Session``: pooled, with time-outs, redirects off, the token for Zoho's API host only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from airflow_provider_zohocrm.client.secret import Secret
from airflow_provider_zohocrm.exceptions import ZohoValidationError

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
            request.headers["Authorization"] = Secret(f"Zoho-oauthtoken {token.value}")
        return request


class NoAuth(AuthBase):
    """Adds nothing; with it requests sends no password of a ``.netrc`` either."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Leave a request as it is."""
        return request


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"https": 443, "http": 80}.get(parts.scheme)


class ZohoSession(requests.Session):
    """A session that takes paths below the API address as well as whole addresses.

    :param timeout: seconds to connect and between two bytes, or a pair of both.
    :param api_base: returns the address that paths are below.
    :param ca_bundle: path of the CAs to trust; None for those requests brings.
    """

    def __init__(
        self,
        timeout: Timeout,
        api_base: Callable[[], str] | None = None,
        ca_bundle: str | None = None,
    ) -> None:
        super().__init__()
        self.timeout = timeout
        self.api_base = api_base
        self.ca_bundle = ca_bundle
        self.auth = NoAuth()

    def request(self, method: str, url: str, **kwargs: Any) -> requests.Response:  # type: ignore[override]  # passed on
        """Send a request; a redirect is returned, never followed, and the certificate is verified.

        :raises ZohoValidationError: for ``verify=False``.
        """
        if not kwargs.get("verify", True):
            raise ZohoValidationError(
                "verify=False is not possible: certificates are always verified. Enter the CA bundle in the connection, "
                "field verify."
            )
        kwargs.setdefault("timeout", self.timeout)
        kwargs["allow_redirects"] = False
        # Said for each request: requests lets variables of the environment go before the session's own.
        kwargs["verify"] = (
            kwargs.get("verify") if isinstance(kwargs.get("verify"), str) else self.ca_bundle or True
        )
        if self.api_base is not None and str(url).startswith("/"):
            url = self.api_base() + url
        return super().request(method, url, **kwargs)

    def get_redirect_target(self, _response: requests.Response, /) -> None:
        """Find no redirect: to prepare the next request, requests would read a body of any size, and a hostile address."""
