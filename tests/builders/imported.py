"""Importing and reading back, for tests of annotations."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

from zarrlink.annotations.download import Download, download
from zarrlink.annotations.imports import import_annotation
from zarrlink.annotations.manifest import Manifest, PackedVolume
from zarrlink.annotations.pack_reader import all_blocks
from zarrlink.annotations.sink import MemorySink
from zarrlink.annotations.volume_zip import VolumeData
from zarrlink.formats.block_pack import Kind, block_position
from zarrlink.formats.lz4_block import decode_lz4
from zarrlink.geometry import Mag, Vec3
from zarrlink.storage.memory import MemorySource

Found = dict[Mag, dict[Vec3, tuple[Kind, bytes]]]


def imported(data: bytes, scratch: Path, **options: Any) -> tuple[Manifest, MemorySource]:
    """An import, and its folder as a source."""
    sink = MemorySink()
    manifest = import_annotation(io.BytesIO(data), sink, scratch=scratch, **options)
    assert Manifest.from_json(sink.objects["annotation.json"]) == manifest
    return manifest, MemorySource(sink.objects)


def blocks_of(source: MemorySource, volume: PackedVolume) -> Found:
    """Every entry of a volume: its kind, and its voxels (empty where it has no data)."""

    async def read() -> Found:
        found: Found = {}
        for mag in volume.mags:
            blocks = found.setdefault(mag.mag, {})
            async for batch in all_blocks(source, mag, volume.block_bytes):
                for entry, stream in batch:
                    voxels = decode_lz4(stream, volume.block_bytes) if entry.kind is Kind.DATA else b""
                    blocks[block_position(entry.morton)] = (entry.kind, voxels)
        return found

    return asyncio.run(read())


def downloaded(
    manifest: Manifest, source: MemorySource, volume_data: VolumeData | None, name: str | None = None
) -> tuple[Download, bytes]:
    made = download(manifest, source, volume_data=volume_data, name=name)

    async def body() -> bytes:
        return b"".join([piece async for piece in made.body])

    return made, asyncio.run(body())
