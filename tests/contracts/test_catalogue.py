"""The adapters of `Catalogue`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.state_files import state_file
from contracts.catalogue import CatalogueContract
from zarrlink.catalogue.interface import Catalogue
from zarrlink.catalogue.memory import MemoryCatalogue
from zarrlink.catalogue.sqlite import SqliteCatalogue


class TestMemoryCatalogue(CatalogueContract):
    @pytest.fixture
    def catalogue(self) -> Catalogue:
        return MemoryCatalogue()


class TestSqliteCatalogue(CatalogueContract):
    @pytest.fixture
    def catalogue(self, tmp_path: Path) -> Iterator[Catalogue]:
        with state_file(tmp_path / "state.sqlite") as file:
            yield SqliteCatalogue(file)
