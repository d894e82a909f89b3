"""Small JSON documents of another server, fetched with care: never redirected, never large, never waited for long."""

from __future__ import annotations

import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from zarrlink.errors import InvalidRequest, SignInUnavailable

MAX_BYTES: Final = 2**18
TIMEOUT_S: Final = 5.0
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_LARGEST_PORT: Final = 65535
# No user, query or fragment; a path of any printable letters.
_ADDRESS: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?(?:/[!$->@-~]*)?"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered. `document`: its JSON; None unless `status` is 200."""

    status: int
    document: Any


def check_address(url: str, what: str) -> str:
    """The address of a server without a slash at its end. Raises InvalidRequest unless nobody can listen on the way to it."""
    found = _ADDRESS.fullmatch(url)
    if (
        found is None
        or (found["scheme"] == "http" and found["host"].strip("[]") not in _LOOPBACK)
        or int(found["port"] or 0) > _LARGEST_PORT
    ):
        # Without what was given: it may hold a password.
        raise InvalidRequest(f"{what} is an address such as https://host, with no user or query; http only on loopback")
    return url.rstrip("/")


def fetch_json(url: str, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer of 200, 401, 403 or 404. Raises SignInUnavailable for anything else, and for what is no JSON."""
    request = urllib.request.Request(url, headers={"Accept": "application/json", **(headers or {})})  # noqa: S310 (checked)
    # A proxy is for others, not for this machine.
    proxies = urllib.request.ProxyHandler({}) if urlsplit(url).hostname in _LOOPBACK else urllib.request.ProxyHandler()
    opener = urllib.request.build_opener(proxies, _NoRedirects())
    try:
        with opener.open(request, timeout=TIMEOUT_S) as response:
            body = _read(response)
            status = response.status
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in (401, 403, 404):
            return Answer(error.code, None)
        raise SignInUnavailable(f"status {error.code}") from error
    except (OSError, http.client.HTTPException) as error:
        raise SignInUnavailable(type(error).__name__) from error
    if status != 200:
        raise SignInUnavailable(f"status {status}")
    try:
        return Answer(status, json.loads(body))
    except (ValueError, RecursionError) as error:
        raise SignInUnavailable("no JSON") from error


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Where a token is sent is what was configured, and nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _read(response: http.client.HTTPResponse) -> bytes:
    """The body, whole. A server that trickles is given up like one that is silent."""
    pieces, length, deadline = [], 0, time.monotonic() + TIMEOUT_S
    while piece := response.read1(2**16):
        pieces.append(piece)
        length += len(piece)
        if length > MAX_BYTES:
            raise SignInUnavailable("the answer is too large")
        if time.monotonic() > deadline:
            raise SignInUnavailable("the answer takes too long")
    return b"".join(pieces)
