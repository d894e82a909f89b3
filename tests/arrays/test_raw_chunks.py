"""Chunks without a codec, in folders: any box of any layout, read by as few bytes, descriptors and turns as it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.foreign_arrays import BIG, BLOSC_V2, LITTLE, numbered, write_precomputed, write_zarr2, write_zarr3
from builders.foreign_layers import layer, opened, read
from zarrlink.arrays import raw_chunks
from zarrlink.arrays.foreign import OpenArray, Stores, open_array
from zarrlink.byte_range import ByteRange
from zarrlink.errors import CorruptFile, SourceChanged
from zarrlink.formats.datasource import ExtraAxis
from zarrlink.storage.files import LocalFiles
from zarrlink.storage.metered import Meter, metered

# (x, y, z), with channels behind.
SIDES = (11, 13, 9)
OFFSET = (5, -3, 100)
DATA = numbered((*SIDES, 2), "uint16")


def transposed(*orders: list[int]) -> list[dict[str, Any]]:
    return [{"name": "transpose", "configuration": {"order": order}} for order in orders]


def v2(root: Path, axes: str, chunk: int = 4, **options: Any) -> OpenArray:
    data = np.ascontiguousarray(DATA.transpose(["xyzc".index(axis) for axis in axes]))
    write_zarr2(root / "a/1", data, tuple(2 if axis == "c" else chunk for axis in axes), fill_value=7, **options)
    return opened(root, layer("zarr", "uint16", order=axes))


def v3(root: Path, order: str, chunk: int = 4, codecs: list[dict[str, Any]] | None = None) -> OpenArray:
    data = np.ascontiguousarray(DATA.transpose(["xyzc".index(axis) for axis in order]))
    write_zarr3(root / "a/1", data, tuple(1 if axis == "c" else chunk for axis in order), codecs=codecs, fill_value=7)
    return opened(root, layer("zarr3", "uint16", order=order))


def precomputed(root: Path) -> OpenArray:
    write_precomputed(root / "a", {"1": DATA}, chunk=(4, 5, 6), offset=OFFSET)
    return opened(root, layer("neuroglancerPrecomputed", "uint16"))


def one_channel(root: Path) -> OpenArray:
    data = np.stack([numbered((*SIDES,), "uint16"), *np.moveaxis(DATA, 3, 0)])
    write_zarr2(root / "a/1", data, (3, 4, 4, 4), order="F", fill_value=7)
    return opened(root, layer("zarr", "uint16", channels=1, channel_index=2, order="cxyz"))


def later(root: Path) -> OpenArray:
    data = np.stack([numbered((2, *SIDES), "uint16"), np.moveaxis(DATA, 3, 0)], 1)
    write_zarr3(root / "a/1", data, (2, 2, 4, 4, 4), fill_value=7)
    return opened(root, layer("zarr3", "uint16", extra=(ExtraAxis("t", 0, 2, 1),)))


# Each over the same voxels.
LAYOUTS: dict[str, Callable[[Path], OpenArray]] = {
    "C": lambda root: v2(root, "cxyz"),
    "F": lambda root: v2(root, "xyzc", order="F", separator="/"),
    "big-endian": lambda root: v2(root, "zyxc", dtype=">u2"),
    "one chunk": lambda root: v2(root, "czyx", 16),
    "v3": lambda root: v3(root, "cxyz"),
    "v3 big-endian": lambda root: v3(root, "zcyx", codecs=[BIG]),
    "v3 transposed": lambda root: v3(root, "cxyz", 7, codecs=[*transposed([2, 0, 3, 1], [1, 3, 0, 2]), LITTLE]),
    "v3 one chunk": lambda root: v3(root, "cxyz", 16, codecs=[*transposed([1, 2, 3, 0]), LITTLE]),
    "Precomputed": precomputed,
    "one channel": one_channel,
    "an additional axis": later,
}


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> dict[str, OpenArray]:
    return {name: made(tmp_path_factory.mktemp("raw")) for name, made in LAYOUTS.items()}


corners = st.tuples(*[st.integers(-3, side - 1) for side in SIDES])
sizes = st.tuples(*[st.integers(1, 15)] * 3)


@pytest.mark.parametrize(("read_bytes", "gap_bytes"), [(2**20, 2**16), (100, 2**16), (100, 10), (2, 0)])
@given(st.sampled_from(sorted(LAYOUTS)), corners, sizes)
def test_any_box_of_any_layout_is_read_voxel_exact(
    arrays: dict[str, OpenArray],
    read_bytes: int,
    gap_bytes: int,
    name: str,
    corner: tuple[int, ...],
    size: tuple[int, ...],
) -> None:
    """However many bytes are read at once, and however many that nobody wants are read along."""
    array = arrays[name]
    assert array.stored.is_raw
    offset, fill = (OFFSET, 0) if name == "Precomputed" else ((0, 0, 0), 7)
    whole = np.pad(DATA, [(20, 20)] * 3 + [(0, 0)], constant_values=fill)
    expected = whole[tuple(slice(at + 20, at + 20 + length) for at, length in zip(corner, size, strict=True))]
    start = tuple(at + by for at, by in zip(corner, offset, strict=True))
    end = tuple(at + length for at, length in zip(start, size, strict=True))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw_chunks, "_READ_BYTES", read_bytes)
        patch.setattr(raw_chunks, "_GAP_BYTES", gap_bytes)
        voxels = read(array, start, end, (1,) if name == "an additional axis" else ())  # type: ignore[arg-type]

    assert voxels.dtype == np.dtype("<u2")
    np.testing.assert_array_equal(voxels, expected.T[1:] if name == "one channel" else expected.T)


def test_of_a_large_chunk_little_more_is_read_than_is_asked_for(tmp_path: Path) -> None:
    """As a reader asks for the many small chunks that it is cut into."""
    data = numbered((200, 200, 200))
    write_zarr2(tmp_path / "a/1", data, (200, 200, 200))
    meter, described = Meter(), layer("zarr", order="zyx")
    found = asyncio.run(
        open_array(metered(LocalFiles(tmp_path), meter), str(tmp_path), described, described.mags[0], Stores())
    )
    assert found is not None
    meter.reset()
    voxels = read(found, (64, 64, 64), (96, 96, 96))
    np.testing.assert_array_equal(voxels[0], data[64:96, 64:96, 64:96])
    # In slices of 200 times 200, of each 32 rows of 200.
    assert meter.bytes <= 32 * 40_000
    meter.reset()
    assert read(found, (0, 0, 150), (200, 200, 151)).shape == (1, 1, 200, 200)
    assert (meter.bytes, meter.requests) == (40_000, 1)


def test_slices_far_apart_are_read_one_by_one(tmp_path: Path) -> None:
    data = numbered((8, 1024, 1024))
    write_zarr2(tmp_path / "a/1", data, data.shape)
    meter, described = Meter(), layer("zarr", order="zyx")
    found = asyncio.run(
        open_array(metered(LocalFiles(tmp_path), meter), str(tmp_path), described, described.mags[0], Stores())
    )
    assert found is not None
    meter.reset()
    np.testing.assert_array_equal(read(found, (8, 8, 0), (16, 16, 8))[0], data[:, 8:16, 8:16])
    assert meter.bytes <= 8 * 8 * 1024


@pytest.mark.parametrize("length", [0, 1, 2047, 2049, 5000])
@pytest.mark.parametrize("start", [(0, 0, 0), (15, 7, 15)])
def test_a_chunk_of_another_length_is_damage_whatever_is_asked_of_it(
    tmp_path: Path, start: tuple[int, int, int], length: int
) -> None:
    write_zarr2(tmp_path / "a/1", numbered((16, 8, 16)), (16, 8, 16))
    array = opened(tmp_path, layer("zarr", order="xyz"))
    (tmp_path / "a/1/0.0.0").write_bytes(bytes(length))
    x, y, z = start
    with pytest.raises(CorruptFile) as caught:
        read(array, start, (x + 1, y + 1, z + 1))
    assert (caught.value.key, caught.value.expected, caught.value.found) == ("a/1/0.0.0", 2048, length)


def test_a_part_that_comes_short_is_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_zarr2(tmp_path / "a/1", numbered((8, 8, 8)), (8, 8, 8))
    array = opened(tmp_path, layer("zarr"))
    read_part = LocalFiles.read

    async def cut(self: LocalFiles, key: str, part: ByteRange | None = None, **options: Any) -> Any:
        blob = await read_part(self, key, part, **options)
        return blob and replace(blob, data=blob.data[:-1])

    monkeypatch.setattr(LocalFiles, "read", cut)
    with pytest.raises(CorruptFile, match="cut short"):
        read(array, (0, 0, 0), (8, 8, 8))


@pytest.mark.parametrize("form", ["zarr", "zarr3"])
def test_truth_values_are_0_and_1(tmp_path: Path, form: str) -> None:
    data = numbered((4, 4, 4)) > 99
    write = write_zarr2 if form == "zarr" else write_zarr3
    write(tmp_path / "a/1", data, (4, 4, 4), fill_value=False)
    array = opened(tmp_path, layer(form, order="xyz"))
    np.testing.assert_array_equal(read(array, (0, 0, 0), (4, 4, 4))[0], data.T.astype("uint8"))
    (tmp_path / "a/1" / ("0.0.0" if form == "zarr" else "c/0/0/0")).write_bytes(b"\1" * 63 + b"\2")
    with pytest.raises(CorruptFile, match="truth"):
        read(array, (0, 0, 0), (4, 4, 4))


@pytest.mark.parametrize("change", ["replaced", "removed"])
def test_a_chunk_that_changes_between_two_pieces_is_not_mixed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    monkeypatch.setattr(raw_chunks, "_READ_BYTES", 100)
    write_zarr2(tmp_path / "a/1", numbered((8, 8, 8)), (8, 8, 8))
    array, chunk = opened(tmp_path, layer("zarr")), tmp_path / "a/1/0.0.0"
    read_part = LocalFiles.read

    async def changed(self: LocalFiles, key: str, part: ByteRange | None = None, **options: Any) -> Any:
        blob = await read_part(self, key, part, **options)
        if key.endswith("0.0.0") and part is not None and part.start == 0:
            chunk.unlink()
            if change == "replaced":
                chunk.write_bytes(bytes(512))
        return blob

    monkeypatch.setattr(LocalFiles, "read", changed)
    with pytest.raises(SourceChanged):
        read(array, (0, 0, 0), (8, 8, 8))


def test_few_chunks_are_open_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = numbered((32, 32, 32))
    write_zarr2(tmp_path / "a/1", data, (4, 4, 4))
    array, read_part = opened(tmp_path, layer("zarr", order="xyz")), LocalFiles.read
    under_way = most = 0

    async def waited(self: LocalFiles, key: str, part: ByteRange | None = None, **options: Any) -> Any:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        # As where a disk has to be waited for.
        await asyncio.sleep(0)
        under_way -= 1
        return await read_part(self, key, part, **options)

    monkeypatch.setattr(LocalFiles, "read", waited)
    np.testing.assert_array_equal(read(array, (0, 0, 0), (32, 32, 32))[0], data.T)
    assert 1 < most <= 16


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("data", [np.ones, np.zeros])
def test_others_have_their_turn_while_many_chunks_are_read(
    tmp_path: Path, data: Callable[..., Any], *, packed: bool
) -> None:
    """What is in the page cache is read, and looked at, without waiting."""
    write_zarr2(tmp_path / "a/1", data((40, 40, 40), "uint8"), (4, 4, 4), compressor=BLOSC_V2 if packed else None)
    array, stat, turns = opened(tmp_path, layer("zarr")), LocalFiles.stat, 0
    array.volume._source = asked = LocalFiles(tmp_path)  # type: ignore[attr-defined]
    most = since = 0

    async def counted(key: str) -> Any:
        nonlocal most, since
        since += 1
        most = max(most, since)
        return await stat(asked, key)

    asked.stat = counted  # type: ignore[method-assign]

    async def others() -> None:
        nonlocal turns, since
        while True:
            turns, since = turns + 1, 0
            await asyncio.sleep(0)

    async def voxels() -> int:
        waiting = asyncio.create_task(others())
        found = await array.volume.read((0, 0, 0), (40, 40, 40))
        waiting.cancel()
        return int(found.sum())

    assert asyncio.run(voxels()) == data((40, 40, 40), "uint8").sum()
    assert turns >= 1000 / 64
    assert most <= 2 * 64
