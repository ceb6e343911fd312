"""Finds secrets in what is left behind, also where they are encoded."""

from __future__ import annotations

import base64
import json
import traceback
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable

# Every form of it differs from the others.
CLIENT_SECRET = 'planted client/secret+of=the&"test"%7Eend'
REFRESH_TOKEN = "1000.planted/refresh+token=of&the.test"

# Shorter pieces of base64 would be found by chance.
_PIECE = 16
_TESTS = Path(__file__).parents[1]


def forms(secret: str) -> set[bytes]:
    """Name the forms in which a secret may be written: plain, in an address, in JSON, in a repr, in base64."""
    raw = secret.encode()
    written = {secret, quote(secret, safe=""), quote(secret), quote_plus(secret), json.dumps(secret)[1:-1]}
    written |= {repr(secret)[1:-1], quote(secret, safe="").lower()}
    found = {text.encode() for text in written} | {raw.hex().encode()}
    for shift in range(3):
        # Where a text begins within what is encoded decides its letters, but for those of its ends.
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            piece = encode(b"\0" * shift + raw)[4 if shift else 0 :].rstrip(b"=")[:-2]
            if len(piece) >= _PIECE:
                found.add(piece)
    return found


def leaks(content: bytes | str, secrets: Iterable[str]) -> list[str]:
    """Name the secrets that a content holds in any form, each with what stands around it."""
    raw = content.encode() if isinstance(content, str) else content
    found = []
    for secret in secrets:
        for form in sorted(forms(secret)):
            at = raw.find(form)
            if at >= 0:
                around = raw[max(0, at - 200) : at + len(form) + 80]
                found.append(f"{secret[:12]}… as {form[:30]!r} in {around!r}")
    return found


def with_locals(error: BaseException) -> str:
    """Format an error with its causes and the local variables of all frames but those of tests, which know the secrets."""
    trace = error.__traceback__
    while trace is not None and _TESTS in Path(trace.tb_frame.f_code.co_filename).parents:
        trace = trace.tb_next
    shown = traceback.TracebackException(type(error), error, trace, capture_locals=True)
    return "".join(shown.format())
