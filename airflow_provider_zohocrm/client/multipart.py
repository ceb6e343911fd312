"""A form with one file, as a stream."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, BinaryIO
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK = 1 << 16


class FormFile:
    """The body of a ``multipart/form-data`` request with a zip in the part ``file``; read once, from its start.

    requests would hold the whole form in memory.

    :param name: name of the file, letters, digits and ``-_.`` only.
    :param file: seekable binary file.
    """

    def __init__(self, name: str, file: BinaryIO) -> None:
        boundary = uuid4().hex
        self.content_type = f"multipart/form-data; boundary={boundary}"
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/zip\r\n\r\n"
        )
        tail = f"\r\n--{boundary}--\r\n"
        self._length = file.seek(0, os.SEEK_END) + len(head) + len(tail)
        file.seek(0)
        self._parts = [io.BytesIO(head.encode()), file, io.BytesIO(tail.encode())]

    def __len__(self) -> int:
        """Tell the number of bytes: Zoho is not known to take chunked uploads."""
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body in blocks."""
        while block := self.read(_BLOCK):
            yield block

    def read(self, size: int = -1) -> bytes:
        """Read on.

        :param size: most bytes to return.
        :return: the bytes, none at the end.
        """
        while self._parts:
            block = self._parts[0].read(size)
            if block:
                return block
            self._parts.pop(0)
        return b""
