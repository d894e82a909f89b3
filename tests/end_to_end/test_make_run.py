"""`make run`: what it prints works, and the voxels are the generator's."""

from __future__ import annotations

import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zarr

from builders.make_run import COMMAND, SIZE, Run, start_run
from builders.template import ROOT
from zarrlink_local.sample import MAGS, sample_layers


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    running = start_run(tmp_path_factory.mktemp("run") / "home")
    yield running
    running.process.terminate()
    running.wait()


@pytest.mark.parametrize("wrong", ["port taken", "no such port", "home is a file", "home cannot be made"])
def test_what_cannot_be_done_is_said_in_one_line(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "file").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = {"port taken": str(taken.getsockname()[1]), "no such port": "99999"}.get(wrong, "0")
        home = {"home is a file": tmp_path / "file" / "home", "home cannot be made": "/proc/nope"}.get(wrong, tmp_path)
        command = [*COMMAND, "--home", str(home), "--port", port]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("make run: ")
    assert run.stderr.count("\n") == 1


def test_the_printed_snippet_runs_as_it_is(run: Run) -> None:
    run.check_snippet()


def test_every_voxel_of_every_level_is_the_generators(run: Run) -> None:
    for layer in sample_layers(SIZE, 7):
        for version in ("v2", "v3"):
            group = zarr.open_group(f"{run.page()}{version}/{layer.name}.zarr", mode="r")
            for level, mag in enumerate(MAGS):
                np.testing.assert_array_equal(group[str(level)][...], layer.volumes[mag])


def test_the_page_opens(run: Run) -> None:
    with urllib.request.urlopen(run.page()) as reply:
        assert reply.headers["content-type"].startswith("text/html")
        assert b"web/link.js" in reply.read()
