"""The servers that are compared: started on loopback, ended by their id, their CPU time read from /proc."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HERE = Path(__file__).parent
CLI = (sys.executable, "-c", "from zarrlink_local.cli import main; main()")
_TICKS = os.sysconf("SC_CLK_TCK")
_START_LIMIT_S = 30
_NGINX = """
daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit; {user}
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on; default_type application/octet-stream; keepalive_requests 100000000;
  client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t; scgi_temp_path t;
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server. `prefix`: what its paths have before `/v2/LAYER.zarr/...`."""

    name: str
    pid: int
    port: int
    prefix: str = ""

    def cpu_s(self) -> float:
        """User and system time of its processes so far."""
        return sum(_times(pid) for pid in _tree(self.pid))

    def rss_mib(self) -> float:
        """Memory that its processes hold now."""
        return sum(_resident_bytes(pid) for pid in _tree(self.pid)) / 2**20


@contextmanager
def zarrlink_serve(dataset: Path, state: Path, *options: str) -> Iterator[Server]:
    """`zarrlink serve`, as it is, with a link to the dataset."""
    command = [*CLI, "serve", "--data", str(dataset), "--port", "0", "--state", str(state), *options]
    with announced("zarrlink on uvicorn", command) as server:
        made = subprocess.run(
            [*CLI, "links", "create", dataset.name, "--state", str(state), "--json"],
            check=True,
            capture_output=True,
            text=True,
        )
        page = json.loads(made.stdout)["page"]
        yield Server(server.name, server.pid, server.port, urlsplit(page).path.rstrip("/"))


@contextmanager
def granian(state: Path, prefix: str) -> Iterator[Server]:
    """The same application and state file behind granian, one worker."""
    port = _free_port()
    options = ["--interface", "asgi", "--workers", "1", "--no-ws", "--log-level", "warning", "--factory"]
    where = ["--host", "127.0.0.1", "--port", str(port), "--working-dir", str(HERE)]
    command = [sys.executable, "-m", "granian", *options, *where, "granian_app:create"]
    with _process(command, env={**os.environ, "ZARRLINK_STATE": str(state)}) as process:
        _wait(process, port)
        yield Server("zarrlink on granian", process.pid, port, prefix)


@contextmanager
def nginx(root: Path, home: Path) -> Iterator[Server]:
    """Static files below `root`; `home`: a folder for its configuration."""
    with nginx_with("nginx", home, lambda user, port: _NGINX.format(user=user, port=port, root=root)) as server:
        yield server


@contextmanager
def nginx_with(name: str, home: Path, configuration: Callable[[str, int], str]) -> Iterator[Server]:
    """nginx with what `configuration` makes of the directive for its user and of a port."""
    port = _free_port()
    # Started by root, its worker would be nobody, who cannot read our scratch folder.
    user = "user root;" if os.geteuid() == 0 else ""
    (home / "nginx.conf").write_text(configuration(user, port))
    with _process(["nginx", "-p", str(home), "-c", "nginx.conf", "-e", "stderr"]) as process:
        _wait(process, port)
        yield Server(name, process.pid, port)


@contextmanager
def probe(root: Path) -> Iterator[Server]:
    """The same files, opened, read and sent by an application on our uvicorn that does nothing else."""
    with announced("bare probe on uvicorn", [sys.executable, str(HERE / "probe.py"), str(root)]) as server:
        yield server


@dataclass(frozen=True, slots=True)
class Network:
    """A `slow_proxy.py` before a server."""

    process: Any
    port: int

    def restart(self, round_trip_ms: float) -> dict[str, int]:
        """What has passed since the last call; from now on with another round trip."""
        self.process.stdin.write(f"{round_trip_ms}\n")
        self.process.stdin.flush()
        counted: dict[str, int] = json.loads(self.process.stdout.readline())
        return counted


@contextmanager
def network(upstream: Server) -> Iterator[Network]:
    """A network between its port and the server."""
    command = [sys.executable, str(HERE / "slow_proxy.py"), str(upstream.port)]
    with _process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Network(process, _announced_port("the network", process))


@contextmanager
def announced(name: str, command: list[str], prefix: str = "") -> Iterator[Server]:
    """A server that says where it is, in a line `serving on ADDRESS`. Raises RuntimeError where it ends instead."""
    with _process(command, stdout=subprocess.PIPE, text=True) as process:
        port = _announced_port(name, process)
        _wait(process, port)
        yield Server(name, process.pid, port, prefix)


def _announced_port(name: str, process: Any) -> int:
    for line in iter(process.stdout.readline, ""):
        if line.startswith("serving on "):
            return urlsplit(line.split()[2]).port or 0
    raise RuntimeError(f"{name} ended with status {process.wait()}")


@contextmanager
def _process(command: list[str], **options: Any) -> Iterator[Any]:
    with subprocess.Popen(command, **options) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _wait(process: subprocess.Popen[Any], port: int) -> None:
    limit = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < limit and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{process.args!r} does not listen (status {process.poll()})")


def _tree(pid: int) -> list[int]:
    """A process and its descendants."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (fields := _stat(int(folder.name))):
            parents.setdefault(int(fields[1]), []).append(int(folder.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def _times(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS if fields else 0.0


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _stat(pid: int) -> list[str]:
    """/proc/PID/stat from the state on; nothing for a process that has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
