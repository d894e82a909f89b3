"""Links that nobody made: by them the web pages draw pictures of what somebody may read, for about an hour."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
from typing import Final

from zarrlink.library import Library, Subject
from zarrlink.links.interface import LinkStore
from zarrlink.links.model import Link
from zarrlink.links.service import LinkRequest, try_open

# No user's name, so these are in nobody's list.
PREVIEWER: Final = "~preview"
LASTS_MS: Final = 3_600_000
# Whoever looks at the same within it gets the same link: pages that are opened over and over do not fill the table.
SHARED_MS: Final = 600_000


def is_preview(link: Link) -> bool:
    return link.owner == PREVIEWER


async def open_preview(library: Library, links: LinkStore, subject: Subject, now_ms: int) -> Link:
    """A link to every layer that can be streamed, for an hour to an hour and ten minutes.

    Raises InvalidRequest or UnsupportedLayer where there is none.
    """
    opened = await try_open(library, subject, LinkRequest())
    begins_ms = now_ms // SHARED_MS * SHARED_MS
    expires_ms = begins_ms + SHARED_MS + LASTS_MS
    facts = [opened.view.to_json(), sorted(opened.geometry.items()), begins_ms]
    digest = hashlib.sha256(json.dumps(facts).encode()).digest()
    # An id need not be secret: its token is made with a key.
    link_id = base64.urlsafe_b64encode(digest)[:16].decode()
    found = links.get(link_id)
    if found is not None:
        return found
    of = subject.annotation or subject.dataset
    name = "" if of is None else of.name
    link = Link(link_id, PREVIEWER, opened.view, opened.geometry, name, "", begins_ms, expires_ms)
    # Somebody else may have opened it at the same moment.
    with contextlib.suppress(ValueError):
        links.add(link)
    return link
