"""`<ortho-view>` in a real browser: every pixel of its three pictures is a voxel, failures are said, boxes follow the mouse."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import numpy as np
import pytest

from builders.bare_page import drag, open_elements, own_complaints
from builders.browser import CHROMIUM, barriers, chromium, keep_picture
from builders.wkw_files import LayerFiles, dataset, noise, pyramid, write_tree
from end_to_end.conftest import Served, serve  # noqa: F401 (a fixture)
from zarrlink.geometry import BoundingBox, Mag

MAGS = (Mag(1, 1, 1), Mag(2, 2, 1), Mag(8, 8, 4))
CORNER = (64, 32, 96)
SIZE = (160, 128, 64)
EM = noise(SIZE)
# Pieces of 16 voxels a side, and nothing at all in a quarter of the volume: blocks that are never stored.
CELLS = (np.indices(SIZE[::-1]) // 16 * np.array([1, 4, 16]).reshape(3, 1, 1, 1)).sum(0).astype("uint32") + 1
CELLS[:, :64, :64] = 0
# How the planes lie in a volume (z, y, x): which axis is cut, and whether the picture is turned so that z runs along.
PICTURES = {"xy": (0, False), "xz": (1, False), "yz": (2, True)}
PIXELS = """canvas => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return [canvas.width, canvas.height, btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join(''))];
}"""


@pytest.fixture(scope="module")
def served(serve, tmp_path_factory: pytest.TempPathFactory) -> Served:  # noqa: F811
    folder = tmp_path_factory.mktemp("ortho")
    stored = {"top_left": CORNER, "block_side": 32, "file_side": 4}
    em = LayerFiles("em", pyramid(EM, MAGS, CORNER), **stored)
    cells = LayerFiles("cells", pyramid(CELLS, MAGS[:2], CORNER), category="segmentation", **stored)
    write_tree(dataset(em, cells), folder / "data" / "mouse")
    # A box that no level's one plane of is small enough to be read whole.
    big = LayerFiles("em", {MAGS[0]: EM}, box=BoundingBox((0, 0, 0), (40_000, 30_000, 2_000)), block_side=32)
    write_tree(dataset(big), folder / "data" / "big")
    return serve(folder / "state.sqlite", folder / "data")


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    if CHROMIUM is None:
        pytest.skip("no Chromium: the pictures are not tried in a browser")
    with chromium() as found:
        yield found


def open_view(browser, served: Served, link: dict, **context):
    body = f'<ortho-view page="{link["page"]}"></ortho-view>'
    page, complaints = open_elements(browser, served.address, "ortho_view.js", body, **context)
    page.get_by_text("xy, z").wait_for()
    settle(page)
    return page, complaints


def settle(page) -> None:
    """Until no picture is under way."""
    page.wait_for_function("() => !document.querySelector('ortho-view').shadowRoot.querySelector('[aria-busy]')")


def picture(page, name: str, kind: str = "image") -> np.ndarray:
    """The RGBA pixels of a canvas, (rows, columns, 4)."""
    settle(page)
    width, height, data = page.locator(f"[data-plane={name}] canvas.{kind}").evaluate(PIXELS)
    return np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)


def plane_of(volume: np.ndarray, name: str, place: tuple[int, int, int]) -> np.ndarray:
    """The plane through a place (x, y, z) in voxels of the volume."""
    axis, turned = PICTURES[name]
    plane = np.take(volume, place[2 - axis], axis)
    return plane.T if turned else plane


def look(page, x: int, y: int, z: int) -> None:
    """By the sliders, as a person with a keyboard or mouse sets them."""
    for axis, place in zip("xyz", (x, y, z), strict=True):
        page.get_by_role("slider", name=axis, exact=True).fill(str(place))


def box(page) -> list[int] | None:
    return page.evaluate("() => document.querySelector('ortho-view').box")


def test_every_pixel_of_the_three_pictures_is_its_voxel(served: Served, browser) -> None:
    page, complaints = open_view(browser, served, served.link("mouse"))
    for place in ((64 + 80, 32 + 64, 96 + 32), (64, 32, 96), (64 + 159, 32 + 127, 96 + 63), (64 + 33, 32 + 5, 96 + 17)):
        look(page, *place)
        inside = tuple(at - start for at, start in zip(place, CORNER, strict=True))
        for name in PICTURES:
            expected = plane_of(EM, name, inside)
            shown = picture(page, name)
            assert (shown[..., 0] == expected).all(), f"{name} at {place}"
            assert (shown[..., 3] == 255).all()
    assert own_complaints(complaints) == []
    assert barriers(page) == []
    keep_picture(page, "ortho-view")


def test_labels_lie_over_the_image_and_absent_chunks_are_none(served: Served, browser) -> None:
    page, _ = open_view(browser, served, served.link("mouse"))
    look(page, 64 + 100, 32 + 100, 96 + 20)
    for name in PICTURES:
        expected = plane_of(CELLS, name, (100, 100, 20))
        shown = picture(page, name, "labels")
        assert ((shown[..., 3] == 0) == (expected == 0)).all(), name
        colours = {tuple(colour) for colour in shown[expected != 0][:, :3].tolist()}
        assert len(colours) == len(set(expected[expected != 0].tolist()))
    look(page, 64 + 10, 32 + 10, 96 + 20)
    assert (picture(page, "yz", "labels")[:64, :, 3] == 0).all()
    page.get_by_label("Segmentation").select_option("none")
    settle(page)
    assert not page.locator("[data-plane=xy] canvas.labels").is_visible()
    page.get_by_label("Layer").select_option("cells")
    assert (picture(page, "xy")[..., 3] == 255)[CELLS[20] != 0].all()


def test_keys_and_contrast(served: Served, browser) -> None:
    page, _ = open_view(browser, served, served.link("mouse"))
    look(page, 64 + 80, 32 + 64, 96 + 32)
    page.get_by_role("application", name="Picture xy").focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "PageDown", "Shift+PageDown", "PageUp"):
        page.keyboard.press(key)
    for name in PICTURES:
        assert (picture(page, name)[..., 0] == plane_of(EM, name, (81, 66, 42))).all()
    page.get_by_label("Black at").fill("100")
    page.get_by_label("White at").fill("151")
    page.keyboard.press("Tab")
    expected = np.clip((EM[42].astype(int) - 100) * 5, 0, 255)
    assert (picture(page, "xy")[..., 0] == expected).all()
    page.get_by_role("button", name="Contrast of what is shown").click()
    planes = [plane_of(EM, name, (81, 66, 42)) for name in PICTURES]
    assert page.get_by_label("Black at").input_value() == str(min(plane.min() for plane in planes))
    assert page.get_by_label("White at").input_value() == str(max(plane.max() for plane in planes))


def test_a_coarser_mag_of_a_link_is_drawn_where_it_belongs(served: Served, browser) -> None:
    coarse = served.link("mouse", "--finest-mag", "8-8-4", "--layer", "em")
    page, _ = open_view(browser, served, coarse)
    look(page, 64 + 81, 32 + 66, 96 + 41)
    volume = pyramid(EM, MAGS, CORNER)[MAGS[2]]
    for name in PICTURES:
        assert (picture(page, name)[..., 0] == plane_of(volume, name, (81 // 8, 66 // 8, 41 // 4))).all(), name
    page.get_by_text("em mag 8-8-4").first.wait_for()


def test_voxels_that_reach_beyond_the_box_lie_beyond_the_picture(served: Served, browser) -> None:
    link = served.link("mouse", "--finest-mag", "8-8-4", "--layer", "em", "--box", "70,40,98,100,80,50")
    page, _ = open_view(browser, served, link)
    stage = page.locator("[data-plane=xy] .stage").bounding_box()
    image = page.locator("[data-plane=xy] canvas.image").bounding_box()
    # Along x voxels from 64 to 176 are read for a picture from 70 to 170, along y from 40 to 120 for just that.
    assert image["width"] / stage["width"] == pytest.approx(1.12, abs=0.01)
    assert (stage["x"] - image["x"]) / stage["width"] == pytest.approx(0.06, abs=0.01)
    assert image["height"] == pytest.approx(stage["height"], abs=1)
    assert stage["width"] / stage["height"] == pytest.approx(100 / 80, abs=0.02)


def test_a_volume_without_coarse_mags_is_read_in_part_only(served: Served, browser) -> None:
    asked: list[str] = []
    link = served.link("big")
    body = f'<ortho-view page="{link["page"]}"></ortho-view>'
    page, _ = open_elements(browser, served.address, "ortho_view.js", "", viewport={"width": 900, "height": 900})
    page.on("request", lambda request: asked.append(request.url))
    page.locator("main").evaluate("(main, html) => (main.innerHTML = html)", body)
    page.get_by_text("nothing of em is stored here").first.wait_for()
    settle(page)
    assert len(asked) < 800
    page.get_by_role("button", name="Zoom out").click()
    page.get_by_text("em has no mag coarse enough for this picture: zoom in.").first.wait_for()
    assert len(asked) < 800
    look(page, 80, 64, 32)
    for _ in range(20):
        closer = page.get_by_role("button", name="Zoom in")
        if closer.is_disabled():
            break
        closer.click()
    shown = picture(page, "xy")
    assert shown.shape[0] <= 32
    row, column = np.argwhere(shown[..., 3] == 255)[0]
    assert shown[row, column, 0] in EM[32]


def test_a_failing_chunk_is_said_and_never_drawn(served: Served, browser) -> None:
    page, _ = open_view(browser, served, served.link("mouse", "--layer", "em"))
    refusal = '{"title": "Damaged", "status": 502, "detail": "A stored block is damaged."}'
    where = "**/v2/em.zarr/0/4/1/2"  # the corner of the plane in the middle
    page.route(where, lambda route: route.fulfill(status=502, content_type="application/problem+json", body=refusal))
    page.evaluate("() => { const view = document.querySelector('ortho-view'); view.page = view.page.slice(0, -1); }")
    page.get_by_text("A stored block is damaged.").first.wait_for()
    settle(page)
    failed = [name for name in PICTURES if page.locator(f"[data-plane={name}] .over").is_visible()]
    for name in PICTURES:
        assert page.locator(f"[data-plane={name}] canvas.image").is_visible() == (name not in failed)
    assert failed == ["xy"]
    page.unroute(where)
    page.get_by_role("button", name="Try again").click()
    assert (picture(page, "xy")[..., 0] == EM[32]).all()
    assert not page.locator("[data-plane=xy] .over").is_visible()


def test_a_link_that_ended_is_said(served: Served, browser) -> None:
    link = served.link("mouse")
    served.zarrlink("links", "revoke", link["id"])
    body = f'<ortho-view page="{link["page"]}"></ortho-view>'
    page, _ = open_elements(browser, served.address, "ortho_view.js", body)
    page.get_by_role("alert").get_by_text("This link is no longer open.").wait_for()
    assert page.locator("canvas.image").count() == 3
    assert not page.locator("canvas.image").first.is_visible()


def test_a_box_is_drawn_moved_and_resized_by_the_mouse(served: Served, browser) -> None:
    page, _ = open_view(browser, served, served.link("mouse"), viewport={"width": 1000, "height": 1200})
    page.evaluate(
        "() => { window.boxes = []; addEventListener('box-changed', ({detail}) => window.boxes.push(detail.box)) }"
    )
    xy, xz = (page.get_by_role("application", name=f"Picture {name}") for name in ("xy", "xz"))
    drag(page, xy, (0.25, 0.25), (0.75, 0.5))
    assert box(page) is None  # a mouse that only looks draws nothing
    page.get_by_role("button", name="Draw a box").click()
    drag(page, xy, (0.25, 0.25), (0.75, 0.5))
    x, y, z, width, height, depth = box(page)
    assert np.allclose([x - 64, y - 32, width, height], [40, 32, 80, 32], atol=1)
    assert [z, depth] == [96, 64]
    for name in PICTURES:
        assert page.locator(f"[data-plane={name}] .box").is_visible()
    drag(page, xz, (0.5, 0.99), (0.5, 0.49))  # its far side along z
    assert np.allclose(box(page), [x, y, 96, width, height, 32], atol=1)
    drag(page, xy, (0.5, 0.375), (0.625, 0.5))  # its inside
    moved = box(page)
    assert np.allclose(moved[:3], [x + 20, y + 16, 96], atol=1)
    assert moved[3:] == [width, height, box(page)[5]]
    drag(page, xy, (0.0, 0.0), (0.1, 0.1))  # anew, beside it
    assert np.allclose(box(page)[:5], [64, 32, 96, 16, 13], atol=1)
    assert page.evaluate("() => window.boxes.at(-1)") == box(page)
    page.get_by_role("button", name="Remove box").click()
    assert box(page) is None
    assert page.evaluate("() => window.boxes.at(-1)") is None
    keep_picture(page, "ortho-view-box")


def test_a_box_by_the_keyboard_alone(served: Served, browser) -> None:
    page, _ = open_view(browser, served, served.link("mouse"))
    page.get_by_role("button", name="Draw a box").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    for number in (70, 40, 100, 10, 20, 30):
        page.keyboard.type(str(number))
        page.keyboard.press("Tab")
    assert box(page) == [70, 40, 100, 10, 20, 30]
    page.get_by_role("application", name="Box: x 70 to 80").first.focus()
    for key in ("ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight", "ArrowUp", "Shift+ArrowUp"):
        page.keyboard.press(key)
    assert box(page) == [71, 39, 100, 12, 19, 30]
    width = page.get_by_role("spinbutton", name="width")
    width.fill("500")
    width.press("Enter")
    page.get_by_role("alert").get_by_text("Along x the box reaches from 71 to 571, the data from 64 to 224.").wait_for()
    assert box(page) == [71, 39, 100, 12, 19, 30]
    assert barriers(page) == []
