"""Blosc frames around bytes that are there already, decoded by numcodecs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numcodecs import Blosc

from zarrlink.errors import CorruptFile
from zarrlink.formats.blosc1 import (
    LZ4_HEADER_BYTES,
    RAW_HEADER_BYTES,
    FrameHeader,
    lz4_frame_header,
    lz4_stream,
    raw_frame_header,
)
from zarrlink.formats.lz4_block import decode_lz4, encode_lz4

SIDES = (1, 2, 4, 8, 16, 32, 64)
ITEM_BYTES = (1, 2, 4, 8)
CONTENTS = ("zeros", "ramp", "noise", "half noise")


def block(side: int, item_bytes: int, content: str) -> bytes:
    length = side**3 * item_bytes
    noise = np.random.default_rng(length).integers(0, 256, length, np.uint8).tobytes()
    match content:
        case "zeros":
            return bytes(length)
        case "ramp":
            return (np.arange(length) // item_bytes % 251).astype(np.uint8).tobytes()
        case "noise":
            return noise
        case _:
            return noise[: length // 2] + bytes(length - length // 2)


def trap() -> tuple[bytes, bytes]:
    """A block and its LZ4 stream of exactly the same length: noise, with so many zeros as pay for LZ4's own bytes."""
    noise = np.random.default_rng(1).integers(1, 256, 512, np.uint8).tobytes()
    for zeros in range(64):
        raw = noise[:256] + bytes(zeros) + noise[256 + zeros :]
        stream = encode_lz4(raw, high=False)
        if len(stream) == len(raw):
            return raw, stream
    raise AssertionError("no such block found")


@pytest.mark.parametrize(("side", "item_bytes", "content"), list(itertools.product(SIDES, ITEM_BYTES, CONTENTS)))
@pytest.mark.parametrize("high", [False, True], ids=["LZ4", "LZ4HC"])
def test_a_framed_stream_decodes_to_its_block(side: int, item_bytes: int, content: str, *, high: bool) -> None:
    raw = block(side, item_bytes, content)
    stream = encode_lz4(raw, high=high)
    if len(stream) == len(raw):
        pytest.skip("as long as its block: never framed")
    frame = lz4_frame_header(len(raw), item_bytes, len(stream)) + stream
    assert Blosc().decode(frame) == raw


@pytest.mark.parametrize(("side", "item_bytes"), list(itertools.product(SIDES, ITEM_BYTES)))
def test_a_raw_frame_decodes_to_its_bytes(side: int, item_bytes: int) -> None:
    raw = block(side, item_bytes, "noise")
    assert Blosc().decode(raw_frame_header(len(raw), item_bytes) + raw) == raw


def test_a_stream_longer_than_its_block_is_framed_all_the_same() -> None:
    raw = block(4, 1, "noise")
    stream = encode_lz4(raw, high=False)
    assert len(stream) > len(raw)
    assert Blosc().decode(lz4_frame_header(len(raw), 1, len(stream)) + stream) == raw


def test_a_stream_as_long_as_its_block_is_refused() -> None:
    raw, stream = trap()
    with pytest.raises(ValueError, match="raw copy"):
        lz4_frame_header(len(raw), 1, len(stream))


def test_readers_would_take_such_a_stream_for_the_block_itself() -> None:
    raw, stream = trap()
    frame = bytearray(lz4_frame_header(len(raw), 1, len(raw) - 1) + stream)
    frame[12:16] = (LZ4_HEADER_BYTES + len(stream)).to_bytes(4, "little")
    frame[20:24] = len(stream).to_bytes(4, "little")
    assert Blosc().decode(bytes(frame)) == stream != raw


def test_the_header_of_a_stream_is_24_bytes() -> None:
    header = lz4_frame_header(0x010203, 2, 0x0405)
    assert len(header) == LZ4_HEADER_BYTES == 24
    assert header == bytes.fromhex("02 01 30 02  03020100 03020100 1d040000  14000000 05040000")


def test_the_header_of_a_raw_copy_is_16_bytes() -> None:
    header = raw_frame_header(0x010203, 4)
    assert len(header) == RAW_HEADER_BYTES == 16
    assert header == bytes.fromhex("02 01 22 04  03020100 03020100 13020100")


# --- reading frames ---


@pytest.mark.parametrize("content", CONTENTS)
def test_the_stream_of_our_own_frame_is_found(content: str) -> None:
    raw = block(8, 4, content)
    stream = encode_lz4(raw, high=True)
    assert lz4_stream(lz4_frame_header(len(raw), 4, len(stream)) + stream) == stream


@pytest.mark.parametrize("codec", ["lz4", "lz4hc", "zstd", "blosclz"])
@pytest.mark.parametrize("shuffle", [Blosc.NOSHUFFLE, Blosc.SHUFFLE, Blosc.BITSHUFFLE])
def test_a_stream_taken_out_of_any_frame_decodes_to_its_block(codec: str, shuffle: int) -> None:
    raw = block(8, 4, "ramp")
    frame = bytes(Blosc(codec, 5, shuffle).encode(raw))
    header = FrameHeader.from_bytes(frame)
    assert (header.nbytes, header.cbytes) == (len(raw), len(frame))
    stream = lz4_stream(frame)
    assert stream is None or decode_lz4(stream, len(raw)) == raw


def test_a_raw_copy_has_no_stream() -> None:
    raw = block(8, 1, "noise")
    assert lz4_stream(raw_frame_header(len(raw), 1) + raw) is None


@pytest.mark.parametrize(
    ("at", "value"),
    [(0, b"\1"), (0, b"\3"), (3, b"\0"), (4, b"\0\0\0\0"), (8, b"\xff\xff\xff\xff"), (12, b"\0\0\0\0")],
    ids=["version-1", "version-3", "typesize", "nbytes", "blocksize", "cbytes"],
)
def test_a_frame_with_impossible_lengths_is_corrupt(at: int, value: bytes) -> None:
    raw = block(8, 4, "ramp")
    frame = bytes(Blosc("lz4", 5, Blosc.SHUFFLE).encode(raw))
    with pytest.raises(CorruptFile):
        FrameHeader.from_bytes(frame[:at] + value + frame[at + len(value) :])


@pytest.mark.parametrize("length", [0, 1, 15])
def test_a_frame_shorter_than_its_header_is_corrupt(length: int) -> None:
    with pytest.raises(CorruptFile, match="cut short"):
        FrameHeader.from_bytes(bytes(length))
