"""Users and their personal tokens, of which only a hash is kept."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Final, Protocol

from zarrlink.errors import InvalidRequest

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}", re.ASCII)


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may use the API."""

    name: str
    created_ms: int


class Users(Protocol):
    """Users by name and by the hash of their token."""

    def add(self, user: User, token_hash: str) -> None:
        """Raises ValueError where the name is taken."""
        ...

    def by_token_hash(self, token_hash: str) -> User | None: ...

    def all(self) -> list[User]: ...

    def renew(self, name: str, token_hash: str) -> bool:
        """Another token from now on; the one before is nobody's. False where there is no such user."""
        ...

    def remove(self, name: str) -> bool: ...


def new_user_token() -> str:
    """A personal token with 192 random bits."""
    return secrets.token_urlsafe(24)


def hash_user_token(token: str) -> str:
    """What is kept of a token, and what it is looked up by.

    SHA-256 without salt suffices for random tokens, and looking up a hash leaks nothing about a token by timing.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def check_user_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"{name[:40]!r} cannot be a user name; accepted: up to 100 of A-Z a-z 0-9 . _ @ + -")
