"""A disk that is full: exports say so in one line and leave nothing, whichever of their writers meets it first."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from builders.wkw_files import LayerFiles, dataset, noise, write_tree
from zarrlink.errors import ExportFailed
from zarrlink.exports.spill import Spill
from zarrlink.geometry import Mag
from zarrlink_local.direct_export import JobFile
from zarrlink_local.machine import open_machine
from zarrlink_local.scan import register_below

# Lists what is left, since the disk goes with the last process that sees it.
SCRIPT = (
    'mount -t tmpfs -o "size=$1" none "$2" && shift && out=$1 && shift && "$@"; status=$?; ls -A "$out"; exit $status'
)
ALONE = ["unshare", "--user", "--map-root-user", "--mount"]


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is spilled goes to /dev/full, by a buffer as to any file."""

    def opened(**_: Any) -> Any:
        return Path("/dev/full").open("r+b", buffering=8192)

    monkeypatch.setattr("zarrlink.exports.spill.tempfile.TemporaryFile", opened)


def can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    command = [*ALONE, "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@pytest.mark.parametrize(
    ("kind", "size"), [("ome-tiff", "16k"), ("ome-tiff", "100k"), ("ome-tiff", "4m"), ("tiff-stack", "1m")]
)
def test_an_export_to_a_full_disk_is_refused_in_one_line(tmp_path: Path, kind: str, size: str) -> None:
    if not can_mount():
        pytest.skip("no file system can be mounted here")
    machine = open_machine(tmp_path / "state.sqlite")
    write_tree(dataset(LayerFiles("em", {Mag(1, 1, 1): noise((256, 256, 100))}, block_side=32)), tmp_path / "mouse")
    register_below(tmp_path / "mouse", machine.catalogue, 1, pytest.fail)
    out = tmp_path / "out"
    out.mkdir()
    command = [sys.executable, "-m", "zarrlink_local.cli", "export", kind, "mouse", "em", "-o", out / "a.tif"]
    command += ["--state", machine.file.path, "--workers", "2"]
    disk = [*ALONE, "sh", "-c", SCRIPT, "sh", size, out]
    ended = subprocess.run(
        [*map(str, disk), *map(str, command)], check=False, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 2, ended.stderr
    said = [line for line in ended.stderr.splitlines() if not line.startswith("exporting em")]
    assert said == [f"zarrlink: the disk of {out / 'a.tif'} is full"]
    assert ended.stdout == "", "nothing is left"


@pytest.mark.usefixtures("full")
def test_what_is_thrown_away_is_not_written_first(tmp_path: Path) -> None:
    spill = Spill(tmp_path)
    spill.write(b"a few bytes that wait in memory")
    spill.close()
    assert spill.file.closed
    with pytest.raises(KeyError), Spill(tmp_path) as spill:
        _fail_after_writing(spill)


def _fail_after_writing(spill: Spill) -> None:
    spill.write(b"as before")
    raise KeyError


@pytest.mark.usefixtures("full")
def test_whoever_reads_what_could_not_be_written_is_told(tmp_path: Path) -> None:
    for read in (lambda spill: spill.rewound(), lambda spill: list(spill.pieces())):
        with Spill(tmp_path) as spill:
            spill.write(b"a few bytes that wait in memory")
            with pytest.raises(ExportFailed, match="No space left on device"):
                read(spill)


def test_the_job_of_an_export_says_that_the_disk_is_full(tmp_path: Path) -> None:
    file = JobFile(tmp_path / "jobs.sqlite")
    # As if the disk had no page more.
    file.rows("PRAGMA max_page_count = 1")
    with pytest.raises(ExportFailed, match="No space left on device"), file.write() as connection:
        connection.execute("INSERT INTO facts VALUES ('a', ?)", ("x" * 100_000,))
    assert file.rows("SELECT * FROM facts WHERE key = 'a'") == []
    with file.write() as connection:
        connection.execute("INSERT INTO facts VALUES ('b', '')")
    file.close()
