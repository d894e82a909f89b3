"""All processes of LocalStack's, whatever group they are in: those whose TMPDIR lies in its own, which it hands on to what it starts.

Run as a program (`FOLDER PROCESS`) it waits until LocalStack has ended, however that came, and ends what it left. It is started
as a file, so it imports nothing of ours. Only /proc tells a process's TMPDIR: without one (macOS) nothing is found, and nothing ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc")
_VARIABLE: Final = b"TMPDIR="
_END_LIMIT_S: Final = 5.0
_LOOK_S: Final = 0.1


def works_in(process: int, folder: Path) -> bool:
    """False as well where it has ended, or is somebody else's. `folder`: absolute."""
    try:
        variables = (PROC / str(process) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False
    found = [os.fsdecode(value.removeprefix(_VARIABLE)) for value in variables if value.startswith(_VARIABLE)]
    return any(Path(value).is_relative_to(folder) for value in found)


def processes_in(folder: Path) -> set[int]:
    """Without the one that asks."""
    if not PROC.is_dir():
        return set()
    known = {int(path.name) for path in PROC.iterdir() if path.name.isdecimal()}
    return {process for process in known - {os.getpid()} if works_in(process, folder)}


def end_all_in(folder: Path) -> bool:
    """Ask them, then make them. False where there was none."""
    had_any = False
    for number in (signal.SIGTERM, signal.SIGKILL):
        limit = time.monotonic() + _END_LIMIT_S
        while (left := processes_in(folder)) and time.monotonic() < limit:
            had_any = True
            for process in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, number)
            time.sleep(_LOOK_S)
    return had_any


def watch(folder: Path, process: int) -> None:
    """Return when it has ended, and with it all that it started."""
    while works_in(process, folder):
        time.sleep(_LOOK_S)
    end_all_in(folder)


if __name__ == "__main__":
    watch(Path(sys.argv[1]), int(sys.argv[2]))
