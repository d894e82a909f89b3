"""Users and their personal tokens, of which only a hash is kept."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Final, Protocol

from zarrlink.errors import InvalidRequest

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}", re.ASCII)
# No user of ours has a colon in the name, so nobody is taken for one of them.
WEBKNOSSOS: Final = "wk:"
OIDC: Final = "oidc:"
_OUTSIDE: Final = re.compile(r"(?:wk|oidc):[A-Za-z0-9][A-Za-z0-9._@+|-]{0,254}", re.ASCII)


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may use the API. An admin may do to everything what its owner may (`zarrlink.access`)."""

    name: str
    created_ms: int
    is_admin: bool = False


class Users(Protocol):
    """Users by name and by the hash of their token.

    One whose row is damaged is nobody until it is mended: DamagedRow at sign-in, and left out of `all`. It has its name all
    the same, and can be removed.
    """

    def add(self, user: User, token_hash: str) -> None:
        """Raises ValueError where the name is taken."""
        ...

    def by_token_hash(self, token_hash: str) -> User | None:
        """Raises DamagedRow."""
        ...

    def all(self) -> list[User]:
        """By name; damaged ones are left out."""
        ...

    def has(self, name: str) -> bool:
        """Whether there is such a user, damaged or not."""
        ...

    def renew(self, name: str, token_hash: str) -> bool:
        """Another token from now on; the one before is nobody's. False where there is no such user. Raises DamagedRow."""
        ...

    def set_admin(self, name: str, *, is_admin: bool) -> bool:
        """Make a user an admin, or none any more, whatever was said of that before. False where there is no such user.

        Raises DamagedRow where anything else is damaged.
        """
        ...

    def remove(self, name: str) -> bool:
        """Remove a user, also one whose row is damaged: no token is theirs any more. False where there is none."""
        ...


def new_user_token() -> str:
    """A personal token with 192 random bits."""
    return secrets.token_urlsafe(24)


def hash_user_token(token: str) -> str:
    """What is kept of a token, and what it is looked up by.

    SHA-256 without salt suffices for random tokens, and looking up a hash leaks nothing about a token by timing.
    """
    return hashlib.sha256(token.encode()).hexdigest()


def outside_name(prefix: str, given: object) -> str | None:
    """What somebody is called here whom another server calls `given`; None where that is no name."""
    name = f"{prefix}{given}"
    return name if isinstance(given, str) and _OUTSIDE.fullmatch(name) else None


def check_any_user_name(name: str) -> None:
    """Raises InvalidRequest for what is called like no user, of ours or of a server that vouches for people."""
    if not _OUTSIDE.fullmatch(name):
        check_user_name(name)


def check_user_name(name: str) -> None:
    """Raises InvalidRequest for what no user of ours can be called."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest(f"{name[:40]!r} cannot be a user name; accepted: up to 100 of A-Z a-z 0-9 . _ @ + -")
