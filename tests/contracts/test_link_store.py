"""The adapters of `LinkStore`."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.link_store import LinkStoreContract
from zarrlink.links.interface import LinkStore
from zarrlink.links.memory import MemoryLinks
from zarrlink.links.sqlite import SqliteLinks
from zarrlink.sqlite_file import SqliteFile


class TestMemoryLinks(LinkStoreContract):
    @pytest.fixture
    def store(self) -> LinkStore:
        return MemoryLinks()


class TestSqliteLinks(LinkStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> LinkStore:
        return SqliteLinks(SqliteFile(tmp_path / "state.sqlite"))
