"""Where downloads of annotations come from: made while they are sent, or kept somewhere (`s3_downloads.py`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from zarrlink.annotations.download import Download, download
from zarrlink.annotations.manifest import Manifest
from zarrlink.annotations.nml_identity import Identity
from zarrlink.annotations.volume_zip import VolumeData
from zarrlink.catalogue.annotations import AnnotationRecord
from zarrlink.storage.interface import ByteSource

Holdings = Callable[[AnnotationRecord], Awaitable[tuple[ByteSource, Manifest]]]
"""From a record to its folder and what that consists of. Raises CorruptFile, SourceUnavailable."""


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """A download that lies at an address of its own, for a few minutes. The address is a secret."""

    url: str


class Downloads(Protocol):
    """Downloads of annotations, in each format."""

    async def get(
        self, record: AnnotationRecord, volume_data: VolumeData | None, identity: Identity | None = None
    ) -> Download | Elsewhere:
        """`volume_data`: the format of the data zips, None to leave them out. `identity`: the ids in the NML of a download
        without them; None: as uploaded.

        Raises NotReady where it is being made, CorruptFile and SourceUnavailable.
        """
        ...


def disposition(file_name: str) -> str:
    """The header that names a download. Percent-encoded in plain quotes, as upstream: clients take the name from there."""
    return f'attachment; filename="{quote(file_name)}"'


class StreamedDownloads:
    """Made while it is sent, at any size."""

    def __init__(self, holdings: Holdings) -> None:
        self._holdings = holdings

    async def get(
        self, record: AnnotationRecord, volume_data: VolumeData | None, identity: Identity | None = None
    ) -> Download:
        source, manifest = await self._holdings(record)
        return download(manifest, source, volume_data=volume_data, name=record.name, identity=identity)
