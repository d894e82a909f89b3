"""The bounding boxes that somebody drew in an annotation, out of the first bytes of its NML."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Final
from xml.parsers import expat

from zarrlink.annotations.manifest import NML_KEY
from zarrlink.annotations.nml_tags import read_nml
from zarrlink.errors import CorruptFile, InvalidRequest
from zarrlink.formats.nml.values import coordinate
from zarrlink.geometry import BoundingBox, vec3
from zarrlink.storage.interface import ByteSource

# They stand in <parameters>, which WEBKNOSSOS writes before trees and volumes: these may be gigabytes.
MAX_BYTES: Final = 4 * 2**20
MAX_BOXES: Final = 1000
_CORNER: Final = ("topLeftX", "topLeftY", "topLeftZ")
_SIDES: Final = ("width", "height", "depth")


@dataclass(frozen=True, slots=True)
class NamedBox:
    """A box in mag-1 voxels; `name` is "" where it has none."""

    name: str
    box: BoundingBox


async def user_boxes(source: ByteSource) -> list[NamedBox]:
    """Those of the NML in an import's folder, in its order; without any that is empty.

    What stands behind trees or volumes, or behind the first 4 MiB, is not found. Raises CorruptFile, SourceUnavailable.
    """
    reading = _Reading()
    fed = 0
    async with contextlib.aclosing(read_nml(source)) as pieces:  # type: ignore[type-var]
        async for piece in pieces:
            reading.feed(piece)
            fed += len(piece)
            if reading.is_done or fed >= MAX_BYTES:
                break
    return reading.boxes[:MAX_BOXES]


class _Reading:
    def __init__(self) -> None:
        self.boxes: list[NamedBox] = []
        self.is_done = False
        self._parser = expat.ParserCreate("UTF-8")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end

    def feed(self, piece: bytes) -> None:
        try:
            self._parser.Parse(piece, False)
        except expat.ExpatError as error:
            raise CorruptFile("the NML of an annotation", key=NML_KEY) from error

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name in ("thing", "volume"):
            self.is_done = True
        elif name == "userBoundingBox" and not self.is_done:
            # An empty one is not let in any more: it was, and nothing can be done with it.
            with contextlib.suppress(InvalidRequest):
                low, sides = ([coordinate(attributes.get(key, "")) for key in keys] for keys in (_CORNER, _SIDES))
                self.boxes.append(NamedBox(attributes.get("name", ""), BoundingBox(vec3(low), vec3(sides))))

    def _end(self, name: str) -> None:
        if name == "parameters":
            self.is_done = True
