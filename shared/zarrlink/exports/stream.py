"""A file of unknown length, such as an annotation's download, becomes the result of a job, part by part."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Final

from zarrlink.exports.part_sink import PartReceipt
from zarrlink.exports.places import Places
from zarrlink.exports.request import Limits
from zarrlink.exports.spill import Spill
from zarrlink.exports.steps import put_once

_PART_BYTES: Final = 64 * 2**20


def least_part_bytes(expected_bytes: int, limits: Limits) -> int:
    """How long all parts but the last are, so that a file of twice the expected length has no more parts than a store takes."""
    return max(_PART_BYTES, 2 * expected_bytes // limits.parts)


async def write_stream(body: AsyncIterator[bytes], part_bytes: int, places: Places) -> int:
    """Write it and complete the upload; gives its length. Raises what reading, writing and `places.check` raise."""
    receipts: list[PartReceipt] = []
    while not receipts or receipts[-1].part_bytes >= part_bytes:
        with Spill(places.disk) as part:
            await _fill(part, body, part_bytes)
            places.check()
            receipts.append(await asyncio.to_thread(put_once, places.sink, places.upload, len(receipts) + 1, part))
    await asyncio.to_thread(places.sink.complete, places.upload, receipts)
    return sum(receipt.part_bytes for receipt in receipts)


async def _fill(part: Spill, body: AsyncIterator[bytes], least: int) -> None:
    while part.length < least and (piece := await _next(body)) is not None:
        part.write(piece)


def _next(body: AsyncIterator[bytes]) -> Awaitable[bytes | None]:
    return anext(body, None)
