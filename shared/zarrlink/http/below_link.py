"""What lies below a link, `v3/...` and `v2/...`, and `w3/...` and `w2/...` in WEBKNOSSOS's dialect, whatever address led there."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from zarrlink.answers import Served, Want, serve_bytes
from zarrlink.edge.addresses import decode_segment
from zarrlink.errors import UnknownKey
from zarrlink.formats.zarr_keys import Dialect
from zarrlink.http import listing, webknossos_keys
from zarrlink.links.model import Link
from zarrlink.streaming import Pin, Place, Streamer

_DIALECTS: Final[dict[str, Dialect]] = {"v2": "v2", "v3": "v3"}
_SAID: Final[dict[str, Dialect]] = {"w2": "v2", "w3": "v3"}
_FOLDER: Final = re.compile(r"|(?:0|[1-9][0-9]{0,3})/?", re.ASCII)


class Found(NamedTuple):
    """An answer; None is a chunk that was never written. `is_kept`: whether anybody may keep it. `is_pinned`: as
    `zarrlink.streaming.Answer` has it."""

    served: Served | None
    is_kept: bool
    is_pinned: bool


async def find(streamer: Streamer, link: Link, rest: str, path: str, want: Want, pin: Pin | None) -> Found:
    """What is at `rest` below a link. `path`: the whole address, which relative links of folders start from.

    Raises as `Streamer.answer`.
    """
    folder, _, below = rest.partition("/")
    dialect = _DIALECTS.get(folder)
    if dialect is None:
        said = _SAID.get(folder)
        if said is None:
            raise UnknownKey("below a link there are v3 and v2")
        return await _said(streamer, link, said, below, path, want, pin)
    if below == "":
        return _page(listing.of_dialect(link, dialect, path), want)
    segment, _, key = below.partition("/")
    name = _decoded(segment)
    if not name.endswith(".zarr"):
        raise UnknownKey("layers are addressed as NAME.zarr")
    name = name.removesuffix(".zarr")
    if _FOLDER.fullmatch(key):
        opened = await streamer.open(link.view, link.geometry, name)
        return _page(listing.of_layer(opened.layer, dialect, key, path), want)
    place = Place(link.view, link.geometry, dialect, name, key)
    served, is_pinned = await streamer.answer_by(streamer.zarr_key, place, want, pin)
    return Found(served, is_kept=True, is_pinned=is_pinned)


async def _said(
    streamer: Streamer, link: Link, dialect: Dialect, below: str, path: str, want: Want, pin: Pin | None
) -> Found:
    if below == "":
        return _page(listing.of_said_root(link, dialect, path), want)
    if "/" not in below:
        document = await webknossos_keys.root_document(streamer, link, dialect, below)
        if document is not None:
            return Found(serve_bytes(*document, want), is_kept=False, is_pinned=False)
    segment, _, key = below.partition("/")
    name = _decoded(segment)
    if webknossos_keys.is_folder(key):
        opened = await streamer.open(link.view, link.geometry, name)
        return _page(listing.of_said(opened.layer, dialect, key, path), want)
    place = Place(link.view, link.geometry, dialect, name, key)
    served, is_pinned = await streamer.answer_by(webknossos_keys.said_key, place, want, pin)
    return Found(served, is_kept=True, is_pinned=is_pinned)


def _page(made: tuple[bytes, str], want: Want) -> Found:
    return Found(serve_bytes(*made, want), is_kept=False, is_pinned=False)


def _decoded(segment: str) -> str:
    return decode_segment(segment) if "%" in segment else segment
