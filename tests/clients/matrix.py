"""Each client on each layer: read and compared, then the layer is revoked and a read must raise."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from clients.sites import Published, Site, Version
from clients.volumes import Shown, Volume

Verdict = Literal["passed", "failed to open", "failed to read", "wrong voxels", "read after revocation", "no answer"]
# Some read plane by plane, or try again and again, on a machine that does other things too.
LIMIT_S = 150.0


@dataclass(frozen=True)
class Outcome:
    """What became of one client on one layer. `words`: its own error, or what was wrong; "" where all was right."""

    client: str
    version: Version
    layer: str
    verdict: Verdict
    words: str = ""

    @property
    def passed(self) -> bool:
        return self.verdict == "passed"


class NoAnswer(Exception):
    """The client said nothing within the time limit, or its process ended."""


class Talk(Protocol):
    """A client that is asked."""

    def ask(self, **what: Any) -> dict[str, Any]:
        """Its answer: {"error": ..., "stage": ...} where it raised. Raises NoAnswer."""

    def close(self) -> None:
        """End it."""


class Process:
    """A client in a process of its own, which is asked in JSON lines."""

    def __init__(self, command: Sequence[str], limit_s: float) -> None:
        self._limit_s = limit_s
        self._pending = b""
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "PYTHONWARNINGS": "ignore", "NO_PROXY": "127.0.0.1"},
        )

    def ask(self, **what: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(what).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise NoAnswer(f"its process ended with status {self._process.wait()}") from error
        answer: dict[str, Any] = json.loads(self._line())
        return answer

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        limit = time.monotonic() + self._limit_s
        while b"\n" not in self._pending:
            ready, _, _ = select.select([self._process.stdout], [], [], max(0, limit - time.monotonic()))
            if not ready:
                raise NoAnswer(f"no answer within {self._limit_s:g} s")
            data = os.read(self._process.stdout.fileno(), 1 << 16)
            if not data:
                raise NoAnswer(f"its process ended with status {self._process.wait()}")
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def close(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with _ignored(OSError):
                    pipe.close()


@contextmanager
def _ignored(kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kind:
        return


def judge(talk: Talk, client: str, version: Version, published: Published) -> Outcome:
    """One client on one layer, which is revoked by it. Raises NoAnswer."""

    def outcome(verdict: Verdict, words: str = "") -> Outcome:
        return Outcome(client, version, published.layer.name, verdict, words)

    address = published.addresses[version]
    with tempfile.TemporaryDirectory() as folder:
        answer = talk.ask(do="open", address=address, levels=len(published.expected), out=f"{folder}/")
        if "error" in answer:
            published.revoke()
            return outcome("failed to open" if answer["stage"] == "open" else "failed to read", answer["error"])
        for number, expected in enumerate(published.expected):
            if wrong := difference(np.load(f"{folder}/{number}.npy"), expected):
                published.revoke()
                return outcome("wrong voxels", f"level {number}: {wrong}")
    published.revoke()
    for do, how in (("held", "what was open before"), ("fresh", "opened anew")):
        answer = talk.ask(do=do)
        if "error" not in answer:
            seen = "the voxels as before" if answer["nonzero"] else "fill value in place of voxels"
            return outcome("read after revocation", f"{how}: {seen}, and no error")
    return outcome("passed")


def difference(found: Volume, expected: Volume) -> str:
    """What is wrong with what a client read, "" for nothing."""
    if found.shape != expected.shape:
        return f"shape {found.shape} in place of {expected.shape}"
    if found.dtype != expected.dtype:
        return f"{found.dtype} in place of {expected.dtype}"
    wrong = int((found != expected).sum())
    return f"{wrong} of {expected.size} voxels" if wrong else ""


def run_client(
    client: str, command: Sequence[str], version: Version, site: Site, layers: Sequence[Shown]
) -> list[Outcome]:
    """One client on every layer of a site, in one process for as long as that answers."""
    outcomes = []
    talk: Process | None = None
    for layer in layers:
        talk = talk or Process(command, LIMIT_S)
        published = site.publish(layer)
        try:
            outcomes.append(judge(talk, client, version, published))
        except NoAnswer as error:
            talk.close()
            talk = None
            outcomes.append(Outcome(client, version, layer.name, "no answer", str(error)))
    if talk is not None:
        talk.close()
    return outcomes


def told(words: str) -> str:
    """The first line of an error without what is only this machine's or a secret: addresses, tokens, folders, times."""
    line = words.strip().splitlines()[0] if words.strip() else ""
    line = re.sub(r"https?://127\.0\.0\.1:\d+/(?:zarr/)?[\w-]+/", "ADDRESS/", line)
    line = re.sub(r"https?://127\.0\.0\.1:\d+", "ADDRESS", line)
    line = re.sub(r"(?<![\w/])/(?:tmp|work|root|home|usr|var|opt)/[^\s'\"<>,:]*", "FOLDER", line)
    line = re.sub(r"\b\d+(?:\.\d+)?\s?(?:ms|µs|s)\b", "N s", line)
    line = re.sub(r"0x[0-9a-f]+", "0x…", line)
    # Which chunk comes first differs from run to run.
    line = re.sub(r"(/\d+(?:/c)?)(?:/\d+){3,4}\b", r"\1/…", line)
    return line if len(line) <= 200 else line[:199] + "…"


def read_versions(command: Sequence[str]) -> str:
    """What a client says that it is. Raises NoAnswer."""
    talk = Process(command, LIMIT_S)
    try:
        return str(talk.ask(do="versions").get("versions", "?"))
    finally:
        talk.close()
