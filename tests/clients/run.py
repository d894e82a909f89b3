"""`make clients`: every client on every layer, of links and of a static folder, written down in docs/clients.md.

Exit status 1 where a client fails on a link and nobody has said why.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from clients import report, viewers
from clients.matrix import Outcome, read_versions, run_client, told
from clients.sites import SignedInSite, Site, Version, link_site, static_site
from clients.volumes import Shown, shown_layers, write_dataset

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
READERS = HERE / "readers"
NEWEST = ROOT / ".venv-clients" / "bin" / "python"
WEBKNOSSOS = ROOT / ".venv-webknossos" / "bin" / "python"
PYTHON_CLIENTS = (
    "zarr-python (fsspec)",
    "zarr-python (obstore)",
    "tensorstore",
    "tensorstore (auto)",
    "dask",
    "xarray (fsspec)",
    "xarray (obstore)",
    "ome-zarr-py",
    "napari-ome-zarr",
    "ngff-zarr (validate)",
    "ome-zarr-models",
    "cloud-volume",
    "GDAL (rasterio)",
)
JAVASCRIPT_CLIENTS = ("zarrita", "ome-zarr.js", "Viv's loader")
# The oldest Python that we run on, whose newest zarr-python is another.
OLDEST_CLIENTS = ("zarr-python (fsspec)", "zarr-python (obstore)")
TITLES = ("Links of `zarrlink serve`", "A Zarr folder behind nginx")
# They mostly wait, and there may be two cores.
_AT_A_TIME = 3
_SLOW = ("cloud-volume", "webknossos", "GDAL (rasterio)")
Cell = tuple[str, Version]


@dataclass(frozen=True)
class Row:
    """A client of the table. `run`: it on every layer of a site; `versions`: what it says that it is; `alone`: by the thread
    that made it, with nothing beside it; `slow`: it tries again and again what is refused."""

    name: str
    of: tuple[Version, ...]
    run: Callable[[Version, Site, Sequence[Shown]], list[Outcome]]
    versions: Callable[[], str]
    alone: bool = False
    slow: bool = False


def process_row(name: str, command: Sequence[str | Path], of: tuple[Version, ...] = ("v2", "v3")) -> Row:
    """A client in a process of its own, which is told which version it reads."""

    def full(version: Version) -> list[str]:
        return [*map(str, command), version]

    return Row(
        name,
        of,
        lambda version, site, layers: run_client(name, full(version), version, site, layers),
        lambda: read_versions(full(of[0])),
        slow=name in _SLOW,
    )


def names() -> list[str]:
    """Of all clients that can be had here."""
    viewer = (viewers.NAME,) if viewers.available() else ()
    return [*map(_of_oldest, OLDEST_CLIENTS), *PYTHON_CLIENTS, "webknossos", *viewer, *JAVASCRIPT_CLIENTS]


def _of_oldest(name: str) -> str:
    return f"{name}, Python {sys.version_info.major}.{sys.version_info.minor}"


def rows(signed_in: SignedInSite) -> list[Row]:
    """All clients."""
    found = [process_row(_of_oldest(name), [sys.executable, READERS / "session.py", name]) for name in OLDEST_CLIENTS]
    found += [process_row(name, [NEWEST, READERS / "session.py", name]) for name in PYTHON_CLIENTS]
    library = process_row("webknossos", [WEBKNOSSOS, READERS / "session.py", "webknossos"], ("v3",))
    found.append(
        replace(library, run=lambda version, site, layers: library.run(version, _asked(site, signed_in), layers))
    )
    if viewers.available():
        # The server brings its client, which shows what its address says.
        viewer = f"{signed_in.address}/neuroglancer/v/links/"
        run = partial(viewers.run_neuroglancer, viewer)
        found.append(Row(viewers.NAME, ("v2", "v3"), run, viewers.versions, alone=True))
    for name in JAVASCRIPT_CLIENTS:
        found.append(process_row(name, ["node", HERE / "javascript/session.mjs", name]))
    return found


def _asked(site: Site, signed_in: SignedInSite) -> Site:
    """The `webknossos` library signs in to a server, and reads no link."""
    return signed_in if site is signed_in.links else site


def tried(chosen: Sequence[Row], sites: Sequence[Site], layers: Sequence[Shown]) -> list[dict[Cell, list[Outcome]]]:
    """Each client on every layer of each site, some at a time, those that ask for it alone."""
    tasks = [(row, version, site) for site in sites for row in chosen for version in row.of]

    def run(row: Row, version: Version, site: Site) -> list[Outcome]:
        started = time.monotonic()
        found = [replace(one, words=told(one.words)) for one in row.run(version, site, layers)]
        took = time.monotonic() - started
        print(f"{took:4.0f} s  {row.name} {version}: {', '.join(one.verdict for one in found)}", flush=True)
        return found

    found: dict[tuple[str, Version, int], list[Outcome]] = {}
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        # Those that wait longest between their tries first.
        together = sorted((task for task in tasks if not task[0].alone), key=lambda task: not task[0].slow)
        waiting = [pool.submit(run, *task) for task in together]
        for (row, version, site), given in zip(together, waiting, strict=True):
            found[row.name, version, id(site)] = given.result()
    found |= {(row.name, version, id(site)): run(row, version, site) for row, version, site in tasks if row.alone}
    return [
        {(row.name, version): found[row.name, version, id(site)] for row in chosen for version in row.of}
        for site in sites
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="only clients with this in their name; nothing is written down")
    options = parser.parse_args()
    wanted = options.only or ""
    if not any(wanted in name for name in names()):
        parser.exit(2, f"there is no client with {wanted!r} in its name; there are {', '.join(names())}\n")
    layers = shown_layers()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        home = Path(folder)
        links, signed_in = running.enter_context(link_site(home, write_dataset(layers, home / "data")))
        chosen = [row for row in rows(signed_in) if wanted in row.name]
        versions = {row.name: row.versions() for row in chosen}
        sites: list[Site] = [links]
        if shutil.which("nginx"):
            arrays = {}
            for layer in layers:
                published = links.publish(layer)
                published.revoke()
                arrays[layer.name] = published.expected
            writer = [str(NEWEST), str(READERS / "write_static.py")]
            sites.append(running.enter_context(static_site(home / "static", arrays, writer)))
        found = [
            report.Results(title, outcomes)
            for title, outcomes in zip(TITLES, tried(chosen, sites, layers), strict=False)
        ]
    what = [(layer.name, layer.what) for layer in layers]
    date = datetime.now(UTC).date().isoformat()
    shown = report.page(date, what, versions, found)
    print(f"{time.monotonic() - started:.0f} s")
    if options.only is None:
        (ROOT / "docs/clients.md").write_text(shown)
    else:
        print(shown)
    open_questions = report.unexplained(found[0])
    for one in open_questions:
        print(f"not explained: {one.client} {one.version} {one.layer}: {one.verdict}: {one.words}", file=sys.stderr)
    sys.exit(1 if open_questions else 0)


if __name__ == "__main__":
    main()
