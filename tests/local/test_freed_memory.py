"""A server that answers one shard after the other does not ask the system for their memory each time."""

from __future__ import annotations

import subprocess
import sys

import pytest

PAGES_OF_A_SHARD = 2**21 // 4096
SCRIPT = """
import resource, sys
from zarrlink_local.freed_memory import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
def answer():
    return b"".join([bytearray(2**21), b"index"])
for _ in range(4):
    answer()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    answer()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(how: str) -> int:
    run = subprocess.run([sys.executable, "-c", SCRIPT, how], check=True, capture_output=True, text=True)
    return int(run.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="about glibc's malloc")
def test_freed_buffers_are_used_again() -> None:
    kept = _faults("kept")
    assert kept < 50 * PAGES_OF_A_SHARD / 10
