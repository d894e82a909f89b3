"""Fuzz what reads bytes of strangers: each target in a process of its own, for a while.

`python tests/fuzz/run.py --seconds 60 [TARGET ...]` prints a line for each target, and ends with status 1 where
something was found; the input that did it is kept in a folder that is named.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

NAMES = (
    *("wkw", "keys", "datasource", "arrays", "address", "byte_range", "token", "nml"),
    *("block_pack", "zip", "annotation", "chunk", "manifest", "openapi"),
)
TARGETS = Path(__file__).with_name("targets.py")
# Kept beside the targets, read and never written to; what a run adds goes to a folder of its own.
CORPUS = Path(__file__).with_name("corpus")
# A single input may take so long, and the whole process so much memory.
INPUT_LIMIT_S = 10
MEMORY_LIMIT_MIB = 1024
LONGEST_INPUT_BYTES = 8192
SHOWN_CHARACTERS = 6000


@dataclass(frozen=True)
class Outcome:
    """What came of one target."""

    runs: int
    sound: bool
    log: str


def fuzz(name: str, seconds: int, kept: Path) -> Outcome:
    """Run one target for so many seconds; what it finds is written below `kept`."""
    with tempfile.TemporaryDirectory() as corpus, tempfile.TemporaryDirectory() as temporary:
        command = [
            sys.executable, str(TARGETS), name, corpus, str(CORPUS / name),
            f"-max_total_time={seconds}",
            f"-timeout={INPUT_LIMIT_S}",
            f"-rss_limit_mb={MEMORY_LIMIT_MIB}",
            f"-max_len={LONGEST_INPUT_BYTES}",
            f"-artifact_prefix={kept / name}-",
            "-print_final_stats=1",
        ]  # fmt: skip
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env={**os.environ, "TMPDIR": temporary},
        )
    counted = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
    # What libFuzzer tells of its progress, and atheris of its imports, says nothing about a finding.
    told = [line for line in (done.stdout + done.stderr).splitlines() if not re.match(r"#\d|INFO: |stat::", line)]
    return Outcome(int(counted[1]) if counted else 0, done.returncode == 0 and counted is not None, "\n".join(told))


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the parsers of foreign bytes.")
    parser.add_argument("--seconds", type=int, default=60, help="for how long each target runs (default: 60)")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"one of {', '.join(NAMES)} (default: all)")
    wanted = parser.parse_args()
    for name in wanted.targets:
        if name not in NAMES:
            parser.error(f"no target {name!r}; there are {', '.join(NAMES)}")
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed: run `make fuzz`, or `pip install -c constraints.txt atheris` first")
        return 1
    kept = Path(tempfile.mkdtemp(prefix="zarrlink-fuzz-"))
    sound = True
    for name in wanted.targets or NAMES:
        outcome = fuzz(name, wanted.seconds, kept)
        found = "nothing found" if outcome.sound else f"FOUND something, input kept in {kept}"
        print(f"{name:<10} {outcome.runs:>9} runs  {found}", flush=True)
        if not outcome.sound:
            print(outcome.log[-SHOWN_CHARACTERS:])
            sound = False
    if sound:
        kept.rmdir()
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
