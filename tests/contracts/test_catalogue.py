"""The adapters of `Catalogue`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.spoilt_rows import Spoil, in_file
from builders.state_files import older_state_file, state_file
from contracts.annotations import CELLS
from contracts.catalogue import CatalogueContract
from contracts.damaged_rows import DamagedDatasetsContract
from zarrlink.catalogue.annotations_sqlite import SqliteAnnotations
from zarrlink.catalogue.changes import Changes
from zarrlink.catalogue.interface import Catalogue, DatasetRecord
from zarrlink.catalogue.memory import MemoryCatalogue
from zarrlink.catalogue.sqlite import SqliteCatalogue
from zarrlink.sqlite_file import SqliteFile
from zarrlink.users.interface import User
from zarrlink.users.sqlite import SqliteUsers

TEXTS = ("id", "name", "description", "owner", "dataset", "location", "revision", "source_id")


class TestMemoryCatalogue(CatalogueContract):
    @pytest.fixture
    def catalogue(self) -> Catalogue:
        return MemoryCatalogue()


class TestSqliteCatalogue(CatalogueContract, DamagedDatasetsContract):
    @pytest.fixture
    def file(self, tmp_path: Path) -> Iterator[SqliteFile]:
        with state_file(tmp_path / "state.sqlite") as file:
            yield file

    @pytest.fixture
    def catalogue(self, file: SqliteFile) -> Catalogue:
        return SqliteCatalogue(file)

    @pytest.fixture
    def spoil(self, file: SqliteFile) -> Spoil:
        return in_file(file, "datasets")


def test_a_state_file_from_before_descriptions_and_sharing_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    texts = ", ".join(f"'{getattr(CELLS, name)}'" for name in TEXTS)
    older_state_file(
        path,
        3,
        "INSERT INTO datasets VALUES ('1', 'em', '/data/em', 7)",
        "INSERT INTO users VALUES ('anna', 'hash', 7)",
        f"INSERT INTO annotations ({', '.join(TEXTS)}, created_ms, modified_ms) VALUES ({texts}, 7, 7)",
    )
    with state_file(path) as file:
        catalogue, annotations, users = SqliteCatalogue(file), SqliteAnnotations(file), SqliteUsers(file)
        assert catalogue.all() == [DatasetRecord("1", "em", "/data/em", 7)]
        assert annotations.all() == [CELLS]
        assert users.all() == [User("anna", 7)]
        assert catalogue.change("1", Changes(tags=("x",))) == DatasetRecord("1", "em", "/data/em", 7, tags=("x",))
        assert users.set_admin("anna", is_admin=True)


def test_datasets_of_an_older_state_file_are_at_their_first_revision(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    older_state_file(path, 4, "INSERT INTO datasets (id, name, location, created_ms) VALUES ('1', 'em', '/data/em', 7)")
    with state_file(path) as file:
        catalogue = SqliteCatalogue(file)
        assert catalogue.all() == [DatasetRecord("1", "em", "/data/em", 7)]
        assert catalogue.revise("1") == DatasetRecord("1", "em", "/data/em", 7, revision=2)
