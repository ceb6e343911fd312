"""Insert or update records from XCom or from a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm._compat import BaseOperator
from airflow_provider_zohocrm.client.values import text_converter
from airflow_provider_zohocrm.client.versions import RECORDS_PER_WRITE
from airflow_provider_zohocrm.client.writing import batches, checked_records
from airflow_provider_zohocrm.exceptions import ZohoRejectedRecordsError, ZohoValidationError
from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook
from airflow_provider_zohocrm.operators.parameters import from_json, given, name_list
from airflow_provider_zohocrm.storage import file_format, open_record_writer, read_records

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from airflow_provider_zohocrm._compat import Context
    from airflow_provider_zohocrm.storage import RecordWriter

REJECT_COLUMNS = ("index", "code", "message", "details", "record")
# Enough to see what is wrong; the rest is in rejects_path.
_SHOWN_REJECTS = 100


class ZohoUpsertOperator(BaseOperator):
    """Insert records, or update those that Zoho finds by their duplicate-check fields.

    All batches of 100 are tried. The task returns ``{"total", "inserted", "updated", "rejected", "rejects_path"}``,
    and pushes the same to XCom ``summary`` before it fails. The first 100 rejects (without their records) are pushed
    to XCom ``rejects``; all of them, with their records, are in the file ``rejects_path``: one line each with
    ``index`` (from 0), ``code``, ``message``, ``details`` and ``record``. Running
    an upsert again is harmless for records with an ``id`` or a value in a duplicate-check field.

    .. seealso:: :meth:`~airflow_provider_zohocrm.client.writing.WritingApi.upsert_records` tells more of the
        parameters.

    :param module: API name, e.g. ``Leads``.
    :param records: a list of dicts of field API names and values, e.g. the output of a task.
    :param input_path: a file instead: ``.jsonl``, ``.jsonl.gz``, ``.csv``, ``.csv.gz`` or ``.parquet``, local or on
        object storage. Texts of a CSV are converted by the types of the module's fields; an empty cell leaves the
        field alone.
    :param duplicate_check_fields: fields to look for, in this order; None for Zoho's own order.
    :param trigger: what to run, e.g. ``["workflow"]``. None runs all, an empty list none.
    :param apply_feature_execution: e.g. ``["layout_rules"]``.
    :param skip_feature_execution: e.g. ``["cadences"]``.
    :param external_id: API name of an external field that stands in for the record id.
    :param lar_id: id of an assignment rule.
    :param rejects_path: file for the rejected records, formats as above; written in every case, empty if there are
        none.
    :param on_reject: ``"fail"`` the task if any record was rejected, or ``"continue"``.
    :param max_reject_ratio: fail only if more than this share of all records (0 to 1) was rejected; goes before
        ``on_reject``.
    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param api_version: ``v2`` … ``v8``, in place of the connection's.
    """

    template_fields: Sequence[str] = (
        "module",
        "records",
        "input_path",
        "duplicate_check_fields",
        "trigger",
        "apply_feature_execution",
        "skip_feature_execution",
        "external_id",
        "lar_id",
        "rejects_path",
        "on_reject",
        "max_reject_ratio",
        "zohocrm_conn_id",
        "api_version",
    )
    template_fields_renderers = {"records": "json"}  # noqa: RUF012  # as Airflow's own operators declare it
    ui_color = "#e9f7ec"

    def __init__(
        self,
        *,
        module: str,
        records: Sequence[Mapping[str, Any]] | str | None = None,
        input_path: str | None = None,
        duplicate_check_fields: str | Sequence[str] | None = None,
        trigger: Sequence[str] | None = None,
        apply_feature_execution: Sequence[str] | None = None,
        skip_feature_execution: Sequence[str] | None = None,
        external_id: str | None = None,
        lar_id: str | int | None = None,
        rejects_path: str | None = None,
        on_reject: str = "fail",
        max_reject_ratio: float | str | None = None,
        zohocrm_conn_id: str = ZohoCRMHook.default_conn_name,
        api_version: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.module = module
        self.records = records
        self.input_path = input_path
        self.duplicate_check_fields = duplicate_check_fields
        self.trigger = trigger
        self.apply_feature_execution = apply_feature_execution
        self.skip_feature_execution = skip_feature_execution
        self.external_id = external_id
        self.lar_id = lar_id
        self.rejects_path = rejects_path
        self.on_reject = on_reject
        self.max_reject_ratio = max_reject_ratio
        self.zohocrm_conn_id = zohocrm_conn_id
        self.api_version = api_version

    def execute(self, context: Context) -> dict[str, Any]:
        """Write the records.

        :return: the counts.
        :raises ZohoRejectedRecordsError: if more records were rejected than allowed.
        """
        allowed = self._allowed_ratio()
        rejects_path = given(self.rejects_path)
        if rejects_path is not None:
            file_format(rejects_path)
        hook = ZohoCRMHook(self.zohocrm_conn_id, api_version=given(self.api_version))
        options = self._options()
        hook.iter_write("upsert", self.module, [], **options)  # checks them, and sends nothing
        records = self._input(hook)
        outcome = Outcome(rejects_path)
        failure: Exception | None = None
        if rejects_path is None:
            failure = self._upsert(hook, records, options, outcome, None)
        else:
            # What was rejected is published even when a later batch fails.
            with open_record_writer(rejects_path, REJECT_COLUMNS) as writer:
                failure = self._upsert(hook, records, options, outcome, writer)
        summary = outcome.summary
        ti = context.get("ti")
        if ti is not None:
            ti.xcom_push(key="rejects", value=outcome.shown)
            ti.xcom_push(key="summary", value=summary)
        if failure is not None:
            raise failure
        self.log.info("Upserted into %s: %s", self.module, summary)
        if outcome.rejected > allowed * outcome.total:
            raise ZohoRejectedRecordsError(
                f"Zoho rejected {outcome.rejected} of {outcome.total} records of {self.module}; the others are written. "
                f"First: {outcome.first}. All are in {rejects_path or 'XCom rejects (the first 100); give rejects_path'}."
            )
        return summary

    def _allowed_ratio(self) -> float:
        if self.on_reject not in ("fail", "continue"):
            raise ZohoValidationError(f"on_reject is {self.on_reject!r}; it must be fail or continue")
        ratio = given(self.max_reject_ratio)
        if ratio is None:
            return 0.0 if self.on_reject == "fail" else 1.0
        try:
            share = float(ratio)
        except (TypeError, ValueError):
            share = -1.0
        if not 0 <= share <= 1:
            raise ZohoValidationError(f"max_reject_ratio is {ratio!r}; it must be a share from 0 to 1")
        return share

    def _options(self) -> dict[str, Any]:
        return {
            "duplicate_check_fields": given(self.duplicate_check_fields),
            "trigger": name_list(self.trigger, "trigger"),
            "apply_feature_execution": name_list(self.apply_feature_execution, "apply_feature_execution"),
            "skip_feature_execution": name_list(self.skip_feature_execution, "skip_feature_execution"),
            "external_id": given(self.external_id),
            "lar_id": given(self.lar_id),
        }

    def _upsert(
        self,
        hook: ZohoCRMHook,
        records: Iterator[Mapping[str, Any]],
        options: dict[str, Any],
        outcome: Outcome,
        writer: RecordWriter | None,
    ) -> Exception | None:
        """Write all batches, and return what stopped them, if anything did."""
        try:
            for batch in batches(records, RECORDS_PER_WRITE):
                results = hook.upsert_records(self.module, batch, **options)
                rejects = list(outcome.take(batch, results))
                for reject in rejects:
                    self.log.warning(
                        "Record %(index)d of the input was rejected: %(code)s %(message)s %(details)s", reject
                    )
                if writer is not None:
                    writer.write(rejects)
        except Exception as error:  # noqa: BLE001  # raised by execute, once the rejects are safe
            return error
        return None

    def _input(self, hook: ZohoCRMHook) -> Iterator[Mapping[str, Any]]:
        records, path = from_json(self.records, "records"), given(self.input_path)
        if (records is None) == (path is None):
            raise ZohoValidationError("give either records or input_path")
        if path is None:
            if isinstance(records, dict) or not hasattr(records, "__iter__"):
                raise ZohoValidationError(f"records must be a list of dicts, not {type(records).__name__}")
            return iter(list(checked_records(records)))
        rows = read_records(path)
        if file_format(path).name == "csv":
            rows = map(text_converter(hook.get_fields(self.module)), rows)
        return checked_records(rows)


class Outcome:
    """Counts the results of an upsert, and takes the rejected records out.

    :param rejects_path: where the rejects are written, for the summary.
    """

    def __init__(self, rejects_path: str | None) -> None:
        self._rejects_path = rejects_path
        self.total = self.inserted = self.updated = self.rejected = 0
        self.shown: list[dict[str, Any]] = []

    @property
    def summary(self) -> dict[str, Any]:
        """The counts, as the task returns them."""
        return {
            "total": self.total,
            "inserted": self.inserted,
            "updated": self.updated,
            "rejected": self.rejected,
            "rejects_path": self._rejects_path,
        }

    @property
    def first(self) -> str:
        """The first reject, in words."""
        reject = self.shown[0]
        return f"record {reject['index']}: {reject['code']} {reject['message']} {reject['details']}"

    def take(
        self, records: Sequence[Mapping[str, Any]], results: Iterable[Mapping[str, Any]]
    ) -> Iterator[dict[str, Any]]:
        """Count the results of a batch, and return its rejects with their records."""
        for record, result in zip(records, results, strict=True):
            index = self.total
            self.total += 1
            if result.get("status") == "success":
                self.inserted += result.get("action") == "insert"
                self.updated += result.get("action") != "insert"
                continue
            self.rejected += 1
            reject = {key: result.get(key) for key in ("code", "message", "details")}
            if len(self.shown) < _SHOWN_REJECTS:
                self.shown.append({"index": index, **reject})
            yield {"index": index, **reject, "record": record}
