"""Stored chunks that go out byte for byte, read back by tensorstore under the metadata that we would serve."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import tensorstore as ts
from hypothesis import given
from hypothesis import strategies as st

from builders.foreign_arrays import BIG, BLOSC_V2, BLOSC_V3, INDEX, LITTLE, numbered, write_n5, write_zarr2, write_zarr3
from builders.foreign_layers import layer, opened
from zarrlink.arrays.passthrough import Passthrough, fits, json_fill
from zarrlink.formats.datasource import ExtraAxis
from zarrlink.formats.zarr_v2 import DTYPES

GZIP = {"name": "gzip", "configuration": {"level": 1}}
ZSTD = {"name": "zstd", "configuration": {"level": 1, "checksum": False}}
REVERSED = {"name": "transpose", "configuration": {"order": [3, 2, 1, 0]}}


def served(form: Passthrough, root: Path, dialect: str) -> np.ndarray:
    """The array as a client reads it: our metadata, the stored objects under the keys of the served grid."""
    stored = form.stored
    sizes = dict(zip("xyz", stored.shape, strict=True)) | {"c": stored.channels}
    sizes |= {axis.name: axis.end for axis in stored.extra_axes}
    shape = [sizes[axis] for axis in form.axes]
    outer = form.shard or form.chunk
    store = ts.KvStore.open("memory://").result()
    for position in itertools.product(*[range(-(-a // b)) for a, b in zip(shape, outer, strict=True)]):
        file = root / form.key(position)
        if file.exists():
            numbers = "/".join(map(str, position))
            store.write(f"c/{numbers}" if dialect == "v3" else numbers, file.read_bytes()).result()
    if dialect == "v3":
        metadata = {
            "zarr_format": 3,
            "node_type": "array",
            "shape": shape,
            "data_type": stored.dtype,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(outer)}},
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "fill_value": form.fill_value,
            "codecs": list(form.codecs),
        }
    else:
        metadata = {
            "zarr_format": 2,
            "shape": shape,
            "chunks": list(outer),
            "dtype": DTYPES[stored.dtype],
            "compressor": form.compressor,
            "fill_value": form.fill_value,
            "order": "C",
            "filters": None,
            "dimension_separator": "/",
        }
    spec = {"driver": "zarr3" if dialect == "v3" else "zarr", "metadata": metadata}
    return ts.open(spec, kvstore=store, open=True, assume_metadata=True).result().read().result()


def expected(data: np.ndarray, order: str, axes: tuple[str, ...]) -> np.ndarray:
    """Data, whose axes are the letters of `order`, in served order; axes that are not served have one index."""
    for name in [axis for axis in order if axis not in axes]:
        data, order = data.take(0, order.index(name)), order.replace(name, "")
    return data.transpose([order.index(axis) for axis in axes])


V2_CASES = {
    "webknossos, one channel": ("cxyz", (1, 4, 4, 4), {"order": "F"}),
    "plain zyx": ("zyx", (4, 5, 6), {"compressor": BLOSC_V2}),
    "plain xyz, order F": ("xyz", (4, 5, 6), {"order": "F", "compressor": {"id": "gzip", "level": 1}}),
    "channels apart": ("czyx", (1, 4, 4, 4), {"compressor": {"id": "zstd", "level": 1}}),
    "channels together": ("czyx", (2, 4, 4, 4), {}),
    "flat chunks in any order": ("xyz", (1, 1, 8), {}),
    "zlib": ("zyx", (4, 4, 4), {"compressor": {"id": "zlib", "level": 1}}),
}


@pytest.mark.parametrize(("order", "chunk", "options"), V2_CASES.values(), ids=V2_CASES)
@pytest.mark.parametrize("dialect", ["v2", "v3"])
def test_chunks_of_zarr_v2_go_out_as_they_are(tmp_path: Path, order: str, chunk, options, dialect: str) -> None:
    sides = {"x": 11, "y": 13, "z": 9, "c": chunk[order.index("c")] if "c" in order else 1}
    if order == "czyx":
        sides["c"] = 2
    data = numbered(tuple(sides[axis] for axis in order), "uint16")
    write_zarr2(tmp_path / "a/1", data, chunk, fill_value=3, **options)
    form = fits(opened(tmp_path, layer("zarr", "uint16", order=order)).stored, dialect)
    if dialect == "v3" and options.get("compressor", {}).get("id") == "zlib":
        assert form is None
        return
    assert form is not None
    assert form.fill_value == 3
    np.testing.assert_array_equal(served(form, tmp_path, dialect), expected(data, order, form.axes))


V3_CASES = {
    "raw": ("zyx", (4, 5, 6), {}),
    "blosc": ("zyx", (4, 5, 6), {"codecs": [LITTLE, BLOSC_V3]}),
    "gzip": ("czyx", (2, 4, 4, 4), {"codecs": [LITTLE, GZIP]}),
    "webknossos, one channel": ("cxyz", (1, 4, 4, 4), {"codecs": [REVERSED, LITTLE, ZSTD]}),
}
SHARDED = {
    "zyx": ("zyx", (4, 4, 4), {"shard": (8, 4, 8), "codecs": [LITTLE, ZSTD]}),
    "czyx, checked": ("czyx", (1, 4, 4, 4), {"shard": (2, 8, 8, 8), "codecs": [LITTLE, {"name": "crc32c"}]}),
    "a single channel in front": ("czyx", (1, 4, 4, 4), {"shard": (1, 8, 8, 8), "codecs": [LITTLE, BLOSC_V3]}),
    "columns along x in an xyz array": ("xyz", (2, 1, 1), {"shard": (8, 1, 1)}),
}


@pytest.mark.parametrize(("order", "chunk", "options"), V3_CASES.values(), ids=V3_CASES)
@pytest.mark.parametrize("dialect", ["v2", "v3"])
def test_chunks_of_zarr_v3_go_out_as_they_are(tmp_path: Path, order: str, chunk, options, dialect: str) -> None:
    data = numbered(tuple({"x": 11, "y": 13, "z": 9, "c": chunk[0]}[axis] for axis in order), "uint16")
    write_zarr3(tmp_path / "a/1", data, chunk, **options)
    form = fits(opened(tmp_path, layer("zarr3", "uint16", order=order)).stored, dialect)
    assert form is not None
    np.testing.assert_array_equal(served(form, tmp_path, dialect), expected(data, order, form.axes))


@pytest.mark.parametrize(("order", "chunk", "options"), SHARDED.values(), ids=SHARDED)
def test_shards_go_out_as_they_are(tmp_path: Path, order: str, chunk, options) -> None:
    data = numbered(tuple({"x": 11, "y": 13, "z": 9, "c": options["shard"][0]}[axis] for axis in order), "uint16")
    write_zarr3(tmp_path / "a/1", data, chunk, **options)
    stored = opened(tmp_path, layer("zarr3", "uint16", order=order)).stored
    assert fits(stored, "v2") is None
    form = fits(stored, "v3")
    assert form is not None
    assert form.shard is not None
    np.testing.assert_array_equal(served(form, tmp_path, "v3"), expected(data, order, form.axes))


@pytest.mark.parametrize("dialect", ["v2", "v3"])
def test_additional_axes_stand_in_front(tmp_path: Path, dialect: str) -> None:
    data = numbered((3, 2, 9, 13, 11))
    write_zarr3(tmp_path / "a/1", data, (1, 1, 4, 4, 4))
    stored = opened(tmp_path, layer("zarr3", order=".czyx", extra=(ExtraAxis("t", 0, 3, 0),))).stored
    form = fits(stored, dialect)
    assert form is not None
    assert form.axes == ("t", "c", "z", "y", "x")
    np.testing.assert_array_equal(served(form, tmp_path, dialect), data)


@pytest.mark.parametrize("dialect", ["v2", "v3"])
def test_one_channel_with_chunks_of_its_own(tmp_path: Path, dialect: str) -> None:
    data = numbered((3, 9, 13, 11))
    write_zarr3(tmp_path / "a/1", data, (1, 4, 4, 4))
    form = fits(opened(tmp_path, layer("zarr3", order="czyx", channels=1, channel_index=2)).stored, dialect)
    assert form is not None
    np.testing.assert_array_equal(served(form, tmp_path, dialect), data[2])


def test_chunks_that_have_to_be_turned_or_decoded_do_not_fit(tmp_path: Path) -> None:
    data = numbered((8, 8, 8), "uint16")

    def form(dialect: str = "v3", *, order: str = "zyx", **options):
        chunk = options.pop("chunk", (4, 4, 4))
        write_zarr3(tmp_path / "a/1", data, chunk, **options)
        return fits(opened(tmp_path, layer("zarr3", "uint16", order=order)).stored, dialect)

    assert form() is not None
    assert form(order="xyz") is None
    assert form(codecs=[BIG]) is None
    assert form("v2", codecs=[LITTLE, {"name": "crc32c"}]) is None
    assert form(shard=(8, 8, 8), index_location="start") is None
    assert form(shard=(8, 8, 8), index_codecs=[INDEX[0]]) is None
    assert form(order="xyz", chunk=(1, 1, 1), shard=(4, 4, 4)) is None


@pytest.mark.parametrize("compressor", [{"id": "bz2", "level": 1}, {**BLOSC_V2, "cname": "snappy"}], ids=str)
def test_codecs_that_not_every_client_has_do_not_fit(tmp_path: Path, compressor) -> None:
    write_zarr2(tmp_path / "a/1", numbered((8, 8, 8)), (4, 4, 4), compressor=compressor)
    stored = opened(tmp_path, layer("zarr", order="zyx")).stored
    assert fits(stored, "v2") is None
    assert fits(stored, "v3") is None


def test_big_endian_numbers_do_not_fit_but_single_bytes_do(tmp_path: Path) -> None:
    write_zarr2(tmp_path / "a/1", numbered((8, 8, 8), "uint16"), (4, 4, 4), dtype=">u2")
    assert fits(opened(tmp_path, layer("zarr", "uint16", order="zyx")).stored, "v2") is None
    write_zarr2(tmp_path / "b/1", numbered((8, 8, 8), "uint8"), (4, 4, 4))
    assert fits(opened(tmp_path, layer("zarr", order="zyx", folder="b/1")).stored, "v2") is not None


def test_a_channel_among_others_in_a_chunk_does_not_fit(tmp_path: Path) -> None:
    write_zarr3(tmp_path / "a/1", numbered((3, 8, 8, 8)), (3, 4, 4, 4))
    assert fits(opened(tmp_path, layer("zarr3", order="czyx", channels=1, channel_index=0)).stored, "v3") is None


def test_n5_does_not_fit(tmp_path: Path) -> None:
    write_n5(tmp_path / "a/1", numbered((8, 8, 8)), (4, 4, 4))
    assert fits(opened(tmp_path, layer("n5")).stored, "v2") is None


def test_fill_values_that_json_lacks_are_words() -> None:
    values = [0, -3, 1.5, float("nan"), float("inf"), float("-inf")]
    assert [json_fill(value) for value in values] == [0, -3, 1.5, "NaN", "Infinity", "-Infinity"]


@given(st.permutations("cxyz"), st.sampled_from("CF"), st.tuples(*[st.sampled_from([1, 3, 4])] * 4))
def test_whatever_is_said_to_fit_does(tmp_path_factory, order, memory: str, chunk) -> None:
    """Any order of axes, any chunk: either decoded, or right."""
    root = tmp_path_factory.mktemp("any")
    data = numbered(tuple({"c": 2, "x": 5, "y": 6, "z": 4}[axis] for axis in order))
    write_zarr2(root / "a/1", data, chunk, order=memory)
    form = fits(opened(root, layer("zarr", order="".join(order))).stored, "v2")
    if form is not None:
        np.testing.assert_array_equal(served(form, root, "v2"), expected(data, "".join(order), form.axes))
