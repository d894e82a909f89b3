"""`make run`: a sample dataset, a private link to it, and a server that holds both; `make run-cdn`: the same behind a CDN."""

from __future__ import annotations

import argparse
import asyncio
import logging
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zarrlink.http.edge_door import EdgeDoor
from zarrlink.http.page import layer_paths
from zarrlink.library import Subject
from zarrlink.links.model import Link
from zarrlink.links.service import LinkRequest, create_link
from zarrlink_local import sample, server
from zarrlink_local.cdn.nginx import find_nginx, running_cdn
from zarrlink_local.cdn.pushes import Pushes
from zarrlink_local.expiry import in_words
from zarrlink_local.failure import FORESEEN, in_one_line
from zarrlink_local.jobs.engine import local_engine
from zarrlink_local.machine import Machine, now_ms, open_machine
from zarrlink_local.use_counter import UseCounter

NAME = "Sample: EM-like neuropil"
FUNCTIONS = Path(__file__).parents[1] / "functions/edge"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=Path(".zarrlink"), help="where sample and state are kept")
    parser.add_argument("--port", type=int, default=8080, help="0 takes a free one")
    parser.add_argument("--size", type=int, nargs=3, default=(512, 512, 256), help="voxels x y z of a new sample")
    parser.add_argument("--cdn", action="store_true", help="put nginx in front, with the functions of the CDN on AWS")
    options = parser.parse_args()
    logging.basicConfig(format="%(levelname)s %(message)s", level=logging.WARNING)
    # First, since making the sample takes a while.
    if options.cdn:
        find_nginx()
    listener = server.listen(options.port)
    folder = options.home / sample.NAME
    if not folder.exists():
        options.home.mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        sample.write_sample(folder, size_xyz=tuple(options.size), seed=7, progress=show_progress)
        print(f"\rmade the sample {folder} in {time.monotonic() - started:.0f} s", file=sys.stderr)
    machine = open_machine(options.home / "state.sqlite")
    address = f"http://{server.LOOPBACK}:{listener.getsockname()[1]}"
    machine.set_address(address)
    link = sample_link(machine, folder)
    with behind_cdn(machine, listener, options.home) if options.cdn else alone(listener) as (edge, own):
        print(said(machine, link, address), flush=True)
        with local_engine(machine) as engine, UseCounter(machine.links, now_ms) as uses:
            server.run(server.create_app(machine, address, engine, opened=uses.opened, edge=edge), own)


def said(machine: Machine, link: Link, address: str) -> str:
    """What to open and to type."""
    page = f"{address}/zarr/{machine.keys.token(link.id)}/"
    return f"""
A private link to the sample dataset; expires {in_words(link.expires_ms, now_ms())}.

Open its page:
    {page}

All pages, with the token that `.venv/bin/zarrlink users add YOU --admin` prints:
    {address}/

Read voxels (the environment .venv has zarr):
    import zarr
    em = zarr.open_group("{page}{layer_paths("em")["v3"]}", mode="r")["0"]
    print(em[128, 200:204, 200:210])  # z, y, x

Revoke it: .venv/bin/zarrlink links revoke {link.id}        Stop: Ctrl-C
"""


@contextmanager
def alone(listener: socket.socket) -> Iterator[tuple[None, socket.socket]]:
    yield None, listener


@contextmanager
def behind_cdn(machine: Machine, listener: socket.socket, home: Path) -> Iterator[tuple[EdgeDoor, socket.socket]]:
    """nginx on the listener, and the server on a socket of its own: what it is to check, and that socket."""
    # From here on there is a process to be ended.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    own, secret = server.listen(0), secrets.token_urlsafe(32)
    port = own.getsockname()[1]
    with running_cdn(listener, port, secret, FUNCTIONS, home=home) as cdn, Pushes(machine, cdn.entries):
        print(f"""\
In front stands nginx with the functions that CloudFront runs. Its answers say in X-Cache whether they come from its cache.
Asked past it, the server refuses everything: http://{server.LOOPBACK}:{port}/
The log of the edge, without addresses: {cdn.log}
""", flush=True)  # fmt: skip
        yield EdgeDoor.fixed((secret,), scheme="http"), own


def sample_link(machine: Machine, folder: Path) -> Link:
    """The link that an earlier run made, if it still opens; else a new one."""
    record = machine.catalogue.register(sample.NAME, str(folder.resolve()), now_ms())
    for link in machine.links.of_owner("operator"):
        if link.name == NAME and link.view.dataset == record.id and not link.is_expired(now_ms()):
            return link
    wish = LinkRequest(name=NAME)
    return asyncio.run(create_link(machine.library, machine.links, Subject(record), "operator", wish, now_ms())).link


def show_progress(done: float) -> None:
    print(f"\rmaking the sample (once): {done:4.0%}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        main()
    except FORESEEN as error:
        print(f"make run{'-cdn' * ('--cdn' in sys.argv)}: {in_one_line(error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
