"""One execution environment: Lambda's runtime interface emulator with a function in it, which runs one event at a time."""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Final

START_LIMIT_S: Final = 30.0
# How long a function takes at the most (900 s), and the emulator to say so.
ANSWER_LIMIT_S: Final = 930.0
END_LIMIT_S: Final = 5.0
# The last lines of an invocation come a moment after its answer.
LOG_LIMIT_S: Final = 1.0
_LOOK_S: Final = 0.005
_INVOKE: Final = "/2015-03-31/functions/function/invocations"
_LOOPBACK: Final = "127.0.0.1"
_LAST_LINE: Final = b"REPORT RequestId"
# Below those that the system hands out to whoever connects, so that nobody takes one between our look and its use.
_PORTS: Final = cycle(range(21_000, 31_000))
_TURN: Final = threading.Lock()


class EmulatorFailed(Exception):
    """The emulator did not start, or broke off. Its text is for LocalStack's log."""


class Emulator:
    """A function, started. Made in a folder of its own, where its log and its /tmp lie; `stop` removes it."""

    def __init__(self, command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> None:
        """`command`: the emulator's program, and then what it runs. Raises EmulatorFailed."""
        self._home = Path(tempfile.mkdtemp(prefix="environment-"))
        self._log = self._home / "log"
        scratch = self._home / "tmp"
        scratch.mkdir()
        self._port, inner = _free_port(), _free_port()
        program, *runs = command
        words = [program, "--log-level", "info"]
        words += ["--runtime-interface-emulator-address", f"{_LOOPBACK}:{self._port}"]
        words += ["--runtime-api-address", f"{_LOOPBACK}:{inner}"]
        with self._log.open("wb") as out:
            # It ends what it runs, which has a process group of its own, when it is asked to end. TMPDIR tells whose both are.
            self._process = subprocess.Popen(  # noqa: S603 (words of the deployment's own)
                [*words, *runs],
                cwd=folder,
                env={**variables, "TMPDIR": str(scratch)},
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until_it_listens()
        except BaseException:
            self.stop()
            raise

    def invoke(self, payload: bytes) -> tuple[int, bytes, str]:
        """The emulator's status and answer, and what the function wrote meanwhile. Raises EmulatorFailed."""
        connection = http.client.HTTPConnection(_LOOPBACK, self._port, timeout=ANSWER_LIMIT_S)
        try:
            before = self._log.stat().st_size
            connection.request("POST", _INVOKE, payload)
            reply = connection.getresponse()
            body = reply.read()
        except (OSError, http.client.HTTPException) as error:
            raise EmulatorFailed(f"the emulator broke off: {error!r}") from error
        finally:
            connection.close()
        return reply.status, body, self._lines_since(before)

    def log(self) -> str:
        """All that was written so far; empty where it ended."""
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def stop(self) -> None:
        """Twice is no harm."""
        self._process.terminate()
        try:
            self._process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._home, ignore_errors=True)

    def _lines_since(self, offset_bytes: int) -> str:
        limit = time.monotonic() + LOG_LIMIT_S
        while True:
            with self._log.open("rb") as file:
                file.seek(offset_bytes)
                written = file.read()
            if _LAST_LINE in written or time.monotonic() > limit:
                return written.decode("utf-8", "replace")
            time.sleep(_LOOK_S)

    def _wait_until_it_listens(self) -> None:
        limit = time.monotonic() + START_LIMIT_S
        while time.monotonic() < limit:
            if self._process.poll() is not None:
                raise EmulatorFailed(f"the emulator ended with status {self._process.returncode}: {self.log()[-500:]}")
            try:
                socket.create_connection((_LOOPBACK, self._port), 1).close()
            except OSError:
                time.sleep(_LOOK_S)
            else:
                return
        raise EmulatorFailed("the emulator does not listen")


def _free_port() -> int:
    """One that no other environment of this process was given a moment ago. Raises EmulatorFailed."""
    with _TURN:
        for _, port in zip(range(10_000), _PORTS, strict=False):
            with socket.socket() as found:
                try:
                    found.bind((_LOOPBACK, port))
                except OSError:
                    continue
                return port
    raise EmulatorFailed("there is no free port")
