"""Long names, many layers, narrow windows: no page is wider than its window."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from builders.browser import CHROMIUM, chromium, keep_picture, open_page
from builders.wkw_files import LayerFiles, dataset, noise, write_tree
from end_to_end.conftest import Served, serve  # noqa: F401 (a fixture)
from zarrlink.geometry import Mag

LAYERS = 62
VOLUME = {Mag(1, 1, 1): noise((8, 8, 8))}


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    if CHROMIUM is None:
        pytest.skip("no Chromium: the layout is not tried in a browser")
    with chromium() as found:
        yield found


def long(word: str, length: int) -> str:
    return (word * length)[:length]


class Crowded:
    """A dataset of many layers with long names, tagged and linked; and its owner."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.token = served.zarrlink("users", "add", "ann", "--admin")["token"]
        self.dataset = self.api("GET", "/api/datasets")[0]["id"]
        about = {"tags": [long("tag", 90), "short"], "description": long("description", 300)}
        self.api("PATCH", f"/api/datasets/{self.dataset}", about)
        wish = {"dataset": self.dataset, "name": long("link", 120)}
        self.link = self.api("POST", "/api/zarrPrivateLinks", wish)

    def api(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-Auth-Token": self.token, "Content-Type": "application/json"}
        request = urllib.request.Request(self.served.address + path, data, headers, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)


@pytest.fixture(scope="module")
def crowded(serve, tmp_path_factory: pytest.TempPathFactory) -> Crowded:  # noqa: F811
    folder = tmp_path_factory.mktemp("crowded")
    layers = [LayerFiles(f"{number:02}" + long("layer", 78), VOLUME) for number in range(LAYERS)]
    cells = LayerFiles("cells" + long("segment", 75), VOLUME, category="segmentation")
    write_tree(dataset(*layers[1:], cells), folder / "data" / long("dataset", 80))
    return Crowded(serve(folder / "state.sqlite", folder / "data"))


def too_wide(page) -> list[str]:
    """What reaches beyond the window, where the page can be scrolled sideways."""
    return page.evaluate(
        """() => {
            if (document.documentElement.scrollWidth <= innerWidth) return [];
            const beyond = (root) => [...root.querySelectorAll('*')].flatMap((element) => [
                ...(element.getBoundingClientRect().right > innerWidth + 1 ? [`${element.tagName} ${element.className}`] : []),
                ...(element.shadowRoot ? beyond(element.shadowRoot) : []),
            ]);
            return [`${document.documentElement.scrollWidth} px`, ...beyond(document).slice(0, 20)];
        }"""
    )


@pytest.mark.parametrize("width", [1280, 360])
def test_no_page_is_wider_than_its_window(crowded: Crowded, browser, width: int) -> None:
    found = {}
    page, _ = open_page(browser, crowded.served.address, viewport={"width": width, "height": 800})

    def look(name: str) -> None:
        found[name] = too_wide(page)
        keep_picture(page, f"{name}-{width}")

    page.get_by_label("Personal token").fill(crowded.token)
    look("sign-in")
    page.get_by_role("button", name="Sign in").last.click()
    page.locator(".thumbnail canvas").first.wait_for()
    look("catalogue")
    page.goto(f"{crowded.served.address}/#/datasets/{crowded.dataset}")
    page.get_by_text("and 57 more").first.wait_for()
    page.locator("ortho-view canvas").first.wait_for()
    page.get_by_role("tab", name="TIFF Export").wait_for()
    look("subject")
    page.get_by_role("tab", name="Python").click()
    look("python")
    page.get_by_role("button", name="New link").click()
    page.get_by_text("Limit what it opens").click()
    page.get_by_label("Finest mag").wait_for()
    card = page.get_by_role("article", name="Link link")
    card.get_by_text("Addresses of 62 layers").click()
    card.get_by_role("button", name="Open in").click()
    card.get_by_role("link", name="Open in Neuroglancer").wait_for()
    card.get_by_role("button", name="Edit").click()
    page.get_by_role("button", name="Edit").first.click()
    look("subject-open")
    page.goto(f"{crowded.served.address}/#/links")
    page.get_by_text("and 57 more").first.wait_for()
    page.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").wait_for()
    look("links")
    page.goto(f"{crowded.served.address}/#/jobs")
    page.get_by_text("No exports yet.").wait_for()
    look("jobs")
    page.goto(crowded.link["page"])
    page.get_by_role("link", name="Open in Neuroglancer").wait_for()
    look("link")
    assert [f"{name}: {element}" for name, beyond in found.items() for element in beyond] == []
