"""A mapping gives every voxel its agglomerate, or an error: never its raw id, never black."""

import asyncio
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builders.agglomerate_files import below, hdf5_agglomerates, table, zarr3_agglomerates
from zarrlink.arrays.mapping import TableMapping, open_mapping
from zarrlink.arrays.table import TableCache
from zarrlink.byte_range import ByteRange
from zarrlink.errors import CorruptFile, SourceChanged, SourceUnavailable, UnsupportedLayer
from zarrlink.formats.agglomerates import Attachment
from zarrlink.storage.files import LocalFiles
from zarrlink.storage.interface import Blob, ByteSource, Stat
from zarrlink.storage.memory import MemorySource
from zarrlink.storage.metered import Meter, metered

HDF5, ZARR3 = "seg/agglomerates/m.hdf5", "seg/agglomerates/m"
LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}
BIG = {"name": "bytes", "configuration": {"endian": "big"}}
GZIP = {"name": "gzip", "configuration": {"level": 5}}
BLOSC = {
    "name": "blosc",
    "configuration": {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 8, "blocksize": 0},
}
V2_KEYS = {"name": "v2", "configuration": {"separator": "."}}
Objects = dict[str, bytes]
Make = Callable[[np.ndarray], Objects]


def hdf5(**options: Any) -> Make:
    return lambda entries: {HDF5: hdf5_agglomerates(entries, **options)}


def zarr3(**options: Any) -> Make:
    return lambda entries: below(ZARR3, zarr3_agglomerates(entries, **options))


FORMS: dict[str, Make] = {
    "hdf5": hdf5(),
    "hdf5 chunks": hdf5(chunks=(1000,)),
    "hdf5 gzip": hdf5(chunks=(5000,), compression="gzip"),
    "hdf5 gzip shuffle": hdf5(chunks=(5000,), compression="gzip", shuffle=True),
    "hdf5 lzf": hdf5(chunks=(70000,), compression="lzf"),
    "hdf5 lzf shuffle": hdf5(chunks=(4096,), compression="lzf", shuffle=True),
    "hdf5 chosen chunks": hdf5(chunks=True, compression="gzip"),
    "hdf5 latest": hdf5(chunks=(3000,), libver="latest"),
    "hdf5 latest resizable": hdf5(chunks=(3000,), libver="latest", maxshape=(None,)),
    "zarr3": zarr3(),
    "zarr3 small chunks": zarr3(chunk=1000, shard=7000),
    "zarr3 index first": zarr3(chunk=4096, shard=8192, index_location="start"),
    "zarr3 unsharded": zarr3(shard=None, chunk=10000),
    "zarr3 many objects": zarr3(shard=None, chunk=1000),
    "zarr3 many shards": zarr3(shard=2000, chunk=500),
    "zarr3 gzip": zarr3(codecs=[LITTLE, GZIP]),
    "zarr3 blosc": zarr3(codecs=[LITTLE, BLOSC]),
    "zarr3 big-endian, checked, v2 keys": zarr3(codecs=[BIG, GZIP, {"name": "crc32c"}], shard=None, keys=V2_KEYS),
    "zarr3 checked before": zarr3(codecs=[LITTLE, {"name": "crc32c"}, BLOSC]),
    "zarr3 raw": zarr3(codecs=[LITTLE]),
}


async def open_m(source: ByteSource, cache: TableCache | None = None, **more: Any) -> TableMapping:
    return await open_mapping(source, "seg", "m", more.get("attachments", ()), cache or TableCache())


def mapped(source: ByteSource, ids: np.ndarray) -> np.ndarray:
    async def run() -> np.ndarray:
        return await (await open_m(source)).apply(ids)

    return asyncio.run(run())


def refused(objects: Objects, error: type[Exception], words: str, ids: int = 5) -> None:
    with pytest.raises(error, match=words):
        mapped(MemorySource(objects), np.array([ids], np.uint32))


@pytest.mark.parametrize("form", FORMS)
def test_values_are_those_of_a_plain_lookup(form: str) -> None:
    entries = table(130_000, 40_000)
    source = MemorySource(FORMS[form](entries))
    ids = np.random.default_rng(1).integers(0, len(entries), (7, 11, 13)).astype(np.uint32)
    ids[2] = 0
    ids[3] = len(entries) - 1
    found = mapped(source, ids)
    assert found.dtype == ids.dtype
    np.testing.assert_array_equal(found, entries[ids])


@pytest.mark.parametrize("make", [hdf5(), hdf5(chunks=(100,), compression="gzip"), zarr3(chunk=64, shard=256)])
@pytest.mark.parametrize("stored", ["uint8", "uint16", "uint32", "uint64"])
@pytest.mark.parametrize(
    "layer", ["uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", ">u4", ">i8"]
)
def test_every_type_of_segmentation_and_table(make: Make, stored: str, layer: str) -> None:
    entries = table(120, 100, dtype=stored)
    ids = np.arange(121).reshape(11, 11).astype(layer)
    found = mapped(MemorySource(make(entries)), ids)
    assert found.dtype == np.dtype(layer)
    np.testing.assert_array_equal(found, entries[ids.astype(int)].astype(layer))


SMALL = table(5000, 200, seed=3, dtype="uint16")
SMALL_OBJECTS = [
    hdf5(chunks=(512,), compression="gzip", shuffle=True)(SMALL),
    hdf5(chunks=(300,), compression="lzf")(SMALL),
    zarr3(chunk=128, shard=1024)(SMALL),
]


@settings(max_examples=60)
@given(
    form=st.integers(0, 2),
    shape=st.tuples(st.integers(0, 4), st.integers(0, 9), st.integers(1, 9)),
    order=st.sampled_from("CF"),
    data=st.data(),
)
def test_any_array_of_known_segments(form: int, shape: tuple[int, ...], order: str, data: st.DataObject) -> None:
    size = int(np.prod(shape))
    ids = np.array(data.draw(st.lists(st.integers(0, 5000), min_size=size, max_size=size)), np.int64)
    ids = np.asarray(ids.reshape(shape), order=order)
    found = mapped(MemorySource(SMALL_OBJECTS[form]), ids)
    assert found.shape == shape
    np.testing.assert_array_equal(found, SMALL[ids])


def test_a_large_array_is_mapped_in_a_thread() -> None:
    ids = np.random.default_rng(0).integers(0, 5001, (64, 64, 64)).astype(np.uint16)
    np.testing.assert_array_equal(mapped(MemorySource(SMALL_OBJECTS[0]), ids), SMALL[ids])
    slices = np.repeat(ids, 3, axis=2)[:, ::2]
    np.testing.assert_array_equal(mapped(MemorySource(SMALL_OBJECTS[2]), slices), SMALL[slices])


def test_background_stays_background_whatever_the_table_says_and_costs_no_request() -> None:
    entries = table(100, 9)
    entries[0] = 7
    meter = Meter()

    async def run() -> None:
        mapping = await open_m(metered(MemorySource(hdf5()(entries)), meter))
        meter.reset()
        assert not (await mapping.apply(np.zeros((4, 4, 4), np.uint32))).any()
        assert meter.requests == 0

    asyncio.run(run())


@pytest.mark.parametrize("form", ["hdf5", "hdf5 gzip", "zarr3", "zarr3 unsharded"])
@pytest.mark.parametrize(
    ("segment", "dtype"), [(6001, "uint32"), (2**64 - 1, "uint64"), (-3, "int32"), (2**63, "uint64")]
)
def test_a_segment_outside_of_the_table_is_an_error(form: str, segment: int, dtype: str) -> None:
    source = MemorySource(FORMS[form](table(6000, 9)))
    with pytest.raises(CorruptFile, match=f"segment {segment} is not in the mapping 'm'"):
        mapped(source, np.array([0, 5, segment], dtype))


def test_an_agglomerate_that_does_not_fit_the_layer_is_an_error() -> None:
    entries = np.array([0, 255, 256], np.uint64)
    source = MemorySource(hdf5()(entries))
    assert mapped(source, np.array([1], np.uint8)) == 255
    with pytest.raises(UnsupportedLayer, match="do not fit the layer's uint8"):
        mapped(source, np.array([2], np.uint8))
    with pytest.raises(UnsupportedLayer, match="do not fit the layer's int8"):
        mapped(source, np.array([1], np.int8))


def test_the_largest_ids_survive() -> None:
    entries = np.array([0, 2**64 - 1, 2**63], np.uint64)
    for make in (hdf5(), zarr3()):
        found = mapped(MemorySource(make(entries)), np.array([2, 1], np.uint64))
        assert found.tolist() == [2**63, 2**64 - 1]


def test_only_whole_numbers_are_segments() -> None:
    with pytest.raises(UnsupportedLayer, match="whole numbers, not float32"):
        mapped(MemorySource(hdf5()(table(10, 3))), np.zeros(3, np.float32))


def test_a_mapping_that_is_missing_is_an_error_by_name() -> None:
    refused({}, UnsupportedLayer, "layer 'seg' has no mapping 'm'")


def test_a_described_mapping_whose_file_is_missing_is_not_looked_for_elsewhere() -> None:
    source = MemorySource(hdf5()(table(10, 3)))
    attachments = [Attachment("m", "seg/agglomerates/other.hdf5", "hdf5")]
    with pytest.raises(UnsupportedLayer, match="no mapping 'm', or its file is missing"):
        asyncio.run(open_m(source, attachments=attachments))


def test_a_described_mapping_is_read_where_it_lies() -> None:
    entries = table(10, 3)
    source = MemorySource({"elsewhere/x.h5": hdf5()(entries)[HDF5]})
    ids = np.arange(10, dtype=np.uint32)

    async def shown() -> np.ndarray:
        return await (await open_m(source, attachments=[Attachment("m", "./elsewhere/x.h5", "hdf5")])).apply(ids)

    np.testing.assert_array_equal(asyncio.run(shown()), entries[ids])


class Failing:
    """Fails from the request `after` on."""

    absence_trust_s = 0.0
    name = "failing"

    def __init__(self, inner: ByteSource, after: int) -> None:
        self.inner, self.left = inner, after

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise SourceUnavailable("throttled")

    async def read(
        self, key: str, part: ByteRange | None = None, *, if_match: str | None = None, head_bytes: int = 0
    ) -> Blob | None:
        self._count()
        return await self.inner.read(key, part, if_match=if_match, head_bytes=head_bytes)

    async def stat(self, key: str) -> Stat | None:
        self._count()
        return await self.inner.stat(key)


@pytest.mark.parametrize("form", FORMS)
def test_a_store_that_fails_at_any_request_is_an_error(form: str) -> None:
    entries = table(130_000, 9)
    objects = FORMS[form](entries)
    ids = np.array([0, 5, 100_000], np.uint32)
    meter = Meter()
    mapped(metered(MemorySource(objects), meter), ids)
    assert meter.requests >= 2
    for after in range(meter.requests):
        with pytest.raises(SourceUnavailable):
            mapped(Failing(MemorySource(objects), after), ids)


def test_after_a_failure_the_mapping_works_again() -> None:
    source = Failing(MemorySource(hdf5()(table(100, 9))), 100)

    async def run() -> None:
        mapping = await open_m(source)
        source.left = 0
        ids = np.array([5])
        both = await asyncio.gather(mapping.apply(ids), mapping.apply(ids), return_exceptions=True)
        assert [type(error) for error in both] == [SourceUnavailable, SourceUnavailable]
        source.left = 100
        assert (await mapping.apply(ids)).all()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("form", "opening", "cold", "warm"),
    [
        ("hdf5", 3, 1, 0),  # neighbours lie between the file's start, the root group's entries and the table's header
        ("hdf5 gzip", 3, 1, 0),  # the chunk index lies beside the table's header; eight chunks at once
        ("hdf5 latest", 2, 2, 0),
        ("zarr3", 3, 2, 0),  # no HDF5 file, metadata, a look at the shard; its index, two chunks at once
        ("zarr3 unsharded", 16, 1, 0),
        ("zarr3 many objects", 2, 1, 0),  # too many to be looked at
        ("zarr3 many shards", 2, 3, 0),
    ],
)
def test_how_often_the_store_is_asked(form: str, opening: int, cold: int, warm: int) -> None:
    meter = Meter()
    source = metered(MemorySource(FORMS[form](table(130_000, 40_000))), meter)

    async def run() -> None:
        cache = TableCache()
        mapping = await open_m(source, cache)
        counts = [meter.requests]
        for _ in range(2):
            meter.reset()
            await mapping.apply(np.arange(120_000, 120_100))
            counts.append(meter.requests)
        assert counts == [opening, cold, warm]

    asyncio.run(run())


@pytest.mark.parametrize(("form", "requests"), [("hdf5 latest", 1 + 3), ("zarr3", 1 + 2)])
def test_pages_under_way_at_the_same_time_share_what_leads_to_them(form: str, requests: int) -> None:
    meter = Meter()
    entries = table(130_000, 40_000)
    source = metered(MemorySource(FORMS[form](entries)), meter)
    ids = np.arange(1, 130_001, 100)

    async def run() -> None:
        mapping = await open_m(source)
        meter.reset()
        np.testing.assert_array_equal(await mapping.apply(ids), entries[ids])
        assert meter.requests == requests

    asyncio.run(run())


def test_readers_of_the_same_page_share_one_request_even_if_the_first_one_leaves() -> None:
    meter = Meter()
    source = metered(MemorySource(FORMS["hdf5"](SMALL)), meter)

    async def run() -> None:
        mapping = await open_m(source)
        meter.reset()
        readers = [asyncio.create_task(mapping.apply(np.array([number]))) for number in range(1, 20)]
        await asyncio.sleep(0)
        readers[0].cancel()
        results = await asyncio.gather(*readers, return_exceptions=True)
        assert isinstance(results[0], asyncio.CancelledError)
        assert [int(found[0]) for found in results[1:]] == SMALL[2:20].tolist()
        assert meter.requests == 1

    asyncio.run(run())


@pytest.mark.parametrize("form", FORMS)
def test_a_changed_file_is_never_mixed_with_what_was_read_before(form: str) -> None:
    old, new = table(130_000, 9, seed=1), table(130_000, 9, seed=2)
    source = MemorySource(FORMS[form](old))
    ids = np.array([5, 100_000], np.uint32)

    async def run() -> None:
        cache = TableCache()
        mapping = await open_m(source, cache)
        np.testing.assert_array_equal(await mapping.apply(ids[:1]), old[ids[:1]])
        source.objects.update(FORMS[form](new))
        if form not in ("zarr3 many objects", "zarr3 many shards"):
            with pytest.raises(SourceChanged):
                await mapping.apply(ids[1:])
            again = await open_m(source, cache)
            assert again.etag != mapping.etag
            np.testing.assert_array_equal(await again.apply(ids), new[ids])

    asyncio.run(run())


def test_a_table_of_many_objects_is_known_by_its_metadata() -> None:
    old, new = table(130_000, 9, seed=1), table(130_001, 9, seed=2)
    source = MemorySource(FORMS["zarr3 many objects"](old))

    async def run() -> None:
        cache = TableCache()
        mapping = await open_m(source, cache)
        assert list(mapping.witnesses) == [f"{ZARR3}/segment_to_agglomerate/zarr.json"]
        await mapping.apply(np.array([5]))
        source.objects.update(FORMS["zarr3 many objects"](new))
        again = await open_m(source, cache)
        np.testing.assert_array_equal(await again.apply(np.array([5])), new[[5]])

    asyncio.run(run())


@pytest.mark.parametrize("form", ["hdf5", "zarr3", "zarr3 unsharded"])
def test_a_file_that_vanishes_is_an_error(form: str) -> None:
    source = MemorySource(FORMS[form](table(130_000, 9)))

    async def run() -> None:
        mapping = await open_m(source)
        source.objects.clear()
        with pytest.raises(SourceChanged):
            await mapping.apply(np.array([5]))

    asyncio.run(run())


def test_memory_stays_bounded_however_long_the_table_is(tmp_path: Path) -> None:
    """A table of 800 MB, which the file system keeps as a hole; ids all over it."""
    (tmp_path / HDF5).parent.mkdir(parents=True)
    entries = 10**8
    with h5py.File(tmp_path / HDF5, "w") as file:
        plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plan.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        plan.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple((entries,))
        h5py.h5d.create(file.id, b"segment_to_agglomerate", h5py.h5t.STD_U64LE, space, plan)
    ids = np.random.default_rng(0).integers(1, entries, 100_000)
    limit = 4 * 2**20

    async def run() -> None:
        cache = TableCache(limit)
        mapping = await open_m(LocalFiles(tmp_path), cache)
        tracemalloc.start()
        try:
            assert not (await mapping.apply(ids)).any()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert cache.pages.used_bytes <= limit
        # The cache, eight pages under way (as read, as decoded, between), a few arrays as long as the ids, tasks.
        assert peak < limit + 8 * 4 * 2**19 + 12 * ids.nbytes + 16 * 2**20
        assert not cache.loading

    asyncio.run(run())


ATTRIBUTES = {
    "wrong type": ({"data_type": "bool"}, UnsupportedLayer, "whole numbers"),
    "float": ({"data_type": "float64"}, UnsupportedLayer, "whole numbers"),
    "two axes": ({"shape": [3, 4]}, UnsupportedLayer, "plain list"),
    "no axis": ({"shape": []}, UnsupportedLayer, "plain list"),
    "grid": ({"chunk_grid": {"name": "rectilinear"}}, UnsupportedLayer, "plain list"),
    "transformer": ({"storage_transformers": [{"name": "x"}]}, UnsupportedLayer, "plain list"),
    "codec": ({"codecs": [LITTLE, {"name": "lzma"}]}, UnsupportedLayer, "other means"),
    "two compressors": ({"codecs": [LITTLE, GZIP, GZIP]}, UnsupportedLayer, "other means"),
    "no bytes": ({"codecs": [GZIP]}, UnsupportedLayer, "first codec is 'gzip'"),
    "codecs of no kind": ({"codecs": ["bytes"]}, CorruptFile, "makes no sense"),
    "configuration of no kind": ({"codecs": [{"name": "bytes", "configuration": []}]}, CorruptFile, "makes no sense"),
    "no codecs": ({"codecs": []}, CorruptFile, "makes no sense"),
    "keys": ({"chunk_key_encoding": {"name": "fancy"}}, UnsupportedLayer, "keys"),
    "traversal": (
        {"chunk_key_encoding": {"name": "default", "configuration": {"separator": "/../"}}},
        UnsupportedLayer,
        "keys",
    ),
    "version": ({"zarr_format": 2}, CorruptFile, "not the metadata"),
    "group": ({"node_type": "group"}, CorruptFile, "not the metadata"),
    "negative": ({"shape": [-1]}, CorruptFile, "length"),
    "true": ({"shape": [True]}, CorruptFile, "length"),
    "endless": ({"shape": [2**60]}, CorruptFile, "length"),
    "huge chunk": (
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2**30]}}},
        UnsupportedLayer,
        "too many",
    ),
    "not a dict": ({"chunk_grid": []}, CorruptFile, "makes no sense"),
}


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_zarr_metadata_that_is_not_read_is_refused(name: str) -> None:
    change, error, words = ATTRIBUTES[name]
    objects = zarr3(shard=None)(table(100, 9))
    key = f"{ZARR3}/segment_to_agglomerate/zarr.json"
    objects[key] = json.dumps(json.loads(objects[key]) | change).encode()
    refused(objects, error, words)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"[" * 100_000, b" " * (2**20 + 1)])
def test_zarr_metadata_that_is_none_is_damage(data: bytes) -> None:
    refused({f"{ZARR3}/segment_to_agglomerate/zarr.json": data}, CorruptFile, "mapping 'm'")


CODECS = {
    "zstd": [LITTLE, {"name": "zstd", "configuration": {"level": 1, "checksum": True}}],
    "gzip": [LITTLE, GZIP],
    "blosc": [LITTLE, BLOSC],
    "crc32c": [LITTLE, {"name": "crc32c"}],
    "raw": [LITTLE],
}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("shard", [None, 2000])
def test_a_table_cut_anywhere_is_damage_and_never_zeros(codec: str, shard: int | None) -> None:
    entries = table(1999, 9)
    objects = zarr3(codecs=CODECS[codec], chunk=1000, shard=shard)(entries)
    key = f"{ZARR3}/segment_to_agglomerate/c/0"
    whole = objects[key]
    for length in [*range(40), *range(40, len(whole), 97), len(whole) - 1]:
        refused(objects | {key: whole[:length]}, CorruptFile, "mapping", ids=500)
    refused(objects | {key: whole + bytes(20)}, CorruptFile, "mapping")


@pytest.mark.parametrize("shard", [None, 2000])
def test_chunks_that_were_never_written_are_damage_and_never_zeros(shard: int | None) -> None:
    entries = table(5999, 9)
    entries[1000:2000] = 0  # tensorstore writes no chunk of fill values
    objects = zarr3(chunk=1000, shard=shard)(entries)
    refused(objects, CorruptFile, "segments from 1000 on were never written", ids=1500)
    del objects[f"{ZARR3}/segment_to_agglomerate/c/2"]
    refused(objects, CorruptFile, "were never written", ids=5000 if shard else 2500)


def test_a_shard_index_that_lies_is_damage() -> None:
    objects = zarr3(chunk=1000, shard=2000)(table(1999, 9))
    key = f"{ZARR3}/segment_to_agglomerate/c/0"
    flipped = bytearray(objects[key])
    flipped[-10] ^= 1
    refused(objects | {key: bytes(flipped)}, CorruptFile, "index of a shard is damaged")
