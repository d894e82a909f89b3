"""Where the clients read: links of a running `zarrlink serve`, or a folder of Zarr behind nginx."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import urlsplit

import numpy as np

from clients.volumes import DATASET, Shown, Volume
from zarrlink.geometry import vec3

Version = Literal["v2", "v3"]
VERSIONS: tuple[Version, ...] = ("v2", "v3")
CLI = (sys.executable, "-c", "from zarrlink_local.cli import main; main()")
_NGINX = """
daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit; {user}
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; default_type application/octet-stream;
  client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t;
  server {{ listen 127.0.0.1:{port}; root {root}; add_header Access-Control-Allow-Origin * always; }}
}}
"""


@dataclass(frozen=True)
class Published:
    """A layer that can be read for as long as it is not revoked.

    `addresses`: by version. `expected`: its levels.
    """

    layer: Shown
    addresses: Mapping[Version, str]
    expected: list[Volume]
    revoke: Callable[[], None]


class Site(Protocol):
    """`address`: what all that it publishes begins with."""

    address: str

    def publish(self, layer: Shown) -> Published:
        """The layer at addresses of its own."""


@dataclass(frozen=True)
class LinkSite:
    """A running server, through its API. `sources`: ids of the dataset and of the annotation."""

    address: str
    token: str
    dataset: str
    annotation: str

    def publish(self, layer: Shown) -> Published:
        link = self._link(layer)
        facts = self._facts(link["page"])
        origin = vec3(facts["origin"])
        expected = [layer.expected(k, tuple(shape), origin) for k, shape in enumerate(facts["shapes"])]
        addresses: dict[Version, str] = {version: link["layers"][0][version] for version in VERSIONS}
        return Published(layer, addresses, expected, lambda: self._revoke(link))

    def in_box(self, layer: Shown) -> list[Volume]:
        """The levels as in `publish`, without what aligning the origin adds before the layer's box."""
        published = self.publish(layer)
        facts = self._facts(published.addresses["v3"].partition("/v3/")[0] + "/")
        published.revoke()
        before = [start - origin for start, origin in zip(facts["box"][:3], facts["origin"], strict=True)]
        levels = []
        for level, mag in zip(published.expected, layer.levels, strict=True):
            x, y, z = (length // side for length, side in zip(before, mag.xyz, strict=True))
            levels.append(level[..., z:, y:, x:])
        return levels

    def _link(self, layer: Shown) -> dict[str, Any]:
        source = {"annotation": self.annotation} if layer.annotation else {"dataset": self.dataset}
        made: dict[str, Any] = self._call(
            "POST", "/api/zarrPrivateLinks", {**source, "scope": {"layers": [layer.name]}}
        )
        return made

    def _revoke(self, link: dict[str, Any]) -> None:
        self._call("DELETE", f"/api/zarrPrivateLinks/{link['id']}")

    def _facts(self, page: str) -> dict[str, Any]:
        asked = urllib.request.Request(page, headers={"Accept": "application/json"})
        with urllib.request.urlopen(asked, timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)["layers"][0]
        return found

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-Auth-Token": self.token, "Content-Type": "application/json"}
        asked = urllib.request.Request(self.address + path, data, headers, method=method)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)


@dataclass(frozen=True)
class SignedInSite:
    """The same server as the `webknossos` library reads it: signed in, by somebody who is removed to revoke it."""

    links: LinkSite
    zarrlink: Callable[..., Any]

    @property
    def address(self) -> str:
        return self.links.address

    def publish(self, layer: Shown) -> Published:
        """The address is JSON: what the library is called with. It reads the layer's box and no more."""
        name = f"wk-{secrets.token_hex(4)}"
        asked = {
            "url": self.address,
            "token": self.zarrlink("users", "add", name, "--admin")["token"],
            "layer": layer.name,
        }
        asked |= {"annotation": self.links.annotation} if layer.annotation else {"dataset": self.links.dataset}
        given = json.dumps(asked)
        return Published(
            layer, {"v2": given, "v3": given}, self.links.in_box(layer), lambda: self.zarrlink("users", "remove", name)
        )


@contextmanager
def link_site(home: Path, download: Path) -> Iterator[tuple[LinkSite, SignedInSite]]:
    """`zarrlink serve` on what lies below `home`/data, with the annotation imported."""
    state = ("--state", str(home / "state.sqlite"))

    def zarrlink(*arguments: str) -> Any:
        run = subprocess.run([*CLI, *arguments, *state, "--json"], check=True, capture_output=True, text=True)
        return json.loads(run.stdout)

    command = [*CLI, "serve", "--port", "0", "--data", str(home / "data"), *state]
    with announced(command) as address:
        annotation = zarrlink("annotations", "import", str(download), "--dataset", DATASET)["id"]
        token = zarrlink("users", "add", "clients", "--admin")["token"]
        (dataset,) = zarrlink("datasets", "list")
        links = LinkSite(address, token, dataset["id"], annotation)
        yield links, SignedInSite(links, zarrlink)


@contextmanager
def announced(command: list[str]) -> Iterator[str]:
    """A server that says where it is, in a line `serving on ADDRESS`."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = next((line for line in process.stdout if line.startswith("serving on ")), None)
            if line is None:
                raise RuntimeError(f"the server ended with status {process.wait()}")
            yield line.split()[2]
        finally:
            process.terminate()


@dataclass(frozen=True)
class StaticSite:
    """OME-Zarr folders behind nginx. `made`: where each layer's lie, as `LAYER/v2.zarr`; `root`: what is served."""

    address: str
    made: Path
    root: Path
    shapes: dict[str, list[Volume]]

    def publish(self, layer: Shown) -> Published:
        """By a new name, which is taken away to revoke it: as one would who shares a folder."""
        name = secrets.token_urlsafe(12)
        (self.root / name).symlink_to(self.made / layer.name, target_is_directory=True)
        addresses: dict[Version, str] = {version: f"{self.address}/{name}/{version}.zarr" for version in VERSIONS}
        return Published(layer, addresses, self.shapes[layer.name], (self.root / name).unlink)


@contextmanager
def static_site(home: Path, arrays: dict[str, list[Volume]], writer: list[str]) -> Iterator[StaticSite]:
    """nginx on what `writer` (the command of `write_static.py`) makes of some layers' levels."""
    made, root = home / "made", home / "root"
    root.mkdir(parents=True)
    for name, levels in arrays.items():
        (made / name).mkdir(parents=True)
        for number, level in enumerate(levels):
            np.save(made / name / f"{number}.npy", level)
    subprocess.run([*writer, str(made)], check=True, stdout=subprocess.DEVNULL)
    with nginx(root, home) as address:
        yield StaticSite(address, made, root, arrays)


@contextmanager
def nginx(root: Path, home: Path) -> Iterator[str]:
    """Static files below `root`; `home`: a folder for its configuration."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # Started by root, its worker would be nobody, who cannot read our scratch folder.
    user = "user root;" if os.geteuid() == 0 else ""
    (home / "nginx.conf").write_text(_NGINX.format(user=user, port=port, root=root))
    address = f"http://127.0.0.1:{port}"
    with subprocess.Popen(["nginx", "-p", str(home), "-c", "nginx.conf", "-e", "stderr"]) as process:
        try:
            limit = time.monotonic() + 30
            while not _listens(address):
                if process.poll() is not None or time.monotonic() > limit:
                    raise RuntimeError("nginx did not start")
                time.sleep(0.05)
            yield address
        finally:
            process.terminate()


def _listens(address: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", urlsplit(address).port or 0), timeout=1):
            return True
    except OSError:
        return False
