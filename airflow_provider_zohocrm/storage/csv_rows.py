"""The rows of a CSV file, checked."""

from __future__ import annotations

import csv
import io
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from airflow_provider_zohocrm.exceptions import ZohoCRMError

# Python's own limit of 131,072 characters is below what a field may hold once it is written as JSON.
LONGEST_CELL = 64 << 20
_BUFFER = 1 << 20


@contextmanager
def csv_rows(
    file: BinaryIO, name: str, error: type[ZohoCRMError], *, header: list[str] | None = None, line: int = 0
) -> Iterator[CsvRows]:
    """Read RFC 4180 in UTF-8, with or without a byte order mark, as a stream.

    :param file: binary file; it is left open.
    :param name: what the file is called in errors.
    :param error: class of the errors raised: bytes that are no UTF-8, a quote that does not end, or a row that is
        shorter or longer than the header.
    :param header: the header, where the file is the part of another that comes after it.
    :param line: number of lines before this part.
    :return: context manager that gives the :class:`CsvRows`.
    """
    buffered = io.BufferedReader(cast("Any", file), _BUFFER)
    text = io.TextIOWrapper(buffered, "utf-8-sig", newline="")
    try:
        yield CsvRows(text, name, error, header, line)
    finally:
        # Collected with the file still inside, they would close it.
        with suppress(ValueError):
            text.detach()
            buffered.detach()


class CsvRows:
    """The rows of a CSV file; iterate for those after the header.

    Empty lines are left out. A row is a list of texts as long as the header. Made by :func:`csv_rows`.
    """

    def __init__(
        self,
        text: io.TextIOWrapper,
        name: str,
        error: type[ZohoCRMError],
        header: list[str] | None,
        line: int,
    ) -> None:
        self._name = name
        self._before = line
        self._error = error
        # One setting for the whole process: only ever raised.
        csv.field_size_limit(max(csv.field_size_limit(), LONGEST_CELL))
        self._reader = csv.reader(text, strict=True)
        self._rows = self._checked()
        self.header: list[str] = next(self._rows, []) if header is None else header
        """The first row; empty when the file is."""

    def __iter__(self) -> Iterator[list[str]]:
        width = len(self.header)
        for row in self._rows:
            if len(row) != width:
                raise self._error(
                    f"Line {self.line} of {self._name} has {len(row)} cells, but the header has {width}: "
                    "a value with a comma, a quote or a newline needs quotes around it."
                )
            yield row

    @property
    def line(self) -> int:
        """Number of the line read last, from 1."""
        return self._before + self._reader.line_num

    def _checked(self) -> Iterator[list[str]]:
        try:
            for row in self._reader:
                if row:
                    yield row
        except UnicodeDecodeError as error:
            raise self._error(
                f"{self._name} is not UTF-8 somewhere after line {self.line}: {error.reason}. Save it as CSV UTF-8."
            ) from error
        except csv.Error as error:
            raise self._error(f"Line {self.line} of {self._name} is not CSV: {error}.") from error
