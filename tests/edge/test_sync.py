"""From the tables to the store: events in any order, lost ones, and stores that somebody wrote to."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.sync_world import ANNOTATION, DAY_MS, NOW_MS, World
from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.edge.entries import entry_bytes
from zarrlink.edge.sync import FULL
from zarrlink.errors import DamagedRow, SourceUnavailable
from zarrlink.links.model import Link, Uses
from zarrlink.links.token import KeyRing


@pytest.fixture
def world() -> World:
    return World()


# --- events ---


def test_a_new_link_gets_its_entry(world: World) -> None:
    made = world.add(1)
    assert world.sync().sync_links([made.id]) == frozenset()
    assert world.entry(made) == world.meant()[f"l:{made.id}"]
    assert (world.entry(made) or "").endswith(f"/{(world.entry(made) or '')[-11:]}")


def test_shorten_and_extend_change_the_entry(world: World) -> None:
    made = world.add(1)
    for expires_ms in (NOW_MS - 1, NOW_MS + 9, None):
        world.links.change(made.id, None, expires_ms=expires_ms)
        world.sync().sync_links([made.id])
        assert world.entry(made) == world.meant()[f"l:{made.id}"]


def test_a_revocation_is_confirmed_once_the_store_has_it(world: World) -> None:
    made = world.add(1)
    world.sync().sync_links([made.id])
    world.links.revoke(made.id, None, NOW_MS)
    world.now_ms += 5
    world.sync().sync_links([made.id])
    assert world.entry(made) == "-"
    assert world.links.get(made.id) == replace(made, revoked_ms=NOW_MS, edge_ms=NOW_MS + 5)


def test_a_revocation_that_the_store_does_not_take_is_not_confirmed(world: World) -> None:
    made = world.add(1)
    world.links.revoke(made.id, None, NOW_MS)

    def fail() -> None:
        raise SourceUnavailable("down")

    world.store.watch = fail
    with pytest.raises(SourceUnavailable):
        world.sync().sync_links([made.id])
    assert world.links.get(made.id) == replace(made, revoked_ms=NOW_MS)


def test_late_events_of_a_revoked_link_leave_it_revoked(world: World) -> None:
    made = world.add(1)
    world.links.revoke(made.id, None, NOW_MS)
    for _ in range(3):
        world.sync().sync_links([made.id, made.id])
        assert world.entry(made) == "-"


def test_a_row_that_was_cleaned_up_takes_its_entry_along(world: World) -> None:
    made, stays = world.add(1), world.add(2)
    world.sync().sync_links([made.id, stays.id])
    world.links.drop(made.id)
    world.sync().sync_links([made.id])
    assert world.entry(made) is None
    assert world.entry(stays) is not None


def test_a_replaced_dataset_moves_all_its_links_and_no_others(world: World) -> None:
    elsewhere = world.catalogue.register("other", "/data/other", 7)
    made = [world.add(number) for number in range(4)]
    other = world.add(9, view=replace(made[0].view, dataset=elsewhere.id))
    world.sync().reconcile()
    before = world.store.entries()
    world.catalogue.revise(world.dataset.id)
    assert world.sync().sync_sources({world.dataset.id}) == frozenset()
    assert world.store.entries() == world.meant()
    assert all(world.entry(one) != before[f"l:{one.id}"] for one in made)
    assert world.entry(other) == before[f"l:{other.id}"]


def test_an_annotation_that_was_imported_again_moves_its_links(world: World) -> None:
    plain, painted = world.add(0), world.add(1)
    world.sync().reconcile()
    before = world.store.entries()
    world.annotations.revise(replace(ANNOTATION, revision="second"), "first")
    world.sync().sync_sources([ANNOTATION.id])
    assert world.entry(plain) == before[f"l:{plain.id}"]
    assert world.entry(painted) not in (None, before[f"l:{painted.id}"])


def test_links_to_what_is_gone_are_left_to_the_origin(world: World) -> None:
    plain, painted, revoked = world.add(0), world.add(1), world.add(2)
    world.links.revoke(revoked.id, None, NOW_MS)
    world.sync().reconcile()
    world.annotations.remove(ANNOTATION.id)
    world.sync().sync_sources([ANNOTATION.id])
    assert world.entry(painted) is None
    assert world.entry(plain) is not None
    world.catalogue.remove(world.dataset.id)
    world.sync().sync_sources([world.dataset.id])
    assert world.entry(plain) is None
    assert world.entry(revoked) == "-"


def test_sources_without_links_need_nothing(world: World) -> None:
    world.store.watch = lambda: pytest.fail("nothing was to be written")
    assert world.sync().sync_sources([]) == frozenset()


# --- keys ---


def test_keys_of_the_ring_are_written_and_retired_ones_go(world: World) -> None:
    world.sync().sync_keys()
    assert world.store.entries() == world.meant()
    world.ring = KeyRing({"a": b"a" * 32, "b": b"b" * 32}, "b")
    world.sync().sync_keys()
    assert world.store.entries() == world.meant()
    assert world.store.entries()["k:"] == "ab"
    world.ring = KeyRing({"b": b"b" * 32}, "b")
    # The key, and the list of what there is.
    assert world.sync().reconcile().mended == 2
    assert world.store.entries() == world.meant()


def test_a_key_that_was_replaced_is_replaced(world: World) -> None:
    world.sync().sync_keys()
    world.ring = KeyRing({"a": b"n" * 32}, "a")
    world.sync().reconcile()
    assert world.store.entries() == world.meant()


# --- reconcile ---


def test_what_events_were_lost_for_is_mended(world: World) -> None:
    made = [world.add(number) for number in range(10)]
    assert world.sync().reconcile().mended == 12
    world.links.revoke(made[0].id, None, NOW_MS)
    world.links.change(made[1].id, None, expires_ms=None)
    world.links.drop(made[2].id)
    world.links.change(made[3].id, None, name="says nothing to the edge")
    assert world.sync().reconcile().mended == 3
    assert world.store.entries() == world.meant()
    found = world.links.get(made[0].id)
    assert found is not None
    assert found.edge_ms == NOW_MS


def test_a_store_that_is_right_is_left_alone(world: World) -> None:
    for number in range(10):
        world.add(number)
    world.sync().reconcile()
    writes: list[None] = []
    world.store.watch = lambda: writes.append(None)
    version = world.store._version
    found = world.sync().reconcile()
    assert (found.mended, found.left_out, found.damaged) == (0, 0, ())
    assert world.store._version == version


def test_a_store_that_somebody_tampered_with_is_mended(world: World) -> None:
    made = [world.add(number) for number in range(5)]
    world.links.revoke(made[0].id, None, NOW_MS)
    world.sync().reconcile()
    meant = world.store.entries()
    foreign = "l:0123456789abcdef"
    forged: dict[str, str | None] = {
        f"l:{made[0].id}": meant[f"l:{made[1].id}"],  # a revoked link brought back
        f"l:{made[1].id}": "-",  # one closed that is open
        f"l:{made[2].id}": None,
        f"l:{made[3].id}": meant[f"l:{made[4].id}"].replace("/", "/x"),
        foreign: meant[f"l:{made[4].id}"],
        "l:too-short": "- v/r",
        "something": "else",
        "k:a": "Zm9yZ2Vk",
        "k:z": "Zm9yZ2Vk",
    }
    world.store.change(list(forged), lambda keys, _: {key: forged[key] for key in keys})
    assert world.sync().reconcile().mended == len(forged)
    assert world.store.entries() == meant == world.meant()


def test_revocations_of_links_that_expired_anyway_are_cleared(world: World) -> None:
    made = world.add(1)
    world.links.revoke(made.id, None, NOW_MS)
    world.sync().reconcile()
    world.now_ms += 2 * DAY_MS
    world.sync().reconcile()
    assert world.entry(made) is None
    assert world.store.entries() == world.meant()


def test_an_expired_link_that_is_revoked_is_confirmed_all_the_same(world: World) -> None:
    made = world.add(1, expires_ms=NOW_MS - 1)
    world.links.revoke(made.id, None, NOW_MS)
    world.sync().reconcile()
    assert world.links.get(made.id) == replace(made, revoked_ms=NOW_MS, edge_ms=NOW_MS)


# --- rows that cannot be read ---


class Damage:
    """Rows that cannot be read, of whatever adapter."""

    def __init__(self, world: World, *ids: str) -> None:
        links: Any = world.links
        get, every = links.get, links.all

        def damaged_get(link_id: str) -> Link | None:
            if link_id in ids:
                raise DamagedRow("link", link_id)
            found: Link | None = get(link_id)
            return found

        links.get = damaged_get
        links.all = lambda: ((link_id, None if link_id in ids else link) for link_id, link in every())


def test_a_damaged_row_is_told_of_and_stops_no_other(world: World) -> None:
    made = [world.add(number) for number in range(3)]
    world.sync().reconcile()
    world.links.revoke(made[2].id, None, NOW_MS)
    Damage(world, made[1].id)
    assert world.sync().sync_links([one.id for one in made]) == {made[1].id}
    # Whether it was revoked cannot be told: the origin is asked.
    assert world.entry(made[1]) is None
    assert world.entry(made[2]) == "-"
    assert world.entry(made[0]) is not None
    found = world.sync().reconcile()
    assert found.damaged == (made[1].id,)


def test_an_id_that_no_link_can_have_is_told_of(world: World) -> None:
    made = world.add(1)
    world.links._links["../x"] = replace(made, id="../x")
    assert world.sync().sync_links(["../x", made.id]) == {"../x"}
    assert world.sync().reconcile().damaged == ("../x",)
    assert world.entry(made) is not None


def test_a_damaged_dataset_closes_its_own_links_alone_and_revokes_all_the_same(world: World) -> None:
    elsewhere = world.catalogue.register("other", "/data/other", 7)
    damaged, revoked, whole = world.add(0), world.add(2), world.add(4)
    whole = world.add(6, view=replace(whole.view, dataset=elsewhere.id))
    world.links.revoke(revoked.id, None, NOW_MS)
    catalogue: Any = world.catalogue
    get = catalogue.get

    def damaged_get(dataset_id: str) -> DatasetRecord | None:
        if dataset_id == world.dataset.id:
            raise DamagedRow("dataset", dataset_id)
        found: DatasetRecord | None = get(dataset_id)
        return found

    catalogue.get = damaged_get
    found = world.sync().reconcile()
    assert damaged.id in found.damaged
    assert revoked.id not in found.damaged
    assert (world.entry(damaged), world.entry(revoked)) == (None, "-")
    assert world.entry(whole) is not None


def test_a_table_that_is_not_there_is_a_failure(world: World) -> None:
    made = world.add(1)
    links: Any = world.links

    def fail(*_: object) -> Link:
        raise SourceUnavailable("DynamoDB get_item: ThrottlingException")

    links.get = fail
    with pytest.raises(SourceUnavailable):
        world.sync().sync_links([made.id])
    with pytest.raises(SourceUnavailable):
        world.sync().reconcile()


# --- room ---


def taken(world: World) -> float:
    assert world.store.room_bytes is not None
    return sum(entry_bytes(*entry) for entry in world.store.entries().items()) / world.store.room_bytes


def test_a_store_that_gets_full_keeps_what_is_used_and_what_is_revoked() -> None:
    world = World(room_bytes=4000)
    # Some 60 bytes each; the higher the number, the longer ago.
    made = [world.add(number, created_ms=NOW_MS - number * DAY_MS) for number in range(100)]
    for one in made[90:95]:
        world.links.revoke(one.id, None, NOW_MS)
    world.links.count({made[80].id: Uses(1, NOW_MS)})
    found = world.sync().reconcile()
    assert found.left_out > 0
    assert FULL - 0.02 < taken(world) <= FULL
    assert all(world.entry(one) == "-" for one in made[90:95])
    assert world.entry(made[80]) is not None
    kept = [number for number in range(100) if world.entry(made[number]) not in (None, "-")]
    assert kept == [*range(len(kept) - 1), 80]
    # It is the same the next time.
    assert (world.sync().reconcile().mended, world.sync().reconcile().left_out) == (0, found.left_out)


def test_expired_links_make_room_first() -> None:
    world = World(room_bytes=1000)
    old = [world.add(number, created_ms=NOW_MS - 90 * DAY_MS, expires_ms=None) for number in range(8)]
    ended = [world.add(number, created_ms=NOW_MS - DAY_MS, expires_ms=NOW_MS - 1) for number in range(8, 16)]
    found = world.sync().reconcile()
    assert all(world.entry(one) is not None for one in old)
    assert any(world.entry(one) is None for one in ended)
    # Nobody misses an entry of theirs.
    assert found.left_out == 0


def test_between_two_looks_only_links_in_use_come_into_a_full_store() -> None:
    world = World(room_bytes=4000)
    for number in range(100):
        world.add(number, created_ms=NOW_MS - DAY_MS)
    world.sync().reconcile()
    new, old = world.add(200, created_ms=NOW_MS), world.add(201, created_ms=NOW_MS - 30 * DAY_MS)
    # Just below the mark; one entry more is above it.
    world.store.change(["l:fill"], lambda _keys, _taken: {"l:fill": "x" * 60})
    world.sync().sync_links([new.id, old.id])
    assert world.entry(new) is not None
    assert world.entry(old) is None
    world.store.change(["l:fill"], lambda _keys, _taken: {"l:fill": "x" * 700})
    world.links.change(new.id, None, expires_ms=None)
    world.sync().sync_links([new.id])
    # Never what it was before: no entry at all.
    assert world.entry(new) is None
    world.links.revoke(new.id, None, NOW_MS)
    world.sync().sync_links([new.id])
    assert world.entry(new) == "-"


# --- any order ---


@pytest.mark.parametrize("is_reconcile", [False, True])
def test_what_was_read_before_a_revocation_is_not_written_after_it(world: World, is_reconcile: bool) -> None:
    made = world.add(1)

    def revoke_meanwhile() -> None:
        world.links.revoke(made.id, None, NOW_MS)
        world.sync().sync_links([made.id])
        assert world.entry(made) == "-"
        assert world.links._links[made.id].edge_ms == NOW_MS

    world.store.watch = world.check_confirmed_stay_closed
    world.links.interruptions = [revoke_meanwhile]
    if is_reconcile:
        world.sync().reconcile()
    else:
        world.sync().sync_links([made.id])
    assert world.entry(made) == "-"


Step = tuple[str, int]
STEPS = st.tuples(
    st.sampled_from(
        [
            "add",
            "revoke",
            "extend",
            "end",
            "clean",
            "event",
            "events",
            "reconcile",
            "replace",
            "re-import",
            "use",
            "hour",
        ]
    ),
    st.integers(0, 3),
)


def act(world: World, step: Step) -> None:
    """One thing that people, clean-up or an event do; events say which link, and never what became of it."""
    what, number = step
    link_id = world.link(number).id
    acts: dict[str, Callable[[], object]] = {
        "add": lambda: None if link_id in world.cleaned | world.links._links.keys() else world.add(number),
        "revoke": lambda: world.links.revoke(link_id, None, world.now_ms),
        "extend": lambda: world.links.change(link_id, None, expires_ms=None),
        "end": lambda: world.links.change(link_id, None, expires_ms=world.now_ms - 1),
        "event": lambda: world.sync().sync_links([link_id]),
        "events": lambda: world.sync().sync_links([world.link(other).id for other in range(number + 1)]),
        "reconcile": lambda: world.sync().reconcile(),
        "replace": lambda: world.catalogue.revise(world.dataset.id),
        "re-import": lambda: world.sync().sync_sources([ANNOTATION.id, world.dataset.id]),
        "use": lambda: world.links.count({link_id: Uses(1, world.now_ms)}),
        "hour": lambda: setattr(world, "now_ms", world.now_ms + DAY_MS // 4),
        "clean": lambda: world.clean_up(link_id),
    }
    acts[what]()


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=40), st.lists(STEPS, max_size=25), st.integers(0, 2**32))
def test_in_any_order_with_any_interruption_revoked_links_stay_closed(
    steps: list[Step], interruptions: list[Step], seed: int
) -> None:
    world = World()
    world.store.watch = world.check_confirmed_stay_closed
    chance = random.Random(seed)
    waiting = list(interruptions)

    def interrupt() -> None:
        # What happens while a row has been read and nothing has been written yet; and while that is done, and so on.
        while waiting and chance.random() < 0.7:
            act(world, waiting.pop())

    for number in range(4):
        world.add(number)
    for step in steps:
        world.links.interruptions = [interrupt] * 12
        act(world, step)
        world.check_confirmed_stay_closed()
    world.links.interruptions = []
    world.sync().reconcile()
    assert world.store.entries() == world.meant()
    world.check_confirmed_stay_closed()
    # Every revocation is confirmed in the end.
    assert all(row is not None and (row.revoked_ms is None) == (row.edge_ms is None) for _, row in world.links.all())
