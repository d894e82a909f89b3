"""The plain LZ4 block format, through the lz4 library."""

from __future__ import annotations

from lz4.block import LZ4BlockError, compress, decompress

from zarrlink.errors import CorruptFile


def decode_lz4(stream: bytes | memoryview, expected_bytes: int, *, key: str = "") -> bytes:
    """The bytes of one LZ4 block (LZ4HC decodes the same).

    Raises CorruptFile unless the stream is whole and decodes to exactly `expected_bytes`.
    """
    try:
        # The library takes the size as an upper bound and allocates that much, so a lying stream costs no more.
        decoded: bytes = decompress(stream, uncompressed_size=expected_bytes)
    except (LZ4BlockError, OverflowError) as error:
        raise CorruptFile("an LZ4 block cannot be decoded", key=key, expected=expected_bytes) from error
    if len(decoded) != expected_bytes:
        raise CorruptFile("an LZ4 block has the wrong size", key=key, expected=expected_bytes, found=len(decoded))
    return decoded


def encode_lz4(data: bytes, *, high: bool) -> bytes:
    """One LZ4 block; `high` as WKW's reference writer does LZ4HC (level 9)."""
    if high:
        return bytes(compress(data, mode="high_compression", compression=9, store_size=False))
    return bytes(compress(data, store_size=False))
