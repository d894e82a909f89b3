"""What every `LinkStore` keeps to."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zarrlink.geometry import BoundingBox, Mag
from zarrlink.links.interface import LinkStore
from zarrlink.links.model import MAX_TIME_MS, Link, Uses
from zarrlink.view import View

DATASET = "65a1f0c2b3d4e5f607182930"
PLAIN = View(DATASET, ("em",))
LIMITED = View(DATASET, ("em", "seg"), BoundingBox((1, 2, 3), (4, 5, 6)), Mag(2, 2, 1))
CREATED_MS = 1_790_000_000_000


def link(number: int = 0, **changed: Any) -> Link:
    """A link whose id tells its number."""
    facts: dict[str, Any] = {
        "id": f"link-{number:011d}",
        "owner": "anna",
        "view": PLAIN,
        "geometry": {"em": "fingerprint"},
        "name": "for the paper",
        "note": "",
        "created_ms": CREATED_MS + number,
        "expires_ms": CREATED_MS + 10**9,
    }
    return Link(**{**facts, **changed})


class LinkStoreContract(ABC):
    """Inherit it, and give a `store` fixture."""

    @pytest.fixture
    @abstractmethod
    def store(self) -> LinkStore:
        """An empty store."""

    @pytest.mark.parametrize(
        "changed",
        [
            {},
            {"view": LIMITED, "geometry": {"seg": "b", "em": "a"}},
            {"expires_ms": None},
            {"expires_ms": 0},
            {"expires_ms": MAX_TIME_MS},
            {"revoked_ms": CREATED_MS},
            {"uses": 3, "last_used_ms": CREATED_MS},
            {"revoked_ms": CREATED_MS, "edge_ms": CREATED_MS + 1},
            {"name": "", "note": ""},
            {"name": 'it\'s "quoted"; DROP TABLE links --', "note": "two\nlines\tand \u00e9\u4e2d\U0001f9e0"},
            {"owner": "o'neil@example.org"},
        ],
        ids=str,
    )
    def test_a_link_comes_back_as_it_was_added(self, store: LinkStore, changed: dict[str, Any]) -> None:
        store.add(link(1, **changed))
        found = store.get(link(1).id)
        assert found == link(1, **changed)
        assert found is not None
        assert found.view.id == link(1, **changed).view.id

    def test_links_of_an_owner_are_told_by_their_ids_until_they_are_revoked(self, store: LinkStore) -> None:
        for number, owner in enumerate(("anna", "ben", "anna", "anna")):
            store.add(link(number, owner=owner, expires_ms=0 if number == 2 else None))
        store.revoke(link(3).id, None, 7)
        assert sorted(store.ids_of("anna")) == [link(0).id, link(2).id]
        assert store.ids_of("ben") == [link(1).id]
        assert store.ids_of("") == store.ids_of("link") == []

    def test_any_words_come_back(self, store: LinkStore) -> None:
        store.add(link(1))
        printable = st.text(st.characters(exclude_categories=["Cs", "Cc"]))

        @given(name=printable, note=st.text(st.characters(exclude_categories=["Cs"])))
        def words_come_back(name: str, note: str) -> None:
            assert store.change(link(1).id, None, name=name, note=note) == link(1, name=name, note=note)
            assert store.get(link(1).id) == link(1, name=name, note=note)

        words_come_back()

    def test_an_unknown_link_is_none(self, store: LinkStore) -> None:
        store.add(link(1))
        assert store.get(link(2).id) is None
        assert store.get("") is None
        assert store.get(link(1).id.upper()) is None

    def test_an_id_is_taken_once(self, store: LinkStore) -> None:
        store.add(link(1))
        with pytest.raises(ValueError, match="taken"):
            store.add(link(1, owner="ben"))
        assert store.get(link(1).id) == link(1)

    def test_the_id_of_a_revoked_link_stays_taken(self, store: LinkStore) -> None:
        store.add(link(1))
        store.revoke(link(1).id, None, CREATED_MS)
        with pytest.raises(ValueError, match="taken"):
            store.add(link(1))

    # --- lists ---

    def test_an_owner_sees_links_newest_first(self, store: LinkStore) -> None:
        for number in (2, 0, 1):
            store.add(link(number))
        assert store.of_owner("anna") == [link(2), link(1), link(0)]

    def test_links_of_one_moment_have_an_order(self, store: LinkStore) -> None:
        for number in (2, 0, 1):
            store.add(link(number, created_ms=CREATED_MS))
        assert [found.id for found in store.of_owner("anna")] == [link(number).id for number in range(3)]

    def test_an_owner_sees_no_links_of_others(self, store: LinkStore) -> None:
        store.add(link(0))
        store.add(link(1, owner="ben"))
        assert store.of_owner("ben") == [link(1, owner="ben")]
        assert store.of_owner("Anna") == []
        assert store.of_owner("") == []

    def test_no_owner_means_all_of_them(self, store: LinkStore) -> None:
        store.add(link(0))
        store.add(link(1, owner="ben"))
        assert len(store.of_owner(None)) == 2

    def test_expired_links_are_listed_and_revoked_ones_are_not(self, store: LinkStore) -> None:
        store.add(link(0, expires_ms=0))
        store.add(link(1))
        store.revoke(link(1).id, "anna", CREATED_MS)
        assert store.of_owner("anna") == [link(0, expires_ms=0)]

    # --- changes ---

    @pytest.mark.parametrize(
        "change",
        [
            {"name": "new"},
            {"note": "new"},
            {"expires_ms": 7},
            {"expires_ms": None},
            {"name": "", "note": "", "expires_ms": 0},
            {},
        ],
        ids=str,
    )
    def test_a_change_changes_what_it_names_and_nothing_else(self, store: LinkStore, change: dict[str, Any]) -> None:
        store.add(link(1))
        store.add(link(2))
        assert store.change(link(1).id, "anna", **change) == replace(link(1), **change)
        assert store.get(link(1).id) == replace(link(1), **change)
        assert store.get(link(2).id) == link(2)

    def test_a_link_that_never_expires_can_be_given_an_end(self, store: LinkStore) -> None:
        store.add(link(1, expires_ms=None))
        store.change(link(1).id, "anna", expires_ms=5)
        assert store.get(link(1).id) == link(1, expires_ms=5)

    def test_an_expired_link_can_be_extended(self, store: LinkStore) -> None:
        store.add(link(1, expires_ms=0))
        assert store.change(link(1).id, "anna", expires_ms=MAX_TIME_MS) == link(1, expires_ms=MAX_TIME_MS)

    def test_links_of_others_cannot_be_changed(self, store: LinkStore) -> None:
        store.add(link(1))
        assert store.change(link(1).id, "ben", name="mine") is None
        assert store.get(link(1).id) == link(1)

    def test_no_owner_may_change_all_of_them(self, store: LinkStore) -> None:
        store.add(link(1))
        assert store.change(link(1).id, None, name="new") == link(1, name="new")

    def test_an_unknown_link_cannot_be_changed(self, store: LinkStore) -> None:
        assert store.change(link(1).id, None, name="new") is None
        assert store.get(link(1).id) is None

    # --- revocation ---

    def test_a_revoked_link_says_since_when(self, store: LinkStore) -> None:
        store.add(link(1))
        assert store.revoke(link(1).id, "anna", 77)
        assert store.get(link(1).id) == link(1, revoked_ms=77)

    def test_a_link_is_revoked_once(self, store: LinkStore) -> None:
        store.add(link(1))
        store.revoke(link(1).id, "anna", 77)
        assert not store.revoke(link(1).id, "anna", 78)
        assert store.get(link(1).id) == link(1, revoked_ms=77)

    def test_there_is_no_way_back_from_revocation(self, store: LinkStore) -> None:
        store.add(link(1))
        store.revoke(link(1).id, "anna", 77)
        assert store.change(link(1).id, "anna", expires_ms=None, name="alive") is None
        assert store.get(link(1).id) == link(1, revoked_ms=77)

    def test_links_of_others_cannot_be_revoked(self, store: LinkStore) -> None:
        store.add(link(1))
        assert not store.revoke(link(1).id, "ben", 77)
        assert store.get(link(1).id) == link(1)

    def test_no_owner_may_revoke_all_of_them(self, store: LinkStore) -> None:
        store.add(link(1))
        assert store.revoke(link(1).id, None, 77)
        assert store.get(link(1).id) == link(1, revoked_ms=77)

    def test_an_unknown_link_cannot_be_revoked(self, store: LinkStore) -> None:
        assert not store.revoke(link(1).id, None, 77)

    # --- use ---

    def test_uses_add_up(self, store: LinkStore) -> None:
        for number in range(3):
            store.add(link(number))
        store.count({link(0).id: Uses(2, 50), link(1).id: Uses(1, 60)})
        store.count({link(0).id: Uses(3, 70)})
        assert store.get(link(0).id) == link(0, uses=5, last_used_ms=70)
        assert store.of_owner("anna") == [link(2), link(1, uses=1, last_used_ms=60), link(0, uses=5, last_used_ms=70)]

    def test_the_last_use_stays_the_last_whoever_tells_first(self, store: LinkStore) -> None:
        store.add(link(1))
        for last_ms in (70, 50, 70):
            store.count({link(1).id: Uses(1, last_ms)})
        assert store.get(link(1).id) == link(1, uses=3, last_used_ms=70)

    def test_an_expired_link_keeps_count(self, store: LinkStore) -> None:
        store.add(link(1, expires_ms=0))
        store.count({link(1).id: Uses(1, 5)})
        assert store.get(link(1).id) == link(1, expires_ms=0, uses=1, last_used_ms=5)

    def test_counting_makes_no_link(self, store: LinkStore) -> None:
        store.add(link(1))
        store.count({link(2).id: Uses(1, 5), link(1).id: Uses(1, 5)})
        assert store.get(link(2).id) is None
        assert store.of_owner(None) == [link(1, uses=1, last_used_ms=5)]

    def test_counting_leaves_a_revoked_link_as_it_is(self, store: LinkStore) -> None:
        store.add(link(1))
        store.revoke(link(1).id, None, 77)
        store.count({link(1).id: Uses(1, 5)})
        assert store.get(link(1).id) == link(1, revoked_ms=77)

    def test_a_change_keeps_the_count_and_counting_keeps_the_change(self, store: LinkStore) -> None:
        store.add(link(1))
        store.count({link(1).id: Uses(1, 5)})
        used = link(1, name="new", uses=1, last_used_ms=5)
        assert store.change(link(1).id, None, name="new") == used
        store.count({link(1).id: Uses(1, 6)})
        assert store.revoke(link(1).id, None, 77)
        assert store.get(link(1).id) == replace(used, uses=2, last_used_ms=6, revoked_ms=77)

    def test_nothing_to_count_is_fine(self, store: LinkStore) -> None:
        store.count({})

    def test_a_link_that_was_given_out_does_not_change_any_more(self, store: LinkStore) -> None:
        store.add(link(1))
        before = store.get(link(1).id)
        store.change(link(1).id, None, name="new")
        assert before == link(1)

    def test_what_a_reader_does_to_a_link_does_not_reach_the_store(self, store: LinkStore) -> None:
        # A geometry of its own: a store that shares it would spoil other tests.
        wanted = link(1, geometry={"em": "of this test alone"})
        store.add(wanted)
        found = store.get(wanted.id)
        assert found is not None
        with contextlib.suppress(TypeError):  # one that cannot be written to is just as good
            found.geometry["em"] = "another"
        again = store.get(wanted.id)
        assert again is not None
        assert again.geometry == {"em": "of this test alone"}

    # --- what the edge is told ---

    def test_all_links_are_listed_revoked_and_expired_ones_as_well(self, store: LinkStore) -> None:
        made = [link(0, expires_ms=0), link(1, owner="ben"), link(2, revoked_ms=7), link(3, revoked_ms=7, edge_ms=8)]
        for one in made:
            store.add(one)
        assert dict(store.all()) == {one.id: one for one in made}

    def test_of_no_links_all_are_none(self, store: LinkStore) -> None:
        assert list(store.all()) == []

    def test_a_revocation_is_confirmed_once(self, store: LinkStore) -> None:
        store.add(link(1))
        store.revoke(link(1).id, None, 7)
        assert store.confirm_revoked(link(1).id, 8)
        assert not store.confirm_revoked(link(1).id, 9)
        assert store.get(link(1).id) == link(1, revoked_ms=7, edge_ms=8)

    def test_only_a_revocation_is_confirmed(self, store: LinkStore) -> None:
        store.add(link(1))
        assert not store.confirm_revoked(link(1).id, 8)
        assert not store.confirm_revoked(link(2).id, 8)
        assert store.get(link(1).id) == link(1)
        assert store.get(link(2).id) is None
