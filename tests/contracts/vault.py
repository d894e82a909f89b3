"""What every `Vault` keeps to, and the shelf over it."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import pytest

from builders.annotation_zips import Volume, annotation_zip, voxels, wkw_data, zip_of
from zarrlink.annotations.manifest import MANIFEST_KEY
from zarrlink.annotations.shelf import Shelf, Upload, Vault
from zarrlink.annotations.upload import ImportLimits
from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.catalogue.annotations_memory import MemoryAnnotations
from zarrlink.catalogue.memory import MemoryCatalogue
from zarrlink.errors import InvalidRequest

CELLS = "65a0c1f2e4b0a1b2c3d4e5f8"


def painted(seed: int = 1) -> bytes:
    return annotation_zip(Volume(data=zip_of(wkw_data({"1": {(1, 0, 0): voxels(seed)}}))))


class VaultContract(ABC):
    """Inherit it, and give a `vault` fixture and `remains`, which goes by another door."""

    @pytest.fixture
    @abstractmethod
    def vault(self) -> Vault:
        """Without anything in it."""

    @abstractmethod
    def remains(self) -> set[str]:
        """`ANNOTATION/REVISION/KEY` of all that lies there."""

    def write(self, vault: Vault, revision: str, annotation_id: str = CELLS) -> str:
        sink, location = vault.sink(annotation_id, revision)
        sink.write("volumes/0/1.blocks", [b"one"])
        sink.write(MANIFEST_KEY, [b"{}"])
        sink.finish()
        return location

    def revisions(self) -> set[str]:
        return {key.split("/")[1] for key in self.remains()}

    @pytest.fixture
    def shelf(self, vault: Vault) -> Shelf:
        return Shelf(MemoryAnnotations(), MemoryCatalogue(), vault, ImportLimits())

    @pytest.fixture
    def upload(self, tmp_path: Path) -> Any:
        return lambda data: Upload(io.BytesIO(data), "cells.zip", "ann", tmp_path)

    def test_each_revision_has_a_location_of_its_own(self, vault: Vault) -> None:
        one, two = self.write(vault, "r1"), self.write(vault, "r2")
        assert one.endswith(f"{CELLS}/r1")
        assert two.endswith(f"{CELLS}/r2")
        assert self.remains() == {f"{CELLS}/r{n}/{key}" for n in (1, 2) for key in ("volumes/0/1.blocks", MANIFEST_KEY)}

    def test_other_revisions_are_removed_and_no_other_annotation(self, vault: Vault) -> None:
        for revision in ("r1", "r2", "r22", "r3"):
            self.write(vault, revision)
        self.write(vault, "r1", CELLS[:-1] + "0")
        vault.keep_only(CELLS, ("r2", "r3"))
        assert {key.rsplit("/", 2)[0] for key in self.remains() if key.endswith(MANIFEST_KEY)} >= {CELLS}
        assert {key.partition("/volumes")[0] for key in self.remains() if "volumes" in key} == {
            f"{CELLS}/r2",
            f"{CELLS}/r3",
            f"{CELLS[:-1]}0/r1",
        }

    def test_what_another_import_is_writing_is_spared(self, vault: Vault) -> None:
        sink, _ = vault.sink(CELLS, "r3")
        sink.write("volumes/0/1.blocks", [b"one"])
        for revision in ("r1", "r2"):
            self.write(vault, revision)
        vault.keep_only(CELLS, ("r2",))
        sink.write(MANIFEST_KEY, [b"{}"])
        sink.finish()
        assert {key for key in self.remains() if "/r1/" not in key} == {
            f"{CELLS}/r{n}/{key}" for n in (2, 3) for key in ("volumes/0/1.blocks", MANIFEST_KEY)
        }

    def test_nothing_is_kept_of_an_annotation_that_is_removed(self, vault: Vault) -> None:
        self.write(vault, "r1")
        vault.keep_only(CELLS, ())
        vault.keep_only(CELLS, ())
        assert self.remains() == set()

    def test_a_discarded_revision_leaves_the_others(self, vault: Vault) -> None:
        for revision in ("r1", "r11"):
            self.write(vault, revision)
        vault.discard(CELLS, "r1")
        vault.discard(CELLS, "r1")
        assert self.revisions() == {"r11"}
        vault.discard(CELLS, "r11")
        assert self.remains() == set()

    def test_an_import_that_fails_leaves_nothing(self, shelf: Shelf, upload: Any) -> None:
        damaged = annotation_zip(Volume(data=zip_of({"1/z0/y0/x0.wkw": b"no WKW"})))
        with pytest.raises(InvalidRequest):
            shelf.add(upload(damaged), 1, lambda *_: None)
        assert self.remains() == set()

    def test_of_several_imports_for_one_id_the_first_is_the_annotation(self, shelf: Shelf, upload: Any) -> None:
        """As Lambda may deliver an event twice: the second neither makes another one nor harms the first."""
        first = shelf.add(upload(painted(1)), 1, lambda *_: None, annotation_id=CELLS)
        second = shelf.add(upload(painted(2)), 2, lambda *_: None, annotation_id=CELLS)
        assert second == first
        assert first.id == CELLS
        assert self.revisions() == {first.revision}
        assert shelf.annotations.all() == [first]

    def test_a_record_whose_answer_was_lost_is_ours(self, vault: Vault, upload: Any) -> None:
        """The client of a table sends such a write again, and is refused: by its own first one."""

        class Forgetful(MemoryAnnotations):
            def add(self, record: AnnotationRecord) -> bool:
                return super().add(record) and False

            def replace(self, record: AnnotationRecord, revision: str) -> bool:
                return super().replace(record, revision) and False

        shelf = Shelf(Forgetful(), MemoryCatalogue(), vault, ImportLimits())
        first = shelf.add(upload(painted(1)), 1, lambda *_: None)
        assert self.revisions() == {first.revision}
        second = shelf.revise(first, upload(painted(2)), 2, lambda *_: None)
        assert shelf.annotations.all() == [second]
        assert self.revisions() == {first.revision, second.revision}

    def test_a_failure_does_not_harm_what_another_import_wrote(self, shelf: Shelf, upload: Any) -> None:
        first = shelf.add(upload(painted()), 1, lambda *_: None, annotation_id=CELLS)
        with pytest.raises(InvalidRequest):
            shelf.add(upload(b"PK\3\4nonsense"), 1, lambda *_: None, annotation_id=CELLS)
        assert self.revisions() == {first.revision}

    def test_a_new_revision_keeps_the_one_before(self, shelf: Shelf, upload: Any) -> None:
        first = shelf.add(upload(painted(1)), 1, lambda *_: None)
        second = shelf.revise(first, upload(painted(2)), 2, lambda *_: None)
        third = shelf.revise(second, upload(painted(3)), 3, lambda *_: None)
        assert self.revisions() == {second.revision, third.revision}
        with pytest.raises(InvalidRequest, match="somebody else"):
            shelf.revise(first, upload(painted(4)), 4, lambda *_: None)
        assert self.revisions() == {second.revision, third.revision}
        assert shelf.remove(first.id)
        assert self.remains() == set()
