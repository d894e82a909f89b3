"""Which folders are found to be datasets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builders.foreign_arrays import numbered, ome_attributes, write_n5, write_precomputed, write_zarr2
from zarrlink.formats.datasource import FILE_NAME
from zarrlink.storage.reach import Reach
from zarrlink_local.scan import dataset_folders

DATA = numbered((4, 4, 4))


def found(top: Path) -> list[str]:
    return [folder.relative_to(top).as_posix() for folder in dataset_folders(top, pytest.fail, Reach())]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "wk/color").mkdir(parents=True)
    (tmp_path / "wk" / FILE_NAME).write_text("{}")
    write_zarr2(tmp_path / "wk/color/1", DATA, (4, 4, 4))
    write_zarr2(tmp_path / "deep/em.zarr/0", DATA, (4, 4, 4))
    (tmp_path / "deep/em.zarr/.zattrs").write_text(json.dumps(ome_attributes("zyx", {"0": [1, 1, 1]})))
    write_n5(tmp_path / "em.n5/s0", DATA, (4, 4, 4))
    write_precomputed(tmp_path / "seg", {"1": DATA[..., None]})
    write_zarr2(tmp_path / "single.zarr", DATA, (4, 4, 4))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/info").write_text("nothing to see here")
    return tmp_path


def test_below_a_tree_groups_are_found_and_not_entered(tree: Path) -> None:
    assert found(tree) == ["deep/em.zarr", "em.n5", "seg", "wk"]


@pytest.mark.parametrize("name", ["single.zarr", "em.n5/s0", "deep/em.zarr", "deep/em.zarr/0", "seg"])
def test_a_folder_that_is_named_may_be_a_single_array(tree: Path, name: str) -> None:
    assert found(tree / name) == ["."]


def test_a_document_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/zarr.json").symlink_to("zarr.json")
    told: list[str] = []
    assert not list(dataset_folders(tmp_path, told.append, Reach()))
    assert len(told) == 1
    assert "zarr.json" in told[0]
