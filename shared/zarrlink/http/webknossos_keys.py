"""Keys of the WEBKNOSSOS dialect over a view: what lies below `/data/annotations/zarr/{token}`, or an id in its place.

Chunks hold the voxels of the layer as it was opened, so within the limits of a view, and 0 outside of its box.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from zarrlink.answers import OCTETS, Served, Want, serve_bytes, serve_whole
from zarrlink.errors import InvalidRequest, LinkGone, UnknownKey, UnsupportedLayer, ZarrlinkError
from zarrlink.formats.zarr_keys import Dialect
from zarrlink.formats.zarr_v2 import GROUP
from zarrlink.geometry import Mag, vec3
from zarrlink.http.webknossos_documents import SIDE, array_documents, data_source, group_documents, is_said
from zarrlink.layer import Layer
from zarrlink.links.model import Link
from zarrlink.opening.opened import OpenLayer
from zarrlink.served_voxels import read_voxels
from zarrlink.streaming import JSON, Place, Streamer

if TYPE_CHECKING:
    from numpy.typing import NDArray

DESCRIPTION: Final = "datasource-properties.json"
NO_WORDS: Final = "it has channels or axes that WEBKNOSSOS has no words for"
# Names that readers probe for at every place, whatever is there.
DOCUMENTS: Final = (".zarray", ".zattrs", ".zgroup", ".zmetadata", "zarr.json")
_NUMBER: Final = "(0|[1-9][0-9]{0,8})"
_CHUNK: Final = re.compile(rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}\.{_NUMBER}", re.ASCII)
_MAG: Final = re.compile(r"[0-9]+(?:-[0-9]+-[0-9]+)?/?", re.ASCII)
_WORD: Final = re.compile(r"[A-Za-z._][A-Za-z0-9._/\-]*", re.ASCII)


def is_folder(key: str) -> bool:
    """Whether a key below a layer is that of the layer or a mag, with or without a slash."""
    return key == "" or _MAG.fullmatch(key) is not None


async def said_key(opened: OpenLayer, place: Place, want: Want) -> Served | None:
    """See `zarrlink.streaming.Keys`: `zarr.json`, `2-2-1/zarr.json`, `2-2-1/0.X.Y.Z`. None: nothing but fill value.

    Raises UnsupportedLayer for a layer that there are no words for; LinkGone for a mag that is not open; UnknownKey,
    InvalidRequest.
    """
    check_said(opened.layer)
    mag, slash, name = place.key.partition("/")
    if not slash:
        return _document(group_documents(opened.layer, place.dialect), mag, want)
    if mag in DOCUMENTS or not is_folder(mag):
        raise not_a_key(place.key)
    number = find_level(opened.layer, mag)
    if number is None:
        raise LinkGone("the link does not open this mag")
    literal = opened.layer.levels[number].mag.literal
    if mag != literal:
        # One object, one address.
        raise InvalidRequest(f"this mag is written {literal}")
    position = chunk_position(name)
    if position is None:
        return _document(array_documents(opened.layer, opened.layer.levels[number], place.dialect), name, want)
    voxels = await read_chunk(opened, number, position)
    if voxels is None:
        return None
    return served_chunk(voxels, want)


def served_chunk(voxels: NDArray[Any], want: Want) -> Served:
    """A chunk as `read_chunk` reads it."""
    data = voxels.tobytes()
    etag = f'"{hashlib.blake2b(data, digest_size=12).hexdigest()}"'
    return replace(serve_whole(data, etag, OCTETS, "chunk", want), decoded=1)


def check_said(layer: Layer) -> None:
    """Raises UnsupportedLayer for a layer that WEBKNOSSOS has no words for."""
    if not is_said(layer):
        raise UnsupportedLayer(f"layer {layer.name!r}: {NO_WORDS}")


def find_level(layer: Layer, mag: str) -> int | None:
    """The number of a mag's level; None where the layer has none. Raises InvalidRequest for what is no mag."""
    wanted = Mag.parse(mag)
    return next((number for number, level in enumerate(layer.levels) if level.mag == wanted), None)


def chunk_position(name: str) -> tuple[int, int, int, int] | None:
    """The grid position (c, x, y, z) that a chunk's name says; None for what is no canonical name."""
    found = _CHUNK.fullmatch(name)
    if found is None:
        return None
    channel, x, y, z = map(int, found.groups())
    return channel, x, y, z


async def read_chunk(opened: OpenLayer, number: int, position: tuple[int, int, int, int]) -> NDArray[Any] | None:
    """The voxels of a chunk of level `number`, shape (z, y, x, c), 0 outside of the layer's box; None where that is all of
    them. Raises as `read_voxels`."""
    channel, *indices = position
    level = opened.layer.levels[number]
    corner = [SIDE * index for index in indices]
    low = vec3([max(at, first) for at, first in zip(corner, level.box_start, strict=True)])
    high = vec3([min(at + SIDE, end) for at, end in zip(corner, level.box_end, strict=True)])
    if channel or any(a >= b for a, b in zip(low, high, strict=True)):
        return None
    import numpy as np

    found = np.moveaxis(await read_voxels(opened, number, low, high), 0, -1)
    out = np.zeros((SIDE, SIDE, SIDE, opened.layer.channels), found.dtype)
    place = [slice(a - at, b - at) for a, b, at in zip(low, high, corner, strict=True)]
    out[tuple(place[::-1])] = found
    return out if out.any() else None


async def root_document(streamer: Streamer, link: Link, dialect: Dialect, name: str) -> tuple[bytes, str] | None:
    """A document beside the layers of a link, and its media type; None for a name that can only be a layer's.

    Raises UnknownKey for one that readers probe for, and as `describe`.
    """
    if name == DESCRIPTION:
        return json.dumps(await describe(streamer, link, dialect)).encode(), JSON
    if name not in DOCUMENTS or name in link.geometry:
        return None
    if dialect == "v2" and name == ".zgroup":
        return json.dumps(GROUP).encode(), JSON
    raise UnknownKey("there is no such document here")


async def describe(streamer: Streamer, link: Link, dialect: Dialect) -> dict[str, Any]:
    """The layers that a link opens, in WEBKNOSSOS's words, and why others of them are left out.

    Raises as `Streamer.open` does where none can be opened.
    """
    names = link.view.layers
    found = await asyncio.gather(
        *(streamer.open(link.view, link.geometry, name) for name in names), return_exceptions=True
    )
    layers: list[Layer] = []
    unavailable: list[dict[str, str]] = []
    for name, opened in zip(names, found, strict=True):
        if isinstance(opened, BaseException):
            if not isinstance(opened, ZarrlinkError):
                raise opened
            unavailable.append({"name": name, "reason": str(opened)})
        elif is_said(opened.layer):
            layers.append(opened.layer)
        else:
            unavailable.append({"name": name, "reason": NO_WORDS})
    for opened in found:
        if isinstance(opened, BaseException) and not layers:
            raise opened
    subject = streamer.library.subject(link.view)
    of = subject.annotation or subject.dataset
    return {**data_source(link.name or (of.name if of else ""), layers, dialect), "unavailable": unavailable}


def not_a_key(key: str) -> UnknownKey | InvalidRequest:
    """A name that readers may probe for is not there; anything else could be meant as a chunk, which must not be absent."""
    if _WORD.fullmatch(key):
        return UnknownKey("there is no such key in this Zarr tree")
    return InvalidRequest("not a canonical key; accepted: metadata names and chunks called 0.X.Y.Z")


def _document(documents: dict[str, dict[str, Any]], name: str, want: Want) -> Served:
    document = documents.get(name)
    if document is None:
        raise not_a_key(name)
    return serve_bytes(json.dumps(document).encode(), JSON, want)
