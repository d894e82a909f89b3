"""A function as it was built, on Lambda's own runtime interface emulator: what the cloud runs, without the cloud.

The emulator is a program that comes with SAM; it starts `awslambdaric`, which Lambda's Python has, and takes events at
an address on loopback. It invokes one event at a time.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from builders.template import load_template

_INVOKE: Final = "/2015-03-31/functions/function/invocations"
_START_LIMIT_S: Final = 30.0
_LOOK_S: Final = 0.01
_VARIABLES: Final = ("LAMBDA_BUILD", "LAMBDA_PYTHON", "LAMBDA_EMULATOR")


class FunctionFailed(Exception):
    """The function raised, or its answer could not be carried. `status`: the emulator's."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(f"{status} {kind}: {message}")
        self.status = status
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Runtime:
    """`build`: a build folder of `sam build`. `python`: with awslambdaric and boto3. `emulator`: the program."""

    build: Path
    python: Path
    emulator: Path

    def folders(self, function: str) -> list[Path]:
        """Where a function's code lies as it does in Lambda: its own folder, then its layers' below /opt."""
        layers = load_template()["Resources"][function]["Properties"]["Layers"]
        return [self.build / function, *(self.build / layer["Ref"] / "python" for layer in layers)]


def find_runtime() -> Runtime | None:
    """What `make test-lambda` and `make bench-lambda` name by LAMBDA_BUILD, LAMBDA_PYTHON and LAMBDA_EMULATOR."""
    found = [os.environ.get(name) for name in _VARIABLES]
    build, python, emulator = (Path(value).absolute() if value else None for value in found)
    return None if build is None or python is None or emulator is None else Runtime(build, python, emulator)


def skip_unless_built() -> None:
    """At the top of a test module: leave the module out, in words, where there is nothing to run."""
    if find_runtime() is None:
        import pytest

        pytest.skip("runs what is built: make test-lambda", allow_module_level=True)


@dataclass(slots=True)
class Emulated:
    """A running function. `log`: what it and the emulator write; whole once it has ended."""

    pid: int
    port: int
    log: Path
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def post(self, event: object) -> tuple[int, bytes]:
        """The emulator's status, and the function's answer as Lambda carries it."""
        with self._turn:
            connection = http.client.HTTPConnection("127.0.0.1", self.port)
            try:
                connection.request("POST", _INVOKE, json.dumps(event))
                reply = connection.getresponse()
                return reply.status, reply.read()
            finally:
                connection.close()

    def invoke(self, event: object) -> Any:
        """The function's answer. Raises FunctionFailed."""
        status, body = self.post(event)
        answer = json.loads(body)
        # An exception of the function's comes with status 200.
        if status != http.client.OK or (isinstance(answer, dict) and "errorType" in answer):
            raise FunctionFailed(status, answer.get("errorType", ""), answer.get("errorMessage", ""))
        return answer

    def log_lines(self) -> list[str]:
        return self.log.read_text().splitlines()


@contextmanager
def emulated(
    runtime: Runtime,
    path: Sequence[Path],
    environment: Mapping[str, str],
    log: Path,
    *,
    handler: str = "app.handler",
) -> Iterator[Emulated]:
    """A function started, and ended by its process id. `path`: the folders of its code, its own first.

    It starts at the first event, as after a pause in the cloud.
    """
    port, inner_port = _free_ports(2)
    command = [str(runtime.emulator), "--log-level", "info"]
    command += ["--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
    command += ["--runtime-api-address", f"127.0.0.1:{inner_port}"]
    command += [str(runtime.python), "-m", "awslambdaric", handler]
    variables = {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": os.pathsep.join(map(str, path)),
        "LAMBDA_TASK_ROOT": str(path[0]),
        # In Lambda these folders are read-only.
        "PYTHONDONTWRITEBYTECODE": "1",
        **environment,
    }
    with (
        log.open("wb") as out,
        subprocess.Popen(command, cwd=path[0], env=variables, stdout=out, stderr=subprocess.STDOUT) as process,
    ):
        try:
            _wait_until_it_listens(process, port)
            yield Emulated(process.pid, port, log)
        finally:
            process.terminate()
            process.wait()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports: list[int] = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int) -> None:
    limit = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < limit:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            try:
                status = process.wait(_LOOK_S)
            except subprocess.TimeoutExpired:
                continue
            raise RuntimeError(f"the emulator ended with status {status}") from None
        else:
            return
    raise RuntimeError("the emulator does not listen")
