"""Reading a dataset to its last block: the only way to see damage inside compressed blocks."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import BinaryIO, Final

from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.errors import CorruptFile, SourceUnavailable, ZarrlinkError
from zarrlink.formats.datasource import DatasetDescription
from zarrlink.formats.lz4_block import decode_lz4
from zarrlink.formats.wkw import HEADER_BYTES, TableSlice, WkwHeader, raw_spans, table_range
from zarrlink.library import Library
from zarrlink_local.tree import Tree

# What a mag folder holds: folders of a z, in them folders of a y, in them files of an x.
_LEVELS: Final = tuple(re.compile(form, re.ASCII) for form in (r"z[0-9]+", r"y[0-9]+", r"x[0-9]+\.wkw"))
_BLOCKS_AT_ONCE: Final = 512
_PIECE_BYTES: Final = 2**20


@dataclass(slots=True)
class Report:
    """What was found. `checksums`: path below the dataset -> SHA-256.

    `skipped`: layers of other formats, not verified. `notes`: what is unusual, yet no damage.
    """

    files: int = 0
    blocks: int = 0
    damage: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checksums: dict[str, str] = field(default_factory=dict)


async def verify_dataset(
    library: Library, tree: Tree, record: DatasetRecord, progress: Callable[[int, int], None]
) -> Report:
    """Check every header, table and block of every WKW layer. `progress(files done, of how many)`.

    Raises ZarrlinkError where the dataset's description cannot be read.
    """
    description = await library.describe(record)
    report = Report()
    report.damage += [f"layer {name}: {reason}" for name, reason in description.unreadable.items()]
    files = [
        (folder, name)
        for folder in await _mag_folders(tree, description, report)
        for name in await _files(tree, folder, report)
    ]
    for done, (folder, name) in enumerate(files):
        progress(done, len(files))
        report.files += 1
        try:
            await _verify_file(tree, folder, name, report)
        except (ZarrlinkError, OSError) as error:
            report.damage.append(f"{name}: {_words(error)}")
    progress(len(files), max(len(files), 1))
    return report


async def _mag_folders(tree: Tree, description: DatasetDescription, report: Report) -> list[str]:
    folders: list[str] = []
    for layer in description.layers:
        if layer.data_format != "wkw":
            report.skipped.append(f"layer {layer.name}: it is stored as {layer.data_format}; verified is wkw")
            continue
        for mag in layer.mags:
            try:
                found = [folder for folder in mag.folders if await tree.is_file(f"{folder}/header.wkw")]
            except (ZarrlinkError, OSError) as error:
                report.damage.append(f"layer {layer.name}: mag {mag.mag.literal}: {_words(error)}")
                continue
            folders += found[:1]
            if not found:
                report.damage.append(f"layer {layer.name}: mag {mag.mag.literal} has no header.wkw")
    return folders


async def _verify_file(tree: Tree, folder: str, name: str, report: Report) -> None:
    expected = await _read_header(tree, folder)
    async with tree.opened(name) as stream:
        for span, block in _blocks(stream, stream.seek(0, os.SEEK_END), expected, name):
            if expected.compressed:
                decode_lz4(block, expected.block_bytes, key=name)
            elif len(block) != span:
                raise CorruptFile("a block is cut short", key=name)
            report.blocks += 1
        stream.seek(0)
        digest = hashlib.sha256()
        while piece := stream.read(_PIECE_BYTES):
            digest.update(piece)
        report.checksums[name] = digest.hexdigest()


async def _read_header(tree: Tree, folder: str) -> WkwHeader:
    key = f"{folder}/header.wkw"
    async with tree.opened(key) as stream:
        return WkwHeader.from_bytes(stream.read(HEADER_BYTES), key=key)


def compare(known: dict[str, str], found: dict[str, str]) -> list[str]:
    """What differs from a manifest: changed, missing and new files."""
    changed = [
        f"{name}: its checksum differs" for name in sorted(known.keys() & found.keys()) if known[name] != found[name]
    ]
    missing = [f"{name}: missing or unreadable" for name in sorted(known.keys() - found.keys())]
    return changed + missing + [f"{name}: not in the manifest" for name in sorted(found.keys() - known.keys())]


async def _files(tree: Tree, folder: str, report: Report) -> list[str]:
    """The data files of a mag. What cannot be listed is damage."""
    found, damaged = [folder], len(report.damage)
    for level in _LEVELS:
        entries: list[str] = []
        for parent in found:
            try:
                entries += [
                    f"{parent}/{name}".removeprefix("./") for name in await tree.names(parent) if level.fullmatch(name)
                ]
            except (ZarrlinkError, OSError) as error:
                report.damage.append(f"{parent}: cannot be listed: {_words(error)}")
        found = entries
    if not found and len(report.damage) == damaged:
        report.notes.append(f"{folder}: no data file, so all of it is fill value")
        try:
            await _read_header(tree, folder)
        except (ZarrlinkError, OSError) as error:
            report.damage.append(f"{folder}/header.wkw: {_words(error)}")
    return found


def _words(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"{error} ({error.reason})" if isinstance(error, SourceUnavailable) else str(error)


def _blocks(stream: BinaryIO, length: int, expected: WkwHeader, name: str) -> Iterator[tuple[int, bytes]]:
    """(length by the table, bytes) of each block of a file, in stored order."""
    stream.seek(0)
    header = WkwHeader.from_bytes(stream.read(HEADER_BYTES), key=name)
    if not header.same_kind(expected):
        raise CorruptFile("a WKW file does not belong to its layer", key=name)
    for first in range(0, header.blocks, _BLOCKS_AT_ONCE):
        count = min(_BLOCKS_AT_ONCE, header.blocks - first)
        if header.compressed:
            start, end = table_range(first, count)
            stream.seek(start)
            table = TableSlice(header, name, length, first, stream.read(end - start))
            spans = table.spans(first, count)
        else:
            spans = raw_spans(header, length, first, count, key=name)
        stream.seek(spans[0])
        for begin, end in pairwise(spans):
            yield end - begin, stream.read(end - begin)
