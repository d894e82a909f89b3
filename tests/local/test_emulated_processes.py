"""What LocalStack starts ends with it, even if it is killed; here with a program in its place that answers and has a function."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from zarrlink.errors import InvalidRequest
from zarrlink_local import emulated_aws, emulated_processes
from zarrlink_local.emulated_aws import EmulatedAws, Programs

pytestmark = pytest.mark.skipif(not emulated_processes.PROC.is_dir(), reason="only /proc tells whose a process is")

# Says that it runs, in a group of its own as functions are, and holds its end of a pipe as long as it does. A second word: it is stubborn.
FUNCTION = """
import os, signal, sys, time
os.setpgid(0, 0)
if len(sys.argv) > 2:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(sys.argv[1], "wb", buffering=0) as told:
    told.write(b"runs")
    time.sleep(600)
"""
# In place of LocalStack: answers that it is well.
LOCALSTACK = """#!{python}
import os, subprocess, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Well(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

server = HTTPServer(("127.0.0.1", int(os.environ["GATEWAY_LISTEN"].split(",")[0].split(":")[1])), Well)
subprocess.Popen([sys.executable, "-c", {function!r}, {pipe!r}])
server.serve_forever()
"""


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.fixture
def programs(tmp_path: Path, pipe: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    with socket.socket() as found, socket.socket() as other:
        found.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        monkeypatch.setattr(emulated_aws, "PORT", found.getsockname()[1])
        monkeypatch.setattr(emulated_aws, "DOOR_PORT", other.getsockname()[1])
    program = tmp_path / "localstack"
    program.write_text(LOCALSTACK.format(python=sys.executable, function=FUNCTION, pipe=str(pipe)))
    program.chmod(0o755)
    return Programs(program, program, program)


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[EmulatedAws]:
    aws = EmulatedAws(tmp_path / "home")
    yield aws
    aws.stop()


def started(folder: Path, pipe: Path, *words: str) -> subprocess.Popen[bytes]:
    variables = {"TMPDIR": str(folder)}
    return subprocess.Popen([sys.executable, "-c", FUNCTION, pipe, *words], env=variables)


def kill(aws: EmulatedAws) -> None:
    leader = aws.process_group()
    assert leader is not None
    os.kill(leader, signal.SIGKILL)


def test_functions_end_when_localstack_is_killed(aws: EmulatedAws, programs: Programs, pipe: Path) -> None:
    """By themselves: nobody asks for it."""
    aws.start(programs)
    with pipe.open("rb") as told:
        assert told.read(4) == b"runs"
        kill(aws)
        assert told.read() == b""
    assert aws.stop()
    assert not aws.home.exists()
    assert not aws.stop()


def test_functions_that_nobody_ended(aws: EmulatedAws, programs: Programs, pipe: Path) -> None:
    """Whoever killed LocalStack may have killed its watcher too."""
    aws.start(programs)
    with pipe.open("rb") as told:
        assert told.read(4) == b"runs"
        (watcher,) = (
            process
            for process in emulated_processes.processes_in(aws.tmp)
            if b"emulated_processes.py" in Path(f"/proc/{process}/cmdline").read_bytes()
        )
        os.kill(watcher, signal.SIGKILL)
        kill(aws)
        assert len(emulated_processes.processes_in(aws.tmp)) >= 1
        assert EmulatedAws(aws.home).stop()
        assert told.read() == b""
    assert emulated_processes.processes_in(aws.tmp) == set()


def test_another_start_ends_what_the_one_before_left(aws: EmulatedAws, programs: Programs, pipe: Path) -> None:
    left = started(aws.home / "tmp", pipe)
    with pipe.open("rb") as told:
        assert told.read(4) == b"runs"
    assert aws.start(programs)
    assert left.wait() == -signal.SIGTERM
    with pipe.open("rb") as told:
        assert told.read(4) == b"runs"
        assert aws.process_group() is not None
        assert aws.stop()
        assert told.read() == b""


def test_one_that_does_not_end_when_asked(tmp_path: Path, pipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulated_processes, "_END_LIMIT_S", 0.1)
    stubborn = started(tmp_path / "home" / "tmp" / "environment-1" / "tmp", pipe, "stubborn")
    with pipe.open("rb") as told:
        assert told.read(4) == b"runs"
    assert emulated_processes.end_all_in(tmp_path / "home")
    assert stubborn.wait() == -signal.SIGKILL
    assert not emulated_processes.end_all_in(tmp_path / "home")


def test_processes_of_others_are_left_alone(tmp_path: Path, pipe: Path) -> None:
    """Even with LocalStack's number, or a folder of nearly the same name."""
    other = started(tmp_path / "home2" / "tmp", pipe)
    with pipe.open("rb") as told:
        assert told.read(4) == b"runs"
        aws = EmulatedAws(tmp_path / "home")
        aws.home.mkdir()
        (aws.home / ".zarrlink-localstack").touch()
        (aws.home / "process.json").write_text(f'{{"process_group": {other.pid}}}')
        assert aws.process_group() is None
        aws.stop()
        assert other.poll() is None
        # Not where LocalStack keeps everything, whatever its name.
        (tmp_path / "home2").mkdir()
        (tmp_path / "home2" / "theirs").touch()
        with pytest.raises(InvalidRequest, match="not a folder of LocalStack's"):
            EmulatedAws(tmp_path / "home2").stop()
        assert other.poll() is None
        other.kill()
        other.wait()
