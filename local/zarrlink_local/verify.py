"""Reading a dataset to its last block: the only way to see damage inside compressed blocks."""

from __future__ import annotations

import hashlib
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final

from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.errors import CorruptFile, ZarrlinkError
from zarrlink.formats.datasource import DatasetDescription
from zarrlink.formats.lz4_block import decode_lz4
from zarrlink.formats.wkw import HEADER_BYTES, TableSlice, WkwHeader, raw_spans, table_range
from zarrlink.library import Library

# What a mag folder holds: folders of a z, in them folders of a y, in them files of an x.
_LEVELS: Final = tuple(re.compile(form, re.ASCII) for form in (r"z[0-9]+", r"y[0-9]+", r"x[0-9]+\.wkw"))
_BLOCKS_AT_ONCE: Final = 512


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


async def verify_dataset(library: Library, record: DatasetRecord, progress: Callable[[int, int], None]) -> Report:
    """Check every header, table and block of every WKW layer. `progress(files done, of how many)`.

    Raises ZarrlinkError where the dataset's description cannot be read.
    """
    root = Path(record.location)
    description = await library.describe(record)
    report = Report()
    report.damage += [f"layer {name}: {reason}" for name, reason in description.unreadable.items()]
    files = [
        (folder, path) for folder in _mag_folders(root, description, report) for path in _files(root, folder, report)
    ]
    for done, (folder, path) in enumerate(files):
        progress(done, len(files))
        name = path.relative_to(root).as_posix()
        report.files += 1
        try:
            _verify_file(folder, path, name, report)
        except ZarrlinkError as error:
            report.damage.append(f"{name}: {error}")
        except OSError as error:
            report.damage.append(f"{name}: {_words(error)}")
    progress(len(files), max(len(files), 1))
    return report


def _mag_folders(root: Path, description: DatasetDescription, report: Report) -> list[Path]:
    folders: list[Path] = []
    for layer in description.layers:
        if layer.data_format != "wkw":
            report.skipped.append(f"layer {layer.name}: it is stored as {layer.data_format}; verified is wkw")
            continue
        for mag in layer.mags:
            try:
                found = [root / folder for folder in mag.folders if _is_file(root / folder / "header.wkw")]
            except OSError as error:
                report.damage.append(f"layer {layer.name}: mag {mag.mag.literal}: {_words(error)}")
                continue
            folders += found[:1]
            if not found:
                report.damage.append(f"layer {layer.name}: mag {mag.mag.literal} has no header.wkw")
    return folders


def _is_file(path: Path) -> bool:
    """Unlike the method of Path, whose newer versions take what may not be looked at for absent."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return False


def _verify_file(folder: Path, path: Path, name: str, report: Report) -> None:
    expected = _read_header(folder, name)
    # Opening a FIFO would wait for good.
    if not stat.S_ISREG(path.stat().st_mode):
        raise CorruptFile("not a regular file", key=name)
    with path.open("rb") as stream:
        for span, block in _blocks(stream, path.stat().st_size, expected, name):
            if expected.compressed:
                decode_lz4(block, expected.block_bytes, key=name)
            elif len(block) != span:
                raise CorruptFile("a block is cut short", key=name)
            report.blocks += 1
        stream.seek(0)
        report.checksums[name] = hashlib.file_digest(stream, "sha256").hexdigest()


def _read_header(folder: Path, name: str) -> WkwHeader:
    return WkwHeader.from_bytes((folder / "header.wkw").read_bytes()[:HEADER_BYTES], key=name)


def compare(known: dict[str, str], found: dict[str, str]) -> list[str]:
    """What differs from a manifest: changed, missing and new files."""
    changed = [
        f"{name}: its checksum differs" for name in sorted(known.keys() & found.keys()) if known[name] != found[name]
    ]
    missing = [f"{name}: missing or unreadable" for name in sorted(known.keys() - found.keys())]
    return changed + missing + [f"{name}: not in the manifest" for name in sorted(found.keys() - known.keys())]


def _files(root: Path, folder: Path, report: Report) -> list[Path]:
    """The data files of a mag. Symbolic links are followed as the server does; what cannot be listed is damage."""
    found, damaged = [folder], len(report.damage)
    for level in _LEVELS:
        entries: list[Path] = []
        for parent in found:
            try:
                entries += sorted(path for path in parent.iterdir() if level.fullmatch(path.name))
            except OSError as error:
                report.damage.append(f"{parent.relative_to(root).as_posix()}: cannot be listed: {_words(error)}")
        found = entries
    if not found and len(report.damage) == damaged:
        name = folder.relative_to(root).as_posix()
        report.notes.append(f"{name}: no data file, so all of it is fill value")
        try:
            _read_header(folder, name)
        except ZarrlinkError as error:
            report.damage.append(f"{name}/header.wkw: {error}")
        except OSError as error:
            report.damage.append(f"{name}/header.wkw: {_words(error)}")
    return found


def _words(error: OSError) -> str:
    return error.strerror or str(error)


def _blocks(stream: BinaryIO, length: int, expected: WkwHeader, name: str) -> Iterator[tuple[int, bytes]]:
    """(length by the table, bytes) of each block of a file, in stored order."""
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
