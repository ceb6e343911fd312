"""The tests' end of ``sdk_process``."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider_zohocrm.simulator.server import Simulator


class SDKError(Exception):
    """The SDK raised."""


class SDK:
    """Zoho's SDK, running in a process of its own against a simulator."""

    def __init__(self, simulator: Simulator, folder: Path) -> None:
        self.simulator = simulator
        self.folder = folder
        self.elsewhere = False
        """It was last initialized with another folder, so with another token."""
        self._log = (folder / "stderr.txt").open("w+", encoding="utf-8")
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("sdk_process.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            cwd=folder,
        )

    def initialize(
        self, *, find_user: bool = False, folder: Path | None = None, client_secret: str = ""
    ) -> dict[str, Any]:
        """Initialize the SDK; in a folder it knows, it takes the token stored there."""
        self.elsewhere = folder is not None
        result: dict[str, Any] = self.call(
            "initialize",
            url=self.simulator.url,
            client_id=self.simulator.client_id,
            client_secret=client_secret or self.simulator.client_secret,
            refresh_token=self.simulator.refresh_token,
            folder=str(folder or self.folder),
            find_user=find_user,
        )
        return result

    def renew(self) -> None:
        """Make it forget its token, as an operator would: the SDK does not renew one that was refused."""
        (self.folder / "tokens.csv").unlink()
        self.initialize()

    def call(self, command: str, /, **arguments: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"name": command, "arguments": arguments}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._log.seek(0)
            raise SDKError(f"the SDK's process ended: {self._log.read()[-3000:]}")
        answer = json.loads(line)
        if "error" in answer:
            raise SDKError(f"{answer['error']}\n{answer['trace']}")
        return answer["result"]

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._log.close()


def same(parsed: Any, held: Any, path: str = "$") -> list[str]:
    """Name the places where what the SDK parsed is not what the simulator holds.

    Equal are: an id as number and as text, one moment in two offsets, a whole number and the same as a decimal, and a
    value the SDK left out because it is null.
    """
    if isinstance(held, dict) and isinstance(parsed, dict):
        wrong = []
        for key, value in held.items():
            if key not in parsed and value is None:
                continue
            if key not in parsed:
                wrong.append(f"{path}.{key}: lost, {value!r} is held")
            else:
                wrong += same(parsed[key], value, f"{path}.{key}")
        wrong += [
            f"{path}.{key}: {value!r} was parsed, nothing is held"
            for key, value in parsed.items()
            if key not in held and value not in (None, [], {})
        ]
        return wrong
    if isinstance(held, list) and isinstance(parsed, list):
        if len(held) != len(parsed):
            return [f"{path}: {len(parsed)} parsed, {len(held)} held"]
        return [
            text
            for index, (left, right) in enumerate(zip(parsed, held, strict=True))
            for text in same(left, right, f"{path}[{index}]")
        ]
    return [] if _equal(parsed, held) else [f"{path}: {parsed!r} was parsed, {held!r} is held"]


def _equal(parsed: Any, held: Any) -> bool:
    if parsed == held and isinstance(parsed, bool) == isinstance(held, bool):
        return True
    if isinstance(parsed, int) and not isinstance(parsed, bool) and isinstance(held, str):
        return str(parsed) == held
    return isinstance(parsed, str) and isinstance(held, str) and _moment(parsed) == _moment(held) is not None


def _moment(text: str) -> datetime | None:
    if "T" not in text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.astimezone(timezone.utc) if found.tzinfo else None
