"""Every voxel of every kind of layer, through the door, in both dialects, read by zarr-python."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders.door import Door, open_door
from builders.reading import expected_level, read_level
from builders.wkw_files import DTYPES, LayerFiles, dataset, noise, pyramid, ramp
from zarrlink.formats.wkw import BlockType
from zarrlink.geometry import BoundingBox, Mag
from zarrlink.links.service import LinkRequest


def assert_voxels(door: Door, name: str, volumes: dict[Mag, np.ndarray], top_left: tuple[int, int, int]) -> None:
    for number, level in enumerate(door.opened(name).layer.levels):
        start = tuple(corner // side for corner, side in zip(top_left, level.mag.xyz, strict=True))
        expected = expected_level(volumes[level.mag], start, level)
        for dialect in ("v2", "v3"):
            found = read_level(door, name, dialect, number)
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected, err_msg=f"{dialect} level {number}")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("block_type", list(BlockType))
def test_every_voxel_type_channel_count_and_compression(dtype: str, channels: int, block_type: BlockType) -> None:
    volume = noise((20, 17, 19), dtype, channels=channels, seed=3)
    layer = LayerFiles("a", {Mag(1, 1, 1): volume}, (5, 8, 3), block_type=block_type)

    assert_voxels(open_door(dataset(layer)), "a", dict(layer.volumes), (5, 8, 3))


@pytest.mark.parametrize("block_type", list(BlockType))
@pytest.mark.parametrize("side", [1, 2, 4, 16, 64])
def test_every_block_side(side: int, block_type: BlockType) -> None:
    volume = ramp((9, 7, 5), "uint16")
    layer = LayerFiles("a", {Mag(1, 1, 1): volume}, (3, 2, 1), block_side=side, file_side=4, block_type=block_type)

    assert_voxels(open_door(dataset(layer)), "a", dict(layer.volumes), (3, 2, 1))


def test_blocks_above_four_mebibytes_are_cut() -> None:
    volume = ramp((150, 140, 133), "uint32")
    layer = LayerFiles("a", {Mag(1, 1, 1): volume}, (100, 30, 120), block_side=128, file_side=2)
    door = open_door(dataset(layer))

    assert door.opened("a").layer.levels[0].chunk == (128, 128, 64)
    assert_voxels(door, "a", dict(layer.volumes), (100, 30, 120))


@given(
    corner=st.tuples(*[st.integers(0, 40)] * 3),
    size=st.tuples(*[st.integers(1, 30)] * 3),
    box_corner=st.tuples(*[st.integers(-5, 60)] * 3),
    box_size=st.tuples(*[st.integers(1, 40)] * 3),
    mags=st.sampled_from([(Mag(1, 1, 1),), (Mag(1, 1, 1), Mag(2, 2, 1)), (Mag(2, 2, 1), Mag(6, 4, 3))]),
    compressed=st.booleans(),
    channels=st.sampled_from([1, 2]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_box_of_any_layer(corner, size, box_corner, box_size, mags, compressed, channels) -> None:
    """Whatever the box of the link cuts, inside is what is stored, outside is zero."""
    block_type = BlockType.LZ4 if compressed else BlockType.RAW
    volumes = pyramid(ramp(size, channels=channels), mags, corner)
    box = BoundingBox(corner, size)
    layer = LayerFiles("a", volumes, corner, box, block_side=4, file_side=2, block_type=block_type)
    wish = LinkRequest(box=BoundingBox(box_corner, box_size))
    if box.intersection(wish.box) is None:
        return
    door = open_door(dataset(layer))
    door.make_link(wish)

    assert_voxels(door, "a", volumes, corner)


def test_a_box_cut_inside_blocks_never_leaks_what_lies_outside() -> None:
    volume = ramp((32, 32, 32))
    layer = LayerFiles("a", {Mag(1, 1, 1): volume}, block_side=8)
    door = open_door(dataset(layer), wish=LinkRequest(box=BoundingBox((3, 3, 3), (6, 6, 6))))

    for dialect in ("v2", "v3"):
        found = read_level(door, "a", dialect)
        assert found.shape == (9, 9, 9)
        outside = found.copy()
        outside[3:, 3:, 3:] = 0
        assert not outside.any()
        reply = door.get(f"{dialect}/a.zarr/0/{'c/' if dialect == 'v3' else ''}0/0/0")
        # Not merely beyond the shape: the bytes themselves hold nothing of the outside.
        assert volume[0, 0, :8].tobytes() not in reply.body


def test_a_stream_as_long_as_its_block_is_not_taken_for_a_raw_copy() -> None:
    """Blosc would read such a stream as raw bytes; so that block is decoded and sent as a raw copy."""
    from zarrlink.formats.lz4_block import encode_lz4

    random = np.random.default_rng(5)
    block = None
    for repeats in range(1, 400):
        candidate = random.integers(0, 256, 512, np.uint8)
        candidate[:repeats] = 7
        if len(encode_lz4(candidate.tobytes(), high=False)) == 512:
            block = candidate
            break
    assert block is not None, "no block of that kind was found"
    volume = block.reshape(8, 8, 8)
    layer = LayerFiles("a", {Mag(1, 1, 1): volume}, block_side=8, file_side=1)

    assert_voxels(open_door(dataset(layer)), "a", dict(layer.volumes), (0, 0, 0))


def test_one_landmark_lies_at_one_physical_place_in_every_level() -> None:
    """A cube marked in a volume with an odd corner has the same physical extent in every level and dialect."""
    mags = (Mag(1, 1, 1), Mag(2, 2, 1), Mag(4, 4, 2))
    corner, size = (200, 300, 40), (150, 90, 50)
    volume = np.zeros(size[::-1], np.uint8)
    # Mag-1 voxels 248..263, 340..355, 60..67: whole voxels of every mag.
    volume[60 - 40 : 68 - 40, 340 - 300 : 356 - 300, 248 - 200 : 264 - 200] = 255
    volumes = pyramid(volume, mags, corner)
    layer = LayerFiles("em", volumes, corner, BoundingBox(corner, size), block_side=32, file_side=2)
    door = open_door(dataset(layer))
    import json

    for dialect, document in (("v2", ".zattrs"), ("v3", "zarr.json")):
        attributes = json.loads(door.get(f"{dialect}/em.zarr/{document}").body)
        multiscale = (
            attributes["multiscales"][0] if dialect == "v2" else attributes["attributes"]["ome"]["multiscales"][0]
        )
        scales = []
        for number, entry in enumerate(multiscale["datasets"]):
            scale, translation = (part[part["type"]] for part in entry["coordinateTransformations"])
            scales.append(scale)
            found = np.argwhere(read_level(door, "em", dialect, number) == 255)
            low = (found.min(axis=0) - 0.5) * scale + translation
            high = (found.max(axis=0) + 0.5) * scale + translation
            voxel = np.array([25.0, 8.0, 8.0])
            np.testing.assert_allclose(low, (np.array([60, 340, 248]) - 0.5) * voxel)
            np.testing.assert_allclose(high, (np.array([68, 356, 264]) - 0.5) * voxel)
        # What napari derives its level factors from.
        np.testing.assert_array_equal(np.array(scales[1]) / scales[0], [1, 2, 2])
        np.testing.assert_array_equal(np.array(scales[2]) / scales[0], [2, 4, 4])
