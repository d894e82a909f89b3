"""Every input of the corpus, once through its target: what fuzzing begins with is sound, and there is some for each."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ALL = """
from targets import TARGETS
from pathlib import Path
for name, target in TARGETS.items():
    inputs = list((Path("corpus") / name).iterdir())
    assert len(inputs) >= 3, name
    for path in inputs:
        target.check(path.read_bytes())
"""


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed: `make fuzz` does it")
def test_the_corpus_of_every_target_passes() -> None:
    done = subprocess.run([sys.executable, "-c", ALL], cwd=HERE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
