"""Ordinary Zarr clients, each as a function from a layer's addresses to a whole level as an array."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorstore
import zarr

ZARRITA = Path(__file__).parent / "zarrita"
Client = Callable[[dict[str, str], int], Any]
# tensorstore would go on asking a failing server for minutes.
_FEW_RETRIES = {"http_request_retries": {"max_retries": 1, "initial_delay": "1ms", "max_delay": "2ms"}}


def zarr_python(dialect: str) -> Client:
    return lambda layer, level: np.asarray(zarr.open_group(layer[dialect], mode="r")[str(level)][...])


def tensorstore_of(dialect: str, *, auto: bool = False) -> Client:
    driver = "auto" if auto else {"v2": "zarr", "v3": "zarr3"}[dialect]

    def read(layer: dict[str, str], level: int) -> Any:
        spec = {"driver": driver, "kvstore": f"{layer[dialect]}/{level}/", "context": _FEW_RETRIES}
        return tensorstore.open(spec).result().read().result()

    return read


def zarrita(dialect: str) -> Client:
    def read(layer: dict[str, str], level: int) -> Any:
        if shutil.which("node") is None or not (ZARRITA / "node_modules").is_dir():
            pytest.skip("no zarrita: needs node, and `npm ci` in tests/end_to_end/zarrita")
        command = ["node", "read.mjs", layer[dialect], dialect, str(level)]
        run = subprocess.run(command, cwd=ZARRITA, capture_output=True, check=False)
        if run.returncode:
            raise RuntimeError(run.stderr.decode())
        facts, _, data = run.stdout.partition(b"\n")
        described = json.loads(facts)
        flat = np.frombuffer(data, np.dtype(described["dtype"]))
        assert flat.size == np.prod(described["shape"])
        strides = [step * flat.itemsize for step in described["stride"]]
        return np.lib.stride_tricks.as_strided(flat, described["shape"], strides)

    return read


CLIENTS: dict[str, Client] = {
    "zarr-python v2": zarr_python("v2"),
    "zarr-python v3": zarr_python("v3"),
    "tensorstore v2": tensorstore_of("v2"),
    "tensorstore v3": tensorstore_of("v3"),
    "tensorstore v2 auto": tensorstore_of("v2", auto=True),
    "tensorstore v3 auto": tensorstore_of("v3", auto=True),
    "zarrita v2": zarrita("v2"),
    "zarrita v3": zarrita("v3"),
}
