"""Neuroglancer's client below the server's own address: the package's files, and nothing where it is not installed."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from zarrlink.errors import InvalidRequest
from zarrlink_local import viewer
from zarrlink_local.machine import open_machine
from zarrlink_local.server import create_app

INDEX = "<!doctype html><html><head><script defer src=main.js></script></head></html>"


def client(folder: Path) -> TestClient:
    return TestClient(create_app(open_machine(folder / "state.sqlite"), "https://links.example"))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package `neuroglancer` that would fail if it were imported."""
    package = tmp_path / "site" / "neuroglancer"
    (package / "static" / "client").mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    (package / "static" / "client" / "index.html").write_text(INDEX)
    (package / "static" / "client" / "main.js").write_text("let a;")
    (package / "static" / "client" / "main.js.map").write_text("{}")
    monkeypatch.delitem(sys.modules, "neuroglancer", raising=False)
    monkeypatch.syspath_prepend(tmp_path / "site")
    importlib.invalidate_caches()
    return package


def test_the_packages_client_is_served_without_its_python_part(installed: Path, tmp_path: Path) -> None:
    with client(tmp_path) as web:
        page = web.get("/neuroglancer/v/links/")
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["content-length"] == str(len(page.content))
        # Ours comes first, or the client would look for a Python server.
        assert page.text.index("neuroglancer_alone.js") < page.text.index("main.js")
        assert web.get("/web/neuroglancer_alone.js").status_code == 200
        assert page.headers["access-control-allow-origin"] == "*"
        script = web.get("/neuroglancer/v/links/main.js")
        assert (script.text, script.headers["content-type"]) == ("let a;", "text/javascript; charset=utf-8")
        assert web.head("/neuroglancer/v/links/main.js").headers["content-length"] == "6"
        assert "access-control-allow-origin" not in script.headers


@pytest.mark.parametrize("name", ["main.js.map", "other.js", "../__init__.py", "..%2F__init__.py"])
def test_nothing_else_is(installed: Path, tmp_path: Path, name: str) -> None:
    with client(tmp_path) as web:
        # Dots in a disguise go nowhere at all.
        assert web.get(f"/neuroglancer/v/links/{name}").status_code == (400 if "%2F" in name else 404)
        assert web.post("/neuroglancer/v/links/main.js").status_code == 404


def test_another_viewer_is_led_to(installed: Path, tmp_path: Path) -> None:
    app = create_app(
        open_machine(tmp_path / "state.sqlite"), "https://links.example", neuroglancer="https://ng.example/v1/"
    )
    with TestClient(app) as web:
        reply = web.get("/neuroglancer/v/links/", follow_redirects=False)
        assert (reply.status_code, reply.headers["location"]) == (307, "https://ng.example/v1/")
        asked = web.head("/neuroglancer/v/links/", follow_redirects=False)
        assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (307, "*")
        assert web.get("/neuroglancer/v/links/main.js").status_code == 404


@pytest.mark.parametrize(
    "address", ["ng.example", "javascript:alert(1)", "https://ng.example/#!{}", "https://a\r\nx: y", ""]
)
def test_what_is_no_address_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(InvalidRequest, match="named by its address"):
        create_app(open_machine(tmp_path / "state.sqlite"), "https://links.example", neuroglancer=address)


def test_without_the_package_there_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(viewer, "find_spec", lambda name: None)
    with client(tmp_path) as web:
        assert web.head("/neuroglancer/v/links/").status_code == 404
