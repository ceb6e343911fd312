"""What is to be loaded: checked before the first call."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.client.calls import field_names, module_name
from airflow_provider_zohocrm.exceptions import ZohoValidationError
from airflow_provider_zohocrm.storage import file_format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from airflow_provider_zohocrm.client.calls import Call
    from airflow_provider_zohocrm.client.writing import WritingApi

# Zoho's limit of writes of more than 10 records that are under way together (reference sheet §6.1).
MOST_CONCURRENCY = 10
DEFAULT_CONCURRENCY = 5
OPERATIONS = ("insert", "update", "upsert", "delete")


@dataclass(frozen=True)
class LoadRequest:
    """A module, what is done with it, and where the outcome goes; made by :meth:`of`."""

    operation: str
    module: str
    duplicate_check_fields: tuple[str, ...] | None = None
    external_id: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    mapping: Mapping[str, str] | None = None
    ignore_empty: bool = True
    validate: bool = True
    max_concurrency: int = DEFAULT_CONCURRENCY
    results_path: str | None = None
    rejects_path: str | None = None
    max_credits: int | None = None

    @classmethod
    def of(
        cls,
        operation: str,
        module: str,
        *,
        duplicate_check_fields: str | Iterable[str] | None = None,
        external_id: str | None = None,
        mapping: Mapping[str, str] | None = None,
        ignore_empty: bool = True,
        validate: bool = True,
        max_concurrency: int = DEFAULT_CONCURRENCY,
        results_path: str | None = None,
        rejects_path: str | None = None,
        max_credits: int | None = None,
        **options: Any,
    ) -> LoadRequest:
        """Check what is asked for.

        :param options: those of :meth:`~airflow_provider_zohocrm.client.writing.WritingApi.write_calls`.
        :raises ZohoValidationError: for what cannot be right.
        """
        if operation not in OPERATIONS:
            raise ZohoValidationError(
                f"operation is {operation!r}; it must be one of {', '.join(OPERATIONS)}"
            )
        if duplicate_check_fields is not None and operation != "upsert":
            raise ZohoValidationError("only an upsert has duplicate_check_fields")
        if not 1 <= max_concurrency <= MOST_CONCURRENCY:
            raise ZohoValidationError(
                f"max_concurrency is {max_concurrency}; it must be 1 to {MOST_CONCURRENCY}"
            )
        if max_credits is not None and max_credits < 0:
            raise ZohoValidationError(f"max_credits is {max_credits}; it must not be below 0")
        paths = [path for path in (results_path, rejects_path) if path is not None]
        for path in paths:
            file_format(path)
        if len(set(paths)) < len(paths):
            raise ZohoValidationError("results_path and rejects_path must be two files")
        checked = field_names(duplicate_check_fields, "duplicate_check_fields")
        return cls(
            operation,
            module_name(module),
            None if checked is None else tuple(checked),
            None if external_id is None else module_name(external_id, "external field"),
            {name: value for name, value in options.items() if value is not None},
            _checked_mapping(mapping),
            ignore_empty,
            validate,
            max_concurrency,
            results_path,
            rejects_path,
            max_credits,
        )

    def calls(
        self, api: WritingApi, *, repeat: bool | None = None
    ) -> Callable[[Sequence[Mapping[str, Any]]], Call]:
        """Make what makes the calls.

        :param repeat: see :meth:`~airflow_provider_zohocrm.client.writing.WritingApi.iter_write`.
        :raises ZohoValidationError: for an option that cannot be right.
        """
        return api.write_calls(
            self.operation,
            self.module,
            duplicate_check_fields=self.duplicate_check_fields,
            external_id=self.external_id,
            repeat=repeat,
            **self.options,
        )

    def described(self) -> dict[str, Any]:
        """Everything that decides what is written where, as plain JSON."""
        return {
            "operation": self.operation,
            "module": self.module,
            "duplicate_check_fields": self.duplicate_check_fields and list(self.duplicate_check_fields),
            "external_id": self.external_id,
            "options": dict(self.options),
            "mapping": self.mapping and dict(self.mapping),
            "ignore_empty": self.ignore_empty,
            "validate": self.validate,
            "results_path": self.results_path,
            "rejects_path": self.rejects_path,
        }


def _checked_mapping(mapping: Mapping[str, str] | None) -> dict[str, str] | None:
    if mapping is None:
        return None
    try:
        found = dict(mapping)
    except (TypeError, ValueError):
        found = {}
    if not found or not all(
        isinstance(name, str) for pair in found.items() for name in pair if name is not None
    ):
        raise ZohoValidationError(
            f"mapping is {mapping!r}; it must be a dict of columns and API names of fields"
        )
    wanted = [name for name in found.values() if name]
    if wanted:
        field_names(wanted, "mapping")
    return found
