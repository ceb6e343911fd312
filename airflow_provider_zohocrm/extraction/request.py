"""What is to be extracted: checked before the first call."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm.client.calls import field_names, module_name, names
from airflow_provider_zohocrm.client.polling import FIRST_POLL, LONGEST_POLL
from airflow_provider_zohocrm.client.records import check_choices
from airflow_provider_zohocrm.exceptions import ZohoValidationError
from airflow_provider_zohocrm.extraction.deleted import kind_of
from airflow_provider_zohocrm.extraction.plan import STRATEGIES
from airflow_provider_zohocrm.extraction.window import Window
from airflow_provider_zohocrm.storage import file_format

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from airflow_provider_zohocrm.client.records import Moment
    from airflow_provider_zohocrm.storage.values import OnTypeError

# Parameters of get_records that neither COQL nor bulk read has.
LISTS_ONLY = ("ids", "sort_by", "sort_order", "converted", "approved", "territory_id", "include_child")


@dataclass(frozen=True)
class ExtractRequest:
    """A module, or a part of it, and the files it goes into; made by :meth:`of`."""

    module: str
    output_path: str
    fields: tuple[str, ...] | None = None
    strategy: str = "auto"
    window: Window = field(default_factory=Window)
    subforms: tuple[str, ...] | str | None = None
    cvid: str | int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    page_size: int | None = None
    max_records: int | None = None
    max_records_per_file: int | None = None
    manifest_path: str | None = None
    max_credits: int | None = None
    max_jobs_in_flight: int = 1
    on_type_error: OnTypeError = "fail"
    include_deleted: str | None = None
    deleted_since: datetime | None = None
    poll_interval: float = FIRST_POLL
    max_poll_interval: float = LONGEST_POLL

    @classmethod
    def of(
        cls,
        module: str,
        output_path: str,
        *,
        fields: str | Iterable[str] | None = None,
        strategy: str = "auto",
        modified_since: Moment | None = None,
        modified_before: Moment | None = None,
        subforms: str | Iterable[str] | None = None,
        cvid: str | int | None = None,
        page_size: int | None = None,
        max_records: int | None = None,
        max_records_per_file: int | None = None,
        manifest_path: str | None = None,
        max_credits: int | None = None,
        max_jobs_in_flight: int = 1,
        on_type_error: OnTypeError = "fail",
        include_deleted: bool | str | None = None,
        deleted_since: datetime | None = None,
        poll_interval: float = FIRST_POLL,
        max_poll_interval: float = LONGEST_POLL,
        **options: Any,
    ) -> ExtractRequest:
        """Check what is asked for.

        :param deleted_since: where the tombstones begin, if not where the records do.
        :param options: those of :data:`LISTS_ONLY`, as in ``get_records``.
        :raises ZohoValidationError: for what cannot be right.
        """
        file_format(output_path)
        _one_of("strategy", strategy, ("auto", *STRATEGIES))
        _one_of("on_type_error", on_type_error, ("fail", "string"))
        for name, value in (
            ("max_records", max_records),
            ("max_records_per_file", max_records_per_file),
            ("max_credits", max_credits),
            ("max_jobs_in_flight", max_jobs_in_flight),
        ):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ZohoValidationError(f"{name} is {value!r}; it must be a whole number above 0")
        unknown = sorted(set(options) - set(LISTS_ONLY))
        if unknown:
            raise TypeError(f"unexpected parameters: {', '.join(unknown)}")
        check_choices({**options, "cvid": cvid})
        chosen = field_names(fields)
        wanted = subforms if subforms in (None, "all") else tuple(names(subforms, "subforms") or ())
        return cls(
            module=module_name(module),
            output_path=output_path,
            fields=None if chosen is None else tuple(chosen),
            strategy=strategy,
            window=Window.of(modified_since, modified_before),
            subforms=wanted,
            cvid=cvid,
            options={name: value for name, value in options.items() if value is not None},
            page_size=page_size,
            max_records=max_records,
            max_records_per_file=max_records_per_file,
            manifest_path=manifest_path,
            max_credits=max_credits,
            max_jobs_in_flight=max_jobs_in_flight,
            on_type_error=on_type_error,
            include_deleted=kind_of(include_deleted),
            deleted_since=deleted_since,
            poll_interval=poll_interval,
            max_poll_interval=max_poll_interval,
        )

    @property
    def deleted_window(self) -> Window:
        """Which tombstones are written, by ``deleted_time``."""
        return self.window if self.deleted_since is None else replace(self.window, since=self.deleted_since)

    def described(self) -> dict[str, Any]:
        """Describe the request as plain JSON, for the manifest and to tell one request from another."""
        since, before = self.window.since, self.window.before
        return {
            "module": self.module,
            "fields": None if self.fields is None else list(self.fields),
            "modified_since": since.isoformat() if since else None,
            "modified_before": before.isoformat() if before else None,
            "cvid": None if self.cvid is None else str(self.cvid),
            "subforms": list(self.subforms) if isinstance(self.subforms, tuple) else self.subforms,
            "max_records": self.max_records,
            **({"include_deleted": self.include_deleted} if self.include_deleted else {}),
            **{name: _plain(value) for name, value in sorted(self.options.items())},
        }


def _plain(value: Any) -> Any:
    return [str(one) for one in value] if isinstance(value, (list, tuple, set, frozenset)) else value


def _one_of(what: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ZohoValidationError(f"{what} is {value!r}; it must be one of {', '.join(known)}")
