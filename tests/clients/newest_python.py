"""Prints the newest Python of 3.11 to 3.13 that is here: Zarr's clients have newer releases for newer ones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path


def version(python: str) -> tuple[int, ...]:
    """(3, 13) of an interpreter; () where it does not run."""
    run = subprocess.run(
        [python, "-c", "import sys, venv; print(*sys.version_info[:2])"], capture_output=True, text=True, check=False
    )
    return tuple(map(int, run.stdout.split())) if run.returncode == 0 else ()


def main() -> None:
    named = [shutil.which(f"python3.{minor}") for minor in (13, 12, 11)]
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    kept = [str(python) for python in root.glob("versions/3.1[1-3].*/bin/python")]
    there = [python for python in (sys.executable, *named, *kept) if python and version(python) <= (3, 13)]
    print(max(there, key=version))


if __name__ == "__main__":
    main()
