"""Writing records: insert, update, upsert and delete, 100 at a time, one result for each record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from airflow_provider_zohocrm.client.answers import write_results
from airflow_provider_zohocrm.client.api import ApiBase, query_params
from airflow_provider_zohocrm.client.calls import Call, field_names, module_name, record_id
from airflow_provider_zohocrm.client.versions import RECORDS_PER_CREDIT, RECORDS_PER_WRITE
from airflow_provider_zohocrm.exceptions import ZohoCRMError, ZohoValidationError

Record = Mapping[str, Any]
Result = dict[str, Any]
T = TypeVar("T")

_WRITES: dict[str, tuple[str, tuple[str, ...]]] = {
    "insert": ("POST", ()),
    "update": ("PUT", ()),
    "upsert": ("POST", ("upsert",)),
    "delete": ("DELETE", ()),
}
# Reference sheet §3.2.
TRIGGERS = ("workflow", "approval", "blueprint", "pathfinder", "orchestration")


class WritingApi(ApiBase):
    """Operations that write records (reference sheet §3).

    All return Zoho's result objects in the order of the records: ``code``, ``status`` (``success`` or ``error``),
    ``message``, ``details`` (with ``id`` on success), and for upserts ``action`` (``insert`` or ``update``) and
    ``duplicate_field``. A rejected record is a result, not an exception. An exception on the way carries the
    results so far in its attribute ``results``.
    """

    def upsert_records(
        self,
        module: str,
        records: Iterable[Record],
        *,
        duplicate_check_fields: str | Iterable[str] | None = None,
        trigger: Iterable[str] | None = None,
        apply_feature_execution: Iterable[str | Mapping[str, str]] | None = None,
        skip_feature_execution: Iterable[str | Mapping[str, str]] | None = None,
        external_id: str | None = None,
        lar_id: str | int | None = None,
    ) -> list[Result]:
        """Insert records, or update those Zoho finds by their duplicate-check fields.

        A call whose answer was lost is repeated: harmless for each record with an ``id`` or a value in a
        duplicate-check field; one with neither may be inserted twice.

        :param module: API name, e.g. ``Leads``.
        :param records: dicts of field API names and values; with ``id`` to update a known record.
        :param duplicate_check_fields: fields to look for, in this order. None means the module's system field
            (e.g. ``Email`` for Leads), then the user's unique fields; unique fields are always checked.
        :param trigger: what to run: ``workflow``, ``approval``, ``blueprint``, ``pathfinder``, ``orchestration``.
            None runs all, an empty list none.
        :param apply_feature_execution: e.g. ``["layout_rules"]``.
        :param skip_feature_execution: e.g. ``["cadences"]``.
        :param external_id: API name of an external field that stands in for the record id (``X-EXTERNAL``).
        :param lar_id: id of an assignment rule.
        :return: one result for each record, see :class:`WritingApi`.
        :raises ZohoAPIError: if Zoho refuses a whole call.
        """
        return collected(
            self.iter_write(
                "upsert",
                module,
                records,
                duplicate_check_fields=duplicate_check_fields,
                trigger=trigger,
                apply_feature_execution=apply_feature_execution,
                skip_feature_execution=skip_feature_execution,
                external_id=external_id,
                lar_id=lar_id,
            )
        )

    def insert_records(
        self,
        module: str,
        records: Iterable[Record],
        *,
        trigger: Iterable[str] | None = None,
        apply_feature_execution: Iterable[str | Mapping[str, str]] | None = None,
        external_id: str | None = None,
        lar_id: str | int | None = None,
        repeat: bool = False,
    ) -> list[Result]:
        """Insert records.

        Zoho knows no idempotency key: when an answer is lost, nobody can tell whether the records were stored. So a
        call is repeated only if Zoho certainly did nothing with it.

        :param repeat: repeat it after any passing failure, at the risk of duplicates.
        :return: one result for each record. The other parameters are those of :meth:`upsert_records`.
        """
        return collected(
            self.iter_write(
                "insert",
                module,
                records,
                trigger=trigger,
                apply_feature_execution=apply_feature_execution,
                external_id=external_id,
                lar_id=lar_id,
                repeat=repeat,
            )
        )

    def update_records(
        self,
        module: str,
        records: Iterable[Record],
        *,
        trigger: Iterable[str] | None = None,
        apply_feature_execution: Iterable[str | Mapping[str, str]] | None = None,
        skip_feature_execution: Iterable[str | Mapping[str, str]] | None = None,
        external_id: str | None = None,
    ) -> list[Result]:
        """Update records by their ``id``. Safe to repeat.

        :return: one result for each record. The parameters are those of :meth:`upsert_records`.
        """
        return collected(
            self.iter_write(
                "update",
                module,
                records,
                trigger=trigger,
                apply_feature_execution=apply_feature_execution,
                skip_feature_execution=skip_feature_execution,
                external_id=external_id,
            )
        )

    def delete_records(
        self, module: str, ids: str | Iterable[str | int], *, wf_trigger: bool | None = None
    ) -> list[Result]:
        """Move records to the recycle bin.

        After an answer that was lost, a record that is gone already comes back as an error.

        :param module: API name.
        :param ids: ids of the records.
        :param wf_trigger: whether workflows run; None leaves it to Zoho.
        :return: one result for each id.
        """
        given = ids.split(",") if isinstance(ids, str) else ids
        checked = [{"id": record_id(one)} for one in given]
        return collected(self.iter_write("delete", module, checked, wf_trigger=wf_trigger))

    def iter_write(
        self,
        operation: str,
        module: str,
        records: Iterable[Record],
        *,
        duplicate_check_fields: str | Iterable[str] | None = None,
        trigger: Iterable[str] | None = None,
        apply_feature_execution: Iterable[str | Mapping[str, str]] | None = None,
        skip_feature_execution: Iterable[str | Mapping[str, str]] | None = None,
        external_id: str | None = None,
        lar_id: str | int | None = None,
        wf_trigger: bool | None = None,
        repeat: bool | None = None,
    ) -> Iterator[list[Result]]:
        """Write records lazily: each step sends one batch of 100 and returns its results.

        :param operation: ``insert``, ``update``, ``upsert`` or ``delete``.
        :param wf_trigger: of a delete, whether workflows run; None leaves it to Zoho.
        :param repeat: repeat a call although Zoho may have acted; None means all but inserts.
        :return: an iterator of the batches' results. The other parameters are those of :meth:`upsert_records`.
        :raises ZohoValidationError: at once, for an option that cannot be right.
        """
        make = self.write_calls(
            operation,
            module,
            duplicate_check_fields=duplicate_check_fields,
            trigger=trigger,
            apply_feature_execution=apply_feature_execution,
            skip_feature_execution=skip_feature_execution,
            external_id=external_id,
            lar_id=lar_id,
            wf_trigger=wf_trigger,
            repeat=repeat,
        )

        def written() -> Iterator[list[Result]]:
            for batch in batches(checked_records(records), RECORDS_PER_WRITE):
                yield self.write(make(batch), len(batch))

        return written()

    def write_calls(
        self,
        operation: str,
        module: str,
        *,
        duplicate_check_fields: str | Iterable[str] | None = None,
        trigger: Iterable[str] | None = None,
        apply_feature_execution: Iterable[str | Mapping[str, str]] | None = None,
        skip_feature_execution: Iterable[str | Mapping[str, str]] | None = None,
        external_id: str | None = None,
        lar_id: str | int | None = None,
        wf_trigger: bool | None = None,
        repeat: bool | None = None,
    ) -> Callable[[Sequence[Record]], Call]:
        """Check the options of a write once, for many calls.

        :return: makes the call for up to 100 records. The parameters are those of :meth:`iter_write`.
        :raises ZohoValidationError: for an option that cannot be right.
        """
        name = module_name(module)
        if operation not in _WRITES:
            raise ZohoValidationError(f"operation is {operation!r}; it must be one of {', '.join(_WRITES)}")
        options = _options(
            duplicate_check_fields, trigger, apply_feature_execution, skip_feature_execution, lar_id
        )
        headers = (
            {}
            if external_id is None
            else {"X-EXTERNAL": f"{name}.{module_name(external_id, 'external field')}"}
        )
        method, parts = _WRITES[operation]
        path = self.path(name, *parts)
        repeatable = operation != "insert" if repeat is None else repeat

        def call(batch: Sequence[Record]) -> Call:
            # In a delete an external field stands in for the id, too.
            ids = (
                ",".join(_one_id(record, external_id) for record in batch) if operation == "delete" else None
            )
            return Call(
                method,
                path,
                {} if ids is None else query_params({"ids": ids, "wf_trigger": wf_trigger}),
                {"data": batch, **options} if ids is None else None,
                headers=headers,
                repeatable=repeatable,
                per_record=True,
                credits=-(-len(batch) // RECORDS_PER_CREDIT),
            )

        return call

    def write(self, call: Call, count: int) -> list[Result]:
        """Send a call of :meth:`write_calls`.

        :param count: number of its records.
        :return: one result for each record, see :class:`WritingApi`.
        """
        return write_results(self.send(call), call, count)


def _one_id(record: Record, external_id: str | None) -> str:
    """Name the record of a delete; ids travel in one parameter, where a comma would take other records along."""
    external = record.get(external_id) if external_id else None
    text = str(external) if external else record_id(record["id"])
    if "," in text:
        raise ZohoValidationError(
            f"{text!r} cannot be the {external_id} of one record to delete: it holds a comma"
        )
    return text


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Cut items into lists of a size; the last may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def collected(parts: Iterable[list[Result]]) -> list[Result]:
    """Join the results of batches; an error on the way takes those so far along."""
    results: list[Result] = []
    try:
        for part in parts:
            results.extend(part)
    except ZohoCRMError as error:
        error.results = results
        raise
    return results


def checked_records(records: Iterable[Record]) -> Iterator[Record]:
    """Pass records on.

    :raises ZohoValidationError: at the first that is no record, naming its index.
    """
    for index, record in enumerate(records):
        if not isinstance(record, Mapping) or not record:
            raise ZohoValidationError(
                f"record {index} is {str(record)[:80]!r}; each record must be a dict of field API names and values"
            )
        yield record


def _options(
    duplicate_check_fields: str | Iterable[str] | None,
    trigger: Iterable[str] | None,
    apply_feature_execution: Iterable[str | Mapping[str, str]] | None,
    skip_feature_execution: Iterable[str | Mapping[str, str]] | None,
    lar_id: str | int | None,
) -> dict[str, Any]:
    """Build the body beside the records, without what was not given (reference sheet §3.2)."""
    options: dict[str, Any] = {}
    if duplicate_check_fields is not None:
        options["duplicate_check_fields"] = field_names(duplicate_check_fields, "duplicate_check_fields")
    if trigger is not None:
        wanted = [trigger] if isinstance(trigger, str) else list(trigger)
        unknown = [one for one in wanted if one not in TRIGGERS]
        if unknown:
            raise ZohoValidationError(
                f"trigger {unknown[0]!r} is unknown; it must be one of {', '.join(TRIGGERS)}"
            )
        options["trigger"] = wanted
    for key, features in (
        ("apply_feature_execution", apply_feature_execution),
        ("skip_feature_execution", skip_feature_execution),
    ):
        if features is not None:
            given = [features] if isinstance(features, str) else list(features)
            options[key] = [{"name": one} if isinstance(one, str) else dict(one) for one in given]
    if lar_id is not None:
        options["lar_id"] = record_id(lar_id)
    return options
