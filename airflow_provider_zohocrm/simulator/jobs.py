"""Jobs that run one after another, as the organisation's bulk jobs do (sheet §4.6)."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Generic, TypeVar

from airflow_provider_zohocrm.simulator.outgoing import post

if TYPE_CHECKING:
    from airflow_provider_zohocrm.simulator.clock import Clock
    from airflow_provider_zohocrm.simulator.options import Options

DONE = {"COMPLETED", "FAILURE", "FAILED"}
# A status call waits so long for the work of a job that is due, before it says "still running".
PATIENCE = 0.5


@dataclass(kw_only=True)
class QueuedJob:
    """What every job has."""

    id: str
    version: str
    created: float
    callback: str | None
    state: str = "ADDED"
    polls: int = 0
    """How often its status was asked for."""
    ticks: int = 0
    """Status calls of any job since it runs: they stand for time, so that a job nobody asks for does not block others."""
    started: float | None = None
    """When it came to the head of the queue."""
    finished: float | None = None
    """When it was done, which may be before anybody asked."""
    work: Future[None] | None = None
    file: IO[bytes] | None = None
    failure: str = ""


J = TypeVar("J", bound=QueuedJob)


class JobQueue(ABC, Generic[J]):
    """The jobs of one kind; the oldest one that is not done runs, the others wait.

    :param clock: tells when a job is due.
    :param options: tells how long jobs take, and how they end.
    :param callbacks: takes what was sent to callbacks, and whether it arrived.
    """

    FAILED = "FAILURE"

    def __init__(self, clock: Clock, options: Options, callbacks: list[dict[str, Any]]) -> None:
        self.clock = clock
        self.options = options
        self.jobs: dict[str, J] = {}
        self.callbacks = callbacks
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="bulk-job")
        self._caller = ThreadPoolExecutor(2, thread_name_prefix="bulk-callback")
        self._timer: threading.Timer | None = None

    @abstractmethod
    def do(self, job: J) -> None:
        """Do the work of a job, in a thread."""

    @abstractmethod
    def callback_body(self, job: J) -> dict[str, Any]:
        """Build what is posted to the callback of a job that is done."""

    def end(self, job: J) -> None:  # most kinds of jobs have nothing to do at their end
        """Do what is left to do when a job ends."""

    def reset(self) -> None:
        """Forget all jobs and remove their files."""
        if self._timer is not None:
            self._timer.cancel()
        for job in self.jobs.values():
            if job.work is not None and not job.work.cancel():
                with suppress(Exception):
                    job.work.result()
            if job.file is not None:
                job.file.close()
        self.jobs.clear()

    def close(self) -> None:
        """Forget all jobs and end the threads."""
        self.reset()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._caller.shutdown(wait=False, cancel_futures=True)

    def add(self, job: J) -> None:
        """Put a job at the end of the queue."""
        self.jobs[job.id] = job
        if self.options.job_seconds > 0:
            # Time passes without status calls: the file of a job whose turn came unnoticed is ready, too.
            job.work = self._pool.submit(self.do, job)
        self.advance()

    def advance(self, polled: J | None = None) -> None:
        """Move jobs on.

        :param polled: the job whose status was asked for.
        """
        with self._lock:
            if polled is not None:
                polled.polls += 1
                running = self._running()
                if running is not None:
                    running.ticks += 1
            while (job := self._running()) is not None:
                if job.started is None:
                    job.started = self._start(job)
                    job.failure = self.options.job_failure
                    job.work = job.work or self._pool.submit(self.do, job)
                if not self._due(job) or not _done(job):
                    self._come_back(job)
                    return
                self._finish(job)

    def _come_back(self, job: J) -> None:
        """Have a job end by the clock though nobody asks for it, so that the next one begins in time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.options.job_seconds > 0 and not self.options.job_stuck and job.started is not None:
            left = job.started + self.options.job_seconds - self.clock.now()
            self._timer = threading.Timer(max(0.05, left), self.advance)
            self._timer.daemon = True
            self._timer.start()

    def _running(self) -> J | None:
        # A copy: jobs are added while the timer looks.
        return next((job for job in list(self.jobs.values()) if job.state not in DONE), None)

    def _start(self, job: J) -> float:
        """Return when a job came to the head of the queue: by the clock, jobs follow each other without a gap."""
        if self.options.job_seconds <= 0:
            return self.clock.now()
        ends = (one.finished for one in self.jobs.values() if one.finished is not None)
        return max(job.created, max(ends, default=0.0))

    def _due(self, job: J) -> bool:
        if self.options.job_stuck or job.started is None:
            return False
        if self.options.job_seconds > 0:
            return self.clock.now() >= job.started + self.options.job_seconds
        return job.ticks >= self.options.job_polls

    def _finish(self, job: J) -> None:
        job.finished = self.clock.now()
        if self.options.job_seconds > 0 and job.started is not None:
            job.finished = min(job.finished, job.started + self.options.job_seconds)
        job.state = self.FAILED if job.failure else "COMPLETED"
        self.end(job)
        if job.callback and self.options.callbacks:
            self._caller.submit(self._call_back, job)

    def _call_back(self, job: J) -> None:
        body = self.callback_body(job)
        self.callbacks.append({"url": job.callback, "body": body, "status": post(str(job.callback), body)})


def _done(job: QueuedJob) -> bool:
    if job.work is None:
        return False
    wait([job.work], PATIENCE)
    if not job.work.done():
        return False
    # Raises what went wrong, if anything did.
    job.work.result()
    return True
