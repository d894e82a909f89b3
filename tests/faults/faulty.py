"""Objects that are replaced under their readers, and a store that fails in every way that a store can."""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from zarrlink.byte_range import ByteRange
from zarrlink.errors import RangeNotSatisfiable, SourceChanged, SourceUnavailable
from zarrlink.formats.wkw import WkwHeader
from zarrlink.storage.interface import Blob, ByteSource, Stat
from zarrlink.storage.whole import WholeObject

FAULTS: Final = ("late", "refused", "changed", "unsatisfiable", "short", "cut", "flipped")
"""What is done to requests. Two more only where a caller asks for them: "lied" (there is no such object) and "mute" (none)."""

MET: Final[ContextVar[list[str] | None]] = ContextVar("MET", default=None)
"""The faults that a reader's requests met, where it keeps a list: whatever is done for it counts into its list."""

_CHUNK: Final = re.compile(r"[0-9]+(?:[._-][0-9]+)*", re.ASCII)


class Shelf:
    """A `ByteSource` over objects that may be exchanged at any time, all of them in one moment.

    As `MemorySource`, but an ETag is made once, not for each read.
    """

    def __init__(self, objects: Mapping[str, bytes], name: str = "memory") -> None:
        self.name = name
        self.absence_trust_s = math.inf
        self.objects: dict[str, WholeObject] = {}
        self.exchange(objects)

    def exchange(self, objects: Mapping[str, bytes]) -> None:
        self.objects = {key: WholeObject.of(data) for key, data in objects.items()}

    def put(self, key: str, data: bytes) -> None:
        self.objects[key] = WholeObject.of(data)

    async def read(
        self, key: str, part: ByteRange | None = None, *, if_match: str | None = None, head_bytes: int = 0
    ) -> Blob | None:
        found = self.objects.get(key)
        return None if found is None else found.read(key, part, if_match=if_match, head_bytes=head_bytes)

    async def stat(self, key: str) -> Stat | None:
        found = self.objects.get(key)
        return None if found is None else found.stat()


def described_bytes(key: str, data: bytes) -> int:
    """How many of an object's first bytes say what the others are: headers, tables, indexes, descriptions."""
    name = key.rpartition("/")[2]
    if name.endswith(".wkw") and name != "header.wkw":
        return WkwHeader.from_bytes(data).first_block_offset
    # Of a block, or of a stored Zarr chunk, nothing but its codec could tell.
    return 0 if name.endswith(".blocks") or _CHUNK.fullmatch(name) else len(data)


@dataclass
class FaultySource:
    """A `ByteSource` whose requests fail by chance.

    `rate`: the share of requests with a fault. `described`: of a key, how many of its first bytes are no payload; only
    those are ever flipped, since nobody could tell for the others. `told`: what was done, by name; `touched`: of which keys
    bytes were flipped.
    """

    inner: ByteSource
    random: Random
    described: Callable[[str], int]
    rate: float = 0.0
    faults: tuple[str, ...] = FAULTS
    told: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    touched: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.name = self.inner.name
        self.absence_trust_s = self.inner.absence_trust_s
        self._last = -1

    async def read(
        self, key: str, part: ByteRange | None = None, *, if_match: str | None = None, head_bytes: int = 0
    ) -> Blob | None:
        fault = await self._fault(key)
        blob = await self.inner.read(key, part, if_match=if_match, head_bytes=head_bytes)
        if blob is None:
            return None
        random, start = self.random, 0 if part is None else part.start
        match fault:
            case "lied":
                blob = None
            case "changed" if if_match is not None:
                self._tell(fault)
                raise SourceChanged(key)
            case "unsatisfiable" if part is not None:
                self._tell(fault)
                raise RangeNotSatisfiable(random.choice((0, part.start, blob.object_bytes)))
            case "short" if len(blob.data) > 1:
                blob = replace(blob, data=blob.data[: random.randrange(len(blob.data))])
            case "cut" if len(blob.data) > 1:
                kept = random.randrange(len(blob.data))
                blob = Blob(blob.data[:kept], blob.etag, start + kept, blob.head)
            case "flipped":
                blob = self._flipped(key, start, blob)
            case _:
                return blob
        self._tell(fault)
        return blob

    async def stat(self, key: str) -> Stat | None:
        fault = await self._fault(key)
        stat = await self.inner.stat(key)
        if stat is None or fault not in ("lied", "cut"):
            return stat
        self._tell(fault)
        if fault == "lied":
            return None
        return Stat(stat.etag, self.random.randrange(stat.object_bytes))

    async def _fault(self, key: str) -> str:
        """What is to happen to a request; those that need nothing of the object happen here."""
        self.requests += 1
        if self.random.random() >= self.rate:
            return "mute"
        fault = self.random.choice(self.faults)
        if fault == "late":
            # Others come in between: no clock is needed for that.
            for _ in range(self.random.randint(1, 6)):
                await asyncio.sleep(0)
        elif fault == "refused":
            self._tell(fault)
            raise SourceUnavailable("injected", key=key)
        else:
            return fault
        self._tell(fault)
        return "mute"

    def _tell(self, fault: str) -> None:
        self.told[fault] += 1
        met = MET.get()
        if met is not None:
            met.append(fault)

    def _flipped(self, key: str, start: int, blob: Blob) -> Blob:
        self.touched.add(key)
        described = min(self.described(key) - start, len(blob.data))
        head = self._flip(blob.head, len(blob.head)) if blob.head else b""
        if described <= 0:
            return replace(blob, head=head)
        return replace(blob, data=self._flip(bytes(blob.data), described), head=head)

    def _flip(self, data: bytes, within: int) -> bytes:
        """One bit, or one byte, another; never the same place twice on end, since what is asked again to make sure would
        then be wrong in the same way."""
        at = self.random.randrange(within)
        at = (at + 1) % within if at == self._last else at
        self._last = at
        other = data[at] ^ (1 << self.random.randrange(8)) if self.random.random() < 0.7 else self.random.randrange(256)
        return data[:at] + bytes([other]) + data[at + 1 :]
