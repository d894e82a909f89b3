"""Volume data as WEBKNOSSOS's `wkw` data zips have it: a folder for each mag, `2-2-1/z<Z>/y<Y>/x<X>.wkw`.

WEBKNOSSOS writes one LZ4 block per file, whose bytes are taken as they are. Other WKW files are read too; but where a
file has several blocks, those that are all zero say nothing (such a file cannot leave any out) and are not taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from zarrlink.annotations.blocks import MAX_BLOCK_BYTES, FoundBlock, FoundMag, block_of_stream, block_of_voxels
from zarrlink.annotations.safe_zip import SafeZip
from zarrlink.annotations.zip_directory import ZipEntry
from zarrlink.errors import InvalidRequest, brief
from zarrlink.formats.block_pack import MORTON_BITS, Kind, block_code
from zarrlink.formats.wkw import (
    BOUNDARY_BYTES,
    HEADER_BYTES,
    TableSlice,
    WkwHeader,
    raw_spans,
    stored_bytes_bound,
    table_range,
)
from zarrlink.geometry import Mag

_NUMBER: Final = "(0|[1-9][0-9]{0,9})"
_NAME: Final = re.compile(rf"([0-9-]{{1,30}})/(?:header\.wkw|z{_NUMBER}/y{_NUMBER}/x{_NUMBER}\.wkw)", re.ASCII)
_TABLE_STEP: Final = 4096
MAX_FILE_SIDE: Final = 128
"""Blocks along the side of a WKW file; WEBKNOSSOS itself writes 1 here and 32 in datasets."""


@dataclass(slots=True)
class _MagFiles:
    header: ZipEntry | None = None
    data: dict[tuple[int, int, int], ZipEntry] = field(default_factory=dict)


def wkw_mags(zip_file: SafeZip, scratch: Path) -> list[FoundMag]:
    """The mags of a data zip. Raises InvalidRequest for files that do not belong there, or that do not fit together."""
    folders: dict[Mag, _MagFiles] = {}
    literals: dict[Mag, str] = {}
    for name, entry in zip_file.entries.items():
        match = _NAME.fullmatch(name)
        if match is None:
            raise InvalidRequest(f"{zip_file.label} has an unexpected file, {brief(name)}")
        mag = Mag.parse(match[1])
        if literals.setdefault(mag, match[1]) != match[1]:
            raise InvalidRequest(f"{zip_file.label} has mag {mag.literal} twice")
        files = folders.setdefault(mag, _MagFiles())
        if match[2] is None:
            files.header = entry
        else:
            files.data[int(match[4]), int(match[3]), int(match[2])] = entry
    return [_mag(zip_file, mag, files, scratch) for mag, files in folders.items()]


def _mag(zip_file: SafeZip, mag: Mag, files: _MagFiles, scratch: Path) -> FoundMag:
    header, first = _header(zip_file, files)
    if header.channels != 1:
        raise InvalidRequest(f"{brief(first)} in {zip_file.label} has {header.channels} channels, not one")
    if header.block_bytes > MAX_BLOCK_BYTES or header.file_side > MAX_FILE_SIDE:
        raise InvalidRequest(f"{brief(first)} in {zip_file.label} has larger blocks or files than are accepted")
    for position, entry in files.data.items():
        if max(position) >= (1 << MORTON_BITS) // header.file_side:
            raise InvalidRequest(f"{brief(entry.name)} in {zip_file.label} lies outside of any volume")
    ordered = sorted((block_code(position) * header.blocks, entry) for position, entry in files.data.items())

    def blocks(done: Callable[[int], None]) -> Iterator[FoundBlock]:
        for start, entry in ordered:
            if header.blocks == 1:
                yield _single(zip_file, entry, header, start)
            else:
                with zip_file.open(entry, scratch) as file:
                    for block in _several(file, entry, header, start):
                        if block.kind is Kind.DATA:
                            yield block
            done(entry.packed_bytes)

    return FoundMag(mag, header.block_side, header.dtype, blocks)


def _header(zip_file: SafeZip, files: _MagFiles) -> tuple[WkwHeader, str]:
    """Of a mag, and the file that it is from: where there is no `header.wkw`, of a data file."""
    if files.header is not None:
        return WkwHeader.from_bytes(zip_file.read(files.header, HEADER_BYTES), key=files.header.name), files.header.name
    entry = next(iter(files.data.values()))
    return WkwHeader.from_bytes(next(zip_file.pieces(entry), b"")[:HEADER_BYTES], key=entry.name), entry.name


def _checked_header(data: bytes, folder: WkwHeader, key: str) -> WkwHeader:
    header = WkwHeader.from_bytes(data, key=key)
    for one, other in (
        (header.block_side, folder.block_side),
        (header.file_side, folder.file_side),
        (header.voxel_type, folder.voxel_type),
        (header.voxel_bytes, folder.voxel_bytes),
    ):
        if one != other:
            raise InvalidRequest(f"{brief(key)} has another kind of blocks than its mag")
    return header


def _single(zip_file: SafeZip, entry: ZipEntry, folder: WkwHeader, code: int) -> FoundBlock:
    data = zip_file.read(entry, HEADER_BYTES + BOUNDARY_BYTES + stored_bytes_bound(folder.block_bytes))
    header = _checked_header(data, folder, entry.name)
    if not header.compressed:
        return block_of_voxels(code, data[HEADER_BYTES:], header.block_bytes, key=entry.name)
    start, end = table_range(0, 1)
    bounds = TableSlice(header, entry.name, len(data), 0, data[start:end]).spans(0, 1)
    return block_of_stream(code, data[bounds[0] : bounds[1]], header.block_bytes, key=entry.name)


def _several(file: BinaryIO, entry: ZipEntry, folder: WkwHeader, code: int) -> Iterator[FoundBlock]:
    header, length = _checked_header(file.read(HEADER_BYTES), folder, entry.name), entry.unpacked_bytes
    for first in range(0, header.blocks, _TABLE_STEP):
        count = min(_TABLE_STEP, header.blocks - first)
        bounds = _spans(file, header, length, first, count, entry.name)
        for number in range(count):
            file.seek(bounds[number])
            stored = file.read(bounds[number + 1] - bounds[number])
            make = block_of_stream if header.compressed else block_of_voxels
            yield make(code + first + number, stored, header.block_bytes, key=entry.name)


def _spans(file: BinaryIO, header: WkwHeader, length: int, first: int, count: int, key: str) -> tuple[int, ...]:
    if not header.compressed:
        return raw_spans(header, length, first, count, key=key)
    start, end = table_range(first, count)
    file.seek(start)
    return TableSlice(header, key, length, first, file.read(end - start)).spans(first, count)
