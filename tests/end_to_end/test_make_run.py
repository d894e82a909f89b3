"""`make run`: what it prints works, and the voxels are the generator's."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import zarr

from zarrlink_local.sample import MAGS, sample_layers

ROOT = Path(__file__).parents[2]
SIZE = (224, 256, 160)


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory):
    """The text that the run prints, while it runs."""
    home = tmp_path_factory.mktemp("run") / "home"
    command = [sys.executable, "local/run.py", "--home", str(home), "--port", "0", "--size", *map(str, SIZE)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("Revoke it"):
            break
    yield "".join(lines)
    process.terminate()
    process.wait(30)
    process.stdout.close()


@pytest.mark.parametrize("wrong", ["port taken", "no such port", "home is a file", "home cannot be made"])
def test_what_cannot_be_done_is_said_in_one_line(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "file").touch()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = {"port taken": str(taken.getsockname()[1]), "no such port": "99999"}.get(wrong, "0")
        home = {"home is a file": tmp_path / "file" / "home", "home cannot be made": "/proc/nope"}.get(wrong, tmp_path)
        command = [sys.executable, "local/run.py", "--home", str(home), "--port", port]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr.startswith("make run: ")
    assert run.stderr.count("\n") == 1


def test_the_printed_snippet_runs_as_it_is(printed: str) -> None:
    snippet = "\n".join(re.findall(r"^    ((?:import|em =|print).*)$", printed, re.MULTILINE))
    assert snippet.count("\n") == 2, "three lines"
    run = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, check=True)
    em = sample_layers(SIZE, 7)[0].volumes[MAGS[0]]
    assert run.stdout.strip() == str(em[128, 200:204, 200:210])


def test_every_voxel_of_every_level_is_the_generators(printed: str) -> None:
    page = re.search(r"http://\S+/zarr/\S+/(?=\n)", printed)
    assert page is not None
    for layer in sample_layers(SIZE, 7):
        for version in ("v2", "v3"):
            group = zarr.open_group(f"{page[0]}{version}/{layer.name}.zarr", mode="r")
            for level, mag in enumerate(MAGS):
                np.testing.assert_array_equal(group[str(level)][...], layer.volumes[mag])


def test_the_page_opens(printed: str) -> None:
    page = re.search(r"http://\S+/zarr/\S+/(?=\n)", printed)
    assert page is not None
    with urllib.request.urlopen(page[0]) as reply:
        assert reply.headers["content-type"].startswith("text/html")
        assert b"web/link.js" in reply.read()
