"""How jobs of bulk read and bulk write stand, in Zoho's words. Triggers import it in their event loop: it imports nothing."""

from __future__ import annotations

from typing import Any

Job = dict[str, Any]
"""A job as Zoho describes it."""


def job_state(job: Job) -> str:
    """Tell how a job stands: ``running``, ``completed`` or ``failed``.

    The set of Zoho's states is open: any other than these is a running one (reference sheet §4.3).
    """
    state = str(job.get("state", "")).upper()
    if state == "COMPLETED":
        return "completed"
    return "failed" if state in ("FAILURE", "FAILED") else "running"


def job_failure(job: Job) -> str:
    """Say why a job failed, in Zoho's words."""
    result = job.get("result")
    error = result.get("error_message") if isinstance(result, dict) else None
    if not isinstance(error, dict):
        return f"Zoho gave no reason ({str(error or result)[:200]})"
    return f"{error.get('code', '')}: {error.get('message', '')} {error.get('details') or ''}".strip()


def write_job_state(job: Job) -> str:
    """Tell how a job stands: ``running``, ``completed`` or ``failed``.

    Any status other than these is a running one; the sources spell them with and without a space (reference sheet §5).
    """
    state = str(job.get("status", "")).upper().replace(" ", "")
    if state == "COMPLETED" or (state == "SKIPPED" and result_url(job)):
        return "completed"
    return "failed" if state in ("FAILED", "FAILURE", "SKIPPED") else "running"


def write_job_failure(job: Job) -> str:
    """Say why a job failed, in Zoho's words."""
    parts = _resources(job)
    said = [str(one[key]) for one in (*parts, job) for key in ("code", "message") if one.get(key)]
    return " ".join(dict.fromkeys(said)) or "Zoho gave no reason"


def written_count(job: Job) -> int | None:
    """Tell how many records a job has written by its counters, or None if it does not tell."""
    counters = [file.get(key) for file in _files(job) for key in ("added_count", "updated_count")]
    if not counters or not all(isinstance(count, int) for count in counters):
        return None
    return sum(count for count in counters if isinstance(count, int))


def result_url(job: Job) -> str:
    """Tell where the result of a bulk write job is; empty if it has none."""
    result = job.get("result")
    return str(result.get("download_url") or "") if isinstance(result, dict) else ""


def _resources(job: Job) -> list[dict[str, Any]]:
    found = job.get("resource")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _files(job: Job) -> list[dict[str, Any]]:
    return [one["file"] for one in _resources(job) if isinstance(one.get("file"), dict)]
