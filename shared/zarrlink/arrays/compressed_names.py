"""Chunks of Precomputed that were compressed once more and have other names for it, which no reader but their writer's knows.

Source: cloud-files, cloudfiles/interfaces.py: what CloudVolume writes into folders, of raw and compressed_segmentation unless
it is told otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from zarrlink.arrays.stored import StoredArray
from zarrlink.errors import UnsupportedLayer
from zarrlink.formats.source_precomputed import PrecomputedScale
from zarrlink.storage.interface import ByteSource

ENDINGS: Final = (".gz", ".br", ".zstd", ".xz", ".bz2")


async def check_names(stored: StoredArray, source: ByteSource, missed: Iterable[str]) -> None:
    """Raises UnsupportedLayer where a chunk that was `missed` under its own name is there under such a one: it is not fill
    value."""
    if not isinstance(stored.array, PrecomputedScale) or stored.array.sharded:
        return
    for key in missed:
        for ending in ENDINGS:
            if await source.stat(key + ending) is not None:
                raise UnsupportedLayer(
                    f"its chunks are compressed into files that are called *{ending}, as CloudVolume writes them into folders; "
                    "accepted are chunks by their own names (compress=False) and shards"
                )
