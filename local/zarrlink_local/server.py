"""The HTTP server of one machine."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final

import uvicorn

from zarrlink.annotations.downloads import StreamedDownloads
from zarrlink.errors import InvalidRequest
from zarrlink.http.api import ApiServices, create_api
from zarrlink.http.api_door import ApiDoor
from zarrlink.http.asgi import App, Door
from zarrlink.http.cors import UiOrigins
from zarrlink.http.cutout_api import create_cutout_routes
from zarrlink.http.edge_door import EdgeDoor
from zarrlink.http.page import read_page_html
from zarrlink.http.routes import DataPath
from zarrlink.http.webknossos_api import create_webknossos_routes
from zarrlink.http.webknossos_zarr import create_zarr_routes
from zarrlink.streaming import Streamer
from zarrlink.users.vouching import Vouchers
from zarrlink_local.freed_memory import keep_freed_memory
from zarrlink_local.jobs.engine import LocalEngine
from zarrlink_local.jobs.queue import job_service
from zarrlink_local.machine import Machine, now_ms
from zarrlink_local.viewer import ViewerDoor

LOOPBACK: Final = "127.0.0.1"
# Names that one CDN goes by.
_MAX_ADDRESSES: Final = 8


def create_app(
    machine: Machine,
    public_url: str,
    engine: LocalEngine | None = None,
    *,
    viewer_max_age_s: int = 300,
    check_blocks: bool = False,
    ui_origins: UiOrigins = UiOrigins(),  # noqa: B008 (frozen)
    vouchers: Vouchers = Vouchers(),  # noqa: B008 (frozen)
    opened: Callable[[str], None] | None = None,
    served: tuple[Path, ...] = (),
    neuroglancer: str | None = None,
    edge: EdgeDoor | None = None,
    is_named: bool = False,
) -> Door:
    """The whole server as an ASGI application. `engine` None: without jobs. `served`: where datasets may be registered. `opened`: told the ids of links that are used.
    `neuroglancer`: the address of the one that links are opened in; None: the client of its package, where that is installed.
    `edge`: behind a CDN; then addresses begin with what that was reached by, unless `public_url` `is_named` by the operator."""
    data_path = DataPath(
        keys=machine.keys,
        links=machine.links,
        streamer=Streamer(machine.library, check_blocks=check_blocks),
        now_ms=now_ms,
        page_html=read_page_html(),
        viewer_max_age_s=viewer_max_age_s,
        opened=opened,
        edge=edge,
    )
    services = ApiServices(
        library=machine.library,
        catalogue=machine.catalogue,
        shelf=machine.shelf,
        downloads=StreamedDownloads(machine.library.holdings),
        links=machine.links,
        users=machine.users,
        keys=machine.keys,
        now_ms=now_ms,
        public_url=public_url,
        jobs=None if engine is None else job_service(machine, engine, workers=engine.workers),
        open_result=None if engine is None else engine.result,
        place_of=machine.places(served).place_of,
        vouchers=vouchers,
        has_edge=edge is not None,
    )
    cutouts = create_cutout_routes(machine.library)
    arrays = create_zarr_routes(machine.library)

    @lru_cache(maxsize=_MAX_ADDRESSES)
    def others(reached_by: str | None) -> App:
        address = public_url if reached_by is None or is_named else reached_by
        facts = create_webknossos_routes(machine.library, machine.catalogue, address)
        api = create_api(replace(services, public_url=address), cutouts, facts, arrays)
        return ViewerDoor(ApiDoor(api, ui_origins=ui_origins), neuroglancer)

    others(None)
    return Door(data_path, others)


def listen(port: int) -> socket.socket:
    """A socket on loopback; port 0 takes a free one. Raises InvalidRequest where the port is taken."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError as error:
        listener.close()
        raise InvalidRequest(f"port {port} cannot be used: {error.strerror}") from error
    listener.listen(1024)
    return listener


def run(app: Door, listener: socket.socket) -> None:
    """Serve until a signal ends it. SIGTERM is an end like any other: what is open above is closed."""
    keep_freed_memory()
    # No access log: the addresses hold tokens.
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="warning",
        server_header=False,
        date_header=False,
        lifespan="off",
        # As nginx: after uvicorn's 5 s a client that decodes for longer sends its next request on a closed connection, and fails.
        timeout_keep_alive=75,
    )
    # uvicorn ends, and then raises the signal once more for whoever had a handler before.
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        signal.signal(signal.SIGTERM, before)
