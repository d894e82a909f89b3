"""An HTTP proxy in front of a store, in a thread of its own: what networks and stores do to answers on their way."""

from __future__ import annotations

import http.client
import re
import socket
import socketserver
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

FAULTS: Final = (
    "late", "truncated", "reset", "reset halfway", "500", "503", "403", "403 by a proxy", "404 by a proxy", "404 no bucket",
    "206 as 200", "another range", "another length", "another etag", "no etag", "flipped",
)  # fmt: skip
# Named apart: nothing that one reads of a single object can tell this from an object that was never written.
LIE: Final = "404 no key"
_S3_ERROR: Final = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{}</Code><Message>words</Message></Error>'
_STRAY: Final = "<html><body>a gateway's own page</body></html>"
_ERRORS: Final = {
    "500": (500, _S3_ERROR.format("InternalError")),
    "503": (503, _S3_ERROR.format("SlowDown")),
    "403": (403, _S3_ERROR.format("AccessDenied")),
    "403 by a proxy": (403, _STRAY),
    "404 by a proxy": (404, _STRAY),
    "404 no bucket": (404, _S3_ERROR.format("NoSuchBucket")),
    LIE: (404, _S3_ERROR.format("NoSuchKey")),
}
# What an answer that is asked for again right away would not show: such faults may stay with a path for some requests.
_HELD: Final = ("403", "403 by a proxy", "404 by a proxy", "404 no bucket")
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+)", re.ASCII)


@dataclass
class Proxy:
    """`described`: how many of the first bytes of what lies at a path are no payload. `only`: what the paths end with that
    fail. Use it in a `with` statement."""

    upstream: str
    random: Random
    described: Callable[[str], int] = lambda path: 0
    rate: float = 0.0
    faults: tuple[str, ...] = FAULTS
    only: str = ""
    late_s: float = 0.01
    told: Counter[str] = field(default_factory=Counter)
    touched: set[str] = field(default_factory=set)
    requests: int = 0
    held: dict[str, tuple[str, int]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self._server = _Server(self)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def fault(self, target: str) -> str:
        self.requests += 1
        if not target.endswith(self.only) or self.rate == 0.0:
            return ""
        fault, left = self.held.pop(target, ("", 0))
        if fault not in self.faults:
            if self.random.random() >= self.rate:
                return ""
            fault = self.random.choice(self.faults)
            left = self.random.randint(2, 12) if fault in _HELD and self.random.random() < 0.5 else 0
        if left:
            self.held[target] = fault, left - 1
        self.told[fault] += 1
        return fault

    def flip(self, path: str, start: int, body: bytes) -> bytes:
        described = min(self.described(path) - start, len(body))
        if described <= 0:
            return body
        self.touched.add(path.rpartition("/")[2])
        at = self.random.randrange(described)
        return body[:at] + bytes([body[at] ^ 1 << self.random.randrange(8)]) + body[at + 1 :]


def _shifted(wanted: str, by: int) -> str:
    found = re.fullmatch(r"bytes=([0-9]+)-([0-9]+)", wanted, re.ASCII)
    return f"bytes={int(found[1]) + by}-{int(found[2]) + by}" if found else wanted


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, *_: Any) -> None:
        """A reader that has gone away is no trouble of ours."""


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        line = self.rfile.readline().decode("latin-1").split()
        if len(line) < 2:
            return
        headers = {}
        while text := self.rfile.readline().decode("latin-1").strip():
            name, _, value = text.partition(":")
            headers[name] = value.strip()
        method, target = line[0], line[1]
        fault = self.server.proxy.fault(target)
        if fault == "reset":
            self._reset()
            return
        if fault in _ERRORS:
            status, body = _ERRORS[fault]
            kind = "application/xml" if body.startswith("<?xml") else "text/html"
            self._send(status, {"Content-Type": kind}, b"" if method == "HEAD" else body.encode())
            return
        self._pass_on(method, target, headers, fault)

    def _pass_on(self, method: str, target: str, headers: dict[str, str], fault: str) -> None:
        proxy, random = self.server.proxy, self.server.proxy.random
        upstream = http.client.HTTPConnection(urlsplit(proxy.upstream).netloc, timeout=30)
        if fault == "206 as 200":
            headers = {name: value for name, value in headers.items() if name.lower() != "range"}
        if fault == "another range" and "Range" in {name.title() for name in headers}:
            by = random.randint(1, 8)
            headers = {
                name: _shifted(value, by) if name.lower() == "range" else value for name, value in headers.items()
            }
        upstream.request(method, target, headers={**headers, "Connection": "close"})
        answer = upstream.getresponse()
        body = answer.read()
        upstream.close()
        left_out = ("Connection", "Transfer-Encoding")
        given = {name.title(): value for name, value in answer.getheaders() if name.title() not in left_out}
        if method != "HEAD":
            given["Content-Length"] = str(len(body))
        status = answer.status
        spanned = _CONTENT_RANGE.fullmatch(given.get("Content-Range", ""))
        start = int(spanned[1]) if spanned else 0
        if fault == "late":
            time.sleep(proxy.late_s * random.random())
        elif fault == "flipped" and status in (200, 206):
            body = proxy.flip(unquote(urlsplit(target).path), start, body)
        elif fault == "another length" and spanned:
            given["Content-Range"] = f"bytes {spanned[1]}-{spanned[2]}/{int(spanned[3]) + random.randint(1, 99)}"
        elif fault in ("another etag", "no etag"):
            given = {name: value for name, value in given.items() if name != "Etag"}
            if fault == "another etag":
                given["Etag"] = f'"{random.randrange(16**8):08x}"'
        if fault in ("truncated", "reset halfway") and len(body) > 1:
            self._send(status, given, body[: random.randrange(len(body))])
            if fault == "reset halfway":
                self._reset()
            return
        self._send(status, given, body)

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        given = {"Content-Length": str(len(body)), **headers, "Connection": "close"}
        lines = [f"HTTP/1.1 {status} {http.client.responses.get(status, '')}", *(f"{a}: {b}" for a, b in given.items())]
        self.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
        self.wfile.flush()

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
