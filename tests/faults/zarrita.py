"""zarrita in a process of its own, which reads one box after another."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from types import TracebackType
from typing import Any, Final, Self

import numpy as np

from end_to_end.clients import ZARRITA

Box = tuple[slice, ...]
MISSING: Final = "no zarrita: needs node, and `npm ci` in tests/end_to_end/zarrita"


def is_there() -> bool:
    return shutil.which("node") is not None and (ZARRITA / "node_modules/zarrita").is_dir()


class Ended(AssertionError):
    """Its process, and not a read."""


class Zarrita:
    """Use it in a `with` statement."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            ["node", "boxes.mjs"], cwd=ZARRITA, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()

    def read(self, layer: str, dialect: str, level: int, box: Box) -> Any:
        """Voxels in the order of the array's axes. Raises RuntimeError with what zarrita raised."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        spans = [[part.start, part.stop] for part in box]
        wanted = {"address": layer, "version": dialect, "level": str(level), "box": spans}
        self._process.stdin.write(json.dumps(wanted) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise Ended("the process of zarrita has ended")
        found = json.loads(line)
        if "error" in found:
            raise RuntimeError(found["error"])
        flat = np.frombuffer(base64.b64decode(found["data"]), np.dtype(found["dtype"]))
        assert flat.size == np.prod(found["shape"])
        strides = [step * flat.itemsize for step in found["stride"]]
        return np.lib.stride_tricks.as_strided(flat, found["shape"], strides)
