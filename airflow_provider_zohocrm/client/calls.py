"""A request to Zoho as data, so that both transports and the error texts share it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

from airflow_provider_zohocrm.exceptions import ZohoValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_FIELD = re.compile(r"\$?[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*")
_ID = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    :param method: HTTP method.
    :param path: path below the API host, e.g. ``/crm/v8/Leads``.
    :param params: query parameters.
    :param json: body, rendered as JSON.
    :param headers: headers beside authorisation and content type.
    :param repeatable: False when a repetition could do something twice, as an insert does.
    :param per_record: the answer holds one result per record, whatever its status.
    :param pause: seconds to wait after a 429 that names no time.
    :param lines: the records of a list are left as JSON text, see
        :func:`~airflow_provider_zohocrm.client.jsontext.loads_page`; of records that were written little is read, see
        :func:`~airflow_provider_zohocrm.client.jsontext.loads_results`.
    :param credits: API credits it costs (reference sheet §6.2).
    :param base: address in place of the API's; the token is sent there, so it must have been checked.
    :param file: a file to upload: its name, and the file, which is read from its start.
    :param retries: repetitions after the first try at most; None for those of the policy.
    """

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = True
    per_record: bool = False
    pause: float | None = None
    lines: bool = False
    credits: int = 1
    base: str = ""
    file: tuple[str, BinaryIO] | None = None
    retries: int | None = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def module_name(name: str, what: str = "module") -> str:
    """Check an API name that becomes part of a path or query.

    :raises ZohoValidationError: if it holds anything but letters, digits and underscores.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ZohoValidationError(
            f"{name!r} is no API name for a {what}: letters, digits and underscores only, e.g. Leads. Zoho shows API "
            "names under Setup > Developer Hub > APIs > API Names."
        )
    return name


def record_id(value: str | int) -> str:
    """Check a record, job or view id.

    :raises ZohoValidationError: if it is not 1 to 19 digits.
    """
    text = str(value).strip()
    if isinstance(value, (bool, float)) or not _ID.fullmatch(text):
        raise ZohoValidationError(f"{value!r} is no Zoho id: 1 to 19 digits, given as text")
    return text


def names(value: str | Iterable[str] | None, what: str) -> list[str] | None:
    """Take a list of names, or the comma-separated text that a template renders.

    :param value: names, or None for "not given".
    :param what: the parameter, for the error text.
    :return: the names without repetitions, in the order given.
    :raises ZohoValidationError: if there is none, or one is not text.
    """
    if value is None:
        return None
    given = value.split(",") if isinstance(value, str) else list(value)
    if not all(isinstance(name, str) for name in given):
        raise ZohoValidationError(f"{what} must be a list of API names, not {value!r}")
    found = list(dict.fromkeys(name.strip() for name in given if name.strip()))
    if not found:
        raise ZohoValidationError(f"{what} is empty; leave it out or name at least one")
    return found


def field_names(value: str | Iterable[str] | None, what: str = "fields") -> list[str] | None:
    """Check API names of fields; a dot joins the field of a lookup's module, a leading ``$`` marks a system key.

    :raises ZohoValidationError: if one cannot be an API name.
    """
    found = names(value, what)
    wrong = [name for name in found or () if not _FIELD.fullmatch(name)]
    if wrong:
        raise ZohoValidationError(
            f"{what} holds {wrong[0]!r}, which is no API name of a field, e.g. Last_Name"
        )
    return found
