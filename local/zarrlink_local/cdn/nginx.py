"""nginx, started and ended: all its files in one folder, on loopback, in front of one zarrlink server."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zarrlink.errors import InvalidRequest
from zarrlink_local.cdn.configuration import CdnSettings

PACKAGES: Final = "nginx-light and libnginx-mod-http-js"
_NJS: Final = Path(__file__).parent / "njs"
_START_LIMIT_S: Final = 20.0
_POLL_S: Final = 0.02
# linux/prctl.h
_PR_SET_PDEATHSIG: Final = 1
_LIBC: Final = ctypes.CDLL(None)
# Of the system's own programs; not on everybody's PATH.
_ELSEWHERE: Final = os.pathsep + "/usr/sbin" + os.pathsep + "/usr/local/sbin"


@dataclass(frozen=True, slots=True)
class Nginx:
    """An nginx that can run JavaScript."""

    program: str
    module: Path


def find_nginx() -> Nginx:
    """Raises InvalidRequest where it, or its JavaScript module, is not installed: says what to install."""
    program = shutil.which("nginx", path=os.environ.get("PATH", os.defpath) + _ELSEWHERE)
    if program is None:
        raise InvalidRequest(f"nginx is not installed: the local CDN needs the Debian packages {PACKAGES}")
    said = subprocess.run([program, "-V"], capture_output=True, text=True, check=False).stderr  # noqa: S603 (found above)
    found = re.search(r"--modules-path=(\S+)", said)
    module = Path(found[1] if found else "/usr/lib/nginx/modules") / "ngx_http_js_module.so"
    if not module.exists():
        raise InvalidRequest(f"nginx has no JavaScript module: the local CDN needs the Debian packages {PACKAGES}")
    return Nginx(program, module)


@dataclass(frozen=True, slots=True)
class Cdn:
    """A CDN that runs. `entries`: the folder that the function looks links up in. `log`: its access log."""

    pid: int
    port: int
    entries: Path
    log: Path


@contextmanager
def running_cdn(
    listener: socket.socket,
    origin_port: int,
    secret: str,
    functions: Path,
    *,
    home: Path | None = None,
    workers: str = "auto",
    log: bool = True,
) -> Iterator[Cdn]:
    """A CDN on a socket that listens, until left. `functions`: the folder with the function files; `secret`: what the
    origin knows it by; `home`: where its folder is made, and removed at the end.

    The listener is nginx's from here on. Raises InvalidRequest where nginx is missing, does not start, or there is no function file.
    """
    with tempfile.TemporaryDirectory(prefix="cdn-", dir=home) as made, listener:
        nginx, folder = find_nginx(), Path(made).resolve()
        _write_scripts(functions, folder / "scripts")
        for name in ("entries", "temp", "cache"):
            (folder / name).mkdir()
        port: int = listener.getsockname()[1]
        settings = CdnSettings(
            module=nginx.module,
            scripts=folder / "scripts",
            port=port,
            origin_port=origin_port,
            secret=secret,
            workers=workers,
            log="edge.log" if log else None,
            as_root=os.geteuid() == 0,
        )
        configuration = folder / "nginx.conf"
        configuration.touch(0o600)
        configuration.write_text(settings.text())
        with _process(nginx, folder, listener) as process:
            # It has its own copy; with this one open, what comes after its end would wait for ever.
            listener.close()
            yield Cdn(process.pid, port, folder / "entries", folder / "edge.log")


def _write_scripts(functions: Path, scripts: Path) -> None:
    """The function files, each as it is with what nginx needs behind it."""
    scripts.mkdir()
    shutil.copy(_NJS / "cloudfront", scripts)
    for name in ("viewer_request", "viewer_response"):
        function = functions / f"{name}.js"
        if not function.exists():
            raise InvalidRequest(f"{function} is not there: the local CDN runs from a checkout of zarrlink")
        (scripts / function.name).write_text(function.read_text() + (_NJS / f"{name}_tail.js").read_text())


@contextmanager
def _process(nginx: Nginx, folder: Path, listener: socket.socket) -> Iterator[subprocess.Popen[str]]:
    # As when nginx replaces itself by a new version: it takes over sockets that are named here. So no port is free
    # between looking for it and listening, and requests that come early wait.
    # It does not make these non-blocking: two workers that accept one connection would leave one of them waiting.
    listener.setblocking(False)
    environment = {**os.environ, "NGINX": f"{listener.fileno()};", "TZ": "UTC"}
    command = [nginx.program, "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
    with subprocess.Popen(  # noqa: S603 (found by find_nginx)
        command,
        env=environment,
        pass_fds=(listener.fileno(),),
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_end_with_parent,  # noqa: PLW1509 (it calls one function of the kernel)
    ) as process:
        try:
            _await_start(process, folder / "nginx.pid")
            yield process
        finally:
            process.terminate()
            process.wait()


def _end_with_parent() -> None:
    """On Linux: whoever tells it of revoked links being killed, it is to end, and not to serve what it keeps."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _await_start(process: subprocess.Popen[str], pid_file: Path) -> None:
    limit = time.monotonic() + _START_LIMIT_S
    while not pid_file.exists():
        if process.poll() is not None or time.monotonic() > limit:
            process.kill()
            said = process.communicate()[1].strip().splitlines()
            raise InvalidRequest(f"nginx does not start: {said[-1] if said else 'it says nothing'}")
        time.sleep(_POLL_S)
