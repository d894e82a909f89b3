"""The same box, the same bytes: whatever was encoded before, and in whichever thread."""

from __future__ import annotations

import zlib
from pathlib import Path

import deflate
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.export_runs import ArrayVolume, export, make_spec, random_voxels
from zarrlink.exports.encoder import TileEncoder, compressor
from zarrlink.exports.request import Compression
from zarrlink.geometry import BoundingBox


@pytest.mark.parametrize("compression", ["deflate", "zstd"])
def test_exported_again_and_again(tmp_path: Path, compression: Compression) -> None:
    voxels = random_voxels((1, 20, 700, 900), "uint8")
    spec = make_spec(BoundingBox((0, 0, 0), (900, 700, 20)), compression=compression)
    files = []
    for number in range(5):
        export(spec, ArrayVolume(voxels), tmp_path / f"{number}.ome.tif")
        files.append((tmp_path / f"{number}.ome.tif").read_bytes())
    assert files.count(files[0]) == len(files)


@given(
    st.one_of(
        st.binary(max_size=5000),
        st.builds(lambda part, times: part * times, st.binary(max_size=40), st.integers(0, 900)),
    )
)
def test_a_stream_unpacks_to_what_was_packed(data: bytes) -> None:
    assert zlib.decompress(compressor("deflate")(data)) == data


def test_what_repeats_itself_is_searched_for_repetitions() -> None:
    """Noise is not, which would take twice the time for nothing; nothing becomes longer by it."""
    noise = random_voxels((1, 1, 512, 512), "uint8").tobytes()
    pattern = noise[-1000:] * 300
    pack = compressor("deflate")

    assert len(pack(pattern)) < len(pattern) / 50
    assert len(pack(noise)) <= len(deflate.zlib_compress(noise, 1)) * 1.001


def label_tile(seed: int, dtype: str, stride: int) -> np.ndarray:
    """Cells about random points, on some of the picture, and blank rows every `stride`, of shape (512, 512)."""
    random = np.random.default_rng(seed)
    points = random.integers(0, 512, (random.integers(1, 40), 2))
    ids = random.integers(1, np.iinfo(dtype).max, len(points), dtype, endpoint=True)
    near = np.full((512, 512), np.iinfo(np.int64).max)
    tile = np.zeros((512, 512), dtype)
    y, x = np.mgrid[:512, :512]
    for (at_y, at_x), number in zip(points, ids, strict=True):
        distance = (y - at_y) ** 2 + (x - at_x) ** 2
        tile[distance < near] = number
        near = np.minimum(near, distance)
    tile[near > random.choice([5, 20, 80, 1000]) ** 2] = 0
    for row in range(0, 512, stride):
        tile[row : row + 4] = 0
    return tile


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 2**32),
    st.sampled_from(["uint8", "uint16", "uint32"]),
    st.sampled_from([8, 32, 64, 128, 512]),
    st.booleans(),
)
def test_labels_with_blank_regions_are_not_packed_as_noise(seed: int, dtype: str, stride: int, predictor: bool) -> None:
    tile = label_tile(seed, dtype, stride)[..., None]
    encoded = TileEncoder(512, 1, tile.dtype, "deflate", predictor=predictor).encode(tile)
    if predictor:
        tile[:, 1:] -= tile[:, :-1].copy()
    assert len(encoded) <= 2 * len(deflate.zlib_compress(tile.tobytes(), 1))


@pytest.mark.parametrize("predictor", [True, False])
def test_labels_that_are_blank_where_a_few_rows_are_looked_at(predictor: bool) -> None:
    tile = label_tile(1, "uint32", 128)[..., None]
    encoded = TileEncoder(512, 1, tile.dtype, "deflate", predictor=predictor).encode(tile)
    if predictor:
        tile[:, 1:] -= tile[:, :-1].copy()
    assert len(encoded) <= 1.01 * len(deflate.zlib_compress(tile.tobytes(), 1))


def test_rows_that_are_all_the_same_are_searched() -> None:
    """Each by itself looks like noise."""
    tile = np.tile(random_voxels((1, 1, 1, 512), "uint8")[0, 0], (512, 1))[..., None]
    assert len(TileEncoder(512, 1, tile.dtype, "deflate", predictor=True).encode(tile)) < tile.size / 50
