"""The index at the end of a shard, read by zarr-python and tensorstore."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.zarr_readers import voxels_by_tensorstore, voxels_by_zarr
from zarrlink.formats.shard_index import ABSENT, encode_index, index_bytes

Reader = Callable[..., np.ndarray[Any, Any]]
CHUNK = 2 * 3 * 4
places = st.lists(st.just(ABSENT) | st.tuples(st.integers(0, 2**40), st.integers(0, 2**40)), min_size=1, max_size=64)


def crc32c(data: bytes) -> int:
    """CRC-32C bit by bit (RFC 3720, appendix B.4)."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("body", "checksum"),
    [
        pytest.param(bytes(32), 0x8A9136AA, id="zeros"),
        pytest.param(b"\xff" * 32, 0x62A8AB43, id="ones"),
        pytest.param(bytes(range(32)), 0x46DD794E, id="ascending"),
        pytest.param(bytes(range(31, -1, -1)), 0x113FDB5C, id="descending"),
    ],
)
def test_the_checksum_gives_the_vectors_of_rfc_3720(body: bytes, checksum: int) -> None:
    first, second, third, fourth = struct.unpack("<4Q", body)
    assert encode_index([(first, second), (third, fourth)]) == body + checksum.to_bytes(4, "little")


@given(places)
def test_an_index_is_its_places_and_their_checksum(wanted: list[tuple[int, int]]) -> None:
    index = encode_index(wanted)
    assert len(index) == index_bytes(len(wanted))
    numbers = struct.unpack(f"<{2 * len(wanted)}Q", index[:-4])
    assert list(zip(numbers[::2], numbers[1::2], strict=True)) == wanted
    assert int.from_bytes(index[-4:], "little") == crc32c(index[:-4])


def hand_made_shard() -> tuple[dict[str, Any], bytes, np.ndarray[Any, Any]]:
    """2 x 1 x 2 chunks of 2 x 3 x 4 bytes, stored out of order, one of them absent."""
    voxels = np.arange(1, 4 * CHUNK + 1, dtype=np.uint8).reshape(4, 3, 8)
    voxels[2:, :, :4] = 0
    chunks = {0: voxels[:2, :, :4], 1: voxels[:2, :, 4:], 3: voxels[2:, :, 4:]}
    body, found = b"", dict.fromkeys(range(4), ABSENT)
    for slot in (3, 0, 1):
        found[slot] = (len(body), CHUNK)
        body += chunks[slot].tobytes()
    sharding = {
        "chunk_shape": [2, 3, 4],
        "codecs": [{"name": "bytes"}],
        "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
        "index_location": "end",
    }
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [4, 3, 8],
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 3, 8]}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "attributes": {},
    }
    return document, body + encode_index([found[slot] for slot in range(4)]), voxels


@pytest.mark.parametrize("read", [voxels_by_zarr, voxels_by_tensorstore])
def test_readers_find_every_chunk_of_a_shard(read: Reader) -> None:
    document, shard, voxels = hand_made_shard()
    tree = {"zarr.json": json.dumps(document).encode(), "c/0/0/0": shard}
    np.testing.assert_array_equal(read(tree, "v3"), voxels)


@pytest.mark.parametrize("read", [voxels_by_zarr, voxels_by_tensorstore])
def test_readers_check_the_checksum_of_the_index(read: Reader) -> None:
    document, shard, _ = hand_made_shard()
    tree = {"zarr.json": json.dumps(document).encode(), "c/0/0/0": shard[:-1] + bytes([shard[-1] ^ 1])}
    with pytest.raises(ValueError, match=r"(?i)crc|checksum|digest"):
        read(tree, "v3")
