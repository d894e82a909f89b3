"""The origin behind a CDN: whoever does not come through it gets nothing at all.

The edge has checked a link before a request comes here, and tells in headers which it is. These are believed, and anything
is answered, where the secret is right that the CDN adds on its way: so it stands before everything, the API too.
"""

from __future__ import annotations

import hmac
import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from zarrlink.edge.addresses import HOST_HEADER, SECRET_HEADER
from zarrlink.errors import InvalidRequest, LinkGone

# A secret that is exchanged is noticed so soon, however often somebody guesses.
PAUSE_S: Final = 60.0
LEAST_LENGTH: Final = 32
_HOST: Final = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9A-Fa-f:]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)


class EdgeSecrets(Protocol):
    """What the CDN sends. Both raise SourceUnavailable where they cannot be read."""

    def current(self) -> bytes: ...

    def previous(self) -> bytes | None:
        """What it sent before, for as long as parts of it still do; None: there was nothing."""
        ...


@dataclass(frozen=True, slots=True, repr=False)
class FixedSecrets:
    """Secrets that are at hand."""

    secrets: tuple[bytes, ...]

    def current(self) -> bytes:
        return self.secrets[0]

    def previous(self) -> bytes | None:
        return self.secrets[1] if len(self.secrets) > 1 else None


class FileSecrets:
    """Secrets in a file that only its owner can read (mode 0600), one a line, the current one first."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def current(self) -> bytes:
        """Raises InvalidRequest for a file that is not there, that others can read, or that holds no secret."""
        return self._read()[0]

    def previous(self) -> bytes | None:
        found = self._read()
        return found[1] if len(found) > 1 else None

    def _read(self) -> list[bytes]:
        try:
            with self._path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                found = file.read(4096).split()
        except OSError as error:
            raise InvalidRequest(f"{self._path} cannot be read: {error.strerror}") from error
        if mode & 0o077:
            raise InvalidRequest(
                f"{self._path} holds the secret of the CDN and must not be readable by others: chmod 600"
            )
        if not found or min(map(len, found)) < LEAST_LENGTH:
            raise InvalidRequest(f"{self._path} must hold secrets of at least {LEAST_LENGTH} characters, one a line")
        return found


class EdgeDoor:
    """`scheme`: of the addresses that people reach the CDN by. A request that brings another secret than was read has them
    read anew, at most once in `PAUSE_S`."""

    def __init__(
        self, secrets: EdgeSecrets, *, scheme: str = "https", monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._secrets = secrets
        self._scheme = scheme
        self._monotonic = monotonic
        self._known: tuple[bytes, ...] = ()
        self._read_s = float("-inf")

    @classmethod
    def fixed(cls, secrets: tuple[str, ...], *, scheme: str = "https") -> EdgeDoor:
        """With secrets that are at hand, the current one first."""
        return cls(FixedSecrets(tuple(secret.encode() for secret in secrets)), scheme=scheme)

    def check(self, headers: Mapping[bytes, bytes]) -> None:
        """Raises LinkGone for a request that did not come through the CDN, SourceUnavailable where that cannot be told."""
        given = headers.get(SECRET_HEADER)
        if given is None or not (self._is_known(given) or self._is_new(given)):
            raise LinkGone("past the edge", "this server is reached through its public address alone")

    def public_url(self, headers: Mapping[bytes, bytes]) -> str | None:
        """What addresses begin with, of a request that was checked; None where the CDN does not say."""
        host = headers.get(HOST_HEADER, b"").decode("latin-1")
        return f"{self._scheme}://{host}" if _HOST.fullmatch(host) else None

    def _is_known(self, given: bytes) -> bool:
        # Each is compared, so that the time tells nothing.
        return sum(hmac.compare_digest(given, secret) for secret in self._known) > 0

    def _is_new(self, given: bytes) -> bool:
        now = self._monotonic()
        if now - self._read_s < PAUSE_S:
            return False
        # Nearly always the current one fits: the other is asked for only where it does not.
        self._known = (self._secrets.current(),)
        if self._is_known(given):
            return True
        previous = self._secrets.previous()
        self._known = self._known if previous is None else (*self._known, previous)
        self._read_s = now
        return self._is_known(given)
