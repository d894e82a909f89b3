"""Foreign arrays read as voxels: every box, every layout; damage and absence told apart."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.foreign_arrays import (
    BIG,
    BLOSC_V2,
    BLOSC_V3,
    LITTLE,
    numbered,
    write_n5,
    write_precomputed,
    write_zarr2,
    write_zarr3,
)
from builders.foreign_layers import layer, opened, read
from zarrlink.arrays.foreign import Stores, open_array
from zarrlink.arrays.stored import MAX_STORED_CHUNK_BYTES
from zarrlink.errors import CorruptFile, SourceChanged, SourceUnavailable, UnsupportedLayer
from zarrlink.formats.datasource import ExtraAxis
from zarrlink.storage.files import LocalFiles

SHARDING = {
    "@type": "neuroglancer_uint64_sharded_v1",
    "preshift_bits": 1,
    "hash": "identity",
    "minishard_bits": 1,
    "shard_bits": 1,
    "minishard_index_encoding": "gzip",
    "data_encoding": "gzip",
}
SHAPE = (11, 13, 9)  # (x, y, z)
END = SHAPE


def czyx(data: np.ndarray, order: str) -> np.ndarray:
    """An array whose axes are the letters of `order` as (c, z, y, x)."""
    if "c" not in order:
        data, order = data[None], "c" + order
    return np.ascontiguousarray(data.transpose([order.index(axis) for axis in "czyx"]))


# --- every layout ---

ZARR2 = {
    "raw": {},
    "f": {"order": "F"},
    "big": {"dtype": ">u2", "compressor": BLOSC_V2},
    "zlib": {"compressor": {"id": "zlib", "level": 1}},
    "gzip": {"compressor": {"id": "gzip", "level": 1}, "separator": "/"},
    "zstd": {"compressor": {"id": "zstd", "level": 1}},
    "bz2": {"compressor": {"id": "bz2", "level": 1}},
    "blosc": {"compressor": BLOSC_V2, "order": "F"},
}


@pytest.mark.parametrize("options", ZARR2.values(), ids=ZARR2)
@pytest.mark.parametrize("order", ["xyz", "zyx", "cxyz", "xyzc", "yczx"])
def test_zarr_v2_is_read_voxel_exact(tmp_path: Path, options, order: str) -> None:
    sides = {"x": 11, "y": 13, "z": 9, "c": 2}
    data = numbered(tuple(sides[axis] for axis in order), "uint16")
    write_zarr2(tmp_path / "a/1", data, tuple(4 for _ in order), **options)

    array = opened(tmp_path, layer("zarr", "uint16", order=order))

    assert (array.stored.shape, array.stored.dtype) == (SHAPE, "uint16")
    voxels = read(array, (0, 0, 0), END)
    assert voxels.dtype == np.dtype("<u2")
    np.testing.assert_array_equal(voxels, czyx(data, order))


ZARR3 = {
    "raw": {},
    "big": {"codecs": [BIG, {"name": "gzip", "configuration": {"level": 1}}]},
    "blosc": {"codecs": [LITTLE, BLOSC_V3]},
    "zstd": {"codecs": [LITTLE, {"name": "zstd", "configuration": {"level": 1, "checksum": False}}]},
    "crc32c": {"codecs": [LITTLE, {"name": "crc32c"}]},
    "transpose": {"codecs": [{"name": "transpose", "configuration": {"order": [3, 2, 1, 0]}}, LITTLE]},
    "sharded": {"shard": (2, 8, 8, 8), "codecs": [LITTLE, {"name": "zstd", "configuration": {"level": 1}}]},
    "index at start": {"shard": (2, 4, 8, 12), "index_location": "start"},
    "v2 keys": {"key_encoding": {"name": "v2", "configuration": {"separator": "."}}},
    "dots": {"key_encoding": {"name": "default", "configuration": {"separator": "."}}},
}


@pytest.mark.parametrize("options", ZARR3.values(), ids=ZARR3)
@pytest.mark.parametrize("dtype", ["uint16", "int64", "float32"])
def test_zarr_v3_is_read_voxel_exact(tmp_path: Path, options, dtype: str) -> None:
    data = numbered((2, *SHAPE), dtype)
    write_zarr3(tmp_path / "a/1", data, (1, 4, 4, 4), **options)

    array = opened(tmp_path, layer("zarr3", dtype))

    assert (array.stored.channels, array.stored.chunk) == (2, (4, 4, 4))
    np.testing.assert_array_equal(read(array, (0, 0, 0), END), czyx(data, "cxyz"))


@pytest.mark.parametrize(
    "compression",
    [
        {"type": "raw"},
        {"type": "gzip"},
        {"type": "gzip", "useZlib": True},
        {"type": "bzip2"},
        {"type": "xz"},
        {"type": "zstd"},
        {"type": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1},
    ],
    ids=str,
)
def test_n5_is_read_voxel_exact(tmp_path: Path, compression) -> None:
    data = numbered(SHAPE, "int16")
    write_n5(tmp_path / "a/1", data, (4, 5, 6), compression=compression)
    array = opened(tmp_path, layer("n5", "int16"))
    np.testing.assert_array_equal(read(array, (0, 0, 0), END), czyx(data, "xyz"))


@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        ("uint16", {}),
        ("float32", {}),
        ("uint64", {"encoding": "compressed_segmentation", "kind": "segmentation"}),
        ("uint16", {"sharding": SHARDING}),
        ("uint8", {"encoding": "png"}),
    ],
    ids=str,
)
def test_precomputed_is_read_where_its_offset_puts_it(tmp_path: Path, dtype: str, options) -> None:
    data = numbered((*SHAPE, 1), dtype)
    write_precomputed(tmp_path / "a", {"4_4_40": data}, offset=(5, -3, 100), **options)

    array = opened(tmp_path, layer("neuroglancerPrecomputed", dtype, folder="a/4_4_40"))

    assert (array.stored.offset, array.stored.shape) == ((5, -3, 100), SHAPE)
    np.testing.assert_array_equal(read(array, (5, -3, 100), (16, 10, 109)), czyx(data, "xyzc"))
    assert not read(array, (0, 10, 0), (40, 12, 90)).any()


def test_a_scale_whose_key_has_a_slash_is_found(tmp_path: Path) -> None:
    data = numbered((*SHAPE, 1))
    write_precomputed(tmp_path / "a", {"x/y": data})
    array = opened(tmp_path, layer("neuroglancerPrecomputed", folder="a/x/y"))
    np.testing.assert_array_equal(read(array, (0, 0, 0), END), czyx(data, "xyzc"))


def test_an_additional_axis_is_chosen_by_its_coordinate(tmp_path: Path) -> None:
    data = numbered((2, 3, *SHAPE))
    write_zarr3(tmp_path / "a/1", data, (2, 1, 4, 4, 4))
    array = opened(tmp_path, layer("zarr3", extra=(ExtraAxis("t", 0, 3, 1),)))
    for at in range(3):
        np.testing.assert_array_equal(read(array, (0, 0, 0), END, (at,)), czyx(data[:, at], "cxyz"))


def test_one_channel_of_several_is_a_layer(tmp_path: Path) -> None:
    data = numbered((3, *SHAPE))
    write_zarr3(tmp_path / "a/1", data, (3, 4, 4, 4))
    array = opened(tmp_path, layer("zarr3", channels=1, channel_index=2))
    assert array.stored.channels == 1
    np.testing.assert_array_equal(read(array, (0, 0, 0), END), czyx(data[2:], "cxyz"))


def test_a_plane_without_z_is_a_volume_of_one_slice(tmp_path: Path) -> None:
    data = numbered((13, 11))
    write_zarr2(tmp_path / "a/1", data, (4, 4))
    array = opened(tmp_path, layer("zarr", order="yx"))
    assert array.stored.shape == (11, 13, 1)
    np.testing.assert_array_equal(read(array, (0, 0, 0), (11, 13, 1)), data[None, None])


def test_axes_of_length_one_that_nobody_names_do_not_matter(tmp_path: Path) -> None:
    data = numbered((1, 1, 9, 13, 11))
    write_zarr3(tmp_path / "a/1", data, (1, 1, 4, 4, 4))
    array = opened(tmp_path, layer("zarr3", order="..zyx"))
    np.testing.assert_array_equal(read(array, (0, 0, 0), END), data[0])


def test_a_stored_chunk_larger_than_the_cache_is_read_all_the_same(tmp_path: Path) -> None:
    data = numbered((300, 300, 300))
    write_zarr3(tmp_path / "a/1", data, (280, 290, 256))
    array = opened(tmp_path, layer("zarr3"), Stores(cache_bytes=2**20))
    np.testing.assert_array_equal(read(array, (270, 280, 250), (300, 300, 270)), czyx(data[270:, 280:, 250:270], "xyz"))


# --- every box ---


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    """Arrays of each format over the same voxels, with what they hold, (c, z, y, x)."""
    root = tmp_path_factory.mktemp("volumes")
    data = numbered(SHAPE, "uint16")
    data[:4, :4, :4] = 7
    write_zarr2(root / "zarr/1", data, (4, 5, 6), order="F", fill_value=7, compressor=BLOSC_V2)
    write_zarr3(root / "zarr3/1", data, (2, 2, 2), shard=(4, 4, 4), fill_value=7)
    write_n5(root / "n5/1", data, (4, 4, 4))
    write_precomputed(root / "neuroglancerPrecomputed", {"1": data[..., None]})
    stores = Stores()
    found = {
        form: opened(root, layer(form, "uint16", folder=f"{form}/1"), stores)
        for form in ("zarr", "zarr3", "n5", "neuroglancerPrecomputed")
    }
    return found, czyx(data, "xyz")


corners = st.tuples(*[st.integers(-6, side + 6) for side in SHAPE])
sizes = st.tuples(*[st.integers(1, 15)] * 3)


@given(st.sampled_from(["zarr", "zarr3", "n5", "neuroglancerPrecomputed"]), corners, sizes)
def test_any_box_holds_the_voxels_that_are_there_and_fill_value(volumes, form: str, corner, size) -> None:
    found, whole = volumes
    fill = 7 if form.startswith("zarr") else 0
    padded = np.pad(whole[0], 30, constant_values=fill)
    x, y, z = (at + 30 for at in corner)
    w, h, d = size

    voxels = read(found[form], corner, tuple(a + b for a, b in zip(corner, size, strict=True)))

    np.testing.assert_array_equal(voxels[0], padded[z : z + d, y : y + h, x : x + w])


# --- damage and absence ---


def chunked(root: Path, **options) -> None:
    write_zarr2(root / "a/1", numbered((8, 8, 8)), (4, 4, 4), **options)


def test_a_chunk_that_was_never_written_is_fill_value(tmp_path: Path) -> None:
    chunked(tmp_path, fill_value=7)
    (tmp_path / "a/1/1.0.0").unlink()
    array = opened(tmp_path, layer("zarr"))
    assert (read(array, (4, 0, 0), (8, 4, 4)) == 7).all()


@pytest.mark.parametrize(
    "compressor", [None, BLOSC_V2, *[{"id": name, "level": 1} for name in ("zlib", "zstd", "bz2")]]
)
@pytest.mark.parametrize("junk", [b"", b"junk", bytes(64), b"\xff" * 4000])
def test_a_damaged_chunk_is_told(tmp_path: Path, compressor, junk: bytes) -> None:
    chunked(tmp_path, compressor=compressor)
    if compressor is None and len(junk) == 64:
        pytest.skip("64 bytes are a raw chunk")
    array = opened(tmp_path, layer("zarr"))
    (tmp_path / "a/1/0.0.0").write_bytes(junk)
    with pytest.raises(CorruptFile) as caught:
        read(array, (0, 0, 0), (4, 4, 4))
    assert str(tmp_path) not in str(caught.value)


def test_a_damaged_shard_is_told(tmp_path: Path) -> None:
    write_zarr3(tmp_path / "a/1", numbered((8, 8, 8)), (4, 4, 4), shard=(8, 8, 8))
    array = opened(tmp_path, layer("zarr3"))
    shard = tmp_path / "a/1/c/0/0/0"
    data = bytearray(shard.read_bytes())
    data[-10] ^= 1
    shard.write_bytes(data)
    with pytest.raises(CorruptFile):
        read(array, (0, 0, 0), (4, 4, 4))


def test_a_folder_in_a_chunks_place_is_not_fill_value(tmp_path: Path) -> None:
    chunked(tmp_path)
    array = opened(tmp_path, layer("zarr"))
    (tmp_path / "a/1/0.0.0").unlink()
    (tmp_path / "a/1/0.0.0").mkdir()
    with pytest.raises(SourceUnavailable):
        read(array, (0, 0, 0), (8, 8, 8))


def test_a_link_to_nowhere_is_not_fill_value(tmp_path: Path) -> None:
    write_n5(tmp_path / "a/1", numbered((8, 8, 8)), (4, 4, 4))
    array = opened(tmp_path, layer("n5"))
    block = tmp_path / "a/1/1/0/0"
    block.unlink()
    block.symlink_to("/nowhere/at/all")
    with pytest.raises(SourceUnavailable):
        read(array, (0, 0, 0), (8, 8, 8))


def test_a_link_in_a_circle_is_not_fill_value(tmp_path: Path) -> None:
    write_precomputed(tmp_path / "a", {"1": numbered((8, 8, 8, 1))}, chunk=(4, 4, 4))
    array = opened(tmp_path, layer("neuroglancerPrecomputed"))
    chunk = tmp_path / "a/1/0-4_0-4_0-4"
    chunk.unlink()
    chunk.symlink_to(chunk)
    with pytest.raises(SourceUnavailable):
        read(array, (0, 0, 0), (8, 8, 8))


@pytest.mark.parametrize("form", ["zarr", "zarr3", "n5", "neuroglancerPrecomputed"])
def test_a_vanished_array_is_not_fill_value(tmp_path: Path, form: str) -> None:
    data = numbered((8, 8, 8))
    match form:
        case "zarr":
            write_zarr2(tmp_path / "a/1", data, (4, 4, 4))
        case "zarr3":
            write_zarr3(tmp_path / "a/1", data, (4, 4, 4), shard=(8, 8, 8))
        case "n5":
            write_n5(tmp_path / "a/1", data, (4, 4, 4))
        case _:
            write_precomputed(tmp_path / "a", {"1": data[..., None]}, sharding=SHARDING)
    array = opened(tmp_path, layer(form))
    read(array, (0, 0, 0), (8, 8, 8))
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(SourceUnavailable):
        read(array, (0, 0, 0), (8, 8, 8))


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("back", ["before it is looked for", "after it is looked for"])
def test_a_chunk_that_is_away_for_a_moment_is_not_fill_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, back: str, *, packed: bool
) -> None:
    """As where a folder is moved away and its successor moved in."""
    chunked(tmp_path, compressor={"id": "gzip", "level": 1} if packed else None)
    array = opened(tmp_path, layer("zarr"))
    expected = read(array, (0, 0, 0), (8, 8, 8))
    chunk, away = tmp_path / "a/1/1.0.0", tmp_path / "away"
    chunk.rename(away)
    stat, looks = LocalFiles.stat, 0

    async def looked(source: LocalFiles, key: str) -> Any:
        nonlocal looks
        looks += key.endswith("1.0.0")
        # What tensorstore is about to open is looked at before: it may be a link to elsewhere.
        first = looks == 1 + packed and away.exists()
        if first and back.startswith("before"):
            away.rename(chunk)
        found = await stat(source, key)
        if first and back.startswith("after"):
            away.rename(chunk)
        return found

    monkeypatch.setattr(LocalFiles, "stat", looked)
    with pytest.raises(SourceChanged):
        read(array, (0, 0, 0), (8, 8, 8))
    np.testing.assert_array_equal(read(array, (0, 0, 0), (8, 8, 8)), expected)


@pytest.mark.parametrize("form", ["zarr", "zarr3", "neuroglancerPrecomputed"])
def test_no_link_is_put_under_a_raw_chunk_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """Any file of its length would be one: after each look at it, it is exchanged for a link to a secret."""
    data, root = numbered((4, 4, 4)), tmp_path / "ds"
    match form:
        case "zarr":
            write_zarr2(root / "a/1", data, (4, 4, 4))
        case "zarr3":
            write_zarr3(root / "a/1", data, (4, 4, 4))
        case _:
            write_precomputed(root / "a", {"1": data[..., None]}, chunk=(4, 4, 4))
    chunk = root / "a/1" / {"zarr": "0.0.0", "zarr3": "c/0/0/0"}.get(form, "0-4_0-4_0-4")
    array = opened(root, layer(form))
    expected = read(array, (0, 0, 0), (4, 4, 4))
    (tmp_path / "secret").write_bytes(bytes(64))
    stat = LocalFiles.stat

    async def looked(source: LocalFiles, key: str) -> Any:
        found = await stat(source, key)
        if chunk.name in key:
            chunk.unlink()
            chunk.symlink_to(tmp_path / "secret")
        return found

    monkeypatch.setattr(LocalFiles, "stat", looked)
    np.testing.assert_array_equal(read(array, (0, 0, 0), (4, 4, 4)), expected)
    chunk.unlink()
    chunk.symlink_to(tmp_path / "secret")
    with pytest.raises(CorruptFile, match="--allow-source"):
        read(array, (0, 0, 0), (4, 4, 4))


def test_nan_as_fill_value(tmp_path: Path) -> None:
    write_zarr2(tmp_path / "a/1", np.full((8, 8, 8), np.nan, "float32"), (4, 4, 4), fill_value="NaN")
    array = opened(tmp_path, layer("zarr", "float32"))
    assert np.isnan(read(array, (0, 0, 0), (9, 8, 8))).all()
    shutil.rmtree(tmp_path / "a")
    with pytest.raises(SourceUnavailable):
        read(array, (0, 0, 0), (8, 8, 8))


# --- what cannot be opened ---


def test_a_mag_without_an_array_is_absent(tmp_path: Path) -> None:
    for form in ("zarr", "zarr3", "n5", "neuroglancerPrecomputed"):
        described = layer(form)
        assert (
            asyncio.run(open_array(LocalFiles(tmp_path), str(tmp_path), described, described.mags[0], Stores())) is None
        )


@pytest.mark.parametrize(
    ("described", "named"),
    [
        ({"dtype": "uint16"}, "described as uint16 x 2 but stored as uint8 x 2"),
        ({"channels": 3}, "described as uint8 x 3 but stored as uint8 x 2"),
        ({"channel_index": 2}, "channel 2 of an array that has 2"),
        ({"order": "cxyz..........z"}, "do not fit"),
        ({"order": "xy"}, "4 axes"),
        ({"extra": (ExtraAxis("t", 0, 3, 1),)}, "do not fit"),
        ({"extra": (ExtraAxis("t", 0, 3, 0),)}, "described up to 3 but stored up to 2"),
        ({"element_class": "uint24"}, "described as uint24 x 3 but stored as uint8 x 2"),
    ],
    ids=str,
)
def test_what_does_not_agree_is_refused_by_name(tmp_path: Path, described, named: str) -> None:
    write_zarr3(tmp_path / "a/1", numbered((2, 8, 8, 8)), (2, 4, 4, 4))
    with pytest.raises(UnsupportedLayer, match=r"layer 'a', mag 1") as caught:
        opened(tmp_path, layer("zarr3", **described))
    assert named in str(caught.value)


def test_a_stored_chunk_that_is_too_large_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "a/1"
    write_zarr3(folder, numbered((4, 4, 4)), (4, 4, 4))
    document = json.loads((folder / "zarr.json").read_bytes())
    document["shape"] = document["chunk_grid"]["configuration"]["chunk_shape"] = [1024, 1024, 1024]
    (folder / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(UnsupportedLayer, match=str(MAX_STORED_CHUNK_BYTES)):
        opened(tmp_path, layer("zarr3"))


def test_uint24_over_wider_numbers_is_served_as_stored(tmp_path: Path) -> None:
    data = numbered((3, 4, 4, 4), "uint32")
    write_n5(tmp_path / "a/1", data, (3, 4, 4, 4))
    array = opened(tmp_path, layer("n5", element_class="uint24", channels=3))
    assert (array.stored.dtype, array.stored.channels) == ("uint32", 3)
    np.testing.assert_array_equal(read(array, (0, 0, 0), (4, 4, 4)), czyx(data, "cxyz"))


def test_metadata_of_which_a_bit_flips_on_the_way_are_read_until_two_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`<u2` and `>u2` are a bit apart, and every voxel would be another."""
    data = numbered(SHAPE[::-1], "uint16")
    write_zarr2(tmp_path / "a/1", data, (4, 4, 4))
    order, asked, read_whole = [b">", b"<", b"<"], [], LocalFiles.read

    async def flipped(self: LocalFiles, key: str, *arguments: Any, **options: Any) -> Any:
        blob = await read_whole(self, key, *arguments, **options)
        if blob is None or key != "a/1/.zarray":
            return blob
        asked.append(key)
        return replace(blob, data=bytes(blob.data).replace(b"<", order[len(asked) - 1]))

    monkeypatch.setattr(LocalFiles, "read", flipped)
    array = opened(tmp_path, layer("zarr", "uint16", order="zyx"))
    assert len(asked) == 3
    np.testing.assert_array_equal(read(array, (0, 0, 0), END)[0], data)
    order, asked[:] = [b"<", b">", b"|"], []
    with pytest.raises(SourceUnavailable):
        opened(tmp_path, layer("zarr", "uint16", order="zyx"))


def test_metadata_that_only_tensorstore_refuses_is_a_refusal_of_ours(tmp_path: Path) -> None:
    folder = tmp_path / "a/1"
    write_zarr3(folder, numbered((4, 4, 4)), (4, 4, 4), codecs=[LITTLE, BLOSC_V3])
    text = (folder / "zarr.json").read_text()
    (folder / "zarr.json").write_text(text.replace('"lz4"', '"lzx"'))
    with pytest.raises(UnsupportedLayer, match="layer 'a', mag 1"):
        opened(tmp_path, layer("zarr3"))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"zarr_format": 3}', "\xff"])
@pytest.mark.parametrize("form", ["zarr", "zarr3", "n5", "neuroglancerPrecomputed"])
def test_damaged_metadata_are_damage(tmp_path: Path, form: str, text: str) -> None:
    (tmp_path / "a/1").mkdir(parents=True)
    name = {"zarr": "1/.zarray", "zarr3": "1/zarr.json", "n5": "1/attributes.json"}.get(form, "info")
    (tmp_path / "a" / name).write_text(text, encoding="latin-1")
    with pytest.raises(CorruptFile):
        opened(tmp_path, layer(form))


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    root = tmp_path / "a%20b %2e%2e ?x=1#y \u00e4"
    write_zarr2(root / "a/1", numbered((4, 4, 4)), (4, 4, 4))
    array = opened(root, layer("zarr"))
    np.testing.assert_array_equal(read(array, (0, 0, 0), (4, 4, 4)), czyx(numbered((4, 4, 4)), "xyz"))


def test_many_reads_at_once_in_one_loop_after_another(tmp_path: Path) -> None:
    data = numbered((16, 16, 16))
    write_zarr3(tmp_path / "a/1", data, (4, 4, 4))
    array = opened(tmp_path, layer("zarr3"), Stores(reads_at_once=2))

    async def many():
        corners = [(x, y, z) for x in range(0, 16, 4) for y in range(0, 16, 4) for z in range(0, 16, 4)]
        return await asyncio.gather(*(array.volume.read(at, tuple(side + 4 for side in at)) for at in corners))

    for _ in range(3):
        assert sum(int(part.sum()) for part in asyncio.run(many())) == data.sum()


def test_objects_in_memory_are_opened_as_files_are(tmp_path: Path) -> None:
    data = numbered((8, 8, 8))
    write_zarr2(tmp_path / "a/1", data, (4, 4, 4))
    objects = {f"a/1/{path.name}": path.read_bytes() for path in (tmp_path / "a/1").iterdir()}

    async def voxels():
        stores, described = Stores(), layer("zarr")
        source = await stores.memory("ds", objects)
        array = await open_array(source, source.name, described, described.mags[0], stores)
        return await array.volume.read((0, 0, 0), (8, 8, 8))

    np.testing.assert_array_equal(asyncio.run(voxels()), czyx(data, "xyz"))
