"""(view, key, range) -> answer: the Zarr trees of a view.

Absent is `None` and becomes a 404, which readers paint as fill value; every failure is an exception.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from zarrlink.answers import GET, Ask, Served, Want, serve_bytes
from zarrlink.errors import CorruptFile, LinkGone, SourceChanged, SourceReplaced, UnknownKey, UnsupportedLayer
from zarrlink.formats.zarr_keys import ArrayKey, Dialect, GroupKey, parse_key
from zarrlink.library import Library, Subject
from zarrlink.opening.opened import OpenLayer
from zarrlink.transcode import PLAN_VERSION
from zarrlink.view import View

JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Place:
    """A key below a layer of a view. `geometry`: layer -> fingerprint that the reader's metadata was made from."""

    view: View
    geometry: Mapping[str, str]
    dialect: Dialect
    layer: str
    key: str


class Answer(NamedTuple):
    """What there is at a place; None for a canonical chunk that holds nothing.

    `is_pinned`: whether it was made from what was to be answered from, and from nothing else.
    """

    served: Served | None
    is_pinned: bool


Pin = Callable[[Subject], bool]
"""Whether an answer is to be made from this, as it was when a layer of it was opened."""
Keys = Callable[[OpenLayer, Place, Want], Awaitable[Served | None]]
"""Answers the keys below a layer in some dialect."""


class Streamer:
    """Zarr trees of views over a library of layers.

    `check_blocks`: decode every block before it goes out, as some clients do not notice one that cannot be decoded
    (docs/decisions/0006).
    """

    def __init__(self, library: Library, *, check_blocks: bool = False) -> None:
        self.library = library
        self._check_blocks = check_blocks

    async def open(self, view: View, geometry: Mapping[str, str], name: str) -> OpenLayer:
        """The layer of a view, if its geometry is still the one that the link was made for.

        `geometry`: layer -> fingerprint. Raises LinkGone for a layer that the view does not hold, SourceReplaced.
        """
        return (await self._open(view, geometry, name, None))[0]

    async def answer(self, place: Place, want: Want = GET) -> Served | None:
        """The answer to a key; None for a canonical chunk that holds nothing.

        Where the source changed under us, or looks damaged, everything that was remembered of it is dropped and
        read anew, once. Raises as the modules below do: InvalidRequest, UnknownKey, LinkGone, RangeNotSatisfiable,
        CorruptFile, SourceChanged, SourceUnavailable.
        """
        return (await self.answer_by(self.zarr_key, place, want, None)).served

    async def answer_by(self, keys: Keys, place: Place, want: Want, pin: Pin | None) -> Answer:
        """As `answer`, for any dialect.

        `pin`: what is remembered of another source than this is dropped and looked up anew, once; where it is another
        source still, that one answers. None: whatever is remembered.
        """
        try:
            opened, is_pinned = await self._open(place.view, place.geometry, place.layer, pin)
            return Answer(await keys(opened, place, want), is_pinned)
        except (SourceChanged, CorruptFile):
            self.library.doubt(place.view, place.layer)
            opened, is_pinned = await self._open(place.view, place.geometry, place.layer, pin)
            return Answer(await keys(opened, place, want), is_pinned)

    async def zarr_key(self, opened: OpenLayer, place: Place, want: Want) -> Served | None:
        """`Keys` of OME-Zarr."""
        key = parse_key(place.dialect, place.key)
        if isinstance(key, GroupKey):
            return _document(opened, place.dialect, key.document, want)
        levels = opened.chunks(place.dialect)
        if key.level >= len(levels):
            raise LinkGone("the link does not open this level")
        if isinstance(key, ArrayKey):
            return _document(opened, place.dialect, f"{key.level}/{key.document}", want)
        facts = f"{PLAN_VERSION} {opened.etag} {place.view.id}/{place.dialect}/{place.layer}/{place.key}"
        return await levels[key.level].answer(key.position, Ask(want, facts, self._check_blocks))

    async def _open(
        self, view: View, geometry: Mapping[str, str], name: str, pin: Pin | None
    ) -> tuple[OpenLayer, bool]:
        """As `open`, and whether it is what the pin asks for. All of an answer is made from this layer, so that it can
        not be of another source than was compared, whatever happens to the records meanwhile."""
        expected = geometry.get(name)
        if expected is None:
            raise LinkGone("the link does not open this layer")
        try:
            subject, opened = await self.library.opened(view, name)
            is_pinned = pin is not None and pin(subject)
            if pin is not None and not is_pinned:
                self.library.doubt(view, name)
                subject, opened = await self.library.opened(view, name)
                is_pinned = pin(subject)
        except UnsupportedLayer as error:
            raise SourceReplaced(name) from error
        if opened.fingerprint != expected:
            raise SourceReplaced(name)
        return opened, is_pinned


def _document(opened: OpenLayer, dialect: Dialect, key: str, want: Want) -> Served:
    document = opened.documents(dialect).get(key)
    if document is None:
        raise UnknownKey("there is no such key in this Zarr tree")
    return serve_bytes(document, JSON, want)
