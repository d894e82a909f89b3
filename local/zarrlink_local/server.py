"""The HTTP server of one machine."""

from __future__ import annotations

import socket
from typing import Final

import uvicorn

from zarrlink.annotations.downloads import StreamedDownloads
from zarrlink.errors import InvalidRequest
from zarrlink.http.api import ApiServices, create_api
from zarrlink.http.api_door import ApiDoor
from zarrlink.http.asgi import Door
from zarrlink.http.cutout_api import create_cutout_routes
from zarrlink.http.page import read_page_html
from zarrlink.http.routes import DataPath
from zarrlink.http.webknossos_api import create_webknossos_routes
from zarrlink.http.webknossos_zarr import create_zarr_routes
from zarrlink.streaming import Streamer
from zarrlink_local.jobs.engine import LocalEngine
from zarrlink_local.jobs.queue import job_service
from zarrlink_local.machine import Machine, now_ms

LOOPBACK: Final = "127.0.0.1"


def create_app(
    machine: Machine,
    public_url: str,
    engine: LocalEngine | None = None,
    *,
    viewer_max_age_s: int = 300,
    check_blocks: bool = False,
) -> Door:
    """The whole server as an ASGI application. `engine` None: without jobs."""
    data_path = DataPath(
        keys=machine.keys,
        links=machine.links,
        streamer=Streamer(machine.library, check_blocks=check_blocks),
        now_ms=now_ms,
        page_html=read_page_html(),
        viewer_max_age_s=viewer_max_age_s,
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
    )
    cutouts = create_cutout_routes(machine.library, machine.catalogue)
    facts = create_webknossos_routes(machine.library, machine.catalogue, public_url)
    arrays = create_zarr_routes(machine.library, machine.catalogue)
    return Door(data_path, ApiDoor(create_api(services, cutouts, facts, arrays)))


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
    """Serve until a signal ends it."""
    # No access log: the addresses hold tokens.
    config = uvicorn.Config(
        app, access_log=False, log_level="warning", server_header=False, date_header=False, lifespan="off"
    )
    uvicorn.Server(config).run(sockets=[listener])
