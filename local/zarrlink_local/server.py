"""The HTTP server of one machine."""

from __future__ import annotations

import re
import socket
import time
from importlib import resources
from typing import Any, Final

import uvicorn
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from zarrlink.errors import InvalidRequest, UnknownKey
from zarrlink.http import problems
from zarrlink.http.api import CURRENT_VERSION, OLDEST_VERSION, ApiServices, create_api
from zarrlink.http.asgi import Door
from zarrlink.http.routes import DataPath
from zarrlink.streaming import Streamer
from zarrlink_local.machine import Machine, now_ms

LOOPBACK: Final = "127.0.0.1"
_VERSIONED: Final = re.compile(r"/api/v([0-9]{1,4})(/.*)", re.ASCII)
_WEB_FILE: Final = re.compile(r"/web/([a-z0-9_]+\.(js|css))", re.ASCII)
_WEB_TYPES: Final = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}


def create_app(machine: Machine, public_url: str, *, viewer_max_age_s: int = 300, check_blocks: bool = False) -> Door:
    """The whole server as an ASGI application."""
    data_path = DataPath(
        keys=machine.keys,
        links=machine.links,
        streamer=Streamer(machine.library, time.monotonic, check_blocks=check_blocks),
        now_ms=now_ms,
        page_html=resources.files("zarrlink_web").joinpath("link.html").read_bytes(),
        viewer_max_age_s=viewer_max_age_s,
    )
    services = ApiServices(
        library=machine.library,
        catalogue=machine.catalogue,
        links=machine.links,
        users=machine.users,
        keys=machine.keys,
        now_ms=now_ms,
        public_url=public_url,
    )
    return Door(data_path, _Others(create_api(services)))


class _Others:
    """`/api/...` (with or without a version) and the page's own files."""

    def __init__(self, api: Any) -> None:
        self._api = api
        self._files = {
            file.name: file.read_bytes()
            for file in resources.files("zarrlink_web").iterdir()
            if file.name.endswith((".js", ".css"))
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] == "lifespan" or path.startswith("/api/"):
            versioned = _VERSIONED.fullmatch(path)
            if versioned and not OLDEST_VERSION <= int(versioned[1]) <= CURRENT_VERSION:
                sentence = f"API versions {OLDEST_VERSION} to {CURRENT_VERSION} are served, not {int(versioned[1])}"
                await _reply(InvalidRequest(sentence), scope, receive, send)
                return
            if versioned:
                scope = {**scope, "path": "/api" + versioned[2], "raw_path": b"/api" + versioned[2].encode()}
            await self._api(scope, receive, send)
            return
        file = _WEB_FILE.fullmatch(path)
        if scope["type"] == "http" and file and file[1] in self._files and scope["method"] in ("GET", "HEAD"):
            headers = {"cache-control": "no-cache", "x-content-type-options": "nosniff"}
            await Response(self._files[file[1]], 200, headers, _WEB_TYPES[file[2]])(scope, receive, send)
            return
        await _reply(UnknownKey("there is nothing at this address"), scope, receive, send)


async def _reply(error: Exception, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] != "http":
        return
    answer = problems.reply(error, head=scope["method"] == "HEAD")
    await Response(answer.body, answer.status, answer.text_headers())(scope, receive, send)


def listen(port: int) -> socket.socket:
    """A socket on loopback; port 0 takes a free one. Raises InvalidRequest where the port is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError as error:
        listener.close()
        raise InvalidRequest(f"port {port} cannot be used: {error.strerror}") from error
    listener.listen(1024)
    return listener


def run(app: Door, listener: socket.socket) -> None:
    """Serve until a signal ends it."""
    # No access log: the addresses hold tokens.
    config = uvicorn.Config(
        app, access_log=False, log_level="warning", server_header=False, date_header=False, lifespan="off"
    )
    uvicorn.Server(config).run(sockets=[listener])
