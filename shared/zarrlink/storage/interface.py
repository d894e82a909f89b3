"""Reading bytes of stored objects, guarded by their ETags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from zarrlink.byte_range import ByteRange


@dataclass(frozen=True, slots=True)
class Stat:
    """What is known of an object without reading it. `etag` changes whenever its bytes may have."""

    etag: str
    object_bytes: int


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes read, and the object they are from. `head`: its first bytes, where they were asked for and cost nothing."""

    data: bytes | bytearray
    etag: str
    object_bytes: int
    head: bytes = b""


class ByteSource(Protocol):
    """One dataset's folder or prefix. Keys are relative, with `/`.

    `name` tells sources apart in shared caches. `absence_trust_s`: for how long a folder once seen stays trusted to
    be there when a key below it is missing: without end for an object store, which answers with authority; not at all
    for local folders, where an unmounted disk looks like missing files.
    """

    name: str
    absence_trust_s: float

    async def read(
        self, key: str, part: ByteRange | None = None, *, if_match: str | None = None, head_bytes: int = 0
    ) -> Blob | None:
        """Bytes of an object, None where there is no such object.

        `head_bytes`: the object's first bytes are wanted as well, if they cost no further request: a local file has
        them at hand, an object store does not.

        `part` may reach past the object's end: what is there comes back. Raises RangeNotSatisfiable where it starts
        at or past the end, SourceChanged where the ETag is not `if_match`, SourceUnavailable where the store refuses
        or fails: a denied or failed read is never None.
        """
        ...

    async def stat(self, key: str) -> Stat | None:
        """The object's ETag and length, None where there is no such object. Raises SourceUnavailable."""
        ...
