"""What a cold start may load: pass-through needs no heavy library."""

import subprocess
import sys

HEAVY = {"numpy", "zarr", "tensorstore", "fastapi", "boto3", "botocore", "numcodecs", "pydantic", "click"}


def test_the_streaming_modules_load_no_heavy_library() -> None:
    modules = (
        "zarrlink.streaming, zarrlink.http.routes, zarrlink.http.asgi, zarrlink.links.sqlite, zarrlink.storage.files"
    )
    code = f"import sys, {modules}; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-X", "importtime", "-c", code], capture_output=True, text=True, check=True)
    loaded = set(run.stdout.split())
    assert "zarrlink.transcode" in loaded
    assert "zarrlink.transcode" in run.stderr
    assert not {name.partition(".")[0] for name in loaded} & HEAVY
    assert not [line for line in run.stderr.splitlines() if line.split("|")[-1].strip() in HEAVY]


def test_what_tells_of_foreign_arrays_loads_no_heavy_library() -> None:
    """Only opening one does."""
    modules = "zarrlink.arrays.passthrough, zarrlink.arrays.volume, zarrlink.sources.bare, zarrlink.sources.permission"
    code = f"import sys, {modules}; print(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {name.partition(".")[0] for name in run.stdout.split()} & HEAVY


def test_importing_the_package_defines_things_and_does_nothing() -> None:
    """No client, environment read or thread at import."""
    code = "import threading, zarrlink.http.api, zarrlink_local.cli; print(threading.active_count())"
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PATH": "/nowhere"}
    )
    assert run.stdout.split() == ["1"]
