"""How much of an answer is taken, and for how long: what a wrong or hostile server may cost."""

from __future__ import annotations

import time

from airflow_provider_zohocrm.exceptions import ZohoResponseError, ZohoTransportError

MAX_JSON = 64 << 20
"""Bytes of an unpacked JSON answer. The largest known, 2,000 rows of COQL with all columns, have a tenth of it."""
MAX_TOKEN_ANSWER = 1 << 20
"""Bytes of the token endpoint's answer, which has some hundred."""
MAX_DOWNLOAD = 4 << 30
"""Bytes of a bulk result. 200,000 records with 200 columns stay below a tenth of it."""

CHUNK = 256 << 10
# A body that is not there after five minutes must have come at the speed of a slow line.
_PATIENCE = 300.0
_SLOWEST = 64 << 10


class Intake:
    """Counts the bytes of one body as they come, and ends it when it is too large or never ends.

    :param what: the request, for the error texts.
    :param most: bytes it may have.
    """

    def __init__(self, what: object, most: int) -> None:
        self._what = what
        self._most = most
        self._begun = time.monotonic()
        self.size = 0

    def take(self, chunk: bytes) -> bytes:
        """Pass a piece on.

        :raises ZohoResponseError: if there is more than there may be.
        :raises ZohoTransportError: if the body takes too long.
        """
        self.size += len(chunk)
        if self.size > self._most:
            raise ZohoResponseError(
                f"{self._what}: the answer is larger than {self._most >> 20} MiB, which no answer of Zoho's is; reading it was "
                "given up. Check the URLs of the connection, and proxies on the way."
            )
        seconds = time.monotonic() - self._begun
        if seconds > _PATIENCE + self.size / _SLOWEST:
            raise ZohoTransportError(
                f"{self._what}: after {seconds:.0f} s only {self.size} bytes of the answer are there, and it goes on; reading it "
                "was given up. Check the network between Airflow and Zoho."
            )
        return chunk
