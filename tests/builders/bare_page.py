"""A page with nothing on it but our elements, at a server's own origin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from builders.browser import open_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

PATH = "/bare.html"
# Chromium reports each absent chunk and each refusal; nothing in a page can keep it from that.
REFUSED = "the server responded with a status of"


def open_elements(browser: Browser, address: str, script: str, body: str, **context: Any) -> tuple[Page, list[str]]:
    """A page of `body` that loads `/web/SCRIPT`, and what it complains of on its console."""
    html = f"""<!doctype html><html lang="en"><title>Elements</title><meta name="referrer" content="no-referrer">
      <link rel="icon" href="data:,"><script type="module" src="/web/{script}"></script><main>{body}</main></html>"""
    page, complaints = open_page(browser, "about:blank", **context)
    page.route(f"**{PATH}", lambda route: route.fulfill(content_type="text/html", body=html))
    page.goto(address + PATH)
    return page, complaints


def own_complaints(complaints: list[str]) -> list[str]:
    """Those that are not about an answer's status."""
    return [text for text in complaints if REFUSED not in text]


def drag(page: Page, stage: Locator, start: tuple[float, float], end: tuple[float, float]) -> None:
    """The mouse from one place of an element to another, in parts of its width and height."""
    stage.scroll_into_view_if_needed()
    frame = stage.bounding_box()
    assert frame is not None

    def at(place: tuple[float, float]) -> tuple[float, float]:
        return frame["x"] + place[0] * frame["width"], frame["y"] + place[1] * frame["height"]

    page.mouse.move(*at(start))
    page.mouse.down()
    page.mouse.move(*at(((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)))
    page.mouse.move(*at(end))
    page.mouse.up()
