"""Start programs that end with whoever started them, and wait for things without sleeping blindly."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, TypeVar

import psutil  # comes with Airflow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from typing_extensions import Self

Answer = TypeVar("Answer")


class DeadlineError(Exception):
    """Raised when something did not happen in time."""


class ProcessEndedError(Exception):
    """Raised when a program that should be running has ended."""


def wait_for(
    what: str, look: Callable[[], Answer | None], *, timeout: float, interval: float = 0.5
) -> Answer:
    """Call ``look`` until it answers with something true.

    :param what: named in the error.
    :param look: returns what is waited for, or anything false while it is not there.
    :param timeout: seconds after which to give up.
    :param interval: seconds between two calls.
    :raises DeadlineError: when the time is up.
    """
    deadline = time.monotonic() + timeout
    while True:
        answer = look()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise DeadlineError(f"Waited {timeout:.0f} s in vain for {what}.")
        time.sleep(interval)


def free_ports(count: int) -> list[int]:
    """Return that many different TCP ports of the loopback interface on which nobody listens."""
    with ExitStack() as held:
        ports = []
        for _ in range(count):
            listener = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            listener.bind(("127.0.0.1", 0))
            ports.append(listener.getsockname()[1])
        return ports


def end_like_ctrl_c_on_sigterm() -> None:
    """Let SIGTERM unwind the stack as Ctrl-C does, so that what was started is ended then too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


class OwnedProcess:
    """A program in a session of its own, with its output in a file; all of its descendants end with it.

    The session and not only the process group, because Airflow gives every task a group of its own.

    :param user: whose rights it gets; those of the caller if absent.
    :param stop_signal: what asks it to end.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.command = list(command)
        self.log = log
        self.environment = None if environment is None else dict(environment)
        self.user = user
        self.stop_signal = stop_signal
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the program."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self.user,
            )

    @property
    def running(self) -> bool:
        """Whether the program has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def check(self) -> None:
        """Make sure that the program runs.

        :raises ProcessEndedError: with the end of its output.
        """
        if not self.running:
            status = None if self._process is None else self._process.returncode
            raise ProcessEndedError(
                f"{' '.join(self.command[:4])} ended with {status}. Its last lines:\n{self.tail()}"
            )

    def tail(self, lines: int = 40) -> str:
        """Return the last lines of the output."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self, patience: float = 15) -> None:
        """End the program and all its descendants, kindly first.

        :param patience: seconds after which those that remain are killed.
        """
        if self._process is None:
            return
        self._signal(self.stop_signal)
        with suppress(DeadlineError):
            wait_for("the end of the processes", lambda: not self.living(), timeout=patience, interval=0.1)
        self.kill(patience)

    def kill(self, patience: float = 15) -> None:
        """End the program and all its descendants at once, as when their machine fails.

        :param patience: seconds after which it is an error that some remain.
        """
        # Again each time: one that was just being born is not in the first list.
        wait_for(
            "the end of killed processes",
            lambda: not self._signal(signal.SIGKILL),
            timeout=patience,
            interval=0.1,
        )
        self._process = None

    def kill_part(self, word: str) -> None:
        """Kill those of the processes that have a word on their command line or are called so.

        :raises ProcessEndedError: when there is none.
        """
        found = [process for process in self.living() if word in _words(process)]
        if not found:
            raise ProcessEndedError(f"No process of {' '.join(self.command[:4])} is a {word}.")
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def _signal(self, number: signal.Signals) -> list[psutil.Process]:
        living = self.living()
        for process in living:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        return living

    def living(self) -> list[psutil.Process]:
        """Return the program and its descendants."""
        if self._process is None:
            return []
        self._process.poll()  # collects the exit status, without which the program stays a zombie
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        assert self._process is not None
        try:
            return os.getsid(process.pid) == self._process.pid and process.status() != psutil.STATUS_ZOMBIE
        except (ProcessLookupError, PermissionError, psutil.Error):
            return False


def _words(process: psutil.Process) -> str:
    """Return name and command line of a process; nothing of one that has ended meanwhile."""
    try:
        return " ".join([process.name(), *process.cmdline()])
    except psutil.NoSuchProcess:
        return ""
