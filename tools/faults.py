"""What becomes of every operator under every kind of fault: the tests are parametrised by it, and the table is made of it."""

from __future__ import annotations

from dataclasses import dataclass, replace

READS = ("get_records records", "get_records coql", "get_records bulk", "bulk_read", "bulk_read deferred")
LOADS = ("upsert", "insert", "update", "delete")
BULK_WRITES = ("bulk_write", "bulk_write deferred", "bulk_write insert")
ROWS = ("query", "query ordered", "get_deleted", "get_related")
JOB_SENSORS = ("job sensor", "job sensor deferred")
SENSORS = (
    "record sensor",
    "record sensor deferred",
    *JOB_SENSORS,
    "credits sensor",
    "credits sensor deferred",
)
EXTRACTS_AND_LOADS = (*READS, *LOADS, *BULK_WRITES)
OPERATORS = (*EXTRACTS_AND_LOADS, *ROWS, "count", *SENSORS, "notifier")
"""The operators, each in the ways in which a fault can meet it. ``deferred`` waits in the triggerer, the others in the worker."""
BULK_READS = READS[2:]
WAITING = ("get_records bulk", "bulk_read deferred", "bulk_write deferred")
"""Those that a real Airflow defers; without one, get_records bulk is tried in the worker."""


@dataclass(frozen=True)
class Outcome:
    """What becomes of a task.

    :param name: as the table has it.
    :param text: what happens, and what becomes of the data.
    :param log: regular expression of a line in the log of task or trigger, as far as there is one.
    :param error: the class with which the task fails; empty if it does not.
    :param doubtful: whether there may be rows of which the task says that nobody knows whether they were written.
    :param shown: a line of the log, as the table has it.
    :param final: whether what was waited for has failed for good: the next try needs another.
    """

    name: str
    text: str
    log: str = ""
    error: str = ""
    doubtful: bool = False
    shown: str = ""
    final: bool = False


UNNOTICED = Outcome("unnoticed", "The task does not see it. The result is the one without the fault.")
REPEATED = Outcome(
    "repeated",
    "The call is sent again, see [what is repeated](errors.md#what-is-repeated-by-itself). The result is the one without the fault.",
    r"Try \d+ of \d+ in ",
    shown="Try 2 of 10 in 1.4 s: …",
)
TOKEN_LATER = Outcome(
    "asked again",
    "The token is asked for again; tasks that need the same one wait. The result is the one without the fault.",
    "No access token yet, next try in ",
    shown="No access token yet, next try in 1.4 s: …",
)
OTHER_TOKEN = Outcome(
    "another token",
    "The call is sent again with the stored token, if that is another one, or with a new one. The result is the one without the fault.",
    "Zoho refused the access token; taking another one",
    shown="Zoho refused the access token; taking another one",
)
LOOKED_UP = Outcome(
    "looked up",
    "An insert is not repeated blindly: its records are looked up by a unique field, and those that are not there are sent again. "
    "No record is there twice. One without a value in a unique field is rejected as `UNKNOWN_OUTCOME`: it is there once or not at all.",
    doubtful=True,
    shown="Record 17 was not stored; it is inserted again",
)
SENT_AGAIN = Outcome(
    "sent again",
    "The records are sent again; one that is gone by then counts as deleted.",
)
UNKNOWN = Outcome(
    "rows unknown",
    "The job may exist, and a second one could insert its rows twice: they are rejected as `UNKNOWN_OUTCOME`, and the task goes on.",
    "What became of the records of file \\d+ is not known",
    doubtful=True,
    shown="What became of the records of file 2 is not known: …",
)
OUTLASTED = Outcome(
    "outlasted",
    "A look that fails is one that saw nothing; the next one follows. The result is the one without the fault.",
    r"Looking .*failed, going on",
    shown="Looking failed, going on: …",
)
IN_VAIN = Outcome(
    "outlasted till `AirflowSensorTimeout`",
    "A look that fails is one that saw nothing: the sensor goes on until its `timeout`, and then fails, or is skipped with `soft_fail`. "
    "The next try ends with the result without the fault.",
    OUTLASTED.log,
    error="AirflowSensorTimeout",
    shown=OUTLASTED.shown,
)
LOGGED = Outcome(
    "logged",
    "The error is logged. DAG and task, of which the notification tells, do not notice. A call that Zoho may have processed is not repeated: "
    "the record is there once or not at all; nor is one that is to wait for longer than 5 s.",
    "No task was created in Zoho CRM: ",
    doubtful=True,
    shown="No task was created in Zoho CRM: …",
)
OTHER_JOB = Outcome(
    "another job",
    "Another job exports the page, or writes the file where that does no harm; once, then the task fails.",
    "is (exported|written) by another job",
    shown="Page 2 is exported by another job: …",
)
FETCHED_AGAIN = Outcome(
    "fetched again",
    "The result is downloaded again, three times at most.",
    "Downloading the result again",
    shown="Downloading the result again: …",
)
SHOWN = Outcome(
    "waits",
    "A state that nobody has documented is one of a running job.",
    shown="Bulk read job …: PAUSED",
)


def fails(error: str) -> Outcome:
    """Describe a task that fails."""
    return Outcome(
        f"`{error}`",
        "The task fails. Files are whole or absent, and what stood under a name stays until its file is whole. What was "
        "written to Zoho stays, and is known: the next try (Airflow 3.3 and newer: from the checkpoint) ends with the result "
        "without the fault, and nothing is there twice.",
        error=error,
    )


def after_look_up(outcome: Outcome) -> Outcome:
    """Describe an insert that ends so, and may leave rows of which nobody knows."""
    return replace(
        outcome,
        name=f"looked up, then {outcome.name}",
        text="Both of it; in the next try the records are looked up again.",
        doubtful=True,
    )


def fails_for_good(error: str) -> Outcome:
    """Describe a sensor whose job has failed."""
    return Outcome(
        f"`{error}`, every time",
        "The sensor fails with the job's reason, as would the next try: clear the task that submits the job, too.",
        error=error,
        final=True,
    )


def either(outcome: Outcome) -> Outcome:
    """Describe a task that mostly does not see the fault, or else ends so."""
    return replace(outcome, name=f"unnoticed, or {outcome.name}", log="")


TRANSPORT, SERVER, LIMIT = fails("ZohoTransportError"), fails("ZohoServerError"), fails("ZohoRateLimitError")
Cells = dict[str, Outcome]


@dataclass(frozen=True)
class Fault:
    """A kind of fault.

    :param title: as the table has it.
    :param passes: what becomes of each operator when it is over soon; operators that are not named cannot meet it.
    :param lasts: the same if it goes on until the task has ended.
    """

    title: str
    passes: Cells
    lasts: Cells


def cells(outcome: Outcome, among: tuple[str, ...] = OPERATORS, **others: Outcome) -> Cells:
    """Give operators an outcome.

    :param others: outcomes of some of them; a blank is written as ``_``.
    """
    return {name: others.get(name.replace(" ", "_"), outcome) for name in among}


def repeated(**others: Outcome) -> Cells:
    """Let the call be repeated; one that asks whether there are credits left is not: the next look follows anyway."""
    return cells(REPEATED, credits_sensor=OUTLASTED, credits_sensor_deferred=OUTLASTED, **others)


def with_time_out(outcome: Outcome, **others: Outcome) -> Cells:
    """Give operators an outcome that those which wait do not see: they outlast the fault till the deadline."""
    late = {
        "bulk_read_deferred": fails("ZohoBulkReadTimeoutError"),
        "bulk_write_deferred": fails("ZohoBulkWriteTimeoutError"),
        **dict.fromkeys((name.replace(" ", "_") for name in SENSORS), IN_VAIN),
    }
    return cells(outcome, **{**late, "notifier": LOGGED, **others})


def refused(error: str) -> Cells:
    """Let everything fail that asks Zoho, in the worker and in the triggerer."""
    return cells(fails(error), notifier=LOGGED)


_UNANSWERED = repeated(insert=LOOKED_UP, delete=SENT_AGAIN, bulk_write_insert=UNKNOWN, notifier=LOGGED)
# Whether the next call is on its way by then is chance.
_RESET_WHILE_KEPT = cells(UNNOTICED, insert=either(LOOKED_UP), bulk_write_insert=either(UNKNOWN))
_ANSWERS_LOST = with_time_out(TRANSPORT, insert=LOOKED_UP, bulk_write_insert=UNKNOWN)
_NEVER_ANSWERED = with_time_out(TRANSPORT, insert=after_look_up(TRANSPORT), bulk_write_insert=UNKNOWN)
_DOWN = with_time_out(SERVER, insert=after_look_up(SERVER), bulk_write_insert=UNKNOWN)
_JOBS = (*BULK_READS, *BULK_WRITES)
_FILES = (*EXTRACTS_AND_LOADS, *ROWS)
_WRITE_ERROR = fails("ZohoBulkWriteError")

FAULTS: dict[str, Fault] = {
    "dns": Fault("name of Zoho's host not found (DNS)", repeated(), with_time_out(TRANSPORT)),
    "refused": Fault("connection refused", repeated(), with_time_out(TRANSPORT)),
    "reset before": Fault(
        "connection reset before Zoho has processed the call", _UNANSWERED, _NEVER_ANSWERED
    ),
    "reset unanswered": Fault("connection reset after that, before the answer", _UNANSWERED, _ANSWERS_LOST),
    "reset during": Fault("connection reset during the answer", _UNANSWERED, _ANSWERS_LOST),
    "reset after": Fault(
        "connection reset after the answer, while it is kept", _RESET_WHILE_KEPT, _RESET_WHILE_KEPT
    ),
    "slow body": Fault(
        "body comes slowly; lasting: slower than the time-out", cells(UNNOTICED), _ANSWERS_LOST
    ),
    "truncated": Fault("body truncated", _UNANSWERED, _ANSWERS_LOST),
    "502": Fault("502 with an HTML page", _UNANSWERED, _DOWN),
    "503": Fault("503 with an HTML page", _UNANSWERED, _DOWN),
    "500": Fault("500 in JSON", _UNANSWERED, _DOWN),
    "429 plain": Fault("429 that names no time", repeated(), with_time_out(LIMIT)),
    "429 header": Fault("429 with the header Retry-After", repeated(), with_time_out(LIMIT)),
    "429 other code": Fault("429 RATE_LIMIT_EXCEEDED", repeated(), with_time_out(LIMIT)),
    "429 details": Fault("429 with details.retry_after", repeated(), with_time_out(LIMIT)),
    "401 expired": Fault("401, the token has died", cells(OTHER_TOKEN), refused("ZohoAuthenticationError")),
    "401 scope": Fault("401, a scope is missing", {}, refused("ZohoScopeError")),
    "token error": Fault("token endpoint: 200 with an error", {}, refused("ZohoAuthenticationError")),
    "token throttled": Fault(
        "token endpoint: throttled",
        cells(TOKEN_LATER, notifier=LOGGED),
        with_time_out(fails("ZohoTokenThrottledError")),
    ),
    "token down": Fault("token endpoint: down (500)", cells(TOKEN_LATER), with_time_out(SERVER)),
    "token reset": Fault("token endpoint: connection reset", cells(TOKEN_LATER), with_time_out(TRANSPORT)),
    "job state": Fault("unknown state of a job", cells(SHOWN, (*_JOBS, *JOB_SENSORS)), {}),
    "job failure": Fault(
        "job ends in FAILURE",
        {},
        {
            **cells(fails("ZohoBulkReadError"), BULK_READS),
            **cells(_WRITE_ERROR, BULK_WRITES),
            **cells(fails_for_good("ZohoBulkReadError"), JOB_SENSORS),
        },
    ),
    "job stuck": Fault(
        "job never ends",
        {},
        {
            **cells(fails("ZohoBulkReadTimeoutError"), BULK_READS),
            **cells(fails("ZohoBulkWriteTimeoutError"), BULK_WRITES),
            **cells(fails("AirflowSensorTimeout"), JOB_SENSORS),
        },
    ),
    "result gone": Fault(
        "result of a job is gone",
        cells(OTHER_JOB, _JOBS, bulk_write_insert=UNKNOWN),
        {
            **cells(fails("ZohoNotFoundError"), BULK_READS),
            **cells(_WRITE_ERROR, BULK_WRITES, bulk_write_insert=UNKNOWN),
        },
    ),
    "corrupt zip": Fault(
        "result of a job is damaged",
        cells(FETCHED_AGAIN, _JOBS),
        {**cells(fails("ZohoCorruptResultError"), BULK_READS), **cells(_WRITE_ERROR, BULK_WRITES)},
    ),
    "clock ahead": Fault(
        "clock of Zoho and of the triggerer an hour ahead, and an answer is lost", _UNANSWERED, {}
    ),
    "clock behind": Fault("the same, an hour behind", _UNANSWERED, {}),
    "disk full": Fault("disk full", {}, cells(fails("ZohoStorageError"), _FILES)),
    "temporary disk full": Fault("disk of temporary files full", {}, cells(fails("ZohoStorageError"), _JOBS)),
    "object store": Fault(
        "object storage fails during the upload", {}, cells(fails("ZohoStorageError"), _FILES)
    ),
}


# --- on a real Airflow ------------------------------------------------------------------------------------------------

GOES_ON = Outcome(
    "goes on",
    "The task ends as if nothing had happened; what it asks of Airflow meanwhile is asked for again by Airflow.",
)
TOLD = Outcome(
    "finishes",
    "Airflow 3.3 only tells the task, which goes on, as do its jobs. If the worker is killed before the end, see there.",
    shown="The bulk read job goes on at Zoho, …",
)
TAKEN_OVER = Outcome(
    "taken over",
    "The new triggerer goes on with the trigger, which holds no more than the ids of the jobs. No job is paid for twice.",
)
NEXT_TRY = Outcome(
    "next try",
    "The next try goes on from the checkpoint: with the jobs that were submitted, behind the rows that were written. "
    "Inserted rows of which no answer is known are looked up.",
    shown="Re-attached to bulk read job … / Going on at row …",
)
NEXT_TRY_UNKNOWN = replace(
    NEXT_TRY,
    name="next try, rows unknown",
    text="The same; the rows of a job of which it is not known whether Zoho has taken it are rejected as `UNKNOWN_OUTCOME`.",
    doubtful=True,
    shown=UNKNOWN.shown,
)
RUNS_AGAIN = Outcome(
    "runs again",
    'Clear means "run again": the jobs that were waited for are left alone, and others are submitted. Records are written a '
    "second time: an upsert leaves the same ones, an insert by bulk write has them twice.",
    shown="The task was cleared: starting from the beginning",
)
SAME_JOBS = Outcome(
    "same jobs",
    "The try fails, and the next one goes on with the same jobs. No job is paid for twice. Airflow 3 does not count "
    "`execution_timeout` while a task is deferred; `timeout` of the operator is counted for each job.",
    shown="Re-attached to bulk read job …",
)
AIRFLOW_FAULTS: dict[str, Fault] = {
    "database_away": Fault(
        "metadata database locked for 8 s: nothing can be written", {}, cells(GOES_ON, EXTRACTS_AND_LOADS)
    ),
    "triggerer_restart": Fault("triggerer killed, and started again", {}, cells(TAKEN_OVER, WAITING)),
    "sigterm": Fault("worker gets SIGTERM at a random point", {}, cells(TOLD, EXTRACTS_AND_LOADS)),
    "sigkill": Fault(
        "process of the task gets SIGKILL at a random point",
        {},
        cells(NEXT_TRY, EXTRACTS_AND_LOADS, bulk_write_insert=NEXT_TRY_UNKNOWN),
    ),
    "cleared": Fault("task cleared while deferred", {}, cells(RUNS_AGAIN, WAITING)),
    "timed_out": Fault("time-out while deferred: `timeout` of the operator", {}, cells(SAME_JOBS, WAITING)),
    "timed_out_unseen": Fault(
        "the same without a triggerer: Airflow's `TaskDeferralTimeout`", {}, cells(SAME_JOBS, WAITING)
    ),
}
