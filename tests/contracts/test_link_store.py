"""The adapters of `LinkStore`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.spoilt_rows import Spoil, in_file
from builders.state_files import older_state_file, state_file
from contracts.damaged_rows import DamagedLinksContract
from contracts.link_store import LinkStoreContract, link
from zarrlink.links.interface import LinkStore
from zarrlink.links.memory import MemoryLinks
from zarrlink.links.model import Uses
from zarrlink.links.sqlite import SqliteLinks
from zarrlink.sqlite_file import SqliteFile


class TestMemoryLinks(LinkStoreContract):
    @pytest.fixture
    def store(self) -> LinkStore:
        return MemoryLinks()


class TestSqliteLinks(LinkStoreContract, DamagedLinksContract):
    @pytest.fixture
    def file(self, tmp_path: Path) -> Iterator[SqliteFile]:
        with state_file(tmp_path / "state.sqlite") as file:
            yield file

    @pytest.fixture
    def store(self, file: SqliteFile) -> LinkStore:
        return SqliteLinks(file)

    @pytest.fixture
    def spoil(self, file: SqliteFile) -> Spoil:
        return in_file(file, "links")


def test_links_of_an_older_state_file_were_not_counted_yet(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    columns = "id, owner, view, geometry, name, note, created_ms, expires_ms, revoked_ms"
    row = (link(1).id, "anna", link(1).view.to_json(), '{"em": "fingerprint"}', "for the paper", "")
    values = ", ".join([*(f"'{text}'" for text in row), f"{link(1).created_ms}, {link(1).expires_ms}, NULL"])
    older_state_file(path, 3, f"INSERT INTO links ({columns}) VALUES ({values})")
    with state_file(path) as file:
        store = SqliteLinks(file)
        assert store.get(link(1).id) == link(1)
        store.count({link(1).id: Uses(2, 7)})
        assert store.get(link(1).id) == link(1, uses=2, last_used_ms=7)
