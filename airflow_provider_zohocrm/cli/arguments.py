"""The commands and their arguments: one description for ``airflow zohocrm`` and ``python -m airflow_provider_zohocrm``.

Nothing here imports Airflow, or anything that takes time: every ``airflow`` command reads it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

HELP = "Connections to Zoho CRM: make and check them, and look at modules, fields and counts"
CLIENT_ID_VARIABLE = "ZOHOCRM_CLIENT_ID"
CLIENT_SECRET_VARIABLE = "ZOHOCRM_CLIENT_SECRET"  # noqa: S105  # the name of a variable
GRANT_CODE_VARIABLE = "ZOHOCRM_GRANT_CODE"


class Argument(NamedTuple):
    """An argument.

    :param flags: its names.
    :param options: as ``ArgumentParser.add_argument`` takes them.
    """

    flags: tuple[str, ...]
    options: dict[str, Any]


class Command(NamedTuple):
    """A command.

    :param name: also the name of its function in ``cli.commands``.
    """

    name: str
    help: str
    description: str
    arguments: tuple[Argument, ...]


def _argument(*flags: str, **options: Any) -> Argument:
    return Argument(flags, options)


# From the connection form and the hosts, which are not imported here; a test compares them.
_DATA_CENTERS = ("us", "eu", "in", "au", "jp", "cn", "ca", "sa", "uk", "ae", "sg")
_ENVIRONMENTS = ("production", "sandbox", "developer")
_VERSIONS = ("v2", "v2.1", "v3", "v4", "v5", "v6", "v7", "v8")

_CONN_ID = _argument(
    "--conn-id", default="zohocrm_default", help="id of the connection (default: zohocrm_default)"
)
_VERSION = _argument(
    "--api-version", choices=_VERSIONS, default=None, help="API version, in place of the connection's"
)
_JSON = _argument("--json", action="store_true", help="print JSON as Zoho answers it")
_MODULE = _argument("module", help="API name of the module, e.g. Leads")

COMMANDS = (
    Command(
        "connect",
        "make a connection from a grant code",
        "Exchange the grant code of a client for a refresh token, test it, and store the connection in Airflow's database, "
        f"or print it. Client ID, client secret and code are asked for, or taken from the environment: {CLIENT_ID_VARIABLE}, "
        f"{CLIENT_SECRET_VARIABLE}, {GRANT_CODE_VARIABLE}. There is no argument for a secret: arguments stay in the history of "
        "the shell, and every user of the machine can see them.",
        (
            _CONN_ID,
            _argument(
                "--data-center",
                "--location",
                dest="data_center",
                choices=_DATA_CENTERS,
                default=None,
                help="the ending of the API console's address, or the parameter location of the redirect; without it, the "
                "data centres are asked which of them knows the client ID",
            ),
            _argument(
                "--environment",
                choices=_ENVIRONMENTS,
                default="production",
                help="of the organisation that was chosen when the code was made (default: production)",
            ),
            _argument("--api-version", choices=_VERSIONS, default="v8", help="API version (default: v8)"),
            _argument("--accounts-url", default=None, help="accounts server, in place of the data centre's"),
            _argument(
                "--redirect-uri",
                default="",
                help="the one the code was made with; a self client has none",
            ),
            _argument("--replace", action="store_true", help="replace the connection if there is one"),
            _argument(
                "--print",
                dest="form",
                choices=("json", "uri"),
                default=None,
                help="print the connection to standard output, with its secrets in clear, and store nothing",
            ),
        ),
    ),
    Command(
        "check",
        "check a connection: organisation, credits, scopes",
        "Mint a token, read the organisation and its API credits, and try which scopes the token has. Costs about 7 API "
        "credits. The exit status is 1 if the connection does not work; a scope that is missing is only told.",
        (_CONN_ID, _VERSION),
    ),
    Command(
        "modules", "list the modules", "List the modules with their API names.", (_CONN_ID, _VERSION, _JSON)
    ),
    Command(
        "fields",
        "list the fields of a module",
        "List the fields of a module with their API names and types.",
        (_MODULE, _CONN_ID, _VERSION, _JSON),
    ),
    Command(
        "count",
        "count the records of a module",
        "Count the records of a module.",
        (
            _MODULE,
            _argument("--criteria", default=None, help="e.g. '(Last_Name:equals:Boyle)'"),
            _argument("--cvid", default=None, help="id of a custom view, in place of criteria"),
            _CONN_ID,
            _VERSION,
        ),
    ),
)
