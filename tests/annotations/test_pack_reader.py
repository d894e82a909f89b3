"""Reading packs: how many requests it takes, and that nothing of two revisions is mixed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from builders.annotation_zips import Volume, annotation_zip, voxels, wkw_data, zip_of
from builders.imported import imported
from zarrlink.annotations.manifest import Manifest
from zarrlink.annotations.pack_reader import open_index, read_entries, read_part
from zarrlink.errors import CorruptFile, SourceChanged
from zarrlink.formats.block_pack import PAGE_ENTRIES, Kind, block_position, find, stored_range
from zarrlink.formats.lz4_block import decode_lz4
from zarrlink.storage.memory import MemorySource
from zarrlink.storage.metered import Meter, metered

SIDE = 4
BLOCKS = {(x, y, z): voxels(x + 16 * y + 256 * z, side=SIDE) for x in range(16) for y in range(8) for z in range(8)}
DATA = zip_of(wkw_data({"1": BLOCKS}, side=SIDE))


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, MemorySource]:
    return imported(annotation_zip(Volume(data=DATA)), tmp_path_factory.mktemp("scratch"))


def test_opening_costs_one_read_and_a_run_two(pack: tuple[Manifest, MemorySource]) -> None:
    manifest, source = pack
    volume, meter = manifest.volumes[0], Meter()
    counted = metered(source, meter)

    async def run(first: int, count: int) -> None:
        opened = await open_index(counted, volume.mags[0], volume.block_bytes)
        assert meter.requests == 1
        meter.reset()
        entries = find(await read_entries(counted, opened, opened.index.pages_of(first, count)), first, count)
        part = stored_range(entries)
        assert part is not None
        blob = await read_part(counted, volume.mags[0].blocks_key, part)
        assert meter.requests == 2
        assert [entry.morton for entry in entries] == list(range(first, first + count))
        for entry in entries:
            stream = bytes(blob.data[entry.offset - part.start : entry.end - part.start])
            assert decode_lz4(stream, volume.block_bytes) == BLOCKS[block_position(entry.morton)]
        meter.reset()

    assert len(BLOCKS) == 2 * PAGE_ENTRIES
    for first, count in ((0, 1), (64, 64), (PAGE_ENTRIES - 64, 64), (0, 2 * PAGE_ENTRIES)):
        asyncio.run(run(first, count))


def test_where_there_is_no_block_nothing_is_read_of_them(pack: tuple[Manifest, MemorySource]) -> None:
    manifest, source = pack
    volume = manifest.volumes[0]

    async def run() -> None:
        opened = await open_index(source, volume.mags[0], volume.block_bytes)
        entries = await read_entries(source, opened, opened.index.pages_of(4096, 64))
        assert not find(entries, 4096, 64)
        assert all(entry.kind is Kind.DATA for entry in entries)

    asyncio.run(run())


def test_an_index_that_was_replaced_is_not_read_on(pack: tuple[Manifest, MemorySource]) -> None:
    manifest, source = pack
    volume, mag = manifest.volumes[0], manifest.volumes[0].mags[0]
    changing = MemorySource(dict(source.objects))

    async def run() -> None:
        opened = await open_index(changing, mag, volume.block_bytes)
        changing.objects[mag.index_key] = changing.objects[mag.index_key][:-1] + b"\1"
        await read_entries(changing, opened, range(1))

    with pytest.raises(SourceChanged):
        asyncio.run(run())


@pytest.mark.parametrize("length", [0, 31, 33, 1000])
def test_an_index_that_was_cut_short_is_damage(length: int, pack: tuple[Manifest, MemorySource]) -> None:
    manifest, source = pack
    volume, mag = manifest.volumes[0], manifest.volumes[0].mags[0]
    short = MemorySource({**source.objects, mag.index_key: source.objects[mag.index_key][:length]})
    with pytest.raises(CorruptFile):
        asyncio.run(open_index(short, mag, volume.block_bytes))


def test_an_index_of_other_blocks_is_damage(pack: tuple[Manifest, MemorySource], tmp_path: Path) -> None:
    manifest, _ = pack
    volume = manifest.volumes[0]
    other = zip_of(wkw_data({"1": {(0, 0, 0): voxels(1, side=SIDE)}}, side=SIDE))
    _, source = imported(annotation_zip(Volume(data=other)), tmp_path)
    with pytest.raises(CorruptFile, match="not the one of its annotation"):
        asyncio.run(open_index(source, volume.mags[0], volume.block_bytes))
