"""Files that modules start from: JSONL or CSV, one per module and named after it."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import orjson

from airflow_provider_zohocrm.simulator.cells import typed
from airflow_provider_zohocrm.simulator.clock import parse_iso
from airflow_provider_zohocrm.simulator.modules import USERS, Field, Module
from airflow_provider_zohocrm.simulator.validation import fits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

SUFFIXES = {".jsonl", ".csv"}
_PEOPLE = {user.id: user for user in USERS}


def files_of(path: Path, modules: Mapping[str, Module]) -> dict[str, Path]:
    """Find the file of each module.

    :param path: a file, or a directory in which every ``.jsonl`` and ``.csv`` counts.
    :param modules: module by API name.
    :returns: file by API name of the module.
    :raises ValueError: for a name that is no module, and where nothing is found.
    """
    if not path.exists():
        raise ValueError(f"{path} does not exist")
    files = sorted(f for f in path.iterdir() if f.suffix.lower() in SUFFIXES) if path.is_dir() else [path]
    names = {name.lower(): name for name in modules}
    found: dict[str, Path] = {}
    for file in files:
        name = names.get(file.stem.lower())
        if name is None or file.suffix.lower() not in SUFFIXES:
            raise ValueError(
                f"{file.name}: <module>.jsonl or <module>.csv is expected; known: {', '.join(modules)}"
            )
        if name in found:
            raise ValueError(f"two files for {name}: {found[name].name} and {file.name}")
        found[name] = file
    if not found:
        raise ValueError(f"no .jsonl or .csv in {path}")
    return found


class Reader:
    """Reads the file of one module."""

    def __init__(self, module: Module, tag: Callable[[Any], dict[str, Any]]) -> None:
        """Prepare.

        :param module: the module.
        :param tag: turns the name of a tag, or a tag, into a tag.
        """
        self.module = module
        self.tag = tag

    def records(self, file: Path) -> Iterator[dict[str, Any]]:
        """Read records in the form in which they are stored; ``id`` and the two times are there where they were given.

        :param file: the file.
        :raises ValueError: naming the line, for what is no record of this module.
        """
        lines = self._csv(file) if file.suffix.lower() == ".csv" else self._jsonl(file)
        for number, content in lines:
            yield self._checked(content, f"{file.name} line {number}")

    def _checked(self, content: dict[str, Any], place: str) -> dict[str, Any]:
        try:
            return self._record(content)
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from error

    @staticmethod
    def _jsonl(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        with file.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if not line.strip():
                    continue
                try:
                    content = orjson.loads(line)
                except orjson.JSONDecodeError as error:
                    raise ValueError(f"{file.name} line {number}: {error}") from error
                if not isinstance(content, dict):
                    raise ValueError(f"{file.name} line {number}: an object is expected")
                yield number, content

    def _csv(self, file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            # The header of bulk read files is "Id".
            reader.fieldnames = ["id" if name.lower() == "id" else name for name in reader.fieldnames or []]
            for row in reader:
                if None in row:
                    raise ValueError(f"{file.name} line {reader.line_num}: more cells than the header has")
                cells = {name: self._cell(name, text or "") for name, text in row.items()}
                yield reader.line_num, cells

    def _cell(self, name: str, text: str) -> Any:
        spec = self.module.fields.get(name)
        return text if spec is None else typed(spec, text)

    def _record(self, content: dict[str, Any]) -> dict[str, Any]:
        record: dict[str, Any] = {}
        for name, value in content.items():
            # What Zoho adds to a record, and names over a lookup: nothing that could be stored.
            if name.startswith("$") or "." in name:
                continue
            spec = self.module.fields.get(name)
            if spec is None:
                raise ValueError(
                    f"{self.module.api_name} has no field {name!r}; known: {', '.join(self.module.fields)}"
                )
            record[name] = self._value(spec, value)
        return record

    def _value(self, spec: Field, value: Any) -> Any:
        if spec.api_name == "id":
            text = str(value or "")
            if text and not (text.isascii() and text.isdigit() and len(text) <= 19):
                raise ValueError(f"{value!r} is no id")
            return int(text) if text else None
        if value is None or value == "":
            return value
        if spec.api_name in {"Created_Time", "Modified_Time"}:
            moment = parse_iso(str(value))
            if moment is None:
                raise ValueError(f"{spec.api_name} is no date-time with offset: {value!r}")
            return int(moment)
        if spec.api_name == "Tag" and isinstance(value, list):
            return [self.tag(one) for one in value]
        if spec.data_type in {"lookup", "ownerlookup"}:
            return self._target(spec, value)
        if spec.data_type == "bigint" and isinstance(value, int):
            return str(value)
        if not fits(spec, value):
            raise ValueError(f"{spec.api_name} is no {spec.data_type}: {value!r}")
        return value

    @staticmethod
    def _target(spec: Field, value: Any) -> dict[str, Any]:
        text = str(value.get("id", "") if isinstance(value, dict) else value)
        if not (text.isascii() and text.isdigit()):
            raise ValueError(f"{spec.api_name} has no id: {value!r}")
        if spec.data_type == "lookup":
            return {"id": text}
        # Users of the organisation the file came from are kept as they are.
        known = _PEOPLE[text].short() if text in _PEOPLE else {"name": None, "id": text, "email": None}
        return {**known, **value} if isinstance(value, dict) else known
