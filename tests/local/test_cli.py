"""The `zarrlink` command, as people and scripts call it."""

import importlib
import json
import os
import shutil
from pathlib import Path

import pytest

from builders.wkw_files import LayerFiles, dataset, ramp, write_tree
from zarrlink.formats.wkw import BlockType
from zarrlink.geometry import Mag
from zarrlink_local.cli import datasets, main
from zarrlink_local.machine import Machine, now_ms, open_machine
from zarrlink_local.scan import register_below

ONE = Mag(1, 1, 1)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state file as a running server leaves it, over two datasets, one name twice."""
    objects = dataset(LayerFiles("a", {ONE: ramp((40, 40, 40))}), LayerFiles("b b", {ONE: ramp((9, 9, 9), "uint32")}))
    for folder in ("data/mouse", "data/x/fly", "data/y/fly"):
        write_tree(objects, tmp_path / folder)
    machine = open_machine(tmp_path / "state.sqlite")
    register_below(tmp_path / "data", machine.catalogue, now_ms(), pytest.fail)
    machine.set_address("http://127.0.0.1:1234")
    return tmp_path / "state.sqlite"


class Result:
    """What a command printed, and its exit status."""

    def __init__(self, capsys, *arguments: object) -> None:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        self.status = ended.value.code
        self.out, self.err = capsys.readouterr()

    @property
    def json(self):
        assert self.status == 0, self.err
        return json.loads(self.out)


def test_a_link_is_made_listed_extended_and_revoked(capsys, state: Path) -> None:
    names = [entry["name"] for entry in Result(capsys, "datasets", "list", "--state", state, "--json").json]
    assert names == ["fly", "fly", "mouse"]

    link = Result(capsys, "links", "create", "mouse", "--name", "For Ann", "--state", state, "--json").json
    page = f"http://127.0.0.1:1234/zarr/{link['token']}/"
    assert link["layers"] == [
        {"name": "a", "v3": f"{page}v3/a.zarr", "v2": f"{page}v2/a.zarr"},
        {"name": "b b", "v3": f"{page}v3/b%20b.zarr", "v2": f"{page}v2/b%20b.zarr"},
    ]
    assert link["expires"].endswith("T23:59:59.999Z")
    assert Result(capsys, "links", "list", "--state", state, "--json").json == [link]
    assert Result(capsys, "links", "show", link["id"], "--state", state, "--json").json == link
    assert "For Ann" in Result(capsys, "links", "list", "--state", state).out

    never = Result(capsys, "links", "extend", link["id"], "--expires", "never", "--state", state, "--json").json
    assert never == {**link, "expires": None}
    day = Result(capsys, "links", "extend", link["id"], "--expires", "2031-02-03", "--state", state, "--json").json
    assert day["expires"] == "2031-02-03T23:59:59.999Z"
    renamed = Result(capsys, "links", "rename", link["id"], "For Bob", "--state", state, "--json").json
    assert renamed["name"] == "For Bob"

    assert Result(capsys, "links", "revoke", link["id"], "--state", state, "--json").json["id"] == link["id"]
    assert Result(capsys, "links", "list", "--state", state, "--json").json == []
    again = Result(capsys, "links", "revoke", link["id"], "--state", state)
    assert again.status == 2
    assert link["id"] in again.err


def test_scope_options(capsys, state: Path) -> None:
    options = ("--layer", "a", "--box", "8,8,8,16,16,16", "--finest-mag", "1", "--expires", "12h", "--owner", "ann")
    link = Result(capsys, "links", "create", "mouse", *options, "--state", state, "--json").json
    assert [layer["name"] for layer in link["layers"]] == ["a"]
    assert (link["box"], link["finestMag"], link["owner"]) == ([8, 8, 8, 16, 16, 16], "1", "ann")
    assert Result(capsys, "links", "list", "--owner", "bob", "--state", state, "--json").json == []


WRONG = {
    "no such dataset": ("links", "create", "nope"),
    "ambiguous dataset": ("links", "create", "fly"),
    "no such layer": ("links", "create", "mouse", "--layer", "zz"),
    "bad box": ("links", "create", "mouse", "--box", "1,2,3"),
    "box outside": ("links", "create", "mouse", "--box", "900,0,0,1,1,1"),
    "bad mag": ("links", "create", "mouse", "--finest-mag", "0"),
    "bad expiry": ("links", "create", "mouse", "--expires", "soon"),
    "expiry past all time": ("links", "create", "mouse", "--expires", "9999-12-31T23:59:59-10:00"),
    "unreachable manifest": ("datasets", "verify", "mouse", "--manifest", "/nonexistent/m.json"),
    "past expiry": ("links", "create", "mouse", "--expires", "2001-01-01"),
    "no such day": ("links", "create", "mouse", "--expires", "2031-02-30"),
    "bad owner": ("links", "create", "mouse", "--owner", "a b"),
    "no such link": ("links", "extend", "AAAAAAAAAAAAAAAA"),
    "no such link to show": ("links", "show", "x"),
    "no such folder": ("datasets", "add", "/nope/nope"),
    "no dataset to remove": ("datasets", "remove", "nope"),
    "no dataset to verify": ("datasets", "verify", "nope"),
    "no such user": ("users", "remove", "nobody"),
    "bad user": ("users", "add", "a b"),
    "unknown option": ("links", "list", "--nope"),
    "missing argument": ("links", "create"),
    "unknown command": ("links", "frobnicate"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_asked_wrongly_is_said_in_one_line(capsys, state: Path, name: str) -> None:
    result = Result(capsys, *WRONG[name], "--state", state)
    assert result.status == 2
    assert result.out == ""
    assert result.err.startswith("zarrlink: ")
    assert result.err.count("\n") == 1
    assert open_machine(state).links.of_owner(None) == []


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


def test_a_dataset_is_added_and_removed(capsys, state: Path, tmp_path: Path) -> None:
    write_tree(dataset(LayerFiles("a", {ONE: ramp((8, 8, 8))})), tmp_path / "more" / "worm")
    added = Result(capsys, "datasets", "add", tmp_path / "more", "--state", state, "--json").json
    assert [entry["name"] for entry in added] == ["worm"]
    again = Result(capsys, "datasets", "add", tmp_path / "more" / "worm", "--state", state, "--json").json
    assert again == added, "a place has one id"
    Result(capsys, "datasets", "remove", "worm", "--state", state, "--json").json  # noqa: B018
    assert "worm" not in Result(capsys, "datasets", "list", "--state", state).out
    assert (tmp_path / "more" / "worm").exists()
    (tmp_path / "empty").mkdir()
    assert Result(capsys, "datasets", "add", tmp_path / "empty", "--state", state).status == 2


def test_a_user_token_is_shown_once(capsys, state: Path) -> None:
    made = Result(capsys, "users", "add", "ann", "--state", state, "--json").json
    assert made["name"] == "ann"
    assert made["token"] not in Result(capsys, "users", "list", "--state", state).out
    assert made["token"].encode() not in state.read_bytes()
    assert Result(capsys, "users", "add", "ann", "--state", state).status == 2
    assert Result(capsys, "users", "remove", "ann", "--state", state).status == 0


def test_a_user_with_links_goes_only_where_it_is_said_what_becomes_of_them(capsys, state: Path) -> None:
    def make() -> None:
        Result(capsys, "users", "add", "ann", "--state", state, "--json").json  # noqa: B018
        Result(capsys, "links", "create", "mouse", "--owner", "ann", "--state", state, "--json").json  # noqa: B018

    make()
    Result(capsys, "links", "create", "mouse", "--owner", "bob", "--state", state, "--json").json  # noqa: B018
    machine = open_machine(state)
    refused = Result(capsys, "users", "remove", "ann", "--state", state)
    assert refused.status == 2
    assert "1 link;" in refused.err
    assert [user.name for user in machine.users.all()] == ["ann"]

    kept = Result(capsys, "users", "remove", "ann", "--keep-links", "--state", state)
    assert kept.status == 0
    assert "1 link of ann stay" in kept.err
    make()
    revoked = Result(capsys, "users", "remove", "ann", "--revoke-links", "--state", state, "--json").json
    assert revoked == {"name": "ann", "removed": True, "linksRevoked": 2}
    assert machine.users.all() == []
    assert [link.owner for link in machine.links.of_owner(None)] == ["bob"]


def test_the_last_day_of_all_can_be_an_expiry(capsys, state: Path) -> None:
    link = Result(capsys, "links", "create", "mouse", "--expires", "9999-12-31", "--state", state, "--json").json
    assert link["expires"] == "9999-12-31T23:59:59.999Z"


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


@pytest.mark.parametrize("block_type", [BlockType.RAW, BlockType.LZ4])
def test_verify_finds_damage_and_a_manifest_finds_flipped_bits(capsys, tmp_path: Path, block_type: BlockType) -> None:
    folder = write_tree(dataset(LayerFiles("a", {ONE: ramp((40, 9, 9))}, block_type=block_type)), tmp_path / "mouse")
    state, manifest = tmp_path / "state.sqlite", tmp_path / "manifest.json"
    register_below(folder, open_machine(state).catalogue, 1, pytest.fail)
    command = ("datasets", "verify", "mouse", "--state", state, "--json", "--manifest", manifest)

    clean = Result(capsys, *command).json
    assert (clean["files"], clean["blocks"], clean["damage"]) == (2, 128, [])
    assert Result(capsys, *command).status == 0

    path = folder / "a/1/z0/y0/x1.wkw"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    flipped = Result(capsys, *command)
    assert flipped.status == 1
    assert any("x1.wkw" in line for line in json.loads(flipped.out)["damage"])

    path.write_bytes(whole[:-1])
    assert Result(capsys, *command[:-2]).status == 1
    path.unlink()
    missing = Result(capsys, *command)
    assert missing.status == 1
    assert "missing" in missing.out


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


def test_verify_follows_symbolic_links(capsys, mouse: Path) -> None:
    for name in ("a/1/z0/y0/x0.wkw", "a/1/z0/y0", "a/1/z1"):
        (mouse / name).rename(mouse.parent / name.replace("/", "-"))
        (mouse / name).symlink_to(mouse.parent / name.replace("/", "-"))
    (mouse / "a/1/z0/loop").symlink_to("..")
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
    machine = open_machine(tmp_path / "state.sqlite")
    assert names_below(machine, data) == ["mouse", "fly", "set2"]
    names_below(machine, store)
    assert len(machine.catalogue.all()) == 3


def names_below(machine: Machine, folder: Path) -> list[str]:
    return [record.name for record in register_below(folder, machine.catalogue, 1, pytest.fail)]


def test_serve_says_in_one_line_what_it_cannot_do(capsys, tmp_path: Path) -> None:
    for arguments in (
        ("serve",),
        ("serve", "--data", tmp_path / "nope", "--state", tmp_path / "s"),
        ("serve", "--data", tmp_path, "--port", "99999"),
        ("serve", "--data", tmp_path, "--state", tmp_path),
        ("serve", "--data", tmp_path, "--state", "/proc/nope/state.sqlite"),
    ):
        result = Result(capsys, *arguments)
        assert result.status == 2
        assert result.err.count("\n") == 1
    (tmp_path / "other.sqlite").write_text("this is no database, whatever its name says, and it is long enough")
    other = Result(capsys, "serve", "--data", tmp_path, "--state", tmp_path / "other.sqlite")
    assert other.status == 2
    assert "other.sqlite" in other.err
