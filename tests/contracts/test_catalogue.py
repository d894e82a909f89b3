"""The adapters of `Catalogue`."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.catalogue import CatalogueContract
from zarrlink.catalogue.interface import Catalogue
from zarrlink.catalogue.memory import MemoryCatalogue
from zarrlink.catalogue.sqlite import SqliteCatalogue
from zarrlink.sqlite_file import SqliteFile


class TestMemoryCatalogue(CatalogueContract):
    @pytest.fixture
    def catalogue(self) -> Catalogue:
        return MemoryCatalogue()


class TestSqliteCatalogue(CatalogueContract):
    @pytest.fixture
    def catalogue(self, tmp_path: Path) -> Catalogue:
        return SqliteCatalogue(SqliteFile(tmp_path / "state.sqlite"))
