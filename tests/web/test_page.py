"""The link's page in a real browser: it draws the link's own voxels, copies complete addresses, says what is wrong."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from builders.browser import CHROMIUM, chromium, open_page
from builders.wkw_files import LayerFiles, dataset, noise, pyramid, write_tree
from end_to_end.conftest import Served, serve  # noqa: F401 (a fixture)
from zarrlink.geometry import Mag

MAGS = (Mag(1, 1, 1), Mag(2, 2, 1))
# Chromium reports each absent chunk; nothing in a page can keep it from that.
ABSENT = "the server responded with a status of 404"


def test_the_modules_pure_parts_under_node() -> None:
    """Frames, LZ4, planes, colours, words: `node --test`."""
    if shutil.which("node") is None:
        pytest.skip("no node: the page's modules are not tested on their own")
    files = sorted(Path(__file__).parent.glob("*_test.mjs"))
    run = subprocess.run(["node", "--test", *files], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-4000:]
    assert "# fail 0" in run.stdout


@pytest.fixture(scope="module")
def served(serve, tmp_path_factory: pytest.TempPathFactory) -> Served:  # noqa: F811
    folder = tmp_path_factory.mktemp("page")
    volumes = pyramid(noise((200, 150, 40)), MAGS)
    labels = LayerFiles("cells", {MAGS[0]: noise((64, 64, 8), "uint32")}, category="segmentation")
    write_tree(dataset(LayerFiles("em", volumes, block_side=32, file_side=4), labels), folder / "data" / "mouse")
    return serve(folder / "state.sqlite", folder / "data")


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    if CHROMIUM is None:
        pytest.skip("no Chromium: the page is not tried in a browser")
    with chromium() as found:
        yield found


@pytest.mark.parametrize("slash", ["/", ""])
def test_the_page_draws_the_links_own_voxels_and_copies_complete_addresses(served: Served, browser, slash: str) -> None:
    link = served.link("mouse", "--name", "For the reviewers")
    page, complaints = open_page(browser, link["page"].rstrip("/") + slash)
    page.get_by_role("heading", name="For the reviewers").wait_for()
    canvas = page.locator("canvas").nth(1)
    canvas.scroll_into_view_if_needed()
    drawn = """canvas => canvas.width > 1 && canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some(v => v)"""
    page.wait_for_function(f"() => ({drawn})(document.querySelectorAll('canvas')[1])")
    width, height, data = canvas.evaluate(
        "c => [c.width, c.height, Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)]"
    )
    shown = np.array(data, np.uint8).reshape(height, width, 4)[..., 0]
    planes = [volume[volume.shape[0] // 2] for volume in pyramid(noise((200, 150, 40)), MAGS).values()]
    # The em layer comes second: layers are in order of their names.
    assert any(np.array_equal(shown, plane) for plane in planes if plane.shape == shown.shape)

    page.get_by_role("button", name="Copy").first.click()
    page.get_by_text("Copied").first.wait_for()
    copied = page.evaluate("() => navigator.clipboard.readText()")
    assert copied in {address for layer in link["layers"] for address in (layer["v3"], layer["v2"])}
    assert [text for text in complaints if ABSENT not in text] == []


def test_a_dead_link_is_said_plainly(served: Served, browser) -> None:
    link = served.link("mouse")
    page, _ = open_page(browser, link["page"])
    page.get_by_role("heading", name="mouse").wait_for()
    served.zarrlink("links", "revoke", link["id"])
    reply = page.goto(link["page"])

    assert reply.status == 410
    page.get_by_role("heading", name="This link is no longer open").wait_for()
    page.get_by_text("not valid (any more). Ask its owner for a new one.").wait_for()
