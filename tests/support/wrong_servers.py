"""Servers that are wrong or hostile, and one that nobody may call."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator

    Answer = Callable[[str, bytes], bytes | Iterable[bytes]]


def token_answer(api_domain: str = "", value: str = "1000." + "a" * 32 + "." + "b" * 32) -> bytes:
    """Build the answer of a token endpoint."""
    return answer(200, f'{{"access_token":"{value}","api_domain":"{api_domain}","expires_in":3600}}'.encode())


def answer(status: int, body: bytes = b"", *headers: bytes, length: bool = True) -> bytes:
    """Build an answer as it is on the wire; after it the connection ends."""
    lines = [b"HTTP/1.1 %d X" % status, b"Connection: close", *headers]
    if length:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@contextmanager
def serving(respond: Answer, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Answer on loopback, one request for each connection.

    :param respond: takes the method and path, and the whole request; its bytes are sent as they are, those of an
        iterator for as long as the client takes them.
    :param context: speak TLS with it.
    :return: the address.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)

    def handle(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(30)
            if context is not None:
                connection = context.wrap_socket(connection, server_side=True)
            raw = b""
            while b"\r\n\r\n" not in raw:
                piece = connection.recv(65536)
                if not piece:
                    return
                raw += piece
            head, body = raw.split(b"\r\n\r\n", 1)
            length = next(
                (
                    int(line[15:])
                    for line in head.split(b"\r\n")
                    if line.lower().startswith(b"content-length:")
                ),
                0,
            )
            while len(body) < length:
                body += connection.recv(65536)
            method, path, _ = head.split(b"\r\n")[0].decode().split(" ")
            given = respond(f"{method} {path}", head + b"\r\n\r\n" + body)
            for piece in [given] if isinstance(given, bytes) else given:
                connection.sendall(piece)
            with suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
                # Until the client has ended: closing would reset what is still on its way.
                while connection.recv(65536):
                    pass
            connection.close()

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=handle, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    scheme = "http" if context is None else "https"
    try:
        yield f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


class Uncalled:
    """A host that listens, and notes who connects."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def callers(self) -> int:
        """Count the connections that were made."""
        count = 0
        self._listener.settimeout(0.05)
        with suppress(TimeoutError):
            while True:
                self._listener.accept()[0].close()
                count += 1
        return count

    def close(self) -> None:
        """End."""
        self._listener.close()
