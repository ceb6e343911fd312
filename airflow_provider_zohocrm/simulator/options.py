"""Every switch of the simulator: where the sources disagree, are silent, or a limit should be smaller for a test."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from airflow_provider_zohocrm.simulator.clock import zone_of

_ON = {"on", "true", "yes", "1"}
_OFF = {"off", "false", "no", "0"}

_SCOPES = (
    "ZohoCRM.modules.ALL,ZohoCRM.bulk.ALL,ZohoCRM.settings.ALL,ZohoCRM.org.ALL,ZohoCRM.users.ALL,"
    "ZohoCRM.coql.READ,ZohoSearch.securesearch.READ,ZohoFiles.files.ALL,ZohoCRM.notifications.ALL,ZohoCRM.apis.READ"
)


def _option(default: Any, text: str, *choices: Any) -> Any:
    return field(default=default, metadata={"help": text, "choices": choices})


@dataclass
class Options:
    """The switches. Assign to them at any time; ``set`` takes text and checks it."""

    # OAuth
    token_throttle_status: int = _option(
        200, "status of the throttled token answer (§1.4, conflict)", 200, 400
    )
    token_life: int = _option(3600, "life of an access token in seconds")
    mint_limit: int = _option(10, "access tokens minted per refresh token in 10 minutes")
    live_tokens: int = _option(15, "access tokens alive per refresh token; one more kills the oldest")
    api_domain: str = _option("", "api_domain in the token answer; empty is the simulator's own address")
    scopes: str = _option(_SCOPES, "scopes granted to tokens minted from now on, separated by commas")
    invalid_token_message: str = _option(
        "invalid oauth token", "message of 401 INVALID_TOKEN (§11, conflict)"
    )
    strict_prefix: bool = _option(False, "refuse 'Bearer' in the Authorization header")
    # Transport
    gzip: bool = _option(True, "compress answers for clients that accept gzip")
    latency: float = _option(0.0, "seconds every answer takes")
    # Paging
    discrete_limit: int = _option(2000, "records that `page` reaches without a token")
    v2_page_limit: bool = _option(True, "discrete_limit holds for v2 and v2.1 too (reported, not documented)")
    page_token_limit: int = _option(100_000, "records that page_token reaches")
    page_token_life: int = _option(86_400, "life of a page_token in seconds")
    missing_page1_token: bool = _option(False, "the answer to page 1 carries no next_page_token")
    page_overlap: int = _option(0, "records by which later pages repeat the one before, as after insertions")
    ids_limit: int = _option(100, "ids in one list read (100 documented; 50 is the careful reading)")
    count_as: str = _option("int", "type of the number in actions/count (§11, conflict)", "int", "str")
    required_param_style: str = _option(
        "new", "new: 'required param is missing' and param_name; old: the other text and param", "new", "old"
    )
    search_criteria_limit: int = _option(10, "criteria in one search (10 or 15, conflict)")
    # COQL
    coql_fields: int = _option(50, "columns that one COQL select may name (50 or 500, conflict)")
    coql_in_values: int = _option(100, "values of one `in` in COQL (100 from v7 on, 50 before)")
    subform_modules: bool = _option(True, "the rows of a subform can be read as a module of their own")
    # Writing
    write_limit: int = _option(100, "records in one write call")
    too_many_records_code: str = _option(
        "INVALID_DATA", "code above write_limit (unknown)", "INVALID_DATA", "LIMIT_EXCEEDED"
    )
    v2_mixed_status: int = _option(202, "status of a partly failed write in v2", 200, 202, 207)
    upsert_insert_status: int = _option(200, "status of an upsert in which all were inserts", 200, 201)
    multi_errors: bool = _option(False, "several errors of one record come as MULTIPLE_OR_MULTI_ERRORS")
    # Bulk read; the switches of the job machine hold for bulk write too
    bulk_page_size: int = _option(200_000, "records in one bulk read result")
    bulk_page_limit: int = _option(500, "highest `page` of a bulk read (500 or 50, conflict)")
    ics_page_size: int = _option(20_000, "records in one ics result")
    job_polls: int = _option(
        3, "status calls until a job is done: 1 is QUEUED, then IN PROGRESS, at last COMPLETED"
    )
    job_seconds: float = _option(
        0.0, "above 0: jobs are done after that time by the clock, whatever the polls"
    )
    queued_state: bool = _option(True, "jobs show QUEUED (not in all sources)")
    early_result: bool = _option(False, "a `result` object is shown before the job is done")
    job_unknown_state: str = _option("", "a state nobody documented, shown once on the way")
    job_failure: str = _option("", "error code with which every job ends in FAILURE; empty is success")
    job_stuck: bool = _option(False, "jobs stay IN PROGRESS for ever")
    id_header: str = _option("Id", "header of the id column in the csv (§11, conflict)", "Id", "id")
    csv_multiselect: str = _option(";", "what joins the values of a multi-select in the csv (guess)")
    csv_boolean: str = _option("true", "how a true is written in the csv (guess)", "true", "TRUE", "1")
    empty_result: str = _option("header", "file of a job without records (guess)", "header", "blank")
    result_content_type: str = _option(
        "application/zip", "content type of the download", "application/zip", "application/x-download"
    )
    unknown_result_status: int = _option(404, "status of RESOURCE_NOT_FOUND at /result (§11)", 404, 400)
    result_defect: str = _option(
        "none", "what is wrong with the zip", "none", "truncated", "corrupt", "two_members"
    )
    result_life: int = _option(86_400, "seconds a result can be downloaded")
    downloads_per_minute: int = _option(10, "downloads in one minute")
    callbacks: bool = _option(False, "POST to the callback of a job, if it is on loopback")
    # Bulk write
    bulk_write_running: str = _option(
        "INPROGRESS", "state of a bulk write job that runs (§11, conflict)", "INPROGRESS", "IN PROGRESS"
    )
    bulk_write_rows: int = _option(25_000, "rows in one bulk write")
    upload_limit: int = _option(25 * 1024 * 1024, "bytes of an uploaded csv")
    write_result_life: int = _option(604_800, "seconds the result of a bulk write can be downloaded")
    unknown_write_job_status: int = _option(
        400, "status of RESOURCE_NOT_FOUND for a bulk write job (§7: 404; the specification: 400)", 400, 404
    )
    # Limits
    body_limit: int = _option(100 * 1024 * 1024, "bytes of a request; above it 413")
    forbidden_modules: str = _option(
        "", "modules, separated by commas, that answer 403 NO_PERMISSION (400 for their fields)"
    )
    credits: int = _option(5_000_000, "credits in rolling 24 hours")
    enforce_credits: bool = _option(True, "429 when the credits are used up")
    concurrency_limit: int = _option(0, "calls at the same time, 0 is no limit")
    sub_concurrency_limit: int = _option(0, "heavy calls at the same time (10 at Zoho), 0 is no limit")
    # Data
    utc_offset: str = _option("+05:30", "offset of the user's time zone in all date-times")

    def set(self, name: str, value: Any) -> None:
        """Set one switch from text or a value of its type.

        :param name: name of the switch.
        :param value: text as on the command line (``on``/``off`` for yes and no), or the value.
        """
        for spec in fields(self):
            if spec.name == name:
                setattr(self, name, _convert(spec.name, spec.default, value, spec.metadata["choices"]))
                return
        raise ValueError(f"unknown option {name!r}; known: {', '.join(spec.name for spec in fields(self))}")

    def update(self, values: dict[str, Any]) -> None:
        """Set several switches.

        :param values: value by name.
        """
        for name, value in values.items():
            self.set(name, value)

    def as_dict(self) -> dict[str, Any]:
        """Return value by name."""
        return {spec.name: getattr(self, spec.name) for spec in fields(self)}


def _convert(name: str, default: Any, value: Any, choices: tuple[Any, ...]) -> Any:
    text = str(value).strip()
    result: Any = text
    if isinstance(default, bool):
        if text.lower() not in _ON | _OFF:
            raise ValueError(f"option {name} is on or off, not {value!r}")
        result = text.lower() in _ON
    elif isinstance(default, (int, float)):
        result = type(default)(text)
        if result < 0:
            raise ValueError(f"option {name} is not negative")
    if choices and result not in choices:
        raise ValueError(f"option {name} is one of {', '.join(map(str, choices))}, not {value!r}")
    if name == "utc_offset":
        zone_of(text)
    return result


def describe() -> str:
    """Return one line per switch for ``--help``."""
    lines = []
    for spec in fields(Options):
        choices = spec.metadata["choices"]
        shown = (
            {True: "on", False: "off"}.get(spec.default, spec.default)
            if isinstance(spec.default, bool)
            else spec.default
        )
        among = f" One of {', '.join(map(str, choices))}." if choices else ""
        lines.append(f"  {spec.name}={shown}\n        {spec.metadata['help']}.{among}")
    return "\n".join(lines)
