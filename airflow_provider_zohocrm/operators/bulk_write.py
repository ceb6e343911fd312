"""Insert, update or upsert records by bulk write jobs, waiting for them without a worker slot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from airflow_provider_zohocrm._compat import default_deferrable
from airflow_provider_zohocrm.client.polling import FIRST_POLL, LONGEST_POLL
from airflow_provider_zohocrm.exceptions import ZohoBulkWriteError, ZohoValidationError
from airflow_provider_zohocrm.operators.checkpoint import Checkpoint, fingerprint, organisation
from airflow_provider_zohocrm.operators.loading import WritingOperator
from airflow_provider_zohocrm.operators.parameters import given, seconds, truth, whole_number
from airflow_provider_zohocrm.operators.waiting import check_event, deferral

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from airflow_provider_zohocrm._compat import Context
    from airflow_provider_zohocrm.hooks.zohocrm import ZohoCRMHook
    from airflow_provider_zohocrm.loading.bulk import BulkLoad
    from airflow_provider_zohocrm.loading.bulk_progress import LoadProgress
    from airflow_provider_zohocrm.loading.bulk_rows import BulkTarget

_CHECKPOINT = "zoho_bulk_write"
# Seconds. A trigger must not fire so early.
_FIRST_POLL_IN_WORKER = 3.0


class ZohoBulkWriteOperator(WritingOperator):
    """Write records to a module by bulk write: 25,000 records and 500 credits a job.

    The operator cuts the input into zipped CSV files, uploads each, has a job write it, waits for it, and puts its
    result beside the rows. Each row ends in exactly one of results and rejects. The task returns the counts and files
    of :class:`~airflow_provider_zohocrm.operators.upsert.ZohoUpsertOperator`, and pushes the same to XCom ``summary``;
    the first 100 rejects go to XCom ``rejects``. Cheaper than records of 100 a call above about 5,000 records.

    From Airflow 3.3 on, a retry goes on with the jobs and files of the try before. On older ones it begins again, which
    is harmless for updates and for upserts by a key; a retry of an insert fails there instead, as it would insert all
    records twice. Zoho offers no way to cancel a job.

    :param module: API name, e.g. ``Leads``.
    :param operation: ``insert``, ``update`` or ``upsert``.
    :param records: a list of dicts of columns and values, e.g. the output of a task.
    :param input_path: files instead: one, a folder, a glob, or the manifest of an extraction, see
        :class:`~airflow_provider_zohocrm.operators.upsert.ZohoUpsertOperator`.
    :param find_by: the field by which records are found: ``id``, or a unique one. None means ``id`` for update, and the
        module's system field for upsert, e.g. ``Email`` for Leads. An upsert by another field rejects rows with an
        ``id``, which Zoho would insert.
    :param mapping: columns and the API names of their fields.
    :param ignore_empty: True leaves the field of an empty value alone. False empties it; all records of an update or
        upsert need the same fields then.
    :param validate: reject here what Zoho would refuse; False leaves it to Zoho.
    :param callback: address that Zoho posts to when a job has ended.
    :param max_jobs_in_flight: how many jobs Zoho may have at once. Above 1 the order of two records with the same key
        in different files is left to Zoho.
    :param results_path: file of the records that were written: ``index``, ``id``, ``action``, ``duplicate_field``. Of
        several jobs there are several files, ``results-0002.jsonl``, …
    :param rejects_path: file of the others: ``index``, ``code``, ``message``, ``details``, ``json_path``, ``record``.
    :param on_reject: ``"fail"`` the task if any record was rejected, or ``"continue"``.
    :param max_reject_ratio: fail only if more than this share of all records (0 to 1) was rejected; goes before
        ``on_reject``.
    :param durable: keep a checkpoint for retries (Airflow 3.3 and newer). False begins again with each try, also where
        that inserts records twice.
    :param max_credits: end before more API credits than this are spent.
    :param deferrable: wait in the triggerer; the default is Airflow's ``[operators] default_deferrable``.
    :param poll_interval: seconds before the first look at a job. In the triggerer it grows by half each time; in the
        worker, the next look comes after a quarter of what the job has taken so far. Left out, it is 10 in the
        triggerer and 3 in the worker: a job costs 500 credits, a look 1.
    :param max_poll_interval: the longest seconds between two looks.
    :param timeout: seconds after which a job that has not ended fails the task.
    :param zohocrm_conn_id: id of a connection of type ``zohocrm``.
    :param api_version: ``v2`` … ``v8``, in place of the connection's.
    """

    template_fields: Sequence[str] = (
        "module",
        "operation",
        "records",
        "input_path",
        "find_by",
        "mapping",
        "ignore_empty",
        "validate",
        "callback",
        "max_jobs_in_flight",
        "results_path",
        "rejects_path",
        "on_reject",
        "max_reject_ratio",
        "durable",
        "max_credits",
        "poll_interval",
        "max_poll_interval",
        "timeout",
        "zohocrm_conn_id",
        "api_version",
    )

    def __init__(
        self,
        *,
        module: str,
        operation: str = "upsert",
        records: Sequence[Mapping[str, Any]] | str | None = None,
        input_path: str | None = None,
        find_by: str | None = None,
        mapping: Mapping[str, str | None] | str | None = None,
        ignore_empty: bool | str = True,
        validate: bool | str = True,
        callback: str | Mapping[str, str] | None = None,
        max_jobs_in_flight: int | str = 1,
        results_path: str | None = None,
        rejects_path: str | None = None,
        on_reject: str = "fail",
        max_reject_ratio: float | str | None = None,
        durable: bool | str = True,
        max_credits: int | str | None = None,
        deferrable: bool = default_deferrable(),
        poll_interval: float | str | None = None,
        max_poll_interval: float | str = LONGEST_POLL,
        timeout: float | str = 6 * 60 * 60,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            module=module,
            records=records,
            input_path=input_path,
            mapping=mapping,
            ignore_empty=ignore_empty,
            validate=validate,
            results_path=results_path,
            rejects_path=rejects_path,
            on_reject=on_reject,
            max_reject_ratio=max_reject_ratio,
            durable=durable,
            max_credits=max_credits,
            **kwargs,
        )
        self.operation = operation
        self.find_by = find_by
        self.callback = callback
        self.max_jobs_in_flight = max_jobs_in_flight
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.max_poll_interval = max_poll_interval
        self.timeout = timeout

    @property
    def writes(self) -> str:  # type: ignore[override]  # a parameter here
        """What is done with the records."""
        return self.operation

    def execute(self, context: Context) -> dict[str, Any]:
        """Write the first files, and wait for their jobs and the ones after them.

        :return: counts and files.
        :raises ZohoRejectedRecordsError: if more records were rejected than allowed.
        """
        return self.write(context)

    def write(self, context: Context) -> dict[str, Any]:
        """Do what :meth:`execute` does, for another operator, whose task then comes back to :meth:`execute_complete`."""
        from airflow_provider_zohocrm.loading.bulk_progress import read_load

        hook = self._hook()
        checkpoint = self._bulk_checkpoint(context, hook)
        self._check_retry(context, checkpoint)
        kept = checkpoint.load(vital=self.writes == "insert")
        return self._advance(context, hook, read_load(kept) if kept else None, resume=bool(kept))

    def execute_complete(self, context: Context, event: Any, progress: Mapping[str, Any]) -> dict[str, Any]:
        """Go on when the trigger has fired.

        :param event: what the trigger sent.
        :param progress: how far the load had come.
        :return: counts and files.
        """
        from airflow_provider_zohocrm.loading.bulk_progress import read_load

        hook = self._hook()
        return self._advance(context, hook, read_load(progress), event=event)

    def on_kill(self) -> None:
        """Tell that the job goes on."""
        self.log.info("The bulk write job goes on at Zoho, which has no way to cancel it")

    def _options(self) -> dict[str, Any]:
        return {}

    def _target(self) -> BulkTarget:
        from airflow_provider_zohocrm.loading.bulk_rows import BulkTarget

        return BulkTarget.of(
            self.module,
            self.operation,
            find_by=given(self.find_by),
            ignore_empty=truth(self.ignore_empty, "ignore_empty") is not False,
            callback=given(self.callback),
        )

    def _waits(self) -> tuple[float, float, float]:
        """Read the first and the longest seconds between two looks, and the seconds a job may take."""
        first, default = given(self.poll_interval), FIRST_POLL if self.deferrable else _FIRST_POLL_IN_WORKER
        return (
            default if first is None else seconds(first, "poll_interval"),
            seconds(self.max_poll_interval, "max_poll_interval"),
            seconds(self.timeout, "timeout"),
        )

    def _jobs_in_flight(self) -> int:
        number = whole_number(self.max_jobs_in_flight, "max_jobs_in_flight")
        if number is not None and number < 1:
            raise ZohoValidationError(f"max_jobs_in_flight is {number}; it must be at least 1")
        return number or 1

    def _bulk_checkpoint(self, context: Context, hook: ZohoCRMHook) -> Checkpoint:
        target = self._target()._asdict()
        del target["callback"]
        parts = fingerprint(
            request=self._request().described(),
            target=target,
            api_version=hook.version.name,
            organisation=organisation(hook),
        )
        durable = truth(self.durable, "durable") is not False
        return Checkpoint(context, _CHECKPOINT, parts, enabled=durable)

    def _advance(
        self,
        context: Context,
        hook: ZohoCRMHook,
        progress: LoadProgress | None,
        *,
        resume: bool = False,
        event: Any = None,
    ) -> dict[str, Any]:
        """Write what is left, as far as can be done without deferring."""
        from airflow_provider_zohocrm.loading.bulk import BulkLoad
        from airflow_provider_zohocrm.loading.bulk_rows import preparation
        from airflow_provider_zohocrm.loading.outcome import Outcome
        from airflow_provider_zohocrm.operators.report import schema_of

        allowed, timeout, request = self._allowed_ratio(), self._waits()[2], self._request()
        at_once, inputs, checkpoint = (
            self._jobs_in_flight(),
            self._inputs(),
            self._bulk_checkpoint(context, hook),
        )
        target = self._target()
        self.show_pages(context, hook, self.module)
        outcome = Outcome(request.results_path, request.rejects_path, progress and progress["outcome"])
        load = BulkLoad(
            hook,
            target,
            inputs,
            lambda: preparation(hook, target, mapping=request.mapping, validate=request.validate),
            outcome,
            progress,
            max_jobs_in_flight=at_once,
            poll_interval=self._waits()[0],
            max_poll_interval=self._waits()[1],
            max_credits=request.max_credits,
            save=checkpoint.save,
            try_number=getattr(context.get("ti"), "try_number", 1),
        )
        if event is not None:
            check_event(event, load, timeout, ZohoBulkWriteError)
        try:
            with outcome:
                if resume:
                    load.resume()
                if not self.deferrable:
                    load.run(timeout)
                elif not load.work(eager=True):
                    self._note_schema(hook, load.progress)
                    self._defer(load, timeout)
        finally:
            self._push(context, load.summary, outcome.shown)
        self.log.info("Wrote to %s: %s", self.module, load.summary)
        self._note_schema(hook, load.progress)
        schema = schema_of(load.progress["schema"])
        self._tell(context, hook, load.summary, schema, load.progress["job_ids"])
        # Last of all: whatever fails before it, a retry does not write again.
        checkpoint.delete()
        self._check(outcome, allowed)
        return load.summary

    def _note_schema(self, hook: ZohoCRMHook, progress: LoadProgress) -> None:
        """Keep, also over a deferral, what the run has read of the fields."""
        from airflow_provider_zohocrm.operators.report import schema_of

        fields = hook.known_fields(self.module)
        if fields is not None:
            progress["schema"] = [list(each) for each in schema_of(None, None, fields)]

    def _defer(self, load: BulkLoad, timeout: float) -> NoReturn:
        # Slow, and of no use to those who only parse DAG files.
        from airflow_provider_zohocrm.triggers.bulk_write import BulkWriteJobTrigger

        first, longest, _ = self._waits()
        self.defer(
            method_name="execute_complete",
            kwargs={"progress": dict(load.progress)},
            **deferral(
                load,
                timeout=timeout,
                zohocrm_conn_id=self.zohocrm_conn_id,
                poll_interval=first,
                max_poll_interval=longest,
                api_version=given(self.api_version),
                min_credits_remaining=self._min_credits(),
                trigger=BulkWriteJobTrigger,
            ),
        )
        raise AssertionError("defer returned")
