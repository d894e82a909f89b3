"""The commands that work on a state: one suite over a state file with folders and a stack with a bucket."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builders.commands import Result
from builders.kept import Kept, KeptInFile, KeptInStack
from builders.moto_aws import MotoAws, moto_aws
from builders.moto_stack import environment
from builders.wkw_files import LayerFiles, dataset, ramp
from zarrlink.formats.wkw import BlockType
from zarrlink.geometry import Mag
from zarrlink.users.interface import hash_user_token

ONE = Mag(1, 1, 1)
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoAws]:
    with moto_aws() as aws:
        yield aws


@pytest.fixture(params=["file", "stack"])
def kept(request: pytest.FixtureRequest, tmp_path: Path, aws: MotoAws, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Three datasets, one name twice."""
    if request.param == "stack":
        for name, value in environment(aws).items():
            monkeypatch.setenv(name, value)
    kept = KeptInFile(tmp_path) if request.param == "file" else KeptInStack(aws)
    objects = dataset(LayerFiles("a", {ONE: ramp((40, 40, 40))}), LayerFiles("b b", {ONE: ramp((9, 9, 9), "uint32")}))
    state = kept.opened()
    for folder in ("mouse", "x/fly", "y/fly"):
        state.add_datasets(kept.put(folder, objects), 1, pytest.fail)
    return kept


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], kept: Kept) -> Run:
    return lambda *arguments: Result(capsys, *arguments, *kept.options)


def test_a_link_is_made_listed_extended_and_revoked(run: Run, kept: Kept) -> None:
    names = [entry["name"] for entry in run("datasets", "list", "--json").json]
    assert names == ["fly", "fly", "mouse"]

    link = run("links", "create", "mouse", "--name", "For Ann", "--json").json
    page, said = f"{kept.address}/zarr/{link['token']}/", f"{kept.address}/data/annotations/zarr/{link['token']}"
    assert link["layers"] == [
        {"name": "a", "v3": f"{page}v3/a.zarr", "v2": f"{page}v2/a.zarr", "webknossos": f"{said}/a"},
        {"name": "b b", "v3": f"{page}v3/b%20b.zarr", "v2": f"{page}v2/b%20b.zarr", "webknossos": f"{said}/b%20b"},
    ]
    assert link["expires"].endswith("T23:59:59.999Z")
    assert run("links", "list", "--json").json == [link]
    assert run("links", "show", link["id"], "--json").json == link
    assert "For Ann" in run("links", "list").out
    assert run("links", "show", link["id"]).out.startswith(f"link {link['id']} (For Ann), expires ")

    never = run("links", "extend", link["id"], "--expires", "never", "--json").json
    assert never == {**link, "expires": None}
    day = run("links", "extend", link["id"], "--expires", "2031-02-03", "--json").json
    assert day["expires"] == "2031-02-03T23:59:59.999Z"
    renamed = run("links", "rename", link["id"], "For Bob", "--json").json
    assert renamed["name"] == "For Bob"

    told = "revoking" if kept.opened().has_edge else "revoked"
    revoked = run("links", "revoke", link["id"], "--json").json
    assert (revoked["id"], revoked["state"]) == (link["id"], told)
    assert run("links", "list", "--json").json == []
    shown = run("links", "show", link["id"])
    assert ("is revoked; the CDN is being told" in shown.out) == (told == "revoking")
    again = run("links", "revoke", link["id"])
    assert again.status == 2
    assert link["id"] in again.err


def test_exchanged_files_are_said_to_be(run: Run, kept: Kept) -> None:
    mouse = run("datasets", "show", "mouse", "--json").json["id"]
    assert run("datasets", "replaced", "mouse", "--json").json == {"id": mouse, "replaced": True}
    assert run("datasets", "replaced", mouse).out == f"the files of mouse ({mouse}) were replaced\n"
    revisions = {record.id: record.revision for record in kept.opened().catalogue.all()}
    assert revisions.pop(mouse) == 3
    assert set(revisions.values()) == {1}


def test_scope_options(run: Run) -> None:
    options = ("--layer", "a", "--box", "8,8,8,16,16,16", "--finest-mag", "1", "--expires", "12h", "--owner", "ann")
    link = run("links", "create", "mouse", *options, "--json").json
    assert [layer["name"] for layer in link["layers"]] == ["a"]
    assert (link["box"], link["finestMag"], link["owner"]) == ([8, 8, 8, 16, 16, 16], "1", "ann")
    assert run("links", "list", "--owner", "bob", "--json").json == []


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
    "no dataset to replace": ("datasets", "replaced", "nope"),
    "no dataset to verify": ("datasets", "verify", "nope"),
    "no such user": ("users", "remove", "nobody"),
    "no such user for a token": ("users", "token", "nobody"),
    "bad user": ("users", "add", "a b"),
    "unknown option": ("links", "list", "--nope"),
    "missing argument": ("links", "create"),
    "unknown command": ("links", "frobnicate"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_asked_wrongly_is_said_in_one_line(run: Run, kept: Kept, name: str) -> None:
    assert run(*WRONG[name]).refusal
    assert kept.opened().links.of_owner(None) == []


def test_a_dataset_is_added_and_removed(run: Run, kept: Kept) -> None:
    place = kept.put("more/worm", dataset(LayerFiles("a", {ONE: ramp((8, 8, 8))})))
    added = run("datasets", "add", place, "--json").json
    assert [entry["name"] for entry in added] == ["worm"]
    again = run("datasets", "add", f"{place}/", "--json").json
    assert again == added, "a place has one id"
    listed = {entry["name"]: entry["location"] for entry in run("datasets", "list", "--json").json}
    assert listed["worm"] == place
    run("datasets", "remove", "worm", "--json").json  # noqa: B018
    assert "worm" not in run("datasets", "list").out
    assert kept.read("more/worm/a/1/header.wkw")


def test_a_folder_without_a_description_is_refused_by_its_name(run: Run, kept: Kept) -> None:
    kept.write("empty/readme.txt", b"nothing")
    refusal = run("datasets", "add", kept.place("empty")).refusal
    assert kept.place("empty") in refusal
    assert "datasource-properties.json" in refusal


def test_a_user_token_is_shown_once(run: Run, kept: Kept) -> None:
    made = run("users", "add", "ann", "--json").json
    assert made["name"] == "ann"
    assert made["token"] not in run("users", "list").out
    assert kept.opened().users.by_token_hash(hash_user_token(made["token"])).name == "ann"
    assert run("users", "add", "ann").status == 2
    assert run("users", "remove", "ann").status == 0


def test_another_token_ends_the_one_before(run: Run, kept: Kept) -> None:
    first = run("users", "add", "ann", "--json").json["token"]
    made = run("users", "token", "ann")
    assert made.status == 0
    second = made.out.split()[-1]
    users = kept.opened().users
    assert users.by_token_hash(hash_user_token(first)) is None
    assert users.by_token_hash(hash_user_token(second)).name == "ann"
    assert run("users", "remove", "ann").status == 0
    assert users.by_token_hash(hash_user_token(second)) is None


def test_a_user_with_links_goes_only_where_it_is_said_what_becomes_of_them(run: Run, kept: Kept) -> None:
    def make(*said: str) -> None:
        run("users", "add", "ann", "--json", *said).json  # noqa: B018
        run("links", "create", "mouse", "--owner", "ann", "--json").json  # noqa: B018

    make()
    run("links", "create", "mouse", "--owner", "bob", "--json").json  # noqa: B018
    state = kept.opened()
    refused = run("users", "remove", "ann")
    assert refused.status == 2
    assert "1 link;" in refused.err
    assert [user.name for user in state.users.all()] == ["ann"]

    staying = run("users", "remove", "ann", "--keep-links")
    assert staying.status == 0
    assert "1 link of ann stay" in staying.err
    inherited = run("users", "add", "ann")
    assert inherited.status == 2
    assert "a user ann who is gone left 1 link:" in inherited.err
    make("--inherits")
    revoked = run("users", "remove", "ann", "--revoke-links", "--json").json
    assert revoked == {"name": "ann", "removed": True, "linksRevoked": 2}
    assert state.users.all() == []
    assert [link.owner for link in state.links.of_owner(None)] == ["bob"]


def test_the_last_day_of_all_can_be_an_expiry(run: Run) -> None:
    link = run("links", "create", "mouse", "--expires", "9999-12-31", "--json").json
    assert link["expires"] == "9999-12-31T23:59:59.999Z"


@pytest.mark.parametrize("block_type", [BlockType.RAW, BlockType.LZ4])
def test_verify_finds_damage_and_a_manifest_finds_flipped_bits(
    run: Run, kept: Kept, tmp_path: Path, block_type: BlockType
) -> None:
    place = kept.put("worm", dataset(LayerFiles("a", {ONE: ramp((40, 9, 9))}, block_type=block_type)))
    run("datasets", "add", place, "--json").json  # noqa: B018
    command = ("datasets", "verify", "worm", "--json", "--manifest", tmp_path / "manifest.json")

    clean = run(*command).json
    assert (clean["files"], clean["blocks"], clean["damage"]) == (2, 128, [])
    assert run(*command).status == 0

    key = "worm/a/1/z0/y0/x1.wkw"
    whole = kept.read(key)
    kept.write(key, whole[:-1] + bytes([whole[-1] ^ 1]))
    flipped = run(*command)
    assert flipped.status == 1
    assert any("x1.wkw" in line for line in json.loads(flipped.out)["damage"])

    for cut in (whole[:-1], b""):
        kept.write(key, cut)
        assert run(*command[:-2]).status == 1
    kept.remove(key)
    missing = run(*command)
    assert missing.status == 1
    assert "missing" in missing.out


def test_verify_says_what_it_could_not_look_at(run: Run, kept: Kept) -> None:
    n5 = LayerFiles("n5", {ONE: ramp((8, 8, 8))}, described={"dataFormat": "n5"})
    run("datasets", "add", kept.put("worm", dataset(LayerFiles("a", {ONE: ramp((8, 8, 8))}), n5))).out  # noqa: B018
    assert "not verified: layer n5" in run("datasets", "verify", "worm").out
    kept.remove("worm/a/1/z0/y0/x0.wkw")
    result = run("datasets", "verify", "worm")
    assert result.status == 1
    assert "note: a/1: no data file" in result.out
    kept.write("worm/a/1/header.wkw", b"WKW")
    assert "damaged: a/1/header.wkw: " in run("datasets", "verify", "worm").out
    kept.remove("worm/a/1/header.wkw")
    assert "damaged: layer a: mag 1 has no header.wkw" in run("datasets", "verify", "worm").out
    kept.remove("worm/datasource-properties.json")
    gone = run("datasets", "verify", "worm")
    assert gone.status == 2
    assert "datasource-properties.json" in gone.err.splitlines()[-1]
