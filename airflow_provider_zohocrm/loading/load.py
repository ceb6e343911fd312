"""From rows to a module: batches side by side, a result for each record, and what is finished is kept for a retry."""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from typing import TYPE_CHECKING, Any, TypedDict

from airflow_provider_zohocrm.client.versions import RECORDS_PER_WRITE
from airflow_provider_zohocrm.client.written import Written
from airflow_provider_zohocrm.exceptions import (
    ZohoAPIError,
    ZohoCRMError,
    ZohoPermissionError,
    ZohoScopeError,
    ZohoServerError,
    ZohoTransportError,
    ZohoValidationError,
)
from airflow_provider_zohocrm.loading.delivery import Batch, Delivery
from airflow_provider_zohocrm.loading.inputs import Position
from airflow_provider_zohocrm.loading.keys import duplicate_check, keys_of
from airflow_provider_zohocrm.loading.outcome import Outcome, not_noted
from airflow_provider_zohocrm.loading.ranges import inside, ranges
from airflow_provider_zohocrm.loading.scheduler import Item, Scheduler
from airflow_provider_zohocrm.loading.senders import Senders
from airflow_provider_zohocrm.loading.subforms import row_fields_of
from airflow_provider_zohocrm.loading.values import Preparation, Rejection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from airflow_provider_zohocrm.client.client import ZohoCRMApi
    from airflow_provider_zohocrm.loading.delivery import Result
    from airflow_provider_zohocrm.loading.inputs import Inputs
    from airflow_provider_zohocrm.loading.request import LoadRequest

log = logging.getLogger(__name__)

# Refusals of single records that may pass (reference sheet §6.4).
PASSING = ("RECORD_LOCKED", "DEPENDENT_SERVICE_ERROR")
# Seconds before a record is sent again, one after the other; then its last result stands.
DELAYS = (1.0, 4.0, 15.0, 60.0)
# Seconds between two checkpoints, and records that are kept in between, one by one, before there is one.
CHECKPOINT = 30.0
KEPT_RECORDS, KEPT_REFUSALS = 5_000, 1_000
_IN_CALL = re.compile(r"^\$\.data\[\d+\]")
# Seconds between two lines of progress.
PROGRESS = 10.0
# Batches that are read ahead to find records that may be sent although others of the same key are on their way.
_LOOK_AHEAD = 20
# Of these a repetition is not the same as the first time, so what is under way is kept before it is sent.
_JOURNALED = ("insert", "delete")


class State(TypedDict):
    """How far a load has come; plain JSON.

    ``position`` is where reading goes on, at the row ``index``; of the rows from there up to ``read``, all but those
    in the ranges ``open`` have their result in a file. Since then, ``stored`` rows were inserted or deleted (row and
    id), and ``refused`` ones not written (row and reason). ``sent`` are ranges of rows to be inserted or deleted that
    may have been, the first of them at ``sent_at``.
    """

    input: str
    index: int
    position: list[int]
    read: int
    open: list[list[int]]
    stored: list[list[Any]]
    refused: list[list[Any]]
    sent: list[list[int]]
    sent_at: float | None
    outcome: dict[str, Any]
    calls: int
    credits: int


class Load:
    """Writes the rows of an input to a module.

    :param api: the hook, or a client.
    :param request: what is asked for.
    :param inputs: the rows.
    :param state: how far an earlier try has come.
    :param save: is given the state whenever something is finished that a retry need not do again; None to write the
        results and rejects of a whole run to one file each. An insert ends where it returns False: not kept.
    """

    def __init__(
        self,
        api: ZohoCRMApi,
        request: LoadRequest,
        inputs: Inputs,
        state: State | None = None,
        save: Callable[[State], bool | None] | None = None,
    ) -> None:
        self._api = api
        self._request = request
        self._inputs = inputs
        self._save = save
        self._journaled = request.operation in _JOURNALED
        request.calls(api)  # checks the options, and sends nothing
        state = self._usable(state)
        self._kept: State = state or {
            # Only a retry asks for it, and it costs.
            "input": "" if save is None else inputs.fingerprint,
            "index": 0,
            "position": list(Position(0, 0)),
            "read": 0,
            "open": [],
            "stored": [],
            "refused": [],
            "sent": [],
            "sent_at": None,
            "outcome": {},
            "calls": 0,
            "credits": 0,
        }
        self._begun = (api.usage.calls, api.usage.credits)
        self._spent = (self._kept["calls"], self._kept["credits"])
        self.outcome = Outcome(request.results_path, request.rejects_path, self._kept["outcome"])
        self._scheduler = Scheduler(RECORDS_PER_WRITE)
        self._pieces: deque[Batch] = deque()
        self._sending: dict[int, tuple[Batch, float]] = {}
        self._stored: dict[int, str] = dict(self._kept["stored"])
        self._refused = {index: Rejection(*why) for index, *why in self._kept["refused"]}
        self._journaled_refused = len(self._refused)
        self._read = self._kept["index"]
        self._here = Position(*self._kept["position"])
        self._answered = 0
        self._suspects: list[tuple[Item, ZohoServerError]] = []
        self._failure: Exception | None = None
        sent_at = self._kept["sent_at"]
        self._unread_sent = None if sent_at is None else (self._kept["sent"], sent_at)

    def run(self) -> dict[str, Any]:
        """Write all rows.

        :return: counts and files, see :attr:`Outcome.summary`, with ``calls`` and ``credits``.
        :raises ZohoCRMError: for what stops it: a refusal of a whole call, a failure that does not pass, a row that
            cannot be read. What was written until then is in the files and in :attr:`summary`.
        """
        usage, most = self._api.usage, self._request.max_credits
        bound = usage.max_credits
        usage.max_credits = None if most is None else self._begun[1] + most - self._spent[1]
        try:
            with self.outcome:
                self._begin()
                try:
                    self._work()
                finally:
                    self._senders.end()
                # Also after a failure: a retry goes on from there.
                self._publish(last=True)
                self._checkpoint()
                self._tell_progress()
                if self._failure is not None:
                    raise self._failure
        finally:
            usage.max_credits = bound
        return self.summary

    @property
    def summary(self) -> dict[str, Any]:
        """What came of it so far."""
        calls, credits_ = self._used()
        return {**self.outcome.summary, "calls": calls, "credits": credits_}

    def _usable(self, state: State | None) -> State | None:
        """Check that an earlier try can be gone on from."""
        if state is None:
            return None
        insert = self._request.operation == "insert"
        if state["input"] != self._inputs.fingerprint:
            if insert:
                raise ZohoValidationError(
                    f"The input has changed since the try before, which has inserted {_inserted(state)} records into "
                    f"{self._request.module}. Put back what it was to go on, or clear the task to insert all of it."
                )
            log.warning("The input has changed since the try before: starting from the beginning")
            return None
        lost = Outcome.lost(state["outcome"])
        if lost and not insert:
            log.warning("Starting from the beginning, as %s is gone", lost[0])
            return None
        if lost:
            log.warning("%s of an earlier try is gone; its records are not inserted again", lost[0])
        log.info("Going on at row %d of the input, after %d of an earlier try", state["index"], state["read"])
        return state

    # --- the run -----------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        request, api = self._request, self._api
        now = time.monotonic()
        self._fields: list[dict[str, Any]] | None = None
        if request.validate and request.operation != "delete":
            self._fields = self._readable_fields()
        self._prepare_by(self._fields)
        delivery = Delivery(api, request, self._fields)
        # Airflow is told of the token by the thread of the task.
        api.transport.token()
        self._senders: Senders[Batch, list[tuple[Item, Result | Written | ZohoCRMError]]] = Senders(
            delivery.send
        )
        self._count = self._inputs.count()
        self._started = self._told = self._saved = now
        self._before = self.outcome.total
        self._rows = self._items(self._kept.copy())

    def _readable_fields(self) -> list[dict[str, Any]] | None:
        """Read the module's fields, or None where Zoho does not show them: it checks the records itself then."""
        try:
            return self._api.get_fields(self._request.module)
        except (ZohoScopeError, ZohoPermissionError) as error:
            log.warning(
                "Records are not checked before they are sent, as the fields cannot be read: %s", error
            )
            return None

    def _prepare_by(self, fields: list[dict[str, Any]] | None) -> None:
        request = self._request
        self._keys = self._checked_fields(fields or ())
        self._preparation = Preparation(
            fields,
            request.operation,
            mapping=request.mapping,
            ignore_empty=request.ignore_empty,
            validate=request.validate,
            checked=self._keys,
            external_id=request.external_id,
            row_fields=row_fields_of(self._api),
        )

    def _checked_fields(self, fields: Sequence[Mapping[str, Any]]) -> list[str]:
        request = self._request
        checked = ["id"]
        if request.operation == "upsert":
            checked = duplicate_check(request.module, fields, request.duplicate_check_fields)
        elif request.operation != "delete":
            checked += [field["api_name"] for field in fields if field.get("unique")]
        if request.external_id is not None:
            checked.append(request.external_id)
        return list(dict.fromkeys(checked))

    def _work(self) -> None:
        """Send until everything has its result, or something stops it and what was under way has come back."""
        while True:
            self._judge()
            self._start()
            if not self._sending and (self._failure is not None or not self._scheduler):
                return
            self._read_ahead()
            self._take()
            self._look_at_clock()

    def _start(self) -> None:
        """Send as many batches as may be under way; none while it is to be seen whether there is an outage."""
        begun: list[Batch] = []
        while (
            self._failure is None and not self._suspects and len(self._sending) + len(begun) < self._at_once
        ):
            batch = self._next()
            if batch is None:
                break
            begun.append(batch)
        if not begun:
            return
        now = time.time()
        for batch in begun:
            self._sending[batch.items[0].index] = batch, now
        # A record that was refused because there was none to update must not be sent again when there is one.
        noted = True
        if self._journaled or len(self._refused) > self._journaled_refused:
            noted = self._journal()
        if not noted and self._request.operation == "insert":
            for batch in begun:
                del self._sending[batch.items[0].index]
            self._failure = not_noted()
            return
        for batch in begun:
            self._senders.start(batch)

    @property
    def _at_once(self) -> int:
        """Calls that may be under way together now; what the process does beside this load has its share."""
        return min(self._request.max_concurrency, self._api.transport.limiter.limit)

    def _next(self) -> Batch | None:
        if self._pieces:
            return self._pieces.popleft()
        self._fill()
        # A stop while reading lets nothing new begin.
        items = [] if self._failure is not None else self._scheduler.batch(time.monotonic())
        return Batch(items) if items else None

    def _read_ahead(self) -> None:
        """Make the next batches while Zoho works: answers come together, and what they free is used at once."""
        for batches in range(1, self._at_once + 1):
            if self._failure is not None or self._senders.done:
                return
            self._fill(batches)

    def _fill(self, batches: int = 1) -> None:
        """Read on until so many batches are full, or enough was read ahead."""
        scheduler, enough = self._scheduler, batches * RECORDS_PER_WRITE
        most = RECORDS_PER_WRITE * (_LOOK_AHEAD + self._request.max_concurrency)
        if scheduler.ready >= enough or len(scheduler) >= most:
            return
        try:
            for item in self._rows:
                scheduler.add(item)
                if scheduler.ready >= enough or len(scheduler) >= most:
                    return
        except Exception as error:  # noqa: BLE001  # raised by run, once what is under way has come back
            self._failure = error

    def _items(self, kept: State) -> Iterator[Item]:
        """Read the rows that have no result yet; what Zoho would refuse gets it here."""
        stored, refused = dict(self._stored), dict(self._refused)
        here = Position(*kept["position"])
        for index, here_after, values, texts in self._inputs.rows(here, index=kept["index"]):
            start, here = here, here_after
            done = index < kept["read"] and not inside(kept["open"], index)
            record = None if done or index in stored else self._prepared(values, texts=texts)
            # Not before: a row at which this has failed is for a retry to read.
            self._read, self._here = index + 1, here
            if done:
                continue
            if record is None:
                self.outcome.accepted(index, stored[index], self._request.operation)
                continue
            if isinstance(record, Rejection):
                self.outcome.rejected(index, values, record)
                continue
            if index in refused:
                self.outcome.rejected(index, record, refused[index])
                continue
            item = Item(index, start, record, keys_of(record, self._keys))
            if inside(kept["sent"], index):
                item.sent_at = kept["sent_at"]
            yield item

    def _prepared(self, values: Mapping[str, Any], *, texts: bool) -> dict[str, Any] | Rejection:
        if texts and self._fields is None and self._request.operation != "delete":
            # What a text means is for its field to say.
            self._fields = self._api.get_fields(self._request.module)
            self._prepare_by(self._fields)
        return self._preparation.prepare(values, texts=texts)

    def _take(self) -> None:
        """Wait for the end of a call, or until something is due."""
        done = self._senders.take(self._patience())
        while done is not None:
            batch, results, error = done
            # The first record of a batch is in no other.
            del self._sending[batch.items[0].index]
            if error is None:
                self._answer(results or [])
            elif isinstance(error, Exception):
                self._failed(batch, error)
            else:
                raise error
            done = self._senders.take(0)

    def _patience(self) -> float:
        now = time.monotonic()
        wake = min(self._told + PROGRESS, self._saved + CHECKPOINT)
        if self._scheduler.due is not None and self._failure is None:
            wake = min(wake, self._scheduler.due)
        return max(0.001, wake - now)

    # --- results -----------------------------------------------------------------------------------------------

    def _answer(self, results: list[tuple[Item, Result | Written | ZohoCRMError]]) -> None:
        """Take what came of a call; after a failure, records that Zoho may have stored are looked up and sent again."""
        stuck: list[Item] = []
        failure: ZohoCRMError | None = None
        for item, result in results:
            if not isinstance(result, ZohoCRMError):
                self._settle(item, result)
                continue
            failure = result
            if not self._put_off(item):
                stuck.append(item)
        if failure is None:
            self._answered += 1
        elif stuck:
            self._failed(Batch(stuck), failure)

    def _settle(self, item: Item, result: Result | Written) -> None:
        if isinstance(result, Written):
            self._accept(item, result.details.id, result.action, result.duplicate_field)
        elif result.get("status") == "success":
            details = result.get("details")
            id_ = str(details.get("id") or "") if isinstance(details, dict) else ""
            self._accept(item, id_, result.get("action"), result.get("duplicate_field"))
        elif result.get("code") not in PASSING or not self._put_off(item):
            self._reject(item, result)

    def _accept(self, item: Item, id_: str, action: str | None, duplicate_field: str | None) -> None:
        self._scheduler.settle(item)
        if self._journaled and self._save is not None:
            self._stored[item.index] = id_
        operation = self._request.operation
        done = str(action or "update") if operation == "upsert" else operation
        self.outcome.accepted(item.index, id_, done, duplicate_field)

    def _reject(self, item: Item, result: Mapping[str, Any]) -> None:
        self._scheduler.settle(item)
        details = result.get("details")
        path = details.get("json_path") if isinstance(details, dict) else None
        # Zoho counts records within the call.
        place = _IN_CALL.sub("$", str(path or ""))
        rejection = Rejection(str(result.get("code")), str(result.get("message")), details or {}, place)
        if self._save is not None:
            self._refused[item.index] = rejection
        self.outcome.rejected(item.index, item.record, rejection)

    def _put_off(self, item: Item) -> bool:
        if item.tries >= len(DELAYS):
            return False
        self._scheduler.put_off(item, time.monotonic() + DELAYS[item.tries])
        item.tries += 1
        return True

    def _failed(self, batch: Batch, error: Exception) -> None:
        """Take a call that failed as a whole."""
        items = batch.items
        if isinstance(error, ZohoAPIError) and error.code in PASSING:
            for item in items:
                result = {"code": error.code, "message": str(error), "details": error.details}
                if not self._put_off(item):
                    self._reject(item, result)
        elif not isinstance(error, ZohoServerError) or not error.sent:
            self._failure = self._failure or _placed(error, items)
        elif len(items) > 1:
            # One record may be what Zoho fails at: it is looked for in halves.
            half = len(items) // 2
            for item in items:
                item.answered = self._answered if item.answered is None else item.answered
            self._pieces.extend((Batch(items[:half], piece=True), Batch(items[half:], piece=True)))
        elif items[0].answered is None:
            items[0].answered = self._answered
            self._pieces.append(Batch(items, piece=True))
        else:
            self._suspects.append((items[0], error))

    def _judge(self) -> None:
        """Tell records that Zoho fails at from an outage, as soon as calls with others were answered or all have failed."""
        undecided = []
        for item, error in self._suspects:
            if item.answered is not None and self._answered > item.answered:
                code = error.code or "INTERNAL_ERROR"
                self._reject(item, {"code": code, "message": str(error), "details": error.details})
            elif self._sending:
                undecided.append((item, error))
            else:
                self._failure = self._failure or _placed(error, [item])
        self._suspects = undecided

    # --- checkpoint and progress -------------------------------------------------------------------------------

    def _look_at_clock(self) -> None:
        now = time.monotonic()
        if now - self._told >= PROGRESS:
            self._told = now
            self._tell_progress()
        if self._save is None:
            return
        full = len(self._refused) >= KEPT_REFUSALS or len(self._stored) >= KEPT_RECORDS
        if full or (now - self._saved >= CHECKPOINT and self.outcome.unpublished):
            self._publish()
            self._checkpoint()

    def _publish(self, *, last: bool = False) -> None:
        try:
            self.outcome.publish(last=last)
        except ZohoCRMError:
            # What is stored a retry must know also where its file cannot be written.
            self._journal()
            raise

    def _checkpoint(self) -> None:
        """Keep how far it has come; everything that has a result is published."""
        self._saved = time.monotonic()
        # Those that an earlier try has kept and that are not read again yet.
        self._stored = {index: id_ for index, id_ in self._stored.items() if index >= self._read}
        self._refused = {index: why for index, why in self._refused.items() if index >= self._read}
        if self._save is None:
            return
        first = self._scheduler.first
        open_ = ranges(item.index for item in self._scheduler.items)
        # Where an earlier try had come further, this one has not read again all that has its result already.
        open_ += [[max(begin, self._read), end] for begin, end in self._kept["open"] if end >= self._read]
        self._kept = {
            **self._kept,
            "index": self._read if first is None else first.index,
            "position": list(self._here if first is None else first.start),
            "read": max(self._read, self._kept["read"]),
            "open": open_,
            "outcome": self.outcome.state,
        }
        self._journal()

    def _journal(self) -> bool:
        """Keep, beside the last checkpoint, what was stored since and what may be stored from now on; tell whether it was."""
        if self._save is None:
            return True
        calls, credits_ = self._used()
        self._kept["stored"] = [[index, id_] for index, id_ in self._stored.items()]
        self._kept["refused"] = [[index, *why] for index, why in self._refused.items()]
        self._journaled_refused = len(self._refused)
        self._kept["calls"], self._kept["credits"] = calls, credits_
        if self._journaled:
            self._journal_sent()
        return self._save(self._kept) is not False

    def _journal_sent(self) -> None:
        """Note which rows may be stored although no answer tells so."""
        sent = {item.index: item.sent_at for item in self._scheduler.items if item.sent_at is not None}
        for batch, now in self._sending.values():
            for item in batch.items:
                sent.setdefault(item.index, now)
        if self._unread_sent is not None:
            # Those of an earlier try that were not read again yet.
            for first, last in self._unread_sent[0]:
                sent.update(dict.fromkeys(range(max(first, self._read), last + 1), self._unread_sent[1]))
        self._kept["sent"] = ranges(sorted(sent))
        self._kept["sent_at"] = min(sent.values(), default=None)

    def _used(self) -> tuple[int, int]:
        usage = self._api.usage
        return (
            self._spent[0] + usage.calls - self._begun[0],
            self._spent[1] + usage.credits - self._begun[1],
        )

    def _tell_progress(self) -> None:
        done, now = self.outcome.total, time.monotonic()
        rate = (done - self._before) / max(now - self._started, 0.001)
        left = (
            "" if self._count is None or not rate else f", {max(0.0, self._count - done) / rate:,.0f} s left"
        )
        log.info(
            "%s: %s%s records done, %.0f a second, %s rejected, %s API credits used, %d calls at a time%s",
            self._request.module,
            f"{done:,}",
            "" if self._count is None else f" of {self._count:,}",
            rate,
            f"{self.outcome.counts['rejected']:,}",
            f"{self._used()[1]:,}",
            self._at_once,
            left,
        )


def _placed(error: Exception, items: Sequence[Item]) -> Exception:
    """Say in an error which rows of the input it is about."""
    if isinstance(error, (ZohoAPIError, ZohoTransportError, ZohoCRMError)) and items:
        indexes = sorted(item.index for item in items)
        place = f"rows {indexes[0]} to {indexes[-1]}" if len(indexes) > 1 else f"row {indexes[0]}"
        error.args = (f"{error} (a call with {len(indexes)} records, {place} of the input)", *error.args[1:])
    return error


def _inserted(state: State) -> int:
    counts = state["outcome"].get("counts") or {}
    return int(counts.get("inserted", 0)) + len(state["stored"])
