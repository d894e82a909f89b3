"""`<download-panel>` in a real browser against the real server: exports and downloads are followed to their last voxel."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import tifffile
import zarr

from builders.annotation_zips import TREE, Volume, nml, voxels, wkw_data, zip_of
from builders.bare_page import drag, open_elements, own_complaints
from builders.browser import CHROMIUM, barriers, chromium, keep_picture
from builders.webknossos_library import NOT_THERE, PYTHON
from builders.wkw_files import LayerFiles, dataset, noise, pyramid, ramp, write_tree
from end_to_end.conftest import Served, serve  # noqa: F401 (a fixture)
from zarrlink.geometry import BoundingBox, Mag

MAGS = (Mag(1, 1, 1), Mag(2, 2, 1))
SIZE = (160, 128, 64)
EM = noise(SIZE)
CELLS = ramp(SIZE, "uint32")
# Of this many voxels no file may hold all, in the coarser mag any may.
HUGE = BoundingBox((0, 0, 0), (100_000, 100_000, 100_000))
BOX = '<userBoundingBox id="1" name="Soma" isVisible="true" topLeftX="40" topLeftY="4" topLeftZ="8" width="16" height="20" depth="4" />'


@dataclass
class Site:
    """A server, and somebody who is signed in."""

    served: Served
    token: str
    datasets: dict[str, str]

    def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        answer = httpx2.request(method, self.served.address + path, headers={"X-Auth-Token": self.token}, **more)
        assert answer.is_success, answer.text
        return answer

    def upload(self, file: bytes) -> str:
        answer = self.ask(
            "POST",
            "/api/annotations/upload",
            files={"file": ("cells.zip", file)},
            data={"datasetId": self.datasets["mouse"]},
        )
        return str(answer.json()["annotation"]["id"])

    def painted(self, annotation: str) -> np.ndarray:
        """The volume layer of an annotation, (z, y, x), as zarr reads it."""
        page = self.ask("POST", f"/api/annotations/{annotation}/view").json()["page"]
        return np.asarray(zarr.open_group(f"{page}v3/Volume.zarr", mode="r")["0"][...])


@pytest.fixture(scope="module")
def site(serve, tmp_path_factory: pytest.TempPathFactory) -> Site:  # noqa: F811
    folder = tmp_path_factory.mktemp("downloads")
    stored = {"block_side": 32, "file_side": 4}
    em = LayerFiles("em", pyramid(EM, MAGS), **stored)
    cells = LayerFiles("cells", pyramid(CELLS, MAGS[:1]), category="segmentation", **stored)
    write_tree(dataset(em, cells), folder / "data" / "mouse")
    corner = {mag: np.ones((1, 1, 1), np.uint8) for mag in (Mag(1, 1, 1), Mag(16, 16, 16), Mag(64, 64, 64))}
    write_tree(dataset(LayerFiles("em", corner, box=HUGE, block_side=32)), folder / "data" / "huge")
    served = serve(folder / "state.sqlite", folder / "data")
    token = served.zarrlink("users", "add", "ann")["token"]
    return Site(served, token, {found["name"]: found["id"] for found in served.zarrlink("datasets", "list")})


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    if CHROMIUM is None:
        pytest.skip("no Chromium: the panel is not tried in a browser")
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def annotation(site: Site) -> str:
    """A skeleton, a box, and one block painted at (1, 0, 0) over the layer `cells`."""
    volume = Volume(data=zip_of(wkw_data({"1": {(1, 0, 0): voxels(1)}})), fallback_layer="cells")
    text = nml(volume, skeleton=TREE).replace(b"</parameters>", BOX.encode() + b"</parameters>")
    return site.upload(zip_of({"cells.nml": text, "data_Volume.zip": volume.data}))


def open_panel(browser, site: Site, subject: str, **context):
    body = f'<download-panel token="{site.token}" {subject}></download-panel>'
    page, complaints = open_elements(browser, site.served.address, "download_panel.js", body, **context)
    page.evaluate(
        """() => { window.events = [];
        for (const name of ['export-started', 'export-finished', 'box-changed'])
            addEventListener(name, ({ detail }) => window.events.push([name, detail])); }"""
    )
    page.get_by_role("tab", name="TIFF Export").click()
    return page, complaints


def result(page, folder: Path) -> Path:
    """The file that the uppermost job's button downloads, once an export that was started on this page is done."""
    page.wait_for_function("() => window.events.some(([name]) => name === 'export-finished')")
    page.get_by_role("listitem").first.get_by_text(re.compile("^done · ")).wait_for()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download ").first.click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path


def sides(*lengths: int) -> str:
    return " \N{MULTIPLICATION SIGN} ".join(map(str, lengths))


def cut(volume: np.ndarray, box: list[int]) -> np.ndarray:
    x, y, z, width, height, depth = box
    return volume[z : z + depth, y : y + height, x : x + width]


def test_a_box_drawn_on_the_picture_becomes_a_file_of_its_voxels(site: Site, browser, tmp_path: Path) -> None:
    page, complaints = open_panel(
        browser, site, f'dataset="{site.datasets["mouse"]}"', viewport={"width": 1000, "height": 1400}
    )
    page.get_by_label("Box", exact=True).select_option("Drawn on the picture")
    page.get_by_text("Draw a box on the picture").wait_for()
    page.locator("[data-plane=xy] canvas.image").wait_for()
    drag(page, page.get_by_role("application", name="Picture xy"), (0.25, 0.25), (0.75, 0.5))
    drag(page, page.get_by_role("application", name="Picture xz"), (0.5, 0.99), (0.5, 0.25))
    box = page.evaluate("() => document.querySelector('download-panel').box")
    assert np.allclose(box, [40, 32, 0, 80, 32, 16], atol=1)
    page.get_by_text(re.compile(rf"^About .* in about .*: {sides(*box[3:])} voxels")).wait_for()
    assert barriers(page) == []
    keep_picture(page, "download-panel")
    page.get_by_role("button", name="Start export").click()
    assert np.array_equal(tifffile.imread(result(page, tmp_path), level=0), cut(EM, box))
    names = [name for name, _ in page.evaluate("() => window.events")]
    assert [name for name in names if name != "box-changed"] == ["export-started", "export-finished"]
    assert "box-changed" in names
    assert re.search(r"kept until \d{4}-\d\d-\d\d \(in 7 days\)", page.get_by_role("listitem").first.inner_text())
    assert site.token not in page.evaluate("() => document.querySelector('download-panel').shadowRoot.innerHTML")
    assert own_complaints(complaints) == []


def test_a_stack_of_the_coarser_mag_by_the_keyboard_alone(site: Site, browser, tmp_path: Path) -> None:
    page, _ = open_panel(browser, site, f'dataset="{site.datasets["mouse"]}"')
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowDown")  # from OME-TIFF to the stack
    page.keyboard.press("Tab")  # the layer
    page.keyboard.press("Tab")
    page.keyboard.type("Drawn")
    page.get_by_role("button", name="Draw a box").wait_for()
    page.get_by_role("spinbutton", name="x", exact=True).focus()
    for number in (10, 20, 4, 30, 40, 5):
        page.keyboard.type(str(number))
        page.keyboard.press("Tab")
    page.get_by_role("slider", name="Mag").press("ArrowRight")
    page.get_by_text(f"2-2-1: {sides(16, 16, 25)} nm a voxel, {sides(15, 20, 5)} voxels").wait_for()
    page.get_by_role("button", name="Start export").press("Enter")
    with zipfile.ZipFile(result(page, tmp_path)) as stack:
        names = sorted(name for name in stack.namelist() if name.endswith(".tif"))
        found = np.stack([tifffile.imread(io.BytesIO(stack.read(name))) for name in names])
    assert np.array_equal(found, pyramid(EM, MAGS)[MAGS[1]][4:9, 10:30, 5:20])


def test_what_is_too_large_is_said_with_the_mag_that_fits(site: Site, browser) -> None:
    page, _ = open_panel(browser, site, f'dataset="{site.datasets["huge"]}"')
    mag = page.get_by_role("slider", name="Mag")
    page.get_by_text(f"16: {sides(128, 128, 400)} nm a voxel, {sides(6250, 6250, 6250)} voxels").wait_for()
    page.get_by_text(re.compile("^About ")).wait_for()
    mag.press("Home")
    page.get_by_role("alert").get_by_text(re.compile("mag 16 fits")).wait_for()
    assert page.get_by_role("button", name="Start export").is_disabled()
    page.get_by_role("button", name="Use mag 16").click()
    page.get_by_text(re.compile("^About ")).wait_for()
    assert page.get_by_role("button", name="Start export").is_enabled()


def test_a_job_is_cancelled_tried_again_and_removed(site: Site, browser) -> None:
    page, _ = open_panel(browser, site, f'dataset="{site.datasets["huge"]}"')
    page.get_by_text(re.compile("^About ")).wait_for()
    page.get_by_role("button", name="Start export").click()
    job = page.get_by_role("listitem")
    job.get_by_role("progressbar").wait_for()
    for again in (True, False):
        job.get_by_role("button", name="Cancel").click()
        job.get_by_text(re.compile("^cancelled · ")).wait_for()
        if again:
            job.get_by_role("button", name="Try again").click()
            job.get_by_text(re.compile("^(waiting|running), ")).wait_for()
    keep_picture(page, "jobs")
    job.get_by_role("button", name="Remove:").click()
    job.get_by_role("button", name="Remove the job and its file").click()
    page.get_by_text("No exports yet.").wait_for()
    left = site.ask("GET", "/api/jobs").json()
    assert site.datasets["huge"] not in {other["commandArgs"]["dataset_id"] for other in left}


@pytest.mark.parametrize("choice", ["With volumes as WKW", "With volumes as Zarr", "NML only"])
def test_an_annotations_download_is_read_again(
    site: Site, browser, annotation: str, tmp_path: Path, choice: str
) -> None:
    page, complaints = open_panel(browser, site, f'annotation="{annotation}"')
    page.get_by_role("tab", name="Download").click()
    page.get_by_text("(the fallback layer) is not part of the download").wait_for()
    page.get_by_label(choice).check()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download").click()
    path = tmp_path / "again.zip"
    waiting.value.save_as(path)
    page.get_by_text("The download begins.").wait_for()
    with zipfile.ZipFile(path) as archive:
        assert ("data_Volume.zip" in archive.namelist()) == (choice != "NML only")
    again = site.painted(site.upload(path.read_bytes()))
    block = np.frombuffer(voxels(1), "<u4").reshape(32, 32, 32)
    assert np.array_equal(again[:32, :32, 32:64], CELLS[:32, :32, 32:64] if choice == "NML only" else block)
    assert own_complaints(complaints) == []


def test_an_annotations_box_and_layer_are_exported(site: Site, browser, annotation: str, tmp_path: Path) -> None:
    page, _ = open_panel(browser, site, f'annotation="{annotation}"')
    page.get_by_label("Layer", exact=True).select_option("Volume (annotation)")
    page.get_by_label("Box", exact=True).select_option("Soma")
    page.get_by_text("40, 4, 8, 16, 20, 4 (x, y, z, width, height, depth").wait_for()
    page.get_by_role("button", name="Start export").click()
    expected = np.frombuffer(voxels(1), "<u4").reshape(32, 32, 32)[8:12, 4:24, 8:24]
    assert np.array_equal(tifffile.imread(result(page, tmp_path), level=0), expected)
    told = page.evaluate("() => window.events.findLast(([name]) => name === 'box-changed')[1].box")
    assert told == [40, 4, 8, 16, 20, 4]


def test_an_annotations_panel_exports_layers_of_its_dataset_too(
    site: Site, browser, annotation: str, tmp_path: Path
) -> None:
    page, _ = open_panel(browser, site, f'annotation="{annotation}"')
    page.get_by_role("button", name="Start export").click()
    assert result(page, tmp_path).stat().st_size > 0


def copied(page, name: str) -> str:
    """The lines of a tool, as its button copies them."""
    page.get_by_role("button", name=f"Copy the lines for {name}").click()
    page.get_by_text(re.compile(f"^Copied the lines for {name}")).wait_for(state="attached")
    return str(page.evaluate("() => navigator.clipboard.readText()"))


def run(code: str, folder: Path, token: str = "", python: str = sys.executable) -> str:
    """What lines of Python print, started in a folder; `token`: what WK_TOKEN is."""
    environment = {**os.environ, "WK_TOKEN": token, "WEBKNOSSOS_SKIP_VERSION_CHECK": "True"}
    if python != sys.executable:
        environment.pop("PYTHONPATH", None)
    run = subprocess.run([python, "-c", code], cwd=folder, check=False, capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr[-2000:]
    return run.stdout.strip()


def test_the_lines_of_python_run_and_hold_the_token_only_on_request(site: Site, browser, tmp_path: Path) -> None:
    page, _ = open_panel(browser, site, f'dataset="{site.datasets["mouse"]}"')
    page.get_by_role("tab", name="Python").click()
    code = copied(page, "zarr")
    assert site.token not in code
    shown = tuple(slice(side // 2, side // 2 + 64) for side in EM.shape)
    assert run(code, tmp_path, site.token) == str(EM[shown])

    page.get_by_role("button", name="Put my token into the lines").click()
    page.get_by_role("alert").get_by_text("The lines below hold your personal token.").wait_for()
    assert barriers(page) == []
    code = copied(page, "TIFF export")
    assert site.token in code
    page.get_by_text("Your clipboard now holds private data").wait_for(state="attached")
    assert np.array_equal(tifffile.imread(tmp_path / run(code, tmp_path), level=0), EM)
    page.get_by_role("button", name="Take my token out").click()
    assert site.token not in page.get_by_role("tabpanel").inner_text()


@pytest.mark.skipif(not PYTHON.exists(), reason=NOT_THERE)
def test_the_lines_for_webknossos_run(site: Site, browser, annotation: str, tmp_path: Path) -> None:
    page, _ = open_panel(browser, site, f'dataset="{site.datasets["mouse"]}"')
    page.get_by_role("tab", name="Python").click()
    code = copied(page, "webknossos") + "\nprint(voxels.sum())"
    assert run(code, tmp_path, site.token, str(PYTHON)).endswith(str(EM[0, :64, :64].sum()))
    page, _ = open_panel(browser, site, f'annotation="{annotation}"')
    page.get_by_role("tab", name="Python").click()
    lines = run(copied(page, "webknossos"), tmp_path, site.token, str(PYTHON))
    assert lines.splitlines()[-2:] == ["cells 1 trees", "['Volume', 'cells', 'em']"]


def test_the_lines_that_download_an_annotation_run(site: Site, browser, annotation: str, tmp_path: Path) -> None:
    page, _ = open_panel(browser, site, f'annotation="{annotation}"')
    page.get_by_role("tab", name="Python").click()
    run(copied(page, "Download"), tmp_path, site.token)
    with zipfile.ZipFile(tmp_path / "annotation.zip") as archive:
        assert "data_Volume.zip" in archive.namelist()


def test_a_picture_whose_address_ended_gets_another(site: Site, browser) -> None:
    page, _ = open_panel(browser, site, f'dataset="{site.datasets["mouse"]}"')
    page.get_by_label("Box", exact=True).wait_for()
    gone = '{"title": "Gone", "status": 410, "detail": "It has ended."}'
    page.route(
        "**/v2/em.zarr/0/1/**",
        lambda route: route.fulfill(status=410, content_type="application/problem+json", body=gone),
        times=1,
    )
    with page.expect_response("**/view"):
        page.get_by_text("Draw the box on the picture").click()
    page.wait_for_function(
        """() => document.querySelector('download-panel').shadowRoot.querySelector('ortho-view').shadowRoot
            .querySelectorAll('canvas.image:not([hidden])').length === 3"""
    )
    assert not page.get_by_text("It has ended.").is_visible()


def test_a_stranger_is_told_to_sign_in(site: Site, browser) -> None:
    body = f'<download-panel dataset="{site.datasets["mouse"]}"></download-panel>'
    page, _ = open_elements(browser, site.served.address, "download_panel.js", body)
    page.get_by_role("alert").get_by_text("Sign in to see this.").wait_for()
