"""Files that are cut, empty or lying: a named failure, never zeros and never a traceback."""

import json
import struct
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from builders.door import Door, open_door
from builders.wkw_files import LayerFiles, dataset, noise
from zarrlink.formats.wkw import BlockType
from zarrlink.geometry import Mag

FILE = "a/1/z0/y0/x0.wkw"
INNER, CUT = "v2/a.zarr/0/1/1/1", "v2/a.zarr/0/0/0/0"


def door(block_type: BlockType) -> Door:
    """One file of 4^3 blocks; the box cuts the outer blocks, so they are decoded."""
    layer = LayerFiles("a", {Mag(1, 1, 1): noise((30, 30, 30))}, (1, 1, 1), block_type=block_type)
    return open_door(dataset(layer))


def lengthen_entry(entry: int, by: int) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        at = 16 + 8 * entry
        (end,) = struct.unpack_from("<Q", data, at)
        return data[:at] + struct.pack("<Q", (end + by) % 2**64) + data[at + 8 :]

    return change


DAMAGE: dict[str, tuple[list[BlockType], Callable[[bytes], bytes]]] = {
    "empty": (list(BlockType), lambda _: b""),
    "header cut": (list(BlockType), lambda data: data[:15]),
    "header only": (list(BlockType), lambda data: data[:16]),
    "cut inside the table": ([BlockType.LZ4, BlockType.LZ4HC], lambda data: data[:100]),
    "cut behind the table": ([BlockType.LZ4, BlockType.LZ4HC], lambda data: data[: 16 + 8 * 64]),
    "cut inside the first block": (list(BlockType), lambda data: data[: 16 + 8 * 64 + 9]),
    "wrong magic": (list(BlockType), lambda data: b"ZIP" + data[3:]),
    "other version": (list(BlockType), lambda data: data[:3] + b"\2" + data[4:]),
    "another layer's header": (list(BlockType), lambda data: data[:6] + b"\2\2" + data[8:]),
    "another compression": (list(BlockType), lambda data: data[:5] + bytes([data[5] % 3 + 1]) + data[6:]),
    "data offset": (list(BlockType), lambda data: data[:8] + struct.pack("<Q", 999) + data[16:]),
    "table backwards": ([BlockType.LZ4], lengthen_entry(0, -600)),
    "table past the end": (
        [BlockType.LZ4],
        lambda data: data[:16] + struct.pack("<64Q", *([10**12] * 64)) + data[528:],
    ),
    "table of zeros": ([BlockType.LZ4HC], lambda data: data[:16] + bytes(512) + data[528:]),
    "huge block": ([BlockType.LZ4], lengthen_entry(0, 2**40)),
    "overflowing entry": ([BlockType.LZ4], lengthen_entry(0, 2**63)),
}


@pytest.mark.parametrize(
    ("name", "block_type"), [(name, block_type) for name, (types, _) in DAMAGE.items() for block_type in types]
)
@pytest.mark.parametrize("known", [False, True])
def test_damage_in_header_table_or_length_is_502(name: str, block_type: BlockType, known: bool) -> None:
    opened = door(block_type)
    if known:
        assert opened.get(CUT).status == 200
    objects = opened.source.inner.objects
    objects[FILE] = DAMAGE[name][1](objects[FILE])

    for reply in (opened.get(CUT), opened.get("v3/a.zarr/0/c/0/0/0")):
        assert reply.status == 502, reply
        problem = json.loads(reply.body)
        assert problem["title"] == "The stored data is damaged"
        assert "Traceback" not in problem["detail"]
        assert FILE not in problem["detail"]


@pytest.mark.parametrize("damage", ["magic", "voxel type", "geometry"])
@pytest.mark.parametrize("block_type", [BlockType.RAW, BlockType.LZ4])
@pytest.mark.parametrize("known", [False, True])
def test_a_files_own_header_is_checked_wherever_in_it_a_block_lies(
    block_type: BlockType, damage: str, known: bool
) -> None:
    """Far beyond what is read together with the header."""
    layer = LayerFiles("a", {Mag(1, 1, 1): noise((128, 128, 128), "uint16")}, block_type=block_type, file_side=32)
    if damage == "geometry":
        # As long as before: half the block side, twice as many blocks.
        layer = LayerFiles("a", layer.volumes, block_type=BlockType.RAW, block_side=16, file_side=8)
    opened = open_door(dataset(layer))
    far = [f"v2/a.zarr/0/{n}/{n}/{n}" for n in ((7,) if damage == "geometry" else (15, 9))]
    paths = [*far, "v3/a.zarr/0/c/0/0/0", far[0]]
    if known:
        assert [opened.get(path).status for path in paths] == [200] * len(paths)
    objects = opened.source.inner.objects
    data = objects[FILE]
    objects[FILE] = {
        "magic": lambda: b"XXX" + data[3:],
        "voxel type": lambda: data[:6] + b"\x08" + data[7:],
        "geometry": lambda: data[:4] + bytes([data[4] - 1 + 16]) + data[5:],
    }[damage]()

    for path in paths:
        assert opened.head(path).status == 502
        assert opened.get(path).status == 502
        assert opened.get(path, range="bytes=-20").status == 502


def replace_block(data: bytes, block: int, stream: bytes) -> bytes:
    """A file whose block holds other bytes, its table right."""
    bounds = list(struct.unpack_from("<65Q", data, 8))
    streams = [data[a:b] for a, b in pairwise(bounds)]
    streams[block] = stream
    ends, at = [], bounds[0]
    for part in streams:
        at += len(part)
        ends.append(at)
    return data[:16] + struct.pack("<64Q", *ends) + b"".join(streams)


def bad_stream(what: str) -> bytes:
    """What LZ4 makes no block of 512 bytes of."""
    from zarrlink.formats.lz4_block import encode_lz4

    return {
        "longer": encode_lz4(b"\1" * 513, high=False),
        "shorter": encode_lz4(b"\1" * 511, high=False),
        "garbage": b"\xf0" + b"\xff" * 30,
    }[what]


@pytest.mark.parametrize("what", ["longer", "shorter", "garbage"])
def test_a_block_that_must_be_decoded_and_cannot_be_is_502(what: str) -> None:
    opened = door(BlockType.LZ4)
    objects = opened.source.inner.objects
    objects[FILE] = replace_block(objects[FILE], 0, bad_stream(what))

    assert opened.get(CUT).status == 502
    # The neighbours are as good as before.
    assert opened.get(INNER).status == 200


@pytest.mark.parametrize("path", [INNER, "v3/a.zarr/0/c/0/0/0"])
@pytest.mark.parametrize("what", [b"\xf0" + b"\xff" * 30, b"\x10\1"])
def test_a_server_that_checks_blocks_refuses_them_itself(what: bytes, path: str) -> None:
    from dataclasses import replace

    from zarrlink.formats.wkw import morton_index
    from zarrlink.streaming import Streamer

    opened = door(BlockType.LZ4)
    opened.path = replace(opened.path, streamer=Streamer(opened.library, check_blocks=True))
    assert opened.get(path).status == 200
    objects = opened.source.inner.objects
    objects[FILE] = replace_block(objects[FILE], morton_index(1, 1, 1), what)

    assert opened.get(path).status == 502


@pytest.mark.parametrize("what", ["longer", "shorter", "garbage"])
def test_a_damaged_block_that_is_passed_through_is_refused_by_the_client(what: str) -> None:
    import numcodecs

    from zarrlink.formats.wkw import morton_index

    opened = door(BlockType.LZ4)
    objects = opened.source.inner.objects
    objects[FILE] = replace_block(objects[FILE], morton_index(1, 1, 1), bad_stream(what))
    reply = opened.get(INNER)

    assert reply.status == 200
    with pytest.raises(RuntimeError, match="error during blosc decompression"):
        numcodecs.Blosc().decode(reply.body)


@pytest.mark.parametrize("damage", ["empty", "cut", "magic", "json", "array"])
def test_a_damaged_description_or_header_is_502(damage: str) -> None:
    opened = door(BlockType.LZ4)
    objects = opened.source.inner.objects
    key = "datasource-properties.json" if damage in ("json", "array") else "a/1/header.wkw"
    objects[key] = {"empty": b"", "cut": objects[key][:9], "magic": b"x" * 16, "json": b"{", "array": b"[]"}[damage]
    opened.library.doubt(opened.link.view, "a")

    assert opened.get(CUT).status == 502


@pytest.mark.parametrize("block_type", [BlockType.RAW, BlockType.LZ4])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_that_is_away_for_a_moment_is_no_absence(
    block_type: BlockType, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a folder is moved away and its successor moved in: missed before, and all is well when one looks again."""
    opened, undisturbed = door(block_type), door(block_type)
    expected = undisturbed.send(method, f"{undisturbed.base}/{CUT}")
    read, misses = opened.source.inner.read, iter([FILE])

    async def missed(key: str, *part: Any, **options: Any) -> Any:
        return None if key == next(misses, "") else await read(key, *part, **options)

    monkeypatch.setattr(opened.source.inner, "read", missed)
    reply = opened.send(method, f"{opened.base}/{CUT}")
    assert (reply.status, reply.body) == (200, expected.body)


def test_a_missing_header_ends_the_link_rather_than_reading_as_nothing() -> None:
    opened = door(BlockType.LZ4)
    del opened.source.inner.objects["a/1/header.wkw"]
    opened.library.doubt(opened.link.view, "a")

    reply = opened.get(CUT)
    assert reply.status == 410
