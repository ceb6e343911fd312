"""Rows of input as records for Zoho, and what Zoho would refuse of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider_zohocrm.exact_json import loads
from airflow_provider_zohocrm.exceptions import ZohoValidationError
from airflow_provider_zohocrm.loading.converters import (
    EMPTY,
    Convert,
    ConvertRow,
    RefusedError,
    converter_of,
    id_converter,
    parsed,
    plain,
    sendable,
    untyped,
    untyped_row,
    valid_id,
)
from airflow_provider_zohocrm.loading.keys import SYSTEM_FIELDS, is_unique
from airflow_provider_zohocrm.storage.values import TYPE_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    RowFields = Callable[[Mapping[str, Any]], Sequence[Mapping[str, Any]] | None]

OPERATIONS = ("insert", "update", "upsert", "delete")
# Zoho takes them in every module, whether its metadata tells of them or not.
_ALWAYS_KNOWN = {"Layout", "Owner", "Tag"}
_MISSING = "required field not found"


class Rejection(NamedTuple):
    """Why a record is not sent, in Zoho's words.

    :param code: the code Zoho itself would give (reference sheet §7).
    :param message: the message Zoho would give.
    :param details: as Zoho's ``details``, without ``json_path``.
    :param json_path: where in the record, e.g. ``$.Company`` or ``$.Positions[2].Quantity``.
    """

    code: str
    message: str
    details: dict[str, Any]
    json_path: str


class Preparation:
    """Turns input rows into records for Zoho, and rejects locally what Zoho would refuse.

    Only what Zoho refuses for certain is rejected; the rest is left to Zoho. Read-only fields are sent and not
    checked, as Zoho ignores them; values of picklists are not checked either.

    :param fields: Zoho's field objects, see ``get_fields``. None: nothing is converted beyond ``mapping``.
    :param operation: ``insert``, ``update``, ``upsert`` or ``delete``.
    :param mapping: column → API name of the field; a column mapped to ``""`` or None is left out, and one that is not
        mapped keeps its name.
    :param ignore_empty: True leaves an empty text, null and NaN out, so that the field stays as it is; False sends
        null, which empties the field.
    :param validate: False leaves all rejecting to Zoho.
    :param checked: the fields of the duplicate check, see ``keys.duplicate_check``; None for all it might be made of.
    :param external_id: field that stands in for the record id (``X-EXTERNAL``).
    :param row_fields: takes the field object of a subform and returns those of its rows, or None where they are not
        known; asked when the first row of a subform comes. None: rows are sent as they are.
    :raises ZohoValidationError: when two columns are mapped to one field, or one to a field that is not there.
    """

    def __init__(
        self,
        fields: Sequence[Mapping[str, Any]] | None,
        operation: str,
        *,
        mapping: Mapping[str, str] | None = None,
        ignore_empty: bool = True,
        validate: bool = True,
        checked: Sequence[str] | None = None,
        external_id: str | None = None,
        row_fields: RowFields | None = None,
    ) -> None:
        if operation not in OPERATIONS:
            raise ZohoValidationError(
                f"operation is {operation!r}; it must be one of {', '.join(OPERATIONS)}"
            )
        self._operation = operation
        self._validate = validate
        self._external_id = external_id
        known = [] if fields is None else list(fields)
        self._columns = _Columns(fields, mapping or {}, ignore_empty=ignore_empty, row_fields=row_fields)
        self._order = {field["api_name"]: place for place, field in enumerate(known)}
        self._mandatory = mandatory_fields(known)
        self._updating = _updating(known, checked, external_id)

    def prepare(self, row: Mapping[str, Any], *, texts: bool) -> dict[str, Any] | Rejection:
        """Turn one row into a record.

        :param row: values by column.
        :param texts: the row's values are CSV texts; there the column ``Id`` of a bulk export is the ``id``.
        :return: the record to send (for ``delete``: its id only), or why not to send it.
        :raises ZohoValidationError: when two columns are for one field.
        """
        if TYPE_ERRORS.name in row:
            row = _with_set_aside(row)
        record, problems = self._columns.convert(row, texts=texts)
        if self._operation == "delete":
            return self._deletion(record)
        if not self._validate:
            return record
        if self._operation != "insert":
            refused = self._refused_id(record)
            if refused is not None:
                return _rejection("id", refused)
        for name in self._mandatory:
            if record.get(name) is None and (name in record or self._is_new(record)):
                problems.append((name, _missing(name)))
        return record if not problems else self._first(problems)

    def _first(self, problems: list[tuple[str, RefusedError]]) -> Rejection:
        last = len(self._order)
        return _rejection(*min(problems, key=lambda one: self._order.get(one[0], last)))

    def _is_new(self, record: Mapping[str, Any]) -> bool:
        if self._operation != "upsert":
            return self._operation == "insert"
        return not any(record.get(name) not in (None, "") for name in self._updating)

    def _refused_id(self, record: Mapping[str, Any]) -> RefusedError | None:
        given = record.get("id")
        if given is None:
            external = self._external_id is not None and record.get(self._external_id) is not None
            return _missing("id") if self._operation == "update" and not external else None
        if valid_id(given) is None:
            details = {"id": str(given), "api_name": "id"}
            return RefusedError(given, details, message="the id given seems to be invalid")
        return None

    def _deletion(self, record: Mapping[str, Any]) -> dict[str, Any] | Rejection:
        # Also without validation: ids travel in one parameter, where a bad one would take others along.
        name = self._external_id or "id"
        given = record.get("id") if record.get(name) is None else record[name]
        if given is None:
            return _rejection("id", _missing("id"))
        one = valid_id(given) is not None if self._external_id is None else _is_one(str(given))
        if not one:
            refused = RefusedError(given, {"id": str(given)}, message="record not deleted")
            return _rejection("id", refused)
        return {name: given}


class _Columns:
    """Converts rows column by column.

    :param fields: Zoho's field objects, or None where nothing is known.
    :param mapping: column → API name.
    :param ignore_empty: leave out what is empty.
    :param row_fields: see :class:`Preparation`.
    """

    def __init__(
        self,
        fields: Sequence[Mapping[str, Any]] | None,
        mapping: Mapping[str, str | None],
        *,
        ignore_empty: bool,
        row_fields: RowFields | None = None,
    ) -> None:
        self._fields = None if fields is None else {field["api_name"]: field for field in fields}
        self._mapping = mapping
        self._ignore_empty = ignore_empty
        self._row_fields = row_fields
        self._targets: dict[str, tuple[str, Convert]] = {}
        self._taken: dict[str, str] = {}
        for column, name in mapping.items():
            if name and not self._is_known(name):
                raise ZohoValidationError(
                    f"mapping gives column {column!r} the field {name!r}, which the module has not: "
                    "use its API name, not its label"
                )
            self._target(column, texts=False)

    def convert(
        self, row: Mapping[str, Any], *, texts: bool = False
    ) -> tuple[dict[str, Any], list[tuple[str, RefusedError]]]:
        """Convert a row.

        :return: the record, and the fields Zoho would refuse in it, which hold what to send all the same.
        """
        record: dict[str, Any] = {}
        problems: list[tuple[str, RefusedError]] = []
        targets, ignore_empty = self._targets, self._ignore_empty
        for column, value in row.items():
            name, convert = targets.get(column) or self._target(column, texts=texts)
            if not name:
                continue
            try:
                converted = convert(value)
            except RefusedError as refused:
                problems.append((name, refused))
                converted = refused.value
            if converted is EMPTY:
                if ignore_empty or name == "id":
                    continue
                converted = None
            record[name] = converted
        return record, problems

    def _is_known(self, name: str) -> bool:
        return (
            self._fields is None
            or name in self._fields
            or name == "id"
            or name.startswith("$")
            or name in _ALWAYS_KNOWN
        )

    def _target(self, column: str, *, texts: bool) -> tuple[str, Convert]:
        name = self._mapping.get(column, column) or ""
        if texts and name == column and column.lower() == "id" and column not in (self._fields or ()):
            name = "id"
        other = self._taken.setdefault(name, column) if name else column
        if other != column:
            raise ZohoValidationError(
                f"the columns {other!r} and {column!r} are both for the field {name!r}: "
                "map one of them to another field, or to None to leave it out"
            )
        target = self._targets[column] = (name, self._converter(name))
        return target

    def _converter(self, name: str) -> Convert:
        if name == "id":
            return id_converter
        if self._fields is None:
            return untyped
        if name.startswith("$"):
            return parsed
        if name == "_delete":
            return _nothing
        field = self._fields.get(name)
        if field is None and name not in _ALWAYS_KNOWN:
            return _unknown(name)
        if field is None:
            return converter_of({"api_name": name})
        convert = converter_of(field, self._row_converter(field))
        return convert if _writable(field) else _unchecked(convert)

    def _row_converter(self, subform: Mapping[str, Any]) -> ConvertRow:
        """Make what converts the rows of a subform; their fields are asked for when the first comes."""
        known: ConvertRow | None = None

        def convert(row: Mapping[str, Any]) -> tuple[dict[str, Any], list[tuple[str, RefusedError]]]:
            nonlocal known
            if known is None:
                fields = self._row_fields(subform) if self._row_fields else None
                known = (
                    untyped_row
                    if fields is None
                    else _Columns(fields, {}, ignore_empty=self._ignore_empty).convert
                )
            return known(row)

        return convert


def _is_one(external: str) -> bool:
    """Tell whether a text names one record in the parameters of a call."""
    return "," not in external and not any("\ud800" <= one <= "\udfff" for one in external)


def _nothing(_value: Any) -> None:
    """Convert ``_delete``, which is null by its nature (it takes a row out of a subform)."""


def _unknown(name: str) -> Convert:
    message = "the module has no field of this name; map the column to a field, or to None to leave it out"

    def convert(value: Any) -> Any:
        value = plain(value)
        if value is EMPTY or value == "":
            return EMPTY
        raise RefusedError(sendable(value), {"api_name": name}, message=message)

    return convert


def _unchecked(convert: Convert) -> Convert:
    def unchecked(value: Any) -> Any:
        try:
            return convert(value)
        except RefusedError as refused:
            return refused.value

    return unchecked


def _with_set_aside(row: Mapping[str, Any]) -> dict[str, Any]:
    """Put values that the extraction set aside back into their columns."""
    values = {column: value for column, value in row.items() if column != TYPE_ERRORS.name}
    aside = row[TYPE_ERRORS.name]
    if isinstance(aside, str) and aside:
        try:
            aside = loads(aside.encode())
        except ValueError:
            aside = None
    return values | aside if isinstance(aside, dict) else values


def _writable(field: Mapping[str, Any]) -> bool:
    return not (field.get("read_only") or field.get("field_read_only"))


def mandatory_fields(fields: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Name the fields without which Zoho refuses a new record for certain.

    :param fields: Zoho's field objects.
    """
    return tuple(field["api_name"] for field in fields if _mandatory(field))


def _mandatory(field: Mapping[str, Any]) -> bool:
    # Zoho fills some in by itself.
    own = field["api_name"] == "Owner" or field.get("data_type") == "boolean" or field.get("default_value")
    return bool(field.get("system_mandatory")) and _writable(field) and not own


def _updating(
    fields: Sequence[Mapping[str, Any]], checked: Sequence[str] | None, external_id: str | None
) -> tuple[str, ...]:
    """Name the fields by which an upsert may find the record to update."""
    if checked is None:
        checked = [field["api_name"] for field in fields if is_unique(field)]
        checked += [field["api_name"] for field in fields if field["api_name"] in SYSTEM_FIELDS]
    return tuple(dict.fromkeys(["id", *checked, *([external_id] if external_id else [])]))


def _missing(name: str) -> RefusedError:
    return RefusedError(None, {"api_name": name}, code="MANDATORY_NOT_FOUND", message=_MISSING)


def _rejection(name: str, refused: RefusedError) -> Rejection:
    return Rejection(refused.code, refused.message, refused.details, f"$.{name}{refused.place}")
