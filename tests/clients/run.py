"""`make clients`: every client on every layer, of links and of a static folder, written down in docs/clients.md.

Exit status 1 where a client fails and nobody has said why, or passes and known.py still excuses it; 2 where something was
left out, since what it needs is not here: then docs/clients.md stays as it was.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

from clients import bundled_viewers, needs, report, viewers
from clients.matrix import Outcome, read_versions, run_client, told
from clients.names import (
    ITK_VTK,
    JAVASCRIPT_CLIENTS,
    NEUROGLANCER,
    OLDEST_CLIENTS,
    PYTHON_CLIENTS,
    STATIC,
    VIZARR,
    WEBKNOSSOS,
    named,
)
from clients.sites import SignedInSite, Site, Version, link_site, static_site
from clients.volumes import Shown, shown_layers, write_dataset

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
READERS = HERE / "readers"
PAGE = ROOT / "docs" / "clients.md"
TITLES = ("Links of `zarrlink serve`", STATIC)
Manner = Literal["computes", "waits", "draws"]
# How many tasks at once: there may be two cores, one browser takes both, and who waits takes none.
_AT_A_TIME: Mapping[Manner, int] = {"computes": 3, "waits": 8, "draws": 1}
# What is refused they try again and again, for up to a minute; GDAL asks for each plane by itself.
_WAITING = ("cloud-volume", "webknossos", "GDAL (rasterio)")
Cell = tuple[str, Version]


@dataclass(frozen=True)
class Row:
    """A client of the table. `run`: it on every layer of a site; `versions`: what it says that it is; `manner`: what
    most of its time goes to."""

    name: str
    of: tuple[Version, ...]
    run: Callable[[Version, Site, Sequence[Shown]], list[Outcome]]
    versions: Callable[[], str]
    manner: Manner = "computes"


def process_row(name: str, command: Sequence[str | Path], of: tuple[Version, ...] = ("v2", "v3")) -> Row:
    """A client in a process of its own, which is told which version it reads."""

    def full(version: Version) -> list[str]:
        return [*map(str, command), version]

    return Row(
        name,
        of,
        lambda version, site, layers: run_client(name, full(version), version, site, layers),
        lambda: read_versions(full(of[0])),
        manner="waits" if name in _WAITING else "computes",
    )


def rows(signed_in: SignedInSite, without: Collection[str]) -> list[Row]:
    """All clients but those."""
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    found = [
        process_row(f"{name}, {python}", [sys.executable, READERS / "session.py", name]) for name in OLDEST_CLIENTS
    ]
    found += [process_row(name, [needs.NEWEST, READERS / "session.py", name]) for name in PYTHON_CLIENTS]
    library = process_row(WEBKNOSSOS, [needs.WEBKNOSSOS_PYTHON, READERS / "session.py", WEBKNOSSOS], ("v3",))
    found.append(
        replace(library, run=lambda version, site, layers: library.run(version, _asked(site, signed_in), layers))
    )
    # The server brings its client, which shows what its address says.
    viewer = f"{signed_in.address}/neuroglancer/v/links/"
    run = partial(viewers.run_neuroglancer, viewer)
    found.append(Row(NEUROGLANCER, ("v2", "v3"), run, viewers.versions, manner="draws"))
    for name, run, bundle in (
        (VIZARR, bundled_viewers.run_vizarr, "vizarr"),
        (ITK_VTK, bundled_viewers.run_itk_vtk, "itk-vtk-viewer"),
    ):
        found.append(Row(name, ("v2", "v3"), run, partial(bundled_viewers.versions, bundle), manner="draws"))
    for name in JAVASCRIPT_CLIENTS:
        found.append(process_row(name, ["node", HERE / "javascript/session.mjs", name]))
    return [row for row in found if row.name not in without]


def _asked(site: Site, signed_in: SignedInSite) -> Site:
    """The `webknossos` library signs in to a server, and reads no link."""
    return signed_in if site is signed_in.links else site


def tried(chosen: Sequence[Row], sites: Sequence[Site], layers: Sequence[Shown]) -> list[dict[Cell, list[Outcome]]]:
    """Each client on every layer of each site, some at a time."""

    def run(row: Row, version: Version, site: Site, some: Sequence[Shown]) -> list[Outcome]:
        started = time.monotonic()
        found = [replace(one, words=told(one.words)) for one in row.run(version, site, some)]
        took = time.monotonic() - started
        print(f"{took:4.0f} s  {row.name} {version}: {', '.join(one.verdict for one in found)}", flush=True)
        return found

    with ExitStack() as running:
        pools = {manner: running.enter_context(ThreadPoolExecutor(many)) for manner, many in _AT_A_TIME.items()}
        waiting = [
            {
                # Who waits does so with all layers at once.
                (row.name, version): [
                    pools[row.manner].submit(run, row, version, site, some)
                    for some in ([[layer] for layer in layers] if row.manner == "waits" else [layers])
                ]
                for row in chosen
                for version in row.of
            }
            for site in sites
        ]
        return [
            {cell: [one for task in tasks for one in task.result()] for cell, tasks in of.items()} for of in waiting
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="only clients with this in their name; nothing is written down")
    options = parser.parse_args()
    left_out, is_somebody_left = needs.left_out(options.only or "")
    missing = "; ".join(needs.told(left_out))
    if not is_somebody_left:
        sys.stderr.write(f"nothing was tried: {missing}\n")
        sys.exit(2)
    if left_out:
        print(f"LEFT OUT: {missing}", file=sys.stderr)
    layers = shown_layers()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        home = Path(folder)
        links, signed_in = running.enter_context(link_site(home, write_dataset(layers, home / "data")))
        chosen = [row for row in rows(signed_in, left_out) if named(options.only or "", [row.name])]
        versions = {row.name: row.versions() for row in chosen}
        sites: list[Site] = [links]
        if STATIC not in left_out:
            arrays = {}
            for layer in layers:
                published = links.publish(layer)
                published.revoke()
                arrays[layer.name] = published.expected
            writer = [str(needs.NEWEST), str(READERS / "write_static.py")]
            sites.append(running.enter_context(static_site(home / "static", arrays, writer)))
        found = [
            report.Results(title, outcomes, static=title == STATIC)
            for title, outcomes in zip(TITLES, tried(chosen, sites, layers), strict=False)
        ]
    what = [(layer.name, layer.what) for layer in layers]
    date = datetime.now(UTC).date().isoformat()
    shown = report.page(date, what, versions, found, left_out)
    print(f"{time.monotonic() - started:.0f} s")
    if options.only is None and not left_out:
        PAGE.write_text(shown)
    else:
        print(shown)
    wrong = [line for results in found for line in report.to_look_into(results)]
    for line in wrong:
        print(line, file=sys.stderr)
    if left_out:
        kept = f"; {PAGE.relative_to(ROOT)} stays as it was" if options.only is None else ""
        print(f"LEFT OUT: {missing}{kept}", file=sys.stderr)
    sys.exit(1 if wrong else 2 if left_out else 0)


if __name__ == "__main__":
    main()
