"""Zarr trees in memory, opened by the readers that people use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zarrlink.formats.zarr_keys import Dialect


def zarr_store(objects: Mapping[str, bytes]) -> Any:
    """The objects as a store of zarr-python, which cannot be written to."""
    from zarr.core.buffer import default_buffer_prototype
    from zarr.storage import MemoryStore

    make = default_buffer_prototype().buffer.from_bytes
    return MemoryStore({key: make(data) for key, data in objects.items()}, read_only=True)


def zarr_array(objects: Mapping[str, bytes], path: str = "") -> Any:
    """An array as zarr-python opens it."""
    import zarr

    return zarr.open_array(zarr_store(objects), path=path, mode="r")


def tensorstore_array(objects: Mapping[str, bytes], dialect: Dialect, path: str = "") -> Any:
    """An array as tensorstore opens it."""
    import tensorstore as ts

    store = ts.KvStore.open("memory://").result()
    for key, data in objects.items():
        store.write(key, data).result()
    driver = {"v2": "zarr", "v3": "zarr3"}[dialect]
    return ts.open({"driver": driver}, kvstore=store / f"{path}/" if path else store, open=True).result()


def voxels_by_zarr(objects: Mapping[str, bytes], dialect: Dialect, path: str = "") -> NDArray[Any]:
    """All voxels of an array as zarr-python reads them."""
    array = zarr_array(objects, path)
    if array.metadata.zarr_format != int(dialect[1:]):
        raise AssertionError("opened as the other version")
    return np.asarray(array[...])


def voxels_by_tensorstore(objects: Mapping[str, bytes], dialect: Dialect, path: str = "") -> NDArray[Any]:
    """All voxels of an array as tensorstore reads them."""
    return np.asarray(tensorstore_array(objects, dialect, path).read().result())
