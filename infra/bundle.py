"""Fills a layer or a function's folder for Lambda: wheels for its processor and Python, trimmed and compiled.

    bundle.py FOLDER [REQUIREMENT ...]

Called by the makefiles that `sam build` runs; ARCH names the processor (arm64 where it is unset, as in template.yaml).
What already lies in FOLDER is compiled as well.

uv, because pip's `--platform` goes wrong without a word when it installs for another machine: `manylinux_2_28` means that
tag alone (arm64 got obstore 0.3 where x86_64 got 0.12, whose wheel says `manylinux_2_24`), and the markers in
constraints.txt are read for the Python that pip runs on.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
CONSTRAINTS: Final = ROOT / "constraints.txt"
# As Runtime in template.yaml. Another one is named only where a machine without it is to emulate Lambda.
PYTHON_VERSION: Final = os.environ.get("EMULATED_PYTHON") or "3.13"
# Lambda's python3.13 is Amazon Linux 2023 with glibc 2.34. Wheels for 2.28 also run on the older machines that emulate it.
PLATFORMS: Final = {"arm64": "aarch64-manylinux_2_28", "x86_64": "x86_64-manylinux_2_28"}
# Commands, and what uv leaves about itself.
_LEFT_OUT: Final = ("bin", ".lock")
# RECORD lists files that trimming removes. METADATA stays (packages ask for their own version) and so do licences.
_NOT_NEEDED: Final = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("requirements", nargs="*")
    wish = parser.parse_args()
    arch = os.environ.get("ARCH") or "arm64"
    if arch not in PLATFORMS:
        sys.exit(f"ARCH is one of {', '.join(PLATFORMS)}, not {arch!r}")
    if wish.requirements:
        install(wish.folder, wish.requirements, arch)
    trim(wish.folder)
    unpinned = sorted(set(installed(wish.folder)) - pinned(CONSTRAINTS.read_text().splitlines()))
    if unpinned:
        sys.exit(f"pin these in constraints.txt: {', '.join(unpinned)}")
    compile_all(wish.folder)


def install(folder: Path, requirements: Iterable[str], arch: str) -> None:
    """Wheels only, at the versions in constraints.txt: nothing is built, whatever this machine is."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv is None:
        sys.exit("needs uv: build with `make build`, or install uv")
    command = [uv, "pip", "install", "--quiet", "--target", str(folder), "--python", sys.executable]
    command += ["--python-platform", PLATFORMS[arch], "--python-version", PYTHON_VERSION, "--only-binary", ":all:"]
    subprocess.run([*command, "--constraint", str(CONSTRAINTS), *requirements], check=True)  # noqa: S603 (our own words)


def trim(folder: Path) -> None:
    """Removes what never runs on Lambda: tests, commands, caches, and lists of files that would now be wrong."""
    for name in _LEFT_OUT:
        _remove(folder / name)
    for path in sorted(folder.rglob("*"), reverse=True):
        unwanted = path.name in ("__pycache__", "tests") if path.is_dir() else path.suffix == ".pyi"
        if unwanted or (path.parent.suffix == ".dist-info" and path.name in _NOT_NEEDED):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def installed(folder: Path) -> Iterator[str]:
    """`name==version` of what lies in a folder."""
    for info in folder.glob("*.dist-info"):
        name, _, version = info.name.removesuffix(".dist-info").rpartition("-")
        yield f"{_normal(name)}=={version}"


def pinned(constraints: Iterable[str]) -> set[str]:
    """`name==version` of every pin, whatever its marker."""
    pins = (line.split(";")[0].strip().partition("==") for line in constraints)
    return {f"{_normal(name)}=={version}" for name, _, version in pins}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def compile_all(folder: Path) -> None:
    """Byte code beside the sources, where a Python of Lambda's version is at hand to make it.

    /opt and /var/task are read-only there, so without it every cold start compiles every module again (measured on the
    core layer: 165 ms of import instead of 92 ms). Unchecked, because it then holds no times: same sources, same layer.
    """
    python = find_python()
    if python is None:
        print(
            f"no Python {PYTHON_VERSION} here: {folder} stays uncompiled, and cold starts are slower", file=sys.stderr
        )
        return
    command = [python, "-m", "compileall", "-q", "-j0", "--invalidation-mode", "unchecked-hash"]
    # Without the folder's name in it, two builds are the same; importing puts the true one back.
    subprocess.run([*command, "-s", str(folder), "-p", ".", str(folder)], check=True)  # noqa: S603 (our own words)


@cache
def find_python() -> str | None:
    """A Python of Lambda's version on this machine: on PATH or under pyenv."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = shutil.which(f"python{PYTHON_VERSION}")
    candidates = ([found] if found else []) + sorted(map(str, pyenv.glob(f"versions/{PYTHON_VERSION}.*/bin/python")))
    for candidate in candidates:
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        run = subprocess.run([candidate, "-c", code], capture_output=True, text=True, check=False)  # noqa: S603
        if run.stdout.strip() == PYTHON_VERSION:
            return candidate
    return None


if __name__ == "__main__":
    main()
