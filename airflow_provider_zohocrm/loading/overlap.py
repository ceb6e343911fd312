"""Whether results would be written over the input, or be read as a part of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from airflow_provider_zohocrm.storage.formats import numbered_path
from airflow_provider_zohocrm.storage.locations import local_path, object_file

if TYPE_CHECKING:
    from collections.abc import Iterable

_NUMBER = re.compile(r"-[0-9]{4,}(?=\.[^/]*$)")
_WILDCARDS = re.compile(r"[*?\[]")
_GLOB = re.compile(
    r"(?P<folders>\*\*/)|(?P<all>\*\*)|(?P<some>\*)|(?P<one>\?)|\[(?P<not>!?)(?P<set>[^\]]+)\]|(?P<text>.)"
)


def writes_over(output: str, files: Iterable[str]) -> bool:
    """Tell whether a file, or a later part of it (``results-0002.jsonl``), is one of others.

    :param output: local path, or URI of object storage.
    :param files: the others.
    """
    written = _place(output)
    return any(written in (place, _NUMBER.sub("", place)) for place in map(_place, files))


def lies_in(output: str, input_path: str) -> bool:
    """Tell whether a file, or the second part of it, would be found by a folder or a glob.

    :param output: local path, or URI of object storage.
    :param input_path: the folder, or the glob.
    """
    fixed, pattern = input_path.rstrip("/"), "*"
    wildcard = _WILDCARDS.search(input_path)
    if wildcard:
        fixed, _, pattern = input_path[: wildcard.start()].rpartition("/")
        pattern = input_path[len(fixed) :].lstrip("/")
        fixed = fixed or ("/" if input_path.startswith("/") else ".")
    folder = _place(fixed).rstrip("/") + "/"
    places = [_place(numbered_path(output, number)) for number in (1, 2)]
    found = re.compile(_GLOB.sub(_expression, pattern), re.DOTALL)
    return any(place.startswith(folder) and found.fullmatch(place[len(folder) :]) for place in places)


def _expression(part: re.Match[str]) -> str:
    if part["set"]:
        return f"[{'^' if part['not'] else ''}{re.escape(part['set']).replace(chr(92) + '-', '-')}]"
    fixed = {"folders": "(?:.*/)?", "all": ".*", "some": "[^/]*", "one": "[^/]"}
    return fixed.get(str(part.lastgroup)) or re.escape(part["text"])


def _place(path: str) -> str:
    """Name what is at a path in one way, however it is written; connections to object storage are not looked at."""
    local = local_path(path)
    if local is not None:
        return str(local.resolve())
    fs, name = object_file(path)
    return f"{fs.protocol}:{name.strip('/')}"
