"""A layer ready to be streamed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from zarrlink.answers import Chunks
from zarrlink.formats.zarr_keys import Dialect
from zarrlink.layer import Layer
from zarrlink.metadata import Documents, documents
from zarrlink.storage.interface import ByteSource


class Witness(NamedTuple):
    """An object that a layer was made from: while its ETag stays, so does the layer. `etag` None: it was not there."""

    source: ByteSource
    key: str
    etag: str | None


class OpenLayer:
    """A layer with what its answers are made by.

    `make_chunks`: the levels in a dialect. `etag` sums up the witnesses.
    """

    def __init__(
        self, layer: Layer, witnesses: list[Witness], make_chunks: Callable[[Dialect], tuple[Chunks, ...]]
    ) -> None:
        self.layer = layer
        self.witnesses = witnesses
        facts = sorted((witness.source.name, witness.key, witness.etag) for witness in witnesses if witness.etag)
        self.etag = hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
        self.fingerprint = layer.fingerprint()
        self.checked_s = 0.0
        self._make_chunks = make_chunks
        self._documents: dict[Dialect, Documents] = {}
        self._chunks: dict[Dialect, tuple[Chunks, ...]] = {}

    def documents(self, dialect: Dialect) -> Documents:
        if dialect not in self._documents:
            self._documents[dialect] = documents(self.layer, dialect)
        return self._documents[dialect]

    def chunks(self, dialect: Dialect) -> tuple[Chunks, ...]:
        """Level by level."""
        chunks = self._chunks.get(dialect)
        if chunks is None:
            chunks = self._chunks[dialect] = self._make_chunks(dialect)
        return chunks

    def with_witnesses(self, more: Iterable[Witness]) -> OpenLayer:
        """The same, made from more objects."""
        return OpenLayer(self.layer, [*self.witnesses, *more], self._make_chunks)

    async def is_unchanged(self) -> bool:
        """Whether everything that it was made from is as it was. Raises SourceUnavailable."""
        return await are_unchanged(self.witnesses)


async def are_unchanged(witnesses: Sequence[Witness]) -> bool:
    """Whether each object is as it was. Raises SourceUnavailable."""
    found = await asyncio.gather(*(witness.source.stat(witness.key) for witness in witnesses))
    return all((stat and stat.etag) == witness.etag for stat, witness in zip(found, witnesses, strict=True))
