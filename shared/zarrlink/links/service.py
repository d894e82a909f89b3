"""Making links: from what somebody asks for to a row."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from zarrlink.errors import CorruptFile, InvalidRequest, UnsupportedLayer
from zarrlink.geometry import BoundingBox, Mag
from zarrlink.library import Library, Subject
from zarrlink.links.interface import KEEP, Keep, LinkStore
from zarrlink.links.model import Link, check_expiry, check_words, default_expiry_ms, new_link_id
from zarrlink.view import View


@dataclass(frozen=True, slots=True)
class LinkRequest:
    """What a new link is to open. `layers` None: every layer that can be streamed. `mappings`:
    layer -> name of the mapping that its segment ids are shown by. `expires_ms` KEEP: the default."""

    layers: tuple[str, ...] | None = None
    box: BoundingBox | None = None
    finest: Mag | None = None
    mappings: Mapping[str, str] = field(default_factory=dict)
    name: str = ""
    note: str = ""
    expires_ms: int | Keep | None = KEEP


@dataclass(frozen=True, slots=True)
class NewLink:
    """A link and why layers of the dataset are not in it (empty where layers were asked for by name)."""

    link: Link
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """What a link would open. `geometry`: layer -> fingerprint; `left_out`: as in NewLink."""

    view: View
    geometry: Mapping[str, str]
    left_out: tuple[str, ...]


async def create_link(
    library: Library, links: LinkStore, subject: Subject, owner: str, wish: LinkRequest, now_ms: int
) -> NewLink:
    """Make and keep a link.

    Raises InvalidRequest, UnsupportedLayer or CorruptFile where it would open nothing, or not all that was asked for by name.
    """
    check_words(wish.name, wish.note)
    expires_ms = default_expiry_ms(now_ms) if isinstance(wish.expires_ms, Keep) else wish.expires_ms
    check_expiry(expires_ms)
    if expires_ms is not None and expires_ms <= now_ms:
        raise InvalidRequest("the link would have expired already")
    opened = await try_open(library, subject, wish)
    link = Link(new_link_id(), owner, opened.view, opened.geometry, wish.name, wish.note, now_ms, expires_ms)
    links.add(link)
    return NewLink(link, opened.left_out)


async def try_open(library: Library, subject: Subject, wish: LinkRequest) -> Opened:
    """Open what a link is to open, as its readers will. Raises as `create_link`."""
    if wish.layers is None:
        names = await library.layer_names(subject)
    else:
        names = sorted(set(wish.layers))
    unknown = sorted(wish.mappings.keys() - set(names))
    if unknown:
        raise InvalidRequest(f"a mapping is asked for layer {unknown[0]!r}, which the link does not open")
    if not names:
        raise InvalidRequest("a link needs at least one layer")
    found = await asyncio.gather(*(_refusal(library, subject, wish, name) for name in names))
    servable = [name for name, refusal in zip(names, found, strict=True) if refusal is None]
    damaged = [refusal for refusal in found if isinstance(refusal, CorruptFile)]
    refusals = tuple(
        f"layer {name!r}: {refusal}" if isinstance(refusal, CorruptFile) else str(refusal)
        for name, refusal in zip(names, found, strict=True)
        if refusal is not None
    )
    # A mapping that cannot be applied is never left out in silence, with its layer or without.
    if not servable or (refusals and wish.layers is not None) or not wish.mappings.keys() <= set(servable):
        if damaged:
            raise damaged[0]
        raise UnsupportedLayer("; ".join(refusals[:8]))
    view = _view(subject, wish, servable)
    opened = await asyncio.gather(*(library.layer(view, name) for name in servable))
    geometry = {name: layer.fingerprint for name, layer in zip(servable, opened, strict=True)}
    return Opened(view, geometry, refusals)


def _view(subject: Subject, wish: LinkRequest, layers: list[str]) -> View:
    mappings = tuple(sorted((layer, name) for layer, name in wish.mappings.items() if layer in layers))
    return replace(subject.view(tuple(layers)), box=wish.box, finest=wish.finest, mappings=mappings)


async def _refusal(
    library: Library, subject: Subject, wish: LinkRequest, name: str
) -> UnsupportedLayer | CorruptFile | None:
    """Why a layer cannot be streamed; None where it can."""
    try:
        await library.layer(_view(subject, wish, [name]), name)
    except (UnsupportedLayer, CorruptFile) as error:
        return error
    return None


def change_link(
    links: LinkStore,
    link_id: str,
    owner: str | None,
    *,
    name: str | Keep = KEEP,
    note: str | Keep = KEEP,
    expires_ms: int | Keep | None = KEEP,
) -> Link | None:
    """Rename, extend or shorten a link. An expiry in the past is fine: it closes the link and can be undone.

    None where the owner has no such link. Raises InvalidRequest.
    """
    check_words("" if isinstance(name, Keep) else name, "" if isinstance(note, Keep) else note)
    if not isinstance(expires_ms, Keep):
        check_expiry(expires_ms)
    return links.change(link_id, owner, name=name, note=note, expires_ms=expires_ms)
