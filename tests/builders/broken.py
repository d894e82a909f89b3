"""An ASGI application with a fault: what a proxy, a gateway or a change of ours might do to good answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from zarrlink.http.asgi import App, Receive, Scope, Send


@dataclass(frozen=True, slots=True)
class Asked:
    """`kind`: metadata, chunk, shard, page, or other. `headers`: lower-case names."""

    method: str
    path: str
    headers: dict[str, str]

    @property
    def kind(self) -> str:
        below = self.path.split("/", 3)[3]
        if below == "":
            return "page"
        if below.endswith("zarr.json"):
            return "metadata"
        if below.startswith("v3/") and "/c/" in below:
            return "shard"
        return "chunk" if below.startswith("v2/") and "/." not in below else "other"


@dataclass(slots=True)
class Reply:
    """`headers`: lower-case names; the content length follows the body unless a fault sets it."""

    status: int
    headers: dict[str, str]
    body: bytes

    def replace_body(self, body: bytes) -> None:
        self.body = body
        self.headers["content-length"] = str(len(body))


Fault = Callable[[Asked, Reply], None]


class Broken:
    """`app` with a fault, which may change any reply."""

    def __init__(self, app: App, fault: Fault) -> None:
        self._app = app
        self._fault = fault

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start: dict[str, Any] = {}
        body = b""

        async def collect(message: Any) -> None:
            nonlocal body
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                body += message.get("body", b"")

        await self._app(scope, receive, collect)
        asked_headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        headers = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
        reply = Reply(start["status"], headers, body)
        self._fault(Asked(scope["method"], scope["path"], asked_headers), reply)
        pairs = [(name.encode(), value.encode("latin-1")) for name, value in reply.headers.items()]
        await send({"type": "http.response.start", "status": reply.status, "headers": pairs})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else reply.body})
