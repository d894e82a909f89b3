"""CORS of the API: which UIs at other origins may call it. Links are open to every origin, see `message.CORS`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from zarrlink.errors import InvalidRequest
from zarrlink.http.message import Headers, Response

VARIABLE: Final = "ZARRLINK_UI_ORIGINS"
# As a browser writes it (RFC 6454, section 6.2): lower case, no path, the port only where it is not the scheme's own.
_ORIGIN: Final = re.compile(
    r"https?://[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?|https?://\[[0-9a-f:]+\](?::[0-9]{1,5})?", re.ASCII
)
_OWN_PORT: Final = {"http": ":80", "https": ":443"}
_EXPOSED: Final = (
    b"access-control-expose-headers",
    (
        b"Accept-Ranges, Allow, Content-Disposition, Content-Length, Content-Range, ETag, Location, Retry-After, "
        b"WWW-Authenticate"
    ),
)
_OURS: Final = (b"access-control-allow-origin", _EXPOSED[0])
_PREFLIGHT: Final[Headers] = (
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
    (
        b"access-control-allow-headers",
        b"Accept, Authorization, Content-Type, Idempotency-Key, If-None-Match, If-Range, Range, X-Auth-Token",
    ),
    # What Chromium caps it at.
    (b"access-control-max-age", b"7200"),
)


@dataclass(frozen=True, slots=True)
class UiOrigins:
    """The origins whose pages may call the API; by default none but its own, which needs no leave."""

    origins: frozenset[bytes] = frozenset()

    @classmethod
    def of(cls, origins: list[str] | tuple[str, ...]) -> UiOrigins:
        """From origins as an operator writes them. Raises InvalidRequest for one that is none."""
        return cls(frozenset(_parse(origin) for origin in origins))

    @classmethod
    def from_text(cls, text: str) -> UiOrigins:
        """From the setting: origins with spaces or commas between them. Raises InvalidRequest."""
        return cls.of(text.replace(",", " ").split())

    def headers(self, headers: Headers, origin: bytes | None) -> Headers:
        """The headers of an answer to a page of `origin`, from those that it had; twice is once."""
        kept = tuple((name, value) for name, value in headers if name.lower() not in _OURS)
        varied = _with_vary(kept)
        if origin not in self.origins:
            return varied
        return (*varied, (b"access-control-allow-origin", origin), _EXPOSED)

    def text_headers(self, headers: Mapping[str, str], origin: str | None) -> dict[str, str]:
        """The same, for doors that want text."""
        given = tuple((name.encode(), value.encode("latin-1")) for name, value in headers.items())
        found = self.headers(given, None if origin is None else origin.encode("latin-1", "replace"))
        return {name.decode(): value.decode("latin-1") for name, value in found}

    def preflight(self, origin: bytes) -> Response:
        """What a browser is told that asks before it sends a request."""
        allowed = _PREFLIGHT if origin in self.origins else ()
        return Response(204, self.headers((), origin) + allowed)


def is_preflight(method: str, headers: Mapping[bytes, bytes]) -> bool:
    """Whether a browser asks before it sends a request."""
    return method == "OPTIONS" and b"origin" in headers and b"access-control-request-method" in headers


def _with_vary(headers: Headers) -> Headers:
    """One header: doors that hold headers by name would lose the second."""
    varied = [value for name, value in headers if name.lower() == b"vary"]
    others = tuple((name, value) for name, value in headers if name.lower() != b"vary")
    if any(b"origin" in value.lower().replace(b" ", b"").split(b",") for value in varied):
        return headers
    return (*others, (b"vary", b", ".join([*varied, b"Origin"])))


def _parse(origin: str) -> bytes:
    text = origin.rstrip("/").lower()
    if not _ORIGIN.fullmatch(text):
        raise InvalidRequest(
            f"{origin[:80]!r} is not the origin of a UI; accepted: such as https://ui.example.org or http://127.0.0.1:9000"
        )
    return text.removesuffix(_OWN_PORT[text.partition(":")[0]]).encode()
