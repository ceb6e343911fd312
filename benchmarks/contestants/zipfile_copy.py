"""The result of a finished bulk read job by requests and zipfile: download to a temporary file, copy the member."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.contestants.measure import finished_result, orders, session, work

if TYPE_CHECKING:
    import requests

CHUNK = 1 << 20


def unzipped(http: requests.Session, address: str, target: Path) -> None:
    """Download a zip, and copy its only member into a file."""
    with tempfile.TemporaryFile() as archive:
        with http.get(address, stream=True) as answer:
            archive.writelines(answer.iter_content(CHUNK))
        with (
            zipfile.ZipFile(archive) as opened,
            opened.open(opened.namelist()[0]) as member,
            target.open("wb") as file,
        ):
            shutil.copyfileobj(member, file, CHUNK)


if __name__ == "__main__":
    given = orders()
    http = session(given)
    address = finished_result(given, http)
    with work(given):
        unzipped(http, address, Path(given["output"]))
