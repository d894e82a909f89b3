"""The `zarrlink` command, as people and scripts call it."""

import json
from pathlib import Path

import pytest

from builders.wkw_files import LayerFiles, dataset, ramp, write_tree
from zarrlink.formats.wkw import BlockType
from zarrlink.geometry import Mag
from zarrlink_local.cli import main
from zarrlink_local.machine import now_ms, open_machine
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


def test_serve_says_in_one_line_what_it_cannot_do(capsys, tmp_path: Path) -> None:
    for arguments in (
        ("serve",),
        ("serve", "--data", tmp_path / "nope", "--state", tmp_path / "s"),
        ("serve", "--data", tmp_path, "--port", "99999"),
        ("serve", "--data", tmp_path, "--state", tmp_path),
    ):
        result = Result(capsys, *arguments)
        assert result.status == 2
        assert result.err.count("\n") == 1
    (tmp_path / "other.sqlite").write_text("this is no database, whatever its name says, and it is long enough")
    other = Result(capsys, "serve", "--data", tmp_path, "--state", tmp_path / "other.sqlite")
    assert other.status == 2
    assert "other.sqlite" in other.err
