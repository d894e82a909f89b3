"""The doors beside the data path: `/api/...` with or without a version, and the files of the link's page."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from importlib import resources
from typing import Any, Final

from zarrlink.errors import InvalidRequest, UnknownKey
from zarrlink.http import problems
from zarrlink.http.api import CURRENT_VERSION, OLDEST_VERSION
from zarrlink.http.message import Response

_VERSIONED: Final = re.compile(r"/api/v([0-9]{1,4})(/.*)", re.ASCII)
_WEB_FILE: Final = re.compile(r"/web/([a-z0-9_]+\.(js|css))", re.ASCII)
_WEB_TYPES: Final = {"js": b"text/javascript; charset=utf-8", "css": b"text/css; charset=utf-8"}
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class ApiDoor:
    """An ASGI application: `/api/...` to `api`, `/web/...` from the package, nothing else."""

    def __init__(self, api: App) -> None:
        self._api = api
        files = [file for file in resources.files("zarrlink_web").iterdir() if file.name.endswith((".js", ".css"))]
        self._files = {file.name: file.read_bytes() for file in files}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._api(scope, receive, send)
            return
        path: str = scope["path"]
        versioned = _VERSIONED.fullmatch(path)
        if versioned and not OLDEST_VERSION <= int(versioned[1]) <= CURRENT_VERSION:
            sentence = f"API versions {OLDEST_VERSION} to {CURRENT_VERSION} are served, not {int(versioned[1])}"
            await send_response(problems.reply(InvalidRequest(sentence)), scope, send)
        elif path.startswith("/api/"):
            path = "/api" + versioned[2] if versioned else path
            await self._api({**scope, "path": path, "raw_path": path.encode()}, receive, send)
        else:
            await send_response(self._file(path, scope["method"]), scope, send)

    def _file(self, path: str, method: str) -> Response:
        file = _WEB_FILE.fullmatch(path)
        if file is None or file[1] not in self._files or method not in ("GET", "HEAD"):
            return problems.reply(UnknownKey("there is nothing at this address"))
        body = self._files[file[1]]
        headers = (
            (b"content-type", _WEB_TYPES[file[2]]),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-cache"),
            (b"x-content-type-options", b"nosniff"),
        )
        return Response(200, headers, body)


async def send_response(response: Response, scope: Scope, send: Send) -> None:
    """A reply through ASGI."""
    body = b"" if scope["method"] == "HEAD" else response.body
    await send({"type": "http.response.start", "status": response.status, "headers": list(response.headers)})
    await send({"type": "http.response.body", "body": body})
