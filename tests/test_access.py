"""The permission table itself, and the bounds of what people say. Every route is tried in tests/http/test_permissions.py."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zarrlink.access import (
    VISIBILITIES,
    Act,
    Role,
    Visibility,
    check_collaborators,
    may,
    may_change_link,
    may_register,
    may_see_link,
    role,
)
from zarrlink.catalogue.changes import Changes, pack, unpack
from zarrlink.errors import InvalidRequest
from zarrlink.users.interface import User


@dataclass(frozen=True)
class Sharing:
    """Nothing but whom something belongs to and whom it is shared with."""

    owner: str
    visibility: Visibility = "private"
    collaborators: tuple[str, ...] = ()


OF_ROLE = {
    Role.STRANGER: None,
    Role.MEMBER: User("bob", 1),
    Role.COLLABORATOR: User("cleo", 1),
    Role.OWNER: User("ann", 1),
    Role.ADMIN: User("root", 1, is_admin=True),
}
# R: may read; C: may change as well; -: neither. Columns: private, organization, public.
TABLE = {
    Role.STRANGER: "--R",
    Role.MEMBER: "-RR",
    Role.COLLABORATOR: "RRR",
    Role.OWNER: "CCC",
    Role.ADMIN: "CCC",
}


@pytest.mark.parametrize("visibility", VISIBILITIES)
@pytest.mark.parametrize("of", Role)
def test_the_table(of: Role, visibility: Visibility) -> None:
    thing, who = Sharing("ann", visibility, ("cleo",)), OF_ROLE[of]
    letter = TABLE[of][VISIBILITIES.index(visibility)]
    assert role(who, thing) is of
    assert may(who, Act.READ, thing) is (letter in "RC")
    assert may(who, Act.CHANGE, thing) is (letter == "C")


def test_what_the_operator_registered_is_changed_by_admins_alone() -> None:
    thing = Sharing("", "organization")
    assert [who.name for who in OF_ROLE.values() if who is not None and may(who, Act.CHANGE, thing)] == ["root"]


def test_links_are_seen_by_who_made_them_and_by_owners_of_some_of_what_they_open() -> None:
    ann, bob, root = OF_ROLE[Role.OWNER], OF_ROLE[Role.MEMBER], OF_ROLE[Role.ADMIN]
    assert ann is not None
    assert bob is not None
    assert root is not None
    hers, theirs = Sharing("ann"), Sharing("zoe", "public")
    assert may_see_link(bob, "bob", [])
    assert not may_see_link(bob, "zoe", [hers, theirs])
    assert may_see_link(ann, "bob", [theirs, hers])
    assert may_see_link(root, "bob", [])
    assert [may_change_link(who, "bob") for who in (ann, bob, root)] == [False, True, False]
    assert [may_register(who) for who in (ann, bob, root)] == [False, False, True]


@pytest.mark.parametrize("names", [("a b",), ("",), ("ann", "ann"), tuple(f"u{number}" for number in range(101))])
def test_collaborators_are_users_names(names: tuple[str, ...]) -> None:
    with pytest.raises(InvalidRequest):
        check_collaborators(names)
    check_collaborators(("ann", "Bob.C@example.org"))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_words_come_back_as_they_were_kept(words: list[str]) -> None:
    assert unpack(pack(tuple(words))) == tuple(words)


def test_only_what_is_given_changes() -> None:
    assert Changes().given() == Changes().columns() == {}
    assert Changes(name="x", tags=()).given() == {"name": "x", "tags": ()}
    assert Changes(name="x", tags=("a", "b")).columns() == {"name": "x", "tags": '["a", "b"]'}
