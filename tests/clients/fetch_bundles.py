"""Viewers that npm has as one ready bundle, without the packages that they were built from: `python fetch_bundles.py FOLDER`.

`FOLDER/vizarr` and `FOLDER/itk-vtk-viewer` become what a server of static files would hold.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

# Name here, package, SHA-512, and the folder of the package that is served.
BUNDLES = (
    (
        "vizarr",
        "@galaxyproject/vizarr@0.1.8",
        "aNqs+Im0T4hospAIMG8kG71lzosrWYjKGRQUjF0h/ydqpWqDJ0S59adT8gH2HNJJZoq9GHhGALFpHF0DRs4eFQ==",
        "static",
    ),
    (
        "itk-vtk-viewer",
        "itk-vtk-viewer@14.51.0",
        "i1H0PfekLdCfL45lZ96aWCoh4thzxeexiGJ3NYC9euF1WefXW0P1JijBLIJfrDBvp5fhjncj/EEnIW1auBh+zw==",
        "dist",
    ),
)


def fetch(package: str, digest: str, part: str, into: Path) -> None:
    """`part` of a package as `into`. Ends the process where the package is not the one that was looked at."""
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(["npm", "pack", "--silent", package], cwd=scratch, check=True, stdout=subprocess.DEVNULL)
        (archive,) = Path(scratch).iterdir()
        found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if found != digest:
            sys.exit(f"{package} from npm has the SHA-512 {found} in place of {digest}")
        with tarfile.open(archive) as files:
            files.extractall(scratch, filter="data")
        shutil.rmtree(into, ignore_errors=True)
        into.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(Path(scratch) / "package" / part, into)


def main() -> None:
    for name, package, digest, part in BUNDLES:
        fetch(package, digest, part, Path(sys.argv[1]) / name)


if __name__ == "__main__":
    main()
