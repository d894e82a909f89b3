"""The files of the web pages, which come with the package: `/`, and `/web/NAME` for pages, scripts and styles."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final

from zarrlink.errors import UnknownKey
from zarrlink.http import problems
from zarrlink.http.message import CORS, Headers, Response

_ADDRESS: Final = re.compile(r"/web/([a-z0-9_]+\.(html|js|css))", re.ASCII)
_TYPES: Final = {
    "html": b"text/html; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "css": b"text/css; charset=utf-8",
}
START: Final = "index.html"
# Their relative addresses start elsewhere: the page of a link is what its own address answers.
_NOT_BELOW_WEB: Final = (START, "link.html")
# Whatever a page draws may come by a link whose public address is another one than this page's: hence connect-src.
_PAGE: Final[Headers] = (
    (b"referrer-policy", b"no-referrer"),
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
            b"connect-src 'self' http: https:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
    ),
)
# A UI at another origin imports the elements: they are the same for everybody, and hold nothing.
_PART: Final[Headers] = (*CORS, (b"cross-origin-resource-policy", b"cross-origin"))


@dataclass(frozen=True, slots=True)
class _File:
    etag: bytes
    headers: Headers
    body: bytes


class WebFiles:
    """The files by address, read once."""

    def __init__(self) -> None:
        folder = resources.files("zarrlink_web")
        names = {file.name for file in folder.iterdir()}
        addresses = {f"/web/{name}": name for name in names - set(_NOT_BELOW_WEB)} | {"/": START}
        self._files = {
            address: _file(name, folder.joinpath(name).read_bytes())
            for address, name in addresses.items()
            if name in names and _ADDRESS.fullmatch(f"/web/{name}")
        }

    def answer(self, path: str, method: str, headers: Mapping[bytes, bytes]) -> Response:
        """The reply to a request, which may hold the ETag of an earlier one."""
        file = self._files.get(path)
        if file is None or method not in ("GET", "HEAD"):
            return problems.reply(UnknownKey("there is nothing at this address"))
        if file.etag in headers.get(b"if-none-match", b""):
            return Response(304, file.headers)
        return Response(200, (*file.headers, (b"content-length", b"%d" % len(file.body))), file.body)


def _file(name: str, body: bytes) -> _File:
    kind = name.rpartition(".")[2]
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'.encode()
    headers: Headers = (
        (b"content-type", _TYPES[kind]),
        # Pages and scripts of two versions do not fit each other.
        (b"cache-control", b"no-cache"),
        (b"etag", etag),
        (b"x-content-type-options", b"nosniff"),
        *(_PAGE if kind == "html" else _PART),
    )
    return _File(etag, headers, body)
