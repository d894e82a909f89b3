"""The files of the web pages, as browsers get them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from zarrlink_local.machine import open_machine
from zarrlink_local.server import create_app

FILES = sorted(file.name for file in resources.files("zarrlink_web").iterdir() if file.name.endswith((".js", ".css")))
PAGES = [
    "/",
    *(f"/web/{file.name}" for file in resources.files("zarrlink_web").iterdir() if file.name == "example.html"),
]


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(open_machine(tmp_path / "state.sqlite"), "https://links.example")) as client:
        yield client


def test_scripts_and_styles_come_from_the_package(client: TestClient) -> None:
    """Also for a UI at another origin, which imports them."""
    for name in FILES:
        reply = client.get(f"/web/{name}")
        assert reply.status_code == 200, name
        assert reply.content == resources.files("zarrlink_web").joinpath(name).read_bytes()
        assert reply.headers["content-type"] == f"text/{'css' if name.endswith('css') else 'javascript'}; charset=utf-8"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["cache-control"] == "no-cache"
        assert reply.headers["access-control-allow-origin"] == "*"
        assert client.head(f"/web/{name}").headers["content-length"] == str(len(reply.content))


@pytest.mark.parametrize("address", PAGES)
def test_pages_run_nothing_but_the_packages_scripts(client: TestClient, address: str) -> None:
    reply = client.get(address)
    assert reply.status_code == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in reply.headers
    policy = dict(rule.split(" ", 1) for rule in reply.headers["content-security-policy"].split("; "))
    assert (policy["default-src"], policy["script-src"], policy["style-src"]) == ("'none'", "'self'", "'self'")
    assert policy["frame-ancestors"] == "'none'"
    # As its own policy and a stage before the address demand.
    assert re.findall(r"<script(?![^>]*\ssrc=)|\sstyle=|\son[a-z]+=", reply.text) == []
    assert [place for place in re.findall(r"(?:src|href)=\"([^\"]*)\"", reply.text) if place.startswith("/")] == []


def test_what_a_browser_has_is_not_sent_again(client: TestClient) -> None:
    first = client.get("/web/link.js")
    again = client.get("/web/link.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert client.get("/web/link.js", headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/web/", "/web/nope.js", "/web/__init__.py", "/web/../link.html", "/web/link.html", "/x"]
)
def test_nothing_else_is_a_file(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 404
    assert client.post("/web/link.js").status_code == 404
