"""The harness of `make clients` finds bugs that are planted, says nothing secret, and holds nothing against a right server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from builders.wkw_files import noise
from clients import matrix, report
from clients.known import reason_of
from clients.matrix import Outcome, run_client, told
from clients.planted import Bug, planted
from clients.volumes import Shown, shown_layers
from zarrlink.geometry import Mag

SESSION = str(Path(__file__).parent / "readers" / "session.py")
CLIENT = "zarr-python (fsspec)"
LAYER = Shown("em", "grey uint8", "color", {Mag(1, 1, 1): noise((40, 32, 24))}, (0, 0, 0))


def outcome(bug: Bug, version: str = "v2") -> Outcome:
    with planted(bug) as site:
        command = [sys.executable, SESSION, CLIENT, version]
        (found,) = run_client(CLIENT, command, version, site, [LAYER])
    return found


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_a_right_server_passes(version: str) -> None:
    assert outcome("none", version) == Outcome(CLIENT, version, "em", "passed")


@pytest.mark.parametrize(
    ("bug", "verdict", "words"),
    [
        ("wrong voxel", "wrong voxels", "level 0: 1 of 30720 voxels"),
        ("chunk lost", "wrong voxels", "level 0: "),
        ("absent when revoked", "read after revocation", "what was open before: fill value in place of voxels"),
        ("never revoked", "read after revocation", "what was open before: the voxels as before"),
        ("other type", "wrong voxels", "level 0: int8 in place of uint8"),
    ],
)
def test_a_planted_bug_is_found(bug: Bug, verdict: str, words: str) -> None:
    found = outcome(bug)
    assert found.verdict == verdict
    assert found.words.startswith(words)


def test_a_client_that_never_answers_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "LIMIT_S", 5.0)
    found = outcome("hangs")
    assert (found.verdict, found.words) == ("no answer", "no answer within 5 s")


def test_a_client_that_dies_is_told_of() -> None:
    with planted("none") as site:
        (found,) = run_client("any", [sys.executable, "-c", "raise SystemExit(3)"], "v2", site, [LAYER])
    assert (found.verdict, found.words) == ("no answer", "its process ended with status 3")


def test_a_failure_on_a_link_that_nobody_explained_is_named() -> None:
    mine = Outcome("zarr-python (fsspec)", "v3", "em", "wrong voxels", "level 0: 1 of 8 voxels")
    theirs = Outcome("cloud-volume", "v3", "em", "failed to read", "sharded volumes are not currently supported.")
    results = report.Results("Links", {("zarr-python (fsspec)", "v3"): [mine], ("cloud-volume", "v3"): [theirs]})
    assert report.unexplained(results) == [mine]
    assert reason_of(theirs) is not None
    shown = report.page("today", [("em", "grey")], {mine.client: "1", theirs.client: "2"}, [results])
    assert "Not explained yet" in shown
    assert "take the v2 address" in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("410 http://127.0.0.1:8123/zarr/a7qIWz_-M4/v3/em.zarr/0/c/1/2/3\nmore", "410 ADDRESS/v3/em.zarr/0/c/…"),
        ("no such file /home/ana/x.npy here", "no such file FOLDER here"),
        ("GET http://127.0.0.1:1/abc-d/v2.zarr/0/0/0/1 in 10.08ms - gone", "GET ADDRESS/v2.zarr/0/… in N s - gone"),
        ("", ""),
    ],
)
def test_what_is_said_holds_no_secret_and_nothing_of_this_machine(words: str, said: str) -> None:
    assert told(words) == said


def test_the_layers_are_what_their_names_say() -> None:
    by_name = {layer.name: layer for layer in shown_layers()}
    finest = {name: next(iter(layer.levels.values())) for name, layer in by_name.items()}
    assert {name: str(volume.dtype) for name, volume in finest.items()} == {
        "em": "uint8",
        "rgb": "uint8",
        "segmentation": "uint32",
        "ids": "uint64",
        "Volume": "uint32",
    }
    assert finest["rgb"].shape[3] == 3
    assert finest["ids"].max() > 2**53, "more than a double can hold"
    painted = finest["Volume"] != finest["segmentation"]
    assert painted.any()
    assert not painted.all()
    for layer in by_name.values():
        assert all(np.any(level) for level in layer.levels.values()), "a level of zeros would prove nothing"


def test_a_client_that_nobody_knows_is_refused_with_the_names_of_all() -> None:
    command = [sys.executable, "-m", "clients.run", "--only", "nope"]
    ended = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("there is no client with 'nope' in its name; there are zarr-python (fsspec), Python")
    assert ended.stderr.count("\n") == 1
