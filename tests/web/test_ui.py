"""The UI in a real browser against the real server: sign in, find, link, copy, read, extend, revoke; by keyboard; in Neuroglancer."""

from __future__ import annotations

import io
import json
import socket
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import zarr
from PIL import Image

from builders.annotation_zips import TREE, Volume, nml, voxels, wkw_data, zip_of
from builders.bare_page import drag
from builders.browser import CHROMIUM, barriers, chromium, keep_picture, open_page
from end_to_end.conftest import Served, serve  # noqa: F401 (a fixture)
from zarrlink_local.sample import MAGS, sample_layers, write_sample
from zarrlink_local.viewer import client_folder

SIZE = (128, 128, 64)
NAME = "neuropil"
# Chromium reports each answer that is no success; nothing in a page can keep it from that.
REFUSED = "the server responded with a status of"


@dataclass
class Ui:
    """A server with the sample, and somebody who may do everything."""

    served: Served
    token: str
    dataset: str

    def sign_in(self, browser, **context):
        page, complaints = open_page(browser, self.served.address, **context)
        page.get_by_label("Personal token").fill(self.token)
        page.get_by_role("button", name="Sign in").last.click()
        page.get_by_role("link", name=NAME).wait_for()
        return page, complaints

    def open_dataset(self, browser, **context):
        page, complaints = self.sign_in(browser, **context)
        page.get_by_role("link", name=NAME).click()
        page.get_by_role("heading", name=NAME).wait_for()
        page.get_by_text("No link yet.").wait_for()
        return page, complaints

    def api(self, method: str, path: str, body: object = None):
        """What the API answers."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-Auth-Token": self.token, "Content-Type": "application/json"}
        request = urllib.request.Request(self.served.address + path, data, headers, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def link(self, name: str, *layers: str) -> dict:
        scope = {"scope": {"layers": layers}} if layers else {}
        return self.api("POST", "/api/zarrPrivateLinks", {"dataset": self.dataset, "name": name, **scope})

    def revoke(self, link: dict) -> None:
        self.api("DELETE", f"/api/zarrPrivateLinks/{link['id']}")

    def links(self) -> list[dict]:
        return self.api("GET", "/api/zarrPrivateLinks")


@pytest.fixture(scope="module")
def ui(serve, tmp_path_factory: pytest.TempPathFactory) -> Ui:  # noqa: F811
    folder = tmp_path_factory.mktemp("ui")
    write_sample(folder / "data" / NAME, size_xyz=SIZE, seed=7)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    # The same server by another name is another origin, which it has to be told of.
    options = ("--port", port, "--ui-origin", f"http://localhost:{port}")
    served = serve(folder / "state.sqlite", folder / "data", options=options)
    token = served.zarrlink("users", "add", "ann", "--admin")["token"]
    made = Ui(served, token, "")
    made.dataset = made.api("GET", "/api/datasets")[0]["id"]
    return made


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    if CHROMIUM is None:
        pytest.skip("no Chromium: the UI is not tried in a browser")
    with chromium() as found:
        yield found


@pytest.fixture(autouse=True)
def _no_links_afterwards(ui: Ui) -> Iterator[None]:
    yield
    for link in ui.links():
        ui.revoke(link)


def zipped_or_plain(file: bytes) -> bytes:
    """The NML of a download."""
    if not zipfile.is_zipfile(io.BytesIO(file)):
        return file
    with zipfile.ZipFile(io.BytesIO(file)) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith(".nml")))


def copied(page) -> str:
    return page.evaluate("() => navigator.clipboard.readText()")


def test_a_link_from_its_making_to_its_end(ui: Ui, browser) -> None:
    page, complaints = ui.open_dataset(browser)
    page.get_by_role("button", name="New link").click()
    page.get_by_label("Name").fill("For the reviewers")
    page.get_by_role("button", name="Create link").click()
    card = page.get_by_role("article", name="Link For the reviewers")
    card.get_by_text("(in a month)").wait_for()

    card.get_by_role("button", name="Copy v3: em").click()
    page.get_by_text("Copied the Zarr v3 address of em.").wait_for(state="attached")
    address = copied(page)
    em = next(layer for layer in sample_layers(SIZE, 7) if layer.name == "em").volumes[MAGS[0]]
    assert np.array_equal(zarr.open_group(address, mode="r")["0"][...], em)
    card.get_by_role("button", name="Copy v2: segmentation").click()
    page.get_by_text("Copied the Zarr v2 address of segmentation.").wait_for(state="attached")
    assert copied(page).endswith("/v2/segmentation.zarr")
    assert zarr.open_group(copied(page), mode="r", zarr_format=2)["0"].dtype == np.uint32
    card.get_by_role("button", name="Copy wk: em").click()
    page.get_by_text("Copied the WEBKNOSSOS address of em.").wait_for(state="attached")
    # From voxel 0 on, before which the sample does not begin.
    said = zarr.open_group(copied(page), mode="r")["1"]
    end = tuple(slice(-length, None) for length in em.shape[::-1])
    assert np.array_equal(said[(0, *end)].transpose(2, 1, 0), em)
    keep_picture(page, "dataset")

    before = ui.links()[0]["expirationDateTime"]
    card.get_by_role("button", name="Extend by a month").click()
    card.get_by_text("(in 2 months)").wait_for()
    page.get_by_text("Changed For the reviewers.").wait_for(state="attached")
    assert ui.links()[0]["expirationDateTime"] > before
    card.get_by_role("button", name="Edit").click()
    card.get_by_label("Name").fill("For everybody")
    card.get_by_label("Expires").select_option("Never")
    card.get_by_role("button", name="Save").click()
    card = page.get_by_role("article", name="Link For everybody")
    card.get_by_text("never expires").wait_for()
    page.get_by_text("Changed For everybody.").wait_for(state="attached")
    assert (ui.links()[0]["name"], ui.links()[0]["expirationDateTime"]) == ("For everybody", None)

    card.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    page.get_by_role("button", name="Undo").click()
    card.wait_for()
    assert zarr.open_group(address, mode="r")["0"].shape == em.shape
    page.evaluate("() => document.querySelector('zarr-links').setAttribute('undo-seconds', '1')")
    card.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    page.get_by_text("Revoked For everybody.").wait_for(state="attached")
    page.get_by_text("No link yet.").wait_for()
    with pytest.raises(Exception, match=r"410|Gone|not valid"):
        zarr.open_group(address, mode="r")["0"][...]
    assert [text for text in complaints if REFUSED not in text] == []


def test_whoever_leaves_the_page_has_revoked(ui: Ui, browser) -> None:
    ui.link("Short")
    page, _ = ui.sign_in(browser)
    page.get_by_role("link", name="Links").click()
    page.get_by_role("article", name="Link Short").get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    page.get_by_role("button", name="Undo").wait_for()
    assert len(ui.links()) == 1
    page.goto("about:blank")
    # The page is gone before its last request is answered: nothing in the browser tells when.
    assert any(ui.links() == [] for _ in range(1000))


def test_a_revocation_that_a_cdn_is_being_told_of_is_shown_until_it_knows(ui: Ui, browser) -> None:
    link = ui.link("Cached")
    page, _ = ui.sign_in(browser)
    is_told = []

    def answer(route) -> None:
        if route.request.method == "DELETE":
            route.fulfill(status=202, json={"messages": [], "id": link["id"], "state": "revoking"})
        elif is_told:
            route.fulfill(status=404, json={"title": "Not found", "status": 404, "detail": "you have no such link"})
        else:
            route.fulfill(json={**link, "state": "revoking"})

    page.route(f"**/zarrPrivateLinks/{link['id']}", answer)
    page.get_by_role("link", name="Links").click()
    card = page.get_by_role("article", name="Link Cached")
    card.wait_for()
    page.evaluate("() => document.querySelector('zarr-links').setAttribute('undo-seconds', '1')")
    card.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    notice = page.get_by_role("group", name="Revoking Cached")
    notice.get_by_text("“Cached” is revoked. The CDN is being told").wait_for()
    assert notice.get_by_role("button").count() == 0
    is_told.append(True)
    page.get_by_text("Revoked Cached.").wait_for(state="attached")
    notice.wait_for(state="detached")
    page.get_by_text("No link yet.").wait_for()


def test_a_link_limited_to_layer_box_and_mag(ui: Ui, browser) -> None:
    page, _ = ui.open_dataset(browser)
    page.get_by_role("button", name="New link").click()
    page.get_by_text("Limit what it opens").click()
    page.get_by_role("checkbox", name="segmentation").uncheck()
    box = page.get_by_role("textbox", name="Box", exact=True)
    box.fill("1, 2, 3")
    page.get_by_role("button", name="Create link").click()
    page.get_by_text("A box is six whole numbers").wait_for()
    box.fill("1024, 2048, 256, 64, 64, 32")
    page.get_by_label("Finest mag").select_option("2-2-1")
    page.get_by_role("button", name="Create link").click()
    page.get_by_text("em · box 1024, 2048, 256, 64, 64, 32 · mag 2-2-1 and coarser").wait_for()
    (link,) = ui.links()
    layer = zarr.open_group(link["layers"][0]["v3"], mode="r")["0"]
    assert layer.shape == (32, 32, 32)


def test_a_box_drawn_on_the_picture_limits_a_link(ui: Ui, browser) -> None:
    page, _ = ui.open_dataset(browser, viewport={"width": 1000, "height": 1400})
    picture = page.get_by_role("region", name="Picture")
    picture.get_by_text("xy, z").wait_for()
    page.wait_for_function("() => !document.querySelector('ortho-view').shadowRoot.querySelector('[aria-busy]')")
    picture.get_by_role("button", name="Draw a box").click()
    xy = picture.get_by_role("application", name="Picture xy")
    xy.scroll_into_view_if_needed()
    drag(page, xy, (0.25, 0.25), (0.75, 0.5))
    page.get_by_role("button", name="New link").click()
    page.get_by_role("button", name="Create link").click()
    page.get_by_role("article", name="Unnamed link").wait_for()
    (link,) = ui.links()
    box = link["scope"]["boundingBox"]
    assert np.allclose(box, [1024 + 32, 2048 + 32, 256, 64, 32, 64], atol=2)
    ui.revoke(link)

    # What is sent is what is shown, also on the section once it is closed.
    drawn = ", ".join(map(str, box))
    page.get_by_role("button", name="New link").click()
    page.get_by_text("The box of the picture is filled in below.").wait_for()
    field = page.get_by_role("textbox", name="Box", exact=True)
    assert field.input_value() == drawn
    page.get_by_label("Finest mag").select_option("2-2-1")
    page.get_by_text(f"Limited: box {drawn} · mag 2-2-1 and coarser").click()
    field.wait_for(state="hidden")
    page.get_by_text(f"Limited: box {drawn}").click()
    field.fill("")
    page.get_by_text("Limited: mag 2-2-1 and coarser", exact=True).wait_for()
    # A box that is drawn while the form is open opens the section again.
    page.get_by_text("Limited: mag 2-2-1 and coarser", exact=True).click()
    drag(page, xy, (0.3, 0.3), (0.6, 0.6))
    field.wait_for()
    assert field.input_value() not in {"", drawn}


def test_a_drawn_box_is_never_left_out_because_the_layers_could_not_be_read(ui: Ui, browser) -> None:
    page, _ = ui.open_dataset(browser)
    page.locator("ortho-view canvas").first.wait_for()
    page.route("**/view", lambda route: route.abort())
    page.evaluate("() => document.querySelector('zarr-links').box = [1024, 2048, 256, 64, 64, 32]")
    page.get_by_role("button", name="New link").click()
    page.get_by_text("The layers could not be read, so it cannot be limited to the box.").wait_for()
    page.unroute("**/view")
    page.get_by_role("button", name="Create link").click()
    page.get_by_text("Limited: box 1024, 2048, 256, 64, 64, 32").wait_for()
    assert ui.links() == []
    page.get_by_role("button", name="Create link").click()
    page.get_by_role("article", name="Unnamed link").wait_for()
    assert ui.links()[0]["scope"]["boundingBox"] == [1024, 2048, 256, 64, 64, 32]


def test_a_change_that_is_refused_is_taken_back_with_a_sentence(ui: Ui, browser) -> None:
    link = ui.link("Gone soon")
    page, _ = ui.sign_in(browser)
    page.get_by_role("link", name="Links").click()
    card = page.get_by_role("article", name="Link Gone soon")
    card.get_by_text("(in a month)").wait_for()
    card.get_by_text(f"to {NAME}").wait_for()
    ui.revoke(link)
    card.get_by_role("button", name="Extend by a month").click()
    card.get_by_role("alert").get_by_text("Not changed.").wait_for()
    card.get_by_text("(in a month)").wait_for()


def test_everything_by_keyboard_alone(ui: Ui, browser) -> None:
    page, _ = open_page(browser, ui.served.address)
    page.get_by_label("Personal token").wait_for()

    def press(*keys: str) -> None:
        for key in keys:
            page.keyboard.press(key)

    def tab_to(name: str, most: int = 60) -> None:
        """Press Tab until what has the focus is called so."""
        focused = """() => {
            let element = document.activeElement;
            while (element?.shadowRoot?.activeElement) element = element.shadowRoot.activeElement;
            const label = element?.labels?.[0]?.textContent;
            return element?.getAttribute('aria-label') ?? label ?? element?.textContent ?? '';
        }"""
        for _ in range(most):
            if page.evaluate(focused).strip() == name:
                return
            press("Tab")
        raise AssertionError(f"Tab does not lead to {name!r}")

    page.keyboard.type(ui.token)
    press("Enter")
    page.get_by_role("link", name=NAME).wait_for()
    tab_to(NAME)
    press("Enter")
    page.get_by_role("button", name="New link").wait_for()
    tab_to("New link")
    press("Enter")
    page.keyboard.type("By hand")
    tab_to("Expires")
    press("ArrowUp")  # a week
    tab_to("Create link")
    press("Enter")
    page.get_by_role("article", name="Link By hand").get_by_text("(in 7 days)").wait_for()
    tab_to("Copy v3: em")
    press("Enter")
    page.get_by_text("Copied the Zarr v3 address of em.").wait_for(state="attached")
    assert copied(page).endswith("/v3/em.zarr")
    tab_to("Revoke")
    press("Enter")
    page.get_by_role("dialog").wait_for()
    press("Escape")  # kept
    page.get_by_role("dialog").wait_for(state="detached")
    tab_to("Revoke")
    press("Enter")
    page.get_by_role("dialog").wait_for()
    tab_to("Revoke")
    press("Enter")
    page.get_by_role("button", name="Undo").wait_for()
    press("Enter")
    page.get_by_role("article", name="Link By hand").wait_for()
    assert len(ui.links()) == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(ui: Ui, browser, scheme: str) -> None:
    link = ui.link("For the reviewers")
    ui.api("PUT", f"/api/zarrPrivateLinks/{ui.link('Old')['id']}", {"expirationDateTime": 1_700_000_000_000})
    found = {}
    page, _ = open_page(browser, ui.served.address, color_scheme=scheme)
    page.get_by_label("Personal token").wait_for()
    found["sign in"] = barriers(page)
    page.get_by_label("Personal token").fill(ui.token)
    page.get_by_role("button", name="Sign in").last.click()
    page.locator(".thumbnail canvas").first.wait_for()
    found["datasets"] = barriers(page)
    keep_picture(page, f"datasets-{scheme}")
    page.get_by_role("link", name=NAME).click()
    page.get_by_role("button", name="New link").click()
    page.get_by_text("Limit what it opens").click()
    page.get_by_label("Finest mag").wait_for()
    card = page.get_by_role("article", name="Link For the reviewers")
    card.get_by_role("button", name="Open in").click()
    card.get_by_role("link", name="Open in Neuroglancer").wait_for()
    card.get_by_role("button", name="Edit").click()
    page.get_by_role("button", name="Edit").first.click()
    found["dataset"] = barriers(page)
    keep_picture(page, f"dataset-{scheme}")
    card.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").wait_for()
    found["dialog"] = barriers(page)
    page.goto(link["page"])
    page.get_by_role("link", name="Open in Neuroglancer").wait_for()
    found["link"] = barriers(page)
    assert [sentence for sentences in found.values() for sentence in sentences] == []


def test_of_other_peoples_links_one_sees_that_they_are_there(ui: Ui, browser) -> None:
    theirs = ui.served.link(NAME, "--name", "By the operator")
    page, _ = ui.sign_in(browser)
    page.get_by_role("link", name=NAME).click()
    card = page.get_by_role("article", name="Link By the operator")
    card.get_by_text("made by operator").wait_for()
    assert card.get_by_role("button", name="Edit").count() == 0
    card.get_by_role("button", name="Revoke").wait_for()
    ui.revoke(theirs)


def test_describing_and_sharing(ui: Ui, browser) -> None:
    page, _ = ui.open_dataset(browser)
    page.get_by_role("button", name="Edit").click()
    form = page.get_by_role("form", name=f"Edit {NAME}")
    form.get_by_label("Description").fill("Made up, but it looks right.")
    form.get_by_label("Tags").fill("em, sample")
    form.get_by_label("Visible to").select_option("public")
    form.get_by_role("button", name="Save").click()
    page.get_by_text("Made up, but it looks right.").wait_for()
    page.get_by_role("link", name="sample", exact=True).click()
    page.get_by_role("heading", name="Datasets (1)").wait_for()
    page.get_by_label("Search").fill("nothing of this kind")
    page.get_by_role("heading", name="Datasets (0)").wait_for()

    stranger, _ = open_page(browser, f"{ui.served.address}/#/datasets")
    stranger.get_by_role("link", name=NAME).click()
    stranger.get_by_text("to make links and to export").wait_for()
    stranger.locator("ortho-view canvas").first.wait_for()
    ui.api("PATCH", f"/api/datasets/{ui.dataset}", {"visibility": "private"})


def test_an_annotation_is_found_seen_and_linked(ui: Ui, browser, tmp_path: Path) -> None:
    painted = Volume(name="Volume", data=zip_of(wkw_data({"1": {(33, 65, 9): voxels(1)}})))
    scale = '<scale x="8.0" y="8.0" z="25.0" unit="nanometer" />'
    file = tmp_path / "cells.zip"
    file.write_bytes(zip_of({"cells.nml": nml(painted, skeleton=TREE, scale=scale), painted.location: painted.data}))
    ui.served.zarrlink("annotations", "import", str(file), "--owner", "ann", "--dataset", NAME)
    (annotation,) = ui.api("GET", "/api/annotations/readable")
    path = f"/api/annotations/{annotation['id']}"
    ui.api("PATCH", path, {"visibility": "public"})
    stranger, _ = open_page(browser, f"{ui.served.address}/#/annotations/{annotation['id']}")
    stranger.get_by_label("NML only").check()
    with stranger.expect_download() as waiting:
        stranger.get_by_role("button", name="Download", exact=True).click()
    assert b"<things" in zipped_or_plain(Path(waiting.value.path()).read_bytes())
    stranger.get_by_role("tab", name="TIFF Export").click()
    stranger.get_by_text("Sign in to export.").wait_for()
    ui.api("PATCH", path, {"visibility": "private"})

    page, complaints = ui.sign_in(browser)
    annotations = page.get_by_role("region", name="Annotations")
    annotations.locator("canvas").wait_for()
    annotations.get_by_role("link").click()
    page.get_by_role("link", name="The dataset that it annotates").wait_for()
    page.locator("ortho-view canvas").first.wait_for()
    page.get_by_role("button", name="New link").click()
    page.get_by_role("button", name="Create link").click()
    page.get_by_role("button", name="Copy v3: Volume").click()
    page.get_by_text("Copied the Zarr v3 address of Volume.").wait_for(state="attached")
    assert zarr.open_group(copied(page), mode="r")["0"][...].any()
    page.get_by_role("button", name="Edit").first.click()
    page.get_by_text("Forget this annotation…").click()
    page.get_by_role("button", name="Forget this annotation").click()
    page.get_by_role("heading", name="Annotations (0)").wait_for()
    assert [text for text in complaints if REFUSED not in text] == []


def test_a_wrong_token_is_said_plainly(ui: Ui, browser) -> None:
    page, _ = open_page(browser, ui.served.address)
    page.get_by_label("Personal token").fill("not a token")
    page.get_by_role("button", name="Sign in").last.click()
    page.get_by_text("This token is not known here.").wait_for()


def test_whoever_is_not_signed_in_is_led_to_it_and_back(ui: Ui, browser) -> None:
    for path in (f"/datasets/{ui.dataset}", "/links", "/jobs"):
        page, _ = open_page(browser, f"{ui.served.address}/#{path}")
        page.get_by_text("Sign in to see this.").wait_for()
        if page.get_by_label("Personal token").count() == 0:
            page.get_by_role("main").get_by_role("link", name="Sign in").click()
        page.get_by_label("Personal token").fill(ui.token)
        page.get_by_role("form", name="Sign in").get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"**/#{path}")
        page.get_by_text("X-Auth-Token").wait_for(state="detached")
    page.get_by_text("No exports yet.").wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.goto(f"{ui.served.address}/#/datasets/{ui.dataset}")
    page.get_by_text("Sign in to see this.").wait_for()
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"**/#/sign-in?to=%2Fdatasets%2F{ui.dataset}")


@pytest.mark.parametrize("path", ["/links", "/jobs"])
def test_a_token_that_ends_is_said_plainly(ui: Ui, browser, path: str) -> None:
    name = f"leaving-{path[1:]}"
    page, _ = open_page(browser, ui.served.address)
    page.get_by_label("Personal token").fill(ui.served.zarrlink("users", "add", name)["token"])
    page.get_by_role("button", name="Sign in").last.click()
    page.get_by_role("heading", name="Datasets (").wait_for()
    ui.served.zarrlink("users", "token", name)
    page.goto(f"{ui.served.address}/#{path}")
    page.get_by_role("alert").get_by_text("Your token is not valid any more: sign in again.").wait_for()
    page.wait_for_url(f"**/#/sign-in?to=%2F{path[1:]}")

    # The same for one that was kept from an earlier day.
    page.evaluate("() => localStorage.setItem('zarrlink token', 'of an earlier day')")
    page.goto("about:blank")
    page.goto(f"{ui.served.address}/#{path}")
    page.get_by_role("alert").get_by_text("Your token is not valid any more: sign in again.").wait_for()
    page.wait_for_url(f"**/#/sign-in?to=%2F{path[1:]}")


def test_signing_out_in_one_tab_signs_out_in_all(ui: Ui, browser) -> None:
    first, _ = open_page(browser, ui.served.address)
    first.get_by_label("Personal token").fill(ui.token)
    first.get_by_label("Stay signed in").check()
    first.get_by_role("button", name="Sign in").last.click()
    first.get_by_role("link", name=NAME).wait_for()
    second = first.context.new_page()
    second.goto(f"{ui.served.address}/#/links")
    second.get_by_text("No link yet.").wait_for()
    first.get_by_role("button", name="Sign out").click()
    second.get_by_text("You signed out in another tab.").wait_for()
    assert second.url.endswith("/#/sign-in?to=%2Flinks")


@pytest.mark.parametrize("elsewhere", [None, "https://neuroglancer.example.org/"])
def test_an_embedded_element_opens_the_servers_own_neuroglancer(ui: Ui, serve, browser, tmp_path, elsewhere) -> None:  # noqa: F811
    if elsewhere is None and client_folder() is None:
        pytest.skip("the package neuroglancer is not installed: there is no own client")
    (tmp_path / "data").mkdir()
    options = ("--neuroglancer", elsewhere) if elsewhere else ()
    served = serve(tmp_path / "state.sqlite", tmp_path / "data", options=options)
    # A page of another origin, which would not import from elsewhere if it were not somebody else's.
    page, complaints = open_page(browser, ui.served.address, bypass_csp=True)
    ask = "address => import(`${address}/web/neuroglancer.js`).then(({ findViewer }) => findViewer(null))"
    assert page.evaluate(ask, served.address) == f"{served.address}/neuroglancer/v/links/"
    assert complaints == []


def test_both_elements_in_a_page_of_another_origin(ui: Ui, browser) -> None:
    elsewhere = ui.served.address.replace("127.0.0.1", "localhost")
    page, complaints = open_page(browser, f"{elsewhere}/web/example.html")
    page.get_by_label("Server").fill(ui.served.address)
    page.get_by_label("Personal token").fill(ui.token)
    page.get_by_label("Its id").fill(ui.dataset)
    page.get_by_role("button", name="Show the elements").click()
    page.get_by_role("heading", name="Download").wait_for()
    page.get_by_role("button", name="New link").click()
    page.get_by_role("button", name="Create link").click()
    page.get_by_role("listitem").filter(has_text="link-created").wait_for()
    assert f'dataset="{ui.dataset}"' in page.locator("#lines").text_content()
    assert ui.token not in page.locator("#lines").text_content()
    assert complaints == []


def test_neuroglancer_draws_the_sample(ui: Ui, browser) -> None:
    if client_folder() is None:
        pytest.skip("the package neuroglancer is not installed: its client opens no link")
    ui.link("For Neuroglancer", "em")
    page, _ = ui.sign_in(browser, viewport={"width": 800, "height": 600})
    page.get_by_role("link", name="Links").click()
    page.get_by_role("button", name="Open in").click()
    opener = page.get_by_role("link", name="Open in Neuroglancer")
    opener.wait_for()
    with page.context.expect_page() as opened:
        opener.click()
    viewer = opened.value
    viewer.wait_for_function("() => window.viewer?.isReady()", timeout=30_000)
    shown = np.array(Image.open(io.BytesIO(viewer.locator("canvas").first.screenshot())).convert("L"), float)
    height, width = shown.shape
    # The first of four panels, xy, around the middle: grey values of neuropil, and not one grey.
    xy = shown[height // 8 : height // 2 - height // 16, width // 8 : width // 2 - width // 8]
    em = next(layer for layer in sample_layers(SIZE, 7) if layer.name == "em").volumes[MAGS[0]]
    assert abs(xy.mean() - em.mean()) < 30
    assert xy.std() > em.std() / 3
    keep_picture(viewer, "neuroglancer")
