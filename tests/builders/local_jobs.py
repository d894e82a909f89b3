"""Jobs of one machine in tests: small units, so that a volume of a few megabytes keeps the workers busy for a while.

python tests/builders/local_jobs.py STATE WORKERS     a server on a free port, which prints its address
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import secrets
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from zarrlink.exports.args import ExportArgs
from zarrlink.exports.request import Limits
from zarrlink.jobs.model import Job, Kind
from zarrlink.library import Library
from zarrlink_local import server
from zarrlink_local.jobs.engine import LocalEngine, library_of_state
from zarrlink_local.jobs.worker import Workplace
from zarrlink_local.machine import Machine, open_machine

# Far beyond what anything here takes.
PATIENCE_S = 120.0
SMALL = Limits(least_part=0, unit=2**20, aimed_unit=2**17, smallest_unit=2**14, slab=2**17, largest_slab=2**18)


@contextmanager
def running(
    machine: Machine, workers: int = 2, open_library: Callable[[], Library] | None = None, limits: Limits = SMALL
) -> Iterator[LocalEngine]:
    """An engine in this process, with workers of its own."""
    state, store = machine.file.path, machine.results()
    place = Workplace(state, store.folder, open_library or partial(library_of_state, state), limits, 7)
    with LocalEngine(place, machine.jobs, store, workers) as engine:
        yield engine


def new_job(dataset: str, args: ExportArgs, kind: Kind = "ome_tiff") -> Job:
    number = secrets.token_hex(12)
    name = "box.ome.tif" if kind == "ome_tiff" else "box.zip"
    return Job(number, "ann", kind, dataset, "", args.to_json(), name, number, 1)


def until(found: Callable[[], Any]) -> Any:
    """What is found, as soon as it is something."""
    limit = time.monotonic() + PATIENCE_S
    while not (value := found()):
        assert time.monotonic() < limit, "it does not come"
        threading.Event().wait(0.005)
    return value


def children(pid: int) -> list[int]:
    """The processes that a process has started and that are still there, in the order of their numbers."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(status.parent.name))
    return sorted(found)


def workers(pid: int) -> list[int]:
    """Those of the children that are workers, not what Python's multiprocessing has beside them."""
    return [child for child in children(pid) if b"spawn_main" in _command(child)]


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    machine = open_machine(Path(sys.argv[1]))
    listener = server.listen(0)
    address = f"http://{server.LOOPBACK}:{listener.getsockname()[1]}"
    machine.set_address(address)
    with running(machine, int(sys.argv[2])) as engine:
        app = server.create_app(machine, address, engine)
        print(address, flush=True)
        server.run(app, listener)


def die_in_a_worker() -> Library:
    """For a workplace whose workers are killed as soon as they begin."""
    if multiprocessing.parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    return library_of_state(Path(tempfile.mkdtemp()) / "state")


if __name__ == "__main__":
    main()
