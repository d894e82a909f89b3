"""A server on the loopback interface that sends what it is told to, byte for byte: for answers that no emulator gives."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

LAST_MODIFIED = "Wed, 21 Oct 2026 07:28:00 GMT"


@dataclass(frozen=True)
class Answer:
    """Bytes to send on a connection, after which it is closed, or left `hanging` until the server ends."""

    data: bytes
    hanging: bool = False


@dataclass(frozen=True)
class Asked:
    """A request as it came; names of headers in lower case."""

    line: str
    headers: Mapping[str, str]

    @property
    def method(self) -> str:
        return self.line.partition(" ")[0]


class CannedServer:
    """The n-th request gets the n-th answer, later ones the last. Use it in a `with` statement."""

    def __init__(self, *answers: Answer) -> None:
        self.requests: list[Asked] = []
        self._answers = list(answers)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._server = _Server(self)
        # Looked at often, so that a test need not wait for its end.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.port: int = self._server.server_address[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def take(self, asked: Asked) -> Answer:
        with self._lock:
            self.requests.append(asked)
            return self._answers[min(len(self.requests), len(self._answers)) - 1]

    def wait_for_the_end(self) -> None:
        self._over.wait()


class _Server(socketserver.ThreadingTCPServer):
    def __init__(self, canned: CannedServer) -> None:
        self.canned = canned
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        line = self.rfile.readline().decode("latin-1").strip()
        if not line:
            return
        headers: dict[str, str] = {}
        while text := self.rfile.readline().decode("latin-1").strip():
            name, _, value = text.partition(":")
            headers[name.lower()] = value.strip()
        answer = self.server.canned.take(Asked(line, headers))
        self.wfile.write(answer.data)
        self.wfile.flush()
        if answer.hanging:
            self.server.canned.wait_for_the_end()


def answer(status: str, body: bytes = b"", *, said_length: int | None = None, **headers: str | None) -> Answer:
    """A whole HTTP answer; `_` in names of headers stands for `-`, None leaves one out.

    `said_length`: a Content-Length other than the body's, with the connection closed after the body.
    """
    given: dict[str, Any] = {
        "Connection": "close",
        "Content-Length": str(len(body) if said_length is None else said_length),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in given.items() if value is not None)]
    return Answer("\r\n".join([*lines, "", ""]).encode() + body)


def s3_error(status: str, code: str, more: str = "") -> Answer:
    """An error as S3 writes it."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>words</Message>{more}</Error>'
    return answer(status, body.encode(), Content_Type="application/xml")


def s3_part(
    body: bytes, *, start: int = 0, size: int = 100, etag: str | None = '"one"', said_length: int | None = None
) -> Answer:
    """A 206 with bytes from `start` on of an object of `size` bytes; as many as the length says, or fewer."""
    length = len(body) if said_length is None else said_length
    return answer(
        "206 Partial Content",
        body,
        said_length=said_length,
        ETag=etag,
        Last_Modified=LAST_MODIFIED,
        Content_Range=f"bytes {start}-{start + length - 1}/{size}",
    )


def hanging(some: Answer) -> Answer:
    """The same bytes, but the connection is kept open after them."""
    return Answer(some.data, hanging=True)


NOTHING = Answer(b"")
SILENCE = Answer(b"", hanging=True)
