"""A running server, and the `zarrlink` command as it is called from another machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from builders.commands import Result
from builders.local_jobs import running
from builders.loopback import served
from builders.wkw_files import LayerFiles, dataset, pyramid, ramp, write_tree
from zarrlink.geometry import Mag
from zarrlink.http.asgi import App, Receive, Scope, Send
from zarrlink.users.interface import User, hash_user_token
from zarrlink_local.machine import Machine, open_machine
from zarrlink_local.scan import register_below
from zarrlink_local.server import create_app
from zarrlink_local.use_counter import UseCounter

ONE, TWO = Mag(1, 1, 1), Mag(2, 2, 1)
EM = ramp((90, 70, 20), "uint16")
SEG = ramp((64, 64, 64), "uint32")
TOKENS = {name: f"{name}-token-of-this-test" for name in ("ann", "bob", "root")}
Middle = Callable[[App, Scope, Receive, Send], Any]


@dataclass
class Site:
    """Ann and Bob may use it, Root is an admin. `middle`: what stands before the server, if anything does."""

    machine: Machine
    address: str
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    middle: Middle | None = None

    @property
    def state(self) -> tuple[str, str]:
        """Options by which the operator names the same."""
        return "--state", str(self.machine.file.path)

    def run(self, capsys: pytest.CaptureFixture[str], *arguments: object, user: str = "ann") -> Result:
        return Result(capsys, "--api", self.address, "--token", TOKENS[user], *arguments)

    def asked(self, path: str) -> list[dict[str, str]]:
        """The headers of requests for what ends so."""
        return [headers for _, asked, headers in self.requests if asked.endswith(path)]


@contextmanager
def running_site(home: Path, *, jobs: bool = False) -> Iterator[Site]:
    """Datasets `mouse` (em, seg) and `fly` (em)."""
    machine = open_machine(home / "state.sqlite")
    for name, token in TOKENS.items():
        machine.users.add(User(name, 1, name == "root"), hash_user_token(token))
    seg = LayerFiles("seg", {ONE: SEG}, category="segmentation", block_side=32)
    write_tree(dataset(LayerFiles("em", pyramid(EM, (ONE, TWO))), seg), home / "data/mouse")
    write_tree(dataset(LayerFiles("em", {ONE: ramp((9, 9, 9))})), home / "data/fly")
    register_below(home / "data", machine.catalogue, 1, pytest.fail)
    site: list[Site] = []
    apps: list[App] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        site[0].requests.append((scope["method"], scope["path"], headers))
        if site[0].middle is not None:
            await site[0].middle(apps[0], scope, receive, send)
        else:
            await apps[0](scope, receive, send)

    with ExitStack() as stack:
        # The server says where it is, and knows only when it listens.
        engine = stack.enter_context(running(machine, 1)) if jobs else None
        uses = stack.enter_context(UseCounter(machine.links, lambda: 7, every_s=0.05))
        address = stack.enter_context(served(app))
        machine.set_address(address)
        apps.append(create_app(machine, address, engine, served=(home / "data",), opened=uses.opened))
        site.append(Site(machine, address))
        yield site[0]


def breaking_off(ends_with: str, *lengths: int) -> Middle:
    """Answers to what ends so break off after so many bytes, one after the other; later ones are whole."""
    left = list(lengths)

    async def middle(app: App, scope: Scope, receive: Receive, send: Send) -> None:
        if not (scope["path"].endswith(ends_with) and left):
            await app(scope, receive, send)
            return
        rest = left.pop(0)

        async def cut(message: Any) -> None:
            nonlocal rest
            if message["type"] == "http.response.body":
                body = message.get("body", b"")[:rest]
                rest -= len(body)
                await send({**message, "body": body, "more_body": True})
                if not rest:
                    raise _BrokenOff
            else:
                await send(message)

        await app(scope, receive, cut)

    return middle


class _BrokenOff(Exception):
    """Ends an answer before it is whole: the server closes the connection."""
