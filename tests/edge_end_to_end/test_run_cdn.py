"""`make run-cdn`: what it prints works, and it ends with everything it started."""

from __future__ import annotations

import re
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from builders.local_cdn import ask, skip_without_nginx
from builders.local_jobs import children, until
from builders.make_run import Run, start_run
from zarrlink.errors import InvalidRequest
from zarrlink_local.cdn import nginx
from zarrlink_local.cdn.configuration import CdnSettings


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    skip_without_nginx()
    running = start_run(tmp_path_factory.mktemp("run") / "home", "--cdn")
    yield running
    running.process.terminate()
    running.wait()


def test_the_printed_snippet_runs_as_it_is(run: Run) -> None:
    run.check_snippet()


def test_the_cache_works_and_past_it_nothing_is_answered(run: Run) -> None:
    past = re.search(r"refuses everything: (http://\S+)", run.printed)
    assert past
    chunk = f"{run.page()}v2/em.zarr/0/0/0/0"
    assert [ask(chunk).headers["x-cache"] for _ in range(2)] == ["MISS", "HIT"]
    assert ask(past[1]).status == 410
    facts = ask(run.page(), headers={"Accept": "application/json"}).body.decode()
    assert past[1] not in facts


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_all_that_it_started(tmp_path: Path, how: signal.Signals, run: Run) -> None:
    (tmp_path / "neuropil").symlink_to(run.home / "neuropil")
    running = start_run(tmp_path, "--cdn")
    below = children(running.process.pid)
    assert below
    running.process.send_signal(how)
    running.wait()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below))
    assert list(tmp_path.glob("cdn-*")) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a program with whoever started it")
def test_what_is_killed_takes_the_cache_along(tmp_path: Path, run: Run) -> None:
    """Nobody would tell it of a revoked link any more."""
    (tmp_path / "neuropil").symlink_to(run.home / "neuropil")
    running = start_run(tmp_path, "--cdn")
    below = children(running.process.pid)
    assert below
    running.process.kill()
    running.wait()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below))


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(nginx, "_ELSEWHERE", "")
    with pytest.raises(InvalidRequest, match=r"nginx is not installed.*libnginx-mod-http-js"):
        nginx.find_nginx()
    program = tmp_path / "nginx"
    program.write_text("#!/bin/sh\necho 'configure arguments: --modules-path=/nowhere' >&2\n")
    program.chmod(0o755)
    with pytest.raises(InvalidRequest, match=r"no JavaScript module.*libnginx-mod-http-js"):
        nginx.find_nginx()


def test_a_configuration_that_nginx_refuses_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    skip_without_nginx()
    monkeypatch.setattr(CdnSettings, "text", lambda _: "nonsense;")
    for name in ("viewer_request.js", "viewer_response.js"):
        (tmp_path / name).touch()
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(InvalidRequest, match=r'nginx does not start: .*"nonsense"') as said,
        nginx.running_cdn(listener, 1, "s" * 32, tmp_path, home=tmp_path),
    ):
        pass
    assert "\n" not in str(said.value)
    assert list(tmp_path.glob("cdn-*")) == []


def test_without_the_function_files_it_says_so(tmp_path: Path) -> None:
    skip_without_nginx()
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(InvalidRequest, match=r"viewer_request\.js is not there"),
        nginx.running_cdn(listener, 1, "s" * 32, tmp_path / "none"),
    ):
        pass


def test_only_its_owner_reads_what_is_secret(run: Run) -> None:
    (folder,) = run.home.glob("cdn-*")
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "nginx.conf").stat().st_mode & 0o077 == 0
    assert any((folder / "entries").iterdir())
