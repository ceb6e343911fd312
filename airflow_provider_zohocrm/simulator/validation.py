"""What Zoho checks in a record that is written (sheet §10.2)."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.simulator.clock import parse_iso
from airflow_provider_zohocrm.simulator.errors import envelope
from airflow_provider_zohocrm.simulator.modules import USERS, Field, Module, Row

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow_provider_zohocrm.simulator.state import State

_EMAIL = re.compile(r"[^@\s,;\"]+@[^@\s,;\"]+\.[^@\s,;\"]+")
_PHONE = re.compile(r"[+]?[0-9a-zA-Z()\-./ ;*#]*")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


class RecordError(Exception):
    """A record that is refused while others of the call are stored."""

    def __init__(self, code: str, message: str, details: dict[str, Any], json_path: str | None) -> None:
        super().__init__(code)
        self.code = code
        self.message = message
        self.details = details
        self.json_path = json_path

    def element(self, *, json_path: bool) -> dict[str, Any]:
        """Build the element of ``data[]``.

        :param json_path: v2 does not tell the place (sheet §8).
        """
        details = dict(self.details)
        if json_path and self.json_path:
            details["json_path"] = self.json_path
        return envelope(self.code, self.message, details)


def record_locked(record_id: str) -> RecordError:
    """Build the error of a write to a locked record (sheet §9).

    :param record_id: its id.
    """
    message = "You cannot perform this operation as the record is locked."
    return RecordError("RECORD_LOCKED", message, {"action": "record_locking", "id": record_id}, None)


def is_day(value: Any) -> bool:
    """Tell whether a value is a date that exists.

    :param value: text as ``2024-02-29``.
    """
    if not isinstance(value, str) or not _DAY.fullmatch(value):
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_bigint(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    return bool(re.fullmatch(r"-?\d{1,19}", value)) if isinstance(value, str) else isinstance(value, int)


def _is_list_of(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(isinstance(one, kind) for one in value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "email": lambda value: isinstance(value, str) and bool(_EMAIL.fullmatch(value)),
    "phone": lambda value: isinstance(value, str) and bool(_PHONE.fullmatch(value)),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "double": _is_number,
    "currency": _is_number,
    "bigint": _is_bigint,
    "boolean": lambda value: isinstance(value, bool),
    "date": is_day,
    "datetime": lambda value: isinstance(value, str) and parse_iso(value) is not None,
    "multiselectpicklist": _is_list_of(str),
    "subform": _is_list_of(dict),
}

_NUMBER_LIMITS = {"integer": 2_147_483_647, "double": 10**16, "currency": 10**16}


def fits(spec: Field, value: Any) -> bool:
    """Tell whether a value that is not empty has the type of its field.

    :param spec: the field, neither a lookup nor an owner.
    :param value: as in JSON.
    """
    return _CHECKS.get(spec.data_type, _is_text)(value)


class Validator:
    """Checks one record and brings its values into the form they are stored in."""

    def __init__(self, state: State, module: Module, index: int) -> None:
        self.state = state
        self.module = module
        self.index = index

    def values(self, record: dict[str, Any], row: Row | None) -> dict[str, Any]:
        """Check a record.

        :param record: as it was sent.
        :param row: the record it changes, ``None`` for a new one.
        :returns: the values to store; unknown and read-only fields are left out.
        :raises RecordError: for the first error, or for all if the option says so.
        """
        errors: list[RecordError] = []
        values: dict[str, Any] = {}
        for name, spec in self.module.fields.items():
            if name not in record and not spec.mandatory:
                continue
            error = self._take(spec, record, row, values)
            if error is not None:
                errors.append(error)
        if len(errors) > 1 and self.state.options.multi_errors:
            inner = [error.element(json_path=True) for error in errors]
            raise RecordError(
                "MULTIPLE_OR_MULTI_ERRORS", "Multiple errors in the request", {"errors": inner}, None
            )
        if errors:
            raise errors[0]
        self._append(record.get("$append_values"), values, row)
        return values

    def _take(
        self, spec: Field, record: dict[str, Any], row: Row | None, values: dict[str, Any]
    ) -> RecordError | None:
        if spec.api_name not in record or spec.read_only:
            missing = spec.mandatory and row is None and spec.api_name not in record
            return self._missing(spec) if missing else None
        try:
            values[spec.api_name] = self._value(spec, record[spec.api_name], row)
        except RecordError as error:
            return error
        return None

    def _path(self, spec: Field) -> str:
        return f"$.data[{self.index}].{spec.api_name}"

    def _missing(self, spec: Field) -> RecordError:
        return RecordError(
            "MANDATORY_NOT_FOUND", "required field not found", {"api_name": spec.api_name}, self._path(spec)
        )

    def _wrong_type(self, spec: Field) -> RecordError:
        details = {"expected_data_type": spec.data_type, "api_name": spec.api_name}
        return RecordError("INVALID_DATA", "invalid data", details, self._path(spec))

    def _value(self, spec: Field, value: Any, row: Row | None) -> Any:
        if value is None or value == "":
            if spec.mandatory:
                raise self._missing(spec)
            return value if spec.json_type == "string" and spec.data_type == "text" else None
        if spec.api_name == "Tag":
            return self._tags(spec, value)
        if spec.data_type in {"lookup", "ownerlookup"}:
            return self._target(spec, value)
        if not fits(spec, value):
            raise self._wrong_type(spec)
        self._check_length(spec, value)
        value = str(value) if spec.data_type == "bigint" else value
        if spec.unique:
            self._check_unique(spec, value, row)
        return value

    def _check_length(self, spec: Field, value: Any) -> None:
        limit = _NUMBER_LIMITS.get(spec.data_type)
        too_long = (
            abs(value) > limit if limit is not None else isinstance(value, str) and len(value) > spec.length
        )
        if too_long:
            details = {"maximum_length": spec.length, "api_name": spec.api_name}
            raise RecordError("INVALID_DATA", "invalid data", details, self._path(spec))

    def _check_unique(self, spec: Field, value: Any, row: Row | None) -> None:
        found = self.state.store.find(self.module, spec, value)
        if found is None or (row is not None and found == row.id):
            return
        other = self.state.store.row(self.module, found)
        # An Owner that was set to null is stored so.
        owner = (other and self.state.store.value(other, self.module.fields["Owner"])) or {}
        details = {
            "api_name": spec.api_name,
            "duplicate_record": {"Owner": {"name": owner.get("name"), "id": owner.get("id"), "zuid": "6512345"}, "id": str(found)},
            "id": str(found),
            "more_records": False,
        }  # fmt: skip
        raise RecordError("DUPLICATE_DATA", "duplicate data", details, self._path(spec))

    def _target(self, spec: Field, value: Any) -> Any:
        text = str(value.get("id", "")) if isinstance(value, dict) else value
        if not isinstance(text, str) or (not isinstance(value, dict) and not text.isdigit()):
            details = {"expected_data_type": "jsonobject", "api_name": spec.api_name}
            raise RecordError("INVALID_DATA", "invalid data", details, self._path(spec))
        invalid = RecordError(
            "INVALID_DATA",
            "the id given seems to be invalid",
            {"api_name": spec.api_name},
            f"{self._path(spec)}.id",
        )
        if spec.data_type == "ownerlookup":
            user = next((user for user in USERS if user.id == text), None)
            if user is None:
                raise invalid
            return user.short()
        target = self.state.store.modules[spec.lookup]
        if not text.isdigit() or len(text) > 19 or self.state.store.row(target, int(text)) is None:
            raise invalid
        return {"id": text}

    def _tags(self, spec: Field, value: Any) -> list[dict[str, Any]]:
        if not isinstance(value, list) or not all(isinstance(tag, (str, dict)) for tag in value):
            raise self._wrong_type(spec)
        return [self.state.tag(tag) for tag in value]

    def _append(self, wanted: Any, values: dict[str, Any], row: Row | None) -> None:
        if row is None or not isinstance(wanted, dict):
            return
        for name, append in wanted.items():
            if append is True and isinstance(values.get(name), list):
                before = self.state.store.value(row, self.module.fields[name]) or []
                values[name] = before + [one for one in values[name] if one not in before]
