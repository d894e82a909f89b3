"""Making links: from what somebody asks for to a row."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from zarrlink.catalogue.interface import DatasetRecord
from zarrlink.errors import InvalidRequest, UnsupportedLayer
from zarrlink.geometry import BoundingBox, Mag
from zarrlink.library import Library
from zarrlink.links.interface import KEEP, Keep, LinkStore
from zarrlink.links.model import Link, check_expiry, check_words, default_expiry_ms, new_link_id
from zarrlink.view import View


@dataclass(frozen=True, slots=True)
class LinkRequest:
    """What a new link is to open. `layers` None: every layer that can be streamed. `expires_ms` KEEP: the default."""

    layers: tuple[str, ...] | None = None
    box: BoundingBox | None = None
    finest: Mag | None = None
    name: str = ""
    note: str = ""
    expires_ms: int | Keep | None = KEEP


@dataclass(frozen=True, slots=True)
class NewLink:
    """A link and why layers of the dataset are not in it (empty where layers were asked for by name)."""

    link: Link
    left_out: tuple[str, ...]


async def create_link(
    library: Library, links: LinkStore, record: DatasetRecord, owner: str, wish: LinkRequest, now_ms: int
) -> NewLink:
    """Make and keep a link.

    Raises InvalidRequest or UnsupportedLayer where it would open nothing, or not all that was asked for by name.
    """
    check_words(wish.name, wish.note)
    expires_ms = default_expiry_ms(now_ms) if isinstance(wish.expires_ms, Keep) else wish.expires_ms
    check_expiry(expires_ms)
    if expires_ms is not None and expires_ms <= now_ms:
        raise InvalidRequest("the link would have expired already")
    if wish.layers is None:
        description = await library.describe(record)
        names = sorted([layer.name for layer in description.layers] + list(description.unreadable))
    else:
        names = sorted(set(wish.layers))
    if not names:
        raise InvalidRequest("a link needs at least one layer")
    refusals: list[str] = []
    servable: list[str] = []
    for name, refusal in zip(
        names, await asyncio.gather(*(_refusal(library, record, wish, n) for n in names)), strict=True
    ):
        if refusal is None:
            servable.append(name)
        else:
            refusals.append(refusal)
    if not servable or (refusals and wish.layers is not None):
        raise UnsupportedLayer("; ".join(refusals[:8]))
    view = View(record.id, tuple(servable), wish.box, wish.finest)
    opened = await asyncio.gather(*(library.layer(view, name) for name in servable))
    geometry = {name: layer.fingerprint for name, layer in zip(servable, opened, strict=True)}
    link = Link(new_link_id(), owner, view, geometry, wish.name, wish.note, now_ms, expires_ms)
    links.add(link)
    return NewLink(link, tuple(refusals))


async def _refusal(library: Library, record: DatasetRecord, wish: LinkRequest, name: str) -> str | None:
    """Why a layer cannot be streamed; None where it can."""
    try:
        await library.layer(View(record.id, (name,), wish.box, wish.finest), name)
    except UnsupportedLayer as error:
        return str(error)
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
