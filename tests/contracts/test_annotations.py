"""The adapters of `Annotations`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.spoilt_rows import Spoil, in_file
from builders.state_files import older_state_file, state_file
from contracts.annotations import CELLS, AnnotationsContract
from contracts.damaged_rows import DamagedAnnotationsContract
from zarrlink.catalogue.annotations import Annotations
from zarrlink.catalogue.annotations_memory import MemoryAnnotations
from zarrlink.catalogue.annotations_sqlite import SqliteAnnotations
from zarrlink.sqlite_file import SqliteFile


class TestMemoryAnnotations(AnnotationsContract):
    @pytest.fixture
    def annotations(self) -> Annotations:
        return MemoryAnnotations()


class TestSqliteAnnotations(AnnotationsContract, DamagedAnnotationsContract):
    @pytest.fixture
    def file(self, tmp_path: Path) -> Iterator[SqliteFile]:
        with state_file(tmp_path / "state.sqlite") as file:
            yield file

    @pytest.fixture
    def annotations(self, file: SqliteFile) -> Annotations:
        return SqliteAnnotations(file)

    @pytest.fixture
    def spoil(self, file: SqliteFile) -> Spoil:
        return in_file(file, "annotations")


def test_a_state_file_from_before_annotations_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    older_state_file(path, 1)
    file = SqliteFile(path)
    try:
        assert SqliteAnnotations(file).add(CELLS)
    finally:
        file.close()
