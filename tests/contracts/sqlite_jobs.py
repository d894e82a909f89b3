"""What several processes do to one state file at the same time. Here, since spawned processes import it by name."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from builders.processes import meet
from builders.state_files import state_file
from contracts.link_store import link
from zarrlink.links.sqlite import SqliteLinks

ROUNDS = 50
SHARED = 10**6
CONTESTED = 2 * 10**6
CONTESTED_LINKS = 25


def own_number(worker: int, number: int) -> int:
    """The number of a link that this worker alone touches."""
    return worker * 1000 + number


def mixed_work(path: Path, worker: int) -> tuple[int, int]:
    """250 changes: in each of 50 rounds a link is made, extended and renamed, every other one is revoked, one field of
    the shared link is changed, and now and then a contested link is made or revoked.

    How many contested links this worker could make, and how many revoke.
    """
    with state_file(path) as file:
        return _changes(SqliteLinks(file), worker)


def _changes(links: SqliteLinks, worker: int) -> tuple[int, int]:
    made = revoked = 0
    for number in range(ROUNDS):
        own = link(own_number(worker, number))
        links.add(own)
        links.change(own.id, "anna", expires_ms=own_number(worker, number))
        links.change(own.id, "anna", name=f"renamed by {worker}")
        shared = link(SHARED).id
        # Each worker changes another field: a read and a write in two steps would lose one of them.
        match worker:
            case 0:
                links.change(shared, None, name=f"name {number}")
            case 1:
                links.change(shared, None, note=f"note {number}")
            case _:
                links.change(shared, None, expires_ms=number)
        if number % 2:
            links.revoke(own.id, "anna", number)
        else:
            contested = link(CONTESTED + number // 2, owner=f"worker {worker}")
            try:
                links.add(contested)
                made += 1
            except ValueError:
                pass
            revoked += links.revoke(contested.id, None, worker)
    return made, revoked


def open_and_register(paths: list[Path], worker: int) -> list[str]:
    """Open state files that are not there yet at the same moment as the others, and leave a trace in each.

    What went wrong, with the number of the file.
    """
    troubles = []
    for number, path in enumerate(paths):
        meet()
        try:
            with state_file(path) as file:
                SqliteLinks(file).add(link(worker))
        except (ValueError, sqlite3.Error) as error:
            troubles.append(f"{number}: {error}")
    return troubles
