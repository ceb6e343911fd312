"""What a connection says about one Zoho organisation."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_zohocrm.client.hosts import (
    DATA_CENTERS,
    ENVIRONMENTS,
    checked_url,
    is_loopback,
    trusted_api_url,
    upload_host,
)
from airflow_provider_zohocrm.client.secret import Secret
from airflow_provider_zohocrm.client.tls import checked_verify
from airflow_provider_zohocrm.client.versions import DEFAULT_VERSION, ApiVersion, api_version
from airflow_provider_zohocrm.exceptions import ZohoConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

GRANT_TYPES = ("refresh_token", "client_credentials")
TOKEN_STORES = ("variable", "file", "memory")

_ORGANISATION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)
_DOTTED_PATH = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+", re.ASCII)


def is_token_store(name: str) -> bool:
    """Tell whether a name is that of a token store, or a dotted path that may be one."""
    return name in TOKEN_STORES or _DOTTED_PATH.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class ZohoCredentials:
    """Checked fields of a connection. Its ``repr`` shows no secret.

    Build it with :meth:`from_fields`. ``token_store`` is empty if the connection does not choose one.
    """

    client_id: str
    client_secret: str = field(repr=False)
    refresh_token: str = field(repr=False)
    grant_type: str
    soid: str
    scope: str
    data_center: str
    environment: str
    version: ApiVersion
    api_url: str
    accounts_url: str
    upload_url: str
    token_store: str
    min_credits_remaining: int | None = None
    verify: str = ""
    organisation: str = ""

    @classmethod
    def from_fields(
        cls,
        login: str | None,
        password: str | None,
        extra: Mapping[str, Any],
        *,
        name: str = "Zoho CRM connection",
    ) -> ZohoCredentials:
        """Check the fields of a connection.

        :param login: client id.
        :param password: client secret.
        :param extra: the other fields, by the names of the connection form; empty values count as not given.
        :param name: the connection, for error texts.
        :raises ZohoConfigurationError: naming every field that is missing, or the one that is wrong.
        """
        # Not to be seen in the local variables of an error raised below.
        password = Secret((password or "").strip())
        refresh_token = Secret(str(extra.get("refresh_token") or "").strip())
        extra = {key: value for key, value in extra.items() if key != "refresh_token"}

        def text(key: str, default: str = "") -> str:
            value = extra.get(key)
            return str(value).strip() if value not in (None, "") else default

        def choice(key: str, allowed: Any, default: str) -> str:
            value = text(key, default).lower()
            if value not in allowed:
                raise ZohoConfigurationError(
                    f"{name}: {key} is {value!r}; it must be one of {', '.join(allowed)}"
                )
            return value

        def token_store() -> str:
            # The form cannot name it token_store (see connection_form.py); a connection written as JSON may.
            key = "auth_store" if text("auth_store") else "token_store"
            value = text(key) if "." in text(key) else text(key).lower()
            if value and not is_token_store(value):
                raise ZohoConfigurationError(
                    f"{name}: {key} is {value!r}; it must be one of {', '.join(TOKEN_STORES)}, or the dotted path of a "
                    "class, as in my_company.tokens.RedisTokenStore"
                )
            return value

        grant_type = choice("grant_type", GRANT_TYPES, "refresh_token")
        needed = {
            "Client ID (login)": (login or "").strip(),
            "Client secret (password)": password,
        }
        if grant_type == "refresh_token":
            needed["Refresh token (extra refresh_token)"] = refresh_token
        else:
            needed["Organisation (extra soid)"] = text("soid")
            needed["Scope (extra scope)"] = text("scope")
        missing = [label for label, value in needed.items() if not value]
        if missing:
            raise ZohoConfigurationError(
                f"{name}: {', '.join(missing)} must be filled in for grant type {grant_type}. "
                "Create the client in Zoho's API console."
            )
        data_center = choice("data_center", DATA_CENTERS, "us")
        soid = text("soid")
        try:
            version = api_version(text("api_version", DEFAULT_VERSION))
            urls = {
                key: text(key) and checked_url(text(key), key)
                for key in ("api_url", "accounts_url", "upload_url")
            }
            verify = checked_verify(text("verify"))
        except ZohoConfigurationError as error:
            raise ZohoConfigurationError(f"{name}: {error}") from None
        return cls(
            client_id=(login or "").strip(),
            client_secret=password,
            refresh_token=refresh_token,
            grant_type=grant_type,
            # Zoho wants the service in front of the organisation's id (reference sheet §1.3).
            soid=soid if not soid or "." in soid else f"ZohoCRM.{soid}",
            scope=text("scope"),
            data_center=data_center,
            environment=choice("environment", ENVIRONMENTS, "production"),
            version=version,
            api_url=urls["api_url"],
            accounts_url=urls["accounts_url"] or f"https://{DATA_CENTERS[data_center].accounts}",
            upload_url=urls["upload_url"],
            token_store=token_store(),
            min_credits_remaining=_credits(text("min_credits_remaining"), name),
            verify=verify,
            organisation=_organisation(text("organization"), soid, name),
        )

    @property
    def token_key(self) -> str:
        """Name under which tasks with the same credentials share one token; tells nothing of the credentials."""
        grant = self.refresh_token if self.grant_type == "refresh_token" else f"{self.soid}\n{self.scope}"
        text = "\n".join((self.accounts_url, self.client_id, self.grant_type, grant))
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def api_base(self, api_domain: str) -> str:
        """Decide the API address: the connection's override, else what the token answer names, else the table.

        :param api_domain: ``api_domain`` of the token answer, or empty.
        :raises ZohoUntrustedHostError: if the answer names a host that must not see the token.
        """
        if self.api_url:
            return self.api_url
        if api_domain:
            return trusted_api_url(api_domain, self.accounts_url, self.environment)
        return f"https://{ENVIRONMENTS[self.environment]}.{DATA_CENTERS[self.data_center].api}"

    def upload_base(self, api_domain: str) -> str:
        """Decide the address that files are uploaded to: the connection's override, else that of the data centre.

        An API on loopback takes the files itself.

        :param api_domain: ``api_domain`` of the token answer, or empty.
        :raises ZohoConfigurationError: if no source names the upload host of the data centre.
        """
        if self.upload_url:
            return self.upload_url
        api = self.api_base(api_domain)
        host = urlsplit(api).hostname or ""
        if is_loopback(host):
            return api
        found = upload_host(host, self.data_center)
        if not found:
            raise ZohoConfigurationError(
                f"No source names the upload host of data centre {self.data_center}, which bulk write needs. Enter it as "
                "Upload URL in the connection, or write the records by ZohoUpsertOperator."
            )
        return f"https://{found}"


def _credits(given: str, name: str) -> int | None:
    if given and not given.isdecimal():
        raise ZohoConfigurationError(
            f"{name}: min_credits_remaining is {given!r}; it must be a whole number of API credits, e.g. 5000"
        )
    return int(given) if given else None


def _organisation(given: str, soid: str, conn: str) -> str:
    """Name the organisation as the addresses of its web pages do: ``org20012345``, or the name of a sandbox."""
    if given and not _ORGANISATION.fullmatch(given):
        raise ZohoConfigurationError(
            f"{conn}: Organisation ID (organization) is {given!r}; it must be what stands after /crm/ in the address of a page of Zoho "
            "CRM, e.g. org20012345"
        )
    name = given or soid.rpartition(".")[2]
    return f"org{name}" if name.isdigit() else name
