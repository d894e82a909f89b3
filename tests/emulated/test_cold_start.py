"""What `stream` loads, as built: nothing heavy at its start, nor for a chunk."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from builders.emulator import Runtime, skip_unless_built
from builders.lambda_door import rest_event
from zarrlink.http.message import Request

skip_unless_built()

HEAVY = {"numpy", "zarr", "numcodecs", "tensorstore", "fastapi", "pydantic", "boto3", "aws_xray_sdk"}
# In Lambda's Python: what is loaded after the import, and after a chunk.
CODE = """
import json, sys
import app
first = sorted(sys.modules)
answers = [app.handler(event, None) for event in json.loads(sys.stdin.read())]
statuses = [answer["statusCode"] for answer in answers]
print(json.dumps({"first": first, "then": sorted(sys.modules), "statuses": statuses, "file": app.__file__}))
"""


def loaded(runtime: Runtime, environment: dict[str, str], events: list[Any]) -> dict[str, Any]:
    path = os.pathsep.join(map(str, runtime.folders("StreamFunction")))
    run = subprocess.run(
        [runtime.python, "-c", CODE],
        env={"PATH": os.environ.get("PATH", ""), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": path, **environment},
        input=json.dumps(events),
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return found


def test_stream_loads_nothing_heavy(runtime: Runtime, deployment: Any, link: str) -> None:
    paths = ["v3/em.zarr/zarr.json", "v2/em.zarr/0/0/0/0", "v3/em.zarr/0/c/0/0/0", "v3/raw.zarr/0/c/0/0/0", ""]
    events = [rest_event(Request("GET", f"{link}/{path}", {})) for path in paths]

    found = loaded(runtime, deployment.stack.environment("StreamFunction"), events)

    assert found["file"] == str(runtime.build / "StreamFunction" / "app.py")
    assert found["statuses"] == [200] * len(paths)
    for moment in ("first", "then"):
        assert "zarrlink.http.routes" in found[moment]
        assert not {name.partition(".")[0] for name in found[moment]} & HEAVY
    # Powertools looks whether botocore is there; what costs is its session, which the first request needs.
    assert "botocore.session" not in found["first"]
    assert "botocore.session" in found["then"]


def test_what_is_heavy_could_be_loaded(runtime: Runtime) -> None:
    """Or its absence above would say nothing."""
    folders = [*runtime.folders("ApiFunction"), runtime.build / "ArraysLayer" / "python"]
    code = "import numpy, zarr, numcodecs, tensorstore, fastapi, pydantic, boto3"
    path = os.pathsep.join(map(str, folders))
    subprocess.run([runtime.python, "-c", code], env={"PYTHONPATH": path}, check=True)
