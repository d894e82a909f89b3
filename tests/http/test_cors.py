"""Which pages at other origins may call the API, and that they see its errors too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from zarrlink.errors import InvalidRequest
from zarrlink.http.api_door import MAX_BODY_BYTES
from zarrlink.http.cors import UiOrigins
from zarrlink.users.interface import User, hash_user_token
from zarrlink_local.machine import Machine, open_machine
from zarrlink_local.server import create_app

UI = "https://ui.example.org"
ANN = {"X-Auth-Token": "ann-token"}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = open_machine(tmp_path / "state.sqlite")
    machine.users.add(User("ann", 1), hash_user_token("ann-token"))
    return machine


@pytest.fixture
def client(machine: Machine) -> Iterator[TestClient]:
    app = create_app(machine, "https://links.example", ui_origins=UiOrigins.of([UI, "http://127.0.0.1:9000"]))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def ask_before(client: TestClient, path: str, origin: str, method: str = "PUT"):
    """The preflight of a browser."""
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "content-type,x-auth-token"}
    return client.options(path, headers={"Origin": origin, **asked})


@pytest.mark.parametrize("origin", [UI, "http://127.0.0.1:9000"])
@pytest.mark.parametrize("path", ["/api/zarrPrivateLinks/x", "/api/v14/jobs", "/data/v16/zarr/x/zarr.json"])
def test_a_page_of_the_ui_may_ask_with_its_token(client: TestClient, path: str, origin: str) -> None:
    reply = ask_before(client, path, origin)
    assert (reply.status_code, reply.content) == (204, b"")
    assert reply.headers["access-control-allow-origin"] == origin
    methods = reply.headers["access-control-allow-methods"].split(", ")
    assert {"GET", "POST", "PUT", "PATCH", "DELETE"} <= set(methods)
    headers = {name.lower() for name in reply.headers["access-control-allow-headers"].split(", ")}
    assert {"x-auth-token", "authorization", "content-type", "idempotency-key", "range"} <= headers
    assert "access-control-allow-credentials" not in reply.headers
    assert reply.headers["vary"] == "Origin"


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://ui.example.org", f"{UI}.evil.example", f"{UI}:444", "*"]
)
def test_a_page_of_anybody_else_may_not(client: TestClient, origin: str) -> None:
    for reply in (
        ask_before(client, "/api/zarrPrivateLinks", origin),
        client.get("/api/zarrPrivateLinks", headers={**ANN, "Origin": origin}),
        client.get("/api/nope", headers={"Origin": origin}),
    ):
        assert not [name for name in reply.headers if name.startswith("access-control-")]
        assert reply.headers["vary"] == "Origin"


def test_answers_and_errors_alike_can_be_read(client: TestClient, machine: Machine) -> None:
    origin = {"Origin": UI}
    large = b"x" * (MAX_BODY_BYTES + 1)
    json = {"content-type": "application/json"}
    replies = {
        200: client.get("/api/zarrPrivateLinks", headers={**ANN, **origin}),
        400: client.get("/api/v9/datasets", headers=origin),
        401: client.get("/api/zarrPrivateLinks", headers=origin),
        404: client.get("/data/nope", headers=origin),
        405: client.patch("/api/zarrPrivateLinks", headers={**ANN, **origin}),
        413: client.post("/api/zarrPrivateLinks", headers={**ANN, **origin, **json}, content=large),
    }
    # What nobody foresaw.
    with machine.file.write() as connection:
        connection.execute("DROP TABLE links")
    replies[500] = client.get("/api/zarrPrivateLinks", headers={**ANN, **origin})
    for status, reply in replies.items():
        assert reply.status_code == status
        assert reply.headers["access-control-allow-origin"] == UI
        assert reply.headers["vary"] == "Origin"
        exposed = set(reply.headers["access-control-expose-headers"].split(", "))
        assert {"Content-Disposition", "Content-Range", "Location", "Retry-After"} <= exposed


def test_nobody_is_named_where_nobody_is_configured(machine: Machine) -> None:
    with TestClient(create_app(machine, "https://links.example")) as client:
        reply = client.get("/api/buildinfo", headers={"Origin": UI})
        assert reply.status_code == 200
        assert "access-control-allow-origin" not in reply.headers
        assert client.get("/api/nope").headers.get("access-control-allow-origin") is None


def test_links_stay_open_to_every_origin(client: TestClient) -> None:
    reply = client.get("/zarr/x/v3/em.zarr/zarr.json", headers={"Origin": "https://anybody.example"})
    assert reply.headers["access-control-allow-origin"] == "*"


def test_origins_are_written_in_many_ways() -> None:
    found = UiOrigins.from_text("https://UI.example.org/, http://127.0.0.1:9000  https://x.org:443 http://[::1]:8080")
    assert found.origins == {UI.encode(), b"http://127.0.0.1:9000", b"https://x.org", b"http://[::1]:8080"}
    assert UiOrigins.from_text("").origins == frozenset()


@pytest.mark.parametrize(
    "text", ["*", "null", "ui.example.org", "https://ui.example.org/path", "https://*.example.org"]
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is not the origin of a UI"):
        UiOrigins.from_text(text)
