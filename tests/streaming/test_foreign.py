"""Layers stored as Zarr, N5 and Precomputed, every voxel, through the door in both dialects, read by two clients."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from builders.door import Door
from builders.foreign_arrays import (
    BIG,
    BLOSC_V2,
    BLOSC_V3,
    INDEX,
    LITTLE,
    numbered,
    write_n5,
    write_precomputed,
    write_zarr2,
    write_zarr3,
)
from builders.foreign_datasets import ONE, assert_served, describe, door_on, entry
from zarrlink.decoded_chunks import DecodedChunks
from zarrlink.errors import UnsupportedLayer
from zarrlink.formats.zarr_keys import Dialect, chunk_key
from zarrlink.geometry import Mag
from zarrlink.links.service import LinkRequest
from zarrlink.proxied_chunks import ProxiedChunks

SIDES = {"x": 37, "y": 29, "z": 21, "c": 3, "t": 4}
SIZE = (37, 29, 21)
CHUNK = {"x": 16, "y": 8, "z": 8, "c": 1, "t": 1}
GZIP = {"name": "gzip", "configuration": {"level": 1}}
ZSTD = {"name": "zstd", "configuration": {"level": 1, "checksum": False}}
Write = Callable[[Path, np.ndarray, tuple[int, ...]], None]


def zarr2(**options: Any) -> tuple[str, Write]:
    return "zarr", lambda folder, data, chunk: write_zarr2(folder, data, chunk, **options)


def zarr3(**options: Any) -> tuple[str, Write]:
    return "zarr3", lambda folder, data, chunk: write_zarr3(folder, data, chunk, **options)


def n5(**options: Any) -> tuple[str, Write]:
    return "n5", lambda folder, data, chunk: write_n5(folder, data, chunk, **options)


def ways(door: Door, name: str = "a") -> str:
    """For v2 and v3 whether the finest level's chunks are (P)roxied or (D)ecoded."""
    kinds = {ProxiedChunks: "P", DecodedChunks: "D"}
    return "".join(kinds[type(door.opened(name).chunks(dialect)[0])] for dialect in ("v2", "v3"))


# What is stored, the order of its axes, its chunks, and how it goes out in v2 and v3.
CASES: dict[str, tuple[tuple[str, Write], str, dict[str, int], str]] = {
    "v2 raw": (zarr2(), "zyx", {}, "PP"),
    "v2 blosc": (zarr2(compressor=BLOSC_V2), "zyx", {}, "PP"),
    "v2 zlib": (zarr2(compressor={"id": "zlib", "level": 1}), "zyx", {}, "PD"),
    "v2 gzip, separator /": (zarr2(compressor={"id": "gzip", "level": 1}, separator="/"), "zyx", {}, "PP"),
    "v2 zstd": (zarr2(compressor={"id": "zstd", "level": 1}), "zyx", {}, "PP"),
    "v2 bz2": (zarr2(compressor={"id": "bz2", "level": 1}), "zyx", {}, "DD"),
    "v2 xyz in order F": (zarr2(order="F", compressor=BLOSC_V2), "xyz", {}, "PP"),
    "v2 xyz in order C": (zarr2(compressor=BLOSC_V2), "xyz", {}, "DD"),
    "v2 zyx in order F": (zarr2(order="F"), "zyx", {}, "DD"),
    "v2 big endian": (zarr2(dtype=">u2", compressor=BLOSC_V2), "zyx", {}, "DD"),
    "v2 cxyz, F, channels apart": (zarr2(order="F"), "cxyz", {}, "PP"),
    "v2 cxyz, F, channels together": (zarr2(order="F"), "cxyz", {"c": 3}, "DD"),
    "v2 czyx, channels together": (zarr2(compressor=BLOSC_V2), "czyx", {"c": 3}, "PP"),
    "v2 czyx, more channels in a chunk than there are": (zarr2(), "czyx", {"c": 4}, "PP"),
    "v2 czyx, two channels in a chunk": (zarr2(compressor={"id": "zlib", "level": 1}), "czyx", {"c": 2}, "PD"),
    "v2 tczyx": (zarr2(compressor=BLOSC_V2), "tczyx", {}, "PP"),
    "v2 tczyx, two times in a chunk": (zarr2(), "tczyx", {"t": 2}, "DD"),
    "v2 zyxct": (zarr2(), "zyxct", {}, "PP"),
    "v2 with a fill value": (zarr2(fill_value=7, compressor=BLOSC_V2), "zyx", {}, "PP"),
    "v3 raw": (zarr3(), "zyx", {}, "PP"),
    "v3 blosc": (zarr3(codecs=[LITTLE, BLOSC_V3]), "zyx", {}, "PP"),
    "v3 gzip": (zarr3(codecs=[LITTLE, GZIP]), "czyx", {}, "PP"),
    "v3 zstd": (zarr3(codecs=[LITTLE, ZSTD], names=["z", "y", "x"]), "zyx", {}, "PP"),
    "v3 crc32c": (zarr3(codecs=[LITTLE, {"name": "crc32c"}]), "zyx", {}, "DP"),
    "v3 zstd, crc32c": (zarr3(codecs=[LITTLE, ZSTD, {"name": "crc32c"}]), "zyx", {}, "DP"),
    "v3 big endian": (zarr3(codecs=[BIG]), "zyx", {}, "DD"),
    "v3 transposed": (
        zarr3(codecs=[{"name": "transpose", "configuration": {"order": [2, 1, 0]}}, LITTLE, ZSTD]),
        "xyz",
        {},
        "PP",
    ),
    "v3 transposed the wrong way": (
        zarr3(codecs=[{"name": "transpose", "configuration": {"order": [1, 2, 0]}}, LITTLE]),
        "xyz",
        {},
        "DD",
    ),
    "v3 keys of v2": (zarr3(key_encoding={"name": "v2", "configuration": {"separator": "."}}), "zyx", {}, "PP"),
    "v3 sharded": (zarr3(shard=(16, 16, 32), codecs=[LITTLE, ZSTD]), "zyx", {}, "DP"),
    "v3 sharded, index first": (zarr3(shard=(16, 16, 32), index_location="start"), "zyx", {}, "DD"),
    "v3 sharded, index unchecked": (zarr3(shard=(16, 16, 32), index_codecs=[LITTLE]), "zyx", {}, "DD"),
    "v3 sharded, xyz": (zarr3(shard=(32, 16, 16)), "xyz", {}, "DD"),
    "v3 sharded, turned before it is cut": (
        zarr3(
            codecs=[
                {"name": "transpose", "configuration": {"order": [2, 0, 1]}},
                {
                    "name": "sharding_indexed",
                    "configuration": {"chunk_shape": [4, 8, 2], "codecs": [BIG, ZSTD], "index_codecs": INDEX},
                },
            ]
        ),
        "zyx",
        {},
        "DD",
    ),
    "v3 sharded, channels apart": (zarr3(shard=(1, 16, 16, 32)), "czyx", {}, "DP"),
    "v3 sharded, channels in a shard": (zarr3(shard=(3, 16, 16, 32)), "czyx", {}, "DD"),
    "v3 sharded, t": (zarr3(shard=(1, 3, 16, 16, 32), codecs=[LITTLE, BLOSC_V3]), "tczyx", {"c": 3}, "DP"),
    "v3 sharded, times in a shard": (zarr3(shard=(2, 3, 16, 16, 32)), "tczyx", {"c": 3}, "DD"),
    "v3 with a fill value, sharded": (zarr3(shard=(16, 16, 32), fill_value=9), "zyx", {}, "DP"),
    "n5 raw": (n5(compression={"type": "raw"}), "xyz", {}, "DD"),
    "n5 gzip": (n5(), "cxyz", {}, "DD"),
    "n5 zyx": (n5(compression={"type": "zstd"}), "zyx", {}, "DD"),
    "n5 t": (n5(), "xyzt", {}, "DD"),
}


def turned(data: np.ndarray, order: str) -> np.ndarray:
    """An array whose axes are the letters of `order`, in served axis order."""
    return data.transpose([order.index(axis) for axis in "tczyx" if axis in order])


def make(tmp_path: Path, case: str, dtype: str = "uint16", data: np.ndarray | None = None) -> tuple[Path, np.ndarray]:
    (data_format, write), order, sides, _ = CASES[case]
    if data is None:
        data = numbered(tuple(SIDES[axis] for axis in order), dtype)
    write(tmp_path / "a/1", data, tuple({**CHUNK, **sides}[axis] for axis in order))
    times = [{"name": "t", "bounds": [0, SIDES["t"]], "index": order.index("t")}] if "t" in order else []
    more = {"additionalAxes": times, "numChannels": SIDES["c"] if "c" in order else 1}
    describe(tmp_path, entry("a", data_format, dtype, SIZE, order=order, **more))
    return tmp_path, turned(data, order)


@pytest.mark.parametrize("case", CASES)
def test_every_layout_arrives_to_the_voxel(tmp_path: Path, case: str) -> None:
    folder, stored = make(tmp_path, case)
    door = door_on(folder)
    assert ways(door) == CASES[case][3]
    assert_served(door, "a", {ONE: stored})


@pytest.mark.parametrize("case", CASES)
def test_every_layout_with_its_blocks_checked(tmp_path: Path, case: str) -> None:
    folder, stored = make(tmp_path, case)
    assert_served(door_on(folder, check_blocks=True), "a", {ONE: stored})


DTYPES = ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", ["v2 gzip, separator /", "v2 xyz in order C", "v3 sharded", "n5 gzip"])
def test_every_element_class(tmp_path: Path, case: str, dtype: str) -> None:
    folder, stored = make(tmp_path, case, dtype)
    assert_served(door_on(folder), "a", {ONE: stored})


@pytest.mark.parametrize("dtype", ["uint8", "uint64", "float32"])
@pytest.mark.parametrize("case", ["v2 raw", "v2 xyz in order C", "v3 sharded", "v3 big endian", "n5 raw"])
def test_chunks_that_were_never_written_are_fill_value(tmp_path: Path, case: str, dtype: str) -> None:
    order = CASES[case][1]
    data = np.zeros(tuple(SIDES[axis] for axis in order), dtype)
    data[tuple(slice(0, 9) for _ in order)] = 5
    folder, stored = make(tmp_path, case, dtype, data)
    door = door_on(folder)
    assert_served(door, "a", {ONE: stored})
    assert {door.get(f"{key}/0/0/0").status for key in ("v2/a.zarr/0", "v3/a.zarr/0/c")} == {200}
    assert {door.get(f"{key}/1/1/1").status for key in ("v2/a.zarr/0", "v3/a.zarr/0/c")} == {404}


FILLS = {
    "uint8": 200,
    "int16": -5,
    "uint64": 2**64 - 1,
    "int64": -(2**63),
    "float32": "NaN",
    "float64": "-Infinity",
}


@pytest.mark.parametrize("dtype", FILLS)
@pytest.mark.parametrize("case", ["v2 raw", "v2 xyz in order C", "v2 zlib", "v3 raw", "v3 sharded", "v3 big endian"])
def test_other_fill_values_are_shown_where_nothing_was_written(tmp_path: Path, case: str, dtype: str) -> None:
    (data_format, write), order, _, _ = CASES[case]
    fill = FILLS[dtype]
    if dtype.startswith("float"):
        value = np.dtype(dtype).type(str(fill).replace("Infinity", "inf"))
    else:
        value = np.dtype(dtype).type(fill)
    data = np.full(tuple(SIDES[axis] for axis in order), value, dtype)
    data[tuple(slice(3, 9) for _ in order)] = 5
    options = {"v3 sharded": {"shard": (16, 16, 32)}, "v2 zlib": {"compressor": {"id": "zlib", "level": 1}}}.get(
        case, {}
    )
    options |= {"codecs": [BIG]} if case == "v3 big endian" else {}
    again = zarr2 if data_format == "zarr" else zarr3
    again(fill_value=fill, **options)[1](tmp_path / "a/1", data, tuple(CHUNK[axis] for axis in order))
    del write
    describe(tmp_path, entry("a", data_format, dtype, SIZE, order=order))
    assert len([path for path in (tmp_path / "a/1").rglob("*") if path.is_file()]) < 10
    assert_served(door_on(tmp_path), "a", {ONE: turned(data, order)}, fill=value)


@pytest.mark.parametrize("case", ["v2 raw", "v2 xyz in order C", "v3 sharded"])
def test_the_bits_of_floating_numbers_are_kept(tmp_path: Path, case: str) -> None:
    """Negative zero, infinities, not-a-numbers with a payload, the smallest numbers."""
    order = CASES[case][1]
    odd = np.array([0x80000000, 0x7F800000, 0xFF800000, 0x7FC00001, 0xFFC12345, 1, 0], "uint32").view("float32")
    data = np.resize(odd, tuple(SIDES[axis] for axis in order)).copy()
    # A chunk of nothing but negative zeros is not one of zeros.
    data[:8, :8, :16] = -0.0
    data[:16, :8, :8] = -0.0
    folder, stored = make(tmp_path, case, "float32", data)
    door = door_on(folder)
    from builders.reading import read_level_twice

    for dialect in ("v2", "v3"):
        found = read_level_twice(door, "a", dialect)
        np.testing.assert_array_equal(found.view("uint32"), np.ascontiguousarray(stored).view("uint32"))


@pytest.mark.parametrize("index", [0, 2])
@pytest.mark.parametrize(("case", "way"), [("v2 cxyz, F, channels apart", "PP"), ("v2 czyx, channels together", "DD")])
def test_one_channel_of_several(tmp_path: Path, case: str, way: str, index: int) -> None:
    folder, stored = make(tmp_path, case)
    (data_format, _), order, _, _ = CASES[case]
    facts = {"channelIndex": index}
    describe(folder, entry("a", data_format, "uint16", SIZE, order=order, numChannels=1, mag_facts=facts))
    door = door_on(folder)
    assert ways(door) == way
    assert_served(door, "a", {ONE: stored[index]})


def test_coordinates_of_an_axis_begin_where_the_description_says(tmp_path: Path) -> None:
    for case, way in (("v2 tczyx", "PP"), ("n5 t", "DD")):
        folder, stored = make(tmp_path / way, case)
        (data_format, _), order, _, _ = CASES[case]
        times = [{"name": "t", "bounds": [1, 3], "index": order.index("t")}]
        channels = SIDES["c"] if "c" in order else 1
        more = {"additionalAxes": times, "numChannels": channels}
        describe(folder, entry("a", data_format, "uint16", SIZE, order=order, **more))
        door = door_on(folder)
        assert ways(door) == way
        assert_served(door, "a", {ONE: stored[1:3]})


SHARDING = {
    "@type": "neuroglancer_uint64_sharded_v1",
    "preshift_bits": 1,
    "hash": "murmurhash3_x86_128",
    "minishard_bits": 1,
    "shard_bits": 1,
    "minishard_index_encoding": "gzip",
    "data_encoding": "gzip",
}


@pytest.mark.parametrize("sharding", [None, SHARDING], ids=["files", "shards"])
@pytest.mark.parametrize("offset", [(0, 0, 0), (10, 7, 3), (-9, 5, -20)])
@pytest.mark.parametrize("channels", [1, 2])
def test_precomputed(tmp_path: Path, sharding, offset, channels: int) -> None:
    data = numbered((37, 29, 21, channels), "uint32")
    write_precomputed(tmp_path / "a", {"1": data}, offset=offset, sharding=sharding)
    described = entry("a", "neuroglancerPrecomputed", "uint32", SIZE, corner=offset, numChannels=channels)
    door = door_on(describe(tmp_path, described))
    stored = data.transpose(3, 2, 1, 0)
    assert_served(door, "a", {ONE: stored if channels > 1 else stored[0]}, offset=offset)


def test_a_segmentation_as_precomputed_compresses_it(tmp_path: Path) -> None:
    data = numbered((37, 29, 21, 1), "uint64") % 7
    write_precomputed(tmp_path / "a", {"1": data}, encoding="compressed_segmentation", kind="segmentation")
    door = door_on(describe(tmp_path, entry("a", "neuroglancerPrecomputed", "uint64", SIZE, category="segmentation")))
    assert_served(door, "a", {ONE: data[..., 0].transpose(2, 1, 0)})


def test_a_layer_whose_box_is_larger_than_what_is_stored(tmp_path: Path) -> None:
    """Around it lies the fill value, as in the array itself; the array is not taken for whole."""
    folder, stored = make(tmp_path, "v2 with a fill value")
    described = entry("a", "zarr", "uint16", (60, 50, 40), corner=(-3, -8, 0), order="zyx")
    door = door_on(describe(folder, described))
    assert ways(door) == "DD"
    assert_served(door, "a", {ONE: stored}, fill=7)


def test_a_layer_whose_box_is_smaller_than_what_is_stored(tmp_path: Path) -> None:
    folder, stored = make(tmp_path, "v3 raw")
    door = door_on(describe(folder, entry("a", "zarr3", "uint16", (20, 13, 9), corner=(5, 2, 8), order="zyx")))
    assert ways(door) == "DD"
    assert_served(door, "a", {ONE: stored})


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_as_zarr_python_writes_them(tmp_path: Path, order) -> None:
    """By its own defaults, in both versions."""
    data = numbered((21, 29, 37), "uint16")
    layers = []
    for name, version, options in (
        ("two", 2, {"order": order}),
        ("three", 3, {}),
        ("shards", 3, {"shards": (16, 16, 32)}),
    ):
        chunks = (8, 8, 16)
        array = zarr.create_array(
            str(tmp_path / name / "1"), shape=data.shape, chunks=chunks, dtype="uint16", zarr_format=version, **options
        )
        array[...] = data
        layers.append(entry(name, "zarr" if version == 2 else "zarr3", "uint16", SIZE, order="zyx"))
    door = door_on(describe(tmp_path, *layers))
    assert [ways(door, name) for name in ("two", "three", "shards")] == ["PP" if order == "C" else "DD", "PP", "DP"]
    for name in ("two", "three", "shards"):
        assert_served(door, name, {ONE: data})


@pytest.mark.parametrize("order", ["C", "F"])
def test_truth_values_are_shown_as_numbers(tmp_path: Path, order) -> None:
    """Arrays as zarr-python writes them."""
    data = np.random.default_rng(4).random((21, 29, 37)) < 0.5
    forms = {
        "two": {"zarr_format": 2, "order": order},
        "three": {"fill_value": True},
        "shards": {"shards": (16, 16, 32)},
    }
    layers = []
    for name, options in forms.items():
        array = zarr.create_array(
            str(tmp_path / name / "1"), shape=data.shape, chunks=(8, 8, 16), dtype="bool", **options
        )
        array[:, 8:] = data[:, 8:]
        layers.append(entry(name, "zarr" if name == "two" else "zarr3", "uint8", SIZE, order="zyx"))
    door = door_on(describe(tmp_path, *layers))
    # Decoded, since other bytes than 0 and 1 would pass for numbers.
    assert [ways(door, name) for name in forms] == ["DD", "DD", "DD"]
    for name, options in forms.items():
        shown = data.astype("uint8")
        shown[:, :8] = options.get("fill_value", False)
        assert_served(door, name, {ONE: shown})
        assert door.opened(name).layer.notes == (
            "it is stored as truth values, which are shown as the numbers 0 and 1",
        )


@pytest.mark.parametrize("dialect", ["v2", "v3"])
@pytest.mark.parametrize("stored", ["zarr", "zarr3"])
def test_bytes_that_are_no_truth_values_are_damage(tmp_path: Path, stored: str, dialect: Dialect) -> None:
    raw = np.random.default_rng(4).integers(0, 5, (8, 8, 8)).astype("uint8")
    version = 2 if stored == "zarr" else 3
    array = zarr.create_array(
        str(tmp_path / "a/1"), shape=raw.shape, chunks=raw.shape, dtype="uint8", zarr_format=version, compressors=None
    )
    array[...] = raw
    document = tmp_path / "a/1" / (".zarray" if version == 2 else "zarr.json")
    said = {"dtype": "|b1", "fill_value": 0} if version == 2 else {"data_type": "bool", "fill_value": False}
    document.write_text(json.dumps(json.loads(document.read_text()) | said))
    door = door_on(describe(tmp_path, entry("a", stored, "uint8", (8, 8, 8), order="zyx")))
    assert door.get(f"{dialect}/a.zarr/{chunk_key(dialect, 0, (0, 0, 0))}").status == 502


@pytest.mark.parametrize("fill", [0, 1, False, True])
def test_the_fill_value_of_truth_values_may_be_a_number(tmp_path: Path, fill: int) -> None:
    data = np.random.default_rng(4).random((12, 8, 8)) < 0.5
    array = zarr.create_array(str(tmp_path / "a/1"), shape=data.shape, chunks=(8, 8, 8), dtype="bool", zarr_format=2)
    array[:8] = data[:8]
    document = tmp_path / "a/1/.zarray"
    document.write_text(json.dumps(json.loads(document.read_text()) | {"fill_value": fill}))
    door = door_on(describe(tmp_path, entry("a", "zarr", "uint8", (8, 8, 12), order="zyx")))
    shown = data.astype("uint8")
    shown[8:] = fill
    assert_served(door, "a", {ONE: shown})


def test_several_mags_whose_chunks_do_not_match(tmp_path: Path) -> None:
    two, four = Mag(2, 2, 1), Mag(4, 4, 2)
    stored = {
        ONE: numbered((40, 60, 80), "uint8", 1),
        two: numbered((40, 30, 40), "uint8", 2),
        four: numbered((20, 15, 20), "uint8", 3),
    }
    chunks = {ONE: (8, 8, 16), two: (10, 12, 7), four: (20, 15, 20)}
    for mag, data in stored.items():
        write_zarr3(tmp_path / f"a/{mag.literal}", data, chunks[mag], codecs=[LITTLE, ZSTD])
    mags = {mag: f"a/{mag.literal}" for mag in stored}
    described = entry("a", "zarr3", "uint8", (80, 60, 40), order="zyx", mags=mags)
    folder = describe(tmp_path, described)
    door = door_on(folder)
    assert [type(chunks) for chunks in door.opened("a").chunks("v3")] == [ProxiedChunks] * 3
    assert_served(door, "a", stored)
    coarser = door_on(folder, finest=two)
    assert [level.mag for level in coarser.opened("a").layer.levels] == [two, four]
    assert_served(coarser, "a", stored)


def test_what_is_stored_in_another_way_than_described_is_refused_by_name(tmp_path: Path) -> None:
    make(tmp_path, "v2 raw")
    describe(tmp_path, entry("a", "zarr", "uint8", SIZE, order="zyx"))
    with pytest.raises(UnsupportedLayer, match=r"layer 'a', mag 1: described as uint8 x 1 but stored as uint16 x 1"):
        door_on(tmp_path)


def test_layers_of_every_format_stand_side_by_side(tmp_path: Path) -> None:
    layers, stored = [], {}
    for number, case in enumerate(["v2 blosc", "v3 sharded", "n5 raw"]):
        (data_format, write), order, sides, _ = CASES[case]
        data = numbered(tuple(SIDES[axis] for axis in order), "uint16", number)
        write(tmp_path / f"{number}/1", data, tuple({**CHUNK, **sides}[axis] for axis in order))
        layers.append(entry(str(number), data_format, "uint16", SIZE, order=order))
        stored[str(number)] = turned(data, order)
    door = door_on(describe(tmp_path, *layers))
    door.make_link(LinkRequest())
    assert door.link.view.layers == ("0", "1", "2")
    for name, data in stored.items():
        assert_served(door, name, {ONE: data})
