"""Agglomerate files in both published layouts, as keys and bytes.

Unverified against real files: none was at hand. Made after the specification of the webknossos library
(docs/src/webknossos-py/spec/agglomerate_attachment.md, version 4) and after what WEBKNOSSOS's readers ask for.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import tensorstore
from numpy.typing import NDArray

Objects = dict[str, bytes]
TABLE = "segment_to_agglomerate"


def table(segments: int, agglomerates: int, *, seed: int = 0, dtype: str = "uint64") -> NDArray[Any]:
    """`segments` + 1 entries; the background stays background, and no segment belongs to it."""
    entries = np.random.default_rng(seed).integers(1, agglomerates + 1, segments + 1).astype(dtype)
    entries[0] = 0
    return entries


def hdf5_file(write: Callable[[h5py.File], None], **options: Any) -> bytes:
    """An HDF5 file of whatever `write` puts into it."""
    target = io.BytesIO()
    with h5py.File(target, "w", **options) as file:
        write(file)
    return target.getvalue()


def hdf5_agglomerates(entries: NDArray[Any], *, libver: str = "earliest", **options: Any) -> bytes:
    """An agglomerate file, with neighbours of the table as real files have them; `options` as of `create_dataset`."""

    def write(file: h5py.File) -> None:
        if entries.max() <= len(entries):
            offsets, segments = inverse(entries)
            file["agglomerate_to_segments_offsets"] = offsets
            file["agglomerate_to_segments"] = segments
        file.create_dataset(TABLE, data=entries, **options)

    return hdf5_file(write, libver=libver)


def zarr3_agglomerates(
    entries: NDArray[Any],
    *,
    chunk: int = 32768,
    shard: int | None = 131072,
    codecs: Sequence[dict[str, Any]] | None = None,
    index_location: str = "end",
    keys: dict[str, Any] | None = None,
) -> Objects:
    """The folder of an agglomerate group, by key below it; the table alone, written by tensorstore as upstream does."""
    inner = list(
        codecs
        or [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "zstd", "configuration": {"level": 5, "checksum": True}},
        ]
    )
    sharding = {
        "chunk_shape": [chunk],
        "codecs": inner,
        "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        "index_location": index_location,
    }
    metadata = {
        "data_type": entries.dtype.name,
        "shape": [len(entries)],
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [shard or chunk]}},
        "chunk_key_encoding": keys or {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": inner if shard is None else [{"name": "sharding_indexed", "configuration": sharding}],
    }
    with tempfile.TemporaryDirectory() as folder:
        store = {"driver": "file", "path": f"{folder}/{TABLE}"}
        array = tensorstore.open({"driver": "zarr3", "kvstore": store, "metadata": metadata}, create=True).result()
        array[:].write(entries).result()
        found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in files_below(Path(folder))}
    return {"zarr.json": b'{"zarr_format": 3, "node_type": "group"}', **found}


def files_below(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def inverse(entries: NDArray[Any]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """`agglomerate_to_segments_offsets` and `agglomerate_to_segments` of a table."""
    segments = np.argsort(entries[1:], kind="stable") + 1
    bounds = np.searchsorted(entries[1:][segments - 1], np.arange(int(entries.max()) + 2))
    return bounds.astype(np.uint64), segments.astype(np.uint64)


def below(folder: str, objects: Objects) -> Objects:
    return {f"{folder}/{key}": data for key, data in objects.items()}
