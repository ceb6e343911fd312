"""Threads that send, and one queue of what came of it."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Job = TypeVar("Job")
Result = TypeVar("Result")


class Senders(Generic[Job, Result]):
    """Runs a function in threads of its own.

    The threads are no reason for a process to live: a task that is stopped while one of them waits for Zoho ends.

    :param work: what is done with a job.
    """

    def __init__(self, work: Callable[[Job], Result]) -> None:
        self._work = work
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[Job, Result | None, BaseException | None]] = queue.SimpleQueue()
        self._threads = 0
        self.busy = 0
        """Jobs whose end was not taken yet."""

    def start(self, job: Job) -> None:
        """Have a job done, in one thread more if all are busy."""
        self.busy += 1
        if self.busy > self._threads:
            self._threads += 1
            threading.Thread(target=self._run, name="zohocrm-sender", daemon=True).start()
        self._jobs.put(job)

    @property
    def done(self) -> bool:
        """Whether there is the end of a job to take."""
        return not self._done.empty()

    def take(self, timeout: float | None) -> tuple[Job, Result | None, BaseException | None] | None:
        """Wait for the end of a job.

        :param timeout: seconds; 0 not to wait.
        :return: the job, and its result or what it raised; None if none has ended.
        """
        try:
            done = self._done.get(timeout=timeout) if timeout else self._done.get_nowait()
        except queue.Empty:
            return None
        self.busy -= 1
        return done

    def end(self) -> None:
        """Let the threads end with the job they are at; jobs that have not begun are dropped."""
        while not self._jobs.empty():
            self._jobs.get()
        for _ in range(self._threads):
            self._jobs.put(None)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._done.put((job, *self._outcome(job)))

    def _outcome(self, job: Job) -> tuple[Result | None, BaseException | None]:
        try:
            return self._work(job), None
        except BaseException as error:  # noqa: BLE001  # raised again where the end of the job is taken
            return None, error
