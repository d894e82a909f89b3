"""Downloading an imported annotation as WEBKNOSSOS does: an NML, or a zip of an NML and its volumes' data zips."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from zarrlink.annotations.manifest import UNNAMED, EditedMapping, Manifest, PackedVolume
from zarrlink.annotations.nml_identity import Identity, identity_edits
from zarrlink.annotations.nml_tags import PIECE_BYTES, NewTag, read_nml
from zarrlink.annotations.pack_reader import is_written, open_index, read_entries, read_part
from zarrlink.annotations.volume_zip import VolumeData, most_bytes, volume_zip
from zarrlink.annotations.zip_directory import FULL_32
from zarrlink.annotations.zip_writer import ZipWriter
from zarrlink.byte_range import ByteRange
from zarrlink.storage.interface import ByteSource

# Of UTF-8: file systems take 255 with what is put before and after it.
MAX_NAME_BYTES: Final = 180


@dataclass(frozen=True, slots=True)
class Download:
    """`body` can be read once. Its length is not known before its end."""

    media_type: str
    file_name: str
    body: AsyncIterator[bytes]


def download(
    manifest: Manifest,
    source: ByteSource,
    *,
    volume_data: VolumeData | None,
    name: str | None = None,
    identity: Identity | None = None,
) -> Download:
    """An annotation as a file; `source` is the import's folder, `volume_data` the format of the data zips or None.

    Without volume layers it is the NML; else a zip, also where `volume_data` is None. A volume of which nothing would
    be written has no data zip and no `location` in the NML, since WEBKNOSSOS refuses data zips without any block.
    Nothing is kept in memory but the list of files. The NML is the uploaded one but for `location` and `format`, and for
    the ids in it where an `identity` is given.

    While the body is read, CorruptFile, SourceChanged and SourceUnavailable may be raised. Whoever sends it must then
    break off: a zip has its directory at the end, so one that was cut short has none, or (for lenient readers) that of
    a data zip stored in it, in which no NML is. An NML that was cut short is not well-formed.
    """
    stem = safe_file_name(manifest.name if name is None else name)
    if not manifest.volumes:
        return Download("application/xml", f"{stem}.nml", _nml(source, [], identity))
    return Download("application/zip", f"{stem}.zip", _zip(manifest, source, volume_data, stem, identity))


def data_zip_name(manifest: Manifest, volume: PackedVolume) -> str:
    """The `location` of a volume, as WEBKNOSSOS calls it."""
    label = safe_file_name(volume.name or UNNAMED)
    return f"data_{label}.zip" if len(manifest.volumes) == 1 else f"data_{volume.id}_{label}.zip"


def safe_file_name(name: str) -> str:
    """The name with what no file's name may have replaced."""
    kept = "".join(letter if letter.isprintable() and letter not in '/\\:"' else "_" for letter in name)
    short = kept.strip(" .").encode()[:MAX_NAME_BYTES].decode(errors="ignore")
    return short.strip(" .") or "annotation"


async def _nml(source: ByteSource, tags: list[NewTag], identity: Identity | None) -> AsyncIterator[bytes]:
    edits = () if identity is None else await identity_edits(source, identity)
    async for piece in read_nml(source, [*tags, *edits]):
        yield piece


async def _zip(
    manifest: Manifest, source: ByteSource, volume_data: VolumeData | None, stem: str, identity: Identity | None
) -> AsyncIterator[bytes]:
    writer = ZipWriter()
    tags: list[NewTag] = []
    for volume in manifest.volumes:
        written = volume_data is not None and await _has_blocks(source, volume)
        location = data_zip_name(manifest, volume) if written else None
        tags.append(NewTag(volume.nml_offset, location, volume_data or volume.format))
    yield writer.begin(f"{stem}.nml", above_4_gib=False, deflated=True)
    async for piece in _nml(source, tags, identity):
        yield await asyncio.to_thread(writer.piece, piece)
    yield writer.end()
    for volume, tag in zip(manifest.volumes, tags, strict=True):
        if volume_data is not None and tag.location is not None:
            yield writer.begin(tag.location, above_4_gib=most_bytes(volume) >= FULL_32)
            async for piece in volume_zip(source, manifest, volume, volume_data):
                yield writer.piece(piece)
            yield writer.end()
        if volume.edited_mapping is not None:
            async for piece in _verbatim(writer, source, volume.edited_mapping):
                yield piece
    for piece in writer.close():
        yield piece


async def _has_blocks(source: ByteSource, volume: PackedVolume) -> bool:
    over_fallback = volume.fallback_layer is not None
    for mag in volume.mags:
        if mag.data_bytes:
            return True
        if not mag.blocks or not over_fallback:
            continue
        opened = await open_index(source, mag, volume.block_bytes)
        for page in range(opened.index.header.pages):
            entries = await read_entries(source, opened, range(page, page + 1))
            if any(is_written(entry, over_fallback=over_fallback) for entry in entries):
                return True
    return False


async def _verbatim(writer: ZipWriter, source: ByteSource, edited: EditedMapping) -> AsyncIterator[bytes]:
    yield writer.begin(edited.name, above_4_gib=edited.file_bytes >= FULL_32)
    etag: str | None = None
    for start in range(0, edited.file_bytes, PIECE_BYTES):
        part = ByteRange(start, min(edited.file_bytes, start + PIECE_BYTES))
        blob = await read_part(source, edited.key, part, etag)
        etag = blob.etag
        yield writer.piece(bytes(blob.data))
    yield writer.end()
