"""AWS on this machine: LocalStack, started and ended by its id, with all that it starts. It holds nothing that outlives it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zarrlink.errors import InvalidRequest
from zarrlink_local import emulated_processes

LOOPBACK: Final = "127.0.0.1"
# The first is where pytest-localstack looks, and nowhere else.
PORT: Final = 4566
DOOR_PORT: Final = 4567
ENDPOINT: Final = f"http://{LOOPBACK}:{PORT}"
# The deployed API, without its id and stage in the path (local/localstack).
DOOR: Final = f"http://{LOOPBACK}:{DOOR_PORT}"
REGION: Final = "eu-central-1"
# Whoever asks LocalStack: any key opens it, and nothing of the user's own must reach it.
ACCESS: Final = {
    "AWS_ENDPOINT_URL": ENDPOINT,
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
}
_OURS: Final = ".zarrlink-localstack"
_MODULE: Final = "localstack.runtime.main"
_START_LIMIT_S: Final = 90.0
_END_LIMIT_S: Final = 5.0
_LOOK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Programs:
    """`localstack`: a Python that has it and our plugins. `function`: one of Lambda's version, with what Lambda's has.

    `emulator`: Lambda's runtime interface emulator, which comes with SAM.
    """

    localstack: Path
    function: Path
    emulator: Path


class EmulatedAws:
    """`home`: where its log lies, and all that it writes; made when it starts, removed when it ends."""

    def __init__(self, home: Path) -> None:
        # Resolved: its processes are known by it, whichever way leads there.
        self.home = home.resolve()
        # TMPDIR of LocalStack, and of all that it starts.
        self.tmp = self.home / "tmp"
        self.log = self.home / "localstack.log"
        self._note = self.home / "process.json"
        # Where it was this object that started them.
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher: subprocess.Popen[bytes] | None = None

    def start(self, programs: Programs) -> bool:
        """Have it answer. False where it does so already. Raises InvalidRequest with what is in the way."""
        if self.process_group() is not None:
            self._wait_until_it_answers(None)
            return False
        self._end_what_is_left()
        for port in (PORT, DOOR_PORT):
            with socket.socket() as found:
                if found.connect_ex((LOOPBACK, port)) == 0:
                    raise InvalidRequest(f"port {port} is taken by another program; LocalStack can have no other")
        for program in (programs.localstack, programs.function, programs.emulator):
            if not program.exists():
                raise InvalidRequest(f"there is no {program}: make deploy-local brings it")
        self._clear()
        # Its log holds addresses of links, and its folders what is in the tables.
        self.home.mkdir(mode=0o700, parents=True)
        self.log.touch(mode=0o600)
        (self.home / _OURS).touch()
        for folder in (self.tmp, self.home / "user"):
            folder.mkdir()
        with self.log.open("wb") as out:
            self._process = process = subprocess.Popen(  # noqa: S603 (our own words)
                [programs.localstack.absolute(), "-m", _MODULE],
                env=self._variables(programs),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                # A group of its own, which Ctrl-C does not reach.
                start_new_session=True,
            )
            # Functions have groups of their own, and would outlive a LocalStack that is killed.
            self._watcher = subprocess.Popen(  # noqa: S603 (our own words)
                [sys.executable, "-I", emulated_processes.__file__, self.tmp, str(process.pid)],
                env={"TMPDIR": str(self.tmp)},
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._note.write_text(json.dumps({"process_group": process.pid}))
        try:
            self._wait_until_it_answers(process)
        except BaseException:
            self.stop()
            raise
        return True

    def stop(self) -> bool:
        """End it, with all that it started, and remove all it wrote. False where there was nothing of it."""
        group = self.process_group()
        if group is not None:
            _end(group)
        had_any = self._end_what_is_left() or group is not None or self._note.exists()
        self._clear()
        return had_any

    def _end_what_is_left(self) -> bool:
        """Where LocalStack runs no longer: functions that it left, and the watcher that would end a new one's. False if there is none.

        Raises InvalidRequest for a folder that is not of its making.
        """
        self._refuse_another_folder()
        had_any = emulated_processes.end_all_in(self.tmp)
        for process in (self._process, self._watcher):
            if process is not None:
                process.wait()
        self._process = self._watcher = None
        return had_any

    def _clear(self) -> None:
        self._refuse_another_folder()
        shutil.rmtree(self.home, ignore_errors=True)

    def _refuse_another_folder(self) -> None:
        if self.home.exists() and any(self.home.iterdir()) and not (self.home / _OURS).exists():
            raise InvalidRequest(f"{self.home} is not a folder of LocalStack's, and is left as it is: name another")

    def process_group(self) -> int | None:
        """Its id, where it runs: an id that was handed to another program since is not ended."""
        try:
            group = int(json.loads(self._note.read_text())["process_group"])
        except FileNotFoundError:
            return None
        _reap(group)
        if emulated_processes.PROC.is_dir():
            return group if emulated_processes.works_in(group, self.tmp) else None
        run = subprocess.run(["ps", "-o", "command=", "-p", str(group)], capture_output=True, text=True, check=False)  # noqa: S603, S607 (a number)
        return group if _MODULE in run.stdout else None

    def _variables(self, programs: Programs) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return {
            **kept,
            "GATEWAY_LISTEN": f"{LOOPBACK}:{PORT},{LOOPBACK}:{DOOR_PORT}",
            "ZARRLINK_DOOR": f"{LOOPBACK}:{DOOR_PORT}",
            # Its plugins' names are kept there, and would be those of an earlier installation; nor is ~/.aws its business.
            "HOME": str(self.home / "user"),
            "FILESYSTEM_ROOT": str(self.home / "files"),
            "LOCALSTACK_VOLUME_DIR": str(self.home / "volume"),
            "TMPDIR": str(self.tmp),
            # It asks nobody else for anything.
            "SKIP_SSL_CERT_DOWNLOAD": "1",
            "DISABLE_EVENTS": "1",
            "DNS_ADDRESS": "0",
            "PROVIDER_OVERRIDE_DYNAMODB": "moto",
            "LAMBDA_RUNTIME_EXECUTOR": "emulator",
            "LAMBDA_EMULATOR": str(programs.emulator.absolute()),
            # Not resolved: it would no longer be the environment's.
            "LAMBDA_PYTHON": str(programs.function.absolute()),
        }

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes] | None) -> None:
        limit = time.monotonic() + _START_LIMIT_S
        while time.monotonic() < limit:
            if process is not None and process.poll() is not None:
                raise InvalidRequest(f"LocalStack ended when it started: {self._last_words()}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection(LOOPBACK, PORT, timeout=5)
                connection.request("GET", "/_localstack/health")
                if connection.getresponse().status == http.client.OK:
                    return
            time.sleep(_LOOK_S)
        raise InvalidRequest(f"LocalStack does not answer; its log is {self.log}")

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it wrote nothing")


def _end(group: int) -> None:
    """Ask the whole group, then make it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        limit = time.monotonic() + _END_LIMIT_S
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)
            while time.monotonic() < limit:
                _reap(group)
                os.killpg(group, 0)
                time.sleep(_LOOK_S)


def _reap(process: int) -> None:
    """Where it was started by us, it stays in the list until somebody has looked at how it ended."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process, os.WNOHANG)
