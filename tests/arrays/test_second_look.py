"""What seemed never to have been written is looked for again, by others than missed it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from builders.foreign_arrays import (
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
from zarrlink.arrays import second_look
from zarrlink.arrays.raw_chunks import RawChunks
from zarrlink.arrays.second_look import never_written
from zarrlink.arrays.volumes import TensorstoreVolume
from zarrlink.errors import CorruptFile, SourceChanged

SIDE, CHUNK = (16, 16, 16), (8, 8, 8)
SHARDING = {
    "@type": "neuroglancer_uint64_sharded_v1",
    "preshift_bits": 1,
    "hash": "identity",
    "minishard_bits": 1,
    "shard_bits": 1,
    "minishard_index_encoding": "gzip",
    "data_encoding": "gzip",
}
TRANSPOSED = {"name": "transpose", "configuration": {"order": [2, 0, 1]}}
FORMS: dict[str, tuple[str, Callable[[Path, np.ndarray], object]]] = {
    "raw": ("zarr", lambda to, data: write_zarr2(to / "a/1", data, CHUNK)),
    "raw v3": ("zarr3", lambda to, data: write_zarr3(to / "a/1", data, CHUNK)),
    "blosc": ("zarr", lambda to, data: write_zarr2(to / "a/1", data, CHUNK, compressor=BLOSC_V2, separator="/")),
    "blosc v3": ("zarr3", lambda to, data: write_zarr3(to / "a/1", data, CHUNK, codecs=[LITTLE, BLOSC_V3])),
    "shard": ("zarr3", lambda to, data: write_zarr3(to / "a/1", data, CHUNK, shard=SIDE, codecs=[LITTLE, BLOSC_V3])),
    "shard of raw": ("zarr3", lambda to, data: write_zarr3(to / "a/1", data, CHUNK, shard=SIDE)),
    "shard transposed inside": (
        "zarr3",
        lambda to, data: write_zarr3(to / "a/1", data, CHUNK, shard=SIDE, codecs=[TRANSPOSED, LITTLE, BLOSC_V3]),
    ),
    "n5": ("n5", lambda to, data: write_n5(to / "a/1", data, CHUNK)),
    "precomputed": (
        "neuroglancerPrecomputed",
        lambda to, data: write_precomputed(to / "a", {"1": data[..., None]}, chunk=CHUNK),
    ),
    "precomputed shard": (
        "neuroglancerPrecomputed",
        lambda to, data: write_precomputed(to / "a", {"1": data[..., None]}, chunk=CHUNK, sharding=SHARDING),
    ),
}
METADATA = {"zarr.json", ".zarray", "attributes.json", "info"}


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> str:
    return request.param


def array_of(form: str, folder: Path, data: np.ndarray) -> Any:
    data_format, write = FORMS[form]
    write(folder, data)
    return opened(folder, layer(data_format, "uint8", channels=1))


@contextmanager
def away(folder: Path) -> Iterator[None]:
    """All objects but the metadata, moved elsewhere."""
    objects = [path for path in folder.rglob("*") if path.is_file() and path.name not in METADATA]
    for path in objects:
        path.rename(path.with_name(f"{path.name}.away"))
    try:
        yield
    finally:
        for path in objects:
            path.with_name(f"{path.name}.away").rename(path)


@pytest.fixture
def missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Objects are away whenever an array's files are read for their voxels, and there whenever they are looked at."""
    decode, read_raw = TensorstoreVolume._decode, RawChunks.read

    async def decode_late(volume: TensorstoreVolume, array: Any, *args: Any) -> Any:
        if array is not volume._opened:
            return await decode(volume, array, *args)
        with away(tmp_path):
            return await decode(volume, array, *args)

    async def read_late(chunks: RawChunks, *args: Any) -> None:
        with away(tmp_path):
            await read_raw(chunks, *args)

    monkeypatch.setattr(TensorstoreVolume, "_decode", decode_late)
    monkeypatch.setattr(RawChunks, "read", read_late)


def test_what_is_missed_twice_though_it_is_there_is_not_fill_value(tmp_path: Path, form: str, missed: None) -> None:
    array = array_of(form, tmp_path, numbered(SIDE, "uint8") | 1)
    for _ in range(2):
        with pytest.raises(SourceChanged):
            read(array, (0, 0, 0), CHUNK)


def test_fill_value_that_was_stored_or_never_written_is_read(tmp_path: Path, form: str) -> None:
    data = np.zeros(SIDE, "uint8")
    data[:8, :8, :8] = numbered(CHUNK, "uint8") | 1
    array = array_of(form, tmp_path, data)
    np.testing.assert_array_equal(np.sort(read(array, (0, 0, 0), SIDE).ravel()), np.sort(data.ravel()))
    assert read(array, (0, 0, 0), CHUNK).all()
    for low in ((8, 0, 0), (0, 8, 0), (0, 0, 8), (8, 8, 8)):
        x, y, z = low
        assert not read(array, low, (x + 8, y + 8, z + 8)).any()
    # Where all of it is fill value, though the object is there.
    assert not read(array, (9, 9, 9), (10, 10, 10)).any()


def test_chunks_of_a_shard_that_were_written_are_not_told_from_its_index(tmp_path: Path) -> None:
    data = np.zeros(SIDE, "uint8")
    data[0, 0, 0] = 1
    array = array_of("shard", tmp_path, data)
    # Of a chunk that was written what is fill value, then a chunk that was not.
    assert not read(array, (1, 0, 0), (2, 1, 1)).any()
    assert not read(array, (8, 0, 0), (16, 8, 8)).any()
    volume = array.volume
    emptied = asyncio.run(never_written(volume._opened, volume._stored, volume._source, "a/1/c/0/0/0"))
    assert emptied is not None
    assert not emptied[8:, :8, :8].read().result().any()
    with pytest.raises(ValueError, match="OUT_OF_RANGE"):
        emptied[:1, :1, 1:2].read().result()


def test_a_shard_whose_index_is_damaged_is_no_fill_value(tmp_path: Path, missed: None) -> None:
    array = array_of("shard", tmp_path, numbered(SIDE, "uint8") | 1)
    path = tmp_path / "a/1/c/0/0/0"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptFile):
        read(array, (0, 0, 0), CHUNK)


def test_what_is_too_large_for_a_copy_is_read_as_before(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second_look, "_COPY_BYTES", 0)
    data = np.zeros(SIDE, "uint8")
    data[0, 0, 0] = data[15, 15, 15] = 1
    array = array_of(form, tmp_path, data)
    assert not read(array, (1, 1, 1), (8, 8, 8)).any()
    assert read(array, (0, 0, 0), SIDE).sum() == 2


def test_it_is_read_in_pieces(tmp_path: Path, form: str, missed: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_look, "_READ_BYTES", 7)
    array = array_of(form, tmp_path, numbered(SIDE, "uint8") | 1)
    with pytest.raises(SourceChanged):
        read(array, (0, 0, 0), CHUNK)
