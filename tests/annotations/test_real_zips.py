"""Real downloads, and ours, as the `webknossos` library reads them: voxel by voxel, node by node."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from builders.annotation_zips import REVERTED, TREE, Volume, annotation_zip, nml, voxels, wkw_data, zarr3_data, zip_of
from builders.imported import blocks_of, downloaded, imported
from builders.webknossos_library import (
    NOT_THERE,
    PYTHON,
    LibraryAnnotation,
    LibraryVolume,
    read_by_library,
    write_by_library,
)
from zarrlink.annotations.manifest import ITEM_BYTES, PackedVolume
from zarrlink.formats.block_pack import Kind
from zarrlink.geometry import Mag
from zarrlink.storage.memory import MemorySource

FOLDER = Path(__file__).parents[3] / "shared" / "testdata" / "annotations"
REAL = sorted(FOLDER.glob("*.zip"))
FORMS: tuple[Literal["wkw", "zarr3"], ...] = ("wkw", "zarr3")
needs_library = pytest.mark.skipif(not PYTHON.exists(), reason=NOT_THERE)
needs_files = pytest.mark.skipif(not REAL, reason=f"no real annotations: {FOLDER} is not there")
real_files = pytest.mark.parametrize("file", REAL or [FOLDER / "none.zip"], ids=lambda file: file.stem)


def assert_equal_blocks(source: MemorySource, volume: PackedVolume, library: LibraryVolume) -> int:
    """Every stored block of both, and no block of one alone; gives how many were compared."""
    found = {mag: blocks for mag, blocks in blocks_of(source, volume).items() if blocks}
    assert found.keys() == {mag for mag, blocks in library.mags.items() if blocks}
    compared = 0
    for mag, blocks in found.items():
        side = volume.block_side or 0
        assert blocks.keys() == library.mags[mag].keys()
        for position, expected in library.mags[mag].items():
            kind, data = blocks[position]
            if kind is Kind.ERASED:
                assert not expected.any()
            else:
                ours = np.frombuffer(data, expected.dtype).reshape((side,) * 3, order="F")
                assert np.array_equal(ours, expected)
                assert expected.dtype.itemsize == ITEM_BYTES[volume.element_class or ""]
            compared += 1
    return compared


def assert_same_annotation(ours: LibraryAnnotation, theirs: LibraryAnnotation) -> None:
    """All but voxels."""
    assert ours.skeleton == theirs.skeleton
    assert (ours.dataset_name, ours.voxel_size) == (theirs.dataset_name, theirs.voxel_size)
    assert ours.bounding_boxes == theirs.bounding_boxes
    for number, volume in theirs.volumes.items():
        same = ours.volumes[number]
        assert (same.name, same.fallback_layer) == (volume.name, volume.fallback_layer)
        assert same.largest_segment_id == volume.largest_segment_id


read_once = cache(read_by_library)


@needs_files
@needs_library
@real_files
def test_a_real_annotation_is_imported_as_the_library_reads_it(file: Path, tmp_path: Path) -> None:
    manifest, source = imported(file.read_bytes(), tmp_path)
    library = read_once(file)
    assert {volume.id for volume in manifest.volumes} == library.volumes.keys()
    compared = sum(assert_equal_blocks(source, volume, library.volumes[volume.id]) for volume in manifest.volumes)
    assert compared == {"bound": 0, "l4_sa": 186, "l4den": 145, "multi": 62}[file.stem[:5]]


@needs_files
@needs_library
@real_files
@pytest.mark.parametrize("form", FORMS)
def test_its_download_is_read_by_the_library_with_equal_voxels_and_skeletons(
    file: Path, form: Literal["wkw", "zarr3"], tmp_path: Path
) -> None:
    manifest, source = imported(file.read_bytes(), tmp_path)
    made, data = downloaded(manifest, source, form)
    (tmp_path / made.file_name).write_bytes(data)
    ours, theirs = read_by_library(tmp_path / made.file_name), read_once(file)

    assert_same_annotation(ours, theirs)
    for number, volume in theirs.volumes.items():
        for mag, blocks in volume.mags.items():
            # All-zero blocks say nothing where there is no fallback layer: they are left out, as WEBKNOSSOS does.
            kept = {at: block for at, block in blocks.items() if volume.fallback_layer is not None or block.any()}
            same = ours.volumes[number].mags[mag]
            assert same.keys() == kept.keys()
            assert all(np.array_equal(same[at], block) for at, block in kept.items())


@needs_files
@real_files
@pytest.mark.parametrize("form", FORMS)
def test_its_download_imports_again_to_the_same_packs(
    file: Path, form: Literal["wkw", "zarr3"], tmp_path: Path
) -> None:
    first = downloaded(*imported(file.read_bytes(), tmp_path), form)[1]
    manifest, source = imported(first, tmp_path)
    assert downloaded(manifest, source, form)[1] == first


@needs_library
@pytest.mark.parametrize(
    ("came_as", "form", "fallback_layer"),
    [
        ("wkw", "wkw", "segmentation"),
        ("wkw", "zarr3", "segmentation"),
        ("zarr3", "wkw", "segmentation"),
        ("wkw", "zarr3", None),
    ],
)
def test_erased_regions_stay_erased_over_a_fallback(
    came_as: str, form: Literal["wkw", "zarr3"], fallback_layer: str | None, tmp_path: Path
) -> None:
    zero = bytes(32**3 * 4)
    mags = {
        "1": {(0, 0, 0): voxels(1), (1, 2, 3): zero, (7, 0, 0): voxels(2), (2, 2, 2): REVERTED},
        "2-2-1": {(0, 0, 0): zero, (3, 0, 0): voxels(3)},
    }
    files = wkw_data(mags) if came_as == "wkw" else zarr3_data(mags)
    upload = annotation_zip(Volume(data=zip_of(files), format=came_as, fallback_layer=fallback_layer))
    made, data = downloaded(*imported(upload, tmp_path), form)
    (tmp_path / made.file_name).write_bytes(data)
    volume = read_by_library(tmp_path / made.file_name).volumes[0]
    expected = {
        Mag.parse(literal): {
            at: np.frombuffer(block, "<u4").reshape((32,) * 3, order="F")
            for at, block in blocks.items()
            if block != REVERTED and (fallback_layer is not None or any(block))
        }
        for literal, blocks in mags.items()
    }
    assert {mag: blocks.keys() for mag, blocks in volume.mags.items()} == {m: b.keys() for m, b in expected.items()}
    assert all(np.array_equal(volume.mags[mag][at], block) for mag, b in expected.items() for at, block in b.items())


@needs_library
@pytest.mark.parametrize("form", FORMS)
def test_the_library_reads_every_element_class(form: Literal["wkw", "zarr3"], tmp_path: Path) -> None:
    volumes = [
        Volume(n, name, f"data_{n}_{name}.zip", zip_of(wkw_data({"1": {(5, 0, n): voxels(n, name)}}, name)))
        for n, name in enumerate(("uint8", "uint16", "uint32", "uint64"))
    ]
    manifest, source = imported(annotation_zip(*volumes), tmp_path)
    made, data = downloaded(manifest, source, form)
    (tmp_path / made.file_name).write_bytes(data)
    library = read_by_library(tmp_path / made.file_name)
    for volume in manifest.volumes:
        assert assert_equal_blocks(source, volume, library.volumes[volume.id]) == 1


@needs_library
def test_what_the_library_saves_is_imported(tmp_path: Path) -> None:
    patch = np.arange(40 * 41 * 42).reshape(40, 41, 42).astype("u4") + 1
    write_by_library(tmp_path / "saved.zip", {(0, 0, 0): patch, (64, 32, 80): patch}, fallback_layer="segmentation")
    manifest, source = imported((tmp_path / "saved.zip").read_bytes(), tmp_path)
    library = read_by_library(tmp_path / "saved.zip")
    assert manifest.volumes[0].fallback_layer == "segmentation"
    assert assert_equal_blocks(source, manifest.volumes[0], library.volumes[0]) == 32


@needs_library
def test_a_skeleton_alone_is_read_by_the_library(tmp_path: Path) -> None:
    made, data = downloaded(*imported(nml(skeleton=TREE), tmp_path, name="mine"), "wkw")
    (tmp_path / made.file_name).write_bytes(data)
    library = read_by_library(tmp_path / made.file_name)
    assert [len(nodes) for nodes, _ in library.skeleton.values()] == [2]


@needs_library
def test_a_download_without_volume_data_is_read_by_the_library(tmp_path: Path) -> None:
    upload = annotation_zip(Volume(data=zip_of(wkw_data({"1": {(0, 0, 0): voxels(1)}}))))
    made, data = downloaded(*imported(upload, tmp_path), None)
    (tmp_path / made.file_name).write_bytes(data)
    library = read_by_library(tmp_path / made.file_name)
    assert [volume.has_data for volume in library.volumes.values()] == [False]
