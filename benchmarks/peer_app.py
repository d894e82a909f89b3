"""Other servers of Zarr, in the environment of `make setup-peers`: `python peer_app.py NAME FOLDER`, a name of `APPS`.

FOLDER holds `files` (chunks as they are served), `voxels.npy` (z, y, x), and `copies/SIDE` (Zarr v2 in chunks of SIDE^3).
Each is one process with uvicorn's defaults, uvloop and httptools among them; no access log. Prints `serving on ADDRESS`.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

SIDES = (32, 128)


def zarr_http_server(folder: Path) -> Any:
    """Passes the keys of a store through."""
    from zarr.storage import LocalStore
    from zarr_http_server import store_app

    return store_app(LocalStore(folder / "files", read_only=True))


def tiled(folder: Path) -> Any:
    """Arrays that are mapped into memory, so that nothing has to be decoded; an array for each side of chunks."""
    import numpy as np
    from tiled.adapters.array import ArrayAdapter
    from tiled.adapters.mapping import MapAdapter
    from tiled.config import Authentication
    from tiled.server.app import build_app

    volume = np.load(folder / "voxels.npy", mmap_mode="r")
    tree = {
        str(side): ArrayAdapter.from_array(
            volume, chunks=tuple((side,) * (length // side) for length in volume.shape), dims=("z", "y", "x")
        )
        for side in SIDES
    }
    return build_app(MapAdapter(tree), Authentication(allow_anonymous_access=True))


def xpublish(folder: Path) -> Any:
    """Datasets over arrays that are mapped into memory; a dataset for each side of chunks."""
    import dask.array as da
    import numpy as np
    import xarray as xr
    from xpublish import Rest
    from xpublish_zarr import ZarrPlugin

    volume = np.load(folder / "voxels.npy", mmap_mode="r")
    datasets = {
        str(side): xr.Dataset({"em": (("z", "y", "x"), da.from_array(volume, chunks=(side,) * 3))}) for side in SIDES
    }
    rest = Rest(datasets, plugins={"zarr": ZarrPlugin()})
    return rest.app


class Recoder:
    """The least that a server can do that knows arrays as voxels: tensorstore reads a chunk, Blosc packs it.

    `cached`: decoded chunks stay in memory, all of them.
    """

    def __init__(self, folder: Path, *, cached: bool) -> None:
        import numcodecs
        import tensorstore as ts

        context = ts.Context({"cache_pool": {"total_bytes_limit": 2**30 if cached else 0}})
        self._codec = numcodecs.Blosc(cname="lz4", clevel=5, shuffle=0)
        self._arrays = {}
        for side in SIDES:
            spec = {"driver": "zarr", "kvstore": {"driver": "file", "path": f"{folder / 'copies' / str(side)}/"}}
            self._arrays[str(side)] = ts.open(spec, context=context, open=True, read=True).result()

    async def __call__(self, scope: dict[str, Any], _receive: Any, send: Any) -> None:
        side, *place = scope["path"][1:].split("/")
        edge = int(side)
        box = tuple(slice(int(n) * edge, (int(n) + 1) * edge) for n in place)
        body = self._codec.encode(await self._arrays[side][box].read(order="C"))
        headers = [(b"content-type", b"application/octet-stream"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def recoder(folder: Path) -> Any:
    return Recoder(folder, cached=False)


def recoder_cached(folder: Path) -> Any:
    return Recoder(folder, cached=True)


APPS: dict[str, Callable[[Path], Any]] = {
    "zarr-http-server": zarr_http_server,
    "tiled": tiled,
    "xpublish": xpublish,
    "re-encoder": recoder,
    "re-encoder, cached": recoder_cached,
}


def view(folder: Path) -> None:
    """`ome_zarr view`, which serves the files beside the image that it is told to show; here no browser opens.

    It speaks HTTP/1.0, so each request is a connection of its own, and answers one after the other.
    """
    import webbrowser
    from contextlib import redirect_stderr
    from os import devnull

    from ome_zarr.utils import view as ome_zarr_view

    webbrowser.open = lambda _url: True  # type: ignore[assignment]
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    print(f"serving on http://127.0.0.1:{port}", flush=True)
    with Path(devnull).open("w") as nowhere, redirect_stderr(nowhere):
        ome_zarr_view(str(folder / "files" / "image"), port=port, force=True)


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    if name == "ome_zarr view":
        view(folder)
        return
    import uvicorn

    app = APPS[name](folder)
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    print(f"serving on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main()
