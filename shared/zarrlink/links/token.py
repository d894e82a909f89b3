"""Tokens: the secret part of a link's address.

    key id (1 character) + link id (16 characters, 96 random bits) + MAC (16 characters, 96 bits)

all URL-safe, 33 characters. The MAC is HMAC-SHA-256 over key id and link id: it refuses garbage before any look-up,
and lets the owner see the address again although it is stored nowhere.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import os
import re
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from zarrlink.errors import LinkGone

TOKEN_LENGTH: Final = 33
_LINK_ID: Final = re.compile(r"[A-Za-z0-9_-]{16}", re.ASCII)
_KEY_ID: Final = re.compile(r"[A-Za-z0-9]", re.ASCII)
KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True, repr=False)
class KeyRing:
    """Secret keys by their one-character id; new tokens are made with `current`. Removing a key ends its links."""

    keys: dict[str, bytes]
    current: str

    def __post_init__(self) -> None:
        if self.current not in self.keys or not all(
            _KEY_ID.fullmatch(key_id) and len(key) >= KEY_BYTES for key_id, key in self.keys.items()
        ):
            raise ValueError(f"a key ring has ids of one letter or digit and keys of at least {KEY_BYTES} bytes")

    def token(self, link_id: str) -> str:
        """The token of a link."""
        if not _LINK_ID.fullmatch(link_id):
            raise ValueError("a link id has 16 URL-safe characters")
        return self.current + link_id + _mac(self.keys[self.current], self.current + link_id)

    def link_id(self, token: str) -> str:
        """The link that a token names. Raises LinkGone for one that we did not make."""
        if len(token) != TOKEN_LENGTH or not token.isascii():
            raise LinkGone("malformed token")
        key = self.keys.get(token[0])
        if key is None:
            raise LinkGone("unknown key id")
        if not hmac.compare_digest(_mac(key, token[:17]), token[17:]):
            raise LinkGone("forged token")
        return token[1:17]


class Tokens(Protocol):
    """A key ring, or what reads one."""

    def token(self, link_id: str) -> str:
        """See `KeyRing`."""

    def link_id(self, token: str) -> str:
        """See `KeyRing`."""


def _mac(key: bytes, signed: str) -> str:
    return base64.urlsafe_b64encode(hmac.digest(key, signed.encode(), "sha256")[:12]).decode()


def load_or_create_keys(path: Path) -> KeyRing:
    """The key ring in a file that only its owner can read (mode 0600), made if there is none.

    Raises ValueError for a file that is no key ring or that others can read.
    """
    if not path.exists():
        ring = {"current": "a", "keys": {"a": base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()}}
        # mkstemp makes it 0600; the link appears whole or not at all, and never replaces keys that are there.
        descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "w") as out:
                json.dump(ring, out)
                # Tokens are worth nothing without it: it must outlast a power cut.
                out.flush()
                os.fsync(descriptor)
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
        finally:
            Path(draft).unlink()
    if path.stat().st_mode & 0o077:
        raise ValueError(f"{path} holds the keys of all links and must not be readable by others: chmod 600")
    ring_kept = parse_key_ring(path.read_bytes())
    if ring_kept is None:
        raise ValueError(f"{path} is not a key ring")
    return ring_kept


def parse_key_ring(text: str | bytes) -> KeyRing | None:
    """The key ring in a text, None where it is none: an exception's cause could show keys. JSON in one of two forms:

        {"current": "b", "keys": {"a": "<base64>", "b": "<base64>"}}    as a key file has it
        {"current": "a", "a": "<text of at least 32 characters>"}       as CloudFormation makes it

    In the second a key is the text's UTF-8 bytes.
    """
    try:
        parts = json.loads(text)
        if "keys" in parts:
            keys = {key_id: base64.b64decode(key, validate=True) for key_id, key in parts["keys"].items()}
        else:
            keys = {key_id: key.encode() for key_id, key in parts.items() if key_id != "current"}
        return KeyRing(keys, parts["current"])
    except (KeyError, TypeError, AttributeError, ValueError):
        return None
