"""Neuroglancer at /neuroglancer/v/links/: the client inside the PyPI package `neuroglancer`, where that is installed.

So links open without the net. Where another Neuroglancer is named, that address leads to it instead: what stands behind the
`#` of an address goes along, and no server sees it. The package is looked into and not imported: its Python part starts a server of its own.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from zarrlink.errors import InvalidRequest, UnknownKey
from zarrlink.http import problems
from zarrlink.http.api_door import App, Receive, Scope, Send, send_response
from zarrlink.http.message import Headers, Response

# The client looks for `/v/` and the name of a session in its address.
PREFIX: Final = "/neuroglancer/v/links/"
_ALONE: Final = b'<script src="../../../web/neuroglancer_alone.js"></script>'
_ELSEWHERE: Final = re.compile(r"https?://[!-~]+", re.ASCII)
_TYPES: Final = {
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".wasm": b"application/wasm",
}
# Its page lies at the origin of ours: no script may come in but its own (its Blosc decoder is glued together by `eval`).
# Data may come from anywhere, as in any viewer.
_HEADERS: Final[Headers] = (
    (b"cache-control", b"no-cache"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (
        b"content-security-policy",
        (
            b"default-src 'self'; script-src 'self' 'unsafe-eval'; worker-src 'self' blob:; "
            b"style-src 'self' 'unsafe-inline'; img-src * data: blob:; connect-src * data: blob:; base-uri 'none'; "
            b"form-action 'none'; frame-ancestors 'none'"
        ),
    ),
)
# Elements in pages of other origins ask at this address which viewer there is; it tells nothing that is not public.
_ASKED_FROM_ANYWHERE: Final[Headers] = ((b"access-control-allow-origin", b"*"),)


def client_folder() -> Path | None:
    """Where the package keeps its client; None where it is not installed."""
    spec = find_spec("neuroglancer")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "static" / "client"
    return folder if folder.is_dir() else None


class ViewerDoor:
    """An ASGI application: `/neuroglancer/v/links/...` from the package, or to `elsewhere`; everything else to `others`.

    Raises InvalidRequest where `elsewhere` is no address of a viewer.
    """

    def __init__(self, others: App, elsewhere: str | None = None) -> None:
        if elsewhere is not None and (not _ELSEWHERE.fullmatch(elsewhere) or "#" in elsewhere):
            raise InvalidRequest("a Neuroglancer is named by its address, such as https://neuroglancer.example.org/")
        self._others = others
        self._elsewhere = elsewhere
        folder = None if elsewhere else client_folder()
        self._files = {file.name: file for file in folder.iterdir() if file.suffix in _TYPES} if folder else {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(PREFIX):
            await send_response(self._answer(scope["path"].removeprefix(PREFIX), scope["method"]), scope, send)
        else:
            await self._others(scope, receive, send)

    def _answer(self, name: str, method: str) -> Response:
        if self._elsewhere is not None and name == "" and method in {"GET", "HEAD"}:
            to: Headers = ((b"location", self._elsewhere.encode()), (b"content-length", b"0"))
            return Response(307, (*to, *_HEADERS, *_ASKED_FROM_ANYWHERE))
        file = self._files.get(name or "index.html")
        if file is None or method not in ("GET", "HEAD"):
            return problems.reply(UnknownKey("there is nothing at this address"))
        body = file.read_bytes()
        if file.suffix == ".html":
            # Before the client's own scripts, which are deferred.
            body = body.replace(b"<head>", b"<head>" + _ALONE, 1)
        about: Headers = ((b"content-type", _TYPES[file.suffix]), (b"content-length", b"%d" % len(body)))
        return Response(200, (*about, *_HEADERS, *(() if name else _ASKED_FROM_ANYWHERE)), body)
