"""What a bulk write is to do with its file: ``resource`` of the request, read and checked (sheet §5)."""

from __future__ import annotations

import codecs
import csv
import io
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.simulator import permissions
from airflow_provider_zohocrm.simulator.bulk_read import bad
from airflow_provider_zohocrm.simulator.cells import strptime_format

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping as Lookup

    from airflow_provider_zohocrm.simulator.modules import Field, Module
    from airflow_provider_zohocrm.simulator.state import State

OPERATIONS = ("insert", "update", "upsert")
MAX_COLUMNS = 200
# No source lists these by name beyond "Created/Modified system fields, formula, auto-number, file and image".
NOT_WRITABLE = {"subform", "profileimage"}


@dataclass(frozen=True)
class Mapping:
    """Where the value of a field comes from."""

    spec: Field
    index: int | None
    form: str | None = None
    """Format of a date for ``strptime``."""
    default: Any = None
    target: tuple[Module, Field] | None = None
    """The cell holds this field of the record a lookup points at."""
    parent: str | None = None
    """The cell points at a row of the csv of this module in the same job …"""
    parent_column: int | None = None
    """… by the text in this column of it."""

    def text(self, cells: list[str]) -> str:
        """Return the cell; a row may be shorter than the header.

        :param cells: the row.
        """
        return cells[self.index] if self.index is not None and self.index < len(cells) else ""


@dataclass
class Part:
    """One element of ``resource``: a csv and its module."""

    module: Module
    member: str
    find_by: str | None
    ignore_empty: bool
    mappings: list[Mapping]
    echo: list[dict[str, Any]]
    """``field_mappings`` as shown in the job."""
    file_id: str
    added: int = 0
    updated: int = 0
    skipped: int = 0
    total: int = 0

    def rows(self, archive: zipfile.ZipFile, encoding: str) -> Iterator[list[str]]:
        """Read the rows behind the header.

        :param archive: the zip.
        :param encoding: of the csv.
        """
        with (
            archive.open(self.member) as raw,
            io.TextIOWrapper(raw, text_encoding(encoding), newline="") as text,
        ):
            reader = csv.reader(text)
            next(reader, None)
            yield from (row for row in reader if row)

    def describe(self, state: str, *, done: bool, failure: str) -> dict[str, Any]:
        """Build the element of ``resource`` of a job.

        :param state: as shown.
        :param done: the counters are shown.
        :param failure: code of a job that failed.
        """
        counters = {
            "added_count": self.added,
            "skipped_count": self.skipped,
            "updated_count": self.updated,
            "total_count": self.total,
        }
        shown: dict[str, Any] = {
            "status": state,
            "type": "data",
            "module": {"api_name": self.module.api_name, "id": self.module.module_id},
            "field_mappings": self.echo,
            "file": {
                "status": state,
                "name": self.member,
                **(counters if done else dict.fromkeys(counters, 0)),
            },
        }
        if self.find_by:
            shown["find_by"] = self.find_by
        if self.ignore_empty:
            shown["ignore_empty"] = True
        return {**shown, "code": failure} if failure and state == "FAILED" else shown


def text_encoding(name: str) -> str:
    """Return the codec for ``character_encoding``: a byte order mark is no part of the first header.

    :param name: for example ``UTF-8``.
    """
    return "utf-8-sig" if name.lower() in {"utf-8", "utf8"} else name


def _missing(key: str, path: str) -> Exception:
    message = f"required key {key} is not found in request body."
    return bad("MANDATORY_NOT_FOUND", message, {"api_name": key, "json_path": path})


def _missing_key(path: str) -> Exception:
    return bad("MISSING_REQUIRED_KEY", "required key is missing", {"json_path": path})


class PlanReader:
    """Reads the body of a create request."""

    def __init__(self, state: State, uploads: Lookup[str, bytes], rank: float) -> None:
        """Prepare.

        :param state: the simulator.
        :param uploads: zip by file id.
        :param rank: version of the call: several csv in one zip come with v6.
        """
        self.state = state
        self.uploads = uploads
        self.rank = rank
        self.operation = ""
        self.encoding = "UTF-8"

    def read(self, content: dict[str, Any]) -> tuple[str, str, bytes, list[Part]]:
        """Read and check everything.

        :param content: the body.
        :returns: operation, encoding, zip and parts.
        """
        self.operation = self._operation(content)
        self.encoding = self._encoding(content)
        resources = content.get("resource")
        if resources is None:
            raise _missing("resource", "$.resource")
        if not isinstance(resources, list) or not all(isinstance(one, dict) for one in resources):
            details = {"api_name": "resource", "expected_data_type": "jsonarray"}
            raise bad("INVALID_DATA", "invalid data", details)
        if not resources:
            raise bad("INVALID_REQUEST", "the request is invalid")
        parts = [self._part(one, n, content) for n, one in enumerate(resources)]
        if len({part.file_id for part in parts}) > 1:
            raise bad("INVALID_REQUEST", "all resources of a job come from one file")
        return self.operation, self.encoding, self.uploads[parts[0].file_id], parts

    @staticmethod
    def _operation(content: dict[str, Any]) -> str:
        operation = content.get("operation")
        if operation is None:
            raise _missing("operation", "$.operation")
        if operation not in OPERATIONS:
            details = {"api_name": "operation", "supported_values": list(OPERATIONS)}
            raise bad("INVALID_DATA", "invalid data", details)
        return str(operation)

    @staticmethod
    def _encoding(content: dict[str, Any]) -> str:
        encoding = content.get("character_encoding") or "UTF-8"
        try:
            codecs.lookup(str(encoding))
        except LookupError as error:
            raise bad("INVALID_DATA", "invalid data", {"api_name": "character_encoding"}) from error
        return str(encoding)

    def _part(self, one: dict[str, Any], number: int, content: dict[str, Any]) -> Part:
        path = f"$.resource[{number}]"
        if "type" not in one:
            raise _missing_key(f"{path}.type")
        if one["type"] != "data":
            raise bad("INVALID_DATA", "invalid data", {"api_name": "type", "supported_values": ["data"]})
        if "ignore_empty" in one and "ignore_empty" in content:
            # Which keys exclude each other is not told; this one has two places.
            details = {"api_name": "ignore_empty", "json_path": f"{path}.ignore_empty"}
            raise bad("COEXISTENCE_NOT_ALLOWED", "the keys are not allowed together", details)
        module = self._module(one, path)
        file_id, member, header, rows = self._file(one, path)
        limit = self.state.options.bulk_write_rows
        if len(header) > MAX_COLUMNS:
            raise bad("HEADER_LIMIT_EXCEEDED", "the number of columns is exceeded", {"limit": MAX_COLUMNS})
        if rows > limit:
            raise bad("LIMIT_EXCEEDED", "the number of rows is exceeded", {"limit": limit})
        mappings, echo = self._mappings(one, module, header, path)
        find_by = self._find_by(one, module, mappings, path)
        named = {mapping.spec.api_name for mapping in mappings}
        lacking = [f.api_name for f in module.fields.values() if f.mandatory and f.api_name not in named]
        if self.operation != "update" and lacking:
            message = "All mandatory fields are not mapped for the layout"
            raise bad("MANDATORY_FIELDS_NOT_MAPPED", message, {"fields": lacking})
        ignore = bool(one.get("ignore_empty", content.get("ignore_empty", False)))
        return Part(module, member, find_by, ignore, mappings, echo, file_id)

    def _module(self, one: dict[str, Any], path: str) -> Module:
        given = one.get("module")
        name = given.get("api_name") if isinstance(given, dict) else None
        if name is None:
            raise _missing_key(f"{path}.module.api_name")
        module = self.state.store.modules.get(str(name))
        if module is None:
            message = f"Requested module '{name}' is not available."
            raise bad("MODULE_NOT_AVAILABLE", message, {"api_name": name, "json_path": f"{path}.module"})
        permissions.check(self.state.options, module, "POST" if self.operation == "insert" else "PUT")
        return module

    def _file(self, one: dict[str, Any], path: str) -> tuple[str, str, list[str], int]:
        file_id = one.get("file_id")
        if file_id is None:
            raise _missing("file_id", f"{path}.file_id")
        file_id = str(file_id)
        if not file_id.isdigit():
            raise bad("INVALID_FILE_ID", "improper file id", {"json_path": f"{path}.file_id"})
        if file_id not in self.uploads:
            raise bad("FILE_NOT_FOUND", "the file is not found", {"json_path": f"{path}.file_id"})
        unsupported = bad("FILE_NOT_SUPPORTED", "File not supported for bulk write", {"file_id": file_id})
        with zipfile.ZipFile(io.BytesIO(self.uploads[file_id])) as archive:
            members = [name for name in archive.namelist() if name.lower().endswith(".csv")]
            names = one.get("file_names")
            if names is not None:
                if self.rank < 6 or not isinstance(names, list) or len(names) != 1 or names[0] not in members:
                    raise unsupported
                members = names
            if len(members) != 1:
                raise unsupported
            try:
                with archive.open(members[0]) as raw:
                    text = io.TextIOWrapper(raw, text_encoding(self.encoding), newline="")
                    reader = csv.reader(text)
                    header = next(reader, [])
                    rows = sum(1 for row in reader if row)
            except (UnicodeDecodeError, csv.Error) as error:
                raise unsupported from error
        if not header:
            raise unsupported
        return file_id, str(members[0]), header, rows

    def _mappings(
        self, one: dict[str, Any], module: Module, header: list[str], path: str
    ) -> tuple[list[Mapping], list[dict[str, Any]]]:
        given = one.get("field_mappings")
        if given is None:
            # The header names the fields.
            given = [{"api_name": name, "index": n} for n, name in enumerate(header)]
        if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
            details = {"api_name": "field_mappings", "expected_data_type": "jsonarray"}
            raise bad("INVALID_DATA", "invalid data", details)
        mappings = [
            self._mapping(item, module, len(header), f"{path}.field_mappings[{n}]")
            for n, item in enumerate(given)
        ]
        empty = {"format": None, "find_by": None, "default_value": None}
        return mappings, [{**empty, **item} for item in given]

    def _mapping(self, item: dict[str, Any], module: Module, columns: int, path: str) -> Mapping:
        name = item.get("api_name")
        if name is None:
            raise _missing_key(f"{path}.api_name")
        # The header of bulk read files is "Id".
        spec = module.fields.get("id" if str(name).lower() == "id" else str(name))
        if spec is None or spec.data_type in NOT_WRITABLE or (spec.read_only and spec.api_name != "id"):
            message = f"invalid mapping. invalid api_name {name}."
            raise bad("INVALID_FIELD", message, {"api_name": name, "json_path": path})
        default = item.get("default_value")
        value = default.get("value") if isinstance(default, dict) else None
        index = item.get("index")
        if index is None and value is None:
            message = f"required key index for field {name} is not found in request body."
            raise bad("MANDATORY_NOT_FOUND", message, {"api_name": "index", "json_path": f"{path}.index"})
        if index is not None and (not isinstance(index, int) or not 0 <= index < columns):
            details = {"api_name": name, "index": index, "json_path": f"{path}.index"}
            raise bad("COLUMN_INDEX_NOT_FOUND", "the column index is not found", details)
        form = None
        if item.get("format"):
            form = strptime_format(str(item["format"]))
            if form is None or spec.data_type not in {"date", "datetime"}:
                raise bad("INVALID_FORMAT", "the format is invalid", {"json_path": f"{path}.format"})
        parent, column = self._parent(item, path)
        return Mapping(spec, index, form, value, self._target(item, spec, path), parent, column)

    def _parent(self, item: dict[str, Any], path: str) -> tuple[str | None, int | None]:
        if not item.get("module"):
            return None, None
        column = item.get("parent_column_index")
        if column is None:
            message = "Required key parent_column_index is not available"
            raise bad("MANDATORY_NOT_FOUND", message, {"json_path": f"{path}.parent_column_index"})
        return str(item["module"]), int(column)

    def _target(self, item: dict[str, Any], spec: Field, path: str) -> tuple[Module, Field] | None:
        by = item.get("find_by")
        if not by or by == "id":
            return None
        target = self.state.store.modules.get(spec.lookup)
        if target is None or by not in {*target.unique, target.duplicate_field}:
            raise bad("INVALID_DATA", "invalid data", {"api_name": "find_by", "json_path": f"{path}.find_by"})
        return target, target.fields[by]

    def _find_by(self, one: dict[str, Any], module: Module, mappings: list[Mapping], path: str) -> str | None:
        if self.operation == "insert":
            return None
        by = one.get("find_by")
        if not by:
            message = "Required key find_by is not available"
            raise bad("MANDATORY_NOT_FOUND", message, {"api_name": "find_by", "json_path": f"{path}.find_by"})
        supported = ["id", *filter(None, [module.duplicate_field]), *module.unique]
        if by not in supported:
            details = {"api_name": "find_by", "supported_values": supported}
            raise bad("INVALID_DATA", "invalid data", {**details, "json_path": f"{path}.find_by"})
        if all(mapping.spec.api_name != by for mapping in mappings):
            raise bad("MANDATORY_FIELDS_NOT_MAPPED", f"{by} is not mapped", {"fields": [by]})
        return str(by)
