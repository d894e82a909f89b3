"""vizarr and itk-vtk-viewer in a real browser, from the bundles that npm has: `fetch_bundles.py` brings them."""

from __future__ import annotations

import base64
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import numpy as np

from clients.fetch_bundles import BUNDLES
from clients.matrix import Outcome, Verdict, difference
from clients.names import ITK_VTK, VIZARR
from clients.sites import Published, Site, Version
from clients.viewers import browser_version, run_viewer, screenshot
from clients.volumes import Shown, Volume

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

JAVASCRIPT: Final = Path(__file__).parent / "javascript"
FOLDER: Final = JAVASCRIPT / "node_modules" / ".bundles"
# vizarr fits an image into its window, which is asked to be so large that a voxel is 4 pixels wide.
_PIXELS, _MARGIN = 4, 50
# What lies over the edges of itk-vtk-viewer's window, which is small, since it draws the whole volume first.
_ITK_WINDOW: Final = (500, 400)
_FRAME: Final = 60
# Its picture's correlation with the plane. It shows a coarser level first, cuts the range of values, and mixes channels.
_ALIKE: Final = 0.4
# Values are ids where each stands in so many pixels of a plane.
_REPEATED: Final = 100
_LIMIT_MS: Final = 30_000
_STEP_MS: Final = 250
# It brings a decoder of JPEG 2000 from a server far away, and does not start without.
_FAR_AWAY: Final = re.compile(r"^https://")
_NO_DECODER: Final = "export class JpxImage {}"


def fetched() -> bool:
    return all((FOLDER / name).is_dir() for name, *_ in BUNDLES)


def versions(name: str) -> str:
    """`@galaxyproject/vizarr 0.1.8, Chromium 156`."""
    package = next(package for bundle, package, *_ in BUNDLES if bundle == name)
    return f"{' '.join(package.rsplit('@', 1))}, {browser_version()}"


@contextmanager
def served(bundle: str, page: str) -> Iterator[str]:
    """The address of a page of ours among a bundle's files. On loopback, since only what comes from there may read there."""

    class Handler(SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            name = path.partition("?")[0].strip("/")
            return str(JAVASCRIPT / page) if name == page else super().translate_path(path)

        def log_message(self, *_: object) -> None:
            """Nothing is said of requests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(FOLDER / bundle)))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/{page}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run_vizarr(version: Version, site: Site, layers: Sequence[Shown]) -> list[Outcome]:
    with served("vizarr", "vizarr.html") as address:
        return run_viewer(
            VIZARR, partial(_vizarr_draws, address), partial(_vizarr_refuses, address), version, site, layers
        )


def _vizarr_shows(address: str, page: Page, version: Version, published: Published) -> list[str]:
    """Opens a layer. What is thrown on the page comes into the list that is given."""
    thrown: list[str] = []
    page.on("pageerror", lambda error: thrown.append(str(error)))
    source = {"state": "deferred", "name": "a", "sources": [{"source_uri": published.addresses[version]}]}
    page.route(_FAR_AWAY, _without_decoder)
    page.route("**/api/datasets/shown", lambda route: route.fulfill(json=source))
    height, width = (_PIXELS * length + 2 * _MARGIN for length in published.expected[0].shape[-2:])
    page.set_viewport_size({"width": width, "height": height})
    page.goto(address)
    return thrown


def _without_decoder(route: Route) -> None:
    headers = {"Access-Control-Allow-Origin": "*"}
    route.fulfill(body=_NO_DECODER, content_type="text/javascript", headers=headers)


def _vizarr_draws(address: str, page: Page, version: Version, published: Published) -> tuple[Verdict, str]:
    thrown = _vizarr_shows(address, page, version, published)
    wrong, before = "nothing drawn", None
    for _ in range(_LIMIT_MS // _STEP_MS):
        page.wait_for_timeout(_STEP_MS)
        said = page.locator("#app").text_content() or ""
        if "Error:" in said:
            return "failed to open", said
        plane = re.search(r"Z: (\d+)/", said)
        if plane is None:
            continue
        found = screenshot(page)
        wrong = wrong_pixels(found, vizarrs_colours(published.expected, int(plane[1])))
        if not wrong:
            return "passed", ""
        # It draws what of the picture it has.
        if "drawn" not in wrong and before is not None and np.array_equal(found, before):
            return "wrong voxels", f"plane {plane[1]}: {wrong}"
        before = found
    return "failed to read", f"{wrong}: {' '.join(thrown)}" if thrown else wrong


def vizarrs_colours(levels: Sequence[Volume], plane: int) -> Volume:
    """A plane of the finest level as its pixels, shape (y, x, 3)."""
    voxels = levels[0][..., plane, :, :].astype(float)
    low, high = 0.0, 255.0
    if levels[0].dtype != np.uint8:
        # The range of the coarsest level's first plane.
        low, high = float(levels[-1][0].min()), float(levels[-1][0].max())
    grey = np.clip((voxels - low) / (high - low), 0, 1) * 255
    return np.moveaxis(grey, 0, -1) if grey.ndim == 3 else np.repeat(grey[..., None], 3, axis=-1)


def wrong_pixels(picture: Volume, expected: Volume) -> str:
    """What is wrong with vizarr's window, "" for nothing."""
    if (picture == picture[0, 0]).all():
        return "nothing drawn"
    height, width = (_PIXELS * length for length in expected.shape[:2])
    middle = _MARGIN + _PIXELS // 2
    found = picture[middle : middle + height : _PIXELS, middle : middle + width : _PIXELS].astype(float)
    wrong = int((np.abs(found - expected) > 1).any(-1).sum())
    return f"{wrong} of {expected.shape[0] * expected.shape[1]} pixels" if wrong else ""


def _vizarr_refuses(address: str, page: Page, version: Version, published: Published) -> tuple[Verdict, str]:
    _vizarr_shows(address, page, version, published)
    for _ in range(10_000 // _STEP_MS):
        page.wait_for_timeout(_STEP_MS)
        if "Error:" in (page.locator("#app").text_content() or ""):
            return "passed", ""
    return "read after revocation", "opened anew: no error is shown"


def run_itk_vtk(version: Version, site: Site, layers: Sequence[Shown]) -> list[Outcome]:
    with served("itk-vtk-viewer", "itk_vtk_viewer.html") as address:
        return run_viewer(ITK_VTK, partial(_itk_draws, address), partial(_itk_refuses, address), version, site, layers)


def _itk_reads(address: str, page: Page, version: Version, published: Published) -> tuple[list[dict[str, Any]], str]:
    """What it reads of each level, or its error."""
    width, height = _ITK_WINDOW
    page.set_viewport_size({"width": width, "height": height})
    page.route(_FAR_AWAY, _without_decoder)
    page.goto(f"{address}?image={quote(published.addresses[version], safe='')}")
    page.wait_for_function("window.levels || window.failed", timeout=2 * _LIMIT_MS)
    failed = page.evaluate("window.failed")
    return ([], str(failed)) if failed else (page.evaluate("window.levels"), "")


def _itk_draws(address: str, page: Page, version: Version, published: Published) -> tuple[Verdict, str]:
    levels, failed = _itk_reads(address, page, version, published)
    if failed:
        return "failed to read", failed
    for number, (level, expected) in enumerate(zip(levels, published.expected, strict=True)):
        if wrong := difference(_itk_voxels(level), expected):
            return "wrong voxels", f"level {number}: {wrong}"
    for _ in range(_LIMIT_MS // _STEP_MS):
        page.wait_for_timeout(_STEP_MS)
        if likeness(screenshot(page), published.expected[0]) > _ALIKE:
            return "passed", ""
    return "failed to read", "no picture like the plane"


def _itk_voxels(level: dict[str, Any]) -> Volume:
    """A level as (z, y, x) or (c, z, y, x)."""
    flat = np.frombuffer(base64.b64decode(level["data"]), level["dtype"])
    if level["components"] == 1:
        return flat.reshape(level["size"][::-1])
    return np.moveaxis(flat.reshape(*level["size"][::-1], level["components"]), -1, 0)


def likeness(picture: Volume, level: Volume) -> float:
    """How a picture on magenta correlates with the middle of a level: 1 for alike, -1 for its negative, 0 for nothing drawn.

    Of ids, whose colours do not grow with them: how far the same id has the same colour everywhere."""
    inner = picture[_FRAME:-_FRAME, _FRAME:-_FRAME].astype(int)
    drawn = (np.abs(inner - (255, 0, 255)) > 2).any(-1)
    if not drawn.any():
        return 0.0
    rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
    height, width = level.shape[-2:]
    ys = rows[0] + ((np.arange(height) + 0.5) * len(rows) / height).astype(int)
    xs = columns[0] + ((np.arange(width) + 0.5) * len(columns) / width).astype(int)
    found = inner[ys][:, xs].mean(-1)
    if found.std() == 0:
        return 0.0
    middle = level.shape[-3] // 2
    planes = level.astype(float).reshape(-1, *level.shape[-3:])[:, middle - 1 : middle + 1].reshape(-1, height, width)
    return max(_correlation(found.ravel(), plane.ravel()) for plane in planes if plane.std())


def _correlation(found: Volume, values: Volume) -> float:
    """Pearson's, or the correlation ratio where there are a few values again and again."""
    linear = float(np.corrcoef(found, values)[0, 1])
    _, ids, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(counts) * _REPEATED > values.size:
        return linear
    means = np.bincount(ids, found) / counts
    return max(linear, float(np.sqrt((counts * (means - found.mean()) ** 2).sum() / (found.size * found.var()))))


def _itk_refuses(address: str, page: Page, version: Version, published: Published) -> tuple[Verdict, str]:
    levels, failed = _itk_reads(address, page, version, published)
    if failed:
        return "passed", ""
    voxels = "the voxels as before" if any(_itk_voxels(level).any() for level in levels) else "fill value"
    return "read after revocation", f"opened anew: {voxels}, and no error"
