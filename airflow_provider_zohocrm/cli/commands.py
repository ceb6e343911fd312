"""What the commands do. Each takes the parsed arguments, prints, and exits with status 1 where it fails."""

from __future__ import annotations

import getpass
import json
import os
import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.cli import stored
from airflow_provider_zohocrm.cli.arguments import (
    CLIENT_ID_VARIABLE,
    CLIENT_SECRET_VARIABLE,
    GRANT_CODE_VARIABLE,
)
from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoConfigurationError,
    ZohoCRMError,
    ZohoScopeError,
)

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Sequence

    from airflow_provider_zohocrm.client.client import ZohoCRMClient
    from airflow_provider_zohocrm.client.credentials import ZohoCredentials

_RETRIES = 2
_TIMEOUT = (5.0, 60.0)


def connect(args: Namespace) -> None:
    """Make a connection from a grant code."""
    with _told_in_short():
        if args.form is None and stored.exists(args.conn_id) and not args.replace:
            raise ZohoConfigurationError(
                f"There is a connection {args.conn_id!r} already: give --replace, or another --conn-id"
            )
        fields = _granted(args)
        works, organisation = _tested(fields)
        if args.form == "json":
            print(stored.as_json(fields))
        elif args.form == "uri":
            print(stored.as_uri(fields))
        else:
            _store(args.conn_id, fields, organisation if works else "Zoho CRM")
            _note(f"Stored as connection {args.conn_id!r}.")
        if not works:
            # The refresh token is good and was paid for with the code: it is not thrown away.
            raise ZohoConfigurationError(f"The connection was made, but does not work yet. {organisation}")
        _note(organisation)


def check(args: Namespace) -> None:
    """Check a connection: organisation, credits, scopes."""
    with _told_in_short():
        client, credentials = _client(args)
        _line("Connection", f"{args.conn_id} (data centre {credentials.data_center}, "
              f"{credentials.environment}, API {credentials.version.name})")  # fmt: skip
        client.transport.token()
        _line("Token", f"minted at {credentials.accounts_url}, for {client.transport.api_base()}")
        client.usage.remaining = None
        try:
            _line("Organisation", _organisation(client))
        except ZohoScopeError as error:
            _line("Organisation", f"not shown: {error}")
        found = [(scope, _scope(client, scope, *call)) for scope, call in _PROBES.items()]
        left = client.usage.remaining
        _line("API credits", "more than half of them are left" if left is None else f"{left:,} are left")
        for scope, state in found:
            _line(f"Scope {scope}", state)


def modules(args: Namespace) -> None:
    """List the modules."""
    with _told_in_short():
        found = _client(args)[0].get_modules()
        _table(args, found, ("api_name", "plural_label", "generated_type", "api_supported"))


def fields(args: Namespace) -> None:
    """List the fields of a module."""
    with _told_in_short():
        found = _client(args)[0].get_fields(args.module)
        _table(args, found, ("api_name", "field_label", "data_type", "length", "system_mandatory"))


def count(args: Namespace) -> None:
    """Count the records of a module."""
    with _told_in_short():
        client = _client(args)[0]
        print(client.count_records(args.module, criteria=args.criteria or None, cvid=args.cvid or None))


# --- making a connection --------------------------------------------------------------------------------------------


def _granted(args: Namespace) -> stored.ConnectionFields:
    """Ask for the client and the code, and exchange them."""
    from airflow_provider_zohocrm.client.accounts import AccountsServer, find_data_center
    from airflow_provider_zohocrm.client.hosts import DATA_CENTERS, checked_url

    client_id = _asked(CLIENT_ID_VARIABLE, "Client ID")
    extra = {"environment": args.environment, "api_version": args.api_version}
    if args.accounts_url:
        extra["accounts_url"] = url = checked_url(args.accounts_url, "--accounts-url")
        if args.data_center:
            extra["data_center"] = args.data_center
    else:
        center = args.data_center or find_data_center(lambda url: AccountsServer(url).knows(client_id))
        extra["data_center"] = center
        url = f"https://{DATA_CENTERS[center].accounts}"
        _note(f"Data centre: {center} ({url})")
    client_secret = _asked(CLIENT_SECRET_VARIABLE, "Client secret", secret=True)
    # Last, as it lives for some minutes only.
    code = _asked(GRANT_CODE_VARIABLE, "Grant code", secret=True)
    grant = AccountsServer(url).exchange(client_id, client_secret, code, args.redirect_uri)
    if grant.scope:
        _note(f"Scopes: {grant.scope}")
    return {
        "login": client_id,
        "password": client_secret,
        "extra": {"refresh_token": grant.refresh_token, **extra},
    }


def _tested(fields: stored.ConnectionFields) -> tuple[bool, str]:
    """Try the new connection; without the scope for the organisation it works all the same."""
    from airflow_provider_zohocrm.client.credentials import ZohoCredentials

    credentials = ZohoCredentials.from_fields(fields["login"], fields["password"], fields["extra"])
    client = _client_of(credentials)
    try:
        client.transport.token()
        return True, f"Connected to {_organisation(client)}"
    except ZohoScopeError as error:
        return True, f"Connected; the organisation is not shown: {error}"
    except ZohoCRMError as error:
        return False, str(error)


def _store(conn_id: str, fields: stored.ConnectionFields, description: str) -> None:
    try:
        stored.save(conn_id, fields, description)
    except ZohoConfigurationError as error:
        raise ZohoConfigurationError(
            f"{error}. The code is used up: generate a new one for the next try."
        ) from None


def _asked(variable: str, label: str, *, secret: bool = False) -> str:
    """Take a value from the environment, or ask for it; a secret is not echoed."""
    value = os.environ.get(variable, "").strip()
    if not value:
        if not sys.stdin.isatty():
            raise ZohoConfigurationError(
                f"{label}: set {variable} in the environment, or run this in a terminal"
            )
        if secret:
            value = getpass.getpass(f"{label}: ").strip()
        else:
            # Standard output may go into a file.
            print(f"{label}: ", end="", file=sys.stderr, flush=True)
            value = sys.stdin.readline().strip()
    if not value:
        raise ZohoConfigurationError(f"{label} is empty")
    return value


# --- asking Zoho ----------------------------------------------------------------------------------------------------

# What shows that a token has a scope: the cheapest call that needs it. No bulk read is started for it, which would
# cost 50 credits: a job that does not exist is asked for.
_PROBES: dict[str, tuple[str, str, Any]] = {
    "ZohoCRM.modules (Leads)": ("GET", "Leads?fields=id&per_page=1", None),
    "ZohoCRM.settings.modules": ("GET", "settings/modules", None),
    "ZohoCRM.settings.fields": ("GET", "settings/fields?module=Leads", None),
    "ZohoCRM.coql": ("POST", "coql", {"select_query": "select id from Leads where id is not null limit 1"}),
    "ZohoSearch.securesearch": ("GET", "Leads/actions/count", None),
    "ZohoCRM.bulk": ("GET", "/crm/bulk/{version}/read/1", None),
}


def _scope(client: ZohoCRMClient, scope: str, method: str, path: str, body: Any) -> str:  # noqa: ARG001  # the key
    path, _, query = path.format(version=client.version.name).partition("?")
    params = dict(part.split("=") for part in query.split("&") if part)
    try:
        client.request(method, path, params=params, json=body)
    except ZohoScopeError:
        return "missing"
    except ZohoAPIError as error:
        # Zoho looks at the scope before anything else.
        return (
            "granted"
            if error.status in (400, 404)
            else f"not clear: Zoho answered {error.status} {error.code}"
        )
    return "granted"


def _organisation(client: ZohoCRMClient) -> str:
    found = client.get_organization()
    plan = found.get("license_details") or {}
    edition = plan.get("paid_type") or plan.get("trial_type") or "unknown"
    return f"{found.get('company_name', 'the organisation')} (id {found.get('zgid')}, edition {edition})"


def _client(args: Namespace) -> tuple[ZohoCRMClient, ZohoCredentials]:
    from airflow_provider_zohocrm.client.credentials import ZohoCredentials
    from airflow_provider_zohocrm.client.versions import api_version

    login, password, extra = stored.load(args.conn_id)
    credentials = ZohoCredentials.from_fields(login, password, extra, name=f"Connection {args.conn_id!r}")
    if args.api_version:
        credentials = replace(credentials, version=api_version(args.api_version))
    return _client_of(credentials), credentials


def _client_of(credentials: ZohoCredentials) -> ZohoCRMClient:
    """Make a client with a token of its own: the shared store of tasks is not within reach of a command."""
    from airflow_provider_zohocrm.client.client import ZohoCRMClient
    from airflow_provider_zohocrm.client.retry import RetryPolicy
    from airflow_provider_zohocrm.client.tokens import MemoryTokenStore
    from airflow_provider_zohocrm.client.transport import Transport

    policy = RetryPolicy(retries=_RETRIES)
    return ZohoCRMClient(Transport(credentials, store=MemoryTokenStore(), policy=policy, timeout=_TIMEOUT))


# --- printing -------------------------------------------------------------------------------------------------------


@contextmanager
def _told_in_short() -> Iterator[None]:
    """Tell an error in one line, without a traceback."""
    try:
        yield
    except ZohoCRMError as error:
        raise SystemExit(f"error: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


def _note(text: str) -> None:
    """Tell the user something that is no result."""
    print(text, file=sys.stderr)


def _line(label: str, text: str) -> None:
    print(f"{label:<32} {text}")


def _table(args: Namespace, rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> None:
    if args.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    cells = [tuple(columns), *(tuple(_cell(row.get(name)) for name in columns) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    return "" if value is None else str(value)
