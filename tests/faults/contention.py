"""Many writers of one table of links: what each of them does, to be run in processes and in threads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

from builders.processes import meet
from builders.state_files import state_file
from contracts.link_store import link
from zarrlink.links.interface import LinkStore
from zarrlink.links.model import Link, Uses
from zarrlink.links.sqlite import SqliteLinks

SHARED = 500_000
"""The first number of the links that all work on."""


@dataclass
class Done:
    """What one writer did and was told: the expiry that it set last on each link of its own, the shared links that it
    revoked, how often it counted each."""

    expiries: dict[int, int]
    revoked: list[int]
    counted: int


def work(links: LinkStore, worker: int, rounds: int, shared: int) -> Done:
    """Create, extend, revoke and count, mixed by chance; every link that is seen revoked must stay so."""
    random, done = Random(worker), Done({}, [], 0)
    seen_revoked: set[int] = set()
    for number in range(rounds):
        own = worker * 10_000 + number
        links.add(link(own))
        for again in range(2):
            expires_ms = own * 10 + again
            links.change(link(own).id, None, expires_ms=expires_ms)
            done.expiries[own] = expires_ms
        target = SHARED + random.randrange(shared)
        # As every request of a reader does.
        links.get(link(target).id)
        if number % 7 == 0 and links.revoke(link(target).id, None, worker + 1):
            done.revoked.append(target)
            seen_revoked.add(target)
        # Also on links that are revoked: neither brings one back.
        links.change(link(target).id, None, name=f"renamed by {worker}", expires_ms=10**14)
        links.count({link(SHARED - 1).id: Uses(1, number + 1), link(target).id: Uses(1, number + 1)})
        done.counted += 1
        for revoked in seen_revoked:
            found = links.get(link(revoked).id)
            if found is None or found.revoked_ms is None:
                raise AssertionError(f"link {revoked} came back")
    return done


def in_a_process(path: Path, worker: int, rounds: int, shared: int) -> Done:
    """`work` on a state file, once all the others are there."""
    with state_file(path) as file:
        meet()
        return work(SqliteLinks(file), worker, rounds, shared)


def prepare(links: LinkStore, shared: int) -> None:
    for number in range(-1, shared):
        links.add(link(SHARED + number))


def check(links: LinkStore, outcomes: list[Done], shared: int) -> None:
    """Hold what is there against what the writers were told. Raises AssertionError."""
    for done in outcomes:
        for own, expires_ms in done.expiries.items():
            found = links.get(link(own).id)
            assert found == link(own, expires_ms=expires_ms), own
    counted = _there(links, SHARED - 1)
    assert counted.uses == sum(done.counted for done in outcomes)
    revoked = [number for done in outcomes for number in done.revoked]
    # Nobody is told of a revocation that another has made.
    assert len(set(revoked)) == len(revoked)
    for number in range(SHARED, SHARED + shared):
        found = _there(links, number)
        assert (found.revoked_ms is not None) == (number in revoked), number
        assert found.revoked_ms in (
            None,
            *(worker + 1 for worker, done in enumerate(outcomes) if number in done.revoked),
        )


def _there(links: LinkStore, number: int) -> Link:
    found = links.get(link(number).id)
    assert found is not None, number
    return found
