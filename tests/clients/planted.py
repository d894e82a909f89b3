"""A site with one bug planted: what a harness that finds nothing must be held against."""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

from numcodecs.blosc import decompress

from builders.wkw_files import LayerFiles, dataset
from builders.zarr_trees import open_layer, zarr_tree
from clients.sites import VERSIONS, Published
from clients.volumes import Shown
from zarrlink.formats.lz4_block import encode_lz4

Bug = Literal["none", "wrong voxel", "chunk lost", "absent when revoked", "never revoked", "other type", "hangs"]
BLOCK_SIDE = 16
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass
class PlantedSite:
    """A right server but for its bug. The layer must have one level, in blocks of `BLOCK_SIDE`."""

    bug: Bug
    address: str = ""
    trees: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    ended: threading.Event = field(default_factory=threading.Event)

    def publish(self, layer: Shown) -> Published:
        objects = dataset(LayerFiles(layer.name, layer.levels, block_side=BLOCK_SIDE, file_side=4))
        opened = open_layer(objects, layer.name)
        name = secrets.token_hex(8)
        for version in VERSIONS:
            for key, data in zarr_tree(objects, opened, version).items():
                self.trees[f"/{name}/{version}.zarr/{key}"] = self._changed(key, data)
        addresses = {version: f"{self.address}/{name}/{version}.zarr" for version in VERSIONS}
        return Published(layer, addresses, list(layer.levels.values()), lambda: self.gone.add(name))

    def answer(self, path: str) -> tuple[int, bytes]:
        """Status and body of a GET."""
        if path.split("/")[1] in self.gone and self.bug != "never revoked":
            return (404 if self.bug == "absent when revoked" else 410), b""
        if self.bug == "hangs" and path.endswith("0/0/0"):
            self.ended.wait(60)
        if self.bug == "chunk lost" and path.endswith("0/0/0"):
            return 404, b""
        return (200, self.trees[path]) if path in self.trees else (404, b"")

    def _changed(self, key: str, data: bytes) -> bytes:
        if self.bug == "other type" and key.endswith(("zarray", "zarr.json", "zmetadata")):
            return data.replace(b"|u1", b"|i1").replace(b'"uint8"', b'"int8"')
        if self.bug == "wrong voxel" and key == "0/0/0/0":
            voxels = bytearray(decompress(data))
            voxels[-1] ^= 1
            stream = encode_lz4(bytes(voxels), high=False)
            # One unsplit LZ4 block as a Blosc-1 frame, as the server makes them.
            sizes = (len(voxels), len(voxels), 16 + 4 + 4 + len(stream))
            return data[:4] + b"".join(n.to_bytes(4, "little") for n in (*sizes, 20, len(stream))) + stream
        return data


@contextmanager
def planted(bug: Bug) -> Iterator[PlantedSite]:
    """The site on loopback."""
    site = PlantedSite(bug)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, body = site.answer(self.path)
            asked = _RANGE.fullmatch(self.headers.get("Range", ""))
            if status == 200 and asked:
                status, first, last = 206, int(asked[1] or max(0, len(body) - int(asked[2]))), asked[2]
                whole, body = len(body), body[first : int(last) + 1 if asked[1] and last else None]
            self.send_response(status)
            if status == 206:
                self.send_header("Content-Range", f"bytes {first}-{first + len(body) - 1}/{whole}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815 (as the class wants it)

        def log_message(self, *_: object) -> None:
            """Nothing is said of requests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    site.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield site
    finally:
        site.ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
