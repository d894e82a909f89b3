"""`zarrlink annotations`, and links to annotations, on a state file."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import pytest
from fastapi.testclient import TestClient

from builders.agglomerate_files import hdf5_agglomerates, table
from builders.annotation_zips import TREE, Volume, annotation_zip, nml, voxels, wkw_data, zip_of
from builders.commands import Result
from builders.kept import KeptInFile
from builders.wkw_files import LayerFiles, dataset, ramp
from zarrlink.geometry import Mag
from zarrlink_local.machine import open_machine
from zarrlink_local.server import create_app

ONE = Mag(1, 1, 1)
SEG = LayerFiles("segmentation", {ONE: ramp((64, 64, 64), "uint32")}, category="segmentation", block_side=32)
Run = Callable[..., Result]


@pytest.fixture
def kept(tmp_path: Path) -> KeptInFile:
    """Two datasets."""
    kept = KeptInFile(tmp_path)
    for folder in ("mouse", "fly"):
        kept.opened().add_datasets(kept.put(folder, dataset(SEG)), 1, pytest.fail)
    return kept


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], kept: KeptInFile) -> Run:
    return lambda *arguments: Result(capsys, *arguments, *kept.options)


def painted(seed: int = 1, **volume: Any) -> bytes:
    data = zip_of(wkw_data({"1": {(1, 0, 0): voxels(seed)}}))
    return annotation_zip(Volume(**{"data": data, "fallback_layer": "segmentation", **volume}))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "cells.zip"
    path.write_bytes(painted())
    return path


@pytest.fixture
def skeleton(tmp_path: Path) -> Path:
    path = tmp_path / "my skeleton.nml"
    path.write_bytes(nml(skeleton=TREE).replace(b"65a0c1f2e4b0a1b2c3d4e5f8", b"0" * 24))
    return path


def dataset_id(kept: KeptInFile, name: str) -> str:
    return next(record.id for record in kept.opened().catalogue.all() if record.name == name)


def test_an_annotation_is_imported_listed_downloaded_and_removed(
    run: Run, kept: KeptInFile, file: Path, tmp_path: Path
) -> None:
    made = run("annotations", "import", file, "--dataset", "mouse", "--json").json
    assert (made["name"], made["owner"]) == ("sample__explorational", "operator")
    assert made["dataset"] == dataset_id(kept, "mouse")
    assert run("annotations", "list", "--json").json == [made]
    assert made["id"] in run("annotations", "list").out

    for form, told in (("wkw", b'format="wkw"'), ("zarr3", b'format="zarr3"')):
        target = tmp_path / f"{form}.zip"
        options = ("--volume-format", form, "-o", target)
        found = run("annotations", "download", made["id"], *options, "--json").json
        assert (found["file"], found["bytes"]) == (str(target), target.stat().st_size)
        with zipfile.ZipFile(target) as archive:
            assert told in archive.read("sample__explorational.nml")
            assert "data_Volume.zip" in archive.namelist()
    folder = tmp_path / "folder"
    folder.mkdir()
    run("annotations", "download", "sample__explorational", "-o", folder, "--skip-volume-data")
    with zipfile.ZipFile(folder / "sample__explorational.zip") as archive:
        assert archive.namelist() == ["sample__explorational.nml"]

    assert run("annotations", "remove", made["id"], "--json").json == {"id": made["id"], "removed": True}
    assert run("annotations", "list", "--json").json == []
    assert list((tmp_path / "state.sqlite.annotations").iterdir()) == []


def test_a_skeleton_comes_back_byte_for_byte(run: Run, skeleton: Path, tmp_path: Path, monkeypatch: Any) -> None:
    made = run("annotations", "import", skeleton)
    assert made.out.startswith("imported my skeleton (")
    assert made.out.endswith("its dataset is not registered here\n")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert run("annotations", "download", "my skeleton").status == 0
    assert (tmp_path / "here" / "my skeleton.nml").read_bytes() == skeleton.read_bytes()


def test_progress_is_on_stderr_and_json_alone_on_stdout(kept: KeptInFile, file: Path) -> None:
    command = [sys.executable, "-c", "from zarrlink_local.cli import main; main()", "annotations", "import", str(file)]
    done = subprocess.run([*command, *kept.options, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["name"] == "sample__explorational"
    assert done.stderr.startswith("importing cells.zip")


def test_an_annotation_that_was_imported_before_gets_another_revision(run: Run, kept: KeptInFile, file: Path) -> None:
    first = run("annotations", "import", file, "--dataset", "mouse", "--json").json
    file.write_bytes(painted(2))
    again = run("annotations", "import", file)
    assert again.out.startswith("new revision of sample__explorational (")
    # The dataset that was chosen stays: the NML names one that is not registered here.
    (second,) = run("annotations", "list", "--json").json
    assert (second["id"], second["created"], second["dataset"]) == (first["id"], first["created"], first["dataset"])
    assert second["revision"] != first["revision"]

    other = run("annotations", "import", file, "--new", "--json").json
    assert other["id"] != first["id"]
    bobs = run("annotations", "import", file, "--owner", "bob", "--json").json
    assert bobs["id"] not in (first["id"], other["id"])
    into = run("annotations", "import", file, "--into", other["id"], "--dataset", "fly", "--json").json
    assert (into["id"], into["dataset"]) == (other["id"], dataset_id(kept, "fly"))
    assert len(run("annotations", "list", "--json").json) == 3


def test_a_link_is_made_by_name_and_by_id(run: Run, kept: KeptInFile, file: Path) -> None:
    made = run("annotations", "import", file, "--dataset", "mouse", "--json").json
    for name in ("sample__explorational", made["id"]):
        link = run("links", "create", name, "--json").json
        assert (link["annotation"], link["dataset"]) == (made["id"], made["dataset"])
        assert [layer["name"] for layer in link["layers"]] == ["Volume", "segmentation"]
    assert "sample__explorational" in run("links", "list").out
    run("annotations", "remove", made["id"])
    assert run("links", "create", made["id"]).refusal


def test_a_link_by_a_mapping_shows_what_was_painted_over_mapped_segments(
    run: Run, kept: KeptInFile, file: Path
) -> None:
    segments = SEG.volumes[ONE]
    entries = table(int(segments.max()), 500)
    kept.write("mouse/segmentation/agglomerates/by.hdf5", hdf5_agglomerates(entries))
    made = run("annotations", "import", file, "--dataset", "mouse", "--json").json

    link = run("links", "create", made["id"], "--mapping", "Volume=by", "--layer", "Volume", "--json").json

    assert link["mappings"] == {"Volume": "by"}
    client = TestClient(create_app(open_machine(Path(kept.options[1])), "http://x"))
    for x, expected in (
        (0, entries[segments[:32, :32, :32]]),
        (1, np.frombuffer(voxels(1), "<u4").reshape(32, 32, 32)),
    ):
        chunk = client.get(f"/zarr/{link['token']}/v2/Volume.zarr/0/0/0/{x}").content
        shown = np.frombuffer(numcodecs.Blosc().decode(chunk), "<u4").reshape(32, 32, 32)
        np.testing.assert_array_equal(shown, expected)


def test_a_mapping_that_is_not_there_is_refused(run: Run, file: Path) -> None:
    made = run("annotations", "import", file, "--dataset", "mouse", "--json").json
    refusal = run("links", "create", made["id"], "--mapping", "Volume=agglomerate").refusal
    assert "agglomerate" in refusal
    assert run("links", "list", "--json").json == []


def test_names_that_are_not_one_s_alone_are_refused(run: Run, file: Path, tmp_path: Path) -> None:
    for name in ("same", "same", "mouse"):
        path = tmp_path / f"{name}.zip"
        path.write_bytes(zip_of({f"{name}.nml": nml()}))
        run("annotations", "import", path, "--new")
    for command in (("annotations", "download"), ("annotations", "remove"), ("links", "create")):
        assert "2 annotations are called 'same'" in run(*command, "same").refusal
    assert "2 annotations" in run("annotations", "import", file, "--into", "same").refusal
    assert "a dataset and an annotation are called 'mouse'" in run("links", "create", "mouse").refusal


BAD_FILES: dict[str, bytes | None] = {
    "missing.zip": None,
    "not a zip.zip": b"PK\3\4" + bytes(100),
    "empty.zip": b"",
    "picture.tif": b"II*\0",
    "hostile.zip": zip_of({"../x.nml": nml()}),
    "entities.nml": b'<!DOCTYPE a [<!ENTITY a "b">]><things>&a;</things>',
    "html.nml": b"<html></html>",
    "damaged.zip": painted(data=zip_of({"1/z0/y0/x0.wkw": b"WKW"})),
    "no data.zip": painted(data=None),
}


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_refused_in_one_line_and_leaves_nothing(
    run: Run, kept: KeptInFile, tmp_path: Path, name: str
) -> None:
    data = BAD_FILES[name]
    if data is not None:
        (tmp_path / name).write_bytes(data)
    result = run("annotations", "import", tmp_path / name)
    assert (result.status, result.out) == (2, "")
    last = result.err.splitlines()[-1]
    assert last.startswith("zarrlink: ")
    assert "Traceback" not in result.err
    assert kept.opened().shelf.annotations.all() == []
    folder = tmp_path / "state.sqlite.annotations"
    assert not folder.exists() or list(folder.iterdir()) == []


WRONG = {
    "no such annotation to download": ("annotations", "download", "nope"),
    "no such annotation to remove": ("annotations", "remove", "nope"),
    "no such annotation for a link": ("links", "create", "nope"),
    "no such annotation to revise": ("annotations", "import", "FILE", "--into", "nope"),
    "no such dataset": ("annotations", "import", "FILE", "--dataset", "nope"),
    "into and new": ("annotations", "import", "FILE", "--into", "cells", "--new"),
    "bad owner": ("annotations", "import", "FILE", "--owner", "a b"),
    "unknown format": ("annotations", "download", "cells", "--volume-format", "n5"),
    "no file": ("annotations", "import"),
    "no folder": ("annotations", "download", "cells", "-o", "results/"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_asked_wrongly_is_said_in_one_line(run: Run, file: Path, name: str) -> None:
    assert run(*(str(file) if word == "FILE" else word for word in WRONG[name])).refusal


def test_a_download_never_overwrites_and_never_leaves_half_a_file(run: Run, file: Path, tmp_path: Path) -> None:
    made = run("annotations", "import", file, "--dataset", "mouse", "--json").json
    target = written(tmp_path / "there.zip", b"mine")
    assert "is there already" in run("annotations", "download", made["id"], "-o", target).refusal
    assert target.read_bytes() == b"mine"
    assert run("annotations", "download", made["id"], "-o", tmp_path / "nowhere" / "a.zip").refusal

    (pack,) = (tmp_path / "state.sqlite.annotations").rglob("*.blocks")
    pack.write_bytes(pack.read_bytes()[:-10])
    assert "damaged" in run("annotations", "download", made["id"], "-o", tmp_path / "new.zip").refusal
    assert [path.name for path in tmp_path.iterdir() if "new" in path.name] == []


@pytest.mark.parametrize("full", ["zarrlink.annotations.sink.os.fsync", "zarrlink.annotations.safe_zip.TemporaryFile"])
def test_a_full_disk_is_said_in_one_line(run: Run, file: Path, tmp_path: Path, monkeypatch: Any, full: str) -> None:
    def no_space(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file.write_bytes(painted(data=zip_of(wkw_data({"1": {(n, 0, 0): voxels(n) for n in range(9)}}))))
    monkeypatch.setattr(full, no_space)
    result = run("annotations", "import", file, "--dataset", "mouse")
    assert result.status == 2
    assert "No space left on device" in result.err.splitlines()[-1]
    assert list((tmp_path / "state.sqlite.annotations").rglob("*")) == []


def test_a_state_folder_that_cannot_be_written_is_said_in_one_line(run: Run, file: Path, tmp_path: Path) -> None:
    (tmp_path / "state.sqlite.annotations").write_bytes(b"a file where a folder should be")
    result = run("annotations", "import", file, "--dataset", "mouse")
    assert result.status == 2
    assert result.err.splitlines()[-1].startswith("zarrlink: ")
