"""Whose an annotation is and which one, as its NML says: by our own ids for whoever is to open it from here.

`webknossos`'s library downloads the NML to learn the ids that it asks for next. All else stays as it was uploaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

from zarrlink.annotations.manifest import NML_KEY
from zarrlink.annotations.nml_tags import PIECE_BYTES, Edit, retag
from zarrlink.annotations.pack_reader import read_part
from zarrlink.byte_range import ByteRange
from zarrlink.errors import CorruptFile
from zarrlink.storage.interface import ByteSource

_METAS: Final = ("annotationId", "username")


@dataclass(frozen=True, slots=True)
class DatasetIdentity:
    """The attributes of `<experiment>`."""

    id: str
    name: str
    organization: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Our ids of an annotation. `dataset` None: as uploaded, since it is not registered here."""

    annotation: str
    username: str
    dataset: DatasetIdentity | None = None


async def identity_edits(source: ByteSource, identity: Identity) -> tuple[Edit, ...]:
    """What changes in the NML of an import's folder. Raises CorruptFile, SourceUnavailable.

    It is looked for in the first MiB, up to the end of `<parameters>`: WEBKNOSSOS writes both before trees and volumes.
    """
    head = bytes((await read_part(source, NML_KEY, ByteRange(0, PIECE_BYTES))).data)
    reading = _Reading(head, identity)
    return (*reading.missing(), *reading.edits)


class _Reading:
    """The tags of the first MiB. A new value of a tag stands in the place of its old one."""

    def __init__(self, head: bytes, identity: Identity) -> None:
        self.edits: list[Edit] = []
        self._head = head
        self._metas = dict(zip(_METAS, (identity.annotation, identity.username), strict=True))
        self._identity = identity
        self._depth = 0
        self._first: int | None = None
        self._is_over = False
        self._parser = expat.ParserCreate("UTF-8")
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        try:
            self._parser.Parse(head, False)
        except expat.ExpatError as error:
            raise CorruptFile("the NML of an annotation", key=NML_KEY) from error
        finally:
            # They hold the parser, which holds them.
            self._parser.StartElementHandler = self._parser.EndElementHandler = None

    def missing(self) -> tuple[Edit, ...]:
        """What no tag said, before all others."""
        if self._first is None or not self._metas:
            return ()
        tags = "".join(
            f"<meta name={quoteattr(name)} content={quoteattr(text)} />" for name, text in self._metas.items()
        )
        return (Edit(self._first, self._first, tags.encode()),)

    def _start(self, name: str, attributes: Mapping[str, Any]) -> None:
        self._depth += 1
        if self._depth == 1 or self._is_over:
            return
        at = self._parser.CurrentByteIndex
        self._first = at if self._first is None else self._first
        if self._depth == 2 and name == "meta" and attributes.get("name") in self._metas:
            self._change(at, name, attributes, {"content": self._metas.pop(attributes["name"])})
        elif self._depth == 3 and name == "experiment" and self._identity.dataset is not None:
            dataset = self._identity.dataset
            ids = {"name": dataset.name, "organization": dataset.organization, "datasetId": dataset.id}
            self._change(at, name, attributes, ids)
        elif name in ("thing", "volume"):
            self._is_over = True

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._is_over = self._is_over or name == "parameters"

    def _change(self, at: int, name: str, attributes: Mapping[str, Any], changes: Mapping[str, str]) -> None:
        if changes.items() <= attributes.items():
            return
        changed = retag(self._head[at:], name.encode(), changes)
        if changed is None:
            raise CorruptFile("the NML of an annotation is not the one that was imported", key=NML_KEY)
        text, length = changed
        self.edits.append(Edit(at, at + length, text))
