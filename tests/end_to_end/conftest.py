"""A real server on loopback, driven as a user would drive it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TESTDATA = ROOT.parent / "shared" / "testdata"


@dataclass
class Served:
    """A running `zarrlink serve`."""

    state: Path
    address: str
    process: subprocess.Popen[str]

    def zarrlink(self, *arguments: str) -> Any:
        """What a command prints as JSON. Raises CalledProcessError."""
        command = [sys.executable, "-c", "from zarrlink_local.cli import main; main()", *arguments]
        run = subprocess.run(
            [*command, "--state", str(self.state), "--json"], check=True, capture_output=True, text=True
        )
        return json.loads(run.stdout)

    def link(self, dataset: str, *options: str) -> dict[str, Any]:
        return self.zarrlink("links", "create", dataset, *options)

    def layer(self, dataset: str, layer: str) -> dict[str, str]:
        """Addresses of one layer by dialect."""
        return next(found for found in self.link(dataset, "--layer", layer)["layers"] if found["name"] == layer)


@pytest.fixture(scope="session")
def serve() -> Iterator[Callable[..., Served]]:
    """Start a server on folders: `serve(state, folder, ...)`."""
    running: list[subprocess.Popen[str]] = []

    def start(state: Path, *folders: Path, options: tuple[str, ...] = ()) -> Served:
        command = [
            sys.executable,
            "-c",
            "from zarrlink_local.cli import main; main()",
            "serve",
            "--port",
            "0",
            *options,
        ]
        for folder in folders:
            command += ["--data", str(folder)]
        process = subprocess.Popen([*command, "--state", str(state)], stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("serving on "):
                return Served(state, line.split()[2], process)
        raise AssertionError(f"the server ended with status {process.wait()}")

    yield start
    for process in running:
        process.terminate()
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="session")
def testdata() -> Path:
    """The real files beside the checkout."""
    if not TESTDATA.is_dir():
        pytest.skip("no real files: ../shared/testdata is not there")
    return TESTDATA
