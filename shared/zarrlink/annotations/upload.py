"""An upload, opened: its NML read, its other files listed, none of its voxels looked at."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from zarrlink.annotations.nml_facts import NmlFacts, read_facts
from zarrlink.annotations.safe_zip import PIECE_BYTES, SafeZip, ZipLimits
from zarrlink.annotations.zip_directory import ZipEntry
from zarrlink.errors import InvalidRequest
from zarrlink.formats.nml import Limits


@dataclass(frozen=True, slots=True)
class ImportLimits:
    """What an upload may have at most. `zip.unpacked_bytes` counts for the upload, and for all data zips together.

    `nml_memory_bytes`: of the values in an NML while it is read, as `zarrlink.formats.nml.Limits` estimates them.
    """

    zip: ZipLimits = field(default_factory=ZipLimits)
    nml_bytes: int = 2**29
    nml_memory_bytes: int = 2**29

    @property
    def nml(self) -> Limits:
        return Limits(self.nml_bytes, self.nml_memory_bytes)


@dataclass(frozen=True, slots=True)
class OpenUpload:
    """`name`: the annotation's. `zip` is None for a bare NML; `files`: what it has beside its NML, by name."""

    file: BinaryIO
    name: str
    facts: NmlFacts
    zip: SafeZip | None
    nml: ZipEntry | None
    files: dict[str, ZipEntry]

    def nml_pieces(self) -> Iterator[bytes]:
        """The bytes of the NML."""
        return _bare(self.file) if self.zip is None or self.nml is None else self.zip.pieces(self.nml)


def open_upload(file: BinaryIO, limits: ImportLimits, name: str) -> OpenUpload:
    """Open a download (seekable; a zip or an NML). `name`: the annotation's, where it is a bare NML.

    Raises InvalidRequest for what is wrong with it.
    """
    file.seek(0)
    if file.read(4) not in (b"PK\3\4", b"PK\5\6"):
        _check_length(file.seek(0, io.SEEK_END), limits)
        return OpenUpload(file, name, read_facts(_bare(file), limits.nml), None, None, {})
    opened = SafeZip(file, limits.zip)
    files = {
        name: entry
        for name, entry in opened.entries.items()
        # What macOS and its kin put beside files.
        if not name.startswith("__MACOSX/") and not name.rpartition("/")[2].startswith(".")
    }
    nmls = [name for name in files if name.lower().endswith(".nml")]
    if len(nmls) != 1:
        raise InvalidRequest(f"the upload has {len(nmls)} NML files; a download of one annotation has exactly one")
    nml = files.pop(nmls[0])
    _check_length(nml.unpacked_bytes, limits)
    stem = nmls[0].rpartition("/")[2][: -len(".nml")]
    facts = read_facts(opened.pieces(nml), limits.nml)
    return OpenUpload(file, stem or "annotation", facts, opened, nml, files)


def _check_length(nml_bytes: int, limits: ImportLimits) -> None:
    if nml_bytes > limits.nml_bytes:
        raise InvalidRequest(f"the NML has {nml_bytes} bytes; at most {limits.nml_bytes} are accepted")


def _bare(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    while piece := file.read(PIECE_BYTES):
        yield piece
