"""Neuroglancer's own client in Chromium, through the edge: it draws, and a revoked link draws nothing."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from builders.browser import CHROMIUM, chromium, keep_picture
from builders.local_cdn import LocalEdge, ask
from builders.local_jobs import until
from builders.wkw_files import LayerFiles, dataset, noise, write_tree
from edge_end_to_end.conftest import ONE
from zarrlink_local.machine import now_ms
from zarrlink_local.viewer import PREFIX, client_folder

SIZE = (64, 64, 64)
FAILED = "() => window.viewer?.layerManager.managedLayers[0]?.layer?.dataSources[0]?.loadState?.error !== undefined"


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    if CHROMIUM is None or client_folder() is None:
        pytest.skip("no Chromium, or the package neuroglancer is not installed")
    with chromium() as found:
        yield found


def voxels_shown(page) -> np.ndarray:
    """Grey values of the first of its panels (xy), around the middle."""
    shown = np.array(Image.open(io.BytesIO(page.locator("canvas").first.screenshot())).convert("L"), float)
    height, width = shown.shape
    return shown[height // 8 : height // 2 - height // 16, width // 8 : width // 2 - width // 8]


def test_a_revoked_link_draws_nothing_in_a_cold_browser(
    new_edge: Callable[..., LocalEdge], browser, tmp_path: Path
) -> None:
    write_tree(dataset(LayerFiles("em", {ONE: noise(SIZE)}, block_side=32)), tmp_path / "data/mouse")
    edge = new_edge(tmp_path / "state.sqlite", tmp_path / "data")
    link = edge.link("mouse")
    source = f"{edge.layer(link, 'em')['v3']}|zarr3:"
    state = {"layers": [{"type": "image", "source": source, "name": "em"}]}
    address = f"{edge.address}{PREFIX}#!{quote(json.dumps(state))}"

    def look(name: str, *, is_ready: bool) -> np.ndarray:
        """In a browser that has nothing cached."""
        context = browser.new_context(viewport={"width": 800, "height": 600})
        answers: list[int] = []
        page = context.new_page()
        page.on("response", lambda reply: answers.append(reply.status) if "/zarr/" in reply.url else None)
        page.goto(address)
        if is_ready:
            page.wait_for_function("() => window.viewer?.isReady()", timeout=30_000)
        else:
            page.wait_for_function(FAILED, timeout=30_000)
            assert set(answers) == {410}
        keep_picture(page, name)
        shown = voxels_shown(page)
        context.close()
        return shown

    assert look("edge-open", is_ready=True).std() > 20
    # Warm at the edge, cold in the browser.
    assert look("edge-warm", is_ready=True).std() > 20
    edge.machine.links.revoke(link.id, "ann", now_ms())
    until(lambda: ask(f"{edge.layer(link, 'em')['v3']}/zarr.json").status == 410)
    edge.asked.clear()
    assert look("edge-revoked", is_ready=False).std() < 1
    assert [path for path in edge.reads() if "em.zarr" in path] == []
