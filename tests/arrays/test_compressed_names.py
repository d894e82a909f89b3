"""Chunks of Precomputed under names of their own, as CloudVolume writes them into folders: never fill value."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from builders.foreign_arrays import numbered, write_precomputed
from builders.foreign_layers import layer, opened, read
from zarrlink.arrays.compressed_names import ENDINGS
from zarrlink.errors import UnsupportedLayer

SHAPE = (20, 18, 10)
FORMAT = "neuroglancerPrecomputed"


@pytest.fixture(params=["raw", "compressed_segmentation"])
def volume(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    voxels = numbered((*SHAPE, 1), "uint32")
    write_precomputed(tmp_path / "em", {"8_8_8": voxels}, encoding=request.param, kind="segmentation")
    return tmp_path


def compress(chunk: Path, ending: str) -> None:
    chunk.with_name(chunk.name + ending).write_bytes(gzip.compress(chunk.read_bytes()))
    chunk.unlink()


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_volume_of_them_is_refused_when_it_is_opened(volume: Path, ending: str) -> None:
    for chunk in list((volume / "em/8_8_8").iterdir()):
        compress(chunk, ending)
    with pytest.raises(UnsupportedLayer, match=rf"mag 1: its chunks are compressed .* \*\{ending}, as CloudVolume"):
        opened(volume, layer(FORMAT, "uint32", folder="em/8_8_8"))


@pytest.mark.parametrize("ending", ENDINGS)
def test_one_among_others_is_refused_when_it_is_read(volume: Path, ending: str) -> None:
    compress(volume / "em/8_8_8/8-16_0-8_0-8", ending)
    volume_of = opened(volume, layer(FORMAT, "uint32", folder="em/8_8_8"))
    assert read(volume_of, (0, 0, 0), (8, 8, 8)).all()
    with pytest.raises(UnsupportedLayer, match="compress=False"):
        read(volume_of, (0, 0, 0), SHAPE)


def test_what_was_never_written_is_fill_value_still(volume: Path) -> None:
    (volume / "em/8_8_8/0-8_0-8_0-8").unlink()
    voxels = read(opened(volume, layer(FORMAT, "uint32", folder="em/8_8_8")), (0, 0, 0), (16, 8, 8))
    assert not voxels[..., :8].any()
    assert voxels[..., 8:].all()
