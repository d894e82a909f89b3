"""Requests and replies, whatever door they come through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# On every reply, errors too: a reader in a browser takes an error without them for "not found", which is fill value.
CORS: Final = (
    ("access-control-allow-origin", "*"),
    ("access-control-expose-headers", "Accept-Ranges, Content-Length, Content-Range, ETag, Retry-After"),
)
PREFLIGHT: Final = (
    *CORS,
    ("access-control-allow-methods", "GET, HEAD, OPTIONS"),
    ("access-control-allow-headers", "Accept, Cache-Control, If-Match, If-None-Match, If-Range, Range"),
    ("access-control-max-age", "86400"),
)


@dataclass(frozen=True, slots=True)
class Request:
    """`path`: as it came, percent-encoded, without query. `headers`: lower-case names."""

    method: str
    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Response:
    """`headers` hold everything, the content length too. `body` is empty for HEAD and 304."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
