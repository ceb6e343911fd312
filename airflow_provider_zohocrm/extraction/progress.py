"""How far a bulk read of many pages has come, as plain JSON, and what follows from that; nothing here does I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

from airflow_provider_zohocrm.client import polling
from airflow_provider_zohocrm.extraction.manifest import now

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

# Results, and the tokens that continue a job, live for a day (reference sheet §4.2, §4.4).
RESULT_LIFE = 24 * 60 * 60.0


class JobInFlight(polling.JobLooks):
    """A job whose page is not written yet."""

    page: int


class ExportedFile(TypedDict):
    """One file of an export, with the job and the page it is from."""

    path: str
    records: int
    bytes: int
    job_id: str
    page: int


class PageToken(TypedDict):
    """What continues the walk at a page, and when Zoho gave it."""

    page: int
    token: str
    at: float


class Progress(polling.Timing):
    """How far an export has come.

    ``jobs`` and ``files`` are in the order of their pages; ``finished`` are the pages that are written. ``counted`` is
    the number of pages that a count of the records told (0: not known), ``more_after`` the highest page after which
    Zoho said that it has more, ``last_page`` the one after which it has none. ``downloads`` are the times of the
    downloads of the last minute, ``credits`` what was spent. ``replaced`` are the pages whose job was gone once in this
    try, so that another one was created.

    ``started_at`` (ISO 8601), ``columns`` and ``watermark`` are for whoever writes the files and their manifest.
    """

    jobs: list[JobInFlight]
    files: list[ExportedFile]
    finished: list[int]
    counted: int
    more_after: int
    last_page: int | None
    page_token: PageToken | None
    downloads: list[float]
    credits: int
    replaced: list[int]
    started_at: str
    columns: list[list[Any]] | None
    watermark: str | None


def new_progress(counted: int = 0) -> Progress:
    """Begin an export.

    :param counted: number of pages by a count of the records; 0 if that is not known.
    """
    return {
        "jobs": [],
        "files": [],
        "finished": [],
        "counted": counted,
        "more_after": 0,
        "last_page": None,
        "page_token": None,
        "downloads": [],
        "credits": 0,
        "replaced": [],
        "busy_since": 0.0,
        "completed": 0,
        "job_seconds": None,
        "ended_at": 0.0,
        "early": False,
        "resumed_at": 0.0,
        "started_at": now(),
        "columns": None,
        "watermark": None,
    }


def read_progress(value: Mapping[str, Any]) -> Progress:
    """Read a progress that was kept as JSON, also one of version 0.1.0: a task may be deferred during an upgrade."""
    if "jobs" in value:
        progress = new_progress()
        progress.update({key: each for key, each in value.items() if key in progress})  # type: ignore[typeddict-item]
        return progress
    progress = new_progress()
    page, submitted_at = int(value["page"]), float(value["submitted_at"])
    progress["files"] = list(value["files"])
    progress["finished"] = sorted({file["page"] for file in progress["files"]})
    progress["more_after"] = page - 1
    progress["jobs"] = [new_job(str(value["job_id"]), page, submitted_at)]
    progress["busy_since"] = submitted_at
    return progress


def new_job(job_id: str, page: int, now: float, try_number: int = 1) -> JobInFlight:
    """Describe a job that was just submitted."""
    return {
        "job_id": job_id,
        "page": page,
        "submitted_at": now,
        "state": "running",
        "looks": 0,
        "looked_at": 0.0,
        "try_number": try_number,
    }


def next_page(progress: Progress, *, max_pages: int | None, at_once: int) -> int | None:
    """Tell the page whose job should be created now, if any.

    A page that is missing between others comes first, whatever else is in flight: those after it wait for it.

    :param max_pages: the highest page wanted.
    :param at_once: how many jobs may be running.
    """
    known = {*progress["finished"], *(job["page"] for job in progress["jobs"])}
    reach = max(1, progress["counted"], progress["more_after"] + 1)
    reach = min(reach, progress["last_page"] or reach, max_pages or reach)
    page = next((page for page in range(1, reach + 1) if page not in known), None)
    if page is None:
        return None
    running = sum(job["state"] == "running" for job in progress["jobs"])
    return page if running < at_once or page < max(known, default=0) else None


def token_for(progress: Progress, page: int, now: float) -> str | None:
    """Return the token that continues the walk at a page, if there is one that lives."""
    token = progress["page_token"]
    if token is None or token["page"] != page or now - token["at"] >= RESULT_LIFE:
        return None
    return token["token"]


def note_submitted(progress: Progress, job: JobInFlight) -> None:
    """Note a job that Zoho has taken."""
    if not any(each["state"] == "running" for each in progress["jobs"]):
        progress["busy_since"], progress["completed"] = job["submitted_at"], 0
    progress["jobs"] = sorted([*progress["jobs"], job], key=lambda each: each["page"])


def note_completed(progress: Progress, job: JobInFlight, result: Mapping[str, Any], now: float) -> list[str]:
    """Note that a job has completed, and what that says about the pages after it.

    :param result: Zoho's ``result`` of the job.
    :return: ids of jobs whose pages do not exist: they were submitted ahead of what Zoho has.
    """
    alone = not any(other["page"] > job["page"] for other in progress["jobs"])
    polling.note_end(progress, job, now, alone=alone)
    job["state"] = "completed"
    page, token = job["page"], result.get("next_page_token")
    if result.get("more_records"):
        progress["more_after"] = max(progress["more_after"], page)
        if progress["last_page"] == page:
            progress["last_page"] = None
        if token:
            progress["page_token"] = {"page": page + 1, "token": str(token), "at": now}
    elif page > max(progress["finished"], default=0) and page > progress["more_after"]:
        # A page that is read once more, with others after it, does not take those back.
        progress["last_page"] = page
        needless = [each["job_id"] for each in progress["jobs"] if each["page"] > page]
        progress["jobs"] = [each for each in progress["jobs"] if each["page"] <= page]
        return needless
    return []


def note_written(progress: Progress, job: JobInFlight, files: list[ExportedFile]) -> None:
    """Note that the page of a job is written."""
    page = job["page"]
    progress["files"] = sorted([*progress["files"], *files], key=lambda file: file["page"])
    progress["finished"] = sorted({*progress["finished"], page})
    forget(progress, job)


def forget(progress: Progress, job: JobInFlight) -> None:
    """Take a job out, so that its page is exported by another one unless it is written."""
    progress["jobs"] = [each for each in progress["jobs"] if each["job_id"] != job["job_id"]]


def first_file_number(progress: Progress, page: int) -> int:
    """Tell the number of the first file of a page, from 1; the pages before it are written."""
    return 1 + sum(file["page"] < page for file in progress["files"])


def drop_lost(progress: Progress, now: float, exists: Callable[[str], bool]) -> list[str]:
    """Drop what a further try cannot build on: jobs older than a day, and pages of which a file is gone.

    :param exists: tells whether a file is there.
    :return: what was dropped, as texts for the log.
    """
    lost = []
    for job in list(progress["jobs"]):
        if now - job["submitted_at"] >= RESULT_LIFE:
            forget(progress, job)
            lost.append(f"bulk read job {job['job_id']} of page {job['page']} is older than a day")
    gone = {file["page"]: file["path"] for file in progress["files"] if not exists(file["path"])}
    for page, path in gone.items():
        lost.append(f"{path} of page {page} is gone")
    progress["files"] = [file for file in progress["files"] if file["page"] not in gone]
    progress["finished"] = [page for page in progress["finished"] if page not in gone]
    return lost


def seconds_to_look(progress: Progress, now: float, first: float, longest: float) -> float:
    """Tell in how many seconds a look at the job of the lowest page is worth its credit.

    See :func:`~airflow_provider_zohocrm.client.polling.seconds_to_look`.
    """
    return polling.seconds_to_look(progress, progress["jobs"][0], now, first, longest)
