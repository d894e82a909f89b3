"""The `zarrlink` command on one machine: folders, state files, the server."""

import importlib
import json
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from builders.commands import Result
from builders.wkw_files import LayerFiles, dataset, ramp, write_tree
from zarrlink.geometry import Mag
from zarrlink.sources.permission import VARIABLE
from zarrlink_local.cli import datasets, main
from zarrlink_local.machine import Machine, open_machine
from zarrlink_local.scan import register_below

ONE = Mag(1, 1, 1)


def test_a_mistyped_state_file_is_not_made(capsys, tmp_path: Path) -> None:
    result = Result(capsys, "links", "list", "--state", tmp_path / "typo.sqlite")
    assert result.status == 2
    assert "typo.sqlite" in result.err
    assert list(tmp_path.iterdir()) == []


def test_links_need_an_address(capsys, tmp_path: Path) -> None:
    write_tree(dataset(LayerFiles("a", {ONE: ramp((8, 8, 8))})), tmp_path / "mouse")
    machine = open_machine(tmp_path / "state.sqlite")
    register_below(tmp_path / "mouse", machine.catalogue, 1, pytest.fail)
    result = Result(capsys, "links", "create", "mouse", "--state", tmp_path / "state.sqlite")
    assert result.status == 2
    assert "zarrlink serve" in result.err
    assert machine.links.of_owner(None) == []


def test_every_dataset_below_a_folder_is_added(capsys, tmp_path: Path) -> None:
    open_machine(tmp_path / "state.sqlite")
    for name in ("worm", "deeper/fly"):
        write_tree(dataset(LayerFiles("a", {ONE: ramp((8, 8, 8))})), tmp_path / "data" / name)
    command = ("--state", tmp_path / "state.sqlite", "--json")
    added = Result(capsys, "datasets", "add", tmp_path / "data", *command).json
    assert sorted(entry["name"] for entry in added) == ["fly", "worm"]
    assert "--stack" in Result(capsys, "datasets", "add", "s3://bucket/worm", *command).refusal


def test_a_full_disk_is_said_in_one_line(capsys, monkeypatch) -> None:
    full = sqlite3.OperationalError("database or disk is full")
    monkeypatch.setattr(datasets.commands["list"], "callback", lambda **_: _raise(full))
    assert Result(capsys, "datasets", "list").refusal == "the state file cannot be used: database or disk is full"


@pytest.mark.parametrize("error", [OverflowError("too far away"), PermissionError(13, "Permission denied", "/x/y")])
def test_failures_of_the_system_are_said_in_one_line(capsys, monkeypatch, error: Exception) -> None:
    monkeypatch.setattr(datasets.commands["list"], "callback", lambda **_: _raise(error))
    result = Result(capsys, "datasets", "list")
    assert result.status == 2
    assert result.err in ("zarrlink: too far away\n", "zarrlink: /x/y: Permission denied\n")


def test_our_own_mistakes_keep_their_traceback(monkeypatch) -> None:
    monkeypatch.setattr(datasets.commands["list"], "callback", lambda **_: _raise(KeyError("x")))
    with pytest.raises(KeyError):
        main(["datasets", "list"])


def _raise(error: Exception) -> None:
    raise error


def test_a_sample_does_not_overwrite(capsys, tmp_path: Path) -> None:
    result = Result(capsys, "sample", tmp_path)
    assert result.status == 2
    assert result.err.splitlines()[-1] == f"zarrlink: {tmp_path} is there already"


@pytest.fixture
def mouse(tmp_path: Path) -> Path:
    """A dataset of four data files in one layer and of a layer that is no WKW, registered in `state.sqlite` beside it."""
    n5 = LayerFiles("n5", {ONE: ramp((8, 8, 8))}, described={"dataFormat": "n5"})
    folder = write_tree(dataset(LayerFiles("a", {ONE: ramp((40, 9, 40))}), n5), tmp_path / "mouse")
    register_below(folder, open_machine(tmp_path / "state.sqlite").catalogue, 1, pytest.fail)
    return folder


def verify(capsys, mouse: Path, *options: object) -> Result:
    return Result(capsys, "datasets", "verify", "mouse", "--state", mouse.parent / "state.sqlite", *options)


def test_verify_names_the_layers_it_does_not_read(capsys, mouse: Path) -> None:
    report = verify(capsys, mouse, "--json").json
    assert (report["files"], report["damage"], report["notes"]) == (4, [], [])
    assert report["skipped"] == ["layer n5: it is stored as n5; verified is wkw"]
    assert "not verified: layer n5" in verify(capsys, mouse).out


def unlistable(path: Path) -> None:
    for file in path.iterdir():
        file.unlink()
    path.rmdir()
    path.write_bytes(b"a file where a folder should be")


def moved_away(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("nowhere")


@pytest.mark.parametrize(
    ("name", "harm"), [("z0/y0", unlistable), ("z0/y0", moved_away), ("z0", moved_away), ("z0/y0/x0.wkw", moved_away)]
)
def test_what_cannot_be_listed_or_opened_is_damage(capsys, mouse: Path, name: str, harm) -> None:
    harm(mouse / "a/1" / name)
    result = verify(capsys, mouse, "--json")
    assert result.status == 1
    (damage,) = json.loads(result.out)["damage"]
    assert damage.startswith(f"a/1/{name}: ")


def test_a_folder_that_may_not_be_listed_is_damage(capsys, mouse: Path, monkeypatch) -> None:
    # Tests may run as root, who may list everything.
    listing = Path.iterdir

    def refuse(path: Path):
        if path == mouse / "a/1":
            raise PermissionError(13, "Permission denied", str(path))
        return listing(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    result = verify(capsys, mouse, "--json")
    assert result.status == 1
    report = json.loads(result.out)
    assert (report["files"], report["notes"]) == (0, [])
    assert report["damage"] == ["a/1: cannot be listed: Permission denied"]


def test_verify_follows_symbolic_links(capsys, mouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/1/z0/y0/x0.wkw", "a/1/z0/y0", "a/1/z1"):
        (mouse / name).rename(mouse.parent / name.replace("/", "-"))
        (mouse / name).symlink_to(mouse.parent / name.replace("/", "-"))
    (mouse / "a/1/z0/loop").symlink_to("..")
    damage = json.loads(verify(capsys, mouse, "--json").out)["damage"]
    assert all("a symbolic link leads out of the dataset's folder" in text for text in damage)
    assert [text.partition(":")[0] for text in damage] == ["a/1/z1", "a/1/z0/y0"]
    monkeypatch.setenv(VARIABLE, str(mouse.parent))
    report = verify(capsys, mouse, "--json").json
    assert (report["files"], report["damage"]) == (4, [])


def test_a_fifo_among_the_data_is_damage_and_not_waited_for(capsys, mouse: Path) -> None:
    os.mkfifo(mouse / "a/1/z0/y0/x7.wkw")
    result = verify(capsys, mouse)
    assert result.status == 1
    assert "x7.wkw: a stored file is damaged: not a regular file" in result.out


def test_where_nothing_could_be_verified_the_status_says_so(capsys, mouse: Path) -> None:
    shutil.rmtree(mouse / "a/1/z0")
    shutil.rmtree(mouse / "a/1/z1")
    manifest = mouse.parent / "m.json"
    result = verify(capsys, mouse, "--manifest", manifest)
    assert result.status == 1
    assert "note: a/1: no data file" in result.out
    assert "0 damaged\nnothing was verified" in result.out
    assert not manifest.exists()
    (mouse / "a/1/header.wkw").write_bytes(b"WKW")
    assert "damaged: a/1/header.wkw: " in verify(capsys, mouse).out


def test_a_manifest_that_cannot_be_written_is_refused_before_hours_of_reading(capsys, mouse: Path, monkeypatch) -> None:
    # By its full name it is the command, which the package holds under the module's name.
    module = importlib.import_module("zarrlink_local.cli.datasets")
    monkeypatch.setattr(module, "verify_dataset", lambda *_: pytest.fail("it was verified"))
    (mouse.parent / "file").touch()
    for manifest in ("/nonexistent/m.json", mouse.parent / "file" / "m.json", mouse.parent / "state.sqlite"):
        assert verify(capsys, mouse, "--manifest", manifest).status == 2


def test_hidden_folders_are_not_scanned_unless_named(tmp_path: Path) -> None:
    objects = dataset(LayerFiles("a", {ONE: ramp((8, 8, 8))}))
    write_tree(objects, tmp_path / "data/.draft/mouse")
    write_tree(objects, tmp_path / "data/fly")
    machine = open_machine(tmp_path / "state.sqlite")
    assert names_below(machine, tmp_path / "data") == ["fly"]
    assert names_below(machine, tmp_path / "data/.draft") == ["mouse"]


def test_symbolic_links_are_followed_once_and_one_place_has_one_id(tmp_path: Path) -> None:
    objects = dataset(LayerFiles("a", {ONE: ramp((8, 8, 8))}))
    data, store = tmp_path / "data", tmp_path / "store"
    for folder in (data / "mouse", store / "set1", store / "more/set2"):
        write_tree(objects, folder)
    for link, target in (("again", data / "mouse"), ("fly", store / "set1"), ("loop", data), ("more", store / "more")):
        (data / link).symlink_to(target)
    (store / "more" / "back").symlink_to(data)
    machine = open_machine(tmp_path / "state.sqlite", (), (data,))
    told: list[str] = []
    inside = register_below(data, machine.catalogue, 1, told.append, machine.reach)
    assert [record.name for record in inside] == ["mouse"]
    assert [text.partition(": ")[0] for text in told] == [str(data / "fly"), str(data / "more")]
    assert all("--allow-source" in text for text in told)
    machine = open_machine(tmp_path / "state.sqlite", (str(store),), (data,))
    assert names_below(machine, data) == ["mouse", "fly", "set2"]
    names_below(machine, store)
    assert len(machine.catalogue.all()) == 3


def names_below(machine: Machine, folder: Path) -> list[str]:
    return [record.name for record in register_below(folder, machine.catalogue, 1, pytest.fail, machine.reach)]


def test_serve_says_in_one_line_what_it_cannot_do(capsys, tmp_path: Path) -> None:
    for arguments in (
        ("serve",),
        ("serve", "--data", tmp_path / "nope", "--state", tmp_path / "s"),
        ("serve", "--data", tmp_path, "--port", "99999"),
        ("serve", "--data", tmp_path, "--state", tmp_path),
        ("serve", "--data", tmp_path, "--state", "/proc/nope/state.sqlite"),
        ("serve", "--data", tmp_path, "--state", tmp_path / "s", "--behind-cdn", tmp_path / "nope"),
    ):
        result = Result(capsys, *arguments)
        assert result.status == 2
        assert result.err.count("\n") == 1
    (tmp_path / "other.sqlite").write_text("this is no database, whatever its name says, and it is long enough")
    other = Result(capsys, "serve", "--data", tmp_path, "--state", tmp_path / "other.sqlite")
    assert other.status == 2
    assert "other.sqlite" in other.err
