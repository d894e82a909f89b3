"""What each function may load before its first event: which libraries not, how many modules, and how many bytes of them.

A cold start waits for just that. How long it takes, `make bench` measures (benchmarks/results.md); here nothing is timed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from typing import Any, NamedTuple

import pytest

from builders.lambda_door import ENVIRONMENT, FUNCTIONS

ARRAYS = {"numpy", "tensorstore", "zarr", "numcodecs", "h5py", "deflate", "zlib_ng", "ml_dtypes"}
WEB = {"fastapi", "starlette", "pydantic", "mangum", "jwt", "cryptography"}
# Clients of AWS: botocore's session is the half of it that costs; Powertools looks whether botocore is there.
CLIENTS = {"boto3", "botocore.session", "botocore.client", "aws_xray_sdk"}


STORE = "arn:aws:cloudfront::123456789012:key-value-store/edge"


class Budget(NamedTuple):
    """`without`: none of these. `modules`, and `megabytes` of their files, Python's own among them: a sixth above what there was
    in November 2026, so that growth is noticed and meant."""

    without: frozenset[str]
    modules: int
    megabytes: float


BUDGETS = {
    "stream": Budget(frozenset(ARRAYS | WEB | CLIENTS), 300, 13.2),
    "api": Budget(frozenset(ARRAYS | CLIENTS | {"jwt", "cryptography"}), 680, 27.0),
    "annotation_import": Budget(frozenset(ARRAYS | WEB | CLIENTS), 350, 14.7),
    "export_plan": Budget(frozenset((ARRAYS - {"numpy", "deflate", "zlib_ng"}) | WEB | CLIENTS), 520, 33.5),
    "export_part": Budget(frozenset((ARRAYS - {"numpy", "deflate", "zlib_ng"}) | WEB | CLIENTS), 520, 33.5),
    "export_finish": Budget(frozenset((ARRAYS - {"numpy", "deflate", "zlib_ng"}) | WEB | CLIENTS), 520, 33.5),
    "export_abort": Budget(frozenset((ARRAYS - {"numpy", "deflate", "zlib_ng"}) | WEB | CLIENTS), 520, 33.5),
    "link_uses": Budget(frozenset(ARRAYS | WEB | CLIENTS | {"lz4", "obstore"}), 160, 6.2),
    "link_sync": Budget(frozenset(ARRAYS | WEB | CLIENTS | {"awscrt"}), 260, 10.5),
}
# In an interpreter of its own: what importing the function adds, by name, and the bytes of the files.
CODE = """
import json, os, runpy, sys
before = set(sys.modules)
runpy.run_path(sys.argv[1])
new = {name: module for name, module in list(sys.modules.items()) if name not in before}
files = {getattr(module, "__file__", None) or "" for module in new.values()} - {""}
print(json.dumps({"names": sorted(new), "bytes": sum(os.path.getsize(file) for file in files)}))
"""


@cache
def loaded(function: str) -> dict[str, Any]:
    environment = {
        **os.environ,
        **ENVIRONMENT,
        "EDGE_LOG_BUCKET": "edge-logs",
        "EDGE_LOG_PREFIX": "edge/",
        "EDGE_STORE": STORE,
    }
    run = subprocess.run(
        [sys.executable, "-c", CODE, str(FUNCTIONS / function / "app.py")],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def test_every_function_has_its_budget() -> None:
    assert {path.parent.name for path in FUNCTIONS.glob("*/app.py")} == BUDGETS.keys()


@pytest.mark.parametrize("function", BUDGETS)
def test_what_is_heavy_waits_until_it_is_needed(function: str) -> None:
    names = set(loaded(function)["names"])
    assert "zarrlink" in names
    assert not BUDGETS[function].without & (names | {name.partition(".")[0] for name in names})


@pytest.mark.parametrize("function", BUDGETS)
def test_no_function_loads_more_than_its_budget(function: str) -> None:
    found, budget = loaded(function), BUDGETS[function]
    assert len(found["names"]) <= budget.modules
    assert found["bytes"] <= budget.megabytes * 1e6
