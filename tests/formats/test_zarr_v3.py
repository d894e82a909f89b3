"""Zarr v3 documents, opened by zarr-python and tensorstore."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import zarr

from builders.wkw_files import DTYPES
from builders.zarr_readers import tensorstore_array, voxels_by_tensorstore, voxels_by_zarr, zarr_array, zarr_store
from zarrlink.formats.blosc1 import raw_frame_header
from zarrlink.formats.shard_index import ABSENT, encode_index
from zarrlink.formats.zarr_v3 import array_metadata, group_metadata

Reader = Callable[..., np.ndarray[Any, Any]]
BOTH = pytest.mark.parametrize("read", [voxels_by_zarr, voxels_by_tensorstore])


def document(dtype: str = "uint8", **changed: Any) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "shape": (3, 4, 5),
        "chunk": (2, 4, 4),
        "shard": None,
        "dtype": dtype,
        "item_bytes": np.dtype(dtype).itemsize,
        "stored_axes": None,
        "dimension_names": ("z", "y", "x"),
        "attributes": {"mag": [1, 1, 1]},
    }
    return array_metadata(**{**facts, **changed})


def framed(voxels: np.ndarray[Any, Any]) -> bytes:
    return raw_frame_header(voxels.nbytes, voxels.itemsize) + voxels.tobytes()


def tree(array: dict[str, Any], **chunks: bytes) -> dict[str, bytes]:
    return {
        "zarr.json": json.dumps(array, allow_nan=False).encode(),
        **{k.replace("_", "/"): v for k, v in chunks.items()},
    }


@pytest.mark.parametrize("dtype", DTYPES)
@BOTH
def test_readers_see_the_voxels_and_zero_where_a_chunk_is_absent(read: Reader, dtype: str) -> None:
    voxels = np.arange(1, 33).reshape(2, 4, 4).astype(dtype)
    seen = read(tree(document(dtype), c_0_0_0=framed(voxels)), "v3")
    assert seen.dtype == voxels.dtype
    np.testing.assert_array_equal(seen[:2, :4, :4], voxels)
    assert not seen[2:].any()
    assert not seen[:, :, 4:].any()


@BOTH
def test_readers_see_interleaved_channels_in_front(read: Reader) -> None:
    interleaved = np.arange(1, 2 * 4 * 4 * 3 + 1, dtype=np.uint8).reshape(2, 4, 4, 3)
    array = document(
        shape=(3, 3, 4, 5), chunk=(3, 2, 4, 4), stored_axes=(1, 2, 3, 0), dimension_names=("c", "z", "y", "x")
    )
    seen = read(tree(array, c_0_0_0_0=framed(interleaved)), "v3")
    np.testing.assert_array_equal(seen[:, :2, :4, :4], np.moveaxis(interleaved, 3, 0))


@BOTH
def test_readers_see_the_chunks_of_a_shard(read: Reader) -> None:
    voxels = np.arange(1, 2 * 2 * 4 + 1, dtype=np.uint16).reshape(2, 2, 4)
    array = document("uint16", shape=(2, 2, 7), chunk=(2, 2, 4), shard=(2, 2, 8))
    body = framed(voxels)
    shard = body + encode_index([ABSENT, (0, len(body))])
    seen = read(tree(array, c_0_0_0=shard), "v3")
    np.testing.assert_array_equal(seen[:, :, 4:], voxels[:, :, :3])
    assert not seen[:, :, :4].any()


@BOTH
def test_readers_see_the_interleaved_chunks_of_a_shard(read: Reader) -> None:
    interleaved = np.arange(1, 2 * 2 * 4 * 3 + 1, dtype=np.uint8).reshape(2, 2, 4, 3)
    array = document(
        shape=(3, 2, 2, 8),
        chunk=(3, 2, 2, 4),
        shard=(3, 2, 2, 8),
        stored_axes=(1, 2, 3, 0),
        dimension_names=("c", "z", "y", "x"),
    )
    body = framed(interleaved)
    shard = body + encode_index([(0, len(body)), ABSENT])
    seen = read(tree(array, c_0_0_0_0=shard), "v3")
    np.testing.assert_array_equal(seen[..., :4], np.moveaxis(interleaved, 3, 0))


def test_zarr_python_sees_shape_chunks_and_shards() -> None:
    array = zarr_array(tree(document(shape=(8, 8, 8), chunk=(2, 4, 4), shard=(4, 8, 8))))
    assert (array.shape, array.chunks, array.shards) == ((8, 8, 8), (2, 4, 4), (4, 8, 8))
    assert array.metadata.dimension_names == ("z", "y", "x")
    assert dict(array.attrs) == {"mag": [1, 1, 1]}


def test_tensorstore_sees_shape_chunks_and_shards() -> None:
    array = tensorstore_array(tree(document(shape=(8, 8, 8), chunk=(2, 4, 4), shard=(4, 8, 8))), "v3")
    assert tuple(array.shape) == (8, 8, 8)
    assert array.chunk_layout.read_chunk.shape == (2, 4, 4)
    assert array.chunk_layout.write_chunk.shape == (4, 8, 8)
    assert tuple(array.domain.labels) == ("z", "y", "x")


def nulls(part: object) -> bool:
    match part:
        case dict():
            return any(map(nulls, part.values()))
        case list():
            return any(map(nulls, part))
        case _:
            return part is None


@pytest.mark.parametrize("shard", [None, (4, 8, 8)])
def test_nothing_is_null(shard: tuple[int, ...] | None) -> None:
    array = document(shape=(8, 8, 8), shard=shard)
    assert not nulls(array)
    assert not nulls(group_metadata(attributes={}, arrays={"0": array}))


def test_the_index_of_a_shard_lies_at_its_end() -> None:
    (sharding,) = document(shape=(8, 8, 8), shard=(4, 8, 8))["codecs"]
    assert sharding["configuration"]["index_location"] == "end"


def test_zarr_python_finds_arrays_and_attributes_in_the_consolidated_metadata() -> None:
    group = group_metadata(attributes={"note": "of the group"}, arrays={"0": document()})
    opened = zarr.open_consolidated(zarr_store({"zarr.json": json.dumps(group).encode()}), zarr_format=3, mode="r")
    assert dict(opened.attrs) == {"note": "of the group"}
    assert opened["0"].shape == (3, 4, 5)
