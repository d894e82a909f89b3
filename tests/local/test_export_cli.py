"""`zarrlink export` and `zarrlink jobs`, of datasets and of links."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from builders.annotation_zips import Volume, annotation_zip, voxels, wkw_data, zip_of
from builders.commands import Result
from builders.foreign_arrays import write_zarr3
from builders.foreign_datasets import describe, entry
from builders.local_jobs import until, workers
from builders.loopback import served
from builders.tiff_readers import by_tifffile
from builders.wkw_files import LayerFiles, dataset, noise, pyramid, ramp, write_tree
from zarrlink.formats.wkw import BlockType
from zarrlink.geometry import BoundingBox, Mag
from zarrlink_local import server
from zarrlink_local.jobs import steps
from zarrlink_local.machine import Machine, open_machine
from zarrlink_local.scan import register_below

ONE, TWO = Mag(1, 1, 1), Mag(2, 2, 1)
START = (40, 16, 8)
EM = ramp((90, 70, 20), "uint16")
SEG = (noise((64, 64, 64), "uint64", seed=1) % 5) * 2**40
COLOURS = ramp((40, 30, 8), channels=3)
MOVIE = np.random.default_rng(0).integers(0, 255, (4, 6, 20, 30), np.uint8)


class Watched:
    """A server's application; `answer`, where set, is the status that chunks get, after `first` of them."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.answer: int | None = None
        self.first = 0
        self.times = 10**9
        self.chunks = 0
        self.then: Callable[[], object] = int

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.chunks == self.first:
            self.then()
        self.chunks += (is_chunk := "/c/" in scope["path"])
        if is_chunk and self.answer is not None and self.first < self.chunks <= self.first + self.times:
            kind = (b"content-type", b"application/problem+json")
            body = b'{"detail": "a stored file is damaged: a block is cut short"}'
            await send({"type": "http.response.start", "status": self.answer, "headers": [kind]})
            await send({"type": "http.response.body", "body": body})
        else:
            await self.app(scope, receive, send)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    home = tmp_path_factory.mktemp("home")
    machine = open_machine(home / "state.sqlite")
    write_tree(
        dataset(
            LayerFiles("e m", pyramid(EM, (ONE, TWO), START), top_left=START),
            LayerFiles("segmentation", {ONE: SEG}, category="segmentation", block_side=32),
            LayerFiles("rgb", {ONE: COLOURS}),
        ),
        home / "mouse",
    )
    write_zarr3(home / "film/movie/1", MOVIE, (1, 3, 10, 10))
    axes = [{"name": "t", "bounds": [1, 4], "index": 0}]
    describe(home / "film", entry("movie", "zarr3", "uint8", (30, 20, 6), order="tzyx", additionalAxes=axes))
    for name in ("mouse", "film"):
        register_below(home / name, machine.catalogue, 1, pytest.fail)
    return machine


@pytest.fixture(scope="module")
def address(machine: Machine) -> Iterator[tuple[str, Watched]]:
    watched = Watched(server.create_app(machine, "http://127.0.0.1"))
    with served(watched) as address:
        machine.set_address(address)
        yield address, watched


@pytest.fixture
def watched(address: tuple[str, Watched]) -> Watched:
    found = address[1]
    found.answer, found.first, found.times, found.chunks, found.then = None, 0, 10**9, 0, int
    return found


@pytest.fixture
def link(address: tuple[str, Watched], machine: Machine, capsys: Any) -> Any:
    """The address of a new link to a dataset."""

    def make(name: str, *options: str) -> str:
        made = Result(capsys, "links", "create", name, *options, "--state", machine.file.path, "--json").json
        return str(made["page"])

    return make


@pytest.fixture(params=["dataset", "link"])
def source(request: pytest.FixtureRequest, machine: Machine) -> Any:
    """From a dataset's name to the arguments that name it: by itself, or by a link to it."""
    if request.param == "dataset":
        return lambda name: (name, "--state", str(machine.file.path))
    link = request.getfixturevalue("link")
    return lambda name: (link(name),)


def export(capsys: Any, kind: str, named: tuple[str, ...], layer: str, target: Path, *options: object) -> Result:
    name, *state = named
    return Result(capsys, "export", kind, name, layer, "-o", target, "--workers", 1, *state, *options)


def heeding_signals() -> None:
    """As from a terminal: what a script starts in the background, or nohup, ignores these."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def revoke_all(machine: Machine) -> None:
    for found in machine.links.of_owner(None):
        machine.links.revoke(found.id, None, 1)


def written(result: Result) -> list[str]:
    """The names of the files that an export tells of."""
    return [Path(file["file"]).name for file in result.json["files"]]


def test_a_whole_layer(capsys: Any, source: Any, tmp_path: Path) -> None:
    result = export(capsys, "ome-tiff", source("mouse"), "e m", tmp_path / "a.ome.tif", "--json")
    assert written(result) == ["a.ome.tif"]
    np.testing.assert_array_equal(by_tifffile(tmp_path / "a.ome.tif", (1, 20))[0][0], EM)
    assert [path.name for path in tmp_path.iterdir()] == ["a.ome.tif"]
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        assert 'PhysicalSizeX="0.008"' in (file.ome_metadata or "")
        assert "/zarr/" not in (file.ome_metadata or ""), "a link's address is a secret"


def test_a_file_may_have_a_hidden_name(capsys: Any, source: Any, tmp_path: Path) -> None:
    result = export(capsys, "ome-tiff", source("mouse"), "e m", tmp_path / ".a.ome.tif", "--json")
    assert written(result) == [".a.ome.tif"]
    assert [path.name for path in tmp_path.iterdir()] == [".a.ome.tif"]


def test_a_box_lies_where_it_does_in_the_dataset(capsys: Any, source: Any, tmp_path: Path) -> None:
    options = ("--bbox", "51,21,10,31,20,5", "--mag", "2-2-1", "--compression", "none", "--levels", "2")
    assert export(capsys, "ome-tiff", source("mouse"), "e m", tmp_path / "a.tif", *options).status == 0
    fine, coarse = by_tifffile(tmp_path / "a.tif", (1, 5))
    np.testing.assert_array_equal(fine[0], pyramid(EM, (TWO,), START)[TWO][2:7, 2:13, 5:21])
    assert coarse.shape[-2:] == (6, 8)
    assert export(capsys, "tiff-stack", source("mouse"), "e m", tmp_path / "a.zip", *options[:4]).status == 0
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        planes = [tifffile.imread(BytesIO(archive.read(f"e_m_z{z:04d}.tif"))) for z in range(10, 15)]
    np.testing.assert_array_equal(np.stack(planes), fine[0])


def test_wide_ids_are_renumbered_with_a_table_beside(capsys: Any, source: Any, tmp_path: Path) -> None:
    result = export(capsys, "ome-tiff", source("mouse"), "segmentation", tmp_path / "s.tif", "--json")
    assert written(result) == ["s.tif", "s.tif.ids.csv"]
    table = np.loadtxt(tmp_path / "s.tif.ids.csv", np.uint64, delimiter=",", skiprows=1)
    stored = np.concatenate([[0], table[:, 1]]).astype(np.uint64)
    shown = by_tifffile(tmp_path / "s.tif", (1, 64))[0][0]
    assert shown.dtype == np.uint32
    np.testing.assert_array_equal(stored[shown], SEG)
    kept = (tmp_path / "s.tif.ids.csv").read_bytes()
    again = export(capsys, "ome-tiff", source("mouse"), "segmentation", tmp_path / "s.tif", "--wide", "narrow")
    assert "--force" in again.refusal
    forced = export(
        capsys, "ome-tiff", source("mouse"), "segmentation", tmp_path / "s.tif", "--wide", "keep", "--force"
    )
    assert forced.status == 0
    assert {path.name for path in tmp_path.iterdir()} == {"s.tif", "s.tif.ids.csv"}
    assert (tmp_path / "s.tif.ids.csv").read_bytes() == kept, "what this export does not write stays"
    np.testing.assert_array_equal(np.stack([tifffile.imread(tmp_path / "s.tif")])[0], SEG)


def test_a_table_that_is_there_stands_in_the_way_of_another_alone(capsys: Any, source: Any, tmp_path: Path) -> None:
    table = tmp_path / "s.tif.ids.csv"
    table.write_text("mine")
    kept = export(capsys, "ome-tiff", source("mouse"), "segmentation", tmp_path / "s.tif", "--wide", "keep")
    assert (kept.status, table.read_text()) == (0, "mine")
    (tmp_path / "s.tif").unlink()
    again = export(capsys, "ome-tiff", source("mouse"), "segmentation", tmp_path / "s.tif")
    assert "s.tif.ids.csv is there already" in again.refusal
    assert [path.name for path in tmp_path.iterdir()] == ["s.tif.ids.csv"]
    forced = export(capsys, "ome-tiff", source("mouse"), "segmentation", tmp_path / "s.tif", "--force")
    assert forced.status == 0
    assert table.read_text().startswith("id,stored_id")


def test_what_a_killed_export_left_is_removed_by_the_next(capsys: Any, machine: Machine, tmp_path: Path) -> None:
    """Not what one that runs has put there, nor what is not an export's."""
    from zarrlink_local.work_folder import work_folder

    named = ("mouse", "--state", str(machine.file.path))
    program = (
        "import os, pathlib, sys\n"
        "from zarrlink_local.work_folder import work_folder\n"
        "with work_folder(pathlib.Path(sys.argv[1])) as folder:\n"
        "    (folder / 'results').mkdir()\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "b.tif")], check=False)
    (left,) = tmp_path.iterdir()
    assert (left / "results").is_dir()
    other = tmp_path / ".a.tif.abcdefgh"
    other.mkdir()
    with work_folder(tmp_path / "c.tif") as running:
        assert export(capsys, "ome-tiff", named, "rgb", tmp_path / "a.tif").status == 0
        assert set(tmp_path.iterdir()) == {tmp_path / "a.tif", other, running}
    assert set(tmp_path.iterdir()) == {tmp_path / "a.tif", other}


def test_the_command_as_a_module() -> None:
    command = [sys.executable, "-m", "zarrlink_local.cli", "--version"]
    assert subprocess.run(command, check=True, capture_output=True).stdout.startswith(b"zarrlink, ")


def test_colours(capsys: Any, source: Any, tmp_path: Path) -> None:
    assert export(capsys, "ome-tiff", source("mouse"), "rgb", tmp_path / "c.tif").status == 0
    np.testing.assert_array_equal(by_tifffile(tmp_path / "c.tif", (1, 8))[0][0], COLOURS)


def test_a_coordinate_of_another_axis(capsys: Any, source: Any, tmp_path: Path) -> None:
    for t, options in ((1, ()), (3, ("--axis", "t=3"))):
        assert export(capsys, "ome-tiff", source("film"), "movie", tmp_path / f"{t}.tif", *options).status == 0
        np.testing.assert_array_equal(by_tifffile(tmp_path / f"{t}.tif", (1, 6))[0][0], MOVIE[t])
    assert "from 1 to 3" in export(capsys, "ome-tiff", source("film"), "movie", tmp_path / "x", "--axis", "t=0").refusal


def test_only_what_the_link_opens(capsys: Any, link: Any, tmp_path: Path) -> None:
    page = link("mouse", "--layer", "e m", "--box", "50,20,10,40,30,8", "--finest-mag", "2-2-1")
    assert export(capsys, "ome-tiff", (page,), "e m", tmp_path / "a.tif").status == 0
    np.testing.assert_array_equal(
        by_tifffile(tmp_path / "a.tif", (1, 8))[0][0], pyramid(EM, (TWO,), START)[TWO][2:10, 2:17, 5:25]
    )
    assert "opens e m" in export(capsys, "ome-tiff", (page,), "rgb", tmp_path / "b.tif").refusal
    assert "no mag 1" in export(capsys, "ome-tiff", (page,), "e m", tmp_path / "b.tif", "--mag", "1").refusal
    outside = export(capsys, "ome-tiff", (page,), "e m", tmp_path / "b.tif", "--bbox", "40,16,8,9,9,9")
    assert "outside" in outside.refusal


@pytest.mark.parametrize("status", [410, 403, 500, 502, 503])
def test_a_link_that_fails_is_never_fill(
    capsys: Any, link: Any, watched: Watched, tmp_path: Path, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "BACKOFF_S", (0.01, 0.01))
    page = link("mouse")
    watched.answer, watched.first = status, 12
    result = export(capsys, "ome-tiff", (page,), "e m", tmp_path / "a.tif")
    assert result.status == 2
    said = f"zarrlink: {page.split('/')[2]} answered {status}: a stored file is damaged: a block is cut short"
    if status in (500, 502, 503):
        assert result.err.splitlines()[-1].startswith(said + " (v3/e%20m.zarr/0/c/")
        # Some thirty shards, three times, and each time by tensorstore four times.
        assert watched.chunks < 600
    else:
        assert ("the link is dead" if status == 410 else said) in result.err
        assert watched.chunks < 60, "none is asked for again"
    assert watched.chunks > 12, "some were read"
    assert list(tmp_path.iterdir()) == []


def test_a_link_that_is_revoked_meanwhile_is_said_to_be(
    capsys: Any, link: Any, watched: Watched, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "BACKOFF_S", (0.01, 0.01))
    page = link("mouse")
    watched.first, watched.then = 12, lambda: revoke_all(machine)
    result = export(capsys, "ome-tiff", (page,), "e m", tmp_path / "a.tif")
    assert result.status == 2
    assert "revoked" in result.err
    assert list(tmp_path.iterdir()) == []


def test_a_link_that_is_busy_for_a_while_is_waited_for(
    capsys: Any, link: Any, watched: Watched, tmp_path: Path
) -> None:
    page = link("mouse")
    watched.answer, watched.first, watched.times = 503, 12, 5
    assert export(capsys, "ome-tiff", (page,), "e m", tmp_path / "a.tif").status == 0
    np.testing.assert_array_equal(by_tifffile(tmp_path / "a.tif", (1, 20))[0][0], EM)


def test_a_dead_link_is_said_to_be(capsys: Any, link: Any, machine: Machine, tmp_path: Path) -> None:
    page = link("mouse")
    revoke_all(machine)
    refusal = export(capsys, "ome-tiff", (page,), "e m", tmp_path / "a.tif").refusal
    assert "revoked" in refusal
    assert page.rstrip("/").rpartition("/")[2] not in refusal


def test_of_an_annotation(capsys: Any, machine: Machine, tmp_path: Path) -> None:
    state = ("--state", machine.file.path)
    file = tmp_path / "cells.zip"
    painted = Volume(data=zip_of(wkw_data({"1": {(1, 0, 0): voxels(1)}})), fallback_layer="segmentation")
    file.write_bytes(annotation_zip(painted))
    made = Result(capsys, "annotations", "import", file, "--dataset", "mouse", *state, "--json").json
    layer = next(iter(Result(capsys, "links", "create", made["id"], *state, "--json").json["layers"]))["name"]
    out = tmp_path / "a.tif"
    options = ("--annotation", made["id"], "--wide", "keep")
    assert export(capsys, "ome-tiff", ("mouse", *map(str, state)), layer, out, *options).status == 0
    other = export(capsys, "ome-tiff", ("film", *map(str, state)), layer, out, *options)
    assert "is not of dataset 'film'" in other.refusal


WRONG = {
    "no such dataset": ("nope", "e m"),
    "no such layer": ("mouse", "nope"),
    "bad box": ("mouse", "e m", "--bbox", "1,2,3"),
    "box outside": ("mouse", "e m", "--bbox", "900,0,0,1,1,1"),
    "bad mag": ("mouse", "e m", "--mag", "0"),
    "no such mag": ("mouse", "e m", "--mag", "16"),
    "no such axis": ("mouse", "e m", "--axis", "t=0"),
    "no axis at all": ("mouse", "e m", "--axis", "t"),
    "axis twice": ("film", "movie", "--axis", "t=1", "--axis", "t=2"),
    "no such mapping": ("mouse", "segmentation", "--mapping", "nope"),
    "no such annotation": ("mouse", "e m", "--annotation", "nope"),
    "ids that do not fit": ("mouse", "segmentation", "--wide", "narrow"),
    "bad compression": ("mouse", "e m", "--compression", "lzma"),
    "bad levels": ("mouse", "e m", "--levels", "0"),
    "no link": ("http://127.0.0.1:9/zarr/abc/", "e m"),
    "no address of a link": ("http://127.0.0.1:9/mouse", "e m"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_asked_wrongly_is_said_in_one_line(capsys: Any, machine: Machine, tmp_path: Path, name: str) -> None:
    dataset_name, layer, *options = WRONG[name]
    named = (dataset_name, "--state", str(machine.file.path))
    result = export(capsys, "ome-tiff", named, layer, tmp_path / "a.tif", *options)
    assert (result.status, result.err.splitlines()[-1][:10]) == (2, "zarrlink: ")
    assert result.out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["folder", "no/such/folder/a.tif"])
def test_where_nothing_can_be_written(capsys: Any, machine: Machine, tmp_path: Path, place: str) -> None:
    (tmp_path / "folder").mkdir()
    assert export(capsys, "ome-tiff", ("mouse", "--state", str(machine.file.path)), "e m", tmp_path / place).refusal


def test_a_damaged_file_leaves_nothing(capsys: Any, tmp_path: Path) -> None:
    machine = open_machine(tmp_path / "state.sqlite")
    write_tree(dataset(LayerFiles("em", {ONE: EM}, block_type=BlockType.LZ4)), tmp_path / "mouse")
    register_below(tmp_path / "mouse", machine.catalogue, 1, pytest.fail)
    damaged = tmp_path / "mouse/em/1/z0/y1/x1.wkw"
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    (tmp_path / "out").mkdir()
    named = ("mouse", "--state", str(machine.file.path))
    result = export(capsys, "ome-tiff", named, "em", tmp_path / "out/a.tif")
    assert result.status == 2
    assert "em/1/z0/y1/x1.wkw" in result.err
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_whoever_ends_it_leaves_no_worker_and_no_file(tmp_path: Path, number: signal.Signals) -> None:
    machine = open_machine(tmp_path / "state.sqlite")
    em = LayerFiles("em", {ONE: noise((600, 600, 256)) & 3}, block_side=32)
    write_tree(dataset(em), tmp_path / "mouse")
    register_below(tmp_path / "mouse", machine.catalogue, 1, pytest.fail)
    (tmp_path / "out").mkdir()
    code = "from zarrlink_local.cli import main; main()"
    command = ["export", "ome-tiff", "mouse", "em", "-o", tmp_path / "out/a.tif", "--state", machine.file.path]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, command)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=heeding_signals,  # noqa: PLW1509 (no threads of ours hold a lock here)
    )
    parts = until(lambda: list((tmp_path / "out").glob(".*/results/*/*/.a.tif.*/*")))
    started = workers(process.pid)
    assert parts
    assert started
    process.send_signal(number)
    assert process.wait(60) != 0
    until(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in started))
    names = [path.name for path in (tmp_path / "out").iterdir()]
    assert "a.tif" not in names
    assert names == [] or number == signal.SIGKILL


def test_an_export_that_is_to_survive_its_terminal_does(machine: Machine, tmp_path: Path) -> None:
    code = "from zarrlink_local.cli import main; main()"
    command = ["export", "ome-tiff", "mouse", "e m", "-o", tmp_path / "a.tif", "--state", machine.file.path]
    as_nohup = ["sh", "-c", "trap '' HUP; exec \"$@\"", "sh", sys.executable, "-c", code]
    process = subprocess.Popen([*as_nohup, *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(lambda: workers(process.pid))
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_ctrl_c_while_workers_start_is_told_by_none_of_them(machine: Machine, tmp_path: Path) -> None:
    code = "from zarrlink_local.cli import main; main()"
    command = ["export", "ome-tiff", "mouse", "e m", "-o", tmp_path / "a.tif", "--state", machine.file.path]
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, command)],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=heeding_signals,  # noqa: PLW1509 (no threads of ours hold a lock here)
    )
    until(lambda: workers(process.pid))
    # To all of the terminal's processes.
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_jobs_are_listed_cancelled_retried_and_removed(capsys: Any, machine: Machine) -> None:
    from builders.local_jobs import new_job, running
    from zarrlink.exports.args import ExportArgs

    state = ("--state", machine.file.path)
    record = next(record for record in machine.catalogue.all() if record.name == "mouse")
    job = machine.jobs.add(new_job(record.id, ExportArgs("e m", BoundingBox((40, 16, 8), (20, 20, 4)))))
    Result(capsys, "users", "add", "ann", *state)
    (listed,) = Result(capsys, "jobs", "list", *state, "--json").json
    assert (listed["id"], listed["state"], listed["owner"]) == (job.id, "PENDING", "ann")
    assert job.id in Result(capsys, "jobs", "list", "--owner", "ann", *state).out
    assert Result(capsys, "jobs", "list", "--owner", "bob", *state, "--json").json == []
    assert "still running" in Result(capsys, "jobs", "remove", job.id, *state).refusal
    assert Result(capsys, "jobs", "cancel", job.id, *state, "--json").json["state"] == "CANCELLED"
    assert "CANCELLED" in Result(capsys, "jobs", "cancel", job.id, *state).refusal
    assert Result(capsys, "jobs", "retry", job.id, *state, "--json").json["attempt"] == 2
    with running(machine, 1):
        until(lambda: machine.jobs.get(job.id).state == "SUCCESS")
    shown = Result(capsys, "jobs", "show", job.id, *state, "--json").json
    assert Path(shown["file"]).stat().st_size == shown["bytes"]
    assert shown["file"] in Result(capsys, "jobs", "show", job.id, *state).out
    assert Result(capsys, "jobs", "remove", job.id, *state, "--json").json == {"id": job.id, "removed": True}
    assert not Path(shown["file"]).exists()
    assert job.id in Result(capsys, "jobs", "show", job.id, *state).refusal
    assert "takes no --stack" in Result(capsys, "--stack", "x", "jobs", "list").refusal
