"""Viewers in a real browser: pixels are compared with voxels, and after the revocation none must be drawn. Neuroglancer's here."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import numpy as np

from builders.browser import chromium
from clients.matrix import Outcome, Verdict
from clients.names import NEUROGLANCER
from clients.sites import Published, Site, Version
from clients.volumes import CORNER, VOXEL_SIZE_NM, Shown, Volume

if TYPE_CHECKING:
    from playwright.sync_api import Page

Look = Callable[["Page", Version, Published], tuple[Verdict, str]]
"""What a viewer makes of a layer, on a page of its own."""
_BACKGROUND: Final = (255, 0, 255)
_WIDTH, _HEIGHT = 700, 500
# A plane that all three levels have, away from the ends.
_PLANE: Final = 36
_LIMIT_MS: Final = 30_000
# After this it is asked what it complains of.
_PATIENCE_MS: Final = 8_000
_GREY: Final = "#uicontrol invlerp normalized(range=[0,255])\nvoid main() { emitGrayscale(normalized()); }"
_COLOUR: Final = (
    "void main() { emitRGB(vec3(toNormalized(getDataValue(0)), toNormalized(getDataValue(1)), "
    "toNormalized(getDataValue(2)))); }"
)


def versions() -> str:
    return f"neuroglancer {metadata.version('neuroglancer')}, {browser_version()}"


def browser_version() -> str:
    with chromium() as browser:
        return f"Chromium {browser.version.partition('.')[0]}"


def run_viewer(
    name: str, seen: Look, refused: Look, version: Version, site: Site, layers: Sequence[Shown]
) -> list[Outcome]:
    """A viewer on every layer of a site. `seen`: it draws what it should; `refused`: it opens what was revoked, and says so."""
    from playwright.sync_api import TimeoutError  # noqa: A004 (its own)

    outcomes = []
    with chromium() as browser:

        def looked(look: Look, published: Published) -> tuple[Verdict, str]:
            page = browser.new_context(viewport={"width": _WIDTH, "height": _HEIGHT}).new_page()
            try:
                return look(page, version, published)
            except TimeoutError as error:
                return "no answer", str(error).splitlines()[0]
            finally:
                page.context.close()

        for layer in layers:
            published = site.publish(layer)
            verdict, words = looked(seen, published)
            published.revoke()
            if verdict == "passed":
                # A browser may keep a chunk for some minutes: whoever opens the link now has none of it.
                verdict, words = looked(refused, published)
            outcomes.append(Outcome(name, version, layer.name, verdict, words))
    return outcomes


def run_neuroglancer(viewer: str, version: Version, site: Site, layers: Sequence[Shown]) -> list[Outcome]:
    """It on every layer. `viewer`: the address of its client."""
    return run_viewer(NEUROGLANCER, partial(_seen, viewer), partial(_refused, viewer), version, site, layers)


def _seen(viewer: str, page: Page, version: Version, published: Published) -> tuple[Verdict, str]:
    _show(page, viewer, version, published)
    expected = published.expected[0][..., _PLANE, :, :]
    differing, picture = "nothing drawn", None
    for attempt in range(_LIMIT_MS // 500):
        page.wait_for_timeout(500)
        found = _picture(page)
        differing = _difference(found, expected, labels=published.layer.category == "segmentation")
        if not differing:
            return "passed", ""
        # It draws coarse levels before the finest one.
        if picture is not None and np.array_equal(found, picture) and "drawn" not in differing:
            return "wrong voxels", differing
        picture = found
        if attempt == _PATIENCE_MS // 500:
            _show(page, viewer, version, published, facts=True)
        if said := _message(page):
            return "failed to read", f"{differing}: {said}"
    return "failed to read", differing


def _message(page: Page) -> str:
    """What it says beside the layer in red, "" for nothing."""
    return " ".join(page.locator(".neuroglancer-message-error").all_inner_texts())


def _refused(viewer: str, page: Page, version: Version, published: Published) -> tuple[Verdict, str]:
    _show(page, viewer, version, published, facts=True)
    for _ in range(40):
        page.wait_for_timeout(250)
        if _message(page):
            break
    picture = _picture(page)
    if (picture != picture[0, 0]).any():
        return "read after revocation", "opened anew: something is drawn"
    if not _message(page):
        return "read after revocation", "opened anew: nothing is drawn, and no error is shown"
    return "passed", ""


def _show(page: Page, viewer: str, version: Version, published: Published, *, facts: bool = False) -> None:
    """One plane, a pixel for a voxel, on a background that no voxel has."""
    layer = published.layer
    unit = [[length * 1e-9, "m"] for length in VOXEL_SIZE_NM]
    voxel = dict(zip(("z", "y", "x"), unit[::-1], strict=True))
    address = f"{ {'v2': 'zarr2', 'v3': 'zarr3'}[version] }://{published.addresses[version]}/"
    shown: dict[str, Any] = {"type": "image", "source": address, "name": "a", "opacity": 1, "shader": _GREY}
    if layer.category == "segmentation":
        shown = {"type": "segmentation", "source": address, "name": "a", "selectedAlpha": 1, "notSelectedAlpha": 1}
    elif published.expected[0].ndim == 4:
        transform = {"outputDimensions": {"c^": [1, ""], **voxel}}
        shown |= {"source": {"url": address, "transform": transform}, "shader": _COLOUR}
    height, width = published.expected[0].shape[-2:]
    state = {
        "dimensions": dict(zip("xyz", unit, strict=True)),
        # Voxel k lies from k - 0.5 to k + 0.5: OME-Zarr's translation names the centre of the first one.
        "position": [
            start + length // 2 - 0.5 for start, length in zip(_start(published)[:2], (width, height), strict=True)
        ]
        + [_start(published)[2] + _PLANE],
        "crossSectionScale": 1,
        "layers": [shown],
        "layout": "xy",
        # What it knows of the layer stands beside the picture.
        "selectedLayer": {"layer": "a", "visible": facts},
        "showAxisLines": False,
        "showScaleBar": False,
        "showDefaultAnnotations": False,
        "crossSectionBackgroundColor": "#{:02x}{:02x}{:02x}".format(*_BACKGROUND),
    }
    page.goto(f"{viewer}#!{quote(json.dumps(state))}")
    page.locator(".neuroglancer-rendered-data-panel").first.wait_for()


def _start(published: Published) -> tuple[int, int, int]:
    """Where the array's first voxel lies: a plain folder says nothing of the dataset's own place."""
    return CORNER if "/zarr/" in published.addresses["v3"] else (0, 0, 0)


def _picture(page: Page) -> Volume:
    panel = page.locator(".neuroglancer-rendered-data-panel").first.bounding_box()
    assert panel is not None
    whole = screenshot(page)
    x, y = round(panel["x"]), round(panel["y"])
    return whole[y + 60 : y + int(panel["height"]) - 5, x + 40 : x + int(panel["width"]) - 5]


def screenshot(page: Page) -> Volume:
    """What is seen, shape (y, x, 3)."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))


def _drawn(picture: Volume) -> Volume:
    return (np.abs(picture.astype(int) - _BACKGROUND) > 2).any(-1)


def _difference(picture: Volume, expected: Volume, *, labels: bool) -> str:
    """What is wrong with a picture in which `expected`, shape (y, x) or (c, y, x), should stand; "" for nothing."""
    drawn = _drawn(picture)
    if not drawn.any():
        return "nothing drawn"
    height, width = expected.shape[-2:]
    rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
    best = "the plane is not drawn whole"
    # Labels of 0 are not drawn, so what is may begin later.
    inner = expected != 0 if labels else np.ones((height, width), bool)
    first_row, first_column = rows[0] - np.flatnonzero(inner.any(1))[0], columns[0] - np.flatnonzero(inner.any(0))[0]
    for top in range(first_row - 1, first_row + 4):
        for left in range(first_column - 1, first_column + 4):
            part = picture[max(top, 0) : top + height, max(left, 0) : left + width]
            if part.shape[:2] != (height, width):
                continue
            wrong = _wrong_labels(part, expected) if labels else _wrong_greys(part, expected)
            if wrong == 0:
                return ""
            best = "other pixels than the plane's voxels"
    return best


def _wrong_greys(part: Volume, expected: Volume) -> int:
    colours = np.moveaxis(expected, 0, -1) if expected.ndim == 3 else expected[..., None]
    return int((np.abs(part.astype(int) - colours) > 1).any(-1).sum())


def _wrong_labels(part: Volume, expected: Volume) -> int:
    """A label has one colour everywhere, 0 has none, and hardly two have the same."""
    drawn = _drawn(part)
    if not np.array_equal(drawn, expected != 0):
        return int((drawn != (expected != 0)).sum())
    codes = part.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    pairs = {(int(label), int(code)) for label, code in zip(expected[drawn], codes[drawn], strict=True)}
    labels = {label for label, _ in pairs}
    several = len(pairs) - len(labels)
    return several + (len({code for _, code in pairs}) < 0.9 * len(labels))
