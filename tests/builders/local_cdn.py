"""A server behind the local CDN, both on loopback, with what reaches the server counted."""

from __future__ import annotations

import asyncio
import http.client
import secrets
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from builders.local_jobs import until
from builders.loopback import served
from zarrlink.errors import InvalidRequest
from zarrlink.http.edge_door import EdgeDoor
from zarrlink.library import Subject
from zarrlink.links.model import Link
from zarrlink.links.service import LinkRequest, create_link
from zarrlink_local.cdn.nginx import Cdn, find_nginx, running_cdn
from zarrlink_local.cdn.pushes import Pushes
from zarrlink_local.machine import Machine, now_ms, open_machine
from zarrlink_local.scan import register_below
from zarrlink_local.server import LOOPBACK, create_app, listen

FUNCTIONS: Final = Path(__file__).parents[2] / "functions/edge"


def skip_without_nginx() -> None:
    try:
        find_nginx()
    except InvalidRequest as missing:
        pytest.skip(str(missing))


@dataclass(frozen=True, slots=True)
class Reply:
    """`headers`: lower-case names."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_hit(self) -> bool:
        return self.headers.get("x-cache") == "HIT"


def ask(address: str, method: str = "GET", headers: Mapping[str, str] = {}) -> Reply:
    """One request, its path as it is written."""
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.netloc)
    try:
        connection.request(method, address.removeprefix(f"{parts.scheme}://{parts.netloc}"), headers=dict(headers))
        reply = connection.getresponse()
        return Reply(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
    finally:
        connection.close()


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the server got it; `path` percent-encoded, with its query where it has one."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass
class Counted:
    """An ASGI application that keeps what it is asked."""

    app: Any
    asked: list[Asked] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode("latin-1")
        # Servers differ in whether the query is part of the path.
        path = scope["raw_path"].partition(b"?")[0].decode("latin-1") + (f"?{query}" if query else "")
        self.asked.append(Asked(scope["method"], path, headers))
        await self.app(scope, receive, send)


@dataclass
class LocalEdge:
    """`address`: the CDN's; `origin`: the server's own, which refuses everything. `asked`: what reached the server."""

    machine: Machine
    cdn: Cdn
    address: str
    origin: str
    secret: str
    asked: list[Asked]

    def link(self, dataset: str, wish: LinkRequest = LinkRequest(expires_ms=None)) -> Link:  # noqa: B008 (frozen)
        """A new link that the edge knows already."""
        (record,) = [found for found in self.machine.catalogue.all() if found.name == dataset]
        made = create_link(self.machine.library, self.machine.links, Subject(record), "ann", wish, now_ms())
        # In a thread of its own: a browser's event loop may run in this one.
        with ThreadPoolExecutor(1) as other:
            link = other.submit(asyncio.run, made).result().link
        until((self.cdn.entries / f"l_{link.id}").exists)
        return link

    def page(self, link: Link) -> str:
        """The link's address, with a slash at its end."""
        return f"{self.address}/zarr/{self.machine.keys.token(link.id)}/"

    def layer(self, link: Link, name: str) -> dict[str, str]:
        """Addresses of a layer by dialect."""
        return {dialect: f"{self.page(link)}{dialect}/{name}.zarr" for dialect in ("v2", "v3")}

    def entry(self, link: Link) -> str:
        return (self.cdn.entries / f"l_{link.id}").read_text()

    def reads(self, ending: str = "") -> list[str]:
        """The paths of what reached the server and ends so."""
        return [one.path for one in self.asked if one.path.endswith(ending)]


@contextmanager
def running_edge(state: Path, *folders: Path, viewer_max_age_s: int = 300) -> Iterator[LocalEdge]:
    """A server on these folders, the CDN in front of it, and the pushes from the state file to the edge."""
    machine = open_machine(state)
    for folder in folders:
        register_below(folder, machine.catalogue, now_ms(), pytest.fail)
    secret, listener = secrets.token_urlsafe(32), listen(0)
    address = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
    machine.set_address(address)
    edge = EdgeDoor.fixed((secret,), scheme="http")
    app = Counted(create_app(machine, address, viewer_max_age_s=viewer_max_age_s, edge=edge))
    with (
        served(app) as origin,
        running_cdn(listener, urlsplit(origin).port or 0, secret, FUNCTIONS) as cdn,
        Pushes(machine, cdn.entries, every_s=0.02),
    ):
        yield LocalEdge(machine, cdn, address, origin, secret, app.asked)
