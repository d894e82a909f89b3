"""`zarrlink --api URL --token TOKEN`: every verb through the API of a running server."""

from __future__ import annotations

import io
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from builders.annotation_zips import TREE, Volume, annotation_zip, nml, voxels, wkw_data, zip_of
from builders.commands import Result
from builders.local_jobs import until
from builders.loopback import served
from builders.remote_site import EM, TOKENS, Site, running_site
from builders.wkw_files import LayerFiles, dataset, ramp, write_tree
from zarrlink.geometry import Mag
from zarrlink_local.cli.options import API_VARIABLE, STACK_VARIABLE, STATE_VARIABLE, TOKEN_VARIABLE

Run = Callable[..., Result]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with running_site(tmp_path) as site:
        yield site


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], site: Site) -> Run:
    return lambda *arguments, user="ann": site.run(capsys, *arguments, user=user)


@pytest.fixture
def operator(capsys: pytest.CaptureFixture[str], site: Site) -> Run:
    """The same commands, straight on the state file."""
    return lambda *arguments: Result(capsys, *arguments, *site.state)


def painted() -> bytes:
    data = zip_of(wkw_data({"1": {(1, 0, 0): voxels(1)}}))
    return annotation_zip(Volume(data=data, fallback_layer="seg"))


@pytest.fixture
def cells(tmp_path: Path) -> Path:
    (tmp_path / "cells.zip").write_bytes(painted())
    return tmp_path / "cells.zip"


# --- datasets ---


def test_datasets_are_shown_as_the_operator_sees_them(run: Run, operator: Run) -> None:
    for command in (("list",), ("show", "mouse")):
        there, here = (ask("datasets", *command, "--json").json for ask in (run, operator))
        for facts in [here, there] if command[0] == "show" else [*here, *there]:
            facts["location"] = None
        assert there == here
    shown = run("datasets", "show", "mouse").out
    assert "mouse" in shown
    assert "0,0,0,90,70,20" in shown


def test_an_admin_describes_tags_shares_and_forgets_a_dataset(run: Run) -> None:
    edited = ("edit", "mouse", "--description", "A mouse.", "--tag", "EM", "--tag", "V1", "--json")
    facts = run("datasets", *edited, user="root").json
    assert (facts["description"], facts["tags"]) == ("A mouse.", ["EM", "V1"])
    assert run("datasets", "edit", "mouse", "--untag", "EM", "--tag", "S1", "--json", user="root").json["tags"] == [
        "V1",
        "S1",
    ]
    assert [it["name"] for it in run("datasets", "list", "--tag", "V1", "--json").json] == ["mouse"]
    assert [it["name"] for it in run("datasets", "list", "--query", "a MOUSE", "--json").json] == ["mouse"]
    assert run("datasets", "list", "--query", "mouse", "--tag", "EM", "--json").json == []
    assert run("datasets", "tag", "mouse", "V1", "--remove", "--json", user="root").json["tags"] == ["S1"]

    shared = run("datasets", "share", "mouse", "--visibility", "private", "--with", "bob", "--json", user="root").json
    assert (shared["visibility"], shared["collaborators"]) == ("private", ["bob"])
    assert run("datasets", "show", "mouse", user="bob").status == 0
    assert "there is no dataset 'mouse'" in run("datasets", "show", "mouse").refusal
    run("datasets", "share", "mouse", "--without", "bob", "--json", user="root").json  # noqa: B018
    assert run("datasets", "show", "mouse", user="bob").status == 2
    assert run("datasets", "replaced", "mouse", "--json", user="root").json["replaced"] is True
    run("datasets", "remove", "mouse", "--json", user="root").json  # noqa: B018
    assert [it["name"] for it in run("datasets", "list", "--json", user="root").json] == ["fly"]


def test_who_may_not_change_a_dataset_is_told_in_a_line(run: Run) -> None:
    assert run("datasets", "edit", "mouse", "--tag", "x").refusal
    assert run("datasets", "remove", "mouse").refusal
    assert run("datasets", "replaced", "mouse").refusal
    assert "say what to change" in run("datasets", "edit", "mouse").refusal
    assert "say with whom" in run("datasets", "share", "mouse").refusal


def test_the_operator_shares_as_well(operator: Run, run: Run) -> None:
    shared = operator("datasets", "share", "mouse", "--visibility", "private", "--with", "ann", "--json").json
    assert (shared["visibility"], shared["collaborators"]) == ("private", ["ann"])
    assert run("datasets", "show", "mouse").status == 0
    assert run("datasets", "show", "mouse", user="bob").status == 2
    assert operator("datasets", "share", "mouse", "--with", "no body").refusal


# --- links ---


def test_a_link_is_made_read_renamed_extended_and_revoked(run: Run, operator: Run, site: Site) -> None:
    made = run("links", "create", "mouse", "--name", "For Bob", "--json").json
    assert (made["owner"], made["uses"], made["lastUsed"]) == ("ann", 0, None)
    assert run("links", "list", "--json").json == [made]
    assert (
        run("links", "show", made["id"], "--json").json == made == operator("links", "show", made["id"], "--json").json
    )
    assert run("links", "list", "--json", user="bob").json == []
    address = made["layers"][0]["v3"]
    np.testing.assert_array_equal(zarr.open_group(address, mode="r")["0"][:], EM)
    until(lambda: run("links", "show", made["id"], "--json").json["uses"])
    assert [it["id"] for it in run("links", "list", "--to", "mouse", "--json").json] == [made["id"]]
    assert [it["id"] for it in run("links", "list", "--to", "mouse", "--json", user="root").json] == [made["id"]]
    assert run("links", "list", "--to", "mouse", "--json", user="bob").json == []
    assert [it["id"] for it in operator("links", "list", "--to", "mouse", "--json").json] == [made["id"]]
    assert operator("links", "list", "--to", "fly", "--json").json == []
    assert "mouse" in run("links", "list").out
    assert "up to " in run("links", "list").out

    assert run("links", "rename", made["id"], "Bob's", "--json").json["name"] == "Bob's"
    assert run("links", "extend", made["id"], "--expires", "never", "--json").json["expires"] is None
    assert run("links", "extend", made["id"], "--expires", "2031-02-03", "--json").json["expires"][:10] == "2031-02-03"
    assert run("links", "revoke", made["id"], user="bob").refusal
    assert run("links", "revoke", made["id"], "--json").json["id"] == made["id"]
    with pytest.raises(urllib.error.HTTPError, match="410"):
        urllib.request.urlopen(f"{address}/zarr.json")
    assert made["id"] in run("links", "revoke", made["id"]).refusal
    assert run("links", "list", "--json").json == []


def test_a_link_opens_what_was_asked_for(run: Run) -> None:
    options = ("--layer", "em", "--box", "8,8,8,16,16,8", "--finest-mag", "2-2-1", "--expires", "12h", "--note", "n")
    made = run("links", "create", "mouse", *options, "--json").json
    assert [layer["name"] for layer in made["layers"]] == ["em"]
    assert (made["box"], made["finestMag"], made["note"]) == ([8, 8, 8, 16, 16, 8], "2-2-1", "n")


REFUSED = {
    "no such dataset": ("links", "create", "nope"),
    "no such layer": ("links", "create", "mouse", "--layer", "zz"),
    "box outside": ("links", "create", "mouse", "--box", "900,0,0,1,1,1"),
    "past expiry": ("links", "create", "mouse", "--expires", "2001-01-01"),
    "somebody else's": ("links", "create", "mouse", "--owner", "bob"),
    "no such link": ("links", "extend", "AAAAAAAAAAAAAAAA"),
    "an id that is a path": ("links", "show", "../datasets"),
    "no job": ("jobs", "show", "123"),
    "no annotation": ("annotations", "show", "nope"),
    "no file": ("annotations", "import", "/nope.nml"),
    "a folder that is not served": ("datasets", "add", "/etc"),
    "operators only": ("users", "list"),
    "on the spot only": ("datasets", "verify", "mouse"),
    "serve": ("serve", "--data", "/tmp"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_said_in_one_line(run: Run, site: Site, name: str) -> None:
    assert run(*REFUSED[name]).refusal
    assert site.machine.links.of_owner(None) == []


# --- annotations ---


def test_an_annotation_is_imported_shown_edited_downloaded_and_removed(
    run: Run, operator: Run, cells: Path, tmp_path: Path
) -> None:
    made = run("annotations", "import", cells, "--dataset", "mouse", "--json").json
    assert (made["name"], made["owner"]) == ("sample__explorational", "ann")
    there, here = (ask("annotations", "show", made["id"], "--json").json for ask in (run, operator))
    assert there == {**here, "revision": None}
    assert [layer["kind"] for layer in there["layers"]] == ["Skeleton", "Volume"]
    assert run("annotations", "list", "--json", user="bob").json == []
    assert "mouse" in run("annotations", "list").out

    run("annotations", "edit", "sample__explorational", "--name", "cells", "--tag", "done", "--json").json  # noqa: B018
    run("annotations", "share", "cells", "--with", "bob", "--json").json  # noqa: B018
    assert [it["name"] for it in run("annotations", "list", "--tag", "done", "--json", user="bob").json] == ["cells"]

    for form, options in (("wkw", ()), ("zarr3", ("--volume-format", "zarr3")), ("none", ("--skip-volume-data",))):
        for ask, folder in ((run, "there"), (operator, "here")):
            (tmp_path / folder / form).mkdir(parents=True)
            told = ask("annotations", "download", "cells", *options, "-o", tmp_path / folder / form, "--json").json
            assert Path(told["file"]) == tmp_path / folder / form / "cells.zip"
        members = []
        for folder in ("there", "here"):
            with zipfile.ZipFile(tmp_path / folder / form / "cells.zip") as archive:
                members.append({name: archive.read(name) for name in archive.namelist()})
        assert members[0].keys() == members[1].keys()
        assert len(members[0]) == (1 if form == "none" else 2)
    again = run("annotations", "download", "cells", "-o", tmp_path / "there/wkw")
    assert "is there already" in again.err

    link = run("links", "create", "cells", "--json", user="bob").json
    assert (link["annotation"], link["owner"]) == (made["id"], "bob")
    run("annotations", "remove", "cells", "--json").json  # noqa: B018
    assert operator("annotations", "list", "--json").json == []


def test_a_skeleton_comes_back_as_it_was(run: Run, tmp_path: Path) -> None:
    file = tmp_path / 'a "b".nml'
    file.write_bytes(nml(skeleton=TREE))
    made = run("annotations", "import", file, "--json").json
    told = run("annotations", "download", made["id"], "-o", tmp_path / "back.nml")
    assert told.status == 0, told.err
    assert (tmp_path / "back.nml").read_bytes() == file.read_bytes()


def test_a_large_file_is_imported_on_one_machine_too(run: Run, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 2**32, 32**3 * 40, np.uint32).tobytes()
    size = 32**3 * 4
    blocks = {(1, number, 0): noise[number * size : (number + 1) * size] for number in range(40)}
    data = zip_of(wkw_data({"1": blocks}))
    (tmp_path / "large.zip").write_bytes(annotation_zip(Volume(data=data, fallback_layer="seg")))
    assert (tmp_path / "large.zip").stat().st_size > 4_000_000
    assert run("annotations", "import", tmp_path / "large.zip", "--dataset", "mouse", "--json").json["owner"] == "ann"


def test_a_file_that_is_none_is_refused_by_the_server(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.zip").write_bytes(b"PK\3\4nonsense")
    result = run("annotations", "import", tmp_path / "bad.zip")
    assert (result.status, result.out) == (2, "")
    assert result.err.splitlines()[-1].startswith("zarrlink: ")
    assert "leave --into" in run("annotations", "import", tmp_path / "bad.zip", "--new").refusal


# --- who one is ---


def test_me(run: Run, site: Site) -> None:
    assert run("users", "me", "--json").json == {"name": "ann", "isAdmin": False, "server": site.address}
    assert run("users", "me", "--json", user="root").json["isAdmin"] is True
    assert run("users", "me").out.startswith("ann at http://")


@pytest.mark.parametrize("given", ["", "wrong", "with space", "line\nbreak", "ä"])
def test_a_wrong_token_is_refused_and_not_repeated(capsys: Any, site: Site, given: str) -> None:
    refusal = Result(capsys, "--api", site.address, "--token", given, "links", "list").refusal
    assert len(given) < 5 or given not in refusal


def test_without_a_token_one_sees_what_is_public(capsys: Any, site: Site, operator: Run) -> None:
    operator("datasets", "share", "fly", "--visibility", "public", "--json").json  # noqa: B018
    assert [it["name"] for it in Result(capsys, "datasets", "list", "--api", site.address, "--json").json] == ["fly"]
    assert "--token" in Result(capsys, "links", "list", "--api", site.address).refusal


def test_the_token_comes_from_where_nobody_sees_it(capsys: Any, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{TOKENS['ann']}\n"))
    assert Result(capsys, "users", "me", "--api", site.address, "--token", "-", "--json").json["name"] == "ann"
    monkeypatch.setenv(API_VARIABLE, site.address)
    monkeypatch.setenv(TOKEN_VARIABLE, TOKENS["bob"])
    assert Result(capsys, "users", "me", "--json").json["name"] == "bob"
    assert Result(capsys, "links", "list", "--json").json == []
    assert Result(capsys, "users", "me", "--token", TOKENS["ann"], "--json").json["name"] == "ann"
    # What is said counts before the environment.
    assert "operator" not in Result(capsys, "users", "list", *site.state).out
    monkeypatch.setenv(STATE_VARIABLE, site.state[1])
    assert "both set" in Result(capsys, "links", "list").refusal
    monkeypatch.delenv(STATE_VARIABLE)
    monkeypatch.setenv(STACK_VARIABLE, "zarrlink")
    assert "both set" in Result(capsys, "links", "list").refusal


@pytest.mark.parametrize(
    "options",
    [
        ("--token", "x"),
        ("--api", "http://127.0.0.1:1", "--state", "x"),
        ("--api", "http://127.0.0.1:1", "--stack", "x"),
        ("--api", "127.0.0.1:1"),
        ("--api", "ftp://127.0.0.1"),
        ("--api", "http://user:word@127.0.0.1"),
        ("--api", "http://127.0.0.1:1"),
        ("--api", ""),
    ],
)
def test_options_that_make_no_sense(capsys: Any, options: tuple[str, ...]) -> None:
    assert Result(capsys, "links", "list", *options).refusal


# --- servers that are none ---


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"<html>hello</html>", "not of a zarrlink"),
        (500, b"<html>hello</html>", "answers 500"),
        (400, b'{"detail": "line\\none\\u001b[31m"}', "line one[31m"),
        (400, b'{"detail": 5}', "answers 400"),
        (400, b"[]", "answers 400"),
        (404, b"", "answers 404"),
    ],
)
def test_what_another_server_says_is_one_line(capsys: Any, status: int, body: bytes, said: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    with served(app) as address:
        assert said in Result(capsys, "--api", address, "datasets", "list").refusal


def test_a_server_that_has_moved_is_named(capsys: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        location = f"https://links.example.org{scope['path']}"
        await send({"type": "http.response.start", "status": 301, "headers": [(b"location", location.encode())]})
        await send({"type": "http.response.body", "body": b""})

    with served(app) as address:
        for command in (("datasets", "list"), ("jobs", "cancel", "1")):
            refusal = Result(capsys, "--api", address, "--token", "x", *command).refusal
            assert "sends on to https://links.example.org" in refusal


def test_a_dataset_is_registered_by_an_admin_where_the_server_serves_folders(
    run: Run, site: Site, tmp_path: Path
) -> None:
    write_tree(dataset(LayerFiles("em", {Mag(1, 1, 1): ramp((9, 9, 9))})), tmp_path / "data/worm")
    assert "admin" in run("datasets", "add", tmp_path / "data/worm").refusal
    (made,) = run("datasets", "add", tmp_path / "data/worm", "--tag", "new", "--json", user="root").json
    assert made["name"] == "worm"
    shown = run("datasets", "show", "worm", "--json").json
    assert (shown["id"], shown["tags"], shown["owner"]) == (made["id"], ["new"], "root")
