"""Zarr v2 documents, opened by zarr-python and tensorstore."""

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
from zarrlink.formats.zarr_v2 import GROUP, array_metadata, consolidated

Reader = Callable[..., np.ndarray[Any, Any]]


def one_chunk_array(dtype: str) -> tuple[dict[str, bytes], np.ndarray[Any, Any]]:
    """Shape 3 x 4 x 5 in chunks of 2 x 4 x 4, of which only the first is there."""
    voxels = np.arange(1, 33).reshape(2, 4, 4).astype(dtype)
    frame = raw_frame_header(voxels.nbytes, voxels.itemsize) + voxels.tobytes()
    document = array_metadata(shape=(3, 4, 5), chunks=(2, 4, 4), dtype=dtype)
    expected = np.zeros((3, 4, 5), dtype)
    expected[:2, :4, :4] = voxels
    return {".zarray": json.dumps(document, allow_nan=False).encode(), "0/0/0": frame}, expected


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("read", [voxels_by_zarr, voxels_by_tensorstore])
def test_readers_see_the_voxels_and_zero_where_a_chunk_is_absent(read: Reader, dtype: str) -> None:
    tree, expected = one_chunk_array(dtype)
    seen = read(tree, "v2")
    assert seen.dtype == expected.dtype
    np.testing.assert_array_equal(seen, expected)


def test_zarr_python_sees_shape_and_chunks() -> None:
    array = zarr_array(one_chunk_array("uint16")[0])
    assert (array.shape, array.chunks, array.fill_value, array.order) == ((3, 4, 5), (2, 4, 4), 0, "C")


def test_tensorstore_sees_shape_and_chunks() -> None:
    array = tensorstore_array(one_chunk_array("uint16")[0], "v2")
    assert tuple(array.shape) == (3, 4, 5)
    assert array.chunk_layout.read_chunk.shape == (2, 4, 4)


def test_zarr_python_finds_the_arrays_of_a_group_in_its_consolidated_metadata() -> None:
    array = array_metadata(shape=(3, 4, 5), chunks=(2, 4, 4), dtype="uint8")
    whole = consolidated({".zgroup": GROUP, "0/.zarray": array})
    tree = {".zgroup": json.dumps(GROUP).encode(), ".zmetadata": json.dumps(whole).encode()}
    group = zarr.open_consolidated(zarr_store(tree), zarr_format=2, mode="r")
    assert group["0"].shape == (3, 4, 5)


def test_a_type_that_zarr_v2_does_not_know_is_no_array() -> None:
    with pytest.raises(KeyError):
        array_metadata(shape=(1,), chunks=(1,), dtype="uint24")
