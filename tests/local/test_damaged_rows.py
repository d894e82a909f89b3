"""A damaged row of a table harms nothing but what it is about: on the command line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from builders.commands import Result
from builders.kept import Kept, KeptInFile, KeptInStack
from builders.moto_aws import MotoAws, moto_aws
from builders.moto_stack import environment
from builders.spoilt_rows import Spoil, in_dynamodb, in_file
from builders.wkw_files import LayerFiles, dataset, ramp
from contracts.annotations import CELLS
from contracts.job_store import job
from local.test_shell import COMMAND, ENVIRONMENT
from zarrlink.errors import DamagedRow
from zarrlink.geometry import Mag
from zarrlink.links.dynamodb import DynamoLinks
from zarrlink.users.interface import hash_user_token
from zarrlink_local.machine import Machine
from zarrlink_local.scan import register_below

GARBAGE = "{garbage"
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def aws() -> Iterator[MotoAws]:
    with moto_aws() as aws:
        yield aws


@pytest.fixture(params=["file", "stack"])
def kept(request: pytest.FixtureRequest, tmp_path: Path, aws: MotoAws, monkeypatch: pytest.MonkeyPatch) -> Kept:
    """Datasets `mouse` and `fly`."""
    if request.param == "stack":
        for name, value in environment(aws).items():
            monkeypatch.setenv(name, value)
    kept = KeptInFile(tmp_path) if request.param == "file" else KeptInStack(aws)
    state = kept.opened()
    for folder in ("mouse", "fly"):
        objects = dataset(LayerFiles("a", {Mag(1, 1, 1): ramp((8, 8, 8))}))
        state.add_datasets(kept.put(folder, objects), 1, pytest.fail)
    return kept


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], kept: Kept) -> Run:
    return lambda *arguments: Result(capsys, *arguments, *kept.options)


def spoiling(kept: Kept, aws: MotoAws, table: str) -> Spoil:
    state = kept.opened()
    if isinstance(state, Machine):
        return in_file(state.file, table, "name" if table == "users" else "id")
    stores = {
        "links": state.links,
        "datasets": state.catalogue,
        "annotations": state.shelf.annotations,
        "users": state.users,
    }
    store: DynamoLinks = stores[table]  # type: ignore[assignment]  # each has its table
    return in_dynamodb(aws.client("dynamodb"), store._table._name, "user#" if table == "users" else "")


def test_a_damaged_link_keeps_no_command_from_the_others(
    run: Run, kept: Kept, aws: MotoAws, caplog: pytest.LogCaptureFixture
) -> None:
    for user in ("ann", "carl"):
        assert run("users", "add", user).status == 0
    spoilt, whole = (
        run("links", "create", "mouse", "--owner", owner, "--json").json["id"] for owner in ("ann", "carl")
    )
    spoiling(kept, aws, "links")(spoilt, "view", GARBAGE)
    caplog.clear()
    assert [link["id"] for link in run("links", "list", "--json").json] == [whole]
    assert caplog.messages == [f"damaged rows are left out: link {spoilt}"]
    assert run("links", "show", spoilt).refusal == f"the row of link {spoilt} cannot be read"
    assert run("users", "remove", "carl", "--revoke-links", "--json").json["linksRevoked"] == 1
    # Of a user with such a link it is asked for and revoked, too.
    assert run("users", "remove", "ann").refusal == "ann has 1 link; say --revoke-links or --keep-links"
    assert run("users", "remove", "ann", "--revoke-links", "--json").json["linksRevoked"] == 1
    assert dict(kept.opened().links.all())[spoilt] is None
    spoiling(kept, aws, "links")(spoilt, "view", '{"dataset":"","layers":["a"]}')
    assert all(link is not None and link.revoked_ms is not None for _, link in kept.opened().links.all())


def test_a_damaged_link_that_is_kept_waits_for_who_gets_the_name(run: Run, kept: Kept, aws: MotoAws) -> None:
    run("users", "add", "ann", "--json").json  # noqa: B018
    link_id = run("links", "create", "mouse", "--owner", "ann", "--json").json["id"]
    spoiling(kept, aws, "links")(link_id, "view", GARBAGE)
    removed = run("users", "remove", "ann", "--keep-links", "--json")
    assert removed.json == {"name": "ann", "removed": True, "linksKept": 1}
    assert "1 link of ann stay" in removed.err
    assert "a user ann who is gone left 1 link:" in run("users", "add", "ann").refusal
    assert run("links", "revoke", link_id).status == 0
    # Once it is revoked it is nobody's any more, damaged as it still is.
    assert run("users", "add", "ann").status == 0
    assert run("users", "remove", "ann").status == 0


@pytest.mark.parametrize(("field", "value"), [("created_ms", -1), ("is_admin", 2)])
def test_a_damaged_user_is_named_and_removed(
    run: Run, kept: Kept, aws: MotoAws, caplog: pytest.LogCaptureFixture, field: str, value: int
) -> None:
    tokens = {name: run("users", "add", name, "--json").json["token"] for name in ("ann", "carl")}
    run("links", "create", "mouse", "--owner", "ann", "--json").json  # noqa: B018
    spoiling(kept, aws, "users")("ann", field, value)
    caplog.clear()
    assert [user["name"] for user in run("users", "list", "--json").json] == ["carl"]
    assert caplog.messages == ["damaged rows are left out: user ann"]
    assert run("users", "token", "ann").refusal == "the row of user ann cannot be read"
    assert run("users", "add", "ann").refusal == "there is a user 'ann' already"
    users = kept.opened().users
    with pytest.raises(DamagedRow):
        users.by_token_hash(hash_user_token(tokens["ann"]))
    assert run("users", "remove", "ann").refusal == "ann has 1 link; say --revoke-links or --keep-links"
    assert run("users", "remove", "ann", "--revoke-links").out == "removed ann and revoked 1 link\n"
    assert users.by_token_hash(hash_user_token(tokens["ann"])) is None
    assert run("users", "remove", "ann").refusal == "there is no user 'ann'"
    assert run("users", "add", "ann").status == 0
    assert [user["name"] for user in run("users", "list", "--json").json] == ["ann", "carl"]


def test_an_admin_whose_row_says_otherwise_is_made_one_again(run: Run, kept: Kept, aws: MotoAws) -> None:
    token = run("users", "add", "ann", "--admin", "--json").json["token"]
    spoiling(kept, aws, "users")("ann", "is_admin", 2)
    assert run("users", "admin", "ann", "--json").json == {"name": "ann", "isAdmin": True}
    assert kept.opened().users.by_token_hash(hash_user_token(token)).is_admin


def test_a_damaged_link_is_revoked(run: Run, kept: Kept, aws: MotoAws) -> None:
    link_id = run("links", "create", "mouse", "--json").json["id"]
    spoiling(kept, aws, "links")(link_id, "view", GARBAGE)
    revoked = run("links", "revoke", link_id)
    assert revoked.status == 0
    assert revoked.out.startswith(f"revoked {link_id}")
    assert f"there is no link '{link_id}'" in run("links", "revoke", link_id).refusal


def test_a_damaged_dataset_or_annotation_keeps_no_command_from_the_others(run: Run, kept: Kept, aws: MotoAws) -> None:
    mouse = next(it["id"] for it in run("datasets", "list", "--json").json if it["name"] == "mouse")
    other = replace(CELLS, id="1" * 24, name="axons")
    for record in (CELLS, other):
        kept.opened().shelf.annotations.add(record)
    spoiling(kept, aws, "datasets")(mouse, "tags", GARBAGE)
    spoiling(kept, aws, "annotations")(CELLS.id, "collaborators", "7")
    assert [it["name"] for it in run("datasets", "list", "--json").json] == ["fly"]
    assert [it["name"] for it in run("annotations", "list", "--json").json] == ["axons"]
    assert run("links", "create", "fly").status == 0
    assert run("links", "list").status == 0
    assert run("datasets", "show", mouse).refusal == f"the row of dataset {mouse} cannot be read"
    # By its id each can be forgotten.
    for things, thing_id in (("datasets", mouse), ("annotations", CELLS.id)):
        assert run(things, "remove", thing_id, "--json").json == {"id": thing_id, "removed": True}
        assert f"there is no {things.removesuffix('s')}" in run(things, "remove", thing_id).refusal


def test_a_server_starts_beside_a_damaged_dataset(tmp_path: Path) -> None:
    kept = KeptInFile(tmp_path)
    state = kept.opened()
    assert isinstance(state, Machine)
    for folder in ("mouse", "fly"):
        kept.put(folder, dataset(LayerFiles("a", {Mag(1, 1, 1): ramp((8, 8, 8))})))
    fly, mouse = register_below(Path(kept.place("")), state.catalogue, 1, pytest.fail)
    in_file(state.file, "datasets")(mouse.id, "tags", GARBAGE)
    told: list[str] = []
    assert register_below(Path(kept.place("")), state.catalogue, 1, told.append) == [fly]
    assert told == [f"{kept.place('mouse')}: the row of dataset {mouse.id} cannot be read"]


def test_people_are_told_once_of_what_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = KeptInFile(tmp_path)
    state = kept.opened()
    assert isinstance(state, Machine)
    state.add_datasets(kept.put("mouse", dataset(LayerFiles("a", {Mag(1, 1, 1): ramp((8, 8, 8))}))), 1, pytest.fail)
    (mouse,) = state.catalogue.all()
    Result(capsys, "users", "add", "carl", *kept.options)
    state.jobs.add(job(0, owner="carl"))
    in_file(state.file, "datasets")(mouse.id, "tags", GARBAGE)
    in_file(state.file, "jobs")(job(0).id, "kind", GARBAGE)
    command = [*COMMAND, "users", "remove", "carl", "--keep-links", "--json", *kept.options]
    ended = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (ended.returncode, json.loads(ended.stdout)["removed"]) == (0, True)
    assert ended.stderr.splitlines() == [
        f"damaged rows are left out: dataset {mouse.id}",
        f"damaged rows are left out: job {job(0).id}",
    ]
