"""An ASGI application on a real socket, in this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from zarrlink_local.server import LOOPBACK, listen


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Its address, without a slash at the end. Connections made before it runs wait in the socket's queue."""
    listener = listen(0)
    config = uvicorn.Config(
        app, access_log=False, log_level="critical", server_header=False, date_header=False, lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield f"http://{LOOPBACK}:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
