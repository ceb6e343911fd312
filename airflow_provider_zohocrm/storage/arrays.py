"""Typed columns as Arrow arrays: whole columns at once where Arrow reads them as we do, else value by value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.exceptions import ZohoStorageError
from airflow_provider_zohocrm.storage.cells import to_json
from airflow_provider_zohocrm.storage.values import BLANK, TYPE_ERRORS, TypeErrors, typed_value

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from airflow_provider_zohocrm.storage.columns import Column

_NULL = type(None)
_MOST_DIGITS = 38


class ArrowRows:
    """Makes record batches of one schema.

    :param columns: the columns.
    :param errors: what happens to values that do not fit.
    :param path: the path as the user gave it, for errors.
    """

    def __init__(self, columns: Sequence[Column], errors: TypeErrors, path: str) -> None:
        import pyarrow as pa

        self._pa = pa
        self._path = path
        self._done = 0
        self._columns = list(columns)
        self._errors = errors
        extra = [TYPE_ERRORS] if errors.set_aside else []
        self.schema = pa.schema([(column.name, arrow_type(column)) for column in [*columns, *extra]])
        self._types = [field.type for field in self.schema]

    def batch(self, values: Sequence[Any], ids: Sequence[Any], rows: int) -> Any:
        """Make a record batch.

        :param values: per column what it holds: a list of values from Zoho's JSON, an Arrow array of the texts of CSV
            cells (null for an empty one), or None where all are null.
        :param ids: ids of the records, as a list or an Arrow array.
        :param rows: number of records.
        :return: the record batch.
        :raises ZohoTypeError: when a value does not fit its column.
        :raises ZohoStorageError: when a value has no JSON form, or a text is not Unicode.
        """
        aside: dict[int, dict[str, str]] = {}
        arrays = [
            self._array(held, column, type_, ids, rows, aside)
            for held, column, type_ in zip(values, self._columns, self._types, strict=False)
        ]
        if self._errors.set_aside:
            texts = [to_json(aside[row]).decode() if row in aside else None for row in range(rows)]
            arrays.append(self._pa.array(texts, self._types[-1]))
        self._done += rows
        return self._pa.RecordBatch.from_arrays(arrays, schema=self.schema)

    def _array(
        self,
        held: Any,
        column: Column,
        type_: Any,
        ids: Sequence[Any],
        rows: int,
        aside: dict[int, dict[str, str]],
    ) -> Any:
        pa = self._pa
        if held is None:
            return pa.nulls(rows, type_)
        try:
            fast = (
                _from_texts(held, column) if isinstance(held, pa.Array) else _from_json(held, column, type_)
            )
        except (pa.ArrowException, OverflowError, UnicodeEncodeError):
            # Whatever it is, value by value it is found, or fits.
            fast = None
        if fast is not None:
            return fast
        typed = [
            self._value(row, value, column, ids, aside)
            for row, value in enumerate(held.to_pylist() if isinstance(held, pa.Array) else held)
        ]
        try:
            return pa.array(typed, type_)
        except UnicodeEncodeError as error:
            raise ZohoStorageError(
                f"Cannot write {column.name} of one of the records {self._done + 1} to {self._done + rows} "
                f"to {self._path!r}: {error}."
            ) from error

    def _value(
        self, row: int, value: Any, column: Column, ids: Sequence[Any], aside: dict[int, dict[str, str]]
    ) -> Any:
        if value is None:
            return None
        try:
            typed = typed_value(value, column)
            return to_json(typed).decode() if column.kind == "json" and typed is not None else typed
        except TypeError as error:
            raise ZohoStorageError(
                f"Cannot write record {self._done + row + 1} to {self._path!r}: {error}."
            ) from error
        except ValueError:
            id_ = ids[row] if isinstance(ids, list) else ids[row].as_py()
            aside.setdefault(row, {})[column.name] = self._errors.add(value, column, id_)
            return None


def arrow_type(column: Column) -> Any:
    """Tell how a column is stored.

    :param column: the column.
    :return: its Arrow type; what is nested is text, of compact JSON.
    """
    import pyarrow as pa

    text = pa.string()
    if column.kind == "decimal":
        return pa.decimal128(_MOST_DIGITS, column.scale)
    return {
        "string": text,
        "integer": pa.int64(),
        "boolean": pa.bool_(),
        "date": pa.date32(),
        "datetime": pa.timestamp("us", "UTC"),
        "list": pa.list_(text),
        "lookup": pa.struct([("id", text), ("name", text)]),
        "user": pa.struct([("id", text), ("name", text), ("email", text)]),
        "json": text,
    }[column.kind]


def _from_json(values: Sequence[Any], column: Column, type_: Any) -> Any:
    """Make an array of values from Zoho's JSON at once.

    :return: the array; None where that may differ from :func:`typed_value`, which must be asked then.
    """
    import pyarrow as pa

    kinds = set(map(type, values)) - {_NULL}
    if not kinds:
        return pa.nulls(len(values), type_)
    if kinds == {str}:
        return _from_texts(pa.array(values, pa.string()), column)
    if column.kind == "decimal" and kinds <= {int, float}:
        # The shortest text that means this float, which is what Zoho sent.
        texts = [None if value is None else repr(value) for value in values]
        return _from_texts(pa.array(texts, pa.string()), column)
    if (column.kind, kinds) in (("integer", {int}), ("boolean", {bool})):
        return pa.array(values, type_)
    if column.kind == "list" and kinds == {list}:
        array = pa.array(values, type_)
        return None if array.flatten().null_count else array
    if column.kind in ("lookup", "user") and kinds == {dict}:
        array = pa.array(values, type_)
        ids = array.flatten()[0]
        return array if ids.null_count == array.null_count else None
    return None


def _from_texts(texts: Any, column: Column) -> Any:
    """Make an array of texts at once.

    :return: the array; None where that may differ from :func:`typed_value`, which must be asked then.
    """
    import pyarrow.compute as pc

    kind = column.kind
    if kind == "string":
        return texts
    if kind == "json":
        return None
    if kind == "list":
        return _split(texts)
    if kind in ("lookup", "user"):
        return _bare_ids(texts, column)
    if kind == "decimal":
        return _decimals(texts, column)
    array = texts.cast(arrow_type(column))
    if kind == "integer":
        # Arrow takes 0x1F for a number.
        same = pc.all(pc.equal(array.cast(texts.type), texts)).as_py()
        return array if same is not False else None
    if kind in ("date", "datetime"):
        return _in_range(array)
    return array


def _decimals(texts: Any, column: Column) -> Any:
    """Make an array of decimals; the few that Arrow may read wrong are read one by one.

    Beyond 38 digits it overflows, and it takes 1E+-2 for a number.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    type_ = arrow_type(column)
    long = pc.greater(pc.binary_length(texts), _MOST_DIGITS - column.scale)
    exponents = pc.match_substring(texts, "e", ignore_case=True)
    odd = pc.fill_null(pc.or_(long, exponents), False)
    if not pc.any(odd).as_py():
        return texts.cast(type_)
    try:
        read = [typed_value(text, column) for text in texts.filter(odd).to_pylist()]
    except ValueError:
        return None
    plain = pc.if_else(odd, pa.scalar(None, texts.type), texts).cast(type_)
    return pc.replace_with_mask(plain, odd, pa.array(read, type_))


def _in_range(array: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    ends = pc.min_max(array)
    try:
        # Arrow knows years that Python and most readers do not.
        _: list[date | None] = [ends[end].as_py() for end in ("min", "max")]
    except (ValueError, OverflowError, pa.ArrowException):
        return None
    return array


def _split(texts: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    lists = pc.split_pattern(texts, ";")
    parts = pc.ascii_trim(lists.values, BLANK)
    if pc.any(pc.equal(parts, "")).as_py():
        return None
    return pa.ListArray.from_arrays(lists.offsets, parts, mask=lists.is_null())


def _bare_ids(texts: Any, column: Column) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pc.any(pc.equal(texts, "")).as_py():
        return None
    type_ = arrow_type(column)
    nulls = [pa.nulls(len(texts), pa.string())] * (type_.num_fields - 1)
    return pa.StructArray.from_arrays([texts, *nulls], fields=list(type_), mask=texts.is_null())
