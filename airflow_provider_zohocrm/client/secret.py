"""Texts that must not be seen, wherever Python or a library shows a variable."""

from __future__ import annotations

import re
from types import TracebackType
from typing import TYPE_CHECKING

from airflow_provider_zohocrm.exceptions import ZohoCRMError

if TYPE_CHECKING:
    from collections.abc import Iterator

# An access or refresh token of Zoho's (reference sheet §1.2), and whatever stands in the header of one.
_TOKEN = re.compile(r"(?<![\w.])1000\.[0-9a-fA-F]{8,}\.[0-9a-fA-F]{8,}|(?<=Zoho-oauthtoken )[^\s\"',}\\]+")

_PACKAGE = __name__.partition(".")[0] + "."


class Secret(str):
    """A text whose ``repr`` does not show it: what shows local variables or containers shows that."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


class SecretBytes(bytes):
    """Bytes whose ``repr`` does not show them."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "b'***'"


def without_tokens(text: str) -> str:
    """Mask what looks like a token, as in the answer of a server that echoes what it was sent."""
    return _TOKEN.sub("***", text)


def without_frames(error: BaseException) -> BaseException:
    """Take the frames off an error and off all that led to it.

    Those of the HTTP libraries hold the token and the body of a token request in plain variables, which error trackers
    and debug pages show. What the package raises says all in its text; of other errors the package's own frames stay.

    :return: the same error, for ``raise``.
    """
    for one in causes(error):
        told = isinstance(one, ZohoCRMError) or not isinstance(one, Exception)
        one.__traceback__ = None if told else _own(one.__traceback__)
    return error


def _own(trace: TracebackType | None) -> TracebackType | None:
    if trace is None:
        return None
    rest = _own(trace.tb_next)
    if not trace.tb_frame.f_globals.get("__name__", "").startswith(_PACKAGE):
        return rest
    return TracebackType(rest, trace.tb_frame, trace.tb_lasti, trace.tb_lineno)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Go through an error and all that led to it."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__]
        # urllib3 keeps the error behind an error as its reason, or among its arguments.
        waiting += [
            each for each in (*one.args, getattr(one, "reason", None)) if isinstance(each, BaseException)
        ]
