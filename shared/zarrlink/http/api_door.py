"""The doors beside the data path: `/api/...` with or without a version, and the files of the web pages."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import quote, unquote

from zarrlink.errors import BodyTooLarge, InvalidRequest
from zarrlink.http import problems
from zarrlink.http.cors import UiOrigins, is_preflight
from zarrlink.http.message import Response
from zarrlink.http.versions import API_VERSION, CURRENT_VERSION, OLDEST_VERSION
from zarrlink.http.web_files import WebFiles

_VERSIONED: Final = re.compile(r"/(api|data)/v([0-9]{1,4})(/.*)", re.ASCII)
_VERSIONS: Final = {str(version) for version in range(OLDEST_VERSION, CURRENT_VERSION + 1)}
# Room for a scope of 1000 layers with names of 60 characters, or for a link of 200 layers sent back whole.
MAX_BODY_BYTES: Final = 64 * 1024
# An annotation with a terabyte of painting does not come through a form.
MAX_UPLOAD_BYTES: Final = 16 * 2**30
_UPLOAD: Final = ("POST", "/api/annotations/upload")
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class ApiDoor:
    """An ASGI application: `/api/...` and `/data/...` to `api`, `/` and `/web/...` from the package, nothing else.

    Bodies longer than `max_body_bytes` are refused before anything else: the framework reads them whole, and only then
    asks who sent them. The one route that takes uploads asks first, and has a limit of its own.
    """

    def __init__(
        self,
        api: App,
        *,
        ui_origins: UiOrigins = UiOrigins(),  # noqa: B008 (frozen)
        max_body_bytes: int = MAX_BODY_BYTES,
        max_upload_bytes: int = MAX_UPLOAD_BYTES,
    ) -> None:
        self._api = api
        self._ui_origins = ui_origins
        self._max_body_bytes = max_body_bytes
        self._max_upload_bytes = max_upload_bytes
        self._files = WebFiles()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._api(scope, receive, send)
        elif scope["path"].startswith(("/api/", "/data/")):
            await self._called(scope, receive, send)
        else:
            headers = dict(scope["headers"])
            await send_response(self._files.answer(scope["path"], scope["method"], headers), scope, send)

    async def _called(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        if is_preflight(scope["method"], headers):
            await send_response(self._ui_origins.preflight(headers[b"origin"]), scope, send)
            return

        async def send_shared(message: MutableMapping[str, Any]) -> None:
            # Here, outside of everything: errors of the framework's own would have no headers.
            if message["type"] == "http.response.start":
                shared = self._ui_origins.headers(tuple(message["headers"]), headers.get(b"origin"))
                if not any(name.lower() == b"cache-control" for name, _ in shared):
                    # Tokens of links, and what is one person's alone.
                    shared = (*shared, (b"cache-control", b"no-store"))
                message = {**message, "headers": list(shared)}
            await send(message)

        path = _path(scope)
        versioned = _VERSIONED.fullmatch(path)
        if versioned and versioned[2] not in _VERSIONS:
            sentence = f"API versions {OLDEST_VERSION} to {CURRENT_VERSION} are served, not {versioned[2]}"
            await send_response(problems.reply(InvalidRequest(sentence)), scope, send_shared)
            return
        path = (f"/{versioned[1]}{versioned[3]}" if versioned else path).removesuffix("/")
        version = int(versioned[2]) if versioned else None
        inner = {**scope, "path": path, "raw_path": quote(path).encode(), API_VERSION: version}
        await self._answer(inner, receive, send_shared)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = self._max_upload_bytes if (scope["method"], scope["path"]) == _UPLOAD else self._max_body_bytes
        exchange = _Exchange(scope, receive, send, limit)
        if _declared_length(scope) > limit:
            await exchange.refuse()
        else:
            method = "GET" if exchange.is_head else scope["method"]
            # Whoever would read a file for it may want to know.
            inner = {**scope, "method": method, "zarrlink.is_head": exchange.is_head}
            await self._api(inner, exchange.receive, exchange.send)


class _Exchange:
    """A request and its reply: counts the body, sends none in answer to HEAD."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, max_body_bytes: int) -> None:
        self.is_head = scope["method"] == "HEAD"
        self._scope, self._receive, self._send = scope, receive, send
        self._max_body_bytes = max_body_bytes
        self._received_bytes = 0
        self._refused = False

    async def receive(self) -> MutableMapping[str, Any]:
        """The next piece of the body. Raises BodyTooLarge, having answered, when it is one too many."""
        message = await self._receive()
        self._received_bytes += len(message.get("body", b""))
        if self._received_bytes > self._max_body_bytes:
            await self.refuse()
            raise BodyTooLarge(self._max_body_bytes)
        return message

    async def send(self, message: MutableMapping[str, Any]) -> None:
        # What the framework makes of our exception comes after our own answer.
        if self._refused:
            return
        if self.is_head and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)

    async def refuse(self) -> None:
        if not self._refused:
            self._refused = True
            await send_response(problems.reply(BodyTooLarge(self._max_body_bytes)), self._scope, self._send)


def _path(scope: Scope) -> str:
    """The path, percent-decoded once. Not every server and test client does it once for `path`."""
    raw: bytes | None = scope.get("raw_path")
    path: str = scope["path"]
    return path if raw is None else unquote(raw.partition(b"?")[0].decode("latin-1"))


def _declared_length(scope: Scope) -> int:
    """The body's length in bytes by its header; 0 where that says nothing, for the body is counted as well."""
    text: bytes = dict(scope["headers"]).get(b"content-length", b"")
    # More digits than any length has, and than Python would turn into a number.
    return int(text[:20]) if text.isdigit() else 0


async def send_response(response: Response, scope: Scope, send: Send) -> None:
    """A reply through ASGI."""
    body = b"" if scope["method"] == "HEAD" else response.body
    await send({"type": "http.response.start", "status": response.status, "headers": list(response.headers)})
    await send({"type": "http.response.body", "body": body})
