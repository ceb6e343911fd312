"""A Redis server of one's own, in memory and on a private socket, gone when the context is left."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tools.processes import OwnedProcess, wait_for
from tools.real_postgres import MissingProgramError

if TYPE_CHECKING:
    from typing_extensions import Self


class RealRedis:
    """Redis, running while the context is open.

    :param log: file for what it prints.
    :raises MissingProgramError: if Redis is not installed.
    """

    def __init__(self, log: Path) -> None:
        program = shutil.which("redis-server")
        if program is None:
            raise MissingProgramError(
                "Redis is not installed (no redis-server on the PATH). On Debian: apt-get install redis-server"
            )
        # Short: the path of a socket ends at 107 characters.
        self._temporary = tempfile.TemporaryDirectory(prefix="redis-", ignore_cleanup_errors=True)
        self.folder = Path(self._temporary.name)
        options = {"port": "0", "unixsocket": str(self._socket), "dir": str(self.folder), "save": ""}
        self._server = OwnedProcess(
            [program, *(part for name, value in options.items() for part in (f"--{name}", value))], log=log
        )

    def __enter__(self) -> Self:
        try:
            self._server.start()
            wait_for("Redis", self._listens, timeout=30, interval=0.1)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self._end()

    @property
    def url(self) -> str:
        """The server as Celery's URL of a broker."""
        return f"redis+socket://{self._socket}?virtual_host=0"

    @property
    def _socket(self) -> Path:
        return self.folder / "redis.sock"

    def _listens(self) -> bool:
        self._server.check()
        return self._socket.exists()

    def _end(self) -> None:
        self._server.stop()
        self._temporary.cleanup()
