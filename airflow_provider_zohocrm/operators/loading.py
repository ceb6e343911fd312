"""What the operators that write records share."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from airflow_provider_zohocrm._compat import fail_exception
from airflow_provider_zohocrm.assets.zohocrm import module_alias
from airflow_provider_zohocrm.exceptions import ZohoRejectedRecordsError, ZohoValidationError
from airflow_provider_zohocrm.operators.base import ZohoOperator
from airflow_provider_zohocrm.operators.checkpoint import Checkpoint, fingerprint, organisation
from airflow_provider_zohocrm.operators.parameters import from_json, given, name_list, truth, whole_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_zohocrm._compat import Context
    from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook
    from airflow_provider_zohocrm.loading.inputs import Inputs
    from airflow_provider_zohocrm.loading.outcome import Outcome
    from airflow_provider_zohocrm.loading.request import LoadRequest
    from airflow_provider_zohocrm.operators.report import Schema

# Written out here, as DAG files are parsed without the layer that loads.
_CONCURRENCY = 5


class WritingOperator(ZohoOperator):
    """What all operators that write records have in common: input, conversion, results and rejects.

    The parameters are documented by :class:`LoadOperator` and
    :class:`~airflow_provider_zohocrm.operators.bulk_write.ZohoBulkWriteOperator`.
    """

    writes: str
    """What is done with the records: ``insert``, ``update``, ``upsert`` or ``delete``."""
    template_fields: Sequence[str] = (
        "module",
        "records",
        "input_path",
        "mapping",
        "ignore_empty",
        "validate",
        "results_path",
        "rejects_path",
        "on_reject",
        "max_reject_ratio",
        "durable",
        "max_credits",
        "zohocrm_conn_id",
        "api_version",
    )
    template_fields_renderers = {"records": "json", "mapping": "json"}  # noqa: RUF012  # as Airflow's own operators declare it
    ui_color = "#e9f7ec"

    def __init__(
        self,
        *,
        module: str,
        records: Sequence[Mapping[str, Any]] | str | None = None,
        input_path: str | None = None,
        mapping: Mapping[str, str | None] | str | None = None,
        ignore_empty: bool | str = True,
        validate: bool | str = True,
        results_path: str | None = None,
        rejects_path: str | None = None,
        on_reject: str = "fail",
        max_reject_ratio: float | str | None = None,
        durable: bool | str = True,
        max_credits: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.module = module
        self.records = records
        self.input_path = input_path
        self.mapping = mapping
        self.ignore_empty = ignore_empty
        self.validate = validate
        self.results_path = results_path
        self.rejects_path = rejects_path
        self.on_reject = on_reject
        self.max_reject_ratio = max_reject_ratio
        self.durable = durable
        self.max_credits = max_credits
        self._path_template = input_path
        self.declare(kwargs, writes=module_alias(module, self.zohocrm_conn_id))

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

    @abstractmethod
    def _options(self) -> dict[str, Any]:
        """Read the parameters that only some of the operators have."""

    def _request(self) -> LoadRequest:
        from airflow_provider_zohocrm.loading.request import LoadRequest

        return LoadRequest.of(
            self.writes,
            self.module,
            mapping=from_json(self.mapping, "mapping"),
            ignore_empty=truth(self.ignore_empty, "ignore_empty") is not False,
            validate=truth(self.validate, "validate") is not False,
            results_path=given(self.results_path),
            rejects_path=given(self.rejects_path),
            max_credits=whole_number(self.max_credits, "max_credits"),
            **self._options(),
        )

    def _inputs(self) -> Inputs:
        from airflow_provider_zohocrm.loading.inputs import Inputs

        records, path = from_json(self.records, "records"), given(self.input_path)
        if (records is None) == (path is None):
            raise ZohoValidationError("give either records or input_path")
        if path is not None:
            return Inputs.of_path(path).keep_apart(given(self.results_path), given(self.rejects_path))
        # What a mapped task has returned is a lazy sequence of its own.
        plain = (
            records if isinstance(records, (dict, str)) or not hasattr(records, "__iter__") else [*records]
        )
        return Inputs.of_records(plain)

    def _check_retry(self, context: Context, checkpoint: Checkpoint) -> None:
        """Keep a retry from inserting again what the try before has, where nothing tells how far that came.

        :raises AirflowFailException: for an insert without a checkpoint, unless ``durable=False`` wants it so.
        """
        if self.writes != "insert" or checkpoint.works or not self._is_retry(context):
            return
        danger = "The try before may have inserted records, and without a checkpoint (Airflow 3.3 and newer) nothing tells which"
        if truth(self.durable, "durable") is False:
            self.log.warning("%s: all are inserted again, as durable=False says", danger)
            return
        raise fail_exception(
            f"{danger}: a retry would insert them again. Look what {self.module} holds, and clear the task to insert all "
            "records. To have retries, upsert by a unique field; or set durable=False if records may be there twice."
        )

    def _is_retry(self, context: Context) -> bool:
        """Tell whether this try follows one that failed; the first after "Clear" does not."""
        ti = context.get("ti")
        number, most = getattr(ti, "try_number", 1), getattr(ti, "max_tries", None)
        # "Clear" sets max_tries to the tries so far plus the retries.
        cleared = 0 if most is None else max(0, most - (self.retries or 0))
        return bool(number - cleared > 1)

    def _push(self, context: Context, summary: dict[str, Any], rejects: list[dict[str, Any]]) -> None:
        ti = context.get("ti")
        if ti is not None:
            ti.xcom_push(key="rejects", value=rejects)
            ti.xcom_push(key="summary", value=summary)

    def _tell(
        self,
        context: Context,
        hook: ZohoCRMHook,
        summary: Mapping[str, Any],
        schema: Schema,
        job_ids: Sequence[str] = (),
    ) -> None:
        from airflow_provider_zohocrm.assets.files import uri_of_files
        from airflow_provider_zohocrm.operators.report import Report, uri_of_module

        path = given(self.input_path)
        counts = {
            name: summary[name] for name in ("inserted", "updated", "deleted", "rejected") if name in summary
        }
        report = Report(
            uri_of_module(hook, self.module),
            writes=True,
            files_uri=None if path is None else uri_of_files(path, self._path_template),
            rows=summary["total"] - summary["rejected"],
            job_ids=tuple(job_ids),
            schema=schema,
            counts=counts,
        )
        self.tell(context, report)

    def _check(self, outcome: Outcome, allowed: float) -> None:
        rejected, total = outcome.counts["rejected"], outcome.total
        if rejected <= allowed * total:
            return
        files = ", ".join(outcome.summary["rejects_paths"])
        raise ZohoRejectedRecordsError(
            f"{rejected} of {total} records for {self.module} were rejected; the others are written. "
            f"First: {outcome.first}. All are in {files or 'XCom rejects (the first 100); give rejects_path'}."
        )


class LoadOperator(WritingOperator):
    """Writes records to a module: 100 a call, several calls at a time, with a result for each record.

    The base of the operators that insert, update, upsert and delete. The task returns ``{"total", "inserted",
    "updated", "deleted", "rejected", "unknown", "results_path", "results_paths", "rejects_path", "rejects_paths",
    "calls", "credits"}``, and pushes the same to XCom ``summary``, also before it fails. ``unknown`` counts those of
    the rejected of which nobody knows whether they were written. The first 100 rejects, without their records, are
    pushed to XCom ``rejects``.

    Records that share a key (``id``, a field of the duplicate check, a unique field) are written in the order given.
    From Airflow 3.3 on, a retry goes on where the try before has ended. Then the files of results and rejects
    come in parts: ``rejects.jsonl``, ``rejects-0002.jsonl``, …

    :param module: API name, e.g. ``Leads``.
    :param records: a list of dicts of columns and values, e.g. the output of a task.
    :param input_path: files instead: ``.jsonl``, ``.csv``, ``.parquet``, the first two also with ``.gz`` or ``.zst``;
        one file, a folder, a glob, or the manifest of an extraction; local or on object storage.
    :param mapping: columns and the API names of their fields; a column that is not in it is one already, and one that
        is mapped to None is left out.
    :param ignore_empty: True leaves the field of an empty value alone, False empties it.
    :param validate: reject here what Zoho would refuse, before it costs credits; reads the module's fields first, for
        a credit. False leaves it to Zoho.
    :param max_concurrency: calls at a time, 1 to 10; fewer for a while after Zoho has refused one.
    :param results_path: file of the records that were written, one line each: ``index`` (from 0), ``id``, ``action``,
        ``duplicate_field``; formats as above.
    :param rejects_path: file of the others: ``index``, ``code``, ``message``, ``details``, ``json_path``, ``record``;
        written in every case, empty if there are none.
    :param on_reject: ``"fail"`` the task if any record was rejected, or ``"continue"``.
    :param max_reject_ratio: fail only if more than this share of all records (0 to 1) was rejected; goes before
        ``on_reject``.
    :param durable: keep a checkpoint for retries (Airflow 3.3 and newer); without one, a retry of an insert fails. False
        begins again with each try, also where that inserts records twice.
    :param max_credits: end before more API credits than this are spent.
    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param api_version: ``v2`` … ``v8``, in place of the connection's.
    """

    template_fields: Sequence[str] = (*WritingOperator.template_fields, "max_concurrency")

    def __init__(self, *, max_concurrency: int | str = _CONCURRENCY, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_concurrency = max_concurrency

    def execute(self, context: Context) -> dict[str, Any]:
        """Write the records.

        :return: counts and files.
        :raises ZohoRejectedRecordsError: if more records were rejected than allowed.
        """
        return self._load(context)

    def _load(self, context: Context) -> dict[str, Any]:
        from airflow_provider_zohocrm.loading.load import Load
        from airflow_provider_zohocrm.operators.report import schema_of

        allowed = self._allowed_ratio()
        request = self._request()
        hook = self._hook()
        request.calls(hook)  # checks the options, and sends nothing
        inputs = self._inputs()
        checkpoint = self._checkpoint(context, hook, request)
        self._check_retry(context, checkpoint)
        kept: Any = checkpoint.load(vital=self.writes == "insert")
        self.show_pages(context, hook, self.module)
        load = Load(hook, request, inputs, kept, checkpoint.save if checkpoint.works else None)
        try:
            load.run()
        finally:
            self._push(context, load.summary, load.outcome.shown)
        self.log.info("Wrote to %s: %s", self.module, load.summary)
        self._tell(context, hook, load.summary, schema_of(None, None, hook.known_fields(self.module)))
        # Last of all: whatever fails before it, a retry does not write again.
        checkpoint.delete()
        self._check(load.outcome, allowed)
        return load.summary

    @abstractmethod
    def _features(self) -> dict[str, Any]:
        """Read the parameters that only some of these operators have."""

    def _options(self) -> dict[str, Any]:
        concurrency = whole_number(self.max_concurrency, "max_concurrency")
        return {"max_concurrency": _CONCURRENCY if concurrency is None else concurrency, **self._features()}

    def _checkpoint(self, context: Context, hook: ZohoCRMHook, request: LoadRequest) -> Checkpoint:
        parts = fingerprint(request=request.described(), organisation=organisation(hook))
        durable = truth(self.durable, "durable") is not False
        return Checkpoint(context, f"zoho_{self.writes}", parts, enabled=durable)


def features(operator: Any, *names: str) -> dict[str, Any]:
    """Read parameters that are lists of names, or single values.

    :param names: the parameters.
    """
    lists = ("trigger", "apply_feature_execution", "skip_feature_execution")
    return {
        name: (name_list(getattr(operator, name), name) if name in lists else given(getattr(operator, name)))
        for name in names
    }
