"""A worker's memory does not grow with its unit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("memory_of_a_unit.py")


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells a process its peak")
@pytest.mark.parametrize("dtype", ["uint8", "uint32", "uint64"])
@pytest.mark.parametrize("kind", ["ome_tiff", "tiff_stack"])
def test_a_unit_of_a_gibibyte_takes_less_than_256_mib(kind: str, dtype: str) -> None:
    run = subprocess.run([sys.executable, str(PROGRAM), kind, dtype], check=True, capture_output=True, text=True)
    assert int(run.stdout) < 256
