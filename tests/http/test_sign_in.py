"""Who one is by which token, through the whole API; WEBKNOSSOS and an OpenID Connect provider answer on sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from builders.commands import Result
from builders.vouching import AUDIENCE, Provider, Webknossos, person
from builders.wkw_files import LayerFiles, dataset, ramp, write_tree
from zarrlink.errors import InvalidRequest
from zarrlink.geometry import Mag
from zarrlink.users.configured import SignInChoice
from zarrlink.users.interface import User, check_any_user_name, check_user_name, hash_user_token
from zarrlink_local.machine import Machine, open_machine
from zarrlink_local.scan import register_below
from zarrlink_local.server import create_app

LINKS = "/api/zarrPrivateLinks"
THEIRS = "bbbbbbbbbbbbbbbbbbbbbb"
ANN = {"X-Auth-Token": "ann-token"}
BEA = {"X-Auth-Token": THEIRS}


@pytest.fixture(scope="module")
def webknossos() -> Iterator[Webknossos]:
    server = Webknossos(people={THEIRS: person("bea@lab.org")})
    with server.running():
        yield server


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    provider = Provider()
    provider.make_key("first")
    with provider.running():
        yield provider


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    write_tree(dataset(LayerFiles("em", {Mag(1, 1, 1): ramp((16, 16, 16))})), tmp_path / "data" / "mouse")
    machine = open_machine(tmp_path / "state.sqlite")
    register_below(tmp_path / "data", machine.catalogue, 1, pytest.fail)
    machine.users.add(User("ann", 1, is_admin=True), hash_user_token("ann-token"))
    return machine


@pytest.fixture
def client(machine: Machine, webknossos: Webknossos, provider: Provider) -> Iterator[TestClient]:
    webknossos.failure = None
    choice = SignInChoice(wk_url=webknossos.address, oidc_issuer=provider.address, oidc_audience=AUDIENCE)
    with TestClient(create_app(machine, "https://links.example", vouchers=choice.vouchers())) as client:
        yield client


def bearer(provider: Provider, **claims: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {provider.token('first', **claims)}"}


def who(client: TestClient, headers: dict[str, str]) -> Any:
    reply = client.get("/api/user", headers=headers)
    return reply.json()["firstName"] if reply.status_code == 200 else reply.status_code


def test_everybody_is_who_they_are(client: TestClient, provider: Provider, webknossos: Webknossos) -> None:
    webknossos.asked.clear()
    assert who(client, ANN) == "ann"
    assert webknossos.asked == []
    assert who(client, BEA) == "wk:bea@lab.org"
    assert who(client, bearer(provider, sub="carl")) == "oidc:carl"
    # The first that is said counts.
    assert who(client, {**ANN, **bearer(provider)}) == "ann"


def test_nobody_is_nobody(client: TestClient, provider: Provider) -> None:
    for headers in (
        {},
        {"X-Auth-Token": ""},
        {"X-Auth-Token": "c" * 22},
        {"X-Auth-Token": provider.token("first")},
        {"Authorization": "Bearer x.y.z"},
        {"Authorization": f"Bearer {THEIRS}"},
        {"Authorization": "Basic YW5uOmFubi10b2tlbg=="},
        bearer(provider, aud="other"),
    ):
        assert who(client, headers) == 401, headers
    reply = client.get("/api/user")
    assert reply.headers["www-authenticate"] == 'Bearer realm="zarrlink"'
    # Nor where no token would have been needed.
    assert client.get("/api/datasets").status_code == 200
    assert client.get("/api/datasets", headers={"X-Auth-Token": "c" * 22}).status_code == 401


def test_somebody_from_outside_has_links_of_their_own(client: TestClient, machine: Machine) -> None:
    (record,) = machine.catalogue.all()
    made = client.post(LINKS, headers=BEA, json={"dataset": record.id}).json()
    assert made["owner"] == "wk:bea@lab.org"
    assert [link["id"] for link in client.get(LINKS, headers=BEA).json()] == [made["id"]]
    assert client.get(LINKS, headers=ANN).json() == []
    assert client.get(f"/zarr/{made['accessToken']}/v3/em.zarr/zarr.json").status_code == 200
    assert client.delete(f"{LINKS}/{made['id']}", headers=BEA).status_code == 200
    # What only admins may.
    assert client.get("/api/user", headers=BEA).json()["isAdmin"] is False
    assert client.patch(f"/api/datasets/{record.id}", headers=BEA, json={"name": "x"}).status_code == 404


def test_somebody_from_outside_is_shared_with(client: TestClient, machine: Machine, provider: Provider) -> None:
    (record,) = machine.catalogue.all()
    path = f"/api/datasets/{record.id}"
    changed = {"visibility": "private", "collaborators": ["wk:bea@lab.org"]}
    assert client.patch(path, headers=ANN, json=changed).status_code == 200
    assert client.get(path, headers=BEA).status_code == 200
    assert client.get(path, headers=bearer(provider)).status_code == 404


def test_a_server_that_does_not_answer_is_not_a_wrong_token(client: TestClient, webknossos: Webknossos) -> None:
    assert who(client, BEA) == "wk:bea@lab.org"
    webknossos.failure = (500, b"secret")
    assert who(client, BEA) == "wk:bea@lab.org", "it is remembered"
    reply = client.get("/api/user", headers={"X-Auth-Token": "d" * 22})
    assert reply.status_code == 503
    assert reply.headers["retry-after"] == "5"
    assert "secret" not in reply.text
    assert webknossos.address not in reply.text
    assert who(client, ANN) == "ann"


def test_nobody_else_vouches_by_default(machine: Machine, webknossos: Webknossos, provider: Provider) -> None:
    webknossos.asked.clear()
    with TestClient(create_app(machine, "https://links.example")) as client:
        assert who(client, BEA) == 401
        assert who(client, bearer(provider)) == 401
        assert who(client, ANN) == "ann"
        # The header may be a proxy's.
        assert client.get("/api/datasets", headers={"Authorization": "Basic eDp5"}).status_code == 200
    assert webknossos.asked == []


def test_nobody_of_ours_is_called_like_somebody_from_outside() -> None:
    for name in ("wk:ann@lab.org", "oidc:ann", "ann:x", ":"):
        with pytest.raises(InvalidRequest):
            check_user_name(name)
    for name in ("wk:ann@lab.org", "oidc:auth0|123", "ann"):
        check_any_user_name(name)
    for name in ("wk:", "oidc: ann", "other:ann", "wk:oidc:ann", "wk:ann\n"):
        with pytest.raises(InvalidRequest):
            check_any_user_name(name)


@pytest.mark.parametrize(
    "options",
    [
        ["--wk-url", "http://webknossos.example"],
        ["--oidc-issuer", "https://login.example"],
        ["--oidc-audience", "zarrlink"],
        ["--wk-organization", "lab"],
        ["--wk-admins"],
        ["--ui-origin", "*"],
    ],
)
def test_what_does_not_fit_is_refused_at_start(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "state.sqlite"
    assert Result(capsys, "serve", "--data", tmp_path, "--state", state, "--port", 0, *options).refusal
    assert not state.exists()
