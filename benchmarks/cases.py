"""What is measured: cases, who runs in them, and which figure is compared with which target."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

# One of every type: datetimes, decimals, a date, a boolean, whole numbers, a multi-select, lookups, texts with commas and quotes.
TYPED_FIELDS = [
    "Owner",
    "Created_Time",
    "Modified_Time",
    "Company",
    "Last_Name",
    "Full_Name",
    "Email",
    "Email_Opt_Out",
    "Lead_Source",
    "Lead_Status",
    "Description",
    "Country",
    "No_of_Employees",
    "Annual_Revenue",
    "Score",
    "Customer_Number",
    "Languages",
    "Birthday",
    "Next_Call",
    "Partner",
]
# So few that the simulator writes 200,000 rows in much less than the 5 s a job takes.
FEW_FIELDS = ["Last_Name", "Email", "Modified_Time", "Annual_Revenue", "Lead_Status"]


@dataclass(frozen=True)
class Contestant:
    """Who runs, and with what.

    :param name: name in the tables.
    :param module: module below ``benchmarks``, run in a fresh process; it prints one line of JSON at its end.
    :param output: name of the file it writes; None writes nothing, and its values are checked in a run of its own
        that does write and is not measured.
    :param options: passed to it.
    :param input: name of the file it loads; the simulator's table is compared with it.
    :param records: other than the case's number of records; of those that load, other than its number of rows.
    :param check_records: how many records that other run reads; None means all.
    :param exact: values are compared as the JSON of a list answer has them, and not as what a CSV can tell of them.
    """

    name: str
    module: str
    output: str | None = None
    input: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    records: int | None = None
    check_records: int | None = None
    exact: bool = False


@dataclass(frozen=True)
class Target:
    """A figure that is compared.

    :param text: what it is, in words.
    :param figure: key of the run: ``wall``, ``cpu``, ``peak_mb``, ``credits``, or one that only this contestant prints.
    :param ours: whose figure.
    :param peer: whose figure it is compared with; None compares the figure itself.
    :param how: divided by the peer's, or the peer's taken away from it.
    :param limit: at most this; None only informs.
    :param scale: what a figure without a peer is divided by.
    """

    text: str
    figure: str
    ours: str
    peer: str | None = None
    how: Literal["ratio", "difference"] = "ratio"
    limit: float | None = None
    scale: float = 1.0


@dataclass(frozen=True)
class Case:
    """A case.

    :param name: for ``--cases``.
    :param text: what is done and what exactly is in the time.
    :param records: Leads in the simulator; None runs without a simulator, and checks no rows.
    :param loads: rows that are loaded, half of them for Leads that are there, if so many are.
    :param bad: every hundredth of them is one that is rejected, some before and some by Zoho.
    :param fields: API names; None is every field that a list can hold.
    :param simulator: options of the simulator.
    """

    name: str
    text: str
    contestants: tuple[Contestant, ...]
    targets: tuple[Target, ...]
    records: int | None = None
    loads: int = 0
    bad: bool = False
    fields: list[str] | None = None
    simulator: dict[str, Any] = field(default_factory=dict)


_BAD_ALLOWED = {"max_reject_ratio": 0.01}
_FORMATS = ("jsonl", "jsonl.gz", "jsonl.zst", "csv", "csv.gz", "csv.zst", "parquet")


def _reading(records: int, formats: tuple[str, ...] = _FORMATS) -> tuple[Contestant, ...]:
    return tuple(
        Contestant(
            f"{one}, {records:,}",
            "contestants.get_records",
            f"leads.{one}",
            options={"strategy": "auto"},
            records=records,
        )
        for one in formats
    )


CASES = (
    Case(
        "list",
        "100,000 records with every listable field, page by page of 200. Ours writes JSON lines (ZohoGetRecordsOperator, "
        "look-up of connection and token included); the bare loops parse every page by json.loads and the SDK makes its "
        "objects, and they write nothing.",
        (
            Contestant("ours", "contestants.get_records", "leads.jsonl", exact=True),
            Contestant("bare requests", "contestants.bare_requests", exact=True),
            Contestant("bare aiohttp", "contestants.bare_aiohttp", exact=True),
            Contestant("official SDK", "contestants.official_sdk", check_records=10_000),
        ),
        (
            Target("CPU, ours / bare requests", "cpu", "ours", "bare requests", limit=1.15),
            Target("CPU, ours / official SDK", "cpu", "ours", "official SDK", limit=1 / 20),
            Target("wall time, ours / bare aiohttp", "wall", "ours", "bare aiohttp"),
            Target("CPU, ours / bare aiohttp", "cpu", "ours", "bare aiohttp"),
        ),
        records=100_000,
    ),
    Case(
        "auto",
        "100,000 records, 20 fields, every call takes 100 ms and a bulk read job 5 s: strategy auto against page by page, "
        "both ZohoGetRecordsOperator writing JSON lines.",
        (
            Contestant("ours, auto", "contestants.get_records", "leads.jsonl", options={"strategy": "auto"}),
            Contestant(
                "ours, page by page",
                "contestants.get_records",
                "leads.jsonl",
                options={"strategy": "records"},
            ),
        ),
        (
            Target("wall time, auto / page by page", "wall", "ours, auto", "ours, page by page", limit=1 / 8),
            Target(
                "credits, auto / page by page", "credits", "ours, auto", "ours, page by page", limit=1 / 3
            ),
        ),
        records=100_000,
        fields=TYPED_FIELDS,
        simulator={"latency": 0.1, "job_seconds": 5},
    ),
    Case(
        "bulk-csv",
        "The finished result of a bulk read job, 200,000 rows of 20 fields, to CSV. In the time: ours from the moment the "
        "task resumes after its deferral (look-up of connection and token, status of the job, download, check, write); the "
        "peer downloads the same kind of zip to a temporary file and copies its member.",
        (
            Contestant("ours", "contestants.bulk_result", "leads.csv"),
            Contestant("requests + zipfile", "contestants.zipfile_copy", "leads.csv"),
        ),
        (
            Target("wall time, ours / requests + zipfile", "wall", "ours", "requests + zipfile", limit=1.2),
            Target("memory added, MB", "growth_mb", "ours", limit=48),
        ),
        records=200_000,
        fields=TYPED_FIELDS,
        simulator={"job_seconds": 0.1, "downloads_per_minute": 1000},
    ),
    Case(
        "bulk-parquet",
        "The same result to Parquet with typed columns. In the time of both: download, unzip, parse, write. Ours as above; "
        "the peer is told the types of the columns, unzips to a file, and takes that whole: pyarrow.csv.read_csv, "
        "parquet.write_table. Its multi-select stays text, ours becomes a list.",
        (
            Contestant("ours", "contestants.bulk_result", "leads.parquet"),
            Contestant("pyarrow", "contestants.pyarrow_csv", "leads.parquet"),
        ),
        (
            Target("wall time, ours / pyarrow", "wall", "ours", "pyarrow", limit=1.5),
            Target("memory added, MB", "growth_mb", "ours", limit=48),
        ),
        records=200_000,
        fields=TYPED_FIELDS,
        simulator={"job_seconds": 0.1, "downloads_per_minute": 1000},
    ),
    Case(
        "bulk-jobs",
        "2,000,000 rows in 10 bulk read jobs of 5 s each, which the simulator works on one after another, to CSV: "
        "ZohoBulkReadOperator(max_jobs_in_flight=10, deferrable=False), with its default poll_interval.",
        (
            Contestant(
                "ours",
                "contestants.bulk_read",
                "leads.csv",
                options={"max_jobs_in_flight": 10},
            ),
        ),
        (Target("wall time, ours / the jobs' own 50 s", "wall", "ours", limit=1.15, scale=50),),
        records=2_000_000,
        fields=FEW_FIELDS,
        simulator={"job_seconds": 5},
    ),
    Case(
        "memory",
        'ZohoGetRecordsOperator(strategy="auto"), 20 fields, 10,000 and 1,000,000 records into each format, 1,000 and 100,000 '
        "into JSON lines; the difference of the peak resident memory of fresh processes.",
        (
            *_reading(10_000),
            *_reading(1_000_000),
            *_reading(1_000, ("jsonl",)),
            *_reading(100_000, ("jsonl",)),
        ),
        (
            *(
                Target(
                    f"growth, .{one}, MB",
                    "peak_mb",
                    f"{one}, 1,000,000",
                    f"{one}, 10,000",
                    "difference",
                    40,
                )
                for one in _FORMATS
            ),
            Target(
                "growth, 1,000 to 100,000, MB",
                "peak_mb",
                "jsonl, 100,000",
                "jsonl, 1,000",
                "difference",
                40,
            ),
            Target(
                "growth, 100,000 to 1,000,000, MB",
                "peak_mb",
                "jsonl, 1,000,000",
                "jsonl, 100,000",
                "difference",
                0,
            ),
        ),
        records=1_000_000,
        fields=TYPED_FIELDS,
        # A job takes as long as the simulator needs to write its file.
        simulator={"job_seconds": 0.1},
    ),
    Case(
        "upsert",
        "10,000 upserts of 12 fields in calls of 100, into 5,500 Leads, 5,000 of which are among the rows. Ours is "
        "ZohoUpsertOperator with its defaults, from a JSONL file: look-up of connection and token, reading, checks by the "
        "field metadata and five calls at a time included. The bare loop has its bodies of the same rows ready before the "
        "time begins, sends one after the other, and parses the answers by json.loads; for information also with reading "
        "the file and building the bodies in the time. The SDK reads the file and makes its objects.",
        (
            Contestant("ours", "contestants.upsert", input="leads.jsonl"),
            Contestant("bare requests", "contestants.bare_upserts", input="leads.jsonl"),
            Contestant(
                "bare requests, from the file",
                "contestants.bare_upserts",
                input="leads.jsonl",
                options={"from_file": True},
            ),
            Contestant("official SDK", "contestants.official_sdk_upserts", input="leads.jsonl"),
        ),
        (
            Target("CPU, ours / bare requests", "cpu", "ours", "bare requests", limit=1.3),
            Target("CPU, ours / official SDK", "cpu", "ours", "official SDK", limit=1 / 8),
            Target("CPU, ours / bare requests, from the file", "cpu", "ours", "bare requests, from the file"),
        ),
        records=5_500,
        loads=10_000,
    ),
    Case(
        "upsert-latency",
        "The same where every call takes 100 ms: ZohoUpsertOperator with its default max_concurrency against "
        "max_concurrency=1.",
        (
            Contestant("ours", "contestants.upsert", input="leads.jsonl"),
            Contestant(
                "ours, one by one", "contestants.upsert", input="leads.jsonl", options={"max_concurrency": 1}
            ),
        ),
        (Target("wall time, ours / one by one", "wall", "ours", "ours, one by one", limit=1 / 4),),
        records=5_500,
        loads=10_000,
        simulator={"latency": 0.1},
    ),
    Case(
        "load-memory",
        "ZohoUpsertOperator with its defaults from Parquet with typed columns, 10,000 and 1,000,000 rows of 13 fields, all "
        "new; the difference of the peak resident memory of fresh processes. Every hundredth row is bad, in one of four ways, "
        "one of which only Zoho finds: each must be in the file of rejects, once and for its reason, and all others in the CRM.",
        (
            Contestant(
                "10,000", "contestants.upsert", input="leads.parquet", records=10_000, options=_BAD_ALLOWED
            ),
            Contestant("1,000,000", "contestants.upsert", input="leads.parquet", options=_BAD_ALLOWED),
        ),
        (Target("growth, MB", "peak_mb", "1,000,000", "10,000", "difference", 40),),
        records=0,
        loads=1_000_000,
        bad=True,
    ),
    Case(
        "bulk-write",
        "100,000 rows of 12 fields from JSON lines, by ZohoBulkWriteOperator(deferrable=False) with its other defaults: an "
        "upsert in 4 jobs, one after the other, of 5 s or as long as the simulator needs to write 25,000 records. The "
        "simulator's own job and transfer time is taken by a loop that sends the same rows in zips cut before the time "
        "begins: upload, job, a look every tenth of a second until it has ended, download, one job after the other; it "
        "reads no result.",
        (
            Contestant("ours", "contestants.bulk_write", input="leads.jsonl"),
            Contestant("jobs and transfers", "contestants.bare_bulk_write", input="leads.jsonl"),
        ),
        (Target("wall time, ours / jobs and transfers", "wall", "ours", "jobs and transfers", limit=1.2),),
        records=0,
        loads=100_000,
        simulator={"job_seconds": 5},
    ),
    Case(
        "waiting-triggers",
        "2,000 BulkReadJobTriggers that wait for jobs that do not end, started at once in one event loop, for 65 s.",
        (Contestant("ours", "waiting_triggers"),),
        (
            Target("lag of the loop, p99, ms", "lag_p99_ms", "ours", limit=50),
            Target("share of a core", "cpu_share_of_a_core", "ours", limit=0.25),
            Target("sessions", "sessions", "ours", limit=1),
            Target("access tokens minted", "tokens_minted", "ours", limit=1),
        ),
    ),
    Case(
        "import",
        "Import of the three operators in a fresh interpreter, above the bare `import airflow.sdk`. For information also after "
        "DAG, BaseOperator and BaseHook, which every DAG file imports, and after a garbage collection: Python's next one goes "
        "through all that Airflow has imported, about 90 ms, and falls into whatever is imported when it is due.",
        (Contestant("ours", "contestants.import_operators"),),
        (
            Target("ms above the bare import airflow.sdk", "import_ms", "ours", limit=60),
            Target("the same, ms of CPU", "import_cpu_ms", "ours"),
            Target("ms above its base classes, after a collection", "above_base_classes_ms", "ours"),
        ),
    ),
)
