"""What the edge's store says of links and keys, in the form that functions/edge reads.

    k:<key id>     standard base64 of the key's bytes
    k:             the ids of all keys, in order: what is not among them is no key's that was lost, but made up
    l:<link id>    "<expiry> <view id>/<revision>", or "-" for a link that was revoked

The expiry is ms since 1970 in lower-case base 36, "-" for never. A link without an entry is unknown to the edge, which
then asks the origin: no entry at all is always safe, and costs the shared cache.
"""

from __future__ import annotations

import base64
import re
from typing import Final

from zarrlink.links.model import Link
from zarrlink.links.token import KeyRing

REVOKED: Final = "-"
"""Stays until the link would have expired anyway, or its row is cleaned up."""
_LINK: Final = "l:"
_KEY: Final = "k:"
_LINK_ID: Final = re.compile(r"[A-Za-z0-9_-]{16}", re.ASCII)
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


def link_key(link_id: str) -> str | None:
    """The key of a link's entry; None for what is no link's id, which can have none."""
    return _LINK + link_id if _LINK_ID.fullmatch(link_id) else None


def link_id_of(key: str) -> str | None:
    """The link whose entry has this key; None for another key."""
    link_id = key.removeprefix(_LINK)
    return link_id if key.startswith(_LINK) and _LINK_ID.fullmatch(link_id) else None


def link_entry(link: Link, revision: str | None, now_ms: int) -> str | None:
    """The value for a link, None where it is to have no entry. `revision` None: what it is of is not there any more."""
    if link.revoked_ms is not None:
        # The origin refuses it for two reasons, so no room is kept for a third.
        return None if link.is_expired(now_ms) else REVOKED
    if revision is None:
        return None
    expiry = "-" if link.expires_ms is None else base36(link.expires_ms)
    return f"{expiry} {link.view.id}/{revision}"


def key_entries(ring: KeyRing) -> dict[str, str]:
    """The entries of all keys of a ring."""
    entries = {_KEY + key_id: base64.b64encode(key).decode() for key_id, key in ring.keys.items()}
    return entries | {_KEY: "".join(sorted(ring.keys))}


def is_key(key: str) -> bool:
    """Whether an entry with this key is the key ring's business."""
    return key.startswith(_KEY)


def entry_bytes(key: str, value: str) -> int:
    """What an entry takes of a store's room."""
    return len(key.encode()) + len(value.encode())


def base36(number: int) -> str:
    """As JavaScript's `number.toString(36)`, from 0 on. Raises ValueError below."""
    if number < 0:
        raise ValueError("an expiry is not before 1970")
    digits = ""
    while True:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
        if number == 0:
            return digits
