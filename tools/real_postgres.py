"""A PostgreSQL server of one's own: a fresh cluster on a private socket, gone when the context is left."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tools.processes import OwnedProcess, wait_for

if TYPE_CHECKING:
    from typing_extensions import Self

# Where Debian puts the programs of the server, a folder for each major version; none of them is on the PATH.
_DEBIAN = Path("/usr/lib/postgresql")
# PostgreSQL refuses to run as root; Debian's package brings this user.
_USER = "postgres"
# Nobody needs the data after a crash of the machine.
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


class MissingProgramError(Exception):
    """Raised when a program that has to be installed is not; tells how to get it."""


class RealPostgres:
    """PostgreSQL with one empty database, running while the context is open.

    It listens on a socket in a folder of its own only, which no other user but root can enter.

    :param log: file for what it prints.
    :raises MissingProgramError: if PostgreSQL is not installed.
    """

    database = "airflow"

    def __init__(self, log: Path) -> None:
        self.log = log
        self._programs = _programs()
        self._user = _USER if os.geteuid() == 0 else None
        # Short: the path of a socket ends at 107 characters.
        self._temporary = tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True)
        self.folder = Path(self._temporary.name)
        command = [str(self._programs / "postgres"), "-D", str(self._data), "-k", str(self.folder)]
        for name, value in _SETTINGS.items():
            command += ["-c", f"{name}={value}"]
        # SIGTERM would wait until all clients have gone.
        self._server = OwnedProcess(command, log=log, user=self._user, stop_signal=signal.SIGINT)

    def __enter__(self) -> Self:
        try:
            self._make_cluster()
            self.restart()
            self._run("createdb", "-h", str(self.folder), self.database)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()

    def crash(self) -> None:
        """Kill the server, as when its machine fails; the data stay."""
        self._server.kill()

    def restart(self) -> None:
        """Start the server on the data that are there."""
        self._server.start()
        wait_for("PostgreSQL", self._answers, timeout=60, interval=0.1)

    @property
    def url(self) -> str:
        """The database as SQLAlchemy's URL for psycopg2; Airflow makes that for asyncpg from it."""
        return f"postgresql+psycopg2://{self.owner}@/{self.database}?host={self.folder}"

    @property
    def owner(self) -> str:
        """The name of the superuser; there is no password."""
        return self._user or pwd.getpwuid(os.geteuid()).pw_name

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _make_cluster(self) -> None:
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        self._run("initdb", "-D", str(self._data), "-A", "trust", "-E", "UTF8", "--no-sync")

    def _answers(self) -> bool:
        self._server.check()
        return self._call("pg_isready", "-q", "-h", str(self.folder)).returncode == 0

    def _run(self, program: str, *arguments: str) -> None:
        done = self._call(program, *arguments)
        if done.returncode:
            raise RuntimeError(f"{program} ended with {done.returncode}:\n{done.stdout}")

    def _call(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self._programs / program), *arguments],
            user=self._user,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )

    def _end(self) -> None:
        self._server.stop()
        self._temporary.cleanup()


def _programs() -> Path:
    found = [folder for folder in _DEBIAN.glob("*/bin") if (folder / "postgres").exists()]
    if found:
        return max(found, key=lambda folder: float(folder.parent.name))
    on_path = shutil.which("postgres")
    if on_path is None:
        raise MissingProgramError(
            "PostgreSQL is not installed (no postgres in /usr/lib/postgresql/*/bin, nor on the PATH). "
            "On Debian: apt-get install postgresql"
        )
    return Path(on_path).resolve().parent
