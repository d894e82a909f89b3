"""Asserts what `sam build` made: sizes, the processor of every library, no two versions of one file, and that it imports.

    sizes.py FOLDER ...

Each FOLDER is a build folder of `sam build`; its template says which processor it was built for.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bundle import find_python

# Lambda's own limit for a function with all its layers, unzipped (quota page, 2026-11).
LAMBDA_BYTES: Final = 262_144_000
# Ours, in bytes. What a cold start loads should stay small; the rest is what Lambda's limit leaves.
LIMITS: Final = {
    "CoreLayer": 45_000_000,
    "ArraysLayer": 180_000_000,
    "StreamFunction": 1_000_000,
    # Half of it is cryptography, which is loaded where OpenID Connect is configured alone.
    "ApiFunction": 36_000_000,
    "AnnotationImportFunction": 1_000_000,
    "ExportPlanFunction": 1_000_000,
    "ExportPartFunction": 1_000_000,
    "ExportFinishFunction": 1_000_000,
    "ExportAbortFunction": 1_000_000,
    # awscrt, without which nothing can be said to CloudFront's KeyValueStore.
    "LinkSyncFunction": 16_000_000,
    "LinkUsesFunction": 1_000_000,
}
LAYERS: Final = ("CoreLayer", "ArraysLayer")
# ELF's e_machine, at offset 18.
_MACHINES: Final = {"x86_64": 62, "arm64": 183}
_THIS_MACHINE: Final = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
# What has to be importable from which folders; boto3 comes with Lambda.
IMPORTS: Final = {
    ("CoreLayer/python",): (
        "import aws_lambda_powertools, google_crc32c, lz4.block, obstore.store, zarrlink.http.lambda_events, "
        "zarrlink.http.routes, zarrlink.settings; from importlib import resources; "
        "assert google_crc32c.implementation == 'c'; "
        "assert resources.files('zarrlink_web').joinpath('link.html').is_file()"
    ),
    ("CoreLayer/python", "ArraysLayer/python"): (
        "import deflate, h5py, numcodecs, numpy, tensorstore, zarr, zlib_ng.zlib_ng, zarrlink.arrays.mapping_hdf5, "
        "zarrlink.aws_exports; from importlib import metadata; metadata.version('deflate'), metadata.version('zlib-ng')"
    ),
    ("CoreLayer/python", "ApiFunction"): (
        "import jwt, mangum, python_multipart, zarrlink.http.api, zarrlink.http.api_door; "
        "assert jwt.get_algorithm_by_name('ES256')"
    ),
    (
        "CoreLayer/python",
        "AnnotationImportFunction",
    ): "import zarrlink.annotations.import_job, zarrlink.annotations.s3_vault",
    ("CoreLayer/python", "LinkSyncFunction"): "import awscrt.auth, zarrlink.edge.kvs, zarrlink.edge.sync",
    ("CoreLayer/python", "LinkUsesFunction"): "import zarrlink.links.edge_logs_s3",
}


def main() -> None:
    faults: list[str] = []
    for build in map(Path, sys.argv[1:]):
        arch = architecture(build)
        print("\n".join(table(build, arch)))
        found = (*check_sizes(build), *check_files(build, arch), *check_imports(build, arch))
        faults += [f"{build}: {fault}" for fault in found]
    if faults or len(sys.argv) == 1:
        sys.exit("\n".join(faults) or __doc__)


def architecture(build: Path) -> str:
    """What `sam build` was told with the parameter Architecture; the makefiles were told with ARCH."""
    text = (build / "template.yaml").read_text()
    found: set[str] = set(re.findall(r"^ *BuildArchitecture: (\w+)$", text, re.MULTILINE))
    if len(found) != 1 or not found <= _MACHINES.keys():
        sys.exit(f"{build}/template.yaml does not say for which processor it was built")
    return found.pop()


def files(folder: Path) -> dict[str, Path]:
    """By path below the folder."""
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


def size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in files(folder).values())


def whole_bytes(build: Path) -> int:
    """The largest function with all layers."""
    functions = [size_bytes(build / name) for name in LIMITS if name not in LAYERS]
    return max(functions) + sum(size_bytes(build / name) for name in LAYERS)


def table(build: Path, arch: str) -> Iterator[str]:
    """Lines to print."""
    yield f"{arch:<28}{'MB unzipped':>12}{'limit':>8}"
    for name, limit in LIMITS.items():
        yield f"  {name:<26}{size_bytes(build / name) / 1e6:>12.1f}{limit / 1e6:>8.0f}"
    yield f"  {'largest, with all layers':<26}{whole_bytes(build) / 1e6:>12.1f}{LAMBDA_BYTES / 1e6:>8.0f}"


def check_sizes(build: Path) -> Iterator[str]:
    """Sentences about what is missing or too large."""
    for name, limit in LIMITS.items():
        found = size_bytes(build / name)
        if found == 0:
            yield f"{name} was not built"
        if found > limit:
            yield f"{name} has {found:,} bytes, more than {limit:,}"
    if whole_bytes(build) > LAMBDA_BYTES:
        yield f"the largest function with all layers has {whole_bytes(build):,} bytes, more than {LAMBDA_BYTES:,}"


def check_files(build: Path, arch: str) -> Iterator[str]:
    """Sentences about files that do not fit the processor or each other."""
    layers: dict[str, bytes] = {}
    for name in LIMITS:
        for key, path in files(build / name).items():
            data = path.read_bytes()
            if data.startswith(b"\x7fELF") and int.from_bytes(data[18:20], "little") != _MACHINES[arch]:
                yield f"{name}/{key} is for another processor"
            # Layers are unpacked over one another in /opt: what lies in both must be the same.
            if name in LAYERS and layers.setdefault(key, data) != data:
                yield f"{key} differs between layers"


def check_imports(build: Path, arch: str) -> Iterator[str]:
    """Sentences about what cannot be imported, where this machine can try."""
    python = find_python()
    if python is None or _THIS_MACHINE.get(platform.machine()) != arch:
        print("  not imported: that takes Lambda's Python and processor")
        return
    for folders, code in IMPORTS.items():
        path = os.pathsep.join(str((build / folder).resolve()) for folder in folders)
        environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [python, "-s", "-W", "error", "-c", code]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
        if run.returncode:
            yield f"importing from {', '.join(folders)}: {run.stderr.strip().splitlines()[-1]}"


if __name__ == "__main__":
    main()
