"""What a unit leaves for the last step: its part's receipt, and the sizes of what lies in it. A few bytes a tile.

b"ZLU1"   unit u32   part number u32   part bytes u64   CRC-32 u32   length of the ETag u16   the ETag
numbers, u32 each, deflated: of an OME-TIFF the bytes of each tile in the order of `walk.batches`, 0 for one that
is not stored; of a stack the bytes and CRC-32 of each file in the order of `StackPlan.files_of`
"""

from __future__ import annotations

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from zarrlink.errors import CorruptFile, PartsDiffer
from zarrlink.exports.part_sink import PartReceipt
from zarrlink.exports.scratch import Scratch

PREFIX: Final = "results/"
_MAGIC: Final = b"ZLU1"
_HEAD: Final = struct.Struct("<4sIIQIH")
_AT_ONCE: Final = 16


@dataclass(frozen=True, slots=True)
class UnitResult:
    """`numbers`: uint32, as the module tells."""

    unit: int
    receipt: PartReceipt
    numbers: NDArray[Any]

    def to_bytes(self) -> bytes:
        receipt, etag = self.receipt, self.receipt.etag.encode()
        head = _HEAD.pack(_MAGIC, self.unit, receipt.number, receipt.part_bytes, receipt.crc, len(etag))
        return head + etag + zlib.compress(self.numbers.astype("<u4").tobytes(), 1)

    @classmethod
    def from_bytes(cls, data: bytes) -> UnitResult:
        """Raises CorruptFile."""
        try:
            magic, unit, number, part_bytes, crc, etag_bytes = _HEAD.unpack_from(data)
            etag = data[_HEAD.size : _HEAD.size + etag_bytes].decode()
            numbers = np.frombuffer(zlib.decompress(data[_HEAD.size + etag_bytes :]), "<u4")
        except (struct.error, ValueError, zlib.error) as error:
            raise CorruptFile("the result of a unit") from error
        if magic != _MAGIC:
            raise CorruptFile("the result of a unit")
        return cls(unit, PartReceipt(number, part_bytes, crc, etag), numbers)


def result_key(unit: int) -> str:
    return f"{PREFIX}{unit:06d}"


def put_result(scratch: Scratch, result: UnitResult) -> None:
    scratch.put(result_key(result.unit), result.to_bytes())


def done_units(scratch: Scratch) -> int:
    """How many units have left their result: progress, where nothing else counts it."""
    return len(scratch.keys(PREFIX))


def all_results(scratch: Scratch, units: int, first_part: int) -> list[UnitResult]:
    """Of each unit, in their order. Raises PartsDiffer, naming the parts of units without one."""
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        found = list(threads.map(lambda unit: scratch.get(result_key(unit)), range(units)))
    if missing := tuple(unit + first_part for unit, data in enumerate(found) if data is None):
        raise PartsDiffer(missing)
    return [UnitResult.from_bytes(data) for data in found if data is not None]
