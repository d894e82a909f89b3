"""`make run-cdn`: what it prints works, and it ends with everything it started."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builders.local_cdn import ask, skip_without_nginx
from builders.local_jobs import children, until
from builders.processes import take_signals
from zarrlink.errors import InvalidRequest
from zarrlink_local.cdn import nginx
from zarrlink_local.cdn.configuration import CdnSettings
from zarrlink_local.sample import MAGS, sample_layers

ROOT = Path(__file__).parents[2]
SIZE = (224, 256, 160)


@dataclass
class Run:
    process: subprocess.Popen[str]
    home: Path
    printed: str


def start(home: Path) -> Run:
    command = [sys.executable, "local/run.py", "--cdn", "--home", str(home), "--port", "0", "--size", *map(str, SIZE)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        preexec_fn=take_signals,  # noqa: PLW1509 (nothing but that)
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("Revoke it"):
            break
    return Run(process, home, "".join(lines))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    skip_without_nginx()
    running = start(tmp_path_factory.mktemp("run") / "home")
    yield running
    running.process.terminate()
    running.process.wait(30)
    running.process.stdout.close()


def test_the_printed_snippet_runs_as_it_is(run: Run) -> None:
    snippet = "\n".join(re.findall(r"^    ((?:import|em =|print).*)$", run.printed, re.MULTILINE))
    assert snippet.count("\n") == 2, "three lines"
    done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, check=True)
    em = sample_layers(SIZE, 7)[0].volumes[MAGS[0]]
    assert done.stdout.strip() == str(em[128, 200:204, 200:210])


def test_the_cache_works_and_past_it_nothing_is_answered(run: Run) -> None:
    page = re.search(r"http://\S+/zarr/\S+/(?=\n)", run.printed)
    past = re.search(r"refuses everything: (http://\S+)", run.printed)
    assert page
    assert past
    chunk = f"{page[0]}v2/em.zarr/0/0/0/0"
    assert [ask(chunk).headers["x-cache"] for _ in range(2)] == ["MISS", "HIT"]
    assert ask(past[1]).status == 410
    facts = ask(page[0], headers={"Accept": "application/json"}).body.decode()
    assert past[1] not in facts


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_all_that_it_started(tmp_path: Path, how: signal.Signals, run: Run) -> None:
    (tmp_path / "neuropil").symlink_to(run.home / "neuropil")
    running = start(tmp_path)
    below = children(running.process.pid)
    assert below
    running.process.send_signal(how)
    running.process.wait(30)
    running.process.stdout.close()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below))
    assert list(tmp_path.glob("cdn-*")) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a program with whoever started it")
def test_what_is_killed_takes_the_cache_along(tmp_path: Path, run: Run) -> None:
    """Nobody would tell it of a revoked link any more."""
    (tmp_path / "neuropil").symlink_to(run.home / "neuropil")
    running = start(tmp_path)
    below = children(running.process.pid)
    assert below
    running.process.kill()
    running.process.wait(30)
    running.process.stdout.close()
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
