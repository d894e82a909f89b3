"""The harness of `make clients` finds bugs that are planted, says nothing secret, and holds nothing against a right server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from builders.wkw_files import noise
from clients import bundled_viewers, matrix, names, needs, report
from clients.known import REASONS, is_excused, reason_of
from clients.matrix import Outcome, run_client, told
from clients.planted import Bug, planted
from clients.sites import Version
from clients.volumes import Shown, Volume, shown_layers
from zarrlink.geometry import Mag

SESSION = str(Path(__file__).parent / "readers" / "session.py")
CLIENT = "zarr-python (fsspec)"
LAYER = Shown("em", "grey uint8", "color", {Mag(1, 1, 1): noise((40, 32, 24))}, (0, 0, 0))


def outcome(bug: Bug, version: str = "v2") -> Outcome:
    with planted(bug) as site:
        command = [sys.executable, SESSION, CLIENT, version]
        (found,) = run_client(CLIENT, command, version, site, [LAYER])
    return found


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_a_right_server_passes(version: str) -> None:
    assert outcome("none", version) == Outcome(CLIENT, version, "em", "passed")


@pytest.mark.parametrize(
    ("bug", "verdict", "words"),
    [
        ("wrong voxel", "wrong voxels", "level 0: 1 of 30720 voxels"),
        ("chunk lost", "wrong voxels", "level 0: "),
        ("absent when revoked", "read after revocation", "what was open before: fill value in place of voxels"),
        ("never revoked", "read after revocation", "what was open before: the voxels as before"),
        ("other type", "wrong voxels", "level 0: int8 in place of uint8"),
    ],
)
def test_a_planted_bug_is_found(bug: Bug, verdict: str, words: str) -> None:
    found = outcome(bug)
    assert found.verdict == verdict
    assert found.words.startswith(words)


def test_a_client_that_never_answers_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "LIMIT_S", 5.0)
    found = outcome("hangs")
    assert (found.verdict, found.words) == ("no answer", "no answer within 5 s")


def test_a_client_that_dies_is_told_of() -> None:
    with planted("none") as site:
        (found,) = run_client("any", [sys.executable, "-c", "raise SystemExit(3)"], "v2", site, [LAYER])
    assert (found.verdict, found.words) == ("no answer", "its process ended with status 3")


def test_a_failure_on_a_link_that_nobody_explained_is_named() -> None:
    mine = Outcome("zarr-python (fsspec)", "v3", "em", "wrong voxels", "level 0: 1 of 8 voxels")
    theirs = Outcome("cloud-volume", "v3", "em", "failed to read", "sharded volumes are not currently supported.")
    results = report.Results("Links", {("zarr-python (fsspec)", "v3"): [mine], ("cloud-volume", "v3"): [theirs]})
    assert results.unexplained() == [mine]
    assert reason_of(theirs) is not None
    versions = {mine.client: "1", theirs.client: "2"}
    shown = report.page("today", [("em", "grey")], versions, [results], {})
    assert "Not explained yet" in shown
    assert "take the v2 address" in shown


@pytest.mark.parametrize(
    "failure",
    [
        Outcome("vizarr (Chromium)", "v3", "em", "wrong voxels", "plane 37: 100 of 31930 pixels"),
        Outcome(
            "itk-vtk-viewer (Chromium)", "v2", "em", "failed to read", "AxiosError: Request failed with status code 404"
        ),
        Outcome("cloud-volume", "v3", "em", "failed to read", "ValueError: operands could not be broadcast together"),
        Outcome("cloud-volume", "v3", "rgb", "failed to read", "sharded volumes are not currently supported."),
        Outcome("Viv's loader", "v2", "em", "failed to read", "TypeError: Cannot convert 0 to a BigInt"),
        Outcome("ome-zarr.js", "v3", "rgb", "failed to read", "Order length must match the number of dimensions."),
    ],
)
def test_what_is_known_of_a_cell_excuses_no_other(failure: Outcome) -> None:
    assert report.Results("Links", {(failure.client, failure.version): [failure]}).unexplained() == [failure]


def test_what_is_excused_and_passes_is_told() -> None:
    right = Outcome("vizarr (Chromium)", "v3", "rgb", "passed")
    found = {("vizarr (Chromium)", right.version): [right]}
    assert report.to_look_into(report.Results("Links", found)) == [
        "Links: excused, and passes: vizarr (Chromium) v3 rgb: take it out of known.py"
    ]
    assert report.to_look_into(report.Results("A folder", found, static=True)) == []


def test_the_cells_that_are_known_are_those_that_fail_on_the_page() -> None:
    """Cells that clients have changed in since are told of by `make clients` itself."""
    page = (Path(__file__).parents[2] / "docs" / "clients.md").read_text()
    used = set()
    for title, static in (("Links of `zarrlink serve`", False), (names.STATIC, True)):
        table = page.partition(f"## {title}\n")[2].split("\n## ")[0].strip().splitlines()
        heads = [head.strip(" `").split(" `") for head in table[0].split("|")[2:-1]]
        assert len(table) > 20
        for row in table[2:]:
            client, *marks = (cell.strip() for cell in row.split("|")[1:-1])
            for (version, layer), mark in zip(heads, marks, strict=True):
                cell = Outcome(client, cast("Version", version), layer, "passed")
                assert is_excused(cell, static=static) == (mark not in ("✓", "-")), f"{title}: {cell}"
                used |= {(reason, static) for reason in REASONS if reason.is_of(cell, static=static)}
    assert used == {
        (reason, static) for reason in REASONS for static in (True, False) if (reason.folder, reason.links)[not static]
    }


def test_what_excuses_a_static_folder_excuses_no_link() -> None:
    zeros = "what was open before: fill value in place of voxels, and no error"
    found = {("dask", "v2"): [Outcome("dask", "v2", "em", "read after revocation", zeros)]}
    assert not report.Results("A folder", found, static=True).unexplained()
    assert report.Results("Links", found).unexplained()


def without(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`make clients` where there is no program at all."""
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root / part) for part in ("tests", "shared", "local")])
    return subprocess.run(
        [sys.executable, "-m", "clients.run", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": str(tmp_path), "PYTHONPATH": path},
    )


def test_a_client_that_cannot_be_tried_here_is_no_success(tmp_path: Path) -> None:
    run = without(tmp_path, "--only", "neuroglancer")
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("nothing was tried: Neuroglancer (Chromium): no Chromium here")
    assert run.stderr.count("\n") == 1


def test_what_is_left_out_is_named_with_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(needs, "CHROMIUM", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(needs, "NEWEST", Path(sys.executable))
    left_out, is_somebody_left = needs.left_out("tensorstore")
    assert (left_out, is_somebody_left) == ({names.STATIC: "no nginx here"}, True)
    left_out, is_somebody_left = needs.left_out("")
    assert is_somebody_left
    assert {names.NEUROGLANCER, names.VIZARR, names.ITK_VTK, names.STATIC, *names.JAVASCRIPT_CLIENTS} <= set(left_out)
    line = "Neuroglancer (Chromium), vizarr (Chromium), itk-vtk-viewer (Chromium): no Chromium here"
    assert any(told.startswith(line) for told in needs.told(left_out))
    shown = report.page("today", [], {}, [report.Results("Links", {})], left_out)
    assert f"**LEFT OUT** of this run: {'; '.join(needs.told(left_out))}." in shown


@pytest.mark.parametrize(
    ("passed", "address"),
    [
        ({"v2": "ab", "v3": "ab"}, "v2, v3"),
        ({"v2": "ab", "v3": ""}, "v2"),
        ({"v2": "a", "v3": "ab"}, "v3"),
        ({"v2": "a", "v3": "b"}, "v2; B: v3"),
        ({"v2": "a", "v3": "a"}, "v2, v3; B: none"),
        ({"v2": "", "v3": ""}, "none"),
    ],
)
def test_a_tool_is_given_the_address_that_it_reads(passed: dict[Version, str], address: str) -> None:
    outcomes = {
        ("x", version): [
            Outcome("x", version, layer, "passed" if layer in layers else "failed to open") for layer in "ab"
        ]
        for version, layers in passed.items()
    }
    assert report.Results("Links", outcomes).address("x", [("a", "A"), ("b", "B")]) == address


def test_a_client_that_there_is_not_is_named_with_those_that_there_are() -> None:
    command = [sys.executable, str(Path(names.__file__)), "nope"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert run.stderr.startswith("no client has “nope” in its name; there are: zarr-python (fsspec), ")
    assert run.stderr.count("\n") == 1
    assert names.named("CLOUD", names.NAMES) == ["cloud-volume"]
    assert names.named("", names.NAMES) == list(names.NAMES)


def in_window(voxels: Volume) -> Volume:
    """A plane's colours as vizarr puts them into its window."""
    return np.pad(voxels.repeat(4, 0).repeat(4, 1), ((50, 50), (50, 50), (0, 0)), constant_values=255)


def test_one_wrong_pixel_of_vizarrs_is_found() -> None:
    levels = [np.moveaxis(noise(size, channels=3), 3, 0) for size in ((30, 20, 8), (15, 10, 8))]
    expected = bundled_viewers.vizarrs_colours(levels, 5)
    picture = in_window(np.moveaxis(levels[0][:, 5], 0, -1))
    assert bundled_viewers.wrong_pixels(picture, expected) == ""
    picture[54:58, 58:62, 1] ^= 4
    assert bundled_viewers.wrong_pixels(picture, expected) == "1 of 600 pixels"
    assert bundled_viewers.wrong_pixels(np.full_like(picture, 255), expected) == "nothing drawn"


def test_a_picture_of_another_plane_is_not_like_this_one() -> None:
    level = noise((60, 40, 8))
    picture = np.full((400, 500, 3), (255, 0, 255), np.uint8)
    picture[100:220, 100:280] = level[4].repeat(3, 0).repeat(3, 1)[..., None]
    assert bundled_viewers.likeness(picture, level) > 0.99
    assert abs(bundled_viewers.likeness(picture, np.roll(level, 3, 0))) < 0.1
    assert bundled_viewers.likeness(np.full_like(picture, (255, 0, 255)), level) == 0


def test_a_picture_of_ids_is_like_them_in_any_colours() -> None:
    cells = np.kron(np.arange(24).reshape(2, 4, 3), np.ones((4, 10, 20), int))
    colours = noise((3, 24, 1))[0]
    picture = np.full((400, 500, 3), (255, 0, 255), np.uint8)
    ids = cells + 10**6 * (cells == 17)
    picture[100:220, 100:280] = colours[cells[4]].repeat(3, 0).repeat(3, 1)
    assert bundled_viewers.likeness(picture, ids) > 0.99
    picture[100:220, 100:280] = noise((3, 180, 120))
    assert bundled_viewers.likeness(picture, ids) < 0.2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("410 http://127.0.0.1:8123/zarr/a7qIWz_-M4/v3/em.zarr/0/c/1/2/3\nmore", "410 ADDRESS/v3/em.zarr/0/c/…"),
        ("no such file /home/ana/x.npy here", "no such file FOLDER here"),
        ("GET http://127.0.0.1:1/abc-d/v2.zarr/0/0/0/1 in 10.08ms - gone", "GET ADDRESS/v2.zarr/0/… in N s - gone"),
        ("", ""),
    ],
)
def test_what_is_said_holds_no_secret_and_nothing_of_this_machine(words: str, said: str) -> None:
    assert told(words) == said


def test_the_layers_are_what_their_names_say() -> None:
    by_name = {layer.name: layer for layer in shown_layers()}
    finest = {name: next(iter(layer.levels.values())) for name, layer in by_name.items()}
    assert {name: str(volume.dtype) for name, volume in finest.items()} == {
        "em": "uint8",
        "rgb": "uint8",
        "segmentation": "uint32",
        "ids": "uint64",
        "Volume": "uint32",
    }
    assert finest["rgb"].shape[3] == 3
    assert finest["ids"].max() > 2**53, "more than a double can hold"
    painted = finest["Volume"] != finest["segmentation"]
    assert painted.any()
    assert not painted.all()
    for layer in by_name.values():
        assert all(np.any(level) for level in layer.levels.values()), "a level of zeros would prove nothing"
