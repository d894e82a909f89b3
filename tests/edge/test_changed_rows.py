"""What of a state file has changed, and the store after it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from builders.state_files import state_file
from contracts.annotations import CELLS
from contracts.link_store import link
from zarrlink.catalogue.annotations_sqlite import SqliteAnnotations
from zarrlink.catalogue.changes import Changes
from zarrlink.catalogue.sqlite import SqliteCatalogue
from zarrlink.edge.changed_rows import ChangedRows
from zarrlink.edge.entries import key_entries
from zarrlink.edge.files import FileStore
from zarrlink.edge.sync import EdgeSync
from zarrlink.links.model import Uses
from zarrlink.links.sqlite import SqliteLinks
from zarrlink.links.token import KeyRing
from zarrlink.view import View

RING = KeyRing({"a": b"a" * 32}, "a")


def test_what_the_edge_is_told_of_counts_and_nothing_else(tmp_path: Path) -> None:
    with state_file(tmp_path / "state.sqlite") as file:
        links = SqliteLinks(file)
        changed = ChangedRows(file)
        for number in range(3):
            links.add(link(number))
        assert changed.links() == [link(number).id for number in range(3)]
        assert changed.links() == []
        links.count({link(0).id: Uses(1, 7)})
        links.change(link(0).id, None, name="new")
        assert changed.links() == []
        links.change(link(0).id, None, expires_ms=None)
        links.revoke(link(1).id, None, 7)
        assert changed.links() == [link(0).id, link(1).id]
        links.confirm_revoked(link(1).id, 8)
        assert changed.links() == []
        links.change(link(2).id, None, expires_ms=0)
        changed.links()
        links.forget("anna", 1)
        assert changed.links() == [link(2).id]


def test_sources_that_have_another_revision_count(tmp_path: Path) -> None:
    with state_file(tmp_path / "state.sqlite") as file:
        catalogue, annotations = SqliteCatalogue(file), SqliteAnnotations(file)
        changed = ChangedRows(file)
        dataset = catalogue.register("em", "/em", 7)
        annotations.add(CELLS)
        assert changed.sources() == sorted([dataset.id, CELLS.id])
        catalogue.change(dataset.id, Changes(name="new"))
        assert changed.sources() == []
        catalogue.revise(dataset.id)
        assert changed.sources() == [dataset.id]
        annotations.revise(replace(CELLS, revision="another"), CELLS.revision)
        assert changed.sources() == [CELLS.id]
        catalogue.remove(dataset.id)
        assert changed.sources() == [dataset.id]


def test_a_folder_follows_a_state_file_that_others_write_to(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    with state_file(path) as file, state_file(path) as others:
        catalogue, links, store = SqliteCatalogue(file), SqliteLinks(file), FileStore(tmp_path / "edge")
        dataset = catalogue.register("em", "/em", 7)
        sync = EdgeSync(links, catalogue, SqliteAnnotations(file), lambda: RING, store, lambda: 9)
        changed = ChangedRows(file)
        sync.reconcile()
        assert store.entries() == key_entries(RING)
        made = replace(link(1), view=View(dataset.id, ("em",)))
        SqliteLinks(others).add(made)
        sync.sync_links(changed.links())
        before = store.entries()[f"l:{made.id}"]
        SqliteCatalogue(others).revise(dataset.id)
        sync.sync_sources(changed.sources())
        assert store.entries()[f"l:{made.id}"] not in (None, before)
        SqliteLinks(others).revoke(made.id, None, 8)
        sync.sync_links(changed.links())
        assert store.entries()[f"l:{made.id}"] == "-"
        assert SqliteLinks(others).get(made.id) == replace(made, revoked_ms=8, edge_ms=9)
        assert sync.reconcile().mended == 0


@pytest.mark.parametrize("damage", ["UPDATE links SET view = '{'", "UPDATE links SET geometry = '[]'"])
def test_a_damaged_row_of_a_state_file_is_told_of(tmp_path: Path, damage: str) -> None:
    with state_file(tmp_path / "state.sqlite") as file:
        catalogue, links, store = SqliteCatalogue(file), SqliteLinks(file), FileStore(tmp_path / "edge")
        made = replace(link(1), view=View(catalogue.register("em", "/em", 7).id, ("em",)))
        links.add(made)
        sync = EdgeSync(links, catalogue, SqliteAnnotations(file), lambda: RING, store, lambda: 9)
        sync.reconcile()
        with file.write() as connection:
            connection.execute(damage)
        assert sync.reconcile().damaged == (made.id,)
        assert store.entries() == key_entries(RING)
        assert sync.sync_links([made.id]) == {made.id}
