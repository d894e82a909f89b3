"""Who may do what to datasets, annotations and links: the one table, which everything that decides asks.

docs/permissions.md says the same for people; tests/http/test_permissions.py compares every route with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, auto
from typing import Final, Literal, Protocol, get_args

from zarrlink.errors import InvalidRequest
from zarrlink.users.interface import User, check_any_user_name

Visibility = Literal["private", "organization", "public"]
"""Whom a thing shows itself to beside its owner, its collaborators and admins: nobody, whoever is signed in, anybody."""

VISIBILITIES: Final[tuple[Visibility, ...]] = get_args(Visibility)
MAX_COLLABORATORS: Final = 100


class Act(Enum):
    """What may be done to a dataset or an annotation.

    READ: see and preview it, download and export it, make links to it. CHANGE: describe, share and delete it, replace it
    by an import, say that its files were exchanged, see and revoke everybody's links to it.
    """

    READ = auto()
    CHANGE = auto()


class Role(Enum):
    """What somebody is to a dataset or an annotation."""

    STRANGER = auto()
    MEMBER = auto()
    COLLABORATOR = auto()
    OWNER = auto()
    ADMIN = auto()


class Shared(Protocol):
    """What is shared: a dataset or an annotation. `owner`: a user's name, "" for the operator's; `collaborators`: users' names."""

    @property
    def owner(self) -> str: ...
    @property
    def visibility(self) -> Visibility: ...
    @property
    def collaborators(self) -> tuple[str, ...]: ...


_INSIDERS: Final = frozenset({Role.COLLABORATOR, Role.OWNER, Role.ADMIN})
_READERS: Final[dict[Visibility, frozenset[Role]]] = {
    "private": _INSIDERS,
    "organization": _INSIDERS | {Role.MEMBER},
    "public": _INSIDERS | {Role.MEMBER, Role.STRANGER},
}
_CHANGERS: Final = frozenset({Role.OWNER, Role.ADMIN})


def role(who: User | None, thing: Shared) -> Role:
    """What `who` is to a thing, the most that fits; None is somebody who is not signed in."""
    if who is None:
        return Role.STRANGER
    if who.is_admin:
        return Role.ADMIN
    if who.name == thing.owner:
        return Role.OWNER
    return Role.COLLABORATOR if who.name in thing.collaborators else Role.MEMBER


def may(who: User | None, act: Act, thing: Shared) -> bool:
    """Whether `who` may do that to a thing."""
    return role(who, thing) in (_CHANGERS if act is Act.CHANGE else _READERS[thing.visibility])


def may_register(who: User) -> bool:
    """Whether `who` may have the server serve another folder or address of its own."""
    return who.is_admin


def may_see_link(who: User, maker: str, opened: Iterable[Shared]) -> bool:
    """Whether `who` may see that a link is there, and revoke it: its maker, and whoever may change some of what it opens."""
    return who.name == maker or who.is_admin or any(may(who, Act.CHANGE, thing) for thing in opened)


def may_change_link(who: User, maker: str) -> bool:
    """Whether `who` may rename, extend or shorten a link: its maker alone, who made it for people that nobody else knows."""
    return who.name == maker


def check_collaborators(names: tuple[str, ...]) -> None:
    """Raises InvalidRequest for too many, for one that is named twice and for what is no user's name."""
    if len(names) > MAX_COLLABORATORS:
        raise InvalidRequest(f"{len(names)} collaborators are named; at most {MAX_COLLABORATORS} are accepted")
    if len(set(names)) < len(names):
        raise InvalidRequest("a collaborator is named twice")
    for name in names:
        check_any_user_name(name)
