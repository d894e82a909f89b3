"""The cases of the edge's function inside nginx: the same answers, and the same requests to the origin, as everywhere else."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builders.edge_cases import EDGE, HOST, Case, load_cases, load_world
from builders.local_cdn import Asked, Counted, skip_without_nginx
from builders.local_jobs import until
from builders.loopback import served
from zarrlink_local.cdn.nginx import Cdn, running_cdn
from zarrlink_local.server import listen

CASES = load_cases()
SECRET = "the secret of the cases, which is long enough"
# What nginx refuses by itself, before it asks anybody.
NO_HTTP = {"internal: no slash": 400, "methods: get is refused": 400, "methods: TRACE is refused": 405}
# A cache that has the whole sends parts and 304s itself, and asks for the whole.
CONDITIONS = {"range", "if-none-match"}


@dataclass
class Nginx:
    cdn: Cdn
    asked: list[Asked]

    def hold(self, case: Case) -> None:
        """Have the store hold what the case says; what fails to be read is a folder."""
        shutil.rmtree(self.cdn.entries)
        self.cdn.entries.mkdir()
        for key, value in case.entries.items():
            (self.cdn.entries / key.replace(":", "_")).write_text(value)
        for key in case.failing:
            place = self.cdn.entries / key.replace(":", "_")
            place.unlink(missing_ok=True)
            place.mkdir()

    def send(self, case: Case) -> tuple[int, dict[str, str], bytes]:
        """The case's request as it stands, which no client would let us send."""
        request = case.request
        target = request["uri"] + (f"?{request['query']}" if request.get("query") else "")
        lines = [f"{request.get('method', 'GET')} {target} HTTP/1.1", "Connection: close"]
        for name, value in {"host": HOST, **request.get("headers", {})}.items():
            lines += [f"{name}: {one}" for one in (value if isinstance(value, list) else [value])]
        with socket.create_connection(("127.0.0.1", self.cdn.port)) as connection:
            connection.sendall("\r\n".join([*lines, "", ""]).encode())
            with connection.makefile("rb") as stream:
                said = stream.read()
        head, _, body = said.partition(b"\r\n\r\n")
        status, *headers = head.decode("latin-1").split("\r\n")
        found = {name.lower(): value for name, _, value in (line.partition(": ") for line in headers)}
        return int(status.split()[1]), found, body


async def nothing(scope, receive, send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"cache-control", b"no-store")]})
    await send({"type": "http.response.body", "body": b"the origin's"})


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    skip_without_nginx()
    functions = tmp_path_factory.mktemp("functions")
    shutil.copy(EDGE / "viewer_response.js", functions)
    # The function's text as it is; behind it the clock of the cases.
    clock = f"\nDate.now = function () {{ return {load_world()['now_ms']}; }};\n"
    (functions / "viewer_request.js").write_text((EDGE / "viewer_request.js").read_text() + clock)
    origin = Counted(nothing)
    with (
        served(origin) as address,
        running_cdn(listen(0), int(address.rpartition(":")[2]), SECRET, functions, workers="1") as cdn,
    ):
        yield Nginx(cdn, origin.asked)


def log_lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nginx_judges_alike(nginx: Nginx, case: Case) -> None:
    nginx.hold(case)
    nginx.asked.clear()
    before = len(log_lines(nginx.cdn.log))
    status, headers, body = nginx.send(case)
    (line,) = until(lambda: log_lines(nginx.cdn.log)[before:])
    logged = line.split("\t")[-1]
    expected = case.expected
    if case.name in NO_HTTP:
        assert (nginx.asked, status, logged) == ([], NO_HTTP[case.name], "-")
        return
    assert headers["access-control-allow-origin" if "status" in expected else "server"]
    if "status" in expected:
        assert nginx.asked == []
        assert status == expected["status"]
        assert {name: headers.get(name) for name in expected["headers"]} == expected["headers"]
        assert logged == "-"
        if case.request.get("method") == "HEAD":
            assert body == b""
        elif headers.get("content-type") == "application/problem+json":
            assert json.loads(body)["status"] == status
        return
    (asked,) = nginx.asked
    query = expected.get("query", "")
    assert asked.path == expected["uri"] + (f"?{query}" if query else "")
    is_pinned = expected["uri"].startswith("/c/")
    assert asked.method == ("GET" if is_pinned else case.request.get("method", "GET"))
    headers_on = expected.get("headers", {})
    ours = {
        "x-zarrlink-edge": SECRET,
        "x-zarrlink-link": expected.get("link"),
        "x-zarrlink-token": expected.get("token"),
        "x-zarrlink-host": None if is_pinned else HOST,
        **{name: None if is_pinned and name in CONDITIONS else value for name, value in headers_on.items()},
    }
    assert {name: asked.headers.get(name) for name in ours} == ours
    # Of one that is not known nothing reads.
    assert {name for name in asked.headers if "zarrlink" in name} <= {*ours, "x-zarrlink-alone", "x-zarrlink-else"}
    assert ("x-zarrlink-alone" in asked.headers) == (not is_pinned)
    assert logged == ((expected.get("link") or expected["token"][1:17]) if expected.get("log") else "-")


def test_no_token_and_no_address_is_in_the_log(nginx: Nginx) -> None:
    before = len(log_lines(nginx.cdn.log))
    for case in CASES:
        nginx.hold(case)
        nginx.send(case)
    until(lambda: len(log_lines(nginx.cdn.log)) >= before + len(CASES))
    text = nginx.cdn.log.read_text()
    assert "/" not in text
    assert not any(token in text for token in load_world()["names"].values() if len(token) == 33)
