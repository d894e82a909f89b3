"""The adapters of `LinkStore`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.state_files import state_file
from contracts.link_store import LinkStoreContract
from zarrlink.links.interface import LinkStore
from zarrlink.links.memory import MemoryLinks
from zarrlink.links.sqlite import SqliteLinks


class TestMemoryLinks(LinkStoreContract):
    @pytest.fixture
    def store(self) -> LinkStore:
        return MemoryLinks()


class TestSqliteLinks(LinkStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[LinkStore]:
        with state_file(tmp_path / "state.sqlite") as file:
            yield SqliteLinks(file)
