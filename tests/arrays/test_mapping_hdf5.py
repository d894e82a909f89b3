"""Hostile and damaged HDF5 files: no other file is opened, no plugin loaded, no more made than expected."""

import asyncio
import contextlib
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from builders.agglomerate_files import TABLE, hdf5_agglomerates, hdf5_file, table
from zarrlink.arrays.decoding import unlzf
from zarrlink.arrays.mapping import open_mapping
from zarrlink.arrays.table import TableCache
from zarrlink.errors import CorruptFile, SourceUnavailable, UnsupportedLayer, ZarrlinkError
from zarrlink.storage.files import LocalFiles
from zarrlink.storage.memory import MemorySource

KEY = "seg/agglomerates/m.hdf5"


def apply(data: bytes, ids: list[int] | None = None) -> list[int]:
    async def run() -> np.ndarray:
        mapping = await open_mapping(MemorySource({KEY: data}), "seg", "m", (), TableCache())
        return await mapping.apply(np.array([5] if ids is None else ids, np.uint32))

    return asyncio.run(run()).tolist()


def refused(data: bytes, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        apply(data)


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file beside the dataset that a mapping must not reach."""
    path = tmp_path / "secret.hdf5"
    path.write_bytes(hdf5_agglomerates(table(100, 9)))
    return path


def test_a_link_to_another_file_is_refused(victim: Path) -> None:
    def write(file: h5py.File) -> None:
        file[TABLE] = h5py.ExternalLink(str(victim), TABLE)

    refused(hdf5_file(write), UnsupportedLayer, "mapping 'm' cannot be applied: .* link to elsewhere")


def test_a_soft_link_is_refused_even_where_it_leads_to_an_external_one(victim: Path) -> None:
    def write(file: h5py.File) -> None:
        file["away"] = h5py.ExternalLink(str(victim), "/")
        file[TABLE] = h5py.SoftLink(f"/away/{TABLE}")

    refused(hdf5_file(write), UnsupportedLayer, "link to elsewhere")


@pytest.mark.parametrize("maxshape", [None, (None,)])
def test_a_virtual_dataset_is_refused(victim: Path, maxshape: Any) -> None:
    def write(file: h5py.File) -> None:
        layout = h5py.VirtualLayout((101,), "u8", maxshape=maxshape)
        layout[:] = h5py.VirtualSource(str(victim), TABLE, (101,), maxshape=maxshape)
        file.create_virtual_dataset(TABLE, layout)

    refused(hdf5_file(write, libver="latest"), UnsupportedLayer, "not stored in the file")


def test_a_virtual_dataset_does_not_even_open_its_source(tmp_path: Path) -> None:
    """A named pipe without a writer: whoever opened it would wait for ever."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def write(file: h5py.File) -> None:
        layout = h5py.VirtualLayout((101,), "u8", maxshape=(None,))
        layout[: h5py.h5s.UNLIMITED] = h5py.VirtualSource(str(pipe), TABLE, (101,), maxshape=(None,))[
            : h5py.h5s.UNLIMITED
        ]
        file.create_virtual_dataset(TABLE, layout)

    refused(hdf5_file(write, libver="latest"), UnsupportedLayer, "not stored in the file")


def test_external_storage_is_refused(victim: Path) -> None:
    def write(file: h5py.File) -> None:
        file.create_dataset(TABLE, (101,), "u8", external=[(str(victim), 0, 808)])

    refused(hdf5_file(write), UnsupportedLayer, "not stored in the file")


def test_a_filter_that_would_be_a_plugin_is_refused() -> None:
    def write(file: h5py.File) -> None:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_chunk((10,))
        plan.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (3,))
        space = h5py.h5s.create_simple((100,))
        h5py.h5d.create(file.id, TABLE.encode(), h5py.h5t.STD_U64LE, space, plan)

    refused(hdf5_file(write), UnsupportedLayer, "other means than gzip")


@pytest.mark.parametrize("options", [{"fletcher32": True}, {"scaleoffset": 0}])
def test_other_filters_are_refused(options: dict[str, Any]) -> None:
    refused(hdf5_agglomerates(table(100, 9), chunks=(10,), **options), UnsupportedLayer, "other means than gzip")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.arange(10, dtype="f8"), "whole numbers"),
        (np.zeros(10, "?"), "whole numbers"),
        (np.zeros(10, [("a", "u8")]), "whole numbers"),
        (np.array([b"x"] * 10), "whole numbers"),
        (np.zeros((5, 5), "u8"), "not a list"),
        (np.uint64(3), "not a list"),
        (np.zeros(0, "u8"), "not a list"),
    ],
)
def test_what_is_no_list_of_whole_numbers_is_refused(value: Any, words: str) -> None:
    refused(hdf5_file(lambda file: file.create_dataset(TABLE, data=value) and None), UnsupportedLayer, words)


@pytest.mark.parametrize("dtype", ["<i8", "<i4", ">i2", "i1"])
@pytest.mark.parametrize(
    "options", [{}, {"chunks": (30,), "compression": "gzip", "shuffle": True}], ids=["one", "chunks"]
)
def test_signed_numbers_are_read_and_a_negative_one_is_damage(dtype: str, options: dict[str, Any]) -> None:
    entries = table(100, 90).astype(dtype)
    data = hdf5_file(lambda file: file.create_dataset(TABLE, data=entries, **options) and None)
    ids = list(range(101))
    assert apply(data, ids) == entries.tolist()

    entries[77] = -3
    data = hdf5_file(lambda file: file.create_dataset(TABLE, data=entries, **options) and None)
    with pytest.raises(CorruptFile, match="mapping 'm': it holds a negative agglomerate id"):
        apply(data, ids)


def test_a_group_or_nothing_of_that_name_is_damage() -> None:
    refused(hdf5_file(lambda file: file.create_group(TABLE) and None), CorruptFile, "no dataset")
    refused(hdf5_file(lambda file: file.create_group("x") and None), CorruptFile, f"holds no {TABLE}")


def test_a_compact_table_and_a_user_block_are_refused() -> None:
    def write(file: h5py.File) -> None:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((10,))
        h5py.h5d.create(file.id, TABLE.encode(), h5py.h5t.STD_U64LE, space, plan)

    refused(hdf5_file(write), UnsupportedLayer, "not stored in the file as plain chunks")
    data = hdf5_file(lambda file: file.create_dataset(TABLE, data=table(9, 3)) and None, userblock_size=512)
    refused(data, UnsupportedLayer, "user block")


def test_chunks_too_large_to_read_for_one_segment_are_refused() -> None:
    def write(file: h5py.File) -> None:
        file.create_dataset(TABLE, (2**33,), "u8", chunks=(2**22,))

    refused(hdf5_file(write), UnsupportedLayer, "4194304 entries, too many")


@pytest.mark.parametrize("chunks", [None, (10,)])
def test_what_was_never_written_is_damage_and_never_zeros(chunks: Any) -> None:
    def write(file: h5py.File) -> None:
        file.create_dataset(TABLE, (100,), "u8", chunks=chunks)

    refused(hdf5_file(write), CorruptFile, "never written")


# Made once: HDF5 does not make the same file twice.
FILES = {
    "one piece": hdf5_agglomerates(table(30_000, 9)),
    "chunks": hdf5_agglomerates(table(30_000, 9), chunks=(1000,), compression="gzip"),
    "lzf": hdf5_agglomerates(table(30_000, 9), chunks=(1000,), compression="lzf", shuffle=True),
    "latest": hdf5_agglomerates(table(30_000, 9), chunks=(1000,), libver="latest"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_anywhere_is_damage(name: str) -> None:
    data = FILES[name]
    for length in [*range(0, 600, 37), *range(600, len(data), len(data) // 30), len(data) - 1]:
        with pytest.raises(CorruptFile, match="mapping"):
            apply(data[:length], [29_999])


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(FILES)), data=st.data())
def test_a_file_with_bad_bytes_gives_numbers_or_one_of_our_errors(name: str, data: st.DataObject) -> None:
    whole = bytearray(FILES[name])
    places = st.integers(0, min(len(whole), 12_000) - 1) | st.integers(0, len(whole) - 1)
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=8)):
        whole[place] = value
    with contextlib.suppress(ZarrlinkError):
        assert len(apply(bytes(whole), [5, 29_999])) == 2


@pytest.mark.parametrize("data", [b"", b"x", b"\x89HDF\r\n\x1a\n", b"\0" * 100_000])
def test_what_is_no_hdf5_file_is_damage(data: bytes) -> None:
    refused(data, CorruptFile, "mapping 'm'")


def test_a_deflate_bomb_is_damage() -> None:
    raw = 1000 * 8
    honest = hdf5_agglomerates(np.zeros(1000, "u8"), chunks=(1000,), compression="gzip")
    stored = zlib.compress(bytes(raw), 4)
    assert honest.count(stored) == 1
    bomb = zlib.compress(bytes(10**6), 9)
    # In place of the chunk: the file is longer, its own length and the chunk's are put right.
    at = honest.index(stored)
    assert len(bomb) < raw
    hostile = bytearray(honest[:at] + stored + honest[at + len(stored) :])
    hostile[at:] = hostile[at:].ljust(len(hostile) - at + len(bomb), b"\0")
    hostile[len(honest) :] = bomb
    hostile = bytearray(bytes(hostile).replace(struct.pack("<Q", at), struct.pack("<Q", len(honest))))
    hostile = bytearray(bytes(hostile).replace(struct.pack("<II", len(stored), 0), struct.pack("<II", len(bomb), 0)))
    hostile = bytearray(bytes(hostile).replace(struct.pack("<Q", len(honest)), struct.pack("<Q", len(hostile)), 1))
    with pytest.raises(CorruptFile, match="deflate stream has the wrong length"):
        apply(bytes(hostile))


@pytest.mark.parametrize(
    "stream",
    [b"\xff", b"\x20\x00", b"\x05ab", b"\xe0", b"\xe0\xff", b"\x00a\xff\xff\xff", b"\x00a" + b"\xe0\xff\x00" * 50],
)
def test_lzf_streams_that_lie_are_damage(stream: bytes) -> None:
    with pytest.raises(ValueError, match="LZF"):
        unlzf(stream, 1000)


def test_lzf_copies_may_overlap() -> None:
    assert unlzf(b"\x01ab\xe0\x00\x01", 11) == b"abababababa"


def test_a_local_file_is_read_the_same_way(tmp_path: Path) -> None:
    path = tmp_path / KEY
    path.parent.mkdir(parents=True)
    entries = table(30_000, 9)
    path.write_bytes(hdf5_agglomerates(entries, chunks=(1000,)))

    async def run(layer: str) -> list[int]:
        mapping = await open_mapping(LocalFiles(tmp_path), layer, "m", (), TableCache())
        return (await mapping.apply(np.array([7, 20_000]))).tolist()

    assert asyncio.run(run("seg")) == entries[[7, 20_000]].tolist()
    with pytest.raises(UnsupportedLayer):
        asyncio.run(run("other"))
    path.unlink()
    path.symlink_to(tmp_path / "gone")
    with pytest.raises(SourceUnavailable):
        asyncio.run(run("seg"))
