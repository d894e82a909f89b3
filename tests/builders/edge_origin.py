"""The origin behind a CDN: requests to it as the edge rewrites them, and the plainest edge, which caches nothing."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from dataclasses import replace
from typing import Any

from builders.door import Door
from zarrlink.edge.addresses import LINK_HEADER, SECRET_HEADER, parse_address
from zarrlink.edge.revision import revision_of, source_revision
from zarrlink.http.asgi import App
from zarrlink.http.edge_door import EdgeDoor
from zarrlink.http.message import Request, Response
from zarrlink.links.model import Link
from zarrlink_local.machine import Machine

SECRET = "s" * 40


class EdgeOrigin:
    """A door's data path behind a CDN."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.path = replace(door.path, edge=EdgeDoor.fixed((SECRET,)))

    def revision(self, link: Link | None = None) -> str:
        """What the edge's store says of a link (the current one) after the records were looked at."""
        link = link or self.door.link
        return revision_of(source_revision(self.door.library.subject(link.view)), link.geometry)

    def pinned(
        self, rest: str, revision: str | None = None, *, link: Link | None = None, method: str = "GET", **headers: str
    ) -> Response:
        """The reply below /c/; header names with `_` for `-`."""
        link = link or self.door.link
        address = f"/c/{link.view.id}/{revision or self.revision(link)}/{rest}"
        return self.send(method, address, x_zarrlink_link=link.id, **headers)

    def unpinned(self, rest: str, *, link: Link | None = None, method: str = "GET", **headers: str) -> Response:
        """The reply below /u/."""
        link = link or self.door.link
        return self.send(method, f"/u/{link.id}/{rest}", x_zarrlink_link=link.id, **headers)

    def send(self, method: str, address: str, *, secret: str | None = SECRET, **headers: str) -> Response:
        """The reply to any request; `secret` None: past the CDN."""
        given = {name.replace("_", "-").encode(): value.encode("latin-1") for name, value in headers.items()}
        if secret is not None:
            given[SECRET_HEADER] = secret.encode()
        return asyncio.run(self.path.respond(Request(method, address, given)))


class PlainEdge:
    """An ASGI application in front of a server that `create_app` made behind a CDN: what is below a link goes on pinned to
    the revision that the records are at, as if the store had heard of it at once."""

    def __init__(self, app: App, machine: Machine) -> None:
        self._app = app
        self._machine = machine

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        headers = [*scope["headers"], (SECRET_HEADER, SECRET.encode())]
        address = parse_address(scope["raw_path"].decode())
        path = scope["raw_path"].decode()
        if address is not None:
            link_id = self._machine.keys.link_id(address.token)
            headers.append((LINK_HEADER, link_id.encode()))
            path = self._rewritten(link_id, address.rest) if address.pinned else f"/u/{link_id}/{address.rest}"
        await self._app({**scope, "path": path, "raw_path": path.encode(), "headers": headers}, receive, send)

    def _rewritten(self, link_id: str, rest: str) -> str:
        link = self._machine.links.get(link_id)
        if link is None:
            raise AssertionError("the test's own link")
        revision = revision_of(source_revision(self._machine.library.subject(link.view)), link.geometry)
        return f"/c/{link.view.id}/{revision}/{rest}"
