"""The least that an ASGI application can do: open a file, read it, send it. `python probe.py FOLDER`."""

from __future__ import annotations

import os
import sys
from typing import Any

from zarrlink_local import server


class Probe:
    """Serves the files below `root`, in the manner of no server that should be used."""

    def __init__(self, root: str) -> None:
        self._root = root

    async def __call__(self, scope: dict[str, Any], _receive: Any, send: Any) -> None:
        descriptor = os.open(self._root + scope["path"], os.O_RDONLY)
        try:
            body = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        finally:
            os.close(descriptor)
        headers = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    listener = server.listen(0)
    print(f"serving on http://{server.LOOPBACK}:{listener.getsockname()[1]}", flush=True)
    server.run(Probe(sys.argv[1]), listener)
