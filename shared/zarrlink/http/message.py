"""Requests and replies, whatever door they come through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

Headers = tuple[tuple[bytes, bytes], ...]

# On every reply, errors too: a reader in a browser takes an error without them for "not found", which is fill value.
CORS: Final[Headers] = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"Accept-Ranges, Content-Length, Content-Range, ETag, Retry-After"),
)
PREFLIGHT: Final[Headers] = (
    *CORS,
    (b"access-control-allow-methods", b"GET, HEAD, OPTIONS"),
    (b"access-control-allow-headers", b"Accept, Cache-Control, If-Match, If-None-Match, If-Range, Range"),
    (b"access-control-max-age", b"86400"),
)
# On every HTML below a link. Its address is a secret: it must not leave in a Referer header or be reached by foreign scripts.
SECRET_PAGE: Final[Headers] = (
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
            b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Request:
    """`path`: as it came, percent-encoded, without query. `headers`: lower-case names, as bytes: most are never read."""

    method: str
    path: str
    headers: Mapping[bytes, bytes]

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


@dataclass(frozen=True, slots=True)
class Response:
    """`headers` hold everything, the content length too. `body` is empty for HEAD and 304."""

    status: int
    headers: Headers
    body: bytes = b""

    def text_headers(self) -> dict[str, str]:
        """For doors that want text."""
        return {name.decode(): value.decode("latin-1") for name, value in self.headers}
